//! Each kind of finding: there where it belongs, and not at a domain at its best.

use std::collections::BTreeSet;

use super::world::*;
use crate::{
    assess::{
        Consent, Contact, Delegation, DmarcPolicy, HandshakeTried, Id, KeyKind, LegacyVersion,
        Published, Reachable, ReportTarget, Servers, Signing, SpfAll, StartTlsSeen, Tried,
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

pub(super) fn signing(world: &mut World, change: impl Fn(&mut Signing)) {
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
    (Id::SpfUnreached, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.spf {
            value.unreached = vec!["example.com: include:late.example".into()];
        }
    }),
    (Id::DmarcMissing, |w| w.survey.mail.dmarc = absent()),
    (Id::DmarcBroken, |w| w.survey.mail.dmarc = broken()),
    (Id::DmarcRua, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.dmarc {
            value.rua_unusable = vec!["dmarc@example.com".into()];
        }
    }),
    (Id::DmarcRuaConsent, |w| {
        if let Published::Found { value, .. } = &mut w.survey.mail.dmarc {
            let consent = Consent::Missing("there is no such record".into());
            value.report_domains = vec![report_domain("reports.example", consent)];
        }
    }),
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
