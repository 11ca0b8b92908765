mod backup;
mod thief;

use std::time::Duration;

use bytes::Bytes;
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, History, Verdict},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Notify, Recipient, ReversePath},
    queue_id::QueueId,
    time::UnixTime,
};

use super::*;
use crate::secrets::SecretSource;

const NOW: UnixTime = UnixTime(1_795_000_000);
const CANARY: &str = "Zygomatic-Canary-7431";

/// A store in a directory of its own, with its key in another.
struct Home {
    data: tempfile::TempDir,
    keys: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), keys: tempfile::tempdir().unwrap() }
    }

    fn keys(&self) -> StoreKeys {
        let source = SecretSource::File(self.keys.path().join("store.key"));
        StoreKeys::load(&source, self.data.path(), &self.settings().database).unwrap()
    }

    fn settings(&self) -> Settings {
        Settings { inline_limit: 4_096, reserve: 4_096, ..Settings::new(self.data.path()) }
    }

    fn open(&self) -> Store {
        Store::open(self.settings(), self.keys(), Access::Serve).unwrap()
    }
}

fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.split_once('@').unwrap();
    Mailbox { local: local.to_owned(), domain: Domain::parse(domain).unwrap() }
}

fn recipient(text: &str) -> Recipient {
    Recipient::new(mailbox(text))
}

fn message(recipients: &[&str], content: &[u8]) -> NewMessage {
    NewMessage {
        direction: Direction::Outbound,
        arrived: NOW,
        envelope: Envelope::new(
            ReversePath::Mailbox(mailbox(&format!("{CANARY}@sender.example"))),
            recipients.iter().map(|text| recipient(text)).collect(),
        ),
        content: Bytes::copy_from_slice(content),
    }
}

fn group(recipients: &[&str]) -> Group {
    let recipients: Vec<_> = recipients.iter().map(|text| recipient(text)).collect();
    Group::new(
        recipients[0].mailbox.domain.clone(),
        recipients,
        Verdict::new(Floor::Encrypted, Fallback::Hold, Duration::from_secs(14_400)),
        History { queued: NOW, ..History::default() },
    )
}

fn event(message: QueueId, text: &str) -> Event {
    Event {
        kind: EventKind::Delivery,
        version: 1,
        at: NOW,
        actor: Actor::Gateway,
        config: None,
        message: Some(message),
        body: format!("{{\"note\":\"{text}\"}}").into_bytes(),
        personal: Some(text.as_bytes().to_vec()),
    }
}

async fn queued(store: &Store, recipients: &[&str], content: &[u8]) -> QueueId {
    let (id, lease) = store.accept(message(recipients, content)).await.unwrap();
    let groups: Vec<_> = recipients.iter().map(|one| group(&[one])).collect();
    drop(store.classify((id, lease), &groups, NOW).await.unwrap());
    id
}

/// A crash leaves the end of an attempt with its letters, or neither: the sender is told once.
#[tokio::test]
async fn an_attempt_ends_with_its_letters_or_not_at_all() {
    let place = Home::new();
    let store = place.open();
    let (id, lease) = store.accept(message(&["a@one.example"], b"short")).await.unwrap();
    let groups = [group(&["a@one.example"])];
    let lease = store.classify((id, lease), &groups, NOW).await.unwrap().pop().unwrap();
    let letters = vec![message(&["us@sender.example"], &vec![b'x'; 300_000])];
    let mut broken = event(id, "returned");
    broken.actor = Actor::Operator("x".repeat(70_000));
    let settled = Settled { lease, message: id, next: Next::Done, events: vec![broken], letters };
    let (_, settled) = store.settle(settled).await.unwrap_err();
    assert_eq!(store.count().await.unwrap(), [0, 1, 0], "nothing of it happened");
    let settled = Settled { events: vec![event(id, "returned")], ..*settled };
    store.settle(settled).await.unwrap();
    assert_eq!(store.count().await.unwrap(), [1, 0, 0], "the letter waits for its verdict");
    let claimed = store.claim_fresh(10).await.unwrap();
    let content = store.content(claimed[0].message).await.unwrap();
    assert_eq!(content.len(), 300_000);
    assert_eq!(claimed[0].head.envelope.recipients[0].mailbox.to_string(), "us@sender.example");
}

