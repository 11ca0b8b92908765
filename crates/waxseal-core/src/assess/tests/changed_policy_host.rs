//! What a difference at the policy host means, at each of its addresses; and what merely ran out.

use std::time::Duration;

use super::world::*;
use crate::{
    assess::{
        PolicyElsewhere, PolicyThere, Published, Signing,
        change::{Change, Class, Kind, Look, changes},
    },
    dns::FailureKind,
    facts::{Dane, MxFact, StsFailure},
    pki::bench::NOW,
    sts::Mode,
    time::UnixTime,
};

const FIRST: &str = "192.0.2.80";
const SECOND: &str = "192.0.2.81";
const THIRD: &str = "192.0.2.82";

fn between(before: &World, after: &World) -> Vec<Change> {
    let (was, is) = (before.assess(), after.assess());
    changes(
        Look { survey: &before.survey, assessment: &was },
        Look { survey: &after.survey, assessment: &is },
    )
}

fn class(kind: Kind, before: &World, after: &World) -> Option<Class> {
    between(before, after).iter().find(|change| change.kind == kind).map(|change| change.class)
}

fn self_signed() -> StsFailure {
    StsFailure::Certificate("self-signed".into())
}

/// The certificate that was seen before ended then.
fn certified_until(until: UnixTime) -> World {
    let mut world = World::new();
    world.survey.policy.host_certificate_expires = Some(until);
    world
}

/// Nobody: a certificate of the policy host that was not renewed in time. One that still had its time and
/// was replaced by one that does not hold is somebody else's: an attacker on the path.
#[test]
fn a_policy_host_whose_certificate_ran_out_is_no_attack() {
    let mut after = World::new();
    after.survey.policy.served = Some(Err(self_signed()));
    let told = |until| class(Kind::Sts, &certified_until(until), &after);
    assert_eq!(told(NOW.before(Duration::from_mins(10))), Some(Class::Weakening));
    assert_eq!(told(NOW + DAY * 60), Some(Class::LikelyAttack));
    // The look before was long before the end: what was renewed since then, nobody knows.
    let mut long_ago = certified_until(NOW.before(DAY));
    long_ago.survey.facts.at = NOW.before(DAY * 10);
    assert_eq!(class(Kind::Sts, &long_ago, &after), Some(Class::LikelyAttack));
    // Renewed in time.
    let renewed = World::new();
    assert_eq!(class(Kind::Sts, &certified_until(NOW + DAY), &renewed), None);
}

fn signed(from: UnixTime, until: UnixTime) -> Signing {
    let Signing::Signed { algorithms, smallest_rsa, nsec3_iterations, ds_digests, .. } =
        zone("example.com").signing
    else {
        panic!("it is signed")
    };
    Signing::Signed {
        algorithms,
        smallest_rsa,
        first_expiry: until,
        signed_at: Some(from),
        nsec3_iterations,
        ds_digests,
    }
}

