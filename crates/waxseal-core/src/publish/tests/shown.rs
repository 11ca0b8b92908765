//! What MX hosts show: no record goes that a shown key needs, and no policy binds that it fails.

use std::net::IpAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::{
    doors::{host, waits},
    *,
};
use crate::{
    assess::{
        Contact, HandshakeTried, KeyKind, Observed, OfferedSession, Probe, Quoted, StartTlsSeen,
        Tried, Unprobed,
    },
    channel::{Legacy, TlsVersion},
    pki::Certificate,
    publish::{
        rollout::Certificates,
        shown::{Held, HostShown, Place},
    },
};

/// A CA, and a certificate of it for these names: in DER.
fn certificate(names: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2028, 1, 1);
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    (leaf.der().to_vec(), issuer.der().to_vec())
}

fn key_of(der: &[u8]) -> Key {
    let spki = crate::pki::Certificate::read(der).unwrap().public_key_info();
    Key::of("ECDSA P-256".to_owned(), spki)
}

fn digest_of(der: &[u8]) -> [u8; 32] {
    Certificate::read(der).unwrap().key_digest()
}

fn address() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 25).into()
}

fn session(chain: &[&[u8]]) -> Tried {
    Tried::Session(OfferedSession {
        version: TlsVersion::V1_3,
        suite: "TLS_AES_128_GCM_SHA256".to_owned(),
        group: None,
        chain: chain.iter().map(|der| der.to_vec()).collect(),
        sni: None,
        at: NOW,
    })
}

fn probed(contact: Contact, tried: Vec<(KeyKind, Tried)>) -> Observed {
    let handshakes = tried.into_iter().map(|(key, tried)| HandshakeTried { key, tried });
    Observed::Probed(Box::new(Probe {
        at: NOW,
        contact,
        keywords_in_tls: None,
        handshakes: handshakes.collect(),
        legacy: None,
        weak: None,
    }))
}

fn spoke(starttls: StartTlsSeen) -> Contact {
    Contact::Spoke { greeting: Quoted::default(), keywords: Vec::new(), starttls }
}

/// A host that shows this ECDSA chain, and no other key.
fn showing(chain: &[&[u8]]) -> HostShown {
    let mut shown = HostShown::new(name("mx.example.com"));
    let tried = vec![(KeyKind::Ecdsa, session(chain)), (KeyKind::Rsa, Tried::NoSuchKey)];
    shown.add(address(), &probed(spoke(StartTlsSeen::Ready), tried));
    shown
}

#[test]
fn no_record_goes_that_a_shown_key_needs() {
    let (leaf, issuer) = certificate(&["mx.example.com"]);
    let shown = showing(&[&leaf, &issuer]);
    let old = texts::end_entity(digest_of(&leaf));
    let new = texts::end_entity([9; 32]);
    let Some(Held::Shown(held)) = shown.holds(std::slice::from_ref(&new), NOW) else { panic!() };
    assert!(held.contains("which 192.0.2.25 shows") && held.contains("name it in"), "{held}");
    assert_eq!(shown.holds(&[new.clone(), old], NOW), None);
    // The record of its issuer covers it as well.
    assert_eq!(shown.holds(&[new, texts::issuer(digest_of(&issuer))], NOW), None);
}

