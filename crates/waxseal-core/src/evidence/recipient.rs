//! What a record says of each recipient: how the attempt ended, and what follows.

use serde::{Deserialize, Serialize};

use super::{Commitment, Sealer};
use crate::{
    decide::Settled,
    outcome::{Cause, Outcome},
    reply::EnhancedCode,
    time::UnixTime,
};

/// What became of the message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToRecipient {
    /// Who.
    pub address: Commitment,
    /// How the attempt ended.
    pub ended: Ended,
    /// What follows.
    pub settled: Settlement,
}

/// How an attempt ended for a recipient. Words of the peer are a commitment: they often hold the
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// In one word.
    pub ending: Ending,
    /// What stood in the way.
    pub cause: Option<Why>,
    /// The reply that decided it.
    pub reply: Option<(u16, Option<EnhancedCode>)>,
    /// All of it in words.
    pub words: Commitment,
}

/// The outcome in one word (DESIGN §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The peer took responsibility.
    Accepted,
    /// Not now.
    Deferred,
    /// No.
    Rejected,
    /// Maybe delivered.
    Unknown,
    /// Not delivered.
    Disconnected,
}

/// What stood in the way, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// A reply of the peer.
    Reply,
    /// An extension that it lacks.
    Capability,
    /// The channel was not what was demanded.
    Channel,
    /// Nobody answered.
    Connection,
    /// Our own limits.
    Busy,
    /// The plan itself.
    Plan,
    /// The peer broke the protocol.
    Protocol,
}

impl Why {
    /// The kind of a cause.
    pub const fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Reply { .. } => Self::Reply,
            Cause::Capability(_) => Self::Capability,
            Cause::Channel(_) => Self::Channel,
            Cause::Connection(_) => Self::Connection,
            Cause::Busy(_) => Self::Busy,
            Cause::Plan(_) => Self::Plan,
            Cause::Protocol(_) => Self::Protocol,
        }
    }
}

/// What follows for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// The peer has it.
    Done,
    /// Again.
    Retry {
        /// When.
        at: UnixTime,
    },
    /// Held.
    Hold {
        /// Until when at most.
        until: UnixTime,
        /// The reason.
        code: EnhancedCode,
    },
    /// Returned.
    Bounce {
        /// The reason.
        code: EnhancedCode,
    },
    /// Ended in silence.
    Drop {
        /// The reason.
        code: EnhancedCode,
    },
}

impl ToRecipient {
    /// What became of the message for the recipient at `index`, the personal parts sealed.
    pub fn seal(
        sealer: &mut Sealer,
        index: usize,
        address: &str,
        outcome: &Outcome,
        settled: &Settled,
    ) -> Self {
        let (ending, cause) = match outcome {
            Outcome::Accepted { .. } => (Ending::Accepted, None),
            Outcome::Deferred { cause } => (Ending::Deferred, Some(cause)),
            Outcome::Rejected { cause } => (Ending::Rejected, Some(cause)),
            Outcome::Unknown { .. } => (Ending::Unknown, None),
            Outcome::Disconnected { .. } => (Ending::Disconnected, None),
        };
        let (reply, words) = match (outcome, cause) {
            (Outcome::Accepted { reply }, _) | (_, Some(Cause::Reply { reply, .. })) => {
                (Some((reply.code, reply.enhanced)), reply.to_string())
            }
            (_, Some(cause)) => (None, words(cause).to_owned()),
            (Outcome::Unknown { detail } | Outcome::Disconnected { detail }, None) => {
                (None, detail.clone())
            }
            (Outcome::Deferred { .. } | Outcome::Rejected { .. }, None) => (None, String::new()),
        };
        Self {
            address: sealer.seal(format!("recipients/{index}/address"), address),
            ended: Ended {
                ending,
                cause: cause.map(Why::of),
                reply,
                words: sealer.seal(format!("recipients/{index}/words"), words),
            },
            settled: Settlement::of(settled),
        }
    }
}

fn words(cause: &Cause) -> &str {
    match cause {
        Cause::Reply { command, .. } => command,
        Cause::Capability(words)
        | Cause::Channel(words)
        | Cause::Connection(words)
        | Cause::Busy(words)
        | Cause::Plan(words)
        | Cause::Protocol(words) => words,
    }
}

impl Settlement {
    /// Without the words.
    pub const fn of(settled: &Settled) -> Self {
        match settled {
            Settled::Done => Self::Done,
            Settled::Retry { at, .. } => Self::Retry { at: *at },
            Settled::Hold { until, code, .. } => Self::Hold { until: *until, code: *code },
            Settled::Bounce { code, .. } => Self::Bounce { code: *code },
            Settled::Drop { code, .. } => Self::Drop { code: *code },
        }
    }
}
