//! Why a host is not tried, with the code and the words for it.

use crate::{
    channel::{Floor, Level},
    decide::Because,
    dns::{FailureKind, LookupFailure},
    facts::Peer,
    reply::EnhancedCode,
    time::UnixTime,
};

/// Why a host is not tried, or not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It has no address that we may connect to.
    NoAddress,
    /// Its addresses could not be found out.
    AddressFailed(LookupFailure),
    /// Whether it has TLSA records could not be found out (RFC 7672 §2.1.2).
    TlsaFailed(LookupFailure),
    /// Whether the destination has a policy could not be found out (RFC 8461 §3.3).
    StsUnknown {
        /// When mail goes on all the same; `None` where its floor does not allow that.
        until: Option<UnixTime>,
    },
    /// The enforced policy does not list it (RFC 8461 §4.1).
    NotListed,
    /// Nothing that it offers can reach the organisation's floor.
    BelowFloor(Floor),
    /// It offers less than before, and nobody took that back with authentication.
    Remembered(Level),
    /// Nobody vouches for its name, as REQUIRETLS wants (RFC 8689 §4.2.1).
    RequireTls,
    /// Only a policy vouches for its name that is known since this attempt, and
    /// `trust_first_policy = false` wants one from before: the next attempt has it.
    FirstPolicy,
}

impl Obstacle {
    /// Whether the reason lies with our own resolver or network: then mail waits, and falls back
    /// nowhere (promise P1: without working validation everything is "not now").
    pub fn is_ours(&self) -> bool {
        match self {
            Self::AddressFailed(failure) | Self::TlsaFailed(failure) => is_ours(failure),
            Self::NoAddress
            | Self::StsUnknown { .. }
            | Self::NotListed
            | Self::BelowFloor(_)
            | Self::Remembered(_)
            | Self::RequireTls
            | Self::FirstPolicy => false,
        }
    }

    /// The code while mail waits (RFC 3463 §3.5, §3.8; 4.7.10: RFC 8689 §4.2.1).
    pub const fn code(&self) -> EnhancedCode {
        match self {
            Self::NoAddress => EnhancedCode(4, 4, 4),
            Self::AddressFailed(_) => EnhancedCode(4, 4, 3),
            Self::BelowFloor(_) | Self::RequireTls => EnhancedCode(4, 7, 10),
            Self::TlsaFailed(_)
            | Self::StsUnknown { .. }
            | Self::NotListed
            | Self::Remembered(_)
            | Self::FirstPolicy => EnhancedCode(4, 7, 5),
        }
    }

    /// The reason, for a host and for people.
    pub fn because(&self, host: &Peer) -> Because {
        match self {
            Self::NoAddress => Because::new(
                format!("{host} has no address that we may connect to"),
                "this host is skipped",
                "RFC 5321 §5.1",
            ),
            Self::AddressFailed(failure) => Because::new(
                format!("the addresses of {host} could not be found out: {}", failure.detail),
                "not this host now",
                "RFC 7672 §2.1.2",
            ),
            Self::TlsaFailed(failure) => Because::new(
                format!("the TLSA records of {host} could not be found out: {}", failure.detail),
                "not this host now, and never with less",
                "RFC 7672 §2.1.2",
            ),
            Self::StsUnknown { until: Some(until) } => Because::new(
                format!("whether MTA-STS protects {host} could not be found out"),
                format!("wait until {until}"),
                "RFC 8461 §3.3",
            ),
            Self::StsUnknown { until: None } => Because::new(
                format!("whether MTA-STS protects {host} could not be found out"),
                "wait, since this message needs an authenticated peer",
                "RFC 8461 §3.3",
            ),
            Self::NotListed => Because::new(
                format!("the enforced MTA-STS policy does not list {host}"),
                "this host gets nothing",
                "RFC 8461 §4.1",
            ),
            Self::BelowFloor(floor) => Because::new(
                format!("nothing that {host} publishes can reach {floor}"),
                "this host gets nothing",
                "floor",
            ),
            Self::Remembered(level) => Because::new(
                format!("{level} was achieved within the last 30 days, and {host} offers less"),
                "this host gets nothing now",
                "downgrade memory",
            ),
            Self::RequireTls => Because::new(
                format!("neither DNSSEC nor MTA-STS nor a pin vouches for the name {host}"),
                "REQUIRETLS forbids this host",
                "RFC 8689 §4.2.1",
            ),
            Self::FirstPolicy => Because::new(
                format!("the policy that vouches for {host} was fetched just now"),
                "wait for the next attempt: trust_first_policy is false",
                "RFC 8461 §10.2",
            ),
        }
    }
}

/// Whether a look-up failed on our side of the world.
const fn is_ours(failure: &LookupFailure) -> bool {
    matches!(failure.kind, FailureKind::SignaturesStripped | FailureKind::Unreachable)
}
