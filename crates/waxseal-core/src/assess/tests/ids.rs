//! Each kind of finding: there where it belongs, and not at a domain at its best.

use std::{collections::BTreeSet, time::Duration};

use super::world::*;
use crate::{
    assess::{
        Contact, Delegation, Delivery, DmarcPolicy, HandshakeTried, Id, KeyKind, LegacyVersion,
        Observed, Published, Reachable, ReportTarget, Servers, Severity, Signing, SpfAll,
        StartTlsSeen, Tried, Unprobed,
    },
    channel::{Legacy, TlsVersion},
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, FailureKind},
    facts::{Dane, MxFact, NoTlsa, Refused, StsFailure},
    pki::bench::{NOW, tlv},
    sts::Mode,
    witness::{Missing, Testimony, Witnessed},
};

#[test]
fn a_domain_at_its_best_has_no_findings() {
    assert_eq!(World::new().assess().findings, []);
    assert_eq!(World::two().assess().findings, []);
}

fn signing(world: &mut World, change: impl Fn(&mut Signing)) {
    change(&mut world.survey.zone.signing);
}

fn tlsa_of(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Tlsa {
    Tlsa { usage, selector, matching, data }
}

/// A certificate of RSA with so few bits, signed with SHA-1 by somebody else.
pub(super) fn weak_certificate(bytes: usize) -> Vec<u8> {
    let rsa = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let sha1 = tlv(0x30, &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0]);
    let mut modulus = vec![0];
    modulus.extend(vec![0xff; bytes]);
    let key = tlv(0x30, &[tlv(2, &modulus), tlv(2, &[1, 0, 1])].concat());
    let bits = tlv(3, &[vec![0], key].concat());
    let spki = tlv(0x30, &[tlv(0x30, &rsa), bits].concat());
    let name = |text: &str| {
        let attribute = [vec![6, 3, 0x55, 4, 3], tlv(12, text.as_bytes())].concat();
        tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
    };
    let dates = [tlv(23, b"260101000000Z"), tlv(23, b"270101000000Z")].concat();
    let inside =
        [tlv(2, &[5]), sha1.clone(), name("ca"), tlv(0x30, &dates), name("mx"), spki].concat();
    tlv(0x30, &[tlv(0x30, &inside), sha1, tlv(3, &[0, 1, 2])].concat())
}

const MX: &[(Id, Spoil)] = &[
    (Id::DomainMissing, |w| {
        w.survey.facts.mx = MxFact::NoDomain { absence: Absence::Secure, chain: None };
    }),
    (Id::DnsFailed, |w| w.survey.facts.mx = MxFact::Failed(failure(FailureKind::Timeout))),
    (Id::CutShort, |w| w.survey.unasked = vec!["the MTA-STS policy".into()]),
    (Id::MxNull, |w| {
        w.survey.facts.mx = MxFact::Null { authenticity: Authenticity::Secure, chain: None };
    }),
    (Id::MxNullConflict, |w| (w.survey.mx.records, w.survey.mx.null) = (2, 1)),
    (Id::MxImplicit, |w| {
        w.survey.facts.mx = MxFact::Implicit { absence: Absence::Secure, chain: None };
    }),
    (Id::MxCname, |w| w.host(0).alias = Some(domain("lb.example.net"))),
    (Id::MxNoAddress, |w| {
        if let Answer::Found { value, .. } = &mut w.facts(0).addresses {
            value.clear();
        }
    }),
    (Id::MxPrivateAddress, |w| w.facts(0).refused.push((ip("10.0.0.1"), Refused::Private))),
    (Id::MxTooMany, |w| w.survey.mx.records = 1_000),
    (Id::MxZoneUnsigned, |w| {
        w.host(0).zone.signing = Signing::Unsigned { because: "net has no DS for it".into() };
    }),
    (Id::MxNoIpv6, |w| {
        if let Answer::Found { value, .. } = &mut w.facts(0).addresses {
            value.retain(std::net::IpAddr::is_ipv4);
        }
    }),
    (Id::MxUnreachable, |w| {
        w.probe(0, 1).contact = Contact::Unreachable("connection refused".into());
    }),
    (Id::MxTurnedAway, |w| w.contact(&Contact::TurnedAway("421 too many".into()))),
    (Id::MxMisbehaved, |w| w.contact(&Contact::Misbehaved("a greeting without end".into()))),
    (Id::AaaaDoeBroken, |w| w.host(0).aaaa_fault = Some("SERVFAIL for AAAA".into())),
];

