//! What we publish about ourselves: which records, whether they are there, what comes next, and
//! whether a change is safe yet.
//!
//! Nothing here asks: the caller brings what DNS and the policy host say, and the time.
//!
//! | file | what is in it |
//! |---|---|
//! | [`record`](Record) | one record: as a line of a zone file, and as octets |
//! | [`texts`] | the records of TLSRPT, MTA-STS, SPF, DKIM, DMARC and DANE |
//! | [`standing`](Standing) | what is wanted against what is there |
//! | [`shown`] | which certificates our MX hosts show |
//! | [`memory`](Memory) | what was seen, and since when |
//! | [`clock`](Clock) | whether the clock was set between two looks |
//! | [`lifetime`] | how long caches may hold an answer |
//! | [`gate`] | whether a new key or an MTA-STS change may go ahead |
//! | [`rollout`] | the order of a first roll-out, and the current step |
//! | [`readiness`] | what a domain lacks for DNSSEC |
//! | [`update`] | RFC 2136 updates, signed as RFC 8945 says |

mod clock;
pub mod gate;
pub mod lifetime;
mod memory;
pub mod readiness;
mod record;
pub mod rollout;
pub mod shown;
mod standing;
#[cfg(test)]
mod tests;
pub mod texts;
pub mod update;

use serde::{Deserialize, Serialize};

pub use self::{
    clock::{Clock, ClockSet},
    memory::{Caches, DomainMemory, First, HostMemory, Memory, MemoryError, PolicyMemory, Spell},
    record::{Data, Protocol, Record, strings},
    standing::{
        Act, Finding, Standing, any_usable, beside, hold_dmarc, policy_host, spf, text, tlsa,
        turns_mail_away,
    },
};
use crate::sts;

/// What a domain says about MTA-STS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mta {
    /// Nothing: no record and no policy.
    Off,
    /// A policy that refuses nothing (RFC 8461 §5).
    Testing,
    /// A policy that binds.
    Enforce,
    /// A policy that takes the last one back (RFC 8461 §8.3).
    None,
}

impl Mta {
    /// The mode in the policy; `None` where there is no policy.
    pub const fn mode(self) -> Option<sts::Mode> {
        match self {
            Self::Off => None,
            Self::Testing => Some(sts::Mode::Testing),
            Self::Enforce => Some(sts::Mode::Enforce),
            Self::None => Some(sts::Mode::None),
        }
    }
}
