use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use waxseal_core::assess::Unprobed;

use super::{MOST_PLACES, NEIGHBOURS, Network, Outcome, Rules, Turns};
use crate::deliver::Pace;

const UNIT: Duration = Duration::from_millis(50);

/// Nobody is slow by these, however busy this machine is.
fn rules(interval: Duration) -> Rules {
    let hour = Duration::from_hours(1);
    let pace = Pace { at_once: 1, interval };
    Rules { pace, fruitless: hour, slow: hour, window: hour, allowance: hour }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_network_is_what_is_routed_on_its_own() {
    let same = |one, other| Network::from(ip(one)) == Network::from(ip(other));
    assert!(same("192.0.2.1", "192.0.2.255"));
    assert!(!same("192.0.2.1", "192.0.3.1"));
    assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
    assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    assert!(same("::ffff:192.0.2.1", "192.0.2.9"), "an IPv4 address in IPv6 clothes");
}

/// Runs a turn for each, all at the same time; yields the most that had theirs at once.
async fn crowd(turns: &Arc<Turns>, wanted: Vec<(String, IpAddr)>) -> usize {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut all = JoinSet::new();
    for (operator, address) in wanted {
        let (turns, inside, most) = (Arc::clone(turns), Arc::clone(&inside), Arc::clone(&most));
        all.spawn(async move {
            let turn = turns.take(operator, address, soon()).await.unwrap();
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            turn.pause().await;
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        });
    }
    all.join_all().await;
    most.load(Ordering::SeqCst)
}

/// A provider, or somebody whom a hostile zone aims us at: whatever the names and addresses are, the
/// connections at once are few.
#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_for_an_operator_and_an_address_and_few_for_a_network() {
    let turns = Arc::new(Turns::new(rules(Duration::ZERO)));
    let names = |n: usize| format!("customer{n}.example");
    let host = |n: usize| ip(&format!("192.0.2.{n}"));
    let address = (0..200).map(|n| (names(n), host(1))).collect();
    assert_eq!(crowd(&turns, address).await, 1);
    let operator =
        (0..200).map(|n| ("example.net".to_owned(), ip(&format!("198.51.{n}.1")))).collect();
    assert_eq!(crowd(&turns, operator).await, 1);
    let network = crowd(&turns, (0..200).map(|n| (names(n), host(n))).collect()).await;
    assert!((1..=NEIGHBOURS).contains(&network), "{network}");
    let v6 = |n: usize| (names(n), ip(&format!("2001:db8::{n:x}")));
    let network = crowd(&turns, (0..200).map(v6).collect()).await;
    assert!((1..=NEIGHBOURS).contains(&network), "{network}");
}

#[tokio::test]
async fn a_pause_follows_each_connection_to_an_operator_or_an_address() {
    let turns = Turns::new(rules(UNIT));
    let began = Instant::now();
    for (operator, address) in
        [("one", "192.0.2.1"), ("other", "192.0.2.1"), ("other", "198.51.100.1")]
    {
        let taken = Instant::now();
        let turn = turns.take(operator.into(), ip(address), soon()).await.unwrap();
        turn.pause().await;
        turn.pause().await;
        assert!(turn.spent() + UNIT <= taken.elapsed(), "pauses are not counted");
    }
    assert!(began.elapsed() >= UNIT * 5, "{:?}", began.elapsed());
    let turns = Turns::new(rules(Duration::from_hours(1)));
    for (operator, address) in [("one", "192.0.2.1"), ("third", "203.0.113.1")] {
        let turn = turns.take(operator.into(), ip(address), soon()).await.unwrap();
        let stranger = timeout_at(soon(), turn.pause()).await;
        assert!(stranger.is_ok(), "{operator}: a stranger waits for nobody");
    }
}

