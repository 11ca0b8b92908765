//! A path check for what `webpki` does not take and DANE-TA has to: end entities of X.509 v1 and
//! end entities with `CA:TRUE` (RFC 7671 §5.2 has no such rule). Issuers must be proper v3 CAs all the
//! same. Anything unusual (name constraints, unknown critical extensions) is refused.

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::ALL_VERIFICATION_ALGS;
use x509_cert::{
    der::{Decode, Reader, SliceReader, asn1::BitStringRef, oid::db::rfc5280},
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
};

use super::{Certificate, Fault, read::content};
use crate::time::UnixTime;

/// Signature checks for one path: a hostile chain costs no more than that.
const MAX_CHECKS: u32 = 32;

/// Issuers between the end entity and the anchor.
const MAX_DEPTH: u8 = 6;

/// Whether `leaf` leads to one of `anchors` over some of `rest`; yields the anchor's index.
pub(super) fn leads_to(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<usize, Fault> {
    let leaf = Certificate::read(leaf)?;
    leaf.in_time(now)?;
    serves(&leaf)?;
    let issuers: Vec<_> = rest.iter().filter_map(|der| Certificate::read(der).ok()).collect();
    let mut search = Search { issuers, anchors, now, checks: MAX_CHECKS };
    search.from(&leaf, 0)
}

struct Search<'a> {
    issuers: Vec<Certificate<'a>>,
    anchors: &'a [TrustAnchor<'a>],
    now: UnixTime,
    checks: u32,
}

impl Search<'_> {
    fn from(&mut self, below: &Certificate<'_>, depth: u8) -> Result<usize, Fault> {
        let unknown = || Fault::Untrusted("the chain does not lead to the trust anchor".into());
        for (index, anchor) in self.anchors.iter().enumerate() {
            // An anchor with name constraints is webpki's business; here it is not used.
            if anchor.name_constraints.is_none()
                && anchor.subject.as_ref() == below.issuer()
                && self.signed(below, &anchor.subject_public_key_info)?
            {
                return Ok(index);
            }
        }
        if depth >= MAX_DEPTH {
            return Err(unknown());
        }
        let above: Vec<_> = self
            .issuers
            .iter()
            .filter(|issuer| issuer.subject() == below.issuer())
            .cloned()
            .collect();
        let mut worst = unknown();
        for issuer in above {
            if !self.signed(below, issuer.public_key_parts())? {
                continue;
            }
            let tried = issues(&issuer, depth)
                .and_then(|()| issuer.in_time(self.now))
                .and_then(|()| self.from(&issuer, depth.saturating_add(1)));
            match tried {
                Ok(index) => return Ok(index),
                Err(fault) => worst = fault,
            }
        }
        Err(worst)
    }

    /// Whether this key (without its outer header) signed `below`.
    fn signed(&mut self, below: &Certificate<'_>, spki: &[u8]) -> Result<bool, Fault> {
        self.checks = self
            .checks
            .checked_sub(1)
            .ok_or_else(|| Fault::Untrusted("checking the chain takes too long".into()))?;
        let Some((key_algorithm, key)) = public_key(spki) else { return Ok(false) };
        let (algorithm, signature) = below.signature();
        Ok(ALL_VERIFICATION_ALGS.iter().any(|candidate| {
            candidate.public_key_alg_id().as_ref() == key_algorithm
                && candidate.signature_alg_id().as_ref() == algorithm
                && candidate.verify_signature(key, below.signed_part(), signature).is_ok()
        }))
    }
}

/// Algorithm identifier and key of a SubjectPublicKeyInfo, all without outer headers.
fn public_key(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = SliceReader::new(spki).ok()?;
    let algorithm = content(parts.tlv_bytes().ok()?).ok()?;
    let key = BitStringRef::from_der(parts.tlv_bytes().ok()?).ok()?.as_bytes()?;
    Some((algorithm, key))
}

/// Whether a certificate may stand for a server (RFC 5280 §4.2.1.12, RFC 7672 §3.1.2).
fn serves(leaf: &Certificate<'_>) -> Result<(), Fault> {
    for extension in leaf.extensions()? {
        let bytes = extension.extn_value.as_bytes();
        if extension.extn_id == rfc5280::ID_CE_EXT_KEY_USAGE {
            let usages = ExtendedKeyUsage::from_der(bytes).map_err(unreadable)?.0;
            if !usages.contains(&rfc5280::ID_KP_SERVER_AUTH)
                && !usages.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
            {
                return Err(Fault::Untrusted("the certificate is not for TLS servers".into()));
            }
        } else if extension.critical && !is_known(&extension.extn_id) {
            return Err(unknown_extension(&extension.extn_id));
        }
    }
    Ok(())
}

/// Whether a certificate may issue others, with `between` issuers below it (RFC 5280 §6.1.4).
fn issues(issuer: &Certificate<'_>, between: u8) -> Result<(), Fault> {
    let not_ca = || Fault::Untrusted("a certificate of the chain is not a CA's".into());
    let mut authority = false;
    for extension in issuer.extensions()? {
        let bytes = extension.extn_value.as_bytes();
        if extension.extn_id == rfc5280::ID_CE_BASIC_CONSTRAINTS {
            let constraints = BasicConstraints::from_der(bytes).map_err(unreadable)?;
            authority =
                constraints.ca && constraints.path_len_constraint.is_none_or(|n| n >= between);
        } else if extension.extn_id == rfc5280::ID_CE_KEY_USAGE {
            if !KeyUsage::from_der(bytes).map_err(unreadable)?.key_cert_sign() {
                return Err(not_ca());
            }
        } else if extension.extn_id == rfc5280::ID_CE_NAME_CONSTRAINTS
            || (extension.critical && !is_known(&extension.extn_id))
        {
            return Err(unknown_extension(&extension.extn_id));
        }
    }
    if authority { Ok(()) } else { Err(not_ca()) }
}

fn is_known(id: &x509_cert::der::asn1::ObjectIdentifier) -> bool {
    [
        rfc5280::ID_CE_BASIC_CONSTRAINTS,
        rfc5280::ID_CE_KEY_USAGE,
        rfc5280::ID_CE_EXT_KEY_USAGE,
        rfc5280::ID_CE_SUBJECT_ALT_NAME,
        rfc5280::ID_CE_CERTIFICATE_POLICIES,
    ]
    .contains(id)
}

fn unknown_extension(id: &x509_cert::der::asn1::ObjectIdentifier) -> Fault {
    Fault::Untrusted(format!("a certificate has the extension {id}, which cannot be honoured here"))
}

fn unreadable(error: x509_cert::der::Error) -> Fault {
    Fault::Unreadable(error.to_string())
}