#[tokio::test]
async fn an_accepted_message_is_there_after_a_restart() {
    let place = Home::new();
    let large = vec![b'x'; 200_000];
    let (small, big) = {
        let store = place.open();
        let small = store.accept(message(&["a@one.example"], b"Subject: x\r\n\r\nhello\r\n")).await;
        let big = store.accept(message(&["b@two.example"], &large)).await;
        (small.unwrap().0, big.unwrap().0)
    };
    let store = place.open();
    assert_eq!(store.content(small).await.unwrap(), &b"Subject: x\r\n\r\nhello\r\n"[..]);
    assert_eq!(store.content(big).await.unwrap(), large);
    let fresh = store.claim_fresh(10).await.unwrap();
    assert_eq!(fresh.iter().map(|claimed| claimed.message).collect::<Vec<_>>(), [small, big]);
    assert_eq!(fresh[1].head.size, 200_000);
    assert_eq!(fresh[0].head.envelope, message(&["a@one.example"], b"").envelope);
}

#[tokio::test]
async fn a_group_is_in_one_pair_of_hands() {
    let place = Home::new();
    let store = place.open();
    let id = queued(&store, &["a@one.example", "b@two.example"], b"x").await;
    let one = store.destination(&Domain::parse("one.example").unwrap());
    let claimed = store.claim(one, NOW, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].group.as_ref().unwrap(), &group(&["a@one.example"]));
    assert!(store.claim(one, NOW, 10).await.unwrap().is_empty());
    drop(claimed);
    let mut claimed = store.claim(one, NOW, 10).await.unwrap();
    let lease = claimed.pop().unwrap().lease;
    let later = NOW + Duration::from_secs(60);
    let tried = Group { short_since: Some(NOW), ..group(&["a@one.example"]) };
    let next = Next::Retry(later, tried.clone());
    let settled =
        Settled { lease, message: id, next, events: vec![event(id, "tried")], letters: Vec::new() };
    assert_eq!(store.settle(settled).await.unwrap(), [1]);
    assert!(store.claim(one, NOW, 10).await.unwrap().is_empty(), "not before its time");
    assert_eq!(store.next_due(one).await.unwrap(), Some(later));
    assert_eq!(store.claim(one, later, 10).await.unwrap()[0].group, Some(tried));
    let mut schedule = store.schedule().await.unwrap();
    schedule.sort_by_key(|(_, due)| *due);
    let two = store.destination(&Domain::parse("two.example").unwrap());
    assert_eq!(schedule, [(two, NOW), (one, later)]);
}

#[tokio::test]
async fn a_message_goes_with_its_last_group() {
    let place = Home::new();
    let store = place.open();
    let id = queued(&store, &["a@one.example", "b@two.example"], &[b'x'; 10_000]).await;
    let claimed = store.claim_message(id).await.unwrap();
    assert_eq!(claimed.len(), 2);
    let file = store.0.bodies.path(id.number());
    for (left, claimed) in [(1, 0), (0, 1)].into_iter().zip(claimed) {
        assert!(file.exists());
        let next = Next::Done;
        let settled = Settled {
            lease: claimed.lease,
            message: id,
            next,
            events: vec![event(id, "done")],
            letters: Vec::new(),
        };
        store.settle(settled).await.unwrap();
        assert_eq!(store.count().await.unwrap(), [0, left.0, 0]);
    }
    assert!(matches!(store.content(id).await, Err(StoreError::Absent(_))));
    assert!(!file.exists());
    let query = EventQuery { message: Some(id), limit: 10, ..Default::default() };
    assert_eq!(store.events(query).await.unwrap().len(), 2, "what happened stays on record");
}

