//! A backup while mail comes and goes, and what comes back from it.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tokio::task::JoinSet;
use waxseal::{
    config::Config,
    serve::Gateway,
    store::{EventKind, EventQuery, Store, StoredEvent},
};
use waxseal_core::evidence::Evidence;

use super::{DANE, NOTHING, World, send_text};

/// Clients at once.
const CLIENTS: usize = 4;
/// Messages before the backup begins.
const FIRST: usize = 24;

/// Clients that send until they are told to stop; the ids of what was answered with 250.
struct Load {
    accepted: Arc<Mutex<Vec<String>>>,
    enough: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Every other message can be delivered at once; every fifth has a body in a file of its own.
    fn begin(world: &World, gateway: &Gateway) -> Self {
        let (accepted, enough) = (Arc::<Mutex<Vec<String>>>::default(), Arc::default());
        let door = gateway.addresses()[0].1;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let to = [DANE, NOTHING].map(|cell| format!("bob@{}", world.domain(cell)));
            let (accepted, enough) = (Arc::clone(&accepted), Arc::<AtomicBool>::clone(&enough));
            clients.spawn(async move {
                for number in client.. {
                    if enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let body = "x".repeat(if number % 5 == 0 { 900 } else { 40 }) + "\r\n";
                    let body = body.repeat(if number % 5 == 0 { 100 } else { 1 });
                    let id = send_text(door, &to[number % 2], &body).await;
                    accepted.lock().unwrap().push(id);
                }
            });
        }
        Self { accepted, enough, clients }
    }

    fn so_far(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().iter().cloned().collect()
    }

    async fn reaches(&self, count: usize) -> BTreeSet<String> {
        let reached = async {
            while self.so_far().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::PATIENCE, reached).await.expect("mail is accepted");
        self.so_far()
    }

    async fn end(self) {
        self.enough.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

async fn events(store: &Store) -> Vec<StoredEvent> {
    let query = EventQuery { limit: 100_000, ..EventQuery::default() };
    store.events(query).await.unwrap()
}

/// Messages that somebody took, by the record.
fn delivered(events: &[StoredEvent]) -> BTreeSet<String> {
    let taken = |event: &&StoredEvent| {
        event.event.kind == EventKind::Delivery
            && Evidence::read(&event.event.body).is_ok_and(|evidence| evidence.level.is_some())
    };
    events.iter().filter(taken).map(|event| event.event.message.unwrap().to_string()).collect()
}

/// Messages that wait, as an operator sees them.
async fn waiting(world: &World) -> BTreeSet<String> {
    let said = world.run(&["queue", "list", "--json"]).await.with(0);
    let rows = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_restores_to_what_was_accepted_and_sends_nothing_unasked() {
    let world = World::new(&[DANE, NOTHING]).await;
    let gateway = world.start().await;
    let load = Load::begin(&world, &gateway);
    let before = load.reaches(FIRST).await;
    let copy = world.folder.path().join("monday");
    world.run(&["backup", copy.to_str().unwrap()]).await.with(0);
    load.reaches(load.so_far().len() + CLIENTS).await;
    load.end().await;
    gateway.stop().await;

    // Another disk, the same configuration otherwise.
    let text = fs::read_to_string(world.file()).unwrap();
    fs::write(world.file(), text.replacen("\"data\"", "\"restored\"", 1)).unwrap();
    let said = world.run(&["restore", copy.to_str().unwrap(), "--json"]).await.with(0).json();
    let (last, gap) = (said["last"].as_u64().unwrap(), said["gap"].as_u64().unwrap());
    assert!(gap > last);

    // All that was answered with 250 before the backup began is there: waiting, or on record as
    // delivered; and nothing is both.
    let arrived = world.lab.sink().all().len();
    let gateway = Gateway::start(Config::load(&world.file()).unwrap()).await.unwrap();
    let log = events(gateway.store()).await;
    let (queue, done) = (waiting(&world).await, delivered(&log));
    let lost: Vec<_> =
        before.iter().filter(|id| !queue.contains(*id) && !done.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", before.len());
    assert!(queue.is_disjoint(&done));
    assert!(!queue.is_empty() && !done.is_empty(), "{} wait, {} done", queue.len(), done.len());

    // The log goes on behind a gap that is on record, and no number was given twice.
    let numbers: Vec<u64> = log.iter().map(|event| event.sequence).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    let recorded = log.iter().find(|event| event.sequence == gap).unwrap();
    assert_eq!(recorded.event.kind, EventKind::Gap);
    assert_eq!(numbers.iter().rfind(|number| **number < gap), Some(&last));

    // New mail is taken, and neither it nor what came back is sent before somebody says so.
    let new = world.send(&gateway, &world.domain(DANE)).await;
    assert!(waiting(&world).await.contains(&new));
    let said = world.run(&["queue", "list"]).await.with(0);
    assert!(
        said.err.contains("release --all") || said.out.contains("release --all"),
        "{}",
        said.err
    );
    assert_eq!(world.lab.sink().all().len(), arrived);
    assert_eq!(delivered(&events(gateway.store()).await), done);

    world.run(&["queue", "release", "--all"]).await.with(0);
    // What was being sent when the backup was made is on record as perhaps delivered, and waits for
    // its next try; all else for this destination goes now.
    let drained = async {
        let to = world.domain(DANE);
        let rest = ["queue", "list", "--json", "--to", &to];
        while world.run(&rest).await.out.contains("\"attempts\":0") {}
    };
    tokio::time::timeout(super::PATIENCE, drained).await.expect("it is sent now");
    let again = delivered(&events(gateway.store()).await);
    assert!(done.is_subset(&again) && again.contains(&new));
    // Bodies came back whole: an attempt at a damaged one would have left it waiting.
    let after = world.lab.sink().all();
    assert!(after.len() > arrived);
    gateway.stop().await;
}
