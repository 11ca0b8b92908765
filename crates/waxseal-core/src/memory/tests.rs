//! What is remembered, what is taken back, and what only disappeared.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test that gets anything else fails")]

use std::time::Duration;

use super::{Alarm, Memory, Remembered, Retraction, Standing, TERM};
use crate::{
    channel::Level,
    dns::{Absence, Answer, Authenticity, FailureKind, LookupFailure},
    domain::Domain,
    facts::{Dane, Facts, HostFacts, Known, MxFact, NoTlsa, Peer, StsFact, StsFailure},
    sts::{Mode, Policy},
    time::UnixTime,
};

const THEN: UnixTime = UnixTime(1_800_000_000);

fn peer(name: &str) -> Peer {
    Peer::Name(Domain::parse(name).unwrap())
}

fn facts(authenticity: Authenticity, host: &str, dane: Dane, sts: StsFact) -> Facts {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    Facts {
        destination: Domain::parse("example.com").unwrap(),
        at: THEN,
        mx: MxFact::Found { authenticity, expanded: None, chain: None },
        hosts: vec![HostFacts {
            host: peer(host),
            preference: 10,
            port: 25,
            addresses: Answer::Found { value: addresses, authenticity, expires: THEN, chain: None },
            refused: Vec::new(),
            expanded: None,
            dane,
        }],
        sts,
        witnesses: Vec::new(),
    }
}

fn policy(mode: Mode, known: Known) -> StsFact {
    StsFact::Policy {
        policy: Policy { mode, mx: Vec::new(), max_age: Duration::from_hours(24) },
        known,
        id: None,
        fetched_at: THEN,
        expires: THEN + Duration::from_hours(24),
        refresh_failed: None,
    }
}

const UNSEEN: StsFact = StsFact::Absent { absence: Absence::Unconfirmed };
const SECURE: Authenticity = Authenticity::Secure;
const INSECURE: Authenticity = Authenticity::Insecure;
const DENIED: Dane = Dane::Absent(NoTlsa::Denied);
const UNSIGNED: Dane = Dane::Absent(NoTlsa::InsecureAddress);

fn memory(level: Level) -> Memory {
    Memory::default().confirm(level, &peer("mx.example.com"), THEN)
}

fn retraction(level: Level, facts: &Facts) -> Option<Retraction> {
    match memory(level).standing(facts, THEN) {
        Standing::Retracted(how) => Some(how),
        Standing::Stands(_) => None,
        standing => panic!("{standing:?}"),
    }
}

#[test]
fn the_best_level_is_kept_and_confirmed() {
    let later = THEN + Duration::from_hours(24);
    let best = memory(Level::Sts).confirm(Level::Dane, &peer("mx2.example.com"), later);
    let Some(Remembered { level, host, confirmed }) = best.best.clone() else { panic!() };
    assert_eq!((level, host, confirmed), (Level::Dane, peer("mx2.example.com"), later));
    let worse = best.confirm(Level::Encrypted, &peer("mx.example.com"), later);
    assert_eq!(worse, best, "a weaker channel neither lowers nor confirms");
}

#[test]
fn cleartext_and_our_own_pins_are_no_achievement() {
    for level in [Level::Cleartext, Level::Pinned] {
        assert_eq!(memory(level), Memory::default());
    }
}

#[test]
fn it_expires_thirty_days_after_its_last_confirmation() {
    let gone = facts(INSECURE, "mx.example.com", UNSIGNED, UNSEEN);
    let memory = memory(Level::Dane);
    let almost = (THEN + TERM).before(Duration::from_secs(1));
    assert!(matches!(memory.standing(&gone, almost), Standing::Stands(_)));
    assert_eq!(memory.standing(&gone, THEN + TERM), Standing::Expired);
    assert_eq!(memory.refresh(&gone, THEN + TERM), Memory::default());
    let anew = memory.confirm(Level::Encrypted, &peer("mx.example.com"), THEN + TERM);
    assert_eq!(anew.best.map(|best| best.level), Some(Level::Encrypted));
}

#[test]
fn a_signed_denial_takes_dane_back() {
    let denied = facts(SECURE, "mx.example.com", DENIED, UNSEEN);
    assert_eq!(retraction(Level::Dane, &denied), Some(Retraction::TlsaDenied));
}