#[tokio::test]
async fn an_intent_without_a_result_is_found_after_a_crash() {
    let place = Home::new();
    let store = place.open();
    let id = queued(&store, &["a@one.example", "b@two.example"], b"x").await;
    let mut claimed = store.claim_message(id).await.unwrap();
    let (second, first) = (claimed.pop().unwrap(), claimed.pop().unwrap());
    store.intend(first.lease.work(), 1, NOW).await.unwrap();
    store.intend(second.lease.work(), 1, NOW).await.unwrap();
    let settled = Settled {
        lease: second.lease,
        message: id,
        next: Next::Done,
        events: Vec::new(),
        letters: Vec::new(),
    };
    store.settle(settled).await.unwrap();
    let work = first.lease.work();
    drop((first, store));
    let intents = place.open().intents().await.unwrap();
    assert_eq!(intents, [Intent { work, message: id, attempt: 1, at: NOW }]);
}

#[tokio::test]
async fn events_keep_their_order_and_personal_fields_can_go() {
    let place = Home::new();
    let store = place.open();
    let id = queued(&store, &["a@one.example"], b"x").await;
    assert_eq!(store.append(vec![event(id, "first"), event(id, "second")]).await.unwrap(), 1);
    assert_eq!(store.append(vec![event(id, "third")]).await.unwrap(), 3);
    store.erase_personal(2).await.unwrap();
    let query = EventQuery { limit: 10, kind: Some(EventKind::Delivery), ..Default::default() };
    let events = store.events(query).await.unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(events[0].event, event(id, "first"));
    assert_eq!(events[1].event, Event { personal: None, ..event(id, "second") });
    let later = EventQuery { after: 1, limit: 1, ..Default::default() };
    assert_eq!(store.events(later).await.unwrap()[0].sequence, 2);
    assert_eq!(store.event(3).await.unwrap().unwrap().event, event(id, "third"));
    assert_eq!(store.event(4).await.unwrap(), None);
}

#[tokio::test]
async fn named_state_is_kept_replaced_removed_and_expires() {
    let place = Home::new();
    let store = place.open();
    let later = NOW + Duration::from_secs(60);
    let entry = |name: &str, value: &[u8], expires| Entry {
        name: name.to_owned(),
        value: value.to_vec(),
        expires,
    };
    store.save(Space::Sts, entry("one.example", b"old", None)).await.unwrap();
    store.save(Space::Sts, entry("one.example", b"new", Some(later))).await.unwrap();
    store.save(Space::Memory, entry("one.example", b"other", None)).await.unwrap();
    store.save(Space::Sts, entry("two.example", b"2", None)).await.unwrap();
    let load = async |space, name: &str, at| store.load(space, name, at).await.unwrap();
    assert_eq!(load(Space::Sts, "one.example", NOW).await, Some(b"new".to_vec()));
    assert_eq!(load(Space::Sts, "one.example", later).await, None);
    assert_eq!(load(Space::Memory, "one.example", later).await, Some(b"other".to_vec()));
    let whole = |page: Page| page.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let (first, end) = store.entries(Space::Sts, (0, 1), NOW).await.unwrap();
    assert_eq!(whole(first), [entry("one.example", b"new", Some(later))]);
    let (second, end) = store.entries(Space::Sts, (end.unwrap(), 10), NOW).await.unwrap();
    assert_eq!(whole(second), [entry("two.example", b"2", None)]);
    assert_eq!(store.entries(Space::Sts, (end.unwrap(), 10), NOW).await.unwrap().1, None);
    store.remove(Space::Sts, "two.example").await.unwrap();
    assert_eq!(load(Space::Sts, "two.example", NOW).await, None);
    // A wrong clock for a while costs nothing that it has not been wrong for long.
    assert_eq!(store.expire(later + Duration::from_hours(29 * 24)).await.unwrap(), 0);
    assert_eq!(load(Space::Sts, "one.example", NOW).await, Some(b"new".to_vec()));
    assert_eq!(store.expire(later + Duration::from_hours(30 * 24)).await.unwrap(), 1);
    let blob: Arc<[u8]> = b"a chain of signatures".as_slice().into();
    let id = store.put_blob(Arc::clone(&blob)).await.unwrap();
    assert_eq!(store.put_blob(Arc::clone(&blob)).await.unwrap(), id);
    assert_eq!(store.blob(id).await.unwrap().as_deref(), Some(&*blob));
}