#[test]
fn what_could_not_be_seen_holds_records_as_well() {
    let (leaf, _) = certificate(&["mx.example.com"]);
    let records = [texts::end_entity(digest_of(&leaf))];
    let half = vec![
        (KeyKind::Ecdsa, session(&[&leaf])),
        (KeyKind::Rsa, Tried::Unknown("no answer in time".to_owned())),
    ];
    let failed = Tried::Failed { legacy: Legacy::No, detail: "no common suite".to_owned() };
    for (observed, why) in [
        (probed(spoke(StartTlsSeen::Ready), half), "192.0.2.25, RSA: no answer in time"),
        (probed(Contact::Unreachable("no route".to_owned()), Vec::new()), "192.0.2.25: no route"),
        (probed(spoke(StartTlsSeen::NotOffered), Vec::new()), "STARTTLS is not offered"),
        (probed(spoke(StartTlsSeen::Ready), vec![(KeyKind::Rsa, failed)]), "no common suite"),
        (probed(spoke(StartTlsSeen::Ready), Vec::new()), "TLS was not tried"),
        (Observed::Not(Unprobed::Refused("a private address".to_owned())), "a private address"),
    ] {
        let mut shown = HostShown::new(name("mx.example.com"));
        shown.add(address(), &observed);
        let Some(Held::Unknown(held)) = shown.holds(&records, NOW) else { panic!("{why}") };
        assert!(held.contains("could not be found out") && held.contains(why), "{held}");
    }
    // No address at all is not the same as nothing to lose.
    assert!(HostShown::new(name("mx.example.com")).holds(&records, NOW).is_some());
    // A host without Ed25519 that hangs up on who asks for it is no riddle.
    let mut shown = showing(&[&leaf]);
    let odd = vec![
        (KeyKind::Ecdsa, session(&[&leaf])),
        (KeyKind::Ed25519, Tried::Unknown("it hung up".to_owned())),
    ];
    shown.add(address(), &probed(spoke(StartTlsSeen::Ready), odd));
    assert_eq!(shown.holds(&records, NOW), None);
}

/// A chain that ran out is not a new key: to name it in the configuration would mend nothing.
#[test]
fn an_expired_chain_of_a_configured_issuer_is_called_expired_and_not_unknown() {
    let (leaf, issuer) = certificate(&["mx.example.com"]);
    let shown = showing(&[&leaf, &issuer]);
    let mut keys = host(&[1], &[]);
    keys.issuers = vec![key_of(&issuer)];
    let records = [texts::issuer(digest_of(&issuer))];
    let late = UnixTime(2_000_000_000);
    assert!(shown.doors(&keys, NOW).is_empty());
    assert_eq!(shown.places(&keys, late).next().unwrap().1, Place::Refused);
    let doors = shown.doors(&keys, late);
    for said in [&doors[0].because, &shown.uncovered(&records, late)[0]] {
        assert!(said.contains("expired") && said.contains("issuer is configured"), "{said}");
        assert!(!said.contains("not configured"), "{said}");
    }
    let Some(Held::Shown(held)) = shown.holds(&records, late) else { panic!() };
    assert!(held.contains("expired"), "{held}");
    // For another host, of the same issuer.
    let (other, issuer) = certificate(&["other.example.com"]);
    let uncovered =
        showing(&[&other, &issuer]).uncovered(&[texts::issuer(digest_of(&issuer))], NOW);
    assert!(uncovered[0].contains("other.example.com"), "{uncovered:?}");
    // Its own key in `current` covers it whatever its dates say (RFC 7672 section 3.1.1).
    keys.current = vec![key_of(&leaf)];
    assert!(shown.doors(&keys, late).is_empty());
}

/// Attacker: whoever answers at the address shows a certificate that nobody can read.
#[test]
fn an_unreadable_certificate_is_not_known() {
    let shown = showing(&[b"no certificate"]);
    assert!(shown.chains.is_empty() && shown.unknown.len() == 1, "{shown:?}");
    assert!(showing(&[]).holds(&[], NOW).is_some());
}

#[test]
fn each_shown_key_has_its_place_in_the_configuration() {
    let (leaf, issuer) = certificate(&["mx.example.com"]);
    let shown = showing(&[&leaf, &issuer]);
    let place = |keys: &HostKeys| shown.places(keys, NOW).next().unwrap().1;
    let mut keys = host(&[1], &[2]);
    assert_eq!(place(&keys), Place::Nowhere);
    let doors = shown.doors(&keys, NOW);
    assert!(doors.len() == 1 && waits(&doors[0]).is_none(), "{doors:?}");
    keys.issuers = vec![key_of(&issuer)];
    assert_eq!(place(&keys), Place::Issuer);
    keys.next.push(key_of(&leaf));
    assert_eq!(place(&keys), Place::Next);
    keys.current.push(key_of(&leaf));
    assert_eq!(place(&keys), Place::Current);
    assert!(shown.doors(&keys, NOW).is_empty());
}

