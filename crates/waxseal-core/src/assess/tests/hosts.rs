//! What is found at mail hosts and the policy host: their keys, certificates, and what was promised
//! of them.

use std::time::Duration;

use super::{ids::only, world::*};
use crate::{
    assess::{HandshakeTried, Id, KeyKind, Severity, StartTlsSeen, Tried},
    channel::Legacy,
    dane::Tlsa,
    facts::{Dane, NoTlsa},
    pki::bench::NOW,
    sts::Mode,
};
/// RFC 7672 §3: three faults that look the same to a sender have three different repairs.
#[test]
fn a_mismatch_is_told_apart_by_address_and_by_key() {
    let mismatches = |world: &World| -> Vec<Id> {
        let mut ids = world.ids();
        ids.retain(|id| matches!(id, Id::TlsaNomatch | Id::TlsaOneAlgOnly | Id::TlsaAddrDiverges));
        ids
    };
    let mut world = World::new();
    world.chain(&certificates().other);
    assert_eq!(mismatches(&world), [Id::TlsaNomatch]);
    let finding = only(&world, Id::TlsaNomatch);
    assert_eq!(finding.subject, "mx.example.net [2001:db8::1, 192.0.2.1] ECDSA");
    let record = format!("_25._tcp.mx.example.net. 3600 IN TLSA {}", tlsa(&certificates().other));
    assert!(finding.fix.contains(&format!("publish: {record};")), "{}", finding.fix);

    // The record that the fix names is the one that is missing.
    world.records(0).push(tlsa(&certificates().other));
    assert_eq!(mismatches(&world), []);

    let mut world = World::new();
    let other = || Tried::Session(session(&certificates().other));
    world.probe(0, 1).handshakes[1].tried = other();
    assert_eq!(mismatches(&world), [Id::TlsaAddrDiverges]);
    assert_eq!(only(&world, Id::TlsaAddrDiverges).subject, "mx.example.net [192.0.2.1] ECDSA");

    let mut world = World::new();
    for probe in world.probes() {
        probe.handshakes[0].tried = other();
    }
    assert_eq!(mismatches(&world), [Id::TlsaOneAlgOnly]);
    let subject = "mx.example.net [2001:db8::1, 192.0.2.1] RSA";
    assert_eq!(only(&world, Id::TlsaOneAlgOnly).subject, subject);
}

/// The attacker sits before one address and shows a key of his own: nobody must be told to publish
/// it without having looked at the host.
#[test]
fn a_key_that_was_merely_seen_is_not_to_be_published_unseen() {
    let spoils: [Spoil; 4] = [
        |w| w.chain(&certificates().other),
        |w| {
            let tried = Tried::Session(session(&certificates().other));
            w.probe(0, 1).handshakes[1].tried = tried;
        },
        |w| {
            for probe in w.probes() {
                let tried = Tried::Session(session(&certificates().other));
                probe.handshakes[0] = HandshakeTried { key: KeyKind::Rsa, tried };
            }
        },
        World::without_dane,
    ];
    for spoil in spoils {
        let mut world = World::new();
        spoil(&mut world);
        let findings = world.assess().findings;
        let shown: Vec<_> =
            findings.iter().filter(|one| one.fix.contains("IN TLSA 3 1 1")).collect();
        assert!(!shown.is_empty(), "{findings:?}");
        for finding in shown {
            assert!(finding.fix.contains("on the host"), "{finding:?}");
        }
    }
}

/// `MX 10 192.0.2.10.`: where it stands alone no mail arrives, beside a host all of it does.
#[test]
fn an_mx_record_that_names_no_host_is_an_error_where_it_stands_alone() {
    let mut world = World::new();
    world.survey.mx.invalid = vec![crate::assess::Quoted::new("10 192.0.2.10")];
    assert_eq!(only(&world, Id::MxNoAddress).severity, Severity::Warning);
    world.survey.facts.hosts.clear();
    world.survey.hosts.clear();
    assert_eq!(only(&world, Id::MxNoAddress).severity, Severity::Error);
}

