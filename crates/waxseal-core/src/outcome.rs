//! What became of an attempt for one recipient.

use serde::{Deserialize, Serialize};

use crate::reply::Reply;

/// The end of one attempt for one recipient. Absence of an answer and a refusal are different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The peer took responsibility (RFC 5321 §6.1).
    Accepted {
        /// The reply after the final dot.
        reply: Reply,
    },
    /// Not now.
    Deferred {
        /// What stood in the way.
        cause: Cause,
    },
    /// The peer said no for good (5yz), or we cannot say it to this peer.
    Rejected {
        /// What was said.
        cause: Cause,
    },
    /// The connection died after the final dot and before the reply: maybe delivered.
    Unknown {
        /// What was seen.
        detail: String,
    },
    /// The connection died before the final dot: not delivered.
    Disconnected {
        /// At which step, and what was seen.
        detail: String,
    },
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The peer replied so, to this command.
    Reply {
        /// `MAIL`, `RCPT`, `DATA`, `final dot`, ...
        command: String,
        /// The reply.
        reply: Reply,
    },
    /// The peer cannot take this message: `8BITMIME`, `SMTPUTF8`, `SIZE`, `REQUIRETLS` missing.
    Capability(String),
    /// The channel was not what was demanded; nothing of the message was said.
    Channel(String),
    /// Nobody answered: connection refused, timed out, no address.
    Connection(String),
    /// Our own limits: its turn at the host has not come, and nothing was said.
    Busy(String),
    /// The plan itself says so; no connection was made.
    Plan(String),
    /// The peer broke the protocol.
    Protocol(String),
}
