//! DKIM keys of our own: what stands at their selectors, and what a change of it means.

use super::world::*;
use crate::{
    assess::{
        DkimKey, Id, MailRecords, Published, Severity,
        change::{Change, Class, Kind, Look, changes},
    },
    dns::{Authenticity, FailureKind},
};

const NAME: &str = "one._domainkey.example.com";
const STRANGER: &str = "66";

fn key(digest: &str) -> Published<DkimKey> {
    found(DkimKey { digest: Some(digest.into()), ..dkim() })
}

/// Our selectors with the keys that they have to hold, and what stands there.
fn world(own: &[(&str, Result<&str, &str>)], there: &[(&str, Published<DkimKey>)]) -> World {
    let mut world = World::two();
    let mail: &mut MailRecords = &mut world.survey.mail;
    mail.own = own.iter().map(|(selector, digest)| own_key(selector, *digest)).collect();
    mail.dkim = there.iter().map(|(name, key)| ((*name).to_owned(), key.clone())).collect();
    world
}

/// One selector.
fn one(own: Result<&str, &str>, there: Published<DkimKey>) -> World {
    world(&[("one", own)], &[("one", there)])
}

fn between(before: &World, after: &World) -> Vec<Change> {
    let (was, is) = (before.assess(), after.assess());
    changes(
        Look { survey: &before.survey, assessment: &was },
        Look { survey: &after.survey, assessment: &is },
    )
}

/// What became of the selectors; that anything else changed would be a fault.
fn classes(before: &World, after: &World) -> Vec<(String, Class)> {
    let changed = between(before, after);
    assert!(changed.iter().all(|change| change.kind == Kind::Dkim), "{changed:?}");
    changed.into_iter().map(|change| (change.subject, change.class)).collect()
}

fn is(class: Class) -> Vec<(String, Class)> {
    vec![(NAME.to_owned(), class)]
}

fn severity(world: &World, id: Id) -> Option<Severity> {
    let assessment = world.assess();
    let mine = assessment.findings.iter().find(|finding| finding.id == id)?;
    assert!(mine.subject.ends_with("._domainkey.example.com"), "{mine:?}");
    Some(mine.severity)
}

/// Attacker: somebody with access to the zone puts in a key of his own. It is told after the look that
/// confirms it, whatever stood there before, and what the domain is worth to those who write to it
/// stays as it is.
#[test]
fn somebody_with_access_to_the_zone_puts_in_a_key_of_his_own() {
    let after = one(Ok(OUR_KEY), key(STRANGER));
    for before in [key(OUR_KEY), absent(), broken(), Published::NotAsked, key("77")] {
        let before = one(Ok(OUR_KEY), before);
        assert_eq!(classes(&before, &after), is(Class::LikelyAttack));
    }
    let changed = between(&one(Ok(OUR_KEY), key(OUR_KEY)), &after);
    assert_eq!(changed[0].looks_needed(), Some(2));
    assert!(changed[0].after.contains("not ours (66)"), "{changed:?}");
    assert_eq!(severity(&after, Id::DkimOtherKey), Some(Severity::Error));
    assert_eq!(classes(&after, &after), [], "it was there before");
    let gone = one(Ok(OUR_KEY), key(OUR_KEY));
    assert_eq!(classes(&after, &gone), is(Class::Repair));
    assert_eq!(severity(&gone, Id::DkimOtherKey), None);
}

/// Attacker with access to the zone: at the selector of the next key, before that was published, and at a
/// selector that nobody had looked at.
#[test]
fn a_strangers_key_at_the_next_selector_is_an_attack_too() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    let next = |there| {
        let own = [("one", Ok(OUR_KEY)), ("two", Ok("0b"))];
        world(&own, &[("one", key(OUR_KEY)), ("two", there)])
    };
    let attack = vec![("two._domainkey.example.com".to_owned(), Class::LikelyAttack)];
    assert_eq!(classes(&before, &next(key(STRANGER))), attack);
    assert_eq!(classes(&next(absent()), &next(key(STRANGER))), attack);
    assert_eq!(severity(&next(absent()), Id::DkimKey), Some(Severity::Warning));
}

/// The next selector is configured, then published, then signs; the old one is revoked and leaves the
/// configuration. And a key that is changed at its selector together with its record.
#[test]
fn a_rotation_that_we_did_alarms_nobody() {
    let both = [("one", Ok(OUR_KEY)), ("two", Ok("0b"))];
    let steps = [
        one(Ok(OUR_KEY), key(OUR_KEY)),
        world(&both, &[("one", key(OUR_KEY)), ("two", absent())]),
        world(&both, &[("one", key(OUR_KEY)), ("two", key("0b"))]),
        world(&[("two", Ok("0b"))], &[("two", key("0b"))]),
        world(&[("two", Ok("0c"))], &[("two", key("0c"))]),
    ];
    for (nth, step) in steps.iter().enumerate() {
        for before in &steps[..nth] {
            let changed = between(before, step);
            assert!(
                changed.iter().all(|one| one.looks_needed().is_none()),
                "step {nth}: {changed:?}"
            );
        }
    }
}