/// Internet.nl counts records and is fooled by duplicates and by a second kind of key.
#[test]
fn a_rollover_scheme_is_looked_for_in_each_kind_of_key() {
    let mut world = World::new();
    for probe in world.probes() {
        probe.handshakes[0].tried = Tried::Session(session(&certificates().other));
    }
    *world.records(0) = vec![tlsa(&certificates().good), tlsa(&certificates().other)];
    assert!(only(&world, Id::TlsaNoNext).evidence.contains("(RSA and ECDSA)"));
    world.records(0).push(spare());
    assert!(only(&world, Id::TlsaNoNext).evidence.contains("next keys: 1,"));
    world.records(0).push(Tlsa { data: vec![8; 32], ..spare() });
    assert!(!world.ids().contains(&Id::TlsaNoNext));

    // The issuer's record serves as well (current + issuer).
    let mut world = World::new();
    let issuer = tlsa(&certificates().good[1..]);
    *world.records(0) = vec![tlsa(&certificates().good), Tlsa { usage: 2, ..issuer }];
    assert_eq!(world.ids(), []);
}

/// Below an issuer names, dates and signatures count (RFC 7672 §3.1.2): what only the key's own record
/// covers today, nothing covers after the key has changed.
#[test]
fn the_record_of_an_issuer_is_a_second_way_only_where_it_holds_by_itself() {
    let all = certificates();
    let root = &all.good[1];
    let with = |chain: &[Vec<u8>]| {
        let mut world = World::new();
        world.chain(chain);
        let issuer = Tlsa { usage: 2, ..tlsa(std::slice::from_ref(root)) };
        *world.records(0) = vec![tlsa(chain), issuer];
        world
    };
    assert!(!with(&all.good).ids().contains(&Id::TlsaNoNext));
    let unrelated = vec![all.own[0].clone(), root.clone()];
    for chain in [&all.elsewhere, &all.old, &unrelated] {
        let world = with(chain);
        let finding = only(&world, Id::TlsaNoNext);
        assert!(finding.evidence.contains("does not hold by itself: below the"), "{finding:?}");
        assert!(finding.fix.contains("mend that"), "{finding:?}");
        assert_eq!(world.assess().level, World::new().assess().level);
    }
    // What is not sent is said once, as such.
    let world = with(&all.good[..1]);
    assert!(world.ids().contains(&Id::TlsaStaleIssuer));
    let finding = only(&world, Id::TlsaNoNext);
    assert!(!finding.evidence.contains("by itself"), "{finding:?}");
    // At one address only: there the next key stops mail.
    let mut world = with(&all.good);
    if let Tried::Session(session) = &mut world.probe(0, 1).handshakes[1].tried {
        session.chain.truncate(1);
    }
    only(&world, Id::TlsaNoNext);
    // A spare key is a way by itself.
    let mut world = with(&all.elsewhere);
    world.records(0).push(spare());
    assert!(!world.ids().contains(&Id::TlsaNoNext));
    // Nothing was seen: nothing is said.
    let mut world = with(&all.elsewhere);
    world.starttls(&StartTlsSeen::NotOffered);
    assert!(!world.ids().contains(&Id::TlsaNoNext));
}

/// A name is right or wrong whoever issued the certificate, and whenever.
#[test]
fn a_wrong_name_is_found_behind_an_issuer_that_nobody_knows() {
    let mut world = World::plain();
    let foreign =
        crate::pki::bench::Wish { names: vec!["localhost"], ..crate::pki::bench::Wish::default() };
    let foreign = vec![crate::pki::bench::Holder::self_signed(&foreign).der.to_vec()];
    world.chain(&foreign);
    let ids = world.ids();
    assert!(ids.contains(&Id::CertName) && ids.contains(&Id::CertUntrusted), "{ids:?}");
    world.chain(&certificates().old);
    assert!(!world.ids().contains(&Id::CertName));
}

/// Certificates of six days are renewed on the fourth, and nothing is wrong.
#[test]
fn a_short_lived_certificate_of_the_policy_host_is_no_finding_while_it_is_renewed() {
    let with = |age: Duration, left: Duration| {
        let mut world = World::new();
        world.survey.policy.host_certificate_from = Some(NOW.before(age));
        world.survey.policy.host_certificate_expires = Some(NOW + left);
        world.ids().contains(&Id::CertExpires)
    };
    assert!(!with(DAY * 3, DAY * 3), "half of six days");
    assert!(with(DAY * 5, DAY), "the renewal stopped");
    assert!(with(DAY * 80, DAY * 10), "ninety days");
    assert!(!with(DAY * 60, DAY * 30));
}

