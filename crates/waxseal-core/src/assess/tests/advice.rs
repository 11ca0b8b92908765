//! What a finding tells people to do: nothing that stops mail, or helps who attacks, when it is followed.

use std::net::IpAddr;

use super::{
    ids::{only, weak_certificate},
    world::*,
};
use crate::{
    assess::{
        AddressSurvey, Contact, DmarcPolicy, Finding, HandshakeTried, Id, KeyKind, LegacyVersion,
        Observed, Published, Servers, Severity, Tried, Unprobed,
    },
    channel::Legacy,
    dns::{Absence, Answer, Denial, FailureKind},
    facts::{Dane, NoTlsa, Peer, Refused},
    pki::bench::NOW,
    sts::Mode,
};

/// Advice that is followed in the wrong order must not stop mail: senders with DANE go by the key.
#[test]
fn a_new_certificate_is_never_advised_before_its_tlsa_record() {
    let spoiled: [(Id, Spoil); 4] = [
        (Id::CertName, |w| {
            *w.records(0) = vec![tlsa(&certificates().elsewhere), spare()];
            w.chain(&certificates().elsewhere);
        }),
        (Id::CertUntrusted, |w| w.chain(&certificates().own)),
        (Id::CertWeakKey, |w| w.chain(&[weak_certificate(128)])),
        (Id::StsCertVsMx, |w| w.chain(&certificates().own)),
    ];
    for (id, spoil) in spoiled {
        let mut world = World::new();
        spoil(&mut world);
        let fix = |world: &World| {
            let found = world.assess().findings;
            found.into_iter().find(|finding| finding.id == id).unwrap().fix
        };
        let first = "publish the TLSA record of the new one first";
        assert!(fix(&world).contains(first), "{id}: {}", fix(&world));
        world.without_dane();
        assert!(!fix(&world).contains(first), "{id}: {}", fix(&world));
    }
}

#[test]
fn old_versions_are_not_to_be_switched_off_where_there_is_nothing_else() {
    let mut world = World::new();
    world.probes().for_each(|probe| probe.legacy = Some(vec![LegacyVersion::V1_0]));
    assert!(only(&world, Id::TlsOldVersion).fix.starts_with("switch them off"));
    for probe in world.probes() {
        let (legacy, detail) = (Legacy::TooOld, "TLS 1.0".to_owned());
        let tried = Tried::Failed { legacy, detail };
        probe.handshakes = vec![HandshakeTried { key: KeyKind::Ecdsa, tried }];
    }
    assert!(only(&world, Id::TlsOldVersion).fix.starts_with("get TLS 1.2 and 1.3 to work first"));
}

/// Attacker: on the path of an unsigned domain, names a mail host of their own. Nobody is told to list it.
#[test]
fn a_host_that_may_be_an_attackers_is_not_simply_to_be_listed() {
    let mut world = World::two();
    world.policy(policy(Mode::Enforce, &["mx.example.net"]));
    let fix = only(&world, Id::StsMxMismatch).fix;
    assert!(fix.starts_with("if the host is yours"), "{fix}");
}

/// Unsigned TLSA records stop no mail; wrong ones do once the zone is signed.
#[test]
fn orphans_are_compared_with_the_key_before_the_zone_is_signed() {
    let mut world = World::new();
    world.facts(0).dane = Dane::Absent(NoTlsa::InsecureAddress);
    world.host(0).orphans = vec![spare()];
    let orphan = only(&world, Id::TlsaOrphan);
    assert!(orphan.evidence.contains("none of them matches"), "{}", orphan.evidence);
    assert!(orphan.fix.contains("Make sure that they match the key, then sign"), "{}", orphan.fix);
    world.host(0).orphans = vec![tlsa(&certificates().good), spare()];
    assert!(!only(&world, Id::TlsaOrphan).evidence.contains("none"));
}

/// Suites that protect nothing weigh more than those that are only old.
#[test]
fn a_broken_suite_is_worse_than_an_old_one() {
    for (suite, severity) in [
        ("TLS_RSA_WITH_NULL_SHA", Severity::Warning),
        ("TLS_DH_anon_WITH_AES_256_GCM_SHA384", Severity::Warning),
        ("TLS_RSA_WITH_RC4_128_SHA", Severity::Warning),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Severity::Warning),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", Severity::Notice),
        ("TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Severity::Notice),
    ] {
        let mut world = World::new();
        world.probe(0, 0).weak.as_mut().unwrap().suites = vec![suite.into()];
        assert_eq!(only(&world, Id::TlsWeakSuite).severity, severity, "{suite}");
    }
}

