//! What runs in the child: a real store and a real queue, with a peer that takes everything.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use waxseal::{
    queue::{Clock, Done, Fate, Judged, Path, Promise, Queue, Settings, Turn},
    secrets::{SecretSource, StoreKeys},
    store::{
        self, Access, Actor, Event, EventKind, EventQuery, Head, NewMessage, Store, StoreError,
    },
};
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, Origin, Plan, Settled, Verdict},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Recipient, ReversePath},
    org::Schedule,
    outcome::{Cause, Outcome},
    reply::Reply,
    time::UnixTime,
};

/// Does nothing unless a fault test started this process.
#[test]
fn entry() {
    let Ok(mode) = std::env::var("WAXSEAL_FAULT") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match mode.as_str() {
        "load" => runtime.block_on(load()),
        "drain" => runtime.block_on(drain()),
        "full" => runtime.block_on(full()),
        other => panic!("no mode {other}"),
    }
}

fn tell(line: &str) {
    println!("fault: {line}");
}

/// Takes everything while the gate is open.
struct Peer {
    gate: Arc<Semaphore>,
}

impl Path for Peer {
    type Facts = ();
    type Delivery = ();

    fn schedule(&self) -> Arc<Schedule> {
        Arc::new(Schedule::default())
    }

    fn judge(&self, head: &Head, _: &[u8], _: UnixTime) -> Judged {
        let verdict = Verdict::new(Floor::Encrypted, Fallback::Hold, Duration::ZERO);
        let verdicts = vec![verdict; head.envelope.recipients.len()];
        Judged { origin: Origin::Person, verdicts }
    }

    async fn gather(&self, _: &Turn) {}

    async fn plan(&self, _: &Turn, (): &()) -> Plan {
        let (routes, because) = (Vec::new(), Vec::new());
        Plan {
            routes,
            because,
            why_not_higher: None,
            reach: Default::default(),
            lack: Default::default(),
        }
    }

    async fn deliver(&self, turn: &Turn, _: (&(), &Plan), promise: &Promise) -> (Vec<Outcome>, ()) {
        drop(self.gate.acquire().await.unwrap());
        let outcome = match promise.keep().await {
            Ok(()) => {
                assert!(turn.content.ends_with(b"\r\n"), "the content came back whole");
                let to = turn.group.destination.as_str();
                if to == INSIDE {
                    let told = String::from_utf8_lossy(&turn.content).trim().to_owned();
                    tell(&format!("L {told} {}", turn.message));
                } else {
                    tell(&format!("D {} {to}", turn.message));
                }
                tokio::task::yield_now().await;
                match refuses(to) {
                    false => Outcome::Accepted { reply: Reply::new(250, None, "taken") },
                    true => Outcome::Rejected {
                        cause: Cause::Reply {
                            command: "final dot".to_owned(),
                            reply: Reply::new(550, None, "no"),
                        },
                    },
                }
            }
            Err(error) => Outcome::Disconnected { detail: error.to_string() },
        };
        (vec![outcome; turn.group.recipients.len()], ())
    }

    async fn record(&self, turn: &Turn, _: Done<'_, (), ()>) -> Vec<Event> {
        vec![event(turn, "done")]
    }

    fn lost(&self, turn: &Turn, _: &[Fate]) -> Vec<Event> {
        vec![event(turn, "unknown")]
    }

    /// One for each message that was refused: which, and where.
    fn letters(&self, turn: &Turn, fates: &[Fate]) -> Vec<NewMessage> {
        let refused = |fate: &&Fate| matches!(fate.settled, Settled::Bounce { .. });
        let Some(fate) = fates.iter().find(refused) else { return Vec::new() };
        let mailbox = Mailbox { local: "us".to_owned(), domain: Domain::parse(INSIDE).unwrap() };
        let recipient = Recipient::new(mailbox);
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![recipient],
            ..turn.head.envelope.clone()
        };
        let content = format!("{} {}\r\n", turn.message, fate.recipient.mailbox.domain);
        vec![NewMessage {
            arrived: turn.now,
            envelope,
            content: Bytes::from(content),
            direction: Direction::Outbound,
        }]
    }
}

/// Where letters of ours go.
const INSIDE: &str = "inside.example";

/// A fifth of the destinations takes nothing.
pub(super) fn refuses(destination: &str) -> bool {
    destination.starts_with("d1") || destination.starts_with("d2")
}

fn event(turn: &Turn, what: &str) -> Event {
    Event {
        kind: EventKind::Delivery,
        version: 1,
        at: turn.now,
        actor: Actor::Gateway,
        config: None,
        message: Some(turn.message),
        body: format!("{what} {}", turn.group.destination).into_bytes(),
        personal: Some(vec![b'p'; 200]),
    }
}

/// Each round is two hours later, so that what waits for its time is due.
fn now() -> UnixTime {
    let round: u64 = std::env::var("FAULT_ROUND").unwrap().parse().unwrap();
    UnixTime(1_795_000_000 + 7_200 * round + LATER.load(Ordering::Relaxed))
}

/// Seconds that passed within this round.
static LATER: AtomicU64 = AtomicU64::new(0);

