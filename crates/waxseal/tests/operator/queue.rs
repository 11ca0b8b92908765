use serde_json::Value;

use super::{DANE, NOTHING, Said, World, assert_discreet};

fn rows(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whoever looks at the screen learns no subject and no text.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_listed_held_released_and_dropped() {
    let world = World::new(&[NOTHING]).await;
    let gateway = world.start().await;
    let domain = world.domain(NOTHING);
    let id = world.send(&gateway, &domain).await;
    world.recorded(&id).await;
    let listed = async |words: &[&str]| {
        let said = world.run(&[&["queue", "list"], words].concat()).await.with(0);
        assert_discreet(&said);
        said
    };
    let shown = rows(&listed(&["--json"]).await);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["id"], id);
    assert_eq!(shown[0]["destination"], domain);
    assert_eq!(shown[0]["recipients"], 1);
    assert!(shown[0]["why"].is_string(), "{}", shown[0]);
    let said = listed(&[]).await;
    assert!(said.out.contains(&id) && said.out.contains(&domain), "{}", said.out);
    let said = listed(&["--to", "other.example"]).await;
    assert!(said.out.is_empty() && !said.err.contains("empty"), "{}{}", said.out, said.err);

    let said = world.run(&["queue", "show", &id]).await.with(0);
    assert_discreet(&said);
    assert!(said.out.contains("STARTTLS") || said.out.contains("last: "), "{}", said.out);
    assert!(said.out.contains("floor encrypted") && !said.out.contains("@17"), "{}", said.out);
    let said = world.run(&["queue", "show", &id, "--json"]).await.with(0);
    assert_discreet(&said);
    assert_eq!(said.json()["id"], id);

    let changed = async |words: &[&str]| {
        let said = world.run(&[&["queue"], words, &["--json"]].concat()).await;
        assert_discreet(&said);
        said.json()["changed"].as_u64().unwrap()
    };
    let by = ["--reason", "asked by the sender"];
    assert_eq!(changed(&["hold", &id, by[0], by[1]]).await, 1);
    assert_eq!(changed(&["hold", &id]).await, 0, "it is held already");
    assert_eq!(rows(&listed(&["--json", "--held"]).await)[0]["state"], "held");
    assert_eq!(changed(&["retry", &id]).await, 0, "what is held is released first");
    let said = world.run(&["queue", "retry", &id]).await.with(1);
    assert!(said.out.contains("release"), "{}", said.out);
    let said = world.run(&["queue", "release", &id]).await.with(0);
    assert_eq!(said.out, "1 delivery group released.\n");
    let attempts =
        |said: &Said| said.code == 0 && said.json()["attempts"].as_array().unwrap().len() > 1;
    world.until(&["evidence", "show", &id, "--json"], attempts).await;
    let dropped = async { while changed(&["drop", "--to", &domain, by[0], by[1]]).await == 0 {} };
    tokio::time::timeout(super::PATIENCE, dropped).await.unwrap();
    let said = listed(&[]).await;
    assert!(said.err.contains("empty"), "{}", said.err);
    let said = world.run(&["queue", "show", &id]).await.with(1);
    assert!(said.err.contains("evidence show"), "{}", said.err);
    gateway.stop().await;
    assert!(world.lab.inside_sink().all().is_empty(), "nobody is told of what is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_what_it_needs() {
    let world = World::new(&[DANE]).await;
    world.start().await.stop().await;
    world.run(&["queue", "hold"]).await.with(64);
    world.run(&["queue", "hold", "--all", "--to", "partner.example"]).await.with(64);
    world.run(&["queue", "show", "not-an-id"]).await.with(64);
}
