//! Chain x TLSA records x names x now (RFC 7672 §3, RFC 7671 §5).

use std::fmt;

use rustls_pki_types::{CertificateDer, Der, TrustAnchor};
use serde::{Deserialize, Serialize};

use super::{
    Tlsa,
    usable::{MAX_RECORDS, Usage, effective},
};
use crate::{
    domain::Domain,
    pki::{self, Certificate, Fault},
    time::UnixTime,
};

/// The record that holds, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The record.
    pub record: Tlsa,
    /// What it matched.
    pub how: How,
}

/// What a record matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The end entity; names and dates do not matter (RFC 7672 §3.1.1).
    EndEntity,
    /// A trust anchor behind an end entity for this name (RFC 7672 §3.1.2).
    TrustAnchor {
        /// The reference name that was found in the certificate.
        name: Domain,
    },
}

/// Why no record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// None of the records can be used (RFC 7672 §2.2): no way to authenticate the peer.
    NothingUsable,
    /// More than [`MAX_RECORDS`] records.
    TooMany(usize),
    /// The chain itself, or its way to a trust anchor that a record names.
    Chain(Fault),
    /// No record matches any certificate.
    NoneMatches(usize),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingUsable => f.write_str("none of the TLSA records can be used"),
            Self::TooMany(n) => write!(f, "{n} TLSA records, of which {MAX_RECORDS} are allowed"),
            Self::Chain(fault) => write!(f, "below the trust anchor of a TLSA record: {fault}"),
            Self::NoneMatches(n) => {
                write!(f, "the certificate matches none of the {n} TLSA records that count")
            }
        }
    }
}

impl std::error::Error for Mismatch {}

/// Whether the presented chain matches one of the records: any match is enough (RFC 7671 §8).
///
/// `names` are the reference names for usage 2: TLSA base domain, next hop, expanded next hop
/// (RFC 7672 §3.2.2); usage 3 ignores them.
///
/// # Errors
/// Why none of them holds; where a trust anchor was found, why the chain below it does not.
pub fn verify(
    chain: &[CertificateDer<'_>],
    records: &[Tlsa],
    names: &[Domain],
    now: UnixTime,
) -> Result<Match, Mismatch> {
    if records.len() > MAX_RECORDS {
        return Err(Mismatch::TooMany(records.len()));
    }
    if chain.len() > pki::MAX_CHAIN {
        return Err(Mismatch::Chain(Fault::TooLong));
    }
    let effective: Vec<_> = effective(records).collect();
    if effective.is_empty() {
        return Err(Mismatch::NothingUsable);
    }
    let leaf = chain.first().ok_or(Mismatch::Chain(Fault::Missing))?;
    let of = |wanted| effective.iter().filter(move |(usage, _)| *usage == wanted).map(|(_, r)| *r);
    if let Some(record) = of(Usage::EndEntity).find(|record| is_end_entity(leaf, record)) {
        return Ok(Match { record: record.clone(), how: How::EndEntity });
    }

    let mut anchors = Anchors::default();
    for record in of(Usage::TrustAnchor) {
        anchors.collect(record, chain, now);
    }
    if anchors.found.is_empty() {
        return Err(anchors
            .expired
            .map_or(Mismatch::NoneMatches(effective.len()), Mismatch::Chain));
    }
    let (trusted, named): (Vec<_>, Vec<_>) = anchors.found.into_iter().unzip();
    let index = pki::leads_to(chain, &trusted, now).map_err(Mismatch::Chain)?;
    let leaf = Certificate::read(leaf).map_err(Mismatch::Chain)?;
    let name = pki::presents(&leaf, names).map_err(Mismatch::Chain)?.clone();
    let record = named.get(index).copied().ok_or(Mismatch::NoneMatches(effective.len()))?;
    Ok(Match { record: record.clone(), how: How::TrustAnchor { name } })
}

/// A leaf that cannot be read matches nothing: it has no key to compare.
fn is_end_entity(leaf: &CertificateDer<'_>, record: &Tlsa) -> bool {
    Certificate::read(leaf).is_ok_and(|leaf| matches(&leaf, record))
}

fn matches(certificate: &Certificate<'_>, record: &Tlsa) -> bool {
    certificate
        .association(record.selector, record.matching)
        .is_some_and(|association| association == record.data)
}

/// The trust anchors that usage 2 records name, each with its record.
#[derive(Default)]
struct Anchors<'a> {
    found: Vec<(TrustAnchor<'static>, &'a Tlsa)>,
    /// A matching anchor whose own dates do not hold.
    expired: Option<Fault>,
}

impl<'a> Anchors<'a> {
    /// A digest says which *presented* certificate is the anchor, so it has to be in the chain
    /// (RFC 7671 §5.2.2); a full certificate or key is the anchor whether it was sent or not
    /// (§5.2.3). The end entity is never its own anchor.
    fn collect(&mut self, record: &'a Tlsa, chain: &'a [CertificateDer<'_>], now: UnixTime) {
        let mut sent = false;
        for presented in chain.iter().skip(1) {
            if Certificate::read(presented).is_ok_and(|issuer| matches(&issuer, record)) {
                sent = true;
                self.certificate(presented.as_ref(), record, now);
            }
        }
        match (record.selector, record.matching) {
            (0, 0) if !sent => self.certificate(&record.data, record, now),
            // Where the key's certificate was sent, its dates count, as with a digest of the key;
            // OpenSSL judges the same.
            (1, 0) if !sent => self.key(record, chain),
            _ => {}
        }
    }

    fn certificate(&mut self, der: &'a [u8], record: &'a Tlsa, now: UnixTime) {
        let dates = Certificate::read(der).and_then(|certificate| certificate.in_time(now));
        if let Err(fault) = dates {
            self.expired = Some(fault);
            return;
        }
        let der = CertificateDer::from(der);
        if let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) {
            self.found.push((anchor.to_owned(), record));
        }
    }

    /// A bare key has no name: it is the anchor of whatever certificate says it was issued by the
    /// holder of that key, and the signature decides (RFC 7671 §5.2.3).
    fn key(&mut self, record: &'a Tlsa, chain: &'a [CertificateDer<'_>]) {
        let Some(key) = pki::key_parts(&record.data) else { return };
        for presented in chain {
            let Ok(certificate) = Certificate::read(presented) else { continue };
            let anchor = TrustAnchor {
                subject: Der::from_slice(certificate.issuer()),
                subject_public_key_info: Der::from_slice(key),
                name_constraints: None,
            };
            self.found.push((anchor.to_owned(), record));
        }
    }
}
