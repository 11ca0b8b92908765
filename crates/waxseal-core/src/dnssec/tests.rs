//! Every rule of the validator, with the attackers that it stops. The world is built by a signer
//! in `tests/signer.rs`; the attacker edits what comes over the wire.

mod attacker;
mod limits;
mod reading;
mod signer;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::signer::{DAY, Kind, NOW, Rr, World, Zone, name};
use super::*;
use crate::{
    dns::{Denial, FailureKind, Proof},
    time::UnixTime,
};

const A: RecordType = RecordType::A;
const MX: RecordType = RecordType::MX;

/// Asks the world until the validator is content; the attacker sees each answer first.
fn look(
    world: &World,
    question: (&str, RecordType),
    attack: impl Fn(&Question, &mut Vec<Rr>),
) -> Validated {
    look_at(world, question, attack, NOW)
}

fn look_at(
    world: &World,
    (owner, record_type): (&str, RecordType),
    attack: impl Fn(&Question, &mut Vec<Rr>),
    now: u64,
) -> Validated {
    let question = Question::new(name(owner), record_type);
    let anchors = Anchors::parse(&world.anchor()).unwrap();
    let (mut bundle, memo) = (Bundle::new(), Memo::new());
    let mut rounds = 0;
    loop {
        match validate(&question, &bundle, &anchors, UnixTime(now), &memo) {
            Step::Done(validated) => return *validated,
            Step::Need(questions) => {
                for question in questions {
                    let (rcode, mut records) = world.answer(&question);
                    attack(&question, &mut records);
                    let message = signer::message(&question, rcode, &records);
                    match Response::parse(&message, 7, &question, UnixTime(now)) {
                        Ok(response) => bundle.add(&question, &response),
                        Err(why) => {
                            let kind = FailureKind::Malformed;
                            bundle.add_failure(&question, kind, why.to_string());
                        }
                    }
                }
            }
        }
        rounds += 1;
        assert!(rounds < 40, "the validator never ends");
    }
}

fn honest(_: &Question, _: &mut Vec<Rr>) {}

/// `com` with NSEC3 and opt-out, a good zone, one of each bad kind.
fn world() -> World {
    let filled = |zone: Zone| {
        zone.a("www")
            .a("*.wild")
            .a("a.b")
            .cname("alias", "www.good.com")
            .cname("out", "www.bare.com")
    };
    World::new(vec![
        Zone::new("com", Kind::Nsec3 { iterations: 0, opt_out: true }),
        filled(Zone::new("good.com", Kind::Nsec)).dname("moved", "good.com"),
        filled(Zone::new("hash.com", Kind::Nsec3 { iterations: 2, opt_out: false })),
        filled(Zone::new("heavy.com", Kind::Nsec3 { iterations: 101, opt_out: false })),
        Zone::new("top.heavy.com", Kind::Nsec3 { iterations: 100, opt_out: false }).a("www"),
        filled(Zone::new("bare.com", Kind::Unsigned)),
        Zone::new("org", Kind::Nsec).a("www"),
        Zone::new("bare.org", Kind::Unsigned).a("www"),
        filled(Zone::new("safe.org", Kind::Nsec)),
        Zone::new("sub.safe.org", Kind::Nsec).a("www"),
    ])
}

fn verdict(validated: &Validated) -> (Proof, &Finding) {
    (validated.proof, &validated.finding)
}

#[track_caller]
fn bogus(validated: &Validated, flaw: Flaw, words: &str) {
    assert_eq!((validated.proof, validated.flaw), (Proof::Bogus, Some(flaw)), "{validated:?}");
    assert!(validated.because.contains(words), "{}", validated.because);
}

#[test]
fn records_and_denials_of_signed_zones_are_secure() {
    let world = world();
    for zone in ["good.com", "hash.com", "safe.org"] {
        let found = look(&world, (&format!("www.{zone}"), A), honest);
        assert_eq!(found.proof, Proof::Secure, "{found:?}");
        assert_eq!(found.finding, Finding::Records(vec![vec![192, 0, 2, 1]]));
        assert_eq!(found.because, "validated from the root down");
        for (front, denial) in [
            ("nope", Denial::NxDomain),
            ("x.y.nope", Denial::NxDomain),
            ("b", Denial::NoData),
            ("x.b", Denial::NxDomain),
        ] {
            let found = look(&world, (&format!("{front}.{zone}"), A), honest);
            assert_eq!(
                verdict(&found),
                (Proof::Secure, &Finding::Denied(denial)),
                "{front}.{zone}"
            );
        }
        let found = look(&world, (&format!("www.{zone}"), MX), honest);
        assert_eq!(verdict(&found), (Proof::Secure, &Finding::Denied(Denial::NoData)));
    }
}