#[tokio::test]
async fn a_turn_that_does_not_come_in_time_is_given_up() {
    let turns = Turns::new(rules(Duration::ZERO));
    let _held = turns.take("one".into(), ip("192.0.2.1"), soon()).await.unwrap();
    for (operator, address) in [("one", "198.51.100.1"), ("other", "192.0.2.1")] {
        let late = turns.take(operator.into(), ip(address), Instant::now()).await;
        assert_eq!(late.err(), Some(Unprobed::NoTurn));
    }
}

/// A hostile zone that names an address of somebody else, and hosts of its own that answer an octet a
/// second: its line is long, and that of the address is not.
#[tokio::test]
async fn who_waits_for_a_slow_operator_keeps_no_address_from_others() {
    let turns = Arc::new(Turns::new(rules(Duration::ZERO)));
    let tarpit = turns.take("tarpit".into(), ip("198.51.100.1"), soon()).await.unwrap();
    let mut waiting = Box::pin(turns.take("tarpit".into(), ip("192.0.2.1"), soon()));
    assert!(by_now(&mut waiting).await.is_none(), "it waits");
    let honest = turns.take("honest".into(), ip("192.0.2.1"), soon()).await;
    assert!(honest.is_ok());
    drop((tarpit, honest));
    assert!(waiting.await.is_ok());
}

/// What a future has by now.
async fn by_now<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// An operator with an address for each name, each of which takes all the time that there is.
#[tokio::test]
async fn who_takes_up_our_time_is_left_alone_and_a_quick_one_is_not() {
    let slow =
        Rules { fruitless: Duration::ZERO, allowance: Duration::from_nanos(1), ..rules(UNIT) };
    let turns = Turns::new(slow);
    for (operator, outcome, expected) in
        [("good", Outcome::Result, false), ("bad", Outcome::Nothing, true)]
    {
        let turn = turns.take(operator.into(), ip("192.0.2.1"), soon()).await.unwrap();
        turn.pause().await;
        turn.came_to(outcome);
        drop(turn);
        let next = turns.take(operator.into(), ip("198.51.100.1"), soon()).await;
        assert_eq!(next.err() == Some(Unprobed::TooSlow), expected, "{operator}");
    }
    // The window ends.
    let over = Turns::new(Rules { window: Duration::ZERO, ..slow });
    assert!(over.take("bad".into(), ip("192.0.2.1"), soon()).await.is_ok());
}

/// Attacker: an operator whose hosts take all the time that there is; and an administrator's script that
/// reloads every minute. A new configuration makes us no less polite, and forgets nobody who was slow.
#[tokio::test]
async fn turns_go_on_under_the_next_configuration() {
    let slow =
        Rules { fruitless: Duration::ZERO, allowance: Duration::from_nanos(1), ..rules(UNIT) };
    let turns = Turns::new(rules(UNIT));
    let next = turns.next(slow);
    let held = turns.take("one".into(), ip("192.0.2.1"), soon()).await.unwrap();
    held.pause().await;
    for (operator, address) in [("one", "198.51.100.1"), ("other", "192.0.2.1")] {
        let late = next.take(operator.into(), ip(address), Instant::now()).await;
        assert_eq!(late.err(), Some(Unprobed::NoTurn), "{operator} is being asked");
    }
    let began = Instant::now();
    drop(held);
    let turn = next.take("one".into(), ip("198.51.100.1"), soon()).await.unwrap();
    turn.pause().await;
    assert!(began.elapsed() >= UNIT, "the pause after the connection of before: {began:?}");
    drop(turn);
    let again = next.next(slow).take("one".into(), ip("198.51.100.1"), soon()).await;
    assert_eq!(again.err(), Some(Unprobed::TooSlow));
}

/// An attacker with many names cannot make the list of places grow for ever.
#[tokio::test]
async fn forgotten_places_take_no_memory() {
    let turns = Turns::new(rules(Duration::ZERO));
    for number in 0..MOST_PLACES * 2 {
        drop(turns.take(format!("o{number}"), ip("192.0.2.1"), soon()).await);
    }
    assert!(turns.places.lock().unwrap().len() <= MOST_PLACES + 3);
}