/// Nobody: the signer of a zone stopped, and its signatures ran out as the look before said. Signatures that
/// had their time left, or that are made anew for each answer, do not stop to hold by themselves: an
/// attacker on the path.
#[test]
fn signatures_that_ran_out_are_no_attack() {
    let bogus = || failure(FailureKind::Bogus);
    let mut after = World::new();
    after.survey.zone.signing = Signing::Failed(bogus());
    after.host(0).zone.signing = Signing::Failed(bogus());
    after.facts(0).dane = Dane::LookupFailed(bogus());
    after.survey.mail.dkim[0].1 = Published::Failed(bogus());
    after.survey.policy.served = Some(Err(StsFailure::Record(bogus())));
    let mut gone = after.clone();
    gone.survey.facts.mx = MxFact::Failed(bogus());
    let seen = |at, from, until| {
        let mut before = World::new();
        before.survey.facts.at = at;
        before.survey.zone.signing = signed(from, until);
        before.host(0).zone.signing = signed(from, until);
        let found = [between(&before, &after), between(&before, &gone)].concat();
        for kind in [Kind::Dnssec, Kind::Tlsa, Kind::Dkim, Kind::Sts, Kind::Mx] {
            assert!(found.iter().any(|change| change.kind == kind), "{kind:?}: {found:?}");
        }
        let mut classes: Vec<_> = found.iter().map(|change| change.class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    };
    let told = |from, until| seen(NOW, from, until);
    let ago = |days| NOW.before(DAY * days);
    assert_eq!(told(ago(15), ago(1)), [Class::Weakening]);
    assert_eq!(told(ago(4), NOW + DAY * 10), [Class::LikelyAttack]);
    assert_eq!(told(ago(2), ago(1)), [Class::LikelyAttack], "made while it answers");
    assert_eq!(seen(ago(2), ago(15), ago(1)), [Class::Weakening]);
    assert_eq!(
        seen(ago(10), ago(15), ago(1)),
        [Class::LikelyAttack],
        "renewed since, for all we know"
    );
}

/// A policy host with a second address, which serves this.
fn with(address: &str, serves: PolicyThere, until: UnixTime) -> World {
    let mut world = World::new();
    world.survey.policy.address = Some(ip(FIRST));
    let certificate = match &serves {
        PolicyThere::Fails(_) => None,
        PolicyThere::Same | PolicyThere::Other(_) => Some((NOW.before(DAY * 30), until)),
    };
    let there = PolicyElsewhere { address: ip(address), serves, certificate };
    world.survey.policy.elsewhere = vec![there];
    world
}

/// Attacker: on the path to the second address of a policy host, with a certificate of his own; senders take
/// any address. A new address each time is one change of the host.
#[test]
fn somebody_before_another_address_of_the_policy_host_is_a_likely_attack() {
    let (same, later) = (|| PolicyThere::Same, NOW + DAY * 60);
    let good = with(SECOND, same(), later);
    let told = |before: &World, after: &World| {
        let found = between(before, after);
        found.into_iter().map(|change| (change.class, change.subject)).collect::<Vec<_>>()
    };
    let here = format!("mta-sts.example.com [{SECOND}]");
    let foreign = with(SECOND, PolicyThere::Fails(self_signed()), later);
    assert_eq!(told(&good, &foreign), [(Class::LikelyAttack, here.clone())]);
    assert_eq!(told(&foreign, &good), [(Class::Repair, here.clone())]);
    assert_eq!(told(&foreign, &foreign), []);
    for address in [SECOND, THIRD] {
        let strange = with(address, PolicyThere::Fails(self_signed()), later);
        let mut alone = World::new();
        alone.survey.policy.address = Some(ip(FIRST));
        assert_eq!(
            told(&alone, &strange),
            [(Class::LikelyAttack, "mta-sts.example.com".to_owned())]
        );
    }
    let weaker = PolicyThere::Other(policy(Mode::None, &[]));
    assert_eq!(told(&good, &with(SECOND, weaker, later)), [(Class::Weakening, here.clone())]);
    let gone = PolicyThere::Fails(StsFailure::Fetch("404".into()));
    assert_eq!(told(&good, &with(SECOND, gone, later)), [(Class::Weakening, here.clone())]);

    // The harmless ones: it ran out there, it was not reached, it has the old file or the new one still.
    let ended = with(SECOND, same(), NOW.before(DAY));
    assert_eq!(told(&ended, &foreign), [(Class::Weakening, here.clone())]);
    let silent = PolicyThere::Fails(StsFailure::Unreached("silent".into()));
    assert_eq!(told(&good, &with(SECOND, silent, later)), []);
    assert_eq!(told(&good, &with(SECOND, same(), later + DAY * 60)), []);
    let more = PolicyThere::Other(policy(Mode::Enforce, &["mx.example.net", "mx3.example.net"]));
    assert_eq!(told(&good, &with(SECOND, more, later)), [(Class::Drift, here)]);
    let old = policy(Mode::Enforce, &["mx.example.net"]);
    let mut rolled = with(SECOND, PolicyThere::Other(old), later);
    rolled.policy(policy(Mode::Enforce, &["mx.example.net", "mx3.example.net"]));
    let classes: Vec<_> = told(&good, &rolled).into_iter().map(|(class, _)| class).collect();
    assert_eq!(classes, [Class::Drift], "of the first address alone");
}
