mod failures;

mod operators;

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::{Notify, Semaphore},
    task::{JoinHandle, JoinSet},
};
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, Lack, Route, Settled, Sighting},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Recipient, ReversePath},
    outcome::Cause,
    reply::{EnhancedCode, Reply},
};

use super::*;
use crate::{
    secrets::StoreKeys,
    store::{
        Access, Actor, Command, EventKind, EventQuery, Listed, Settings as StoreSettings, Target,
        Verb,
    },
};

const NOW: UnixTime = UnixTime(1_795_000_000);

fn accepted() -> Outcome {
    Outcome::Accepted { reply: Reply::new(250, None, "taken") }
}

fn deferred() -> Outcome {
    let reply = Reply::new(450, None, "later");
    Outcome::Deferred { cause: Cause::Reply { command: "RCPT".to_owned(), reply } }
}

fn too_weak() -> Outcome {
    Outcome::Deferred { cause: Cause::Channel("no STARTTLS".to_owned()) }
}

/// What the fake world did, and how it answers.
struct World {
    /// By destination; what is not here takes everything.
    answers: Mutex<HashMap<String, Outcome>>,
    delivered: Mutex<Vec<(QueueId, Vec<String>)>>,
    letters: Mutex<Vec<String>>,
    /// What goes into the store for each of them.
    letter: Mutex<Option<NewMessage>>,
    /// Since when no channel was good enough, as each plan was told.
    short: Mutex<Vec<Option<UnixTime>>>,
    in_hand: AtomicUsize,
    most: AtomicUsize,
    /// Deliveries to `slow.example` wait for this.
    gate: Semaphore,
    changed: Notify,
    time: AtomicU64,
    /// The next delivery breaks off after the message was sent.
    broken: AtomicBool,
    /// Another host was reached, and its channel refused.
    weak_backup: AtomicBool,
    /// What each plan says falls short.
    lack: Mutex<Option<Lack>>,
}

