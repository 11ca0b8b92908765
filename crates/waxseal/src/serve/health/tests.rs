use std::time::Duration;

use waxseal_core::dnssec::Name;

use super::{Announced, Dns, Standing, Warning, dns_checks};
use crate::web::{State, Topic};

fn key(tag: u16) -> Warning {
    Warning::UnknownKey { zone: Name::root(), tag }
}

/// The next key of the root is spoken of once, however often we look, and the one after it again.
#[test]
fn each_unknown_key_of_the_root_is_logged_once() {
    let announced = Announced::default();
    let slow = Warning::Upstream("upstream 192.0.2.1:53 did not answer".to_owned());
    assert_eq!(announced.first(&[slow.clone(), key(38_696)]), [&key(38_696)]);
    assert!(announced.first(&[slow, key(38_696)]).is_empty());
    assert!(announced.first(&[]).is_empty());
    assert_eq!(announced.first(&[key(38_696), key(7)]), [&key(7)]);
}

/// On the path of unauthenticated time: the signatures of the root are still valid some days ahead.
#[test]
fn a_leap_of_the_clock_fails_the_health_check() {
    let dns = Dns::Validating { warnings: Vec::new() };
    let state = |standing| dns_checks(&dns, standing).map(|check| (check.topic, check.state));
    let fine = [(Topic::Dns, State::Fine), (Topic::Clock, State::Fine)];
    assert_eq!(state(Standing::Agreed), fine);
    let failing = [(Topic::Dns, State::Fine), (Topic::Clock, State::Failing)];
    for wrong in [Standing::Leapt, Standing::Fallen, Standing::Behind, Standing::Ahead] {
        assert_eq!(state(wrong(Duration::from_hours(72))), failing);
    }
}
