//! The plan: ordered routes with the proof that each needs, and no choices left for execution.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Because, Origin, Verdict};
use crate::{
    channel::{Demand, Floor, Level, TrustFirst},
    domain::Domain,
    envelope::{Body, Charset, TlsAsk},
    facts::{Facts, Peer},
    memory::Memory,
    org::{Reach, Terms},
    reply::EnhancedCode,
    time::UnixTime,
};

/// What the message itself asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// REQUIRETLS, or `TLS-Required: No`.
    pub tls: TlsAsk,
    /// 8BITMIME needed.
    pub body: Body,
    /// SMTPUTF8 needed.
    pub charset: Charset,
}

/// All that a plan follows from. Everything in it is recorded, so that the record can be decided
/// again (promise P5).
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What of the organisation's settings bears on this destination.
    pub terms: &'a Terms,
    /// What the message asks for.
    pub ask: &'a Ask,
    /// What the rules say.
    pub verdict: &'a Verdict,
    /// What was observed.
    pub facts: &'a Facts,
    /// What is remembered of the destination.
    pub memory: &'a Memory,
    /// Whether anybody can be told.
    pub origin: Origin,
    /// When this delivery group was tried first; `None` before the first attempt.
    pub first_tried: Option<UnixTime>,
}

/// What to do for one delivery group now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In order: hosts to try, then one last entry that says what if none took it.
    pub routes: Vec<Route>,
    /// Why.
    pub because: Vec<Because>,
    /// Why no host can reach a higher level than it does; `None` where all reach `dane` or
    /// `pinned`.
    pub why_not_higher: Option<String>,
    /// How far the level speaks for the way of the message.
    pub reach: Reach,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Route {
    /// Try this host.
    Host(HostRoute),
    /// Not now: stay queued.
    Wait {
        /// Not before this, where it is known.
        until: Option<UnixTime>,
        /// For the DSN and the record.
        code: EnhancedCode,
        /// In words.
        reason: String,
    },
    /// The fallback `hold`.
    Hold {
        /// For the DSN, should nobody decide, and the record.
        code: EnhancedCode,
        /// In words.
        reason: String,
    },
    /// Give up: a DSN goes to the sender, or, where nobody may be told, a notice to our postmaster.
    GiveUp {
        /// `5.7.x`, `5.1.x`, ...
        code: EnhancedCode,
        /// In words.
        reason: String,
    },
}

/// One MX host, and what to demand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// Whom we mean to reach.
    pub peer: Peer,
    /// Addresses in the order to try them.
    pub addresses: Vec<SocketAddr>,
    /// Server name to send: the TLSA base domain, or the MX name (RFC 7672 §8.1, RFC 8461 §7.1).
    pub sni: Option<Domain>,
    /// Judged by `permit` before the first mail command.
    pub demand: Demand,
    /// The organisation's floor: the level that comes out has to meet it too.
    pub floor: Floor,
    /// Whether a policy of first contact is enough for that floor.
    #[serde(default)]
    pub trust_first: TrustFirst,
    /// What the level will be if the demand is met.
    pub level: Level,
    /// The peer must offer REQUIRETLS, and MAIL carries it (RFC 8689 §4.2.1).
    pub require_tls: RequireTls,
    /// Why this demand here.
    pub because: Vec<Because>,
}

/// Whether the next hop must understand REQUIRETLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequireTls {
    /// The message does not ask for it.
    #[default]
    No,
    /// It does.
    Yes,
}

/// What to do now: MX order, what to demand of each host, and what if none takes it.
///
/// `seed` only orders hosts of equal preference (RFC 5321 §5.1). The same arguments give the same
/// plan.
pub fn plan(case: &Case<'_>, _seed: u64, _now: UnixTime) -> Plan {
    let reach = case.terms.agreement.as_ref().map(|agreed| agreed.reach).unwrap_or_default();
    let last = Route::Wait {
        until: None,
        code: EnhancedCode(4, 7, 0),
        reason: "no host was judged".to_owned(),
    };
    Plan { routes: vec![last], because: Vec::new(), why_not_higher: None, reach }
}
