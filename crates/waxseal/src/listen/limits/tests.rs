//! Who is let in, and who has to wait.

use super::*;

fn origin(text: &str) -> Origin {
    Origin::of(text.parse().unwrap())
}

#[test]
fn sessions_are_limited_in_all_and_for_each_client_and_places_come_back() {
    let sessions = Arc::new(Sessions::default());
    let first = sessions.enter(origin("192.0.2.1"), 3, 2).unwrap();
    let _second = sessions.enter(origin("::ffff:192.0.2.1"), 3, 2).unwrap();
    assert_eq!(sessions.enter(origin("192.0.2.1"), 3, 2).unwrap_err(), Crowded::Client);
    let _third = sessions.enter(origin("192.0.2.2"), 3, 2).unwrap();
    assert_eq!(sessions.enter(origin("192.0.2.3"), 3, 2).unwrap_err(), Crowded::Total);
    drop(first);
    assert!(sessions.enter(origin("192.0.2.1"), 3, 2).is_ok());
}

/// A client with a whole IPv6 network is one client.
#[test]
fn an_ipv6_network_of_64_bits_is_one_client() {
    assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
    assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
}

/// The guesser of passwords.
#[test]
fn after_twenty_failures_an_address_waits_ten_minutes() {
    let (failures, start) = (Failures::of(MAX_SIGN_INS), Instant::now());
    for _ in 0..MAX_SIGN_INS {
        assert!(!failures.too_often(origin("192.0.2.1"), start));
        failures.count(origin("192.0.2.1"), start);
    }
    assert!(failures.too_often(origin("192.0.2.1"), start));
    assert!(!failures.too_often(origin("192.0.2.2"), start));
    assert!(!failures.too_often(origin("192.0.2.1"), start + WINDOW));
}

/// The guesser with very many addresses: memory stays bounded, and nobody gets free tries.
#[test]
fn when_all_places_are_taken_new_addresses_wait_too() {
    let (failures, start) = (Failures::of(MAX_SIGN_INS), Instant::now());
    for n in 0..u32::try_from(MAX_ADDRESSES).unwrap() {
        failures.count(Origin::of(IpAddr::from(n.to_be_bytes())), start);
    }
    let new = origin("203.0.113.1");
    assert!(failures.too_often(new, start));
    assert!(!failures.too_often(new, start + WINDOW));
    assert!(failures.counts.lock().unwrap().is_empty());
}

/// Attacker: a botnet that names people who do not exist. Its questions wait for each other and not in
/// the way of others; from as many addresses as can be counted it does not stop the mail of all
/// others.
#[test]
fn who_names_several_that_do_not_exist_waits_apart_and_who_names_many_is_not_served() {
    let unknown = Failures::of(MAX_UNKNOWN);
    let now = Instant::now();
    let lanes: Vec<_> = (0..=MAX_UNKNOWN)
        .map(|_| {
            let lane = unknown.lane(origin("192.0.2.1"), now);
            unknown.count(origin("192.0.2.1"), now);
            lane
        })
        .collect();
    assert_eq!(lanes.iter().filter(|lane| **lane == Some(Lane::Wide)).count(), 5);
    assert_eq!(lanes.iter().filter(|lane| **lane == Some(Lane::Narrow)).count(), 95);
    assert_eq!(lanes.last(), Some(&None));
    assert_eq!(unknown.lane(origin("192.0.2.2"), now), Some(Lane::Wide));
    let later = now + WINDOW;
    assert_eq!(unknown.lane(origin("192.0.2.1"), later), Some(Lane::Wide));
    for network in 0..=MAX_ADDRESSES {
        let [.., high, low] = u64::try_from(network).unwrap().to_be_bytes();
        let third = network >> 16;
        unknown.count(origin(&format!("2001:db8:{third:x}:{high:02x}{low:02x}::1")), now);
    }
    assert_eq!(unknown.counts.lock().unwrap().len(), MAX_ADDRESSES);
    assert_eq!(unknown.lane(origin("192.0.2.3"), now), Some(Lane::Narrow));
    unknown.count(origin("192.0.2.3"), later);
    assert_eq!(unknown.lane(origin("192.0.2.4"), later), Some(Lane::Wide));
}