/// What one other resolver says of a record that ours does not see.
fn witness(world: &mut World, missing: Missing, said: Testimony) {
    let witness = "tls://192.0.2.1#dns.other.example".to_owned();
    world.survey.facts.witnesses.push(Witnessed { missing, witness, said });
}

const WITNESS: &[(Id, Spoil)] = &[
    (Id::DnsHidden, |w| {
        w.without_sts();
        witness(w, Missing::StsRecord, Testimony::Contradicts);
    }),
    (Id::DnsHidden, |w| {
        w.survey.facts.mx = MxFact::Failed(failure(FailureKind::Indeterminate));
        witness(w, Missing::Mx, Testimony::Contradicts);
    }),
    (Id::DnsUnconfirmed, |w| {
        w.without_sts();
        witness(w, Missing::StsRecord, Testimony::Failed("silent".into()));
    }),
];

const ZONE: &[(Id, Spoil)] = &[
    (Id::ZoneUnsigned, World::unsigned),
    (Id::ZoneBogus, |w| {
        w.survey.zone.signing = Signing::Failed(failure(FailureKind::Bogus));
    }),
    (Id::ZoneWeakAlgorithm, |w| {
        signing(w, |signing| {
            if let Signing::Signed { algorithms, .. } = signing {
                *algorithms = vec![7];
            }
        });
    }),
    (Id::ZoneNsec3Iterations, |w| {
        signing(w, |signing| {
            if let Signing::Signed { nsec3_iterations, .. } = signing {
                *nsec3_iterations = Some(10);
            }
        });
    }),
    (Id::RrsigExpires, |w| {
        signing(w, |signing| {
            if let Signing::Signed { first_expiry, .. } = signing {
                *first_expiry = NOW + DAY * 2;
            }
        });
    }),
    (Id::NsDiverges, |w| {
        if let Servers::Asked(servers) = &mut w.survey.zone.servers {
            servers[1].answers[1].digest = Ok("ffff".into());
        }
    }),
    (Id::NsBogus, |w| {
        if let Servers::Asked(servers) = &mut w.survey.zone.servers {
            servers[1].answers[1].bogus = Some("the signature does not verify".into());
        }
    }),
    (Id::NsUnreached, |w| {
        w.survey.zone.servers = Servers::Unreached("none of its servers answered".into());
    }),
    (Id::NsDelegation, |w| {
        let above_only = vec![domain("old.example.net")];
        w.survey.zone.delegation = Delegation::Compared { above_only, zone_only: Vec::new() };
    }),
    (Id::TlsaNsDiverges, |w| {
        if let Servers::Asked(servers) = &mut w.host(0).zone.servers {
            servers[1].answers[0].digest = Ok("ffff".into());
        }
    }),
    (Id::TlsaEntNxdomain, |w| w.host(0).denial_fault = Some("NXDOMAIN at _tcp".into())),
];

const TLSA: &[(Id, Spoil)] = &[
    (Id::TlsaMissing, World::without_dane),
    (Id::TlsaFailed, |w| w.facts(0).dane = Dane::LookupFailed(failure(FailureKind::ServFail))),
    (Id::TlsaOrphan, |w| {
        w.facts(0).dane = Dane::Absent(NoTlsa::InsecureAddress);
        w.host(0).orphans = vec![spare()];
    }),
    (Id::TlsaNomatch, |w| w.chain(&certificates().other)),
    (Id::TlsaOneAlgOnly, |w| {
        for probe in w.probes() {
            let tried = Tried::Session(session(&certificates().other));
            probe.handshakes[0] = HandshakeTried { key: KeyKind::Rsa, tried };
        }
    }),
    (Id::TlsaAddrDiverges, |w| {
        let tried = Tried::Session(session(&certificates().other));
        w.probe(0, 1).handshakes[1].tried = tried;
    }),
    (Id::TlsaStaleIssuer, |w| w.records(0).push(tlsa_of(2, 1, 1, vec![9; 32]))),
    (Id::TlsaTooMany, |w| {
        for n in 0..13 {
            w.records(0).push(tlsa_of(3, 1, 1, vec![n; 32]));
        }
    }),
    (Id::TlsaPkixUsage, |w| w.records(0).push(tlsa_of(1, 1, 1, vec![9; 32]))),
    (Id::TlsaCertSelector, |w| w.records(0).push(tlsa_of(3, 0, 1, vec![9; 32]))),
    (Id::TlsaFullData, |w| {
        let whole = certificates().good[0].clone();
        w.records(0).push(tlsa_of(3, 0, 0, whole));
    }),
    (Id::TlsaNoNext, |w| w.records(0).truncate(1)),
    (Id::TlsaTtl, |w| w.host(0).tlsa_ttl = Some(DAY * 7)),
    (Id::TlsaUnusable, |w| {
        let (base, records) = (domain("mx.example.net"), vec![tlsa_of(1, 1, 1, vec![9; 32])]);
        w.facts(0).dane = Dane::Unusable { base, records, chain: None };
    }),
];

