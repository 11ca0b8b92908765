use waxseal::store::{EventKind, EventQuery};
use waxseal_lab::lab::SENDER_DOMAIN;

use super::{DANE, NOTHING, Said, World, assert_discreet, exceptions::day};

/// Insider with a view of the records, but not of the personal part.
#[track_caller]
fn assert_no_address(said: &Said) {
    assert!(!said.out.contains("bob@") && !said.out.contains("ann@"), "{}", said.out);
    assert_discreet(said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_leaves_its_level_and_its_tls_facts() {
    let world = World::new(&[DANE]).await;
    let gateway = world.start().await;
    let domain = world.domain(DANE);
    let id = world.send(&gateway, &domain).await;
    world.arrives(&domain).await;
    let said = world.recorded(&id).await;
    assert_no_address(&said);
    let record = &said.json()["attempts"][0]["record"];
    assert_eq!(record["level"], "dane");
    assert_eq!(record["attempt"], 1);
    assert_eq!(record["recipients"].as_array().unwrap().len(), 1);
    let all = record.to_string();
    for fact in ["X25519MLKEM768", "TLSv1.3", "authenticate", "chain"] {
        assert!(all.contains(fact), "{fact}: {all}");
    }
    let said = world.run(&["evidence", "show", &id]).await.with(0);
    assert_no_address(&said);
    for words in [&domain, "dane", "X25519MLKEM768", "delivered", "encrypted"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = world.run(&["evidence", "show", &id, "--personal"]).await.with(0);
    assert!(said.out.contains(&format!("bob@{domain}")), "{}", said.out);
    assert_discreet(&said);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_not_sent_leaves_the_reason() {
    let world = World::new(&[NOTHING]).await;
    let gateway = world.start().await;
    let id = world.send(&gateway, &world.domain(NOTHING)).await;
    let said = world.recorded(&id).await;
    assert_no_address(&said);
    let record = &said.json()["attempts"][0]["record"];
    assert!(record["level"].is_null(), "{record}");
    let ended = record["recipients"][0].to_string();
    assert!(ended.contains("hold") || ended.contains("retry"), "{ended}");
    let said = world.run(&["evidence", "show", &id]).await.with(0);
    assert_no_address(&said);
    assert!(said.out.contains("STARTTLS") && said.out.contains("not delivered"), "{}", said.out);
    gateway.stop().await;
    assert!(!world.lab.has(&format!("ann@{SENDER_DOMAIN}")));
}

/// What an operator did is on record beside the attempts, with who and why; and the rules of each
/// attempt can be read under the digest that it names, also after they have changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_operators_did_and_which_rules_held_can_be_read() {
    let world = World::new(&[NOTHING]).await;
    let gateway = world.start().await;
    let domain = world.domain(NOTHING);
    let id = world.send(&gateway, &domain).await;
    let digest = world.recorded(&id).await.json()["attempts"][0]["record"]["config"].clone();
    let digest = digest.as_str().unwrap().to_owned();
    let words = ["queue", "drop", &id, "--reason", "sent by mistake"];
    world.until(&words, |said| said.code == 0).await;
    let said = world.run(&["evidence", "show", &id]).await.with(0);
    for words in ["dropped", "olivia", "sent by mistake", &digest] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let acts = world.run(&["evidence", "show", &id, "--json"]).await.with(0).json();
    assert_eq!(acts["acts"][0]["what"]["verb"], "drop");
    let rules = world.run(&["evidence", "rules", &digest]).await.with(0).json();
    assert_eq!(rules["exceptions"].as_array().unwrap().len(), 0);

    let query =
        EventQuery { kind: Some(EventKind::ConfigChange), limit: 10, ..EventQuery::default() };
    let changes = gateway.store().events(query).await.unwrap();
    assert_eq!(changes.len(), 1, "the start");
    let words = ["exception", "add", &domain, "--floor", "none", "--until", &day(5)];
    world.run(&[&words[..], &["--reason", "r", "--owner", "o"]].concat()).await.with(0);
    let changed = async {
        while gateway.store().events(query).await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, changed).await.unwrap();
    gateway.stop().await;
    let gateway = world.start().await;
    let changes = gateway.store().events(query).await.unwrap();
    assert_eq!(changes.len(), 2, "the same again is no change");
    assert_eq!(changes[0].event.config.unwrap().to_string(), digest);
    let none = "0".repeat(64);
    world.run(&["evidence", "rules", &none]).await.with(1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_the_latest_come_first() {
    let world = World::new(&[DANE, NOTHING]).await;
    let gateway = world.start().await;
    let mut ids = Vec::new();
    for cell in [NOTHING, DANE, DANE] {
        let id = world.send(&gateway, &world.domain(cell)).await;
        world.recorded(&id).await;
        ids.push(id);
    }
    gateway.stop().await;
    ids.reverse();
    let said = world.run(&["evidence", "show", "--json"]).await.with(0);
    assert_no_address(&said);
    let shown = |said: &Said| -> Vec<String> {
        let lines = said.out.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.map(|line: serde_json::Value| line["message"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(shown(&said), ids);
    let said = world.run(&["evidence", "show", "--json", "--limit", "2"]).await.with(0);
    assert_eq!(shown(&said), ids[..2]);
    assert!(said.err.contains("--limit"), "{}", said.err);
    let said = world.run(&["evidence", "show", "--since", "1h"]).await.with(0);
    assert_no_address(&said);
    let lines: Vec<_> = said.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.out);
    assert!(lines[1].contains(&ids[0]) && lines[1].contains("delivered"), "{}", said.out);
    assert!(lines[3].contains(&ids[2]) && !lines[3].contains("delivered"), "{}", said.out);
    // Past the bound.
    world.run(&["evidence", "show", "--limit", "1001"]).await.with(64);
    world.run(&["evidence", "show", "--limit", "0"]).await.with(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_it_says_so() {
    let world = World::new(&[]).await;
    // No store at all: nothing was ever started here.
    let said = world.run(&["evidence", "show"]).await.with(78);
    assert!(said.err.contains("waxseal serve"), "{}", said.err);
    world.start().await.stop().await;
    let said = world.run(&["evidence", "show"]).await.with(0);
    assert!(said.err.contains("no record"), "{}", said.err);
}
