//! What a domain lacks for DNSSEC, step by step: without it DANE is worth nothing (RFC 7672 §2.1).

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    dns::{Absence, Answer, Authenticity},
    dnssec::Name,
    domain::Domain,
};

/// What DNS says about the keys of a zone, each as RDATA.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The zone.
    pub zone: Domain,
    /// DS at the parent (RFC 4034 §5).
    pub ds: Answer<Vec<Vec<u8>>>,
    /// DNSKEY in the zone (RFC 4034 §2).
    pub dnskey: Answer<Vec<Vec<u8>>>,
    /// CDS in the zone: DS records that the zone asks its parent to take (RFC 7344 §3.1).
    pub cds: Answer<Vec<Vec<u8>>>,
}

/// Where the zone stands, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether answers from it can be secure.
    pub state: Signed,
    /// In order; empty where nothing is to do.
    pub steps: Vec<String>,
}

/// Whether a zone is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signed {
    /// From the root down.
    #[serde(rename = "signed")]
    Yes,
    /// Not, or not anchored in the parent.
    #[serde(rename = "unsigned")]
    No,
    /// Signatures do not hold: nobody who validates reaches it.
    Broken,
    /// It could not be found out.
    Unknown,
}

/// Algorithms that new signatures should no longer use (RFC 8624 §3.1: 13 is the one to take).
const fn old(algorithm: u8) -> bool {
    matches!(algorithm, 1 | 3 | 5 | 6 | 7 | 12)
}

/// What to do for a zone.
pub fn readiness(facts: &Facts) -> Readiness {
    match (&facts.ds, &facts.dnskey) {
        (Answer::Failed(failure), _) | (_, Answer::Failed(failure)) => {
            let broken = failure.kind == crate::dns::FailureKind::Bogus;
            let step = if broken {
                format!("repair the signatures, mail is being lost: {failure}")
            } else {
                format!("look again: {failure}")
            };
            let state = if broken { Signed::Broken } else { Signed::Unknown };
            Readiness { state, steps: vec![step] }
        }
        (Answer::Found { value, authenticity: Authenticity::Secure, .. }, Answer::Found { .. }) => {
            Readiness { state: Signed::Yes, steps: aged(value) }
        }
        (Answer::Found { .. }, Answer::Found { .. }) => Readiness {
            state: Signed::No,
            steps: vec!["a zone above is not signed, so the DS records prove nothing".to_owned()],
        },
        (Answer::Found { .. }, Answer::Absent { .. }) => Readiness {
            state: Signed::Broken,
            steps: vec![format!(
                "the parent has DS records of {} and the zone has no keys: sign it, or take the DS \
                 records away, for mail is being lost",
                facts.zone
            )],
        },
        (Answer::Absent { absence, .. }, keys) => {
            Readiness { state: Signed::No, steps: unanchored(facts, *absence, keys) }
        }
    }
}

fn unanchored(facts: &Facts, absence: Absence, keys: &Answer<Vec<Vec<u8>>>) -> Vec<String> {
    let mut steps = Vec::new();
    if absence != Absence::Secure {
        steps.push(
            "a zone above is not signed: that has to come first, or a domain elsewhere".to_owned(),
        );
    }
    let Answer::Found { value: keys, .. } = keys else {
        steps.push(format!(
            "switch on signing of {} at your DNS server or hoster: ECDSAP256SHA256 (algorithm 13), \
             NSEC or NSEC3 without salt and extra rounds (RFC 9276 section 3.1)",
            facts.zone
        ));
        steps.push(
            "wait for the longest TTL of the zone, then give the DS record to the registrar; \
                    a hoster with CDS does it for you (RFC 7344, RFC 8078)"
                .to_owned(),
        );
        return steps;
    };
    if matches!(facts.cds, Answer::Found { .. }) {
        steps.push(
            "the zone asks its parent by CDS to take its DS records (RFC 8078): wait, or give them \
             to the registrar"
                .to_owned(),
        );
    } else {
        steps.push("the zone is signed: give its DS record to the registrar".to_owned());
    }
    steps.extend(keys.iter().filter_map(|key| ds(&facts.zone, key)).take(4));
    steps
}

/// The DS record of a key with SEP, digest type 2 (RFC 4034 §5.1.4, RFC 4509 §2).
fn ds(zone: &Domain, key: &[u8]) -> Option<String> {
    let (&[f0, f1, protocol, algorithm], _) = key.split_first_chunk::<4>()?;
    // Zone key and SEP, not revoked.
    if u16::from_be_bytes([f0, f1]) & 0x0181 != 0x0101 || protocol != 3 {
        return None;
    }
    let owner = Name::from(zone);
    let hash = digest(&SHA256, &[owner.as_octets(), key].concat());
    let hex: String = hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    Some(format!("{zone}. IN DS {} {algorithm} 2 {hex}", key_tag(key)))
}

/// RFC 4034 Appendix B.
fn key_tag(key: &[u8]) -> u16 {
    let sum = key.iter().enumerate().fold(0u32, |sum, (place, octet)| {
        let part = u32::from(*octet) << if place % 2 == 0 { 8 } else { 0 };
        sum.wrapping_add(part)
    });
    let [.., high, low] = sum.wrapping_add((sum >> 16) & 0xffff).to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn aged(ds: &[Vec<u8>]) -> Vec<String> {
    let algorithms = || ds.iter().filter_map(|one| one.get(2).copied());
    let digests = || ds.iter().filter_map(|one| one.get(3).copied());
    let mut steps = Vec::new();
    if let Some(algorithm) = algorithms().find(|algorithm| old(*algorithm)) {
        steps.push(format!(
            "algorithm {algorithm} is out of date: roll to ECDSAP256SHA256 (13); validators may treat \
             the zone as unsigned"
        ));
    }
    if digests().all(|digest| digest == 1) {
        steps.push(
            "the only DS digest is SHA-1: ask the registrar for SHA-256 (RFC 8624 section 3.3)"
                .to_owned(),
        );
    }
    steps
}
