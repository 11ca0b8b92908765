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
