//! A machine that starts with a wrong clock: what was written before knows better.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use rustix::process::Signal;
use waxseal::{
    config::Config,
    resolve::Clock,
    secrets::{SecretSource, StoreKeys},
    store::{Access, Actor, Event, EventKind, EventQuery, NewMessage, Settings, Store},
};
use waxseal_core::{
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Recipient, ReversePath},
    time::UnixTime,
};
use waxseal_lab::{
    lab::{SENDER_DOMAIN, is_for},
    site::{Attack, Protection},
};

use super::{PATIENCE, Session, World};
use crate::process::Process;

const DANE: (Protection, Attack) = (Protection::Dane, Attack::Nobody);
const NONE: (Protection, Attack) = (Protection::None, Attack::Nobody);
const DAY: Duration = Duration::from_hours(24);

fn store(config: &Config, access: Access) -> Store {
    let settings = Settings::of(config);
    let source = SecretSource::from(&config.store.key);
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, access).unwrap()
}

fn now() -> UnixTime {
    Clock::system().now()
}

/// The log ends with something of this time.
async fn written(store: &Store, at: UnixTime) {
    let event = Event {
        kind: EventKind::ConfigChange,
        version: 1,
        at,
        actor: Actor::Gateway,
        config: None,
        message: None,
        body: b"{}".to_vec(),
        personal: None,
    };
    store.append(vec![event]).await.unwrap();
}

/// A message from ann to bob, accepted then.
fn message(bob: &str, arrived: UnixTime) -> NewMessage {
    let mailbox = |text: &str| {
        let (local, domain) = text.split_once('@').unwrap();
        Mailbox { local: local.to_owned(), domain: Domain::parse(domain).unwrap() }
    };
    let ann = ReversePath::Mailbox(mailbox(&format!("ann@{SENDER_DOMAIN}")));
    NewMessage {
        direction: Direction::Outbound,
        arrived,
        envelope: Envelope::new(ann, vec![Recipient::new(mailbox(bob))]),
        content: Bytes::from_static(b"Subject: old\r\n\r\nThe text.\r\n"),
    }
}

async fn door(process: &mut Process) -> SocketAddr {
    process.logs("mail comes in at ").await.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until a delivery was tried and is on record.
async fn delivered(store: &Store) {
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 10, ..EventQuery::default() };
    let tried = async {
        while store.events(query).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("it is tried");
}

/// A dead battery, or somebody on the path who sets the clock back while the machine starts, so that
/// ended exceptions and old signatures hold again: time goes on from the last record, until somebody
/// says that it is the record that was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_last_record_is_not_believed() {
    let world = World::new(&[NONE]).await;
    let config = world.config("");
    let last = now() + DAY * 3;
    written(&store(&config, Access::Serve), last).await;
    let mut process = Process::start(world.folder.path());
    let door = door(&mut process).await;
    let line = process.logs("behind what was written last").await;
    assert!(line.contains("3 days") || line.contains("2 days"), "{line}");
    let bob = world.recipient(NONE.0, NONE.1);
    assert!(Session::open(door).await.send(&bob, "now").await.starts_with("250 "));
    let (rows, _) = store(&config, Access::Visit).list(None, 10).await.unwrap();
    assert!(rows[0].arrived >= last, "{:?} is before {last:?}", rows[0].arrived);
    delivered(&store(&config, Access::Visit)).await;
    // As the line says: once trusted, and it is on record what time it is.
    assert!(line.contains("write clock = \"trusted\"") && line.contains("take that out"), "{line}");
    world.config("clock = \"trusted\"");
    process.signal(Signal::HUP);
    process.logs("its time is on record now. Take clock").await;
    process.logs("clock works again").await;
    process.ends_by(Signal::TERM).await;
    world.config("");
    let written = store(&config, Access::Serve).last_written().await.unwrap().unwrap();
    assert!(written < last, "{written:?}");
    let mut process = Process::start(world.folder.path());
    self::door(&mut process).await;
    process.ends_by(Signal::TERM).await;
    assert!(store(&config, Access::Serve).last_written().await.unwrap().unwrap() < last);
}

/// The same with a clock that somebody set far ahead: mail that waits is not returned for it, while
/// nothing confirms that its time is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_far_ahead_of_the_last_record_returns_no_mail() {
    let world = World::new(&[DANE]).await;
    let config = world.config("");
    let last = now().before(DAY * 60);
    let alone = store(&config, Access::Serve);
    drop(alone.accept(message(&world.recipient(DANE.0, DANE.1), last)).await.unwrap());
    written(&alone, last).await;
    drop(alone);
    let text = std::fs::read_to_string(world.file()).unwrap();
    let deaf = text.replace(&world.lab.dns_addr().to_string(), "127.0.0.1:9");
    assert_ne!(text, deaf);
    std::fs::write(world.file(), deaf).unwrap();
    let mut process = Process::start(world.folder.path());
    process.logs("ahead of what was written last").await;
    let beside = store(&config, Access::Visit);
    delivered(&beside).await;
    let (rows, _) = beside.list(None, 10).await.unwrap();
    let kept = rows.iter().find(|row| row.arrived == last).expect("it waits on");
    assert_eq!(kept.group.as_ref().unwrap().history.attempts, 1);
    process.ends_by(Signal::TERM).await;
}

/// A gateway that was switched off for two months: signatures confirm the clock before anything is
/// sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_far_ahead_is_believed_once_signatures_are_valid_then() {
    let world = World::new(&[DANE]).await;
    let config = world.config("");
    let alone = store(&config, Access::Serve);
    let bob = world.recipient(DANE.0, DANE.1);
    drop(alone.accept(message(&bob, now())).await.unwrap());
    written(&alone, now().before(DAY * 60)).await;
    drop(alone);
    let mut process = Process::start(world.folder.path());
    process.logs("signatures confirm it").await;
    let came = world.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await;
    assert!(came.is_some(), "it is sent at once");
    process.ends_by(Signal::TERM).await;
}