#[test]
fn a_policy_that_binds_waits_for_certificates_that_pass() {
    let policy = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let fails = |shown: &HostShown, ca: &[u8], now| {
        let ca = CertificateDer::from(ca.to_vec());
        let anchor: TrustAnchor<'_> = webpki::anchor_from_trusted_cert(&ca).unwrap();
        shown.failing(&policy, std::slice::from_ref(&anchor), now)
    };
    let (good, issuer) = certificate(&["mx.example.com"]);
    let (other, other_ca) = certificate(&["other.example.com"]);
    assert!(fails(&showing(&[&good]), &issuer, NOW).is_empty());
    for (chain, ca, now, why) in [
        (&good, &other_ca, NOW, "which 192.0.2.25 shows at mx.example.com:"),
        (&other, &other_ca, NOW, "other.example.com"),
        (&good, &issuer, UnixTime(2_000_000_000), "expired"),
    ] {
        let failing = fails(&showing(&[chain]), ca, now);
        assert!(failing.len() == 1 && failing[0].contains(why), "{failing:?}");
    }
    let mut elsewhere = showing(&[&good]);
    elsewhere.host = name("new.example.com");
    assert!(fails(&elsewhere, &issuer, NOW)[0].contains("is not in the policy"));
}

#[test]
fn the_step_to_enforce_is_held_by_a_certificate_that_would_fail() {
    let enforce = |mode, certificates: &Certificates| {
        let mut memory = DomainMemory::default();
        memory.policy.mode = Some((sts::Mode::Testing, NOW.before(rollout::WEEKS)));
        let dane = &[Standing::Live];
        let tlsrpt = &Standing::Live;
        let facts = rollout::Facts { tlsrpt, mode, dane, certificates, memory: &memory, now: NOW };
        rollout::plan(&facts).into_iter().find(|stage| stage.step == Step::Enforce).unwrap()
    };
    let (testing, binding) = (Ok(Some(sts::Mode::Testing)), Ok(Some(sts::Mode::Enforce)));
    let why = vec!["the certificate has expired".to_owned()];
    let fail = Certificates::Fail(why.clone());
    let held = enforce(testing.clone(), &fail);
    assert!(held.progress == Progress::Held && held.text.contains("has expired"), "{held:?}");
    assert_eq!(enforce(binding.clone(), &fail).progress, Progress::Held);
    let unknown = Certificates::Unknown(why);
    assert_eq!(enforce(testing.clone(), &unknown).progress, Progress::Unknown);
    assert_eq!(enforce(binding.clone(), &unknown).progress, Progress::Done);
    assert_eq!(enforce(testing, &Certificates::Pass).progress, Progress::Current { until: None });
    assert_eq!(enforce(binding, &Certificates::Pass).progress, Progress::Done);
}

/// A host with IPv4 and IPv6 has one trouble, not two.
#[test]
fn one_key_at_two_addresses_is_said_once() {
    let (good, _) = certificate(&["mx.example.com"]);
    let mut shown = showing(&[&good]);
    let sixth = probed(spoke(StartTlsSeen::Ready), vec![(KeyKind::Ecdsa, session(&[&good]))]);
    shown.add("2001:db8::25".parse().unwrap(), &sixth);
    assert_eq!(shown.chains.len(), 2);
    let keys = super::doors::host(&[1], &[]);
    let doors = shown.doors(&keys, NOW);
    assert_eq!(doors.len(), 1, "{doors:?}");
    let end = "which 192.0.2.25 and 2001:db8::25 show";
    assert!(doors[0].what.ends_with(end), "{doors:?}");
    let uncovered = shown.uncovered(&[texts::end_entity([1; 32])], NOW);
    assert!(uncovered.len() == 1 && uncovered[0].contains(end), "{uncovered:?}");
}
