//! Clocks that are wrong, and files that somebody else wrote.

use super::{
    doors::{ask, has, host, waits},
    *,
};

fn clock(now: UnixTime, up: u64) -> Clock {
    Clock { now, boot: "this start".to_owned(), up }
}

/// What was seen: first the key in use alone, ten seconds later both, with a TTL of an hour.
fn seen() -> Memory {
    let mut memory = Memory::default();
    memory.begin(clock(NOW, 1_000));
    let known = memory.hosts.entry(name("mx.example.com")).or_default();
    ask(&host(&[1], &[2]), &[has(&[1], 3_600)], known, NOW);
    ask(&host(&[1], &[2]), &[has(&[1, 2], 3_600)], known, later(10));
    memory.begin(clock(later(10), 1_010));
    memory
}

/// One more look, when this clock says so.
fn look(memory: &mut Memory, at: Clock) -> (ClockSet, Item) {
    let now = at.now;
    let set = memory.begin(at);
    let known = memory.hosts.get_mut(&name("mx.example.com")).unwrap();
    (set, ask(&host(&[1], &[2]), &[has(&[1, 2], 3_600)], known, now).remove(0))
}

/// A mistake, or an attacker who answers for the time server: DNSSEC bears a day more.
#[test]
fn a_clock_that_is_set_ahead_opens_no_door_early() {
    let mut memory = seen();
    let (set, item) = look(&mut memory, clock(later(86_400 + 70), 1_070));
    assert_eq!(set, ClockSet::By(86_400));
    assert_eq!(waits(&item), Some(later(86_400 + 10 + 7_201)));
    // And set right again.
    let (set, item) = look(&mut memory, clock(later(80), 1_080));
    assert_eq!((set, waits(&item)), (ClockSet::By(-86_400), Some(later(10 + 7_201))));
    assert!(look(&mut memory, clock(later(10 + 7_201), 1_010 + 7_201)).1.is_open());
}

#[test]
fn a_clock_that_runs_a_little_off_is_no_clock_that_was_set() {
    let mut memory = seen();
    let (set, item) = look(&mut memory, clock(later(613), 1_610));
    assert_eq!((set, waits(&item)), (ClockSet::No, Some(later(10 + 7_201))));
}

#[test]
fn what_was_seen_by_a_clock_of_the_year_2036_keeps_no_door_shut_until_then() {
    let mut memory = seen();
    let far = 10 * 31_557_600;
    let mut old = seen();
    let known = old.hosts.get_mut(&name("mx.example.com")).unwrap();
    known.caches.stale_until = later(far);
    known.keys.values_mut().for_each(|spell| spell.since = later(far));
    memory.hosts = old.hosts;
    // Another start of the machine: nothing to compare with.
    let other = Clock { now: later(100), boot: "another".to_owned(), up: 5 };
    let (set, item) = look(&mut memory, other);
    assert_eq!(set, ClockSet::No);
    let week = 7 * 86_400;
    assert_eq!(waits(&item), Some(later(100 + week + 1)), "no cache holds more than a week");
}

/// Hostile file: numbers without bounds neither stop us nor open anything.
#[test]
fn a_forged_file_with_huge_numbers_stops_nothing() {
    let mut memory = seen();
    let known = memory.hosts.get_mut(&name("mx.example.com")).unwrap();
    known.caches.ttl = u64::MAX;
    known.caches.stale_until = UnixTime(u64::MAX);
    known.keys.values_mut().for_each(|spell| {
        spell.since = UnixTime(u64::MAX);
        spell.ttl = u64::MAX;
    });
    let mut memory = Memory::read(&memory.write()).unwrap();
    let strange = Clock { now: later(20), boot: "this start".to_owned(), up: u64::MAX };
    assert!(!look(&mut memory, strange).1.is_open());
    assert!(!look(&mut memory, clock(UnixTime(0), 0)).1.is_open());
}

#[test]
fn files_of_before_there_was_a_clock_in_them_are_read() {
    let old = "{\"version\":1,\"hosts\":{},\"domains\":{}}";
    assert_eq!(Memory::read(old).unwrap(), Memory::default());
}
