//! What operators ask, and what it must not do to the mail that they do not mean.

use rusqlite::Connection;

use super::*;
use crate::store::{DATABASE, Next, Owed};

fn command(verb: Verb, target: Target) -> Command {
    Command { verb, target, reason: None, actor: Actor::Operator("alice".to_owned()) }
}

fn domain(name: &str) -> Target {
    Target::Destination(Domain::parse(name).unwrap())
}

/// An operator's walk has a group in hand that it does not mean, while its time comes and the runner
/// looks: it is not forgotten until the next start.
#[tokio::test]
async fn a_group_that_was_not_meant_keeps_its_turn() {
    let running = Running::start(Settings::default());
    running.world.answer("busy.example", deferred());
    let id = running.accept(&["a@busy.example"], "hello").await;
    running.world.deliveries(1).await;
    let claimed = loop {
        let claimed = running.store.claim_message(id).await.unwrap();
        if claimed.first().is_some_and(|one| one.group.as_ref().unwrap().history.attempts == 1) {
            break claimed;
        }
        drop(claimed);
        tokio::task::yield_now().await;
    };
    // Its time comes; the runner wakes up for other mail, looks, and finds it taken.
    running.world.time.fetch_add(3_600, Ordering::SeqCst);
    running.accept(&["b@one.example"], "hello").await;
    running.world.deliveries(2).await;
    running.accept(&["b@one.example"], "hello").await;
    running.world.deliveries(3).await;
    let asked = command(Verb::Retry, domain("other.example"));
    assert_eq!(running.queue.change_all(claimed, &asked).await.unwrap(), 0);
    running.world.deliveries(4).await;
    assert_eq!(running.world.delivered.lock().unwrap()[3].0, id);
}

/// Attacker: thief of the disk who can also write, or damage. What cannot be read or done is
/// answered, and those who ask later do not wait for it.
#[tokio::test]
async fn a_request_that_cannot_be_carried_out_blocks_no_other() {
    let running = Running::start(Settings::default());
    running.world.answer("weak.example", too_weak());
    let id = running.accept(&["a@weak.example"], "hello").await;
    running.world.deliveries(1).await;
    let connection = Connection::open(running.data.path().join(DATABASE)).unwrap();
    connection.execute("INSERT INTO command (sealed) VALUES (zeroblob(120))", ()).unwrap();
    while running.ask(Verb::Hold, Target::Message(id)).await == 0 {}
    assert!(running.store.commands().await.unwrap().is_empty(), "the first one has its answer");
}

/// The file of a large message is gone: it is set aside once, and not asked for every minute.
#[tokio::test]
async fn a_message_whose_body_is_gone_takes_no_turn_from_others() {
    let running = Running::start(Settings::default());
    running.world.answer("busy.example", deferred());
    let id = running.accept(&["a@busy.example"], &"x".repeat(100_000)).await;
    running.world.deliveries(1).await;
    while running.ask(Verb::Hold, Target::Message(id)).await == 0 {}
    std::fs::remove_dir_all(running.data.path().join("spool")).unwrap();
    assert_eq!(running.ask(Verb::Release, Target::Message(id)).await, 1);
    while running.store.unreadable() == 0 {
        tokio::task::yield_now().await;
    }
    running.accept(&["b@one.example"], "hello").await;
    running.world.deliveries(2).await;
    assert_eq!(running.ask(Verb::Drop, Target::Message(id)).await, 1);
    running.left(0).await;
}

#[tokio::test]
async fn mail_that_cannot_be_read_can_be_dropped_and_leaves_the_rest_alone() {
    let running = Running::start(Settings::default());
    running.world.answer("weak.example", too_weak());
    let rotten = running.accept(&["a@weak.example"], "hello").await;
    let good = running.accept(&["b@weak.example"], "hello").await;
    running.world.deliveries(2).await;
    for id in [rotten, good] {
        while running.ask(Verb::Hold, Target::Message(id)).await == 0 {}
    }
    let connection = Connection::open(running.data.path().join(DATABASE)).unwrap();
    let sql = "UPDATE work SET sealed = zeroblob(120) WHERE message = ?1";
    connection.execute(sql, [i64::try_from(rotten.number()).unwrap()]).unwrap();
    assert_eq!(running.ask(Verb::Release, Target::Message(rotten)).await, 0);
    assert_eq!(running.ask(Verb::Drop, domain("one.example")).await, 0);
    assert_eq!(running.ask(Verb::Drop, Target::Message(rotten)).await, 1);
    running.left(1).await;
    let query = EventQuery { message: Some(rotten), limit: 10, ..EventQuery::default() };
    let events = running.store.events(query).await.unwrap();
    let last = String::from_utf8(events.last().unwrap().event.body.clone()).unwrap();
    assert!(last.contains("unreadable"), "{last}");
    assert_eq!(running.ask(Verb::Release, Target::All).await, 1);
    running.world.deliveries(3).await;
}

/// A message that broke the rules' reader, and lost its body too: nobody reads it any more, and it
/// can be given up all the same.
#[tokio::test]
async fn a_message_without_a_verdict_can_be_dropped() {
    let running = Running::start(Settings::default());
    let large = format!("unreadable{}", "x".repeat(100_000));
    let id = running.accept(&["a@one.example"], &large).await;
    std::fs::remove_dir_all(running.data.path().join("spool")).unwrap();
    assert_eq!(running.ask(Verb::Drop, domain("one.example")).await, 0, "its parts are not known");
    while running.ask(Verb::Drop, Target::Message(id)).await == 0 {}
    running.left(0).await;
    let query = EventQuery { message: Some(id), limit: 10, ..EventQuery::default() };
    let events = running.store.events(query).await.unwrap();
    let last = String::from_utf8(events.last().unwrap().event.body.clone()).unwrap();
    assert!(last.contains("\"drop\"") && last.contains("\"recipients\":1"), "{last}");
}