/// A certificate is worth what the domain promised: DANE-EE looks at none of this (RFC 7672 §3.1.1).
#[test]
fn a_certificate_weighs_what_was_promised() {
    let severity = |promise: fn(&mut World)| {
        let mut world = World::new();
        *world.records(0) = vec![tlsa(&certificates().own), spare()];
        world.chain(&certificates().own);
        promise(&mut world);
        only(&world, Id::CertUntrusted).severity
    };
    assert_eq!(severity(|_| {}), Severity::Error);
    let testing = |w: &mut World| w.policy(policy(Mode::Testing, &["mx.example.net"]));
    assert_eq!(severity(testing), Severity::Warning);
    assert_eq!(severity(World::without_sts), Severity::Info);
    assert_eq!(
        severity(|w| {
            w.without_sts();
            w.without_dane();
        }),
        Severity::Notice
    );
}

/// How long a policy holds, and what that protects (RFC 8461 §3.2).
#[test]
fn max_age_weighs_what_it_protects() {
    let found = |mode, hours: u64| {
        let mut world = World::new();
        let max_age = Duration::from_hours(hours);
        world.policy(crate::sts::Policy { max_age, ..policy(mode, &["mx.example.net"]) });
        world.survey.policy.max_age = Some(max_age.as_secs());
        let findings = world.assess().findings;
        let about = |id| [Id::StsMaxAge, Id::StsMaxAgeTooLong].contains(&id);
        let about = findings.iter().filter(|one| about(one.id)).map(|one| (one.id, one.severity));
        about.collect::<Vec<_>>()
    };
    let short = |severity| vec![(Id::StsMaxAge, severity)];
    assert_eq!(found(Mode::Enforce, 23), short(Severity::Warning));
    assert_eq!(found(Mode::Enforce, 24), short(Severity::Notice));
    assert_eq!(found(Mode::Enforce, 14 * 24 - 1), short(Severity::Notice));
    assert_eq!(found(Mode::Enforce, 14 * 24), []);
    assert_eq!(found(Mode::Testing, 23), short(Severity::Info));
    assert_eq!(found(Mode::Testing, 24), []);
    assert_eq!(found(Mode::None, 1), []);
    assert_eq!(found(Mode::Enforce, 8_766), []);
    assert_eq!(found(Mode::Enforce, 8_767), [(Id::StsMaxAgeTooLong, Severity::Notice)]);
}

/// A host whose TLS nobody can use passes no policy, whatever its certificate is.
#[test]
fn a_listed_host_with_which_no_handshake_works_does_not_pass() {
    let mut world = World::new();
    let (legacy, detail) = (Legacy::TooOld, "protocol version".to_owned());
    let failed = Tried::Failed { legacy, detail };
    for probe in world.probes() {
        probe.handshakes.iter_mut().for_each(|one| one.tried = failed.clone());
    }
    let finding = only(&world, Id::StsCertVsMx);
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(finding.evidence, "no handshake works: protocol version");
    // One kind of key that works is enough to go by.
    let lost = Tried::Unknown("no end in time".into());
    for others in [lost, Tried::Session(session(&certificates().good))] {
        for probe in world.probes() {
            probe.handshakes[0].tried = failed.clone();
            probe.handshakes[1].tried = others.clone();
        }
        let told = world.ids().contains(&Id::StsCertVsMx);
        assert_eq!(told, matches!(others, Tried::Unknown(_)));
    }
}

#[test]
fn a_policy_that_leaves_out_a_host_with_dane_contradicts_it() {
    let mut world = World::two();
    world.policy(policy(Mode::Enforce, &["mx.example.net"]));
    assert_eq!(only(&world, Id::StsMxMismatch).subject, "mx2.example.net");
    assert_eq!(only(&world, Id::StsDaneConflict).severity, Severity::Error);
    world.facts(1).dane = Dane::Absent(NoTlsa::Denied);
    assert!(!world.ids().contains(&Id::StsDaneConflict));
    assert!(world.ids().contains(&Id::StsMxMismatch));
}