const STS: &[(Id, Spoil)] = &[
    (Id::StsMissing, World::without_sts),
    (Id::StsRecordBroken, |w| w.survey.policy.record = broken()),
    (Id::StsFetch, |w| {
        w.survey.policy.served = Some(Err(StsFailure::Fetch("a redirect (301)".into())));
    }),
    (Id::StsHostCertificate, |w| {
        w.survey.policy.served = Some(Err(StsFailure::Certificate("expired".into())));
    }),
    (Id::StsInvalid, |w| {
        w.survey.policy.served = Some(Err(StsFailure::Invalid("line 2: no colon".into())));
    }),
    (Id::StsMediaType, |w| w.survey.policy.media_type = Some("text/html".into())),
    (Id::StsCrlf, |w| w.survey.policy.crlf = Some(false)),
    (Id::StsMxMismatch, |w| w.policy(policy(Mode::Enforce, &["mx.example.org"]))),
    (Id::StsMxUnused, |w| {
        w.lists(unused("mx2.example.net", &certificates().second));
    }),
    (Id::StsMxUnready, |w| {
        w.lists(unused("mx2.example.net", &certificates().own));
    }),
    (Id::StsWildcard, |w| w.policy(policy(Mode::Enforce, &["*.example.net"]))),
    (Id::StsIdStale, |w| {
        let mut before = w.survey.clone();
        before.policy.digest = Some("bb".into());
        w.before = Some(before);
    }),
    (Id::StsTesting, |w| w.policy(policy(Mode::Testing, &["mx.example.net"]))),
    (Id::StsTestingTooLong, |w| {
        w.policy(policy(Mode::Testing, &["mx.example.net"]));
        w.testing_since = Some(NOW.before(DAY * 61));
    }),
    (Id::StsNone, |w| w.policy(policy(Mode::None, &[]))),
    (Id::StsMaxAge, |w| {
        let mut short = policy(Mode::Enforce, &["mx.example.net"]);
        short.max_age = DAY * 7;
        w.policy(short);
    }),
    (Id::StsMaxAgeTooLong, |w| w.survey.policy.max_age = Some(31_557_601)),
    (Id::StsRemovedHot, |w| w.survey.policy.record = absent()),
    (Id::StsCertVsMx, |w| {
        w.without_dane();
        w.chain(&certificates().own);
    }),
    (Id::StsDaneConflict, |w| {
        *w.records(0) = vec![tlsa(&certificates().own), spare()];
        w.chain(&certificates().own);
    }),
];

