//! Who is on the path, or at the disk, and what he obtains: nothing.

use super::*;

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