#[test]
fn a_signed_new_mx_set_takes_all_back() {
    let moved = facts(SECURE, "other.example.org", UNSIGNED, UNSEEN);
    for level in [Level::Dane, Level::Sts, Level::Anchored, Level::Encrypted] {
        assert_eq!(retraction(level, &moved), Some(Retraction::MxChanged));
    }
}

#[test]
fn a_valid_policy_that_enforces_nothing_takes_mta_sts_back() {
    for mode in [Mode::None, Mode::Testing] {
        let off = facts(INSECURE, "mx.example.com", UNSIGNED, policy(mode, Known::FirstFetch));
        assert_eq!(retraction(Level::Sts, &off), Some(Retraction::PolicyWithdrawn));
        assert_eq!(retraction(Level::Dane, &off), None, "it says nothing about DANE");
        let old = facts(INSECURE, "mx.example.com", UNSIGNED, policy(mode, Known::Preloaded));
        assert_eq!(retraction(Level::Sts, &old), None, "a preloaded one is not today's word");
    }
}

/// The attacker on the path: hides the policy, forges an unsigned MX set, breaks TLSA answers.
#[test]
fn what_an_attacker_on_the_path_can_do_takes_nothing_back() {
    let failure = LookupFailure {
        name: "mx.example.com".parse().unwrap(),
        kind: FailureKind::Bogus,
        detail: "no valid signature".into(),
    };
    let unknown = StsFact::Unknown { failure: StsFailure::Fetch("refused".into()), since: THEN };
    for (authenticity, host, dane, sts) in [
        (INSECURE, "mx.example.com", UNSIGNED, UNSEEN),
        (INSECURE, "mx.attacker.example", UNSIGNED, UNSEEN),
        (INSECURE, "mx.example.com", DENIED, unknown),
        (SECURE, "mx.example.com", Dane::LookupFailed(failure), UNSEEN),
    ] {
        let seen = facts(authenticity, host, dane, sts);
        for level in [Level::Dane, Level::Sts, Level::Encrypted] {
            assert_eq!(retraction(level, &seen), None, "{level}: {seen:?}");
        }
    }
}

#[test]
fn a_disappearance_raises_an_alarm() {
    let gone = facts(INSECURE, "mx.example.com", UNSIGNED, UNSEEN);
    let alarms = memory(Level::Dane).alarms(&gone, THEN);
    assert_eq!(alarms, [Alarm::DaneGone { confirmed: THEN }]);
    let alarms = memory(Level::Sts).alarms(&gone, THEN);
    assert_eq!(alarms, [Alarm::StsGone { confirmed: THEN }]);
    let denied = facts(SECURE, "mx.example.com", DENIED, UNSEEN);
    assert_eq!(memory(Level::Dane).alarms(&denied, THEN), []);
    let unknown = StsFact::Unknown { failure: StsFailure::Fetch("refused".into()), since: THEN };
    let unknown = facts(INSECURE, "mx.example.com", UNSIGNED, unknown);
    let alarms = Memory::default().alarms(&unknown, THEN);
    assert_eq!(alarms, [Alarm::PolicyUnknown { since: THEN }]);
}

#[test]
fn a_weaker_channel_raises_an_alarm() {
    let alarm = memory(Level::Sts).weaker(Level::Encrypted, THEN);
    assert_eq!(alarm, Some(Alarm::Weaker { remembered: Level::Sts, seen: Level::Encrypted }));
    assert_eq!(memory(Level::Sts).weaker(Level::Dane, THEN), None);
    assert_eq!(memory(Level::Sts).weaker(Level::Cleartext, THEN + TERM), None);
}

/// Promise P3: two first deliveries run side by side. One reaches `dane`; the other one, which began
/// before that, ends later with `encrypted` at another host: what is remembered stays `dane`.
#[test]
fn what_another_delivery_achieved_meanwhile_is_not_lowered() {
    let signed = facts(SECURE, "mx.example.com", DENIED, UNSEEN);
    let (dane, other) = (peer("mx.example.com"), peer("mx2.example.com"));
    let after = THEN + Duration::from_secs(1);
    let stored = Memory::default().confirm(Level::Dane, &dane, after);
    assert_eq!(stored.after(&signed, [(Level::Encrypted, &other)], after), stored);
    // Newer facts take it back, and then a lower level is what there is.
    let newer = Facts { at: THEN + Duration::from_secs(2), ..signed };
    let lowered = stored.after(&newer, [(Level::Encrypted, &dane)], newer.at);
    assert_eq!(lowered.best.map(|best| best.level), Some(Level::Encrypted));
}