const TLS: &[(Id, Spoil)] = &[
    (Id::TlsMissing, |w| w.starttls(&StartTlsSeen::NotOffered)),
    (Id::TlsFailed, |w| {
        for probe in w.probes() {
            let (legacy, detail) = (Legacy::No, "connection reset".to_owned());
            let tried = Tried::Failed { legacy, detail };
            probe.handshakes = vec![HandshakeTried { key: KeyKind::Ecdsa, tried }];
        }
    }),
    (Id::StartTlsReputation, |w| stripped(w.probe(0, 0), &StartTlsSeen::NotOffered)),
    (Id::TlsInjected, |w| w.starttls(&StartTlsSeen::Injected)),
    (Id::TlsOldVersion, |w| w.probes().for_each(|p| p.legacy = Some(vec![LegacyVersion::V1_0]))),
    (Id::TlsNo13, |w| w.sessions().for_each(|session| session.version = TlsVersion::V1_2)),
    (Id::TlsWeakSuite, |w| {
        let weak = w.probe(0, 0).weak.as_mut().unwrap();
        weak.suites = vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()];
    }),
    (Id::TlsWeakGroup, |w| {
        w.probe(0, 0).weak.as_mut().unwrap().groups = Some(vec!["ffdhe2048".into()]);
    }),
    (Id::TlsNoEms, |w| {
        w.probe(0, 0).weak.as_mut().unwrap().extended_master_secret = Some(false);
    }),
    (Id::PqNone, |w| w.sessions().for_each(|session| session.group = Some("x25519".into()))),
    (Id::CertExpires, |w| w.chain(&certificates().old)),
    (Id::CertName, |w| w.chain(&certificates().elsewhere)),
    (Id::CertUntrusted, |w| w.chain(&certificates().own)),
    (Id::CertWeakKey, |w| w.chain(&[weak_certificate(128)])),
    (Id::CertWeakHash, |w| w.chain(&[weak_certificate(256)])),
    (Id::RequireTlsMissing, |w| {
        w.probes().for_each(|probe| probe.keywords_in_tls = Some(vec!["SIZE".into()]));
    }),
];

const MAIL: &[(Id, Spoil)] = &[
    (Id::RptMissing, |w| w.survey.tlsrpt = absent()),
    (Id::RptBroken, |w| w.survey.tlsrpt = broken()),
    (Id::RptHostMissing, |w| w.host(0).tlsrpt = absent()),
    (Id::RptRuaUnreachable, |w| {
        let reachable = Reachable::No("a null MX".into());
        w.survey.report_targets =
            vec![ReportTarget { uri: "mailto:x@y.example".into(), reachable }];
    }),
    (Id::SpfMissing, |w| w.survey.mail.spf = absent()),
    (Id::SpfBroken, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.spf {
            value.faults = vec!["it costs 11 lookups".into()];
        }
    }),
    (Id::SpfWeak, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.spf {
            value.all = SpfAll::Pass;
        }
    }),
    (Id::SpfPtr, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.spf {
            value.ptr = vec![domain("example.com")];
        }
    }),
    (Id::DmarcMissing, |w| w.survey.mail.dmarc = absent()),
    (Id::DmarcBroken, |w| w.survey.mail.dmarc = broken()),
    (Id::DmarcWeak, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.dmarc {
            value.policy = DmarcPolicy::None;
        }
    }),
    (Id::DkimKey, |w| w.survey.mail.dkim[0].1 = absent()),
    (Id::DkimOtherKey, |w| w.survey.mail.own = vec![own_key("one", Ok("66"))]),
    (Id::DkimKeyUnknown, |w| {
        w.survey.mail.own = vec![own_key("one", Err("/etc/waxseal/dkim.pem: permission denied"))];
    }),
    (Id::DkimWeakKey, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.dkim[0].1 {
            value.bits = 1024;
        }
    }),
    (Id::CaaMissing, |w| w.host(0).caa = absent()),
    (Id::CaaBroken, |w| w.survey.policy.caa = broken()),
    (Id::BimiPresent, |w| w.survey.mail.bimi = found("v=BIMI1".into())),
    (Id::SecurityTxtMissing, |w| w.survey.mail.security_txt = absent()),
    (Id::SecurityTxtExpired, |w| w.survey.mail.security_txt = found(NOW.before(DAY))),
];

pub(super) fn all() -> impl Iterator<Item = &'static (Id, Spoil)> {
    [MX, WITNESS, ZONE, TLSA, STS, TLS, MAIL].into_iter().flatten()
}

/// With `a_domain_at_its_best_has_no_findings`: every kind once where it belongs and once not.
#[test]
fn every_kind_of_finding_is_found_where_it_belongs() {
    let mut found = BTreeSet::new();
    for (id, spoil) in all() {
        let mut world = World::new();
        spoil(&mut world);
        let assessment = world.assess();
        let mine: Vec<_> = assessment.findings.iter().filter(|one| one.id == *id).collect();
        assert!(!mine.is_empty(), "{id} is missing: {:?}", assessment.findings);
        for finding in mine {
            assert!(!finding.subject.is_empty() && !finding.evidence.is_empty(), "{finding:?}");
            assert!(finding.fix.len() > 5, "{finding:?}");
        }
        found.insert(*id);
    }
    let missing: Vec<_> = Id::ALL.iter().filter(|id| !found.contains(id)).collect();
    assert!(missing.is_empty(), "no test for {missing:?}");
}