#[tokio::test]
async fn after_a_restore_nothing_is_sent_until_an_operator_says_so() {
    let data = tempfile::tempdir().unwrap();
    let keys = StoreKeys::random().unwrap().file().to_vec();
    let store = open(&data, &keys);
    drop(store.accept(message(&["a@one.example"], "hello")).await.unwrap());
    let copies = tempfile::tempdir().unwrap();
    store.backup(copies.path().join("copy")).await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let settings = StoreSettings::new(fresh.path());
    let again = StoreKeys::from_file(&keys).unwrap();
    crate::store::restore(&copies.path().join("copy"), settings, again, NOW).unwrap();
    let running = Running::start_in(fresh, keys, Settings::default());
    running.accept(&["b@two.example"], "hello").await;
    running.ask(Verb::Retry, Target::All).await;
    assert!(running.world.delivered.lock().unwrap().is_empty());
    running.ask(Verb::Release, Target::All).await;
    running.world.deliveries(2).await;
    running.left(0).await;
}

/// What an operator held, and nobody released in time, is returned; not so where the time passed
/// because the backup is old.
#[tokio::test]
async fn after_a_restore_nothing_is_returned_until_an_operator_says_so() {
    let before = Running::start(Settings::default());
    before.world.time.store(NOW.0 - 5 * 86_400, Ordering::SeqCst);
    before.world.answer("busy.example", deferred());
    before.accept(&["a@busy.example"], "hello").await;
    before.world.deliveries(1).await;
    while before.ask(Verb::Hold, Target::All).await == 0 {}
    let copies = tempfile::tempdir().unwrap();
    before.store.backup(copies.path().join("copy")).await.unwrap();
    let (_data, keys) = before.stop().await;
    let fresh = tempfile::tempdir().unwrap();
    let (settings, again) =
        (StoreSettings::new(fresh.path()), StoreKeys::from_file(&keys).unwrap());
    crate::store::restore(&copies.path().join("copy"), settings, again, NOW).unwrap();
    // The first sweep is done long before an operator is heard.
    let after = Running::start_in(fresh, keys, Settings::default());
    assert_eq!(after.ask(Verb::Retry, Target::All).await, 0);
    assert_eq!(after.store.count().await.unwrap(), [0, 0, 1]);
    assert!(after.world.letters.lock().unwrap().is_empty());
    assert_eq!(after.ask(Verb::Release, Target::All).await, 1);
    after.world.deliveries(1).await;
    after.left(0).await;
}

impl Running {
    /// A message to two, one of whom refused it on a full disk: its sender still has to hear that.
    async fn owing(&self) -> QueueId {
        self.world.answer("busy.example", deferred());
        let id = self.accept(&["a@busy.example", "gone@busy.example"], "hello").await;
        self.world.deliveries(1).await;
        while self.ask(Verb::Hold, Target::Message(id)).await == 0 {}
        let claimed = self.store.claim_message(id).await.unwrap().remove(0);
        let mut group = claimed.group.clone().unwrap();
        let reason = "no such user".to_owned();
        let gone = Settled::Bounce { code: EnhancedCode(5, 1, 1), reason };
        let late = Settled::Drop { code: EnhancedCode(4, 0, 0), reason: "late".to_owned() };
        let fates = group.recipients.iter().zip([late, gone]).map(|(recipient, settled)| Fate {
            recipient: recipient.clone(),
            outcome: deferred(),
            settled,
            remote: None,
        });
        let then = Some(NOW + Duration::from_hours(1));
        group.owed = Some(Owed { at: NOW, fates: fates.collect(), then });
        group.recipients.truncate(1);
        let later = NOW + Duration::from_hours(1);
        self.store.resume(claimed, Next::Hold(later, group), None).await.unwrap();
        self.world.letters.lock().unwrap().clear();
        id
    }
}

/// What the operator gives up is not told, and what the sender was to be told before is.
#[tokio::test]
async fn a_drop_forgets_no_report_that_is_owed() {
    let running = Running::start(Settings::default());
    let id = running.owing().await;
    assert_eq!(running.ask(Verb::Drop, Target::Message(id)).await, 1);
    running.left(0).await;
    assert_eq!(*running.world.letters.lock().unwrap(), [format!("{id} gone@busy.example")]);
}

/// The disk is still full: the mail is given up, the report waits on, and is not given up by asking
/// twice.
#[tokio::test]
async fn a_drop_on_a_full_disk_goes_on_owing_the_report() {
    let data = tempfile::tempdir().unwrap();
    let keys = StoreKeys::random().unwrap();
    let settings = StoreSettings { reserve: 1 << 20, ..StoreSettings::new(data.path()) };
    let file = keys.file().to_vec();
    let store = Store::open(settings, keys, Access::Serve).unwrap();
    let running = Running::over(store, (data, file), Settings::default());
    let id = running.owing().await;
    let large = message(&["us@sender.example"], &"x".repeat(1 << 20));
    *running.world.letter.lock().unwrap() = Some(large);
    running.store.lose_reserve();
    assert_eq!(running.ask(Verb::Drop, Target::Message(id)).await, 1);
    assert_eq!(running.ask(Verb::Drop, Target::Message(id)).await, 0);
    let rows = running.store.groups_of(id).await.unwrap();
    let group = rows[0].group.as_ref().unwrap();
    assert!(group.recipients.is_empty() && group.note.as_ref().unwrap().contains("full"));
    let owed = group.owed.as_ref().unwrap();
    assert_eq!((owed.fates.len(), owed.then), (1, None));
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
