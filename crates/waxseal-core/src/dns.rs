//! What a DNS lookup yielded. Absence and failure are different facts everywhere (promise P1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{dnssec::Name, evidence::BlobId, time::UnixTime};

/// The four states of RFC 4035 §4.3.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// A chain of signatures from a trust anchor.
    Secure,
    /// A signed proof that this part of the tree is unsigned.
    Insecure,
    /// Signatures are there, or have to be, and do not hold.
    Bogus,
    /// The records that would tell could not be had.
    Indeterminate,
}

/// The state of an answer that may be used at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authenticity {
    /// Validated by us from the root down.
    Secure,
    /// Provably unsigned: whoever is on the path may have written it.
    Insecure,
}

/// How sure it is that something does not exist (DESIGN §3, first contact).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absence {
    /// Denied with DNSSEC.
    Secure,
    /// Independent resolvers agree that it is not there.
    Agreed,
    /// Merely not seen: an attacker on the path can bring this about.
    Unconfirmed,
}

/// The two ways in which DNS says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// NXDOMAIN: the name itself does not exist.
    NxDomain,
    /// The name exists (or is an empty non-terminal) and has no record of that type.
    NoData,
}

/// Why a lookup gave no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Signatures do not hold (RFC 4035 §4.3).
    Bogus,
    /// Records needed for validation could not be had.
    Indeterminate,
    /// The upstream takes the signatures out of its answers, so nothing can be validated.
    SignaturesStripped,
    /// All signatures of the root are expired, or not valid yet: our own clock is wrong.
    Clock,
    /// RCODE SERVFAIL.
    ServFail,
    /// RCODE REFUSED, or any other error code.
    Refused,
    /// No upstream answered in time.
    Timeout,
    /// No upstream could be reached.
    Unreachable,
    /// An answer that is not DNS, or does not belong to the question.
    Malformed,
    /// More aliases, records or signature checks than our limits allow.
    Limit,
}

/// A lookup that failed: what was asked and what happened, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LookupFailure {
    /// The name that was asked for.
    pub name: Name,
    /// What kind of failure.
    pub kind: FailureKind,
    /// One sentence: `RRSIG of example.net/MX expired 3 days ago`.
    pub detail: String,
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail)
    }
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<T> {
    /// There are records.
    Found {
        /// The records, never empty.
        value: T,
        /// The weakest state of any step of the alias chain.
        authenticity: Authenticity,
        /// When TTL or signature, whichever is sooner, runs out.
        expires: UnixTime,
        /// The RRsets that prove it (RFC 9102 form), stored once as a blob.
        chain: Option<BlobId>,
    },
    /// There are none.
    Absent {
        /// Whether the name exists.
        denial: Denial,
        /// How sure that is.
        absence: Absence,
        /// When the denial runs out.
        expires: UnixTime,
        /// The RRsets that prove it.
        chain: Option<BlobId>,
    },
    /// It could not be found out.
    Failed(LookupFailure),
}

impl<T> Answer<T> {
    /// The records, where there are any.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Found { value, .. } => Some(value),
            Self::Absent { .. } | Self::Failed(_) => None,
        }
    }

    /// Whether there are records and each step to them was validated.
    pub const fn is_secure(&self) -> bool {
        matches!(self, Self::Found { authenticity: Authenticity::Secure, .. })
    }
}