pub(super) fn only(world: &World, id: Id) -> crate::assess::Finding {
    let assessment = world.assess();
    let mut mine = assessment.findings.into_iter().filter(|finding| finding.id == id);
    let first = mine.next().unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(mine.next(), None);
    first
}

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

/// Internet.nl counts records and is fooled by duplicates and by a second kind of key.
#[test]
fn a_rollover_scheme_is_looked_for_in_each_kind_of_key() {
    let mut world = World::new();
    for probe in world.probes() {
        probe.handshakes[0].tried = Tried::Session(session(&certificates().other));
    }
    *world.records(0) = vec![tlsa(&certificates().good), tlsa(&certificates().other)];
    assert!(only(&world, Id::TlsaNoNext).evidence.contains("RSA, ECDSA"));
    world.records(0).push(spare());
    assert!(only(&world, Id::TlsaNoNext).evidence.contains("1 spare"));
    world.records(0).push(Tlsa { data: vec![8; 32], ..spare() });
    assert!(!world.ids().contains(&Id::TlsaNoNext));

    // The issuer's record serves as well (current + issuer).
    let mut world = World::new();
    let issuer = tlsa(&certificates().good[1..]);
    *world.records(0) = vec![tlsa(&certificates().good), Tlsa { usage: 2, ..issuer }];
    assert_eq!(world.ids(), []);
}

/// `unknown` is a verdict of its own: rate limits, greylisting and time-outs are neither good nor
/// bad.
#[test]
fn what_could_not_be_seen_is_unknown_and_nothing_else() {
    let turned = Contact::TurnedAway("450 4.7.1 greylisted".into());
    let silent = Contact::Unreachable("no answer within 30 s".into());
    for contact in [&turned, &silent] {
        let mut world = World::plain();
        world.contact(contact);
        let assessment = world.assess();
        assert_eq!(assessment.level, None);
        assert_eq!(assessment.delivery, crate::assess::Delivery::Unknown);
        let about = |id| assessment.findings.iter().find(|finding| finding.id == id);
        let finding = about(Id::MxTurnedAway).or_else(|| about(Id::MxUnreachable)).unwrap();
        assert_eq!(finding.severity, Severity::Unknown);
        assert!(about(Id::TlsMissing).is_none());
    }
    let mut world = World::plain();
    for host in &mut world.survey.hosts {
        for address in &mut host.addresses {
            address.observed = Observed::Not(Unprobed::DnsOnly);
        }
    }
    assert_eq!(world.assess().delivery, crate::assess::Delivery::Unknown);
    for kind in [FailureKind::Timeout, FailureKind::Unreachable, FailureKind::SignaturesStripped] {
        let mut world = World::new();
        world.facts(0).dane = Dane::LookupFailed(failure(kind));
        assert_eq!(only(&world, Id::TlsaFailed).severity, Severity::Unknown);
    }
}

/// Our own port 443 may be closed: no error follows from that, while what a policy host answers is
/// its own.
#[test]
fn a_policy_host_that_was_not_reached_is_unknown_and_one_that_refuses_is_an_error() {
    let severity = |failure: fn(String) -> StsFailure| {
        let mut world = World::new();
        world.survey.policy.served = Some(Err(failure("it came to nothing".into())));
        only(&world, Id::StsFetch).severity
    };
    assert_eq!(severity(StsFailure::Unreached), Severity::Unknown);
    assert_eq!(severity(StsFailure::Fetch), Severity::Error);
}

/// A handshake that was lost on the way is no fault of the host, and no way into cleartext either.
#[test]
fn a_handshake_that_came_to_no_end_is_unknown() {
    let mut world = World::plain();
    for probe in world.probes() {
        for one in &mut probe.handshakes {
            one.tried = Tried::Unknown("no end of the handshake in time".into());
        }
        (probe.legacy, probe.weak) = (None, None);
    }
    let finding = only(&world, Id::TlsFailed);
    assert_eq!(finding.severity, Severity::Unknown);
    let assessment = world.assess();
    assert_eq!((assessment.level, assessment.delivery), (None, crate::assess::Delivery::Unknown));
    assert!(assessment.headline.contains("no end of the handshake"), "{}", assessment.headline);
}