/// Promise P3: two that change a value side by side do not undo each other's work.
#[tokio::test]
async fn a_revision_sees_what_was_kept_meanwhile() {
    let place = Home::new();
    let store = place.open();
    let name = (Space::Memory, "one.example");
    let add = |letter: u8| {
        store.revise(name, NOW, move |kept| {
            let mut value = kept.unwrap_or_default().to_vec();
            value.push(letter);
            Ok(Some((value, None)))
        })
    };
    let (one, two, three) = tokio::join!(add(b'a'), add(b'b'), add(b'c'));
    [one, two, three].into_iter().for_each(|written| written.unwrap());
    let mut kept = store.load(name.0, name.1, NOW).await.unwrap().unwrap();
    kept.sort_unstable();
    assert_eq!(kept, b"abc");
    store.revise(name, NOW, |_| Ok(None)).await.unwrap();
    let failed = store.revise(name, NOW, |_| Err(StoreError::Damaged("a test"))).await;
    assert!(failed.is_err());
    assert_eq!(store.load(name.0, name.1, NOW).await.unwrap().unwrap().len(), 3);
}

fn raw_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(raw_files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files
}

#[tokio::test]
async fn a_store_that_cannot_be_used_says_why_in_one_sentence() {
    let place = Home::new();
    let store = place.open();
    let second = Store::open(place.settings(), place.keys(), Access::Serve).unwrap_err();
    assert!(second.to_string().contains("another waxseal serves"), "{second}");
    drop(store);
    let stranger = StoreKeys::random().unwrap();
    let error = Store::open(place.settings(), stranger, Access::Serve).unwrap_err();
    assert!(error.to_string().contains("not in the key file"), "{error}");
    let path = place.data.path().join(DATABASE);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let newer = Store::open(place.settings(), place.keys(), Access::Serve).unwrap_err();
    assert!(newer.to_string().contains("schema version 7"), "{newer}");
    assert!(newer.is_configuration());
    fs::write(&path, b"this is no database, whatever its name says".repeat(100)).unwrap();
    let error = Store::open(place.settings(), place.keys(), Access::Serve).unwrap_err();
    assert!(error.is_configuration() && !error.to_string().contains('\n'), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let file = empty.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(Settings::new(&file), place.keys(), Access::Serve).unwrap_err();
    assert!(error.to_string().contains("cannot be used") && error.is_configuration(), "{error}");
    let error = Store::open(Settings::new(empty.path()), place.keys(), Access::Visit).unwrap_err();
    assert!(error.to_string().contains("no store"), "{error}");
}

/// Under a quota SQLite reports a write error where a full disk has a code of its own.
#[test]
fn a_quota_is_a_full_disk() {
    let error = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    assert!(matches!(StoreError::from(error(778)), StoreError::Full));
    assert!(matches!(StoreError::from(error(13)), StoreError::Full));
    assert!(matches!(StoreError::from(error(266)), StoreError::Database(_)), "a read error");
}

#[tokio::test]
async fn an_operator_asks_a_running_server_and_hears_what_came_of_it() {
    let place = Home::new();
    let server = place.open();
    let visitor = Store::open(place.settings(), place.keys(), Access::Visit).unwrap();
    let actor = Actor::Operator("alice".to_owned());
    let command = Command { verb: Verb::Retry, target: Target::All, reason: None, actor };
    let id = visitor.ask(&command).await.unwrap();
    assert_eq!(visitor.answered(id).await.unwrap(), None);
    let waiting = server.commands().await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|(id, asked)| (id, asked.unwrap())).collect();
    assert_eq!(waiting, [(id, command.clone())]);
    server.answer(id, Ok(3)).await.unwrap();
    assert_eq!(visitor.answered(id).await.unwrap(), Some(3));
    assert!(server.commands().await.unwrap().is_empty());
    let id = visitor.ask(&command).await.unwrap();
    server.answer(id, Err("the disk is full".to_owned())).await.unwrap();
    let refused = visitor.answered(id).await.unwrap_err().to_string();
    assert!(refused.contains("the disk is full"), "{refused}");
}

