//! Every rule of the validator, with the attackers that it stops. The world is built by a signer
//! in `tests/signer.rs`; the attacker edits what comes over the wire.

mod limits;
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

/// On the path: replays a wildcard's records for a name that exists.
#[test]
fn a_wildcard_cannot_stand_for_a_name_that_exists() {
    let world = World::new(vec![
        Zone::new("com", Kind::Nsec),
        Zone::new("one.com", Kind::Nsec).a("*").a("real"),
        Zone::new("two.com", Kind::Nsec3 { iterations: 0, opt_out: false }).a("*").a("real"),
    ]);
    for zone in ["one.com", "two.com"] {
        let other = Question::new(name(&format!("other.{zone}")), A);
        let (_, replay) = world.answer(&other);
        let real = format!("real.{zone}");
        let found = look(&world, (&real, A), |question, records| {
            if question.record_type == A {
                *records = replay.clone();
                for rr in records.iter_mut().filter(|rr| rr.owner == other.name) {
                    rr.owner = question.name.clone();
                }
            }
        });
        bogus(&found, Flaw::Denial, "comes from a wildcard");
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

/// On the path: takes signatures, denials, keys or DS records out, or breaks them.
#[test]
fn stripped_and_broken_answers_are_bogus_and_never_insecure() {
    let world = world();
    let strips: BTreeMap<&str, fn(&Rr) -> bool> = BTreeMap::from([
        ("signatures", (|rr| rr.record_type != RecordType::RRSIG) as fn(&Rr) -> bool),
        ("denials", |rr| !rr.denies()),
        ("DS", |rr| rr.record_type != RecordType::DS && rr.covered() != Some(RecordType::DS)),
        ("keys", |rr| rr.record_type != RecordType::DNSKEY),
        ("everything", |_| false),
    ]);
    for zone in ["good.com", "hash.com", "safe.org"] {
        for (what, keep) in &strips {
            for front in ["www", "nope"] {
                let at = format!("{front}.{zone}");
                let touched = |question: &Question| question.name.is_within(&name(zone));
                let found = look(&world, (&at, A), |question, records| {
                    if touched(question) {
                        records.retain(keep);
                    }
                });
                let harmless = *what == "denials" && front == "www";
                let expected = if harmless { Proof::Secure } else { Proof::Bogus };
                assert_eq!(found.proof, expected, "{what} of {at}: {}", found.because);
                let found = look(&world, (&at, A), |question, records| {
                    for rr in records.iter_mut().filter(|rr| !keep(rr) && touched(question)) {
                        if let Some(last) = rr.rdata.last_mut() {
                            *last ^= 1;
                        }
                    }
                });
                assert_eq!(found.proof, expected, "broken {what} of {at}: {}", found.because);
            }
        }
    }
}

/// On the path: makes a signed zone look unsigned, with real records from elsewhere.
#[test]
fn an_unsigned_delegation_cannot_be_forged() {
    let world = world();
    // The proof that bare.org is unsigned, shown for safe.org.
    let (_, of_bare) = world.answer(&Question::new(name("bare.org"), RecordType::DS));
    let found = look(&world, ("www.safe.org", A), |question, records| {
        if question.record_type == RecordType::DS && question.name == name("safe.org") {
            records.clone_from(&of_bare);
        }
        if question.record_type == A {
            records.retain(|rr| rr.record_type != RecordType::RRSIG);
        }
    });
    bogus(&found, Flaw::Denial, "does not prove whether safe.org is signed");
    // The opt-out span that covers bare.com, shown for good.com.
    let (_, of_bare) = world.answer(&Question::new(name("bare.com"), RecordType::DS));
    let found = look(&world, ("www.good.com", A), |question, records| {
        if question.record_type == RecordType::DS && question.name == name("good.com") {
            records.clone_from(&of_bare);
        }
        if question.record_type == A {
            records.retain(|rr| rr.record_type != RecordType::RRSIG);
        }
    });
    bogus(&found, Flaw::Denial, "");
    // The child's own NSEC, which knows no DS, shown as the parent's (RFC 6840 §4.4).
    let (_, of_child) = world.answer(&Question::new(name("safe.org"), RecordType::TXT));
    let found = look(&world, ("www.safe.org", A), |question, records| {
        if question.record_type == RecordType::DS && question.name == name("safe.org") {
            records.clone_from(&of_child);
        }
        if question.record_type == A {
            records.retain(|rr| rr.record_type != RecordType::RRSIG);
        }
    });
    bogus(&found, Flaw::Denial, "safe.org");
}

/// On the path: denies names of a child with the parent's NSEC at the zone cut (RFC 6840 §4.1).
#[test]
fn the_parents_nsec_does_not_deny_what_is_in_the_child() {
    let world = world();
    let (_, cut) = world.answer(&Question::new(name("sub.safe.org"), RecordType::DS));
    assert!(!cut.is_empty());
    let nsec = world.nsec("safe.org", "sub.safe.org");
    for at in ["www.sub.safe.org", "sub.safe.org"] {
        let found = look(&world, (at, A), |question, records| {
            if question.record_type == A {
                records.clone_from(&nsec);
            }
        });
        assert_eq!(found.proof, Proof::Bogus, "{at}: {}", found.because);
    }
}

/// On the path: replays a denial for a name that exists, or for a type that exists.
#[test]
fn a_denial_of_something_else_proves_nothing() {
    let world = world();
    for zone in ["good.com", "hash.com"] {
        let replays = [format!("nope.{zone}"), format!("alias.{zone}"), format!("b.{zone}")];
        for replayed in replays {
            let (_, denial) = world.answer(&Question::new(name(&replayed), RecordType::CAA));
            let found = look(&world, (&format!("www.{zone}"), A), |question, records| {
                if question.record_type == A {
                    *records = denial.iter().filter(|rr| rr.denies()).cloned().collect();
                }
            });
            bogus(&found, Flaw::Denial, "does not prove");
        }
        // NSEC at the very name, which says that A exists.
        let (_, denial) = world.answer(&Question::new(name(&format!("www.{zone}")), MX));
        let found = look(&world, (&format!("www.{zone}"), A), |question, records| {
            if question.record_type == A {
                records.clone_from(&denial);
            }
        });
        bogus(&found, Flaw::Denial, "exists");
    }
}

/// On the path: says that an alias has no address (RFC 6840 §4.3).
#[test]
fn the_denial_at_an_alias_does_not_hide_it() {
    let world = world();
    let nsec = world.nsec("good.com", "alias.good.com");
    let found = look(&world, ("alias.good.com", A), |question, records| {
        if question.record_type == A {
            records.clone_from(&nsec);
        }
    });
    bogus(&found, Flaw::Denial, "does not prove");
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

/// On the path: bends an alias, or invents one.
#[test]
fn aliases_cannot_be_spoofed() {
    let world = world();
    let evil = |owner: &Name| Rr::cname(owner.clone(), "www.bare.com");
    let found = look(&world, ("alias.good.com", A), |question, records| {
        for rr in records.iter_mut().filter(|rr| rr.record_type == RecordType::CNAME) {
            *rr = evil(&question.name);
        }
    });
    bogus(&found, Flaw::Mismatch, "alias.good.com CNAME does not match");
    let found = look(&world, ("www.good.com", A), |question, records| {
        if question.record_type == A {
            *records = vec![evil(&question.name)];
        }
    });
    bogus(&found, Flaw::Missing, "www.good.com CNAME has no RRSIG");
    // A synthesised CNAME that does not follow from its DNAME is not followed.
    let found = look(&world, ("www.moved.good.com", A), |question, records| {
        for rr in records.iter_mut().filter(|rr| rr.record_type == RecordType::CNAME) {
            *rr = evil(&question.name);
        }
    });
    assert_eq!((found.proof, found.last), (Proof::Secure, name("www.good.com")));
}

/// On the path: signs with a key of another zone that is just as secure.
#[test]
fn another_zones_signature_is_worth_nothing() {
    let world = world();
    let forged = world.sign("hash.com", Rr::a(name("www.good.com"), [203, 0, 113, 66]));
    let found = look(&world, ("www.good.com", A), |question, records| {
        if question.record_type == A {
            records.clone_from(&forged);
        }
    });
    bogus(&found, Flaw::Missing, "has no RRSIG");
    // ... even if it claims to be the right signer.
    let found = look(&world, ("www.good.com", A), |question, records| {
        if question.record_type == A {
            *records = world.sign_as(
                "hash.com",
                "good.com",
                Rr::a(question.name.clone(), [203, 0, 113, 66]),
            );
        }
    });
    bogus(&found, Flaw::Mismatch, "");
    // A name below that is no zone.
    let found = look(&world, ("www.good.com", A), |question, records| {
        if question.record_type == A {
            *records = world.sign_as(
                "hash.com",
                "www.good.com",
                Rr::a(question.name.clone(), [203, 0, 113, 66]),
            );
        }
    });
    bogus(&found, Flaw::Mismatch, "which is no zone");
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
        Kind::Algorithm { number: 13, digest: 1 },
        Kind::Algorithm { number: 13, digest: 3 },
        Kind::Algorithm { number: 253, digest: 2 },
    ] {
        let world = World::new(vec![Zone::new("odd", kind).a("www")]);
        let found = look(&world, ("www.odd", A), honest);
        assert_eq!(found.proof, Proof::Insecure, "{kind:?}: {}", found.because);
        assert!(found.because.contains("only in ways that are not supported"), "{}", found.because);
    }
}

/// On the path: adds a DS of an unknown algorithm, or leaves only that.
#[test]
fn an_algorithm_cannot_be_downgraded() {
    let world = world();
    let found = look(&world, ("www.safe.org", A), |question, records| {
        if question.record_type == RecordType::DS && question.name == name("safe.org") {
            for rr in records.iter_mut().filter(|rr| rr.record_type == RecordType::DS) {
                rr.rdata[2] = 16;
            }
        }
    });
    bogus(&found, Flaw::Mismatch, "safe.org DS does not match");
    // Signatures by an algorithm that we do not know, beside keys that we do.
    let found = look(&world, ("www.safe.org", A), |question, records| {
        if question.record_type == A {
            for rr in records.iter_mut().filter(|rr| rr.record_type == RecordType::RRSIG) {
                rr.rdata[2] = 16;
            }
        }
    });
    bogus(&found, Flaw::Mismatch, "algorithm 16");
}

#[test]
fn every_supported_algorithm_and_digest_holds() {
    for (number, digest) in [(13, 2), (13, 4), (14, 2), (15, 2), (8, 2), (10, 4)] {
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

/// Thief of the disk, who alters a recorded proof.
#[test]
fn an_altered_proof_convinces_nobody() {
    let world = world();
    let anchors = Anchors::parse(&world.anchor()).unwrap();
    let question = Question::new(name("www.good.com"), A);
    let bytes = look(&world, ("www.good.com", A), honest).proof_bytes;
    let at = bytes.windows(4).position(|four| four == [192, 0, 2, 1]).unwrap();
    let mut altered = bytes.clone();
    altered[at] ^= 1;
    let bundle = Bundle::from_proof(&altered).unwrap();
    let step = validate(&question, &bundle, &anchors, UnixTime(NOW), &Memo::new());
    assert!(matches!(step, Step::Done(found) if found.proof == Proof::Bogus));
    assert!(Bundle::from_proof(&bytes[..bytes.len() - 1]).is_err());
    assert!(Bundle::from_proof(&vec![0; 600_000]).is_err());
    let empty = Bundle::from_proof(&[]).unwrap();
    let step = validate(&question, &empty, &anchors, UnixTime(NOW), &Memo::new());
    assert!(matches!(step, Step::Done(found) if found.proof == Proof::Bogus));
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
fn anchors_are_read_from_ds_and_dnskey_lines() {
    let iana = Anchors::iana();
    assert_eq!(iana.zones().collect::<Vec<_>>(), [&Name::root()]);
    assert_eq!(iana.closest(&name("example.com")).unwrap().1.len(), 2);
    let text = "; the lab\nexample.com. 3600 IN DNSKEY 257 3 13 (AAAA)\n";
    assert_eq!(
        Anchors::parse(text).unwrap_err().to_string(),
        "trust anchors, line 2: the key is not base64"
    );
    assert!(Anchors::parse("example.com DNSKEY 257 3 13 AAAA BBBB\n").is_ok());
    assert_eq!(
        Anchors::parse("\n; none\n").unwrap_err().to_string(),
        "trust anchors: there is none"
    );
    assert!(Anchors::parse(". IN A 192.0.2.1\n").is_err());
    let many = ". DS 1 13 2 AA\n".repeat(65);
    assert_eq!(Anchors::parse(&many).unwrap_err().line, 65);
}

#[test]
fn names_order_as_in_rfc_4034() {
    // RFC 4034 §6.1, the example
    let texts = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "z.a.example",
        "zabc.a.example",
        "z.example",
    ];
    let names: Vec<Name> = texts.iter().map(|text| name(text)).collect();
    assert!(names.is_sorted());
    assert!(name("example") < name("example").child(&[1]).unwrap());
}

#[test]
fn nsec3_hashes_match_rfc_5155() {
    // RFC 5155 Appendix A: salt aabbccdd, 12 iterations
    let hash = denial::hash(&name("example"), 12, &[0xaa, 0xbb, 0xcc, 0xdd]);
    assert_eq!(signer::base32hex(&hash), "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
}

#[test]
fn answers_to_other_questions_are_not_taken() {
    let question = Question::new(name("www.good.com"), A);
    let message = signer::message(&question, 0, &[]);
    let now = UnixTime(NOW);
    assert!(Response::parse(&message, 7, &question, now).is_ok());
    let says = |message: &[u8], id, question| {
        Response::parse(message, id, question, now).unwrap_err().to_string()
    };
    assert_eq!(says(&message, 8, &question), "the id is not that of the question");
    let other = Question::new(name("www.good.com"), MX);
    assert_eq!(says(&message, 7, &other), "it answers another question");
    let mut query = message.clone();
    query[2] &= 0x7f;
    assert_eq!(says(&query, 7, &question), "not a response to a query");
    assert_eq!(says(&message[..11], 7, &question), "too short for DNS");
    let many: Vec<Rr> = (0..4_097_u16)
        .map(|n| Rr::a(question.name.clone(), [10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]))
        .collect();
    assert_eq!(says(&signer::message(&question, 0, &many), 7, &question), "more than 4096 records");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Hostile bytes: neither a message nor a proof makes the validator fall over.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&bytes);
    }

    /// On the path: one octet anywhere in any answer about a signed name is changed. The answer
    /// may be refused; it is never another one.
    #[test]
    fn no_single_octet_can_be_changed(place in 0_usize..2_000, change in 1_u8..=255) {
        thread_local! {
            static WORLD: World = world();
        }
        WORLD.with(|world| {
            let question = Question::new(name("www.good.com"), A);
            let found = look(world, ("www.good.com", A), |asked, records| {
                if *asked != question {
                    return;
                }
                let mut at = place % records.iter().map(|rr| rr.rdata.len()).sum::<usize>();
                for rr in records {
                    if at < rr.rdata.len() {
                        rr.rdata[at] ^= change;
                        return;
                    }
                    at -= rr.rdata.len();
                }
            });
            let same = found.finding == Finding::Records(vec![vec![192, 0, 2, 1]]);
            let sound = found.proof != Proof::Insecure && (found.proof != Proof::Secure || same);
            prop_assert!(sound, "{found:?}");
            Ok::<(), TestCaseError>(())
        })?;
    }
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
