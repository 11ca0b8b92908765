//! A running queue in a world that answers as it is told to.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, Lack, Route, Settled, Sighting},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Recipient, ReversePath},
    outcome::Cause,
    reply::{EnhancedCode, Reply},
};

use super::super::*;
use crate::{
    secrets::StoreKeys,
    store::{Access, Actor, Command, EventKind, Listed, Settings as StoreSettings, Target, Verb},
};

pub(super) const NOW: UnixTime = UnixTime(1_795_000_000);

pub(super) fn accepted() -> Outcome {
    Outcome::Accepted { reply: Reply::new(250, None, "taken") }
}

pub(super) fn deferred() -> Outcome {
    let reply = Reply::new(450, None, "later");
    Outcome::Deferred { cause: Cause::Reply { command: "RCPT".to_owned(), reply } }
}

pub(super) fn too_weak() -> Outcome {
    Outcome::Deferred { cause: Cause::Channel("no STARTTLS".to_owned()) }
}

/// What the fake world did, and how it answers.
pub(super) struct World {
    /// By destination; what is not here takes everything.
    pub(super) answers: Mutex<HashMap<String, Outcome>>,
    pub(super) delivered: Mutex<Vec<(QueueId, Vec<String>)>>,
    pub(super) letters: Mutex<Vec<String>>,
    /// What goes into the store for each of them.
    pub(super) letter: Mutex<Option<NewMessage>>,
    /// Since when no channel was good enough, as each plan was told.
    pub(super) short: Mutex<Vec<Option<UnixTime>>>,
    pub(super) in_hand: AtomicUsize,
    pub(super) most: AtomicUsize,
    /// Deliveries to `slow.example` wait for this.
    pub(super) gate: Semaphore,
    pub(super) changed: Notify,
    pub(super) time: AtomicU64,
    /// The next delivery breaks off after the message was sent.
    pub(super) broken: AtomicBool,
    /// Another host was reached, and its channel refused.
    pub(super) weak_backup: AtomicBool,
    /// What each plan says falls short.
    pub(super) lack: Mutex<Option<Lack>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            answers: Mutex::default(),
            delivered: Mutex::default(),
            letters: Mutex::default(),
            letter: Mutex::default(),
            short: Mutex::default(),
            in_hand: AtomicUsize::default(),
            most: AtomicUsize::default(),
            gate: Semaphore::new(0),
            changed: Notify::new(),
            time: AtomicU64::new(NOW.0),
            broken: AtomicBool::new(false),
            weak_backup: AtomicBool::new(false),
            lack: Mutex::default(),
        }
    }

    pub(super) fn answer(&self, domain: &str, outcome: Outcome) {
        self.answers.lock().unwrap().insert(domain.to_owned(), outcome);
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }

    pub(super) async fn deliveries(&self, count: usize) {
        self.until(|world| world.delivered.lock().unwrap().len() >= count).await;
    }
}

pub(super) struct Fake(pub(super) Arc<World>);

impl Path for Fake {
    type Facts = ();
    type Delivery = Sighting;

    fn schedule(&self) -> Arc<Schedule> {
        Arc::new(Schedule::default())
    }

    fn judge(&self, head: &Head, content: &[u8], _: UnixTime) -> Judged {
        assert!(!content.starts_with(b"unreadable"), "a defect in the rules");
        let verdict = |floor| Verdict::new(floor, Fallback::Hold, Duration::ZERO);
        let secret = content.starts_with(b"secret");
        let verdicts = head.envelope.recipients.iter().map(|recipient| {
            let strict = secret && recipient.mailbox.local.starts_with("strict");
            verdict(if strict { Floor::Authenticated } else { Floor::Encrypted })
        });
        let machine = content.starts_with(b"Auto-Submitted");
        let origin = if machine { Origin::Automatic } else { Origin::Person };
        Judged { origin, verdicts: verdicts.collect() }
    }

    async fn gather(&self, _: &Turn) {}

    async fn plan(&self, turn: &Turn, (): &()) -> Plan {
        self.0.short.lock().unwrap().push(turn.group.short_since);
        let code = EnhancedCode(5, 7, 10);
        let last = Route::Hold { code, reason: "too weak".to_owned() };
        let (because, why_not_higher, reach) = (Vec::new(), None, Default::default());
        let lack = self.0.lack.lock().unwrap().unwrap_or_default();
        Plan { routes: vec![last], because, why_not_higher, reach, lack }
    }

    async fn deliver(
        &self,
        turn: &Turn,
        _: (&(), &Plan),
        promise: &Promise,
    ) -> (Vec<Outcome>, Sighting) {
        let now = self.0.in_hand.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        self.0.changed.notify_waiters();
        promise.keep().await.unwrap();
        let destination = turn.group.destination.as_str();
        assert!(!self.0.broken.swap(false, Ordering::SeqCst), "a defect in a turn");
        if destination.ends_with("tarpit.example") {
            if promise.step_aside() == Aside::NoRoom {
                self.0.in_hand.fetch_sub(1, Ordering::SeqCst);
                return (vec![deferred(); turn.group.recipients.len()], Sighting::default());
            }
            self.0.gate.acquire().await.unwrap().forget();
        }
        if destination == "slow.example" {
            self.0.gate.acquire().await.unwrap().forget();
        }
        let answer = self.0.answers.lock().unwrap().get(destination).cloned();
        let outcome = answer.unwrap_or_else(accepted);
        let to: Vec<_> = turn.group.recipients.iter().map(|one| one.mailbox.to_string()).collect();
        let outcomes = vec![outcome; to.len()];
        self.0.delivered.lock().unwrap().push((turn.message, to));
        self.0.in_hand.fetch_sub(1, Ordering::SeqCst);
        let weak = || "mx.example: no STARTTLS".to_owned();
        let refused = self.0.weak_backup.load(Ordering::SeqCst) || outcomes.contains(&too_weak());
        let good = outcomes.contains(&deferred()) || outcomes.contains(&accepted());
        (outcomes, Sighting { refused: refused.then(weak), good })
    }