/// We sign with the new key, and the zone has the old one, or the two are mixed up: our mail fails, and
/// nobody attacks.
#[test]
fn a_rotation_done_by_half_is_a_weakening() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    let half = one(Ok("0b"), key(OUR_KEY));
    assert_eq!(classes(&before, &half), is(Class::Weakening));
    assert_eq!(classes(&half, &half), [], "it was so before");
    assert_eq!(severity(&half, Id::DkimOtherKey), Some(Severity::Error));
    let own = [("one", Ok(OUR_KEY)), ("two", Ok("0b"))];
    let mixed = world(&own, &[("one", key("0b")), ("two", key("0b"))]);
    assert_eq!(classes(&before, &mixed), is(Class::Weakening));
    let assessment = mixed.assess();
    let mine = assessment.findings.iter().find(|one| one.id == Id::DkimOtherKey).unwrap();
    assert!(mine.evidence.contains("the key of our selector two"), "{mine:?}");
}

/// Attacker with access to the zone, who wants our mail to fail: takes the key out, revokes it, breaks
/// its record, or marks it as a test.
#[test]
fn a_key_that_is_taken_out_revoked_broken_or_in_test_is_a_weakening() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    let revoked = found(DkimKey { revoked: true, digest: None, ..dkim() });
    let testing = found(DkimKey { testing: true, ..dkim() });
    let cases = [
        (absent(), Severity::Warning),
        (broken(), Severity::Warning),
        (revoked, Severity::Warning),
        (testing, Severity::Notice),
    ];
    for (there, expected) in cases {
        let after = one(Ok(OUR_KEY), there);
        assert_eq!(classes(&before, &after), is(Class::Weakening));
        assert_eq!(severity(&after, Id::DkimKey), Some(expected));
        assert_eq!(classes(&after, &before), is(Class::Repair));
    }
}

/// Our own key cannot be read: that is unknown and neither good nor bad, a key that stays is no change, and one
/// that changes is told all the same.
#[test]
fn where_our_own_key_cannot_be_read_the_comparison_is_unknown() {
    let unread = Err("/etc/waxseal/dkim.pem: permission denied");
    let (before, after) = (one(Ok(OUR_KEY), key(OUR_KEY)), one(unread, key(OUR_KEY)));
    assert_eq!(severity(&after, Id::DkimKeyUnknown), Some(Severity::Unknown));
    let assessment = after.assess();
    let mine = assessment.findings.iter().find(|one| one.id == Id::DkimKeyUnknown).unwrap();
    assert!(mine.evidence.contains("permission denied"), "{mine:?}");
    assert_eq!(classes(&before, &after), []);
    assert_eq!(classes(&after, &before), []);
    let other = one(unread, key(STRANGER));
    assert_eq!(classes(&before, &other), is(Class::Weakening));
    assert_eq!(classes(&after, &other), is(Class::Weakening));
    assert_eq!(classes(&after, &one(unread, absent())), is(Class::Weakening));
    assert_eq!(classes(&after, &one(Ok(OUR_KEY), key(STRANGER))), is(Class::LikelyAttack));
}

/// A time-out is no change; signatures that do not hold are what they are elsewhere.
#[test]
fn a_record_that_could_not_be_had_is_no_change() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    let late = one(Ok(OUR_KEY), Published::Failed(failure(FailureKind::Timeout)));
    assert_eq!(classes(&before, &late), []);
    assert_eq!(classes(&late, &before), []);
    let bogus = one(Ok(OUR_KEY), Published::Failed(failure(FailureKind::Bogus)));
    assert_eq!(classes(&before, &bogus), is(Class::LikelyAttack));
}

/// Keys of others, and selectors that are only named on the command line, are not ours to compare.
#[test]
fn a_key_of_somebody_else_is_not_compared() {
    let given = |digest| world(&[], &[("one", key(digest))]);
    assert_eq!(classes(&given(OUR_KEY), &given(STRANGER)), []);
    assert_eq!(severity(&given(STRANGER), Id::DkimOtherKey), None);
}

/// A look that a version before kept knows neither our selectors nor digests.
#[test]
fn a_look_of_an_older_version_is_read_and_compared() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    let mut kept = serde_json::to_value(&before.survey).unwrap();
    kept["mail"].as_object_mut().unwrap().remove("own").unwrap();
    let value = kept["mail"]["dkim"][0][1]["found"]["value"].as_object_mut().unwrap();
    value.remove("digest").unwrap();
    let mut old = before.clone();
    old.survey = serde_json::from_value(kept).unwrap();
    assert!(old.survey.mail.own.is_empty());
    assert_eq!(classes(&old, &before), []);
    assert_eq!(classes(&old, &one(Ok(OUR_KEY), absent())), []);
    let attack = between(&old, &one(Ok(OUR_KEY), key(STRANGER)));
    assert_eq!(
        (attack[0].class, attack[0].before.as_str()),
        (Class::LikelyAttack, "not looked at")
    );
}

/// Whether the zone is signed changes nothing: who can write into it can have it signed.
#[test]
fn a_signed_answer_does_not_make_a_key_ours() {
    let before = one(Ok(OUR_KEY), key(OUR_KEY));
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        let mut after = one(Ok(OUR_KEY), key(STRANGER));
        if let Published::Found { authenticity: told, .. } = &mut after.survey.mail.dkim[0].1 {
            *told = authenticity;
        }
        assert_eq!(classes(&before, &after), is(Class::LikelyAttack));
    }
}
