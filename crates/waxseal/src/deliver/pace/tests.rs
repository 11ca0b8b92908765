use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;
use waxseal_core::{domain::Domain, facts::Peer};

use super::{Gate, MAX_ENTRIES, Pace, operator};

fn name(text: &str) -> Peer {
    Peer::Name(Domain::parse(text).unwrap())
}

#[test]
fn hosts_of_one_operator_count_together() {
    for (host, expected) in [
        ("mx1.mail.example.net", "example.net"),
        ("mx2.example.net", "example.net"),
        ("example.net", "example.net"),
        ("example-org.mail.protection.outlook.com", "outlook.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("mx.example.com.br", "example.com.br"),
        ("mx.example.de", "example.de"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(operator(&name(host)), expected, "{host}");
    }
    assert_eq!(operator(&Peer::Literal(IpAddr::from([192, 0, 2, 1]))), "192.0.2.1");
}

/// Units of time: long enough for a busy machine.
fn later(units: u32) -> Instant {
    Instant::now() + UNIT * units
}

const UNIT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn no_more_than_so_many_at_once() {
    let gate = Gate::new(Pace { at_once: 2, interval: Duration::ZERO });
    let first = gate.enter("mx", later(1)).await;
    let second = gate.enter("mx", later(1)).await;
    assert!(first.is_some() && second.is_some());
    assert!(gate.enter("mx", later(1)).await.is_none());
    assert!(gate.enter("other", later(1)).await.is_some());
    drop(first);
    assert!(gate.enter("mx", later(1)).await.is_some());
}

/// A timer of the runtime ends with the next millisecond at the earliest: three of them in a row for each
/// delivery cost a quarter of all messages a second.
#[test]
fn a_delivery_that_need_not_wait_sets_no_timer() {
    let without_timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
    without_timers.block_on(async {
        for interval in [Duration::ZERO, Duration::from_hours(1)] {
            let gate = Gate::new(Pace { at_once: 2, interval });
            assert!(gate.enter("mx", later(1)).await.is_some());
        }
        let gate = Gate::new(Pace { at_once: 2, interval: Duration::ZERO });
        assert!(gate.enter("mx", later(1)).await.is_some());
        assert!(gate.enter("mx", later(1)).await.is_some());
    });
}

#[tokio::test]
async fn no_faster_than_the_pace() {
    let gate = Gate::new(Pace { at_once: 10, interval: UNIT * 3 });
    let start = Instant::now();
    for _ in 0..4 {
        assert!(gate.enter("mx", later(60)).await.is_some());
    }
    assert!(start.elapsed() >= UNIT * 9);
    // The next may start after three units, which is more than this one waits.
    assert!(gate.enter("mx", later(0)).await.is_none());
}

/// An attacker with many MX names cannot make the list of places grow for ever.
#[tokio::test]
async fn forgotten_places_take_no_memory() {
    let gate = Gate::new(Pace { at_once: 1, interval: Duration::ZERO });
    let held = gate.enter(usize::MAX, later(1)).await;
    for number in 0..2 * MAX_ENTRIES {
        assert!(gate.enter(number, later(1)).await.is_some());
    }
    assert!(gate.0.lock().unwrap().entries.len() <= MAX_ENTRIES + 1);
    assert!(gate.enter(usize::MAX, later(1)).await.is_none(), "still held");
    drop(held);
}

/// An administrator's script that reloads every minute opens no more sessions to anybody.
#[tokio::test]
async fn a_new_limit_counts_what_goes_on_under_the_old_one() {
    let pace = |at_once| Pace { at_once, interval: Duration::ZERO };
    let gate = Gate::new(pace(3));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(gate.enter("mx", later(1)).await.unwrap());
    }
    gate.limit(pace(1));
    for _ in 0..3 {
        assert!(gate.enter("mx", later(0)).await.is_none());
        held.pop();
    }
    let only = gate.enter("mx", later(1)).await;
    assert!(only.is_some());
    assert!(gate.enter("mx", later(0)).await.is_none(), "one at a time");
    // Raised again while more than one wait: they go on at once.
    let raise = async { gate.limit(pace(3)) };
    let (second, third, ()) =
        tokio::join!(gate.enter("mx", later(600)), gate.enter("mx", later(600)), raise);
    assert!(second.is_some() && third.is_some());
    assert!(gate.enter("mx", later(0)).await.is_none(), "three, with the one from before");
}

/// Lowered twice and raised once while all places are taken: what is over is not given back twice.
#[tokio::test]
async fn places_over_the_limit_are_kept_track_of() {
    let pace = |at_once| Pace { at_once, interval: Duration::ZERO };
    let gate = Gate::new(pace(4));
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(gate.enter("mx", later(1)).await.unwrap());
    }
    for at_once in [2, 1, 3] {
        gate.limit(pace(at_once));
    }
    held.pop();
    assert!(gate.enter("mx", later(0)).await.is_none(), "three of three are taken");
    held.pop();
    held.push(gate.enter("mx", later(1)).await.unwrap());
    assert!(gate.enter("mx", later(0)).await.is_none());
    drop(held);
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(gate.enter("mx", later(1)).await.unwrap());
    }
    assert!(gate.enter("mx", later(0)).await.is_none());
}

#[tokio::test]
async fn a_new_interval_runs_from_the_last_start() {
    let pace = |interval| Pace { at_once: 5, interval };
    let gate = Gate::new(pace(Duration::ZERO));
    assert!(gate.enter("mx", later(1)).await.is_some());
    gate.limit(pace(Duration::from_hours(1)));
    assert!(gate.enter("mx", later(1)).await.is_none(), "an hour from the start before");
    gate.limit(pace(Duration::ZERO));
    assert!(gate.enter("mx", later(1)).await.is_some());
}