/// The next step and no other (docs/findings.md): whoever jumps to `reject` loses mail, and a mailbox
/// that nobody has reads no reports.
#[test]
fn a_dmarc_record_is_moved_one_step_and_keeps_its_tags() {
    let fix = |policy, rua: &[&str], testing, text: &str| {
        let mut world = World::new();
        if let Published::Found { value, text: published, .. } = &mut world.survey.mail.dmarc {
            (value.policy, value.testing) = (policy, testing);
            value.rua = rua.iter().map(|uri| (*uri).into()).collect();
            *published = text.into();
        }
        only(&world, Id::DmarcWeak).fix
    };
    let none = fix(
        DmarcPolicy::None,
        &["mailto:us@example.com"],
        false,
        "v=DMARC1;p=none; rua=mailto:us@example.com; adkim=s",
    );
    let record = "_dmarc.example.com. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:us@example.com; \
                  adkim=s\"";
    assert!(none.ends_with(record), "{none}");
    let blind = fix(DmarcPolicy::None, &[], false, "v=DMARC1; p=none");
    assert!(
        blind.ends_with("\"v=DMARC1; p=none; rua=mailto:<a mailbox that somebody reads>\""),
        "{blind}"
    );
    let testing =
        fix(DmarcPolicy::Reject, &["mailto:a@b.example"], true, "v=DMARC1; p=reject; t=y");
    assert!(testing.ends_with("\"v=DMARC1; p=reject\""), "{testing}");

    let mut world = World::new();
    world.survey.mail.dmarc = absent();
    let missing = only(&world, Id::DmarcMissing).fix;
    assert!(missing.contains("p=none; rua=mailto:<"), "{missing}");
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

/// `iodef` alone restricts nobody (RFC 8659 §4.2).
#[test]
fn caa_without_issue_is_as_good_as_none() {
    let mut world = World::new();
    world.host(0).caa = found(vec!["0 iodef \"mailto:us@example.com\"".into()]);
    assert!(only(&world, Id::CaaMissing).evidence.contains("issue"));
}

/// A CA looks at the name that it is to certify (RFC 8659 §3): that of the mail host, which may be in
/// another domain, and that of the policy host.
#[test]
fn caa_is_judged_at_the_names_that_certificates_are_for() {
    let mut world = World::two();
    world.host(1).caa = absent();
    assert_eq!(only(&world, Id::CaaMissing).subject, "mx2.example.net");
    world.host(1).caa = found(vec!["0 issue ca.example".into()]);
    world.survey.policy.caa = absent();
    let finding = only(&world, Id::CaaMissing);
    assert_eq!(finding.subject, "mta-sts.example.com");
    assert!(finding.fix.starts_with("mta-sts.example.com. IN CAA 0 issue"), "{}", finding.fix);
}

/// Receivers try a lookup again that came to nothing (RFC 7208 §2.6.6); so nothing is broken.
#[test]
fn an_spf_lookup_that_failed_is_unknown() {
    let mut world = World::new();
    if let Published::Found { value, .. } = &mut world.survey.mail.spf {
        value.unknown = vec!["a.example could not be looked up: no answer in time".into()];
        value.all = SpfAll::Unknown;
    }
    let finding = only(&world, Id::DnsFailed);
    assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Unknown, "example.com"));
    let ids = world.ids();
    assert!(!ids.contains(&Id::SpfBroken) && !ids.contains(&Id::SpfWeak), "{ids:?}");
}

