//! The policy file (RFC 8461 §3.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Domain;

/// A policy that was valid when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// What to do with hosts that do not pass.
    pub mode: Mode,
    /// Hosts that may take the mail; empty only with [`Mode::None`].
    pub mx: Vec<MxPattern>,
    /// How long it holds, at most 31,557,600 s.
    pub max_age: Duration,
}

/// `mode:` (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Do not deliver to a host that fails.
    Enforce,
    /// Deliver, and report.
    Testing,
    /// As if there were no policy.
    None,
}

/// One `mx:` value: a host name, or `*.` and a domain, which stands for exactly one label (§4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MxPattern {
    /// Just this host.
    Host(Domain),
    /// Any host exactly one label below.
    OneBelow(Domain),
}