fn open(reserve: u64) -> Store {
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let settings = store::Settings {
        inline_limit: 16 << 10,
        reserve,
        ..store::Settings::new(variable("FAULT_DATA"))
    };
    let source = SecretSource::File(variable("FAULT_KEY"));
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, Access::Serve).unwrap()
}

struct Gateway {
    store: Store,
    queue: Queue<Peer>,
    gate: Arc<Semaphore>,
    _stop: watch::Sender<bool>,
}

async fn start(reserve: u64, permits: usize, settings: Settings) -> Gateway {
    let store = open(reserve);
    let gate = Arc::new(Semaphore::new(permits));
    let clock: Clock = Arc::new(now);
    let peer = Peer { gate: Arc::clone(&gate) };
    let (queue, inbox) = Queue::new(store.clone(), peer, settings, clock);
    let (stop, stopped) = watch::channel(false);
    let runner = queue.clone();
    tokio::spawn(async move { runner.run(inbox, stopped).await.unwrap() });
    Gateway { store, queue, gate, _stop: stop }
}

fn message(number: u64, size: usize) -> (NewMessage, usize) {
    let mailbox =
        |domain: String| Mailbox { local: "a".to_owned(), domain: Domain::parse(&domain).unwrap() };
    let groups = 1 + usize::try_from(number % 3).unwrap();
    let recipients = (0..groups).map(|at| Recipient {
        mailbox: mailbox(format!("d{}.example", (number * 7 + at as u64) % 50)),
        notify: Default::default(),
        original: None,
    });
    let envelope = Envelope::new(
        ReversePath::Mailbox(mailbox("sender.example".to_owned())),
        recipients.collect(),
    );
    let mut content = vec![b'x'; size];
    content.extend_from_slice(b"\r\n");
    (
        NewMessage {
            arrived: now(),
            envelope,
            content: Bytes::from(content),
            direction: Direction::Outbound,
        },
        groups,
    )
}

/// Takes in as much as it can until it is killed; every sixteenth message is large.
async fn load() {
    let gateway = start(64 << 10, Semaphore::MAX_PERMITS, Settings::default()).await;
    let number = Arc::new(AtomicU64::new(0));
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (queue, number) = (gateway.queue.clone(), Arc::clone(&number));
        producers.spawn(async move {
            loop {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let size = if number % 16 == 0 { 100_000 } else { 2_000 };
                let (message, groups) = message(number, size);
                let id = queue.accept(message).await.unwrap();
                tell(&format!("A {id} {groups}"));
            }
        });
    }
    producers.join_next().await.unwrap().unwrap();
}

/// Until nothing is left. Whenever nothing is in hand, it is as late as the next thing is due.
async fn empty(gateway: &Gateway, longest: u64) {
    let mut standing = gateway.queue.standing();
    while gateway.store.count().await.unwrap() != [0, 0, 0] {
        let stands = *standing.borrow_and_update();
        if let (0, Some(next)) = (stands.in_hand, stands.next) {
            let later = next.since(now()).as_secs() + LATER.load(Ordering::Relaxed);
            LATER.fetch_max(longest.min(later), Ordering::Relaxed);
        }
        standing.changed().await.unwrap();
    }
}

async fn drain() {
    let gateway = start(64 << 10, Semaphore::MAX_PERMITS, Settings::default()).await;
    let mut standing = gateway.queue.standing();
    while !gateway.store.intents().await.unwrap().is_empty() {
        standing.changed().await.unwrap();
    }
    // What was recorded as unknown just now is tried again after its time.
    LATER.store(7_200, Ordering::Relaxed);
    empty(&gateway, 7_200).await;
    let mut after = 0;
    loop {
        let query = EventQuery { after, limit: 1_000, ..EventQuery::default() };
        let events = gateway.store.events(query).await.unwrap();
        let Some(last) = events.last() else { break };
        after = last.sequence;
        for event in events.into_iter().map(|stored| stored.event) {
            let body = String::from_utf8(event.body).unwrap();
            if let Some(destination) = body.strip_prefix("unknown ") {
                tell(&format!("U {} {destination}", event.message.unwrap()));
            }
        }
    }
    tell("E");
}

/// Fills the disk, then delivers, then takes mail in again.
async fn full() {
    // Fewer slots than messages that are refused: reports without room must not hold them.
    let settings = Settings { per_destination: 4, total: 8, ..Settings::default() };
    let gateway = start(6 << 20, 0, settings).await;
    let mut number = 0;
    let mut accept = async |size| {
        number += 1;
        let (message, groups) = message(number, size);
        match gateway.queue.accept(message).await {
            Ok(id) => {
                tell(&format!("A {id} {groups}"));
                true
            }
            Err(StoreError::Full) => false,
            Err(error) => panic!("a full disk answered: {error}"),
        }
    };
    while accept(14_000).await {}
    tell("F");
    assert!(!accept(50_000).await, "nor is there room for a larger one");
    let spooled = std::fs::read_dir(gateway.store.data_dir().join("spool")).unwrap();
    let files = spooled.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    assert_eq!(files.count(), 0, "a body without room leaves no file");
    gateway.gate.add_permits(100_000);
    // Reports wait for room, a minute at a time.
    empty(&gateway, 86_400).await;
    for _ in 0..50 {
        assert!(accept(14_000).await, "once the queue has drained there is room");
    }
    tell("R");
    empty(&gateway, 172_800).await;
}