/// Attacker: a domain owner whose records are quoted in evidence and in what is to be done.
#[test]
fn no_finding_carries_what_steers_a_terminal_or_is_endless() {
    let hostile =
        format!("v=DMARC1; p=none; rua=x; \u{1b}[2J\u{202e}\u{61c}={}", "a".repeat(9_000));
    let mut world = World::new();
    if let Published::Found { value, text, .. } = &mut world.survey.mail.dmarc {
        value.policy = DmarcPolicy::None;
        *text = hostile.as_str().into();
    }
    if let Published::Found { value, .. } = &mut world.survey.mail.spf {
        value.faults = vec![hostile.clone(); 50];
        value.unknown = vec![hostile.clone(); 50];
    }
    world.host(0).denial_fault = Some(hostile.clone());
    world.host(0).aaaa_fault = Some(hostile.clone());
    world.probe(0, 1).contact = Contact::Misbehaved(hostile);
    let assessment = world.assess();
    assert!(assessment.findings.len() >= 5, "{:?}", assessment.findings);
    for finding in &assessment.findings {
        for text in [&finding.subject, &finding.evidence, &finding.fix] {
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{61c}']), "{finding:?}");
            assert!(text.chars().count() < 5_000, "{}", finding.id);
        }
        // What is made visible takes more characters than it was.
        assert!(finding.evidence.chars().count() < 600, "{}", finding.id);
    }
}

/// What is said of an address is said once: a private one is wrong, our own is only not looked at.
#[test]
fn an_address_that_is_refused_has_one_finding_for_its_own_reason() {
    let refused = |why: Refused| {
        let mut world = World::new();
        world.facts(0).refused.push((ip("10.0.0.1"), why));
        world.host(0).addresses.push(AddressSurvey {
            ip: ip("10.0.0.1"),
            observed: Observed::Not(Unprobed::Refused("refused".into())),
        });
        only(&world, Id::MxPrivateAddress)
    };
    assert_eq!(refused(Refused::Private).severity, Severity::Warning);
    let own = refused(Refused::Own);
    assert_eq!(own.severity, Severity::Unknown);
    assert!(own.fix.starts_with("check from another machine"), "{}", own.fix);
}

/// A new version of a zone takes a while to all its servers; other records by the same serial do not.
#[test]
fn servers_that_only_have_another_version_weigh_less_than_another_answer() {
    for (record_type, severity) in [("SOA", Severity::Notice), ("MX", Severity::Warning)] {
        let mut world = World::new();
        let Servers::Asked(servers) = &mut world.survey.zone.servers else { panic!() };
        for server in servers.iter_mut() {
            server.answers[1].record_type = record_type.into();
        }
        servers[1].answers[1].digest = Ok("ffff".into());
        assert_eq!(only(&world, Id::NsDiverges).severity, severity, "{record_type}");
    }
}

/// Whoever writes `MX 10 localhost` into a domain that takes no mail, or forgets the end of a name, is told
/// what can be done: nobody can publish addresses for these, and none of them is to be taken from DNS.
#[test]
fn nobody_is_told_to_publish_addresses_for_a_name_that_no_host_can_have() {
    let gone = || Answer::Absent {
        denial: Denial::NxDomain,
        absence: Absence::Secure,
        expires: NOW + DAY,
        chain: None,
    };
    let told = |name: &str, addresses: Answer<Vec<IpAddr>>, refused: &[&str]| {
        let mut world = World::new();
        world.survey.hosts[0].host = domain(name);
        world.survey.hosts[0].addresses.clear();
        let facts = world.facts(0);
        facts.host = Peer::Name(domain(name));
        facts.addresses = addresses;
        facts.refused = refused.iter().map(|text| (ip(text), Refused::Special)).collect();
        world.assess().findings
    };
    let failed = || Answer::Failed(failure(FailureKind::Bogus));
    for (name, answer, refused) in [
        ("localhost", gone(), &[][..]),
        ("localhost", gone(), &["127.0.0.1", "::1"][..]),
        ("localhost", failed(), &[]),
        ("mail.localhost", gone(), &[]),
        ("mail", gone(), &[]),
        ("exchange.firma.local", gone(), &[]),
        ("mx.home.arpa", gone(), &[]),
    ] {
        let found = told(name, answer, refused);
        let about: Vec<_> = found.iter().filter(|one| one.subject.starts_with(name)).collect();
        let fixes = about.iter().filter(|one| one.id == Id::MxNoAddress);
        let fixes: Vec<_> = fixes.map(|one| (one.severity, one.fix.as_str())).collect();
        assert_eq!(fixes.len(), 1, "{name}: {found:?}");
        assert_eq!(fixes[0].0, Severity::Error);
        assert!(fixes[0].1.starts_with("name a mail host of its own"), "{fixes:?}");
        assert!(fixes[0].1.contains("`example.com. IN MX 0 .`"), "{fixes:?}");
        let silly = |one: &&Finding| {
            one.fix.contains("publish A") || one.fix.contains("remove this address")
        };
        assert!(!found.iter().any(|one| silly(&one)), "{name}: {found:?}");
    }
    // Names that look like these are names.
    let unknown = told("mail", failed(), &[]);
    assert!(!unknown.iter().any(|one| one.id == Id::MxNoAddress), "{unknown:?}");
    for name in ["mail.notlocal", "localhost.example.net", "mx.arpa"] {
        let found = told(name, gone(), &[]);
        let fix = |one: &Finding| one.id == Id::MxNoAddress && one.fix.starts_with("publish A and");
        assert!(found.iter().any(fix), "{name}: {found:?}");
    }
}