#[test]
fn wildcards_are_secure_with_their_proof_only() {
    let world = world();
    for zone in ["good.com", "hash.com"] {
        let at = format!("x.y.wild.{zone}");
        let found = look(&world, (&at, A), honest);
        assert_eq!(found.proof, Proof::Secure, "{found:?}");
        let found = look(&world, (&at, MX), honest);
        assert_eq!(verdict(&found), (Proof::Secure, &Finding::Denied(Denial::NoData)));
        // On the path: shows the wildcard's records without the proof that nothing is closer.
        let found = look(&world, (&at, A), |_, records| records.retain(|rr| !rr.denies()));
        bogus(&found, Flaw::Denial, "comes from a wildcard, but");
    }
}

#[test]
fn unsigned_delegations_are_insecure_and_say_where() {
    let world = world();
    let found = look(&world, ("www.bare.com", A), honest);
    assert_eq!(found.proof, Proof::Insecure);
    assert!(found.because.contains("opt-out span of com"), "{}", found.because);
    let found = look(&world, ("www.bare.org", A), honest);
    assert_eq!(
        (found.proof, found.because.as_str()),
        (Proof::Insecure, "org delegates bare.org unsigned")
    );
    let found = look(&world, ("nope.bare.org", A), honest);
    assert_eq!(verdict(&found), (Proof::Insecure, &Finding::Denied(Denial::NxDomain)));
}

#[test]
fn a_denial_within_an_opt_out_span_is_not_secure() {
    let found = look(&world(), ("nothing.com", A), honest);
    assert_eq!(verdict(&found), (Proof::Insecure, &Finding::Denied(Denial::NxDomain)));
}

#[test]
fn too_many_nsec3_iterations_count_as_unsigned_but_signed_records_stay_secure() {
    let world = world();
    assert_eq!(look(&world, ("www.heavy.com", A), honest).proof, Proof::Secure);
    let found = look(&world, ("nope.heavy.com", A), honest);
    assert_eq!(found.proof, Proof::Insecure);
    assert!(found.because.contains("101 iterations"), "{}", found.because);
    let found = look(&world, ("nope.top.heavy.com", A), honest);
    assert_eq!(verdict(&found), (Proof::Secure, &Finding::Denied(Denial::NxDomain)));
    // On the path: claims too many iterations for a zone that has two.
    let found = look(&world, ("nope.hash.com", A), |_, records| {
        for rr in records.iter_mut().filter(|rr| rr.record_type == RecordType::NSEC3) {
            rr.rdata[2..4].copy_from_slice(&[0xff, 0xff]);
        }
    });
    bogus(&found, Flaw::Denial, "");
}

#[test]
fn each_alias_has_its_own_state() {
    let world = world();
    let found = look(&world, ("alias.hash.com", A), honest);
    assert_eq!((found.proof, found.last.to_string().as_str()), (Proof::Secure, "www.good.com"));
    let found = look(&world, ("out.good.com", A), honest);
    assert_eq!((found.proof, found.aliases[0].proof), (Proof::Insecure, Proof::Secure));
    let found = look(&world, ("alias.bare.com", A), honest);
    assert_eq!((found.proof, found.aliases[0].proof), (Proof::Insecure, Proof::Insecure));
    let found = look(&world, ("www.moved.good.com", A), honest);
    assert_eq!((found.proof, found.aliases[0].proof), (Proof::Secure, Proof::Secure), "{found:?}");
    assert_eq!(found.last, name("www.good.com"));
}

