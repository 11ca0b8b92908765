//! Certificates as transport security needs them: read leniently, judged strictly.
//!
//! Path building is `webpki`'s. What it cannot do and DANE has to (X.509 v1, end entities with
//! `CA:TRUE`) is in `path`.

#[cfg(test)]
pub(crate) mod bench;
mod key;
mod names;
mod path;
mod read;

use std::fmt;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage};

pub(crate) use self::read::key_parts;
pub use self::{
    key::{Hash, PublicKey},
    names::{is_for, presents},
    read::{Certificate, is_public_key, key_and_algorithm, key_kind},
};
use crate::{domain::Domain, time::UnixTime};

/// The longest chain that is looked at, end entity included.
pub const MAX_CHAIN: usize = 16;

/// Why a certificate or its chain does not hold. The kinds are those that a TLS report tells
/// apart (RFC 8460 §4.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No certificate was presented.
    Missing,
    /// More than [`MAX_CHAIN`] certificates.
    TooLong,
    /// Not a certificate, in words.
    Unreadable(String),
    /// A certificate of the chain has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// It is for other names; what it presents.
    WrongName(Vec<String>),
    /// It does not lead to an anchor, in words.
    Untrusted(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the peer presented no certificate"),
            Self::TooLong => write!(f, "the peer presented more than {MAX_CHAIN} certificates"),
            Self::Unreadable(why) => write!(f, "the certificate cannot be read: {why}"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::WrongName(names) if names.is_empty() => {
                f.write_str("the certificate presents no DNS name")
            }
            Self::WrongName(names) => {
                write!(f, "the certificate is for {}, not for this peer", names.join(", "))
            }
            Self::Untrusted(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

/// Whether the chain leads to one of `anchors` and its end entity presents one of `names` as a
/// DNS-ID; yields that name (RFC 8461 §4.2, RFC 6125 §6.4).
///
/// # Errors
/// What is wrong, with the names that the certificate presents where that is it.
pub fn valid_for<'n>(
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    names: &'n [Domain],
    now: UnixTime,
) -> Result<&'n Domain, Fault> {
    let (leaf, rest) = split(chain)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| fault(&error))?;
    verify(&leaf, rest, anchors, now).map_err(|error| fault(&error))?;
    let matches = |name: &&Domain| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|server| leaf.verify_is_valid_for_subject_name(&server).is_ok())
    };
    names
        .iter()
        .find(matches)
        .ok_or_else(|| Fault::WrongName(leaf.valid_dns_names().take(8).map(String::from).collect()))
}

/// Whether the chain leads to one of `anchors`, whatever its names; yields the index of the
/// anchor. Takes what `webpki` refuses and RFC 7671 §5.2 does not: X.509 v1 and `CA:TRUE` end
/// entities.
///
/// # Errors
/// What is wrong.
pub fn leads_to(
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<usize, Fault> {
    let (leaf, rest) = split(chain)?;
    let judged = EndEntityCert::try_from(leaf).and_then(|leaf| verify(&leaf, rest, anchors, now));
    match judged {
        Ok(index) => Ok(index),
        Err(Error::CaUsedAsEndEntity | Error::UnsupportedCertVersion) => {
            path::leads_to(leaf, rest, anchors, now)
        }
        Err(error) => Err(fault(&error)),
    }
}

fn split<'c, 'd>(
    chain: &'c [CertificateDer<'d>],
) -> Result<(&'c CertificateDer<'d>, &'c [CertificateDer<'d>]), Fault> {
    if chain.len() > MAX_CHAIN {
        return Err(Fault::TooLong);
    }
    chain.split_first().ok_or(Fault::Missing)
}

fn verify(
    leaf: &EndEntityCert<'_>,
    rest: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    now: UnixTime,
) -> Result<usize, Error> {
    let time = rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.0));
    let usage = KeyUsage::server_auth();
    let path =
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, anchors, rest, time, usage, None, None)?;
    let used = path.anchor();
    let same = |anchor: &TrustAnchor<'_>| {
        anchor.subject == used.subject
            && anchor.subject_public_key_info == used.subject_public_key_info
    };
    anchors.iter().position(same).ok_or(Error::UnknownIssuer)
}

/// `webpki`'s errors in the few kinds that lead to different actions.
fn fault(error: &Error) -> Fault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "webpki's enum is non-exhaustive")]
    match error {
        Error::CertExpired { .. } => Fault::Expired,
        Error::CertNotValidYet { .. } => Fault::NotYetValid,
        Error::UnknownIssuer => {
            Fault::Untrusted("no trusted CA stands behind the certificate".into())
        }
        Error::CaUsedAsEndEntity => {
            Fault::Untrusted("the certificate is a CA's, not a server's".into())
        }
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => {
            Fault::Unreadable(format!("{error:?}"))
        }
        other => Fault::Untrusted(format!("the certificate chain does not hold: {other:?}")),
    }
}

#[cfg(test)]
mod tests;
