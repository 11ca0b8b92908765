//! What a difference in SPF and DMARC means: whoever weakens a record seldom takes it away.

use super::world::*;
use crate::{
    assess::{
        DmarcPolicy, Published, SpfAll,
        change::{Class, Kind, Look, changes},
    },
    dns::Authenticity,
    pki::bench::NOW,
};

fn told(kind: Kind, before: &World, after: &World) -> Option<(Class, String)> {
    let (was, is) = (before.assess(), after.assess());
    let changed = changes(
        Look { survey: &before.survey, assessment: &was },
        Look { survey: &after.survey, assessment: &is },
    );
    let mut mine = changed.into_iter().filter(|change| change.kind == kind);
    mine.next().map(|change| (change.class, change.after))
}

/// A record as it stands in DNS.
fn written<T>(text: &str, value: T) -> Published<T> {
    let (authenticity, expires) = (Authenticity::Secure, NOW + DAY);
    Published::Found { value, text: text.into(), authenticity, expires }
}

fn spf(text: &str, all: SpfAll, open: &[&str]) -> World {
    let mut world = World::new();
    let mut value = world.survey.mail.spf.value().unwrap().clone();
    value.all = all;
    value.open = open.iter().map(ToString::to_string).collect();
    world.survey.mail.spf = written(text, value);
    world
}

/// Attacker: a thief with access to the zone, who lets everybody send in its name and leaves `-all` where
/// it stands. An ordinary sender that was added, and a record that was opened before, are drift.
#[test]
fn an_spf_record_that_lets_everybody_in_is_weaker_whatever_all_says() {
    let closed = spf("v=spf1 mx -all", SpfAll::Fail, &[]);
    let wide = "example.com: ip4:0.0.0.0/0";
    let open = spf("v=spf1 mx ip4:0.0.0.0/0 -all", SpfAll::Fail, &[wide]);
    let (class, after) = told(Kind::Spf, &closed, &open).unwrap();
    assert_eq!(class, Class::Weakening);
    assert!(after.contains(wide), "it says why: {after}");
    assert_eq!(told(Kind::Spf, &open, &closed).unwrap().0, Class::Repair);

    // The record of somebody who is included: ours is as it was.
    let included = "other.example, which is included, says +all";
    let opened = spf("v=spf1 mx -all", SpfAll::Fail, &[included]);
    assert_eq!(told(Kind::Spf, &closed, &opened).unwrap().0, Class::Weakening);

    let sender = spf("v=spf1 mx include:letters.example -all", SpfAll::Fail, &[]);
    assert_eq!(told(Kind::Spf, &closed, &sender).unwrap().0, Class::Drift);
    let softer = spf("v=spf1 mx ip4:0.0.0.0/0 ~all", SpfAll::SoftFail, &[wide]);
    assert_eq!(told(Kind::Spf, &open, &softer).unwrap().0, Class::Drift);
    assert_eq!(told(Kind::Spf, &open, &open), None);
}

/// An include that cannot be looked up once may be the one that lets everybody in: that says neither that it
/// is better now, nor that it was.
#[test]
fn an_spf_record_that_could_not_be_followed_is_compared_with_nothing() {
    let included = "other.example, which is included, says +all";
    let open = spf("v=spf1 include:other.example -all", SpfAll::Fail, &[included]);
    let mut unknown = spf("v=spf1 mx include:other.example -all", SpfAll::Fail, &[]);
    if let Published::Found { value, .. } = &mut unknown.survey.mail.spf {
        value.unknown = vec!["other.example could not be looked up: SERVFAIL".into()];
    }
    assert_eq!(told(Kind::Spf, &open, &unknown), None);
    assert_eq!(told(Kind::Spf, &unknown, &open), None);
}

/// Attacker: a thief with access to the zone, who leaves `p=reject` where it stands for those who count
/// messages (RFC 7489 §6.3).
#[test]
fn a_dmarc_record_for_a_part_of_the_mail_is_weaker() {
    let whole = dmarc("v=DMARC1; p=reject", (DmarcPolicy::Reject, None, None));
    let mut part = dmarc("v=DMARC1; p=reject; pct=0", (DmarcPolicy::Reject, None, None));
    if let Published::Found { value, .. } = &mut part.survey.mail.dmarc {
        value.percent = Some(0);
    }
    assert_eq!(told(Kind::Dmarc, &whole, &part).unwrap().0, Class::Weakening);
    assert_eq!(told(Kind::Dmarc, &part, &whole).unwrap().0, Class::Repair);
}

type Asked = (DmarcPolicy, Option<DmarcPolicy>, Option<DmarcPolicy>);

fn dmarc(text: &str, (policy, subdomains, nonexistent): Asked) -> World {
    let mut world = World::new();
    let mut value = world.survey.mail.dmarc.value().unwrap().clone();
    (value.policy, value.subdomains, value.nonexistent) = (policy, subdomains, nonexistent);
    world.survey.mail.dmarc = written(text, value);
    world
}

/// Attacker: a thief with access to the zone, who sends as `bills.example.com` and leaves `p=reject` where it
/// stands. More at one place makes up for nothing at another.
#[test]
fn a_dmarc_record_that_gives_up_subdomains_is_weaker_whatever_p_says() {
    let (none, reject) = (DmarcPolicy::None, DmarcPolicy::Reject);
    let class = |was: Asked, is: Asked| {
        told(Kind::Dmarc, &dmarc("before", was), &dmarc("after", is)).unwrap().0
    };
    let whole = (reject, Some(reject), None);
    assert_eq!(class(whole, (reject, Some(none), None)), Class::Weakening);
    assert_eq!(class(whole, (reject, None, Some(none))), Class::Weakening);
    assert_eq!(class((none, Some(reject), None), (reject, Some(none), None)), Class::Weakening);
    assert_eq!(class((none, Some(none), None), (reject, Some(none), None)), Class::Repair);
    assert_eq!(class((reject, Some(none), None), whole), Class::Repair);
    // It says what followed before: `sp` from `p`, `np` from `sp`.
    assert_eq!(class((reject, None, None), (reject, Some(reject), Some(reject))), Class::Drift);
    // A look that an older version kept without `np`: the same record is no other one.
    let text = "v=DMARC1; p=reject; np=none";
    let (kept, now) = (dmarc(text, (reject, None, None)), dmarc(text, (reject, None, Some(none))));
    assert_eq!(told(Kind::Dmarc, &kept, &now), None);
}