#[test]
fn signatures_hold_only_in_their_time() {
    let world = world();
    let end = NOW + 30 * DAY;
    assert_eq!(look_at(&world, ("www.good.com", A), honest, end).proof, Proof::Secure);
    let found = look_at(&world, ("www.good.com", A), honest, end + 3 * DAY);
    bogus(&found, Flaw::Expired, "RRSIG of . DNSKEY expired 3 days ago");
    let start = NOW - DAY;
    assert_eq!(look_at(&world, ("www.good.com", A), honest, start).proof, Proof::Secure);
    let found = look_at(&world, ("www.good.com", A), honest, start - 7_300);
    bogus(&found, Flaw::NotYetValid, "RRSIG of . DNSKEY becomes valid only in 2 hours");
}

#[test]
fn an_answer_lives_no_longer_than_ttl_and_signature() {
    let world = world();
    let found = look(&world, ("www.good.com", A), honest);
    assert_eq!(found.expires, UnixTime(NOW + 300));
    let last = NOW + 30 * DAY - 20;
    let found = look_at(&world, ("www.good.com", A), honest, last);
    assert_eq!(found.expires, UnixTime(last + 20));
    // On the path: a TTL longer than was signed (RFC 4035 §5.3.3).
    let found = look(&world, ("www.good.com", A), |_, records| {
        records.iter_mut().for_each(|rr| rr.ttl = 86_400);
    });
    assert_eq!((found.proof, found.expires), (Proof::Secure, UnixTime(NOW + 300)));
}

#[test]
fn unsupported_algorithms_and_digests_are_insecure_and_not_bogus() {
    for kind in [
        Kind::Algorithm { number: 16, digest: 2 },
        Kind::Algorithm { number: 5, digest: 2 },
        Kind::Algorithm { number: 13, digest: 3 },
        Kind::Algorithm { number: 253, digest: 2 },
    ] {
        let world = World::new(vec![Zone::new("odd", kind).a("www")]);
        let found = look(&world, ("www.odd", A), honest);
        assert_eq!(found.proof, Proof::Insecure, "{kind:?}: {}", found.because);
        assert!(found.because.contains("only in ways that are not supported"), "{}", found.because);
    }
}

#[test]
fn every_supported_algorithm_and_digest_holds() {
    for (number, digest) in [(13, 1), (13, 2), (13, 4), (14, 2), (15, 2), (8, 2), (10, 4)] {
        let kind = Kind::Algorithm { number, digest };
        let world = World::new(vec![Zone::new("ok", kind).a("www")]);
        let found = look(&world, ("www.ok", A), honest);
        assert_eq!(found.proof, Proof::Secure, "{number}/{digest}: {}", found.because);
        let found = look(&world, ("www.ok", A), |question, records| {
            if question.record_type == A {
                records[0].rdata[3] ^= 1;
            }
        });
        bogus(&found, Flaw::Mismatch, "does not match its records");
    }
}

#[test]
fn revoked_and_odd_keys_sign_nothing() {
    for (flags, protocol) in [(257 | 0x80, 3), (1, 3), (257, 2)] {
        let kind = Kind::Key { flags, protocol };
        let world = World::new(vec![Zone::new("odd", kind).a("www")]);
        let found = look(&world, ("www.odd", A), honest);
        bogus(&found, Flaw::Mismatch, "no DNSKEY of odd matches");
    }
}

#[test]
fn own_anchors_begin_an_island() {
    let world = World::new(vec![
        Zone::new("plain", Kind::Unsigned),
        Zone::new("corp.plain", Kind::Nsec).a("www"),
    ]);
    assert_eq!(look(&world, ("www.corp.plain", A), honest).proof, Proof::Insecure);
    let key = world.anchor_of("corp.plain");
    let anchors = Anchors::parse(&world.anchor()).unwrap().and(Anchors::parse(&key).unwrap());
    let question = Question::new(name("www.corp.plain"), A);
    let mut bundle = Bundle::new();
    for asked in [question.clone(), Question::new(name("corp.plain"), RecordType::DNSKEY)] {
        let (rcode, records) = world.answer(&asked);
        let message = signer::message(&asked, rcode, &records);
        let response = Response::parse(&message, 7, &asked, UnixTime(NOW)).unwrap();
        bundle.add(&asked, &response);
    }
    let step = validate(&question, &bundle, &anchors, UnixTime(NOW), &Memo::new());
    let Step::Done(found) = step else { panic!("{step:?}") };
    assert_eq!(
        (found.proof, found.because.as_str()),
        (Proof::Secure, "validated from corp.plain down")
    );
    // Without any anchor above, nothing can be said.
    let only = Anchors::parse(&key).unwrap();
    let question = Question::new(name("www.elsewhere"), A);
    let mut bundle = Bundle::new();
    let message = signer::message(&question, 0, &[Rr::a(question.name.clone(), [192, 0, 2, 9])]);
    bundle.add(&question, &Response::parse(&message, 7, &question, UnixTime(NOW)).unwrap());
    let step = validate(&question, &bundle, &only, UnixTime(NOW), &Memo::new());
    let Step::Done(found) = step else { panic!("{step:?}") };
    assert_eq!(found.proof, Proof::Indeterminate);
}

