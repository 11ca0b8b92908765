//! Which TLSA records can be used at all (RFC 7672 §3.1.3, RFC 6698 §4.1).

use super::Tlsa;
use crate::pki::{Certificate, is_public_key};

/// The most records of one RRset that are looked at; more is a failure to find out.
pub const MAX_RECORDS: usize = 64;

/// The most octets of association data in one RRset: room for 64 digests or a few certificates, and
/// little enough that a record of an attempt at 16 such hosts can be kept (promise P6).
pub const MAX_OCTETS: usize = 6 * 1_024;

/// Certificate usages of SMTP (RFC 7672 §3.1): the public CAs of usages 0 and 1 cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// 2 DANE-TA: a trust anchor that the domain names.
    TrustAnchor,
    /// 3 DANE-EE: the server's own certificate or key.
    EndEntity,
}

impl Tlsa {
    /// How it is used in SMTP; `None` where it cannot be: other usages, selectors or matching
    /// types, a digest of the wrong length, or a full value that is not what the selector says.
    pub fn usage(&self) -> Option<Usage> {
        let usage = match self.usage {
            2 => Usage::TrustAnchor,
            3 => Usage::EndEntity,
            _ => return None,
        };
        let fits = match (self.selector, self.matching) {
            (0, 0) => Certificate::read(&self.data).is_ok(),
            (1, 0) => is_public_key(&self.data),
            (0 | 1, 1) => self.data.len() == 32,
            (0 | 1, 2) => self.data.len() == 64,
            _ => false,
        };
        fits.then_some(usage)
    }

    /// Whether it can be used in SMTP.
    pub fn is_usable(&self) -> bool {
        self.usage().is_some()
    }
}

/// The records that count: the usable ones, and of each usage and selector only those with the
/// strongest digest, beside full values (digest agility, RFC 7671 §9, RFC 7672 §5).
pub fn effective(records: &[Tlsa]) -> impl Iterator<Item = (Usage, &Tlsa)> {
    let strongest = |usage, selector| {
        let digests = records.iter().filter(move |other| {
            other.selector == selector && other.matching != 0 && other.usage() == Some(usage)
        });
        // SHA-512 (2) before SHA-256 (1): the order of RFC 7671 §9 for the types of RFC 6698.
        digests.map(|other| other.matching).max()
    };
    records.iter().filter_map(move |record| {
        let usage = record.usage()?;
        let counts =
            record.matching == 0 || Some(record.matching) == strongest(usage, record.selector);
        counts.then_some((usage, record))
    })
}