impl World {
    fn new() -> Self {
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

    fn answer(&self, domain: &str, outcome: Outcome) {
        self.answers.lock().unwrap().insert(domain.to_owned(), outcome);
    }

    /// Waits until something holds.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }

    async fn deliveries(&self, count: usize) {
        self.until(|world| world.delivered.lock().unwrap().len() >= count).await;
    }
}

struct Fake(Arc<World>);

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

fn note(turn: &Turn, body: String) -> Event {
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

fn message(recipients: &[&str], content: &str) -> NewMessage {
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
struct Running {
    data: tempfile::TempDir,
    keys: Vec<u8>,
    world: Arc<World>,
    queue: Queue<Fake>,
    store: Store,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let keys = StoreKeys::random().unwrap().file().to_vec();
        Self::start_in(data, keys, settings)
    }

    fn start_in(data: tempfile::TempDir, keys: Vec<u8>, settings: Settings) -> Self {
        let store = open(&data, &keys);
        Self::over(store, (data, keys), settings)
    }

    fn over(store: Store, (data, keys): (tempfile::TempDir, Vec<u8>), settings: Settings) -> Self {
        let world = Arc::new(World::new());
        let time = Arc::clone(&world);
        let clock: Clock = Arc::new(move || UnixTime(time.time.load(Ordering::SeqCst)));
        let (queue, inbox) = Queue::new(store.clone(), Fake(Arc::clone(&world)), settings, clock);
        let (stop, stopped) = watch::channel(false);
        let runner = queue.clone();
        let task = tokio::spawn(async move { runner.run(inbox, stopped).await });
        Self { data, keys, world, queue, store, stop, task }
    }

    async fn accept(&self, recipients: &[&str], content: &str) -> QueueId {
        self.queue.accept(message(recipients, content)).await.unwrap()
    }

    /// Ends what is in hand and lets go of the files.
    async fn stop(self) -> (tempfile::TempDir, Vec<u8>) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
        (self.data, self.keys)
    }

    async fn ask(&self, verb: Verb, target: Target) -> u64 {
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
    async fn settled(&self, attempts: usize) {
        let behind = |listed: &Listed| listed.group.as_ref().map(|group| group.history.attempts);
        let attempts = Some(u32::try_from(attempts).unwrap());
        while self.store.list(None, 1).await.unwrap().0.first().and_then(behind) != attempts {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the store holds so many groups.
    async fn left(&self, count: u64) {
        let mut standing = self.queue.standing();
        while self.store.count().await.unwrap().iter().sum::<u64>() != count {
            standing.changed().await.unwrap();
        }
    }
}

fn open(data: &tempfile::TempDir, keys: &[u8]) -> Store {
    try_open(data, keys).unwrap()
}

fn try_open(data: &tempfile::TempDir, keys: &[u8]) -> Result<Store, StoreError> {
    let keys = StoreKeys::from_file(keys).unwrap();
    let settings = StoreSettings { reserve: 4_096, ..StoreSettings::new(data.path()) };
    Store::open(settings, keys, Access::Serve)
}

#[tokio::test]
async fn a_message_goes_to_every_destination_and_leaves_nothing_behind() {
    let running = Running::start(Settings::default());
    running.accept(&["a@one.example", "b@one.example", "c@two.example"], "hello").await;
    running.world.deliveries(2).await;
    running.left(0).await;
    let mut delivered = running.world.delivered.lock().unwrap().clone();
    delivered.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(delivered[0].1, ["a@one.example", "b@one.example"]);
    assert_eq!(delivered[1].1, ["c@two.example"]);
}

#[tokio::test]
async fn recipients_of_one_domain_with_other_verdicts_travel_apart() {
    let running = Running::start(Settings::default());
    running.accept(&["a@one.example", "strict@one.example", "b@one.example"], "secret").await;
    running.world.deliveries(2).await;
    let mut groups: Vec<_> =
        running.world.delivered.lock().unwrap().iter().map(|(_, to)| to.clone()).collect();
    groups.sort();
    assert_eq!(groups[0], ["a@one.example", "b@one.example"]);
    assert_eq!(groups[1], ["strict@one.example"]);
}

/// An insider who writes to so many that no record could hold them: each attempt stays small enough
/// for its evidence.
#[tokio::test]
async fn a_group_is_never_larger_than_a_record_holds() {
    let running = Running::start(Settings::default());
    let people: Vec<String> = (0..1_001).map(|number| format!("a{number}@one.example")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    running.accept(&people, "hello").await;
    running.world.deliveries(2).await;
    let mut sizes: Vec<_> =
        running.world.delivered.lock().unwrap().iter().map(|(_, to)| to.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1_000]);
}

#[tokio::test]
async fn what_cannot_be_delivered_waits_for_its_time_and_survives_a_restart() {
    let running = Running::start(Settings::default());
    running.world.answer("busy.example", deferred());
    let id = running.accept(&["a@busy.example"], "hello").await;
    running.world.deliveries(1).await;
    let (data, keys) = running.stop().await;
    let store = open(&data, &keys);
    let (page, _) = store.list(None, 10).await.unwrap();
    assert_eq!((page[0].message, page[0].due), (id, NOW + Duration::from_mins(30)));
    drop(store);
    let running = Running::start_in(data, keys, Settings::default());
    running.left(1).await;
    assert!(running.world.delivered.lock().unwrap().is_empty(), "not before its time");
    running.world.time.fetch_add(1_800, Ordering::SeqCst);
    running.queue.0.tell(News::Fresh);
    running.world.deliveries(1).await;
    running.left(0).await;
}

/// DESIGN §3: patience is with a channel that is not good enough. A host that is down uses none of
/// it up, and one that took the channel and answered gives it back.
#[tokio::test]
async fn patience_begins_with_the_first_channel_that_falls_short() {
    let down = Outcome::Deferred { cause: Cause::Connection("refused".to_owned()) };
    let steps = [down.clone(), too_weak(), down, too_weak(), deferred(), deferred()];
    let running = Running::start(Settings::default());
    running.world.answer("far.example", steps[0].clone());
    running.accept(&["a@far.example"], "hello").await;
    for (done, step) in (1..).zip(steps.iter().skip(1)) {
        running.world.deliveries(done).await;
        running.settled(done).await;
        running.world.answer("far.example", step.clone());
        running.world.time.fetch_add(7 * 3_600, Ordering::SeqCst);
        running.queue.0.tell(News::Fresh);
    }
    running.world.deliveries(steps.len()).await;
    let short = running.world.short.lock().unwrap().clone();
    let since = Some(NOW + Duration::from_hours(7));
    assert_eq!(short, [None, None, since, since, since, None]);
}

/// Attacker on the path: he takes STARTTLS from one host and drops packets to the other. Patience
/// begins all the same; when it is over the mail is held, and who asks hears of the channel.
#[tokio::test]
async fn a_dead_host_does_not_hide_a_weak_channel() {
    let running = Running::start(Settings::default());
    running.world.weak_backup.store(true, Ordering::SeqCst);
    let down = Outcome::Deferred { cause: Cause::Connection("connection refused".to_owned()) };
    running.world.answer("far.example", down);
    running.accept(&["a@far.example"], "hello").await;
    running.world.deliveries(1).await;
    running.settled(1).await;
    let listed = running.store.list(None, 1).await.unwrap().0.remove(0).group.unwrap();
    assert_eq!((listed.short_since, listed.history.held_since), (Some(NOW), None));
    assert!(listed.note.unwrap().contains("STARTTLS"));
    running.world.time.fetch_add(1_800, Ordering::SeqCst);
    running.queue.0.tell(News::Fresh);
    running.world.deliveries(2).await;
    running.settled(2).await;
    let listed = running.store.list(None, 1).await.unwrap().0.remove(0).group.unwrap();
    assert_eq!(listed.history.held_since, Some(NOW + Duration::from_mins(30)));
    let note = listed.note.unwrap();
    assert!(note.contains("STARTTLS") && note.contains("connection refused"), "{note}");
}

/// The resolver is down for hours: that uses up no patience. What is remembered, hidden or denied
/// does.
#[tokio::test]
async fn a_failed_lookup_uses_up_no_patience() {
    for (lack, since) in [(Lack::Nothing, None), (Lack::Channel, Some(NOW))] {
        let running = Running::start(Settings::default());
        *running.world.lack.lock().unwrap() = Some(lack);
        let plan = Outcome::Deferred { cause: Cause::Plan("not found out".to_owned()) };
        running.world.answer("far.example", plan);
        running.accept(&["a@far.example"], "hello").await;
        running.world.deliveries(1).await;
        running.settled(1).await;
        let listed = running.store.list(None, 1).await.unwrap().0.remove(0).group.unwrap();
        assert_eq!((listed.short_since, listed.first_seen.refused), (since, None), "{lack:?}");
    }
}

#[tokio::test]
async fn a_message_of_a_stopped_process_is_taken_up_again() {
    let data = tempfile::tempdir().unwrap();
    let keys = StoreKeys::random().unwrap().file().to_vec();
    let store = open(&data, &keys);
    for number in 0..200 {
        let to = format!("a@d{number}.example");
        drop(store.accept(message(&[&to], "hello")).await.unwrap());
    }
    drop(store);
    let running = Running::start_in(data, keys, Settings::default());
    running.world.deliveries(200).await;
    running.left(0).await;
}

/// Promise P4: the duplicate that cannot be excluded is recorded, not hidden.
#[tokio::test]
async fn an_attempt_that_died_between_dot_and_answer_is_recorded_as_unknown() {
    let data = tempfile::tempdir().unwrap();
    let keys = StoreKeys::random().unwrap().file().to_vec();
    let first = Running::start_in(data, keys, Settings::default());
    let id = first.accept(&["a@slow.example"], "hello").await;
    first.world.until(|world| world.in_hand.load(Ordering::SeqCst) == 1).await;
    while first.store.intents().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // The process dies here: nothing more is heard of the attempt.
    let Running { data, keys, task, queue, store, stop, .. } = first;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop((queue, store, stop));
    // What it had in hand is dropped with it, and has the store until then.
    while let Err(StoreError::Locked(_)) = try_open(&data, &keys) {
        tokio::task::yield_now().await;
    }
    let second = Running::start_in(data, keys, Settings::default());
    let mut standing = second.queue.standing();
    loop {
        let query = EventQuery { message: Some(id), limit: 10, ..Default::default() };
        let events = second.store.events(query).await.unwrap();
        if let [event] = events.as_slice() {
            assert_eq!(event.event.body, b"unknown");
            break;
        }
        standing.changed().await.unwrap();
    }
    assert!(second.store.intents().await.unwrap().is_empty());
    let (page, _) = second.store.list(None, 10).await.unwrap();
    assert_eq!(page[0].group.as_ref().unwrap().history.attempts, 1);
}

#[tokio::test]
async fn a_slow_destination_takes_its_share_and_no_more() {
    let settings = Settings { per_destination: 3, total: 5, ..Settings::default() };
    let running = Running::start(settings);
    for _ in 0..20 {
        running.accept(&["a@slow.example"], "hello").await;
    }
    for number in 0..20 {
        running.accept(&[&format!("a@d{number}.example")], "hello").await;
    }
    running.world.deliveries(20).await;
    let most = running.world.most.load(Ordering::SeqCst);
    assert!(most <= 5, "{most} in hand");
    running.world.gate.add_permits(20);
    running.world.deliveries(40).await;
    running.left(0).await;
}

#[tokio::test]
async fn a_held_message_is_shown_released_and_dropped_by_an_operator() {
    let running = Running::start(Settings::default());
    running.world.answer("weak.example", too_weak());
    let id = running.accept(&["a@weak.example"], "hello").await;
    running.world.deliveries(1).await;
    running.left(1).await;
    let held = async |running: &Running| loop {
        let (page, _) = running.store.list(None, 10).await.unwrap();
        let group = page[0].group.clone();
        if let Some(group) = group.filter(|group| group.history.held_since.is_some()) {
            return group;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(held(&running).await.note.as_deref(), Some("too weak: no STARTTLS"));
    assert_eq!(running.ask(Verb::Release, Target::Message(id)).await, 1);
    running.world.deliveries(2).await;
    held(&running).await;
    while running.ask(Verb::Drop, Target::Message(id)).await == 0 {}
    running.left(0).await;
    assert!(running.world.letters.lock().unwrap().is_empty());
    let kind = Some(EventKind::Override);
    let query = EventQuery { message: Some(id), kind, limit: 10, ..Default::default() };
    let events = running.store.events(query).await.unwrap();
    assert_eq!(events.len(), 2, "every override is on record");
    assert_eq!(events[0].event.actor, Actor::Operator("alice".to_owned()));
}

#[tokio::test]
async fn what_an_operator_holds_is_not_tried_and_goes_back_in_the_end() {
    let running = Running::start(Settings::default());
    running.world.answer("busy.example", deferred());
    let id = running.accept(&["a@busy.example"], "hello").await;
    running.world.deliveries(1).await;
    let domain = Domain::parse("busy.example").unwrap();
    while running.ask(Verb::Hold, Target::Destination(domain.clone())).await == 0 {}
    assert_eq!(running.ask(Verb::Retry, Target::All).await, 0);
    running.world.time.fetch_add(3_600, Ordering::SeqCst);
    running.queue.0.tell(News::Fresh);
    assert_eq!(running.store.count().await.unwrap(), [0, 0, 1]);
    running.world.time.fetch_add(48 * 3_600, Ordering::SeqCst);
    running.queue.return_overdue().await.unwrap();
    running.left(0).await;
    assert_eq!(*running.world.letters.lock().unwrap(), [format!("{id} a@busy.example")]);
    assert_eq!(running.world.delivered.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_told_to_the_sender() {
    let running = Running::start(Settings::default());
    let reply = Reply::new(550, Some(EnhancedCode(5, 1, 1)), "no such user");
    let cause = Cause::Reply { command: "RCPT".to_owned(), reply };
    running.world.answer("gone.example", Outcome::Rejected { cause });
    let id = running.accept(&["a@gone.example"], "hello").await;
    running.world.until(|world| !world.letters.lock().unwrap().is_empty()).await;
    running.left(0).await;
    assert_eq!(*running.world.letters.lock().unwrap(), [format!("{id} a@gone.example")]);
}

/// Somebody asks for something with the whole queue: mail goes on while it is walked through.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on_while_an_operator_speaks_of_the_whole_queue() {
    let data = tempfile::tempdir().unwrap();
    let keys = StoreKeys::random().unwrap().file().to_vec();
    let running = Running::start_in(data, keys, Settings::default());
    running.world.answer("busy.example", deferred());
    let mut accepts = JoinSet::new();
    for _ in 0..600 {
        let queue = running.queue.clone();
        accepts.spawn(async move { queue.accept(message(&["a@busy.example"], "hello")).await });
    }
    assert!(accepts.join_all().await.iter().all(Result::is_ok));
    running.world.deliveries(600).await;
    let held = async {
        while running.store.count().await.unwrap() != [0, 600, 0] {
            tokio::task::yield_now().await;
        }
    };
    held.await;
    let actor = Actor::Operator("alice".to_owned());
    let command = Command { verb: Verb::Hold, target: Target::All, reason: None, actor };
    let id = running.store.ask(&command).await.unwrap();
    // The walk has begun.
    while running.store.count().await.unwrap()[2] == 0 {
        tokio::task::yield_now().await;
    }
    running.accept(&["b@one.example"], "hello").await;
    running.world.deliveries(601).await;
    assert_eq!(running.store.answered(id).await.unwrap(), None, "the walk goes on");
    while running.store.answered(id).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.store.answered(id).await.unwrap(), Some(600));
}

/// A machine that answers our reports with reports of its own: nobody is told about what a machine
/// wrote, also when an operator's hold ends (RFC 3834 §5).
#[tokio::test]
async fn what_a_machine_wrote_is_not_returned_when_a_hold_ends() {
    let running = Running::start(Settings::default());
    running.world.answer("busy.example", deferred());
    let id = running.accept(&["a@busy.example"], "Auto-Submitted: auto-replied").await;
    running.world.deliveries(1).await;
    while running.ask(Verb::Hold, Target::Message(id)).await == 0 {}
    running.world.time.fetch_add(49 * 3_600, Ordering::SeqCst);
    running.queue.return_overdue().await.unwrap();
    running.left(0).await;
    let told = format!("not to the sender: {id} a@busy.example");
    assert_eq!(*running.world.letters.lock().unwrap(), [told]);
}

/// Promise P4, against whoever finds a way to break a turn: its message is not forgotten until the
/// next start, and that it may have been sent is on record.
#[tokio::test]
async fn what_a_broken_turn_had_in_hand_is_recorded_and_tried_again() {
    let running = Running::start(Settings::default());
    running.world.broken.store(true, Ordering::SeqCst);
    let id = running.accept(&["a@one.example"], "hello").await;
    let query = || EventQuery { message: Some(id), limit: 10, ..Default::default() };
    while running.store.events(query()).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let events = running.store.events(query()).await.unwrap();
    assert_eq!(events[0].event.body, b"unknown");
    while !running.store.intents().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    running.world.time.fetch_add(1_800, Ordering::SeqCst);
    while running.world.delivered.lock().unwrap().is_empty() {
        running.queue.0.tell(News::Fresh);
        tokio::task::yield_now().await;
    }
    running.left(0).await;
}

/// What is taken in is judged by the rules of that moment, and one commit keeps both.
#[tokio::test]
async fn a_message_is_stored_with_its_verdict() {
    let data = tempfile::tempdir().unwrap();
    let store = open(&data, StoreKeys::random().unwrap().file().as_ref());
    let path = Fake(Arc::new(World::new()));
    let clock: Clock = Arc::new(|| NOW);
    let (queue, _inbox) = Queue::new(store.clone(), path, Settings::default(), clock);
    queue.accept(message(&["a@one.example", "strict@one.example"], "secret")).await.unwrap();
    let (page, _) = store.list(None, 10).await.unwrap();
    let floors: Vec<_> = page.iter().map(|row| row.group.as_ref().unwrap().verdict.floor).collect();
    assert_eq!(floors, [Floor::Encrypted, Floor::Authenticated]);
}

/// Promises P4 and P8, against whoever finds a message that breaks the rules' reader: it is ours
/// and waits for a person, and its session goes on.
#[tokio::test]
async fn a_message_that_cannot_be_judged_is_kept_without_a_verdict() {
    let running = Running::start(Settings::default());
    running.accept(&["a@one.example"], "unreadable").await;
    assert_eq!(running.store.count().await.unwrap(), [1, 0, 0]);
    running.accept(&["a@one.example"], "hello").await;
    running.world.deliveries(1).await;
}

/// Only what is being sent cannot be called back: what waits for a slot in memory can.
#[tokio::test]
async fn an_operator_reaches_what_waits_for_a_slot() {
    let running = Running::start(Settings { per_destination: 1, ..Settings::default() });
    for _ in 0..5 {
        running.accept(&["a@slow.example"], "hello").await;
    }
    running.world.until(|world| world.in_hand.load(Ordering::SeqCst) == 1).await;
    let domain = Domain::parse("slow.example").unwrap();
    let mut dropped = 0;
    while dropped < 4 {
        dropped += running.ask(Verb::Drop, Target::Destination(domain.clone())).await;
    }
    running.world.gate.add_permits(1);
    running.left(0).await;
    assert_eq!(running.world.delivered.lock().unwrap().len(), 1);
}