/// Zones that sign while they answer have signatures of two days, and nothing is wrong.
#[test]
fn short_signatures_are_no_finding_while_they_are_renewed() {
    let with = |expiry: Duration, age: Duration| {
        let mut world = World::new();
        signing(&mut world, |signing| {
            if let Signing::Signed { first_expiry, signed_at, .. } = signing {
                (*first_expiry, *signed_at) = (NOW + expiry, Some(NOW.before(age)));
            }
        });
        world.ids().contains(&Id::RrsigExpires)
    };
    assert!(!with(DAY, DAY), "online signing");
    assert!(with(Duration::from_hours(6), DAY * 2), "online signing that stopped");
    assert!(with(DAY, DAY * 13), "a signer that stopped");
    assert!(!with(DAY * 4, DAY * 10));
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

/// The attacker is a domain owner whose records and hosts write what our terminal would obey.
#[test]
fn hostile_words_are_harmless_in_findings_and_headlines() {
    let evil = "\u{1b}]0;owned\u{7}\r\n\u{202e}";
    let mut world = World::plain();
    world.host(0).denial_fault = Some(evil.into());
    world.host(0).aaaa_fault = Some(evil.repeat(10_000));
    world.contact(&Contact::Misbehaved(evil.into()));
    world.survey.zone.signing = Signing::Unsigned { because: evil.into() };
    world.survey.policy.served = Some(Err(StsFailure::Fetch(evil.into())));
    let text = serde_json::to_string(&world.assess()).unwrap();
    for bad in ["\\u001b", "\\u0007", "\\r", "\\n", "\u{202e}"] {
        assert!(!text.contains(bad), "{bad}: {text}");
    }
    assert!(text.len() < 20_000, "{}", text.len());
}

/// A resolver of ours that cannot validate is told once, and not as a fault of each record.
#[test]
fn a_fault_on_our_side_is_one_finding() {
    let mut world = World::new();
    let failed = failure(FailureKind::SignaturesStripped);
    world.survey.facts.mx = MxFact::Failed(failed.clone());
    world.survey.zone.signing = Signing::Failed(failed.clone());
    world.survey.policy.record = Published::Failed(failed.clone());
    world.survey.tlsrpt = Published::Failed(failed.clone());
    world.survey.mail.spf = Published::Failed(failed);
    let finding = only(&world, Id::DnsFailed);
    assert_eq!((finding.subject.as_str(), finding.severity), ("our resolver", Severity::Unknown));
}

/// SHA-1 alone at the parent: some validators see an unsigned zone already.
#[test]
fn a_ds_record_with_sha1_is_a_finding_that_weighs_what_stands_beside_it() {
    let found = |digests: &[u8]| {
        let mut world = World::new();
        signing(&mut world, |signing| {
            if let Signing::Signed { ds_digests, .. } = signing {
                *ds_digests = digests.to_vec();
            }
        });
        let findings = world.assess().findings;
        findings.iter().map(|finding| (finding.id, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[1]), [(Id::ZoneWeakAlgorithm, Severity::Warning)]);
    assert_eq!(found(&[1, 2]), [(Id::ZoneWeakAlgorithm, Severity::Info)]);
    assert_eq!(found(&[2, 4]), []);
}

/// Whatever else was seen or not: of a domain that is not there, or that takes no mail, nobody
/// hears what would protect the mail to it.
#[test]
fn a_domain_that_takes_no_mail_gets_one_finding() {
    let bare = |mx: MxFact| {
        let mut world = World::new();
        world.unsigned();
        world.survey.facts.hosts.clear();
        world.survey.hosts.clear();
        world.survey.policy.record = absent();
        world.survey.tlsrpt = absent();
        world.survey.mail.spf = absent();
        world.survey.mail.dmarc = absent();
        world.survey.policy.caa = absent();
        world.survey.facts.mx = mx;
        world.assess()
    };
    let cases = [
        (Absence::Secure, Severity::Error),
        (Absence::Agreed, Severity::Error),
        (Absence::Unconfirmed, Severity::Unknown),
    ];
    for (absence, severity) in cases {
        let missing = bare(MxFact::NoDomain { absence, chain: None });
        let [finding] = &missing.findings[..] else { panic!("{:?}", missing.findings) };
        assert_eq!((finding.id, finding.severity), (Id::DomainMissing, severity));
        assert_eq!(missing.delivery, Delivery::TakesNoMail);
    }
    let null = bare(MxFact::Null { authenticity: Authenticity::Insecure, chain: None });
    let [finding] = &null.findings[..] else { panic!("{:?}", null.findings) };
    assert_eq!((finding.id, finding.severity), (Id::MxNull, Severity::Info));
    assert!(finding.fix.contains("v=spf1 -all") && finding.fix.contains("p=reject"), "{finding:?}");
}