#[tokio::test]
async fn the_queue_is_listed_page_by_page() {
    let place = Home::new();
    let store = place.open();
    let first = queued(&store, &["a@one.example", "b@two.example"], b"x").await;
    let (second, lease) = store.accept(message(&["c@one.example"], b"y")).await.unwrap();
    drop(lease);
    let (page, end) = store.list(None, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.message).collect::<Vec<_>>(), [first, first]);
    let (page, end) = store.list(end, 2).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!((page[0].message, page[0].state), (second, WorkState::Fresh));
    assert!(store.list(end, 2).await.unwrap().0.is_empty());
}

/// Attacker: the tooth of time. One group that cannot be read, or one store key that is gone, stops
/// nothing else; it is listed, and can be given up.
#[tokio::test]
async fn mail_that_cannot_be_read_is_kept_shown_and_stops_nothing_else() {
    let place = Home::new();
    let store = place.open();
    let rotten = queued(&store, &["a@one.example"], b"x").await;
    let keyless = queued(&store, &["b@one.example"], b"x").await;
    let good = queued(&store, &["c@one.example"], b"x").await;
    let (headless, lease) = store.accept(message(&["d@one.example"], b"x")).await.unwrap();
    drop(lease);
    let (fresh, lease) = store.accept(message(&["e@one.example"], b"x")).await.unwrap();
    drop(lease);
    let connection = Connection::open(place.settings().database).unwrap();
    let change = |sql: &str, id: QueueId| connection.execute(sql, [signed(id.number())]).unwrap();
    change("UPDATE work SET sealed = zeroblob(90) WHERE message = ?1", rotten);
    change("UPDATE message SET key_id = x'0102030405060708' WHERE id = ?1", keyless);
    change("UPDATE message SET head = 7 WHERE id = ?1", headless);
    let of = |claimed: Vec<Claimed>| claimed.iter().map(|one| one.message).collect::<Vec<_>>();
    assert_eq!(of(store.claim_fresh(10).await.unwrap()), [fresh]);
    let one = store.destination(&Domain::parse("one.example").unwrap());
    let claimed = store.claim(one, NOW, 10).await.unwrap();
    assert_eq!(store.next_due(one).await.unwrap(), None, "it is not due over and over again");
    assert_eq!(of(claimed), [good]);
    assert_eq!((store.unreadable(), store.look_again()), (3, false));

    let (page, _) = store.list(None, 10).await.unwrap();
    let shown = page.iter().filter(|row| row.unreadable.is_some());
    assert_eq!(shown.map(|row| row.message).collect::<Vec<_>>(), [rotten, keyless, headless]);
    assert_eq!(page.len(), 5);

    assert!(store.claim_message(rotten).await.unwrap().is_empty());
    let two = store.destination(&Domain::parse("two.example").unwrap());
    let note = event(rotten, "given up");
    assert_eq!(store.drop_unreadable((rotten, Some(two)), &note).await.unwrap(), 0);
    assert_eq!(store.drop_unreadable((rotten, Some(one)), &note).await.unwrap(), 1);
    assert_eq!(store.drop_unreadable((good, None), &note).await.unwrap(), 0, "it can be read");
    let query = EventQuery { message: Some(rotten), limit: 10, ..Default::default() };
    assert_eq!(store.events(query).await.unwrap().len(), 1);
    assert!(matches!(store.content(rotten).await, Err(StoreError::Absent(_))));

    // The key comes back: by an operator's wish, or by itself once the keys are others.
    let known = store.keys().current();
    let sql = "UPDATE message SET key_id = ?2 WHERE id = ?1";
    connection.execute(sql, (signed(keyless.number()), known.0)).unwrap();
    assert!(store.claim(one, NOW, 10).await.unwrap().iter().all(|one| one.message == good));
    assert_eq!(of(store.claim_message(keyless).await.unwrap()), [keyless]);
    assert_eq!(of(store.claim(one, NOW, 10).await.unwrap()), [keyless, good]);
}

