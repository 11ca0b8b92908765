//! Hostile zones that would have us compute for ever.

use super::*;

/// A hostile zone with many keys of one tag and many signatures (CVE-2023-50387, KeyTrap).
#[test]
fn keytrap_ends_at_the_limit() {
    let world = World::new(vec![Zone::new("trap", Kind::Trap).a("www")]);
    let found = look(&world, ("www.trap", A), honest);
    bogus(&found, Flaw::Limit, "share tag");
    assert_eq!(found.failure, Some(FailureKind::Limit));
}

/// On the path: many denials with many signatures, none of which holds.
#[test]
fn failing_signature_checks_are_counted() {
    let world = world();
    let found = look(&world, ("nope.good.com", A), |question, records| {
        if question.record_type != A {
            return;
        }
        let real = records.iter().find(|rr| rr.covered() == Some(RecordType::NSEC));
        let real = real.unwrap().rdata.clone();
        for number in 0..3 {
            let owner = name(&format!("n{number}.good.com"));
            let mut nsec = name("z.good.com").as_octets().to_vec();
            nsec.extend([0, 1, 0x40]);
            records.insert(0, Rr::new(owner.clone(), RecordType::NSEC, nsec));
            for change in 1..=12 {
                let mut rrsig = real.clone();
                rrsig[3] = 3;
                *rrsig.last_mut().unwrap() ^= change;
                records.insert(1, Rr::new(owner.clone(), RecordType::RRSIG, rrsig));
            }
        }
    });
    bogus(&found, Flaw::Limit, "16 signature checks failed");
}

/// A hostile zone with long names and costly hashes (CVE-2023-50868).
#[test]
fn hashing_ends_at_the_limit() {
    let zone = Zone::new("deep", Kind::Nsec3 { iterations: 100, opt_out: false });
    let world = World::new(vec![zone]);
    let long = format!("{}deep", "a.".repeat(110));
    let found = look(&world, (&long, A), honest);
    assert_eq!(found.proof, Proof::Secure, "one long name is fine: {}", found.because);
    // The same with every NSEC3 in twenty sets of parameters.
    let found = look(&world, (&long, A), |_, records| {
        let more: Vec<Rr> = records
            .iter()
            .filter(|rr| rr.record_type == RecordType::NSEC3)
            .flat_map(|rr| {
                (0..20_u8).map(|n| {
                    let mut rr = rr.clone();
                    rr.rdata[3] = 80 + n;
                    rr
                })
            })
            .collect();
        records.extend(more);
    });
    bogus(&found, Flaw::Limit, "NSEC3 hash computations");
}

#[test]
fn alias_chains_end() {
    let mut zone = Zone::new("com", Kind::Nsec).cname("loop", "loop.com");
    for step in 0..12 {
        zone = zone.cname(&format!("c{step}"), &format!("c{}.com", step + 1));
    }
    let world = World::new(vec![zone.a("c12").cname("ping", "pong.com").cname("pong", "ping.com")]);
    let found = look(&world, ("c1.com", A), honest);
    assert_eq!((found.proof, found.aliases.len()), (Proof::Secure, 11));
    let found = look(&world, ("c0.com", A), honest);
    assert_eq!(found.failure, Some(FailureKind::Limit));
    assert_eq!(found.because, "more than 11 aliases");
    for name in ["loop.com", "ping.com"] {
        let found = look(&world, (name, A), honest);
        assert_eq!(found.because, "the aliases lead in a circle");
        assert_eq!(found.proof, Proof::Indeterminate);
    }
}