#[test]
fn a_proof_convinces_later_and_elsewhere() {
    let world = world();
    let anchors = Anchors::parse(&world.anchor()).unwrap();
    for (at, record_type) in [
        ("www.good.com", A),
        ("alias.hash.com", A),
        ("nope.hash.com", A),
        ("nope.safe.org", MX),
        ("x.wild.good.com", A),
        ("www.moved.good.com", A),
        ("www.bare.org", A),
    ] {
        let live = look(&world, (at, record_type), honest);
        let bundle = Bundle::from_proof(&live.proof_bytes).unwrap();
        let question = Question::new(name(at), record_type);
        let step = validate(&question, &bundle, &anchors, UnixTime(NOW), &Memo::new());
        let Step::Done(again) = step else { panic!("{at}: {step:?}") };
        assert_eq!((again.proof, &again.finding), (live.proof, &live.finding), "{at}");
        assert_eq!(again.proof_bytes, live.proof_bytes, "{at}: the bytes are stable");
        assert_eq!(merge_proofs(&[&live.proof_bytes, &again.proof_bytes]), Some(live.proof_bytes));
    }
}

#[test]
fn a_failed_question_is_indeterminate_with_its_kind() {
    let world = world();
    let anchors = Anchors::parse(&world.anchor()).unwrap();
    let question = Question::new(name("www.good.com"), A);
    let mut bundle = Bundle::new();
    bundle.add_failure(&question, FailureKind::Timeout, "no upstream answered".into());
    let step = validate(&question, &bundle, &anchors, UnixTime(NOW), &Memo::new());
    let Step::Done(found) = step else { panic!("{step:?}") };
    assert_eq!((found.proof, found.failure), (Proof::Indeterminate, Some(FailureKind::Timeout)));
    assert_eq!(found.because, "www.good.com A: no upstream answered");
}

#[test]
fn how_a_zone_is_signed_can_be_read_from_the_proof_of_an_answer() {
    let world = World::new(vec![
        Zone::new("com", Kind::Nsec),
        Zone::new("rsa.com", Kind::Algorithm { number: 8, digest: 2 }).a("www"),
        Zone::new("hash.com", Kind::Nsec3 { iterations: 2, opt_out: false }).a("www"),
    ]);
    let now = UnixTime(NOW);
    let found = look(&world, ("www.rsa.com", A), honest);
    let rsa = signing(&name("www.rsa.com"), &[&found.proof_bytes], now).unwrap();
    assert_eq!((rsa.apex.to_string().as_str(), &rsa.algorithms[..]), ("rsa.com", &[8][..]));
    assert_eq!((rsa.smallest_rsa, rsa.nsec3_iterations), (Some(2_048), None));
    assert!(rsa.first_expiry > now && rsa.first_expiry < UnixTime(NOW + 60 * DAY));
    assert!(signed_ttl(&name("www.rsa.com"), A, &found.proof_bytes).is_some());
    let denied = look(&world, ("nobody.hash.com", A), honest);
    let proofs = [found.proof_bytes.as_slice(), denied.proof_bytes.as_slice()];
    let hash = signing(&name("nobody.hash.com"), &proofs, now).unwrap();
    assert_eq!((hash.apex.to_string().as_str(), hash.nsec3_iterations), ("hash.com", Some(2)));
    assert_eq!((&hash.algorithms[..], hash.smallest_rsa), (&[13][..], None));
    assert_eq!(signing(&name("www.bare.net"), &[b"not a proof"], now), None);
}