    fn was_tried(&self, _: &Sighting) -> bool {
        false
    }

    fn sighting(&self, seen: &Sighting) -> Sighting {
        seen.clone()
    }

    async fn record(&self, turn: &Turn, done: Done<'_, (), Sighting>) -> Vec<Event> {
        vec![note(turn, format!("{:?}", done.fates.iter().map(|fate| &fate.settled)))]
    }

    fn lost(&self, turn: &Turn, fates: &[Fate]) -> Vec<Event> {
        assert!(fates.iter().all(|fate| matches!(fate.outcome, Outcome::Unknown { .. })));
        vec![note(turn, "unknown".to_owned())]
    }

    fn letters(&self, turn: &Turn, fates: &[Fate]) -> Vec<NewMessage> {
        let mut letters = self.0.letters.lock().unwrap();
        for fate in fates {
            let whom = format!("{} {}", turn.message, fate.recipient.mailbox);
            match fate.settled {
                Settled::Bounce { .. } => letters.push(whom),
                Settled::Drop { .. } => letters.push(format!("not to the sender: {whom}")),
                Settled::Done | Settled::Retry { .. } | Settled::Hold { .. } | _ => {}
            }
        }
        self.0.changed.notify_waiters();
        self.0.letter.lock().unwrap().iter().cloned().collect()
    }
}

pub(super) fn note(turn: &Turn, body: String) -> Event {
    Event {
        kind: EventKind::Delivery,
        version: 1,
        at: turn.now,
        actor: Actor::Gateway,
        config: None,
        message: Some(turn.message),
        body: body.into_bytes(),
        personal: None,
    }
}

pub(super) fn message(recipients: &[&str], content: &str) -> NewMessage {
    let mailbox = |text: &str| {
        let (local, domain) = text.split_once('@').unwrap();
        Mailbox { local: local.to_owned(), domain: Domain::parse(domain).unwrap() }
    };
    let recipients = recipients.iter().map(|text| Recipient::new(mailbox(text)));
    NewMessage {
        direction: Direction::Outbound,
        arrived: NOW,
        envelope: Envelope::new(
            ReversePath::Mailbox(mailbox("us@sender.example")),
            recipients.collect(),
        ),
        content: Bytes::copy_from_slice(content.as_bytes()),
    }
}

/// A running queue over a store of its own.
pub(super) struct Running {
    pub(super) data: tempfile::TempDir,
    pub(super) keys: Vec<u8>,
    pub(super) world: Arc<World>,
    pub(super) queue: Queue<Fake>,
    pub(super) store: Store,
    pub(super) stop: watch::Sender<bool>,
    pub(super) task: JoinHandle<Result<(), StoreError>>,
}

impl Running {
    pub(super) fn start(settings: Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let keys = StoreKeys::random().unwrap().file().to_vec();
        Self::start_in(data, keys, settings)
    }

    pub(super) fn start_in(data: tempfile::TempDir, keys: Vec<u8>, settings: Settings) -> Self {
        let store = open(&data, &keys);
        Self::over(store, (data, keys), settings)
    }

    pub(super) fn over(
        store: Store,
        (data, keys): (tempfile::TempDir, Vec<u8>),
        settings: Settings,
    ) -> Self {
        let world = Arc::new(World::new());
        let time = Arc::clone(&world);
        let clock: Clock = Arc::new(move || UnixTime(time.time.load(Ordering::SeqCst)));
        let (queue, inbox) = Queue::new(store.clone(), Fake(Arc::clone(&world)), settings, clock);
        let (stop, stopped) = watch::channel(false);
        let runner = queue.clone();
        let task = tokio::spawn(async move { runner.run(inbox, stopped).await });
        Self { data, keys, world, queue, store, stop, task }
    }

    pub(super) async fn accept(&self, recipients: &[&str], content: &str) -> QueueId {
        self.queue.accept(message(recipients, content)).await.unwrap()
    }

    /// Ends what is in hand and lets go of the files.
    pub(super) async fn stop(self) -> (tempfile::TempDir, Vec<u8>) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
        (self.data, self.keys)
    }

    pub(super) async fn ask(&self, verb: Verb, target: Target) -> u64 {
        let actor = Actor::Operator("alice".to_owned());
        let command = Command { verb, target, reason: None, actor };
        let id = self.store.ask(&command).await.unwrap();
        loop {
            if let Some(changed) = self.store.answered(id).await.unwrap() {
                return changed;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the only group has so many attempts behind it.
    pub(super) async fn settled(&self, attempts: usize) {
        let behind = |listed: &Listed| listed.group.as_ref().map(|group| group.history.attempts);
        let attempts = Some(u32::try_from(attempts).unwrap());
        while self.store.list(None, 1).await.unwrap().0.first().and_then(behind) != attempts {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the store holds so many groups.
    pub(super) async fn left(&self, count: u64) {
        let mut standing = self.queue.standing();
        while self.store.count().await.unwrap().iter().sum::<u64>() != count {
            standing.changed().await.unwrap();
        }
    }
}

pub(super) fn open(data: &tempfile::TempDir, keys: &[u8]) -> Store {
    try_open(data, keys).unwrap()
}

pub(super) fn try_open(data: &tempfile::TempDir, keys: &[u8]) -> Result<Store, StoreError> {
    let keys = StoreKeys::from_file(keys).unwrap();
    let settings = StoreSettings { reserve: 4_096, ..StoreSettings::new(data.path()) };
    Store::open(settings, keys, Access::Serve)
}
