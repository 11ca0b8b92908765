mod failures;
mod operators;
mod world;

use std::sync::atomic::Ordering;

use tokio::task::JoinSet;
use waxseal_core::{
    channel::Floor,
    decide::{Lack, Settled},
    domain::Domain,
    outcome::Cause,
    reply::{EnhancedCode, Reply},
};

use super::*;
use crate::{
    secrets::StoreKeys,
    store::{
        Access, Actor, Command, EventKind, EventQuery, Settings as StoreSettings, Target, Verb,
    },
};
use world::*;

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