#[tokio::test]
async fn files_that_no_message_names_go_at_the_next_start() {
    let place = Home::new();
    let store = place.open();
    let kept = queued(&store, &["a@one.example"], &[b'x'; 10_000]).await;
    let orphan = store.0.bodies.path(kept.number() + 1);
    fs::write(&orphan, b"half a body").unwrap();
    let kept = store.0.bodies.path(kept.number());
    drop(store);
    drop(place.open());
    assert!(kept.exists() && !orphan.exists());
}

/// Promise P4, against a reader that lags behind: a group is claimed as it was left, never as it
/// was before, so that nobody who has the message gets it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_claim_never_sees_a_group_as_it_was_before_it_was_settled() {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    };
    let home = Home::new();
    let store = home.open();
    let (id, lease) = store.accept(message(&["a@one.example"], b"hello")).await.unwrap();
    drop(store.classify((id, lease), &[group(&["a@one.example"])], NOW).await.unwrap());
    let settled = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, settled) = (store.clone(), Arc::clone(&settled));
        tasks.spawn(async move {
            while settled.load(SeqCst) < 300 {
                for claimed in store.claim_message(id).await.unwrap() {
                    let mut left = claimed.group.clone().unwrap();
                    let known = settled.load(SeqCst);
                    assert_eq!(left.history.attempts, known, "claimed as it was before");
                    left.history.attempts += 1;
                    // Under the lease: nobody else may see the group until it is stored.
                    settled.store(known + 1, SeqCst);
                    store.resume(claimed, Next::Retry(NOW, left), None).await.unwrap();
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Mail that waits while the gateway is renewed: what it says of reports is read as it was kept.
#[test]
fn a_recipient_of_an_older_version_keeps_what_it_asked() {
    let bob = r#"{"local":"bob","domain":"there.example"}"#;
    let row = |notify| format!(r#"{{"mailbox":{bob},{notify}"original":null}}"#);
    let read = |notify| serde_json::from_str::<Recipient>(&row(notify)).unwrap().notify;
    let on = Notify::On { success: false, failure: true, delay: true };
    assert_eq!(read(r#""notify":{"On":{"success":false,"failure":true,"delay":true}},"#), Some(on));
    assert_eq!(read(r#""notify":"Never","#), Some(Notify::Never));
    assert_eq!((read(r#""notify":null,"#), read("")), (None, None));
    let plain = Recipient::new(mailbox("bob@there.example"));
    assert_eq!(serde_json::to_value(&plain).unwrap()["notify"], serde_json::Value::Null);
}

/// Messages of before there was another way went out; the file needs no other layout for it.
#[test]
fn a_message_of_an_older_version_went_out() {
    let envelope = message(&["bob@there.example"], b"x").envelope;
    let head = Head { arrived: UnixTime(1), size: 1, envelope, direction: Direction::Inbound };
    let mut old = serde_json::to_value(&head).unwrap();
    assert_eq!(serde_json::from_value::<Head>(old.clone()).unwrap(), head);
    old.as_object_mut().unwrap().remove("direction").unwrap();
    assert_eq!(serde_json::from_value::<Head>(old).unwrap().direction, Direction::Outbound);
}
