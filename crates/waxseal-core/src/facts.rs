//! Everything observed about a destination, each with its DNSSEC state and its time.
//!
//! Facts are gathered by the shell, kept as evidence, and never judged here.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, LookupFailure},
    domain::Domain,
    evidence::BlobId,
    sts::Policy,
    time::UnixTime,
    witness::Witnessed,
};

/// All that is known of one destination at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The recipient domain.
    pub destination: Domain,
    /// When this was put together.
    pub at: UnixTime,
    /// Which hosts take its mail.
    pub mx: MxFact,
    /// One entry per host, in the order of preference; hosts that could not be resolved included.
    pub hosts: Vec<HostFacts>,
    /// Its MTA-STS policy; that of the smarthost where mail goes by one.
    pub sts: StsFact,
    /// What resolvers of other operators said where our own saw nothing and nobody signs that.
    /// Empty where none was asked (`[dns] confirm`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<Witnessed>,
}

impl Facts {
    /// Whose MTA-STS policy [`Self::sts`] is: the destination's, or, on the way by a smarthost, that
    /// smarthost's (RFC 8461 §3.4). `None`: nobody's, for an address has no policy.
    pub fn policy_domain(&self) -> Option<&Domain> {
        match &self.mx {
            MxFact::Configured => match &self.hosts.first()?.host {
                Peer::Name(host) => Some(host),
                Peer::Literal(_) => None,
            },
            MxFact::Found { .. }
            | MxFact::Null { .. }
            | MxFact::Implicit { .. }
            | MxFact::NoDomain { .. }
            | MxFact::Failed(_) => Some(&self.destination),
        }
    }
}

/// Which hosts take mail for a destination (RFC 5321 §5.1, RFC 7505).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MxFact {
    /// MX records.
    Found {
        /// State of the RRset, aliases of the destination included.
        authenticity: Authenticity,
        /// Where an alias of the destination led to: a reference name for usage 2 (RFC 7672 §3.2.2).
        expanded: Option<Domain>,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// `MX 0 .`: takes no mail (RFC 7505).
    Null {
        /// State of the RRset.
        authenticity: Authenticity,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// No MX: the destination itself is the host (RFC 5321 §5.1).
    Implicit {
        /// How sure that is.
        absence: Absence,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// The destination does not exist.
    NoDomain {
        /// How sure that is.
        absence: Absence,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// The administrator named the hosts in a `[[route]]`; DNS was not asked.
    Configured,
    /// It could not be found out: nothing is sent (RFC 7672 §2.1.2).
    Failed(LookupFailure),
}

/// A name or address that we connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// A host name.
    Name(Domain),
    /// An address literal from a `[[route]]`: never DANE (RFC 7672 §2.2).
    Literal(IpAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Literal(address) => write!(f, "[{address}]"),
        }
    }
}

/// What is known of one MX host. A broken one makes this host unusable, not the destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The name in the MX record, or from the `[[route]]`.
    pub host: Peer,
    /// MX preference: smaller is tried first.
    pub preference: u16,
    /// 25 but for routes.
    pub port: u16,
    /// Addresses that may be connected to, and how sure they are.
    pub addresses: Answer<Vec<IpAddr>>,
    /// Addresses that DNS gave and that we refuse to connect to.
    pub refused: Vec<(IpAddr, Refused)>,
    /// Where a *secure* alias of the host leads (RFC 7672 §2.2.2).
    pub expanded: Option<Domain>,
    /// Its TLSA records.
    pub dane: Dane,
}

/// Why an address from DNS is not connected to (DESIGN §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// Loopback, link-local, multicast, unspecified.
    Special,
    /// Private use (RFC 1918, RFC 4193) and shared address space (RFC 6598).
    Private,
    /// One of our own: mail would loop.
    Own,
}

/// The four outcomes of a TLSA lookup (RFC 7672 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dane {
    /// There is none, for sure enough: DANE does not apply.
    Absent(NoTlsa),
    /// Secure records, none of which can be used: TLS is mandatory, unauthenticated (§2.2).
    Unusable {
        /// Where they were found, without `_port._tcp`.
        base: Domain,
        /// All of them.
        records: Vec<Tlsa>,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// Secure records of which at least one can be used: a match is mandatory.
    Usable {
        /// TLSA base domain: where they were found, and the SNI (§2.2.2, §8.1).
        base: Domain,
        /// All of them, unusable ones included.
        records: Vec<Tlsa>,
        /// The proof.
        chain: Option<BlobId>,
    },
    /// It could not be found out: not this host now (§2.1.2).
    LookupFailed(LookupFailure),
}

/// Why a host has no TLSA records that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoTlsa {
    /// Its address is in an unsigned zone, so TLSA was not asked for (RFC 7672 §2.2.2).
    InsecureAddress,
    /// The zone is signed and denies them.
    Denied,
    /// The TLSA answer itself was insecure (§2.1.1).
    InsecureAnswer,
    /// The peer is an address, not a name.
    Literal,
    /// The host has no usable address.
    NoAddress,
}

/// The MTA-STS policy of a destination (RFC 8461).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StsFact {
    /// No record, and nothing remembered.
    Absent {
        /// How sure that is.
        absence: Absence,
    },
    /// A policy that has not expired.
    Policy {
        /// What it says.
        policy: Policy,
        /// How we came by it.
        known: Known,
        /// `id` of the record that announced it; `None` for a preloaded one.
        id: Option<String>,
        /// When it was fetched last.
        fetched_at: UnixTime,
        /// `fetched_at + max_age`, and no sooner than a minute after it was fetched.
        expires: UnixTime,
        /// Why the last refresh did not work; the policy holds all the same (§3.3).
        refresh_failed: Option<StsFailure>,
    },
    /// Discovery failed and nothing is remembered (§3.3; promise P1, the one exception).
    Unknown {
        /// What failed.
        failure: StsFailure,
        /// When it failed first for this destination without a success since.
        since: UnixTime,
    },
    /// Not asked: a `[[route]]` to the destination's own host decides.
    NotAsked,
}

/// How we came by a policy: an attacker at first contact can hide or replace only the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Fetched for the first time in this very attempt.
    FirstFetch,
    /// Fetched before this attempt.
    Cached,
    /// From the administrator's file.
    Preloaded,
}

/// Why no policy could be had (result types of RFC 8460 §4.3.2.2 in brackets).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StsFailure {
    /// The TXT lookup failed.
    Record(LookupFailure),
    /// The policy host has no address, or answered something else than 200
    /// (`sts-policy-fetch-error`).
    Fetch(String),
    /// No connection to the policy host, or no end of it in time (`sts-policy-fetch-error`). That
    /// may be our own network, and nothing follows from it.
    Unreached(String),
    /// Its certificate does not hold (`sts-webpki-invalid`).
    Certificate(String),
    /// What it served is not a policy (`sts-policy-invalid`).
    Invalid(String),
}
