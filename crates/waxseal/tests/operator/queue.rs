use std::path::PathBuf;

use serde_json::Value;
use waxseal::config::Config;
use waxseal_core::queue_id::QueueId;

use super::{DANE, NOTHING, PATIENCE, Said, World, assert_discreet, send_text};

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
    tokio::time::timeout(PATIENCE, dropped).await.unwrap();
    let said = listed(&[]).await;
    assert!(said.err.contains("empty"), "{}", said.err);
    let said = world.run(&["queue", "show", &id]).await.with(1);
    assert!(said.err.contains("evidence show"), "{}", said.err);
    gateway.stop().await;
    assert!(world.lab.inside_sink().all().is_empty(), "nobody is told of what is dropped");
}

impl World {
    /// The file of a large message.
    fn spooled(&self, id: &str) -> PathBuf {
        let number = id.parse::<QueueId>().unwrap().number();
        let spool = Config::load(&self.file()).unwrap().data_dir.join("spool");
        let shards = std::fs::read_dir(spool).unwrap();
        let mut files = shards.map(|shard| shard.unwrap().path().join(format!("{number:016x}")));
        files.find(|file| file.exists()).unwrap()
    }

    /// Damages the body of a small message.
    fn rot(&self, id: &str) {
        let number = i64::try_from(id.parse::<QueueId>().unwrap().number()).unwrap();
        let place = Config::load(&self.file()).unwrap().data_dir.join("waxseal.db");
        let sql = "UPDATE message SET body = zeroblob(length(body)) WHERE id = ?1";
        let connection = rusqlite::Connection::open(place).unwrap();
        assert_eq!(connection.execute(sql, [number]).unwrap(), 1);
    }
}

/// Attacker: the tooth of time. Whatever happened to the body of a message, it is shown with what
/// is wrong, the rest goes on, and it can be given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_body_is_lost_or_damaged_is_shown_and_can_be_dropped() {
    let world = World::new(&[NOTHING]).await;
    let gateway = world.start().await;
    let domain = world.domain(NOTHING);
    let (door, bob) = (gateway.addresses()[0].1, format!("bob@{domain}"));
    let large = format!("{}\r\n", "x".repeat(70)).repeat(2_000);
    let gone = send_text(door, &bob, &large).await;
    let cut = send_text(door, &bob, &large).await;
    let rotten = world.send(&gateway, &domain).await;
    let good = world.send(&gateway, &domain).await;
    let damaged = [&gone, &cut, &rotten];
    for id in damaged {
        world.recorded(id).await;
        world.until(&["queue", "hold", id], |said| said.code == 0).await;
    }
    let (place, away) = (world.spooled(&gone), world.folder.path().join("away"));
    std::fs::rename(&place, &away).unwrap();
    let file = std::fs::File::options().write(true).open(world.spooled(&cut)).unwrap();
    file.set_len(64 * 1024 + 28).unwrap();
    world.rot(&rotten);
    for (id, what) in [(&gone, "No such file"), (&cut, "damaged"), (&rotten, "damaged")] {
        let said = world.run(&["queue", "show", id]).await.with(0);
        assert!(said.out.contains("unreadable: ") && said.out.contains(what), "{}", said.out);
        assert!(said.out.contains("held") && said.out.contains(&bob), "{}", said.out);
        assert_discreet(&said);
        world.run(&["queue", "release", id]).await.with(0);
    }
    let state = |said: &Said, id: &str| {
        let row = rows(said).into_iter().find(|row| row["id"] == id).unwrap();
        (row["state"].clone(), row["why"].clone(), row["destination"].clone())
    };
    let list = ["queue", "list", "--json"];
    let all = |said: &Said| damaged.iter().all(|id| state(said, id).0 == "unreadable");
    let said = world.until(&list, all).await;
    assert_ne!(state(&said, &good).0, "unreadable");
    assert!(state(&said, &gone).1.as_str().unwrap().contains("No such file"), "{}", said.out);
    assert_eq!(state(&said, &cut).2, domain);
    assert_eq!(gateway.store().unreadable(), 3);

    // Mended, it is not shown as damaged, whether or not the gateway has looked again.
    gateway.stop().await;
    std::fs::rename(&away, &place).unwrap();
    let said = world.run(&list).await;
    assert_eq!(state(&said, &gone).0, "queued", "{}", said.out);
    assert_eq!(state(&said, &cut).0, "unreadable", "{}", said.out);
    let said = world.run(&["queue", "show", &gone]).await.with(0);
    assert!(!said.out.contains("unreadable"), "{}", said.out);
    std::fs::rename(&place, &away).unwrap();

    // The next start tries them again, and finds the same.
    let gateway = world.start().await;
    world.until(&list, |_| gateway.store().unreadable() == 3).await;
    assert!(all(&world.run(&list).await));
    for id in damaged {
        world.run(&["queue", "drop", id]).await.with(0);
    }
    let said = world.run(&list).await.with(0);
    assert_eq!(rows(&said).len(), 1, "{}", said.out);
    assert_eq!(gateway.store().unreadable(), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_says_what_it_needs() {
    let world = World::new(&[DANE]).await;
    world.start().await.stop().await;
    world.run(&["queue", "hold"]).await.with(64);
    world.run(&["queue", "hold", "--all", "--to", "partner.example"]).await.with(64);
    world.run(&["queue", "show", "not-an-id"]).await.with(64);
}
