use std::path::Path;

use waxseal::store::{EventKind, EventQuery};

use super::{DANE, NOTHING, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_follows_from_its_facts() {
    let world = World::new(&[DANE, NOTHING]).await;
    let gateway = world.start().await;
    let mut ids = Vec::new();
    for cell in [DANE, NOTHING] {
        let id = world.send(&gateway, &world.domain(cell)).await;
        world.recorded(&id).await;
        ids.push(id);
    }
    gateway.stop().await;
    let told = world.run(&["replay", "--since", "1d", "--json"]).await.with(0).json();
    assert_eq!((&told["records"], &told["alike"]), (&2.into(), &2.into()), "{told}");
    let said = world.run(&["replay", &ids[0]]).await.with(0);
    assert!(said.out.contains('1') && !said.out.contains("DIFFERENT"), "{}", said.out);
    // A message that nobody knows.
    let other = ids[0].chars().rev().collect::<String>();
    let said = world.run(&["replay", &other]).await;
    assert!(said.code == 1 || said.code == 64, "{} {}", said.out, said.err);
}

/// An insider who has the store key writes another plan into a record.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_an_insider_changed_is_found() {
    let world = World::new(&[DANE]).await;
    let gateway = world.start().await;
    let id = world.send(&gateway, &world.domain(DANE)).await;
    world.recorded(&id).await;
    let store = gateway.store().clone();
    gateway.stop().await;
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 1, ..EventQuery::default() };
    let mut event = store.events(query).await.unwrap().remove(0).event;
    let mut record: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    let routes = record["decided"]["plan"]["routes"].as_array_mut().unwrap();
    // As if the message had been meant to wait.
    assert!(routes.len() > 1, "{routes:?}");
    routes.remove(0);
    event.body = record.to_string().into_bytes();
    store.append(vec![event]).await.unwrap();
    drop(store);
    let said = world.run(&["replay", "--since", "1d", "--json"]).await.with(1);
    let told = said.json();
    assert_eq!(told["alike"], 1, "{told}");
    assert_eq!(told["different"].as_array().unwrap().len(), 1, "{told}");
    let said = world.run(&["replay", &id]).await.with(1);
    assert!(said.out.contains("DIFFERENT"), "{}", said.out);
    let said = world.run(&["evidence", "show", &id]).await.with(0);
    assert!(said.out.contains("DOES NOT FOLLOW"), "{}", said.out);
}

/// An insider without the store key changes octets in the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_changed_in_the_database_is_found() {
    let world = World::new(&[DANE]).await;
    let gateway = world.start().await;
    let id = world.send(&gateway, &world.domain(DANE)).await;
    world.recorded(&id).await;
    gateway.stop().await;
    let database = world.folder.path().join("data/waxseal.db");
    tamper(&database);
    for words in [&["replay", "--since", "1d"][..], &["replay", &id]] {
        let said = world.run(words).await.with(1);
        assert!(said.out.contains("DAMAGED    event"), "{}", said.out);
        assert!(said.out.contains("changed after it was written"), "{}", said.out);
    }
    let said = world.run(&["evidence", "show", &id]).await.with(1);
    assert!(said.err.contains("changed after it was written"), "{}", said.err);
}

/// The same insider damages one record so that nobody looks at those behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_does_not_end_the_replay() {
    let world = World::new(&[DANE]).await;
    let gateway = world.start().await;
    let first = world.send(&gateway, &world.domain(DANE)).await;
    world.recorded(&first).await;
    gateway.stop().await;
    tamper(&world.folder.path().join("data/waxseal.db"));
    let gateway = world.start().await;
    let second = world.send(&gateway, &world.domain(DANE)).await;
    world.recorded(&second).await;
    gateway.stop().await;
    let told = world.run(&["replay", "--json"]).await.with(1).json();
    assert_eq!((&told["records"], &told["alike"]), (&2.into(), &1.into()), "{told}");
    assert_eq!(told["damaged"].as_array().unwrap().len(), 1, "{told}");
}

fn tamper(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let header: Vec<u8> = connection
        .query_row("SELECT header FROM event WHERE kind = 1", (), |row| row.get(0))
        .unwrap();
    let mut header = header;
    let middle = header.len() / 2;
    header[middle] ^= 1;
    connection.execute("UPDATE event SET header = ?1 WHERE kind = 1", [header]).unwrap();
}
