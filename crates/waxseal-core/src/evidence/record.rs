//! One record per attempt and delivery group (DESIGN §6).
//!
//! Certificate chains, DNSSEC proofs and the configuration are blobs, named by their digest.
//! Addresses, replies and transcripts are commitments. All else is here, so that a stranger can
//! decide the case again.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BlobId, Commitment, Decided, Ending, Interrupted, ToRecipient, Try};
use crate::{
    channel::Level, decide::Verdict, domain::Domain, memory::Alarm, queue_id::QueueId,
    time::UnixTime,
};

/// Which layout a record has. A reader refuses what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Schema {
    /// The first.
    #[serde(rename = "waxseal/delivery/1")]
    Delivery1,
}

/// One attempt to deliver one message to the recipients of one delivery group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The layout.
    pub schema: Schema,
    /// Version of the program that made it.
    pub software: String,
    /// The name that the gateway gave in EHLO.
    pub gateway: String,
    /// Digest of configuration and rules, without secrets.
    pub config: Option<BlobId>,
    /// Where connections really went.
    pub network: Network,
    /// Which message.
    pub message: Message,
    /// 1 for the first attempt of this group.
    pub attempt: u32,
    /// What was decided, with all that it followed from; `None` where that was lost with the
    /// process that decided it: then [`Self::interrupted`] holds what is still known.
    pub decided: Option<Decided>,
    /// An attempt that ended with the process, perhaps after the message was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Interrupted>,
    /// Every attempt at an address, in order.
    pub tries: Vec<Try>,
    /// What became of it, recipient by recipient.
    pub recipients: Vec<ToRecipient>,
    /// The level of the channel that took it, where one did: the least of them, where several took
    /// it for different recipients.
    pub level: Option<Level>,
    /// What somebody should look at.
    pub alarms: Vec<Alarm>,
}

/// Where connections go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// To the addresses that the plan names.
    #[default]
    Real,
    /// A test bed maps some of them elsewhere (`[network] map`).
    Mapped,
}

/// Which message, without what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number with us.
    pub id: QueueId,
    /// Octets.
    pub size: u64,
    /// When we took it.
    pub arrived: UnixTime,
    /// Its sender's domain; `None` for `<>`.
    pub sender_domain: Option<Domain>,
    /// MAIL FROM.
    pub sender: Commitment,
    /// Hexadecimal SHA-256 of header and body as they were sent.
    pub content: Commitment,
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotEvidence {
    /// More than [`Evidence::MAX_BYTES`].
    TooLong,
    /// Not JSON of a layout that is known here; what and where.
    Unreadable(String),
}

impl fmt::Display for NotEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a record has at most {} octets", Evidence::MAX_BYTES),
            Self::Unreadable(why) => write!(f, "not a record of a known layout: {why}"),
        }
    }
}

impl std::error::Error for NotEvidence {}

impl Evidence {
    /// The most octets of a record: 1 MiB, far above what 16 hosts and 1,000 recipients need.
    pub const MAX_BYTES: usize = 1 << 20;

    /// To which domain; `None` in a record that says neither what was decided nor that it was
    /// interrupted, as none of ours does.
    pub fn destination(&self) -> Option<&Domain> {
        let decided = self.decided.as_ref().map(|decided| &decided.facts.destination);
        decided.or(self.interrupted.as_ref().map(|interrupted| &interrupted.destination))
    }

    /// The level of the channel that took it for the recipient at this index, where one did.
    pub fn level_for(&self, recipient: usize) -> Option<Level> {
        if self.tries.iter().all(|tried| tried.accepted.is_empty()) {
            // A record of before: one level was said for all.
            let accepted = |one: &ToRecipient| one.ended.ending == Ending::Accepted;
            return self.level.filter(|_| self.recipients.get(recipient).is_some_and(accepted));
        }
        let carried = self.tries.iter().find(|tried| tried.accepted.contains(&recipient));
        carried.and_then(|tried| tried.level)
    }

    /// What the rules said.
    pub fn verdict(&self) -> Option<&Verdict> {
        let decided = self.decided.as_ref().map(|decided| &decided.verdict);
        decided.or(self.interrupted.as_ref().map(|interrupted| &interrupted.verdict))
    }

    /// When it was decided, or interrupted.
    pub fn at(&self) -> Option<UnixTime> {
        let decided = self.decided.as_ref().map(|decided| decided.at);
        decided.or(self.interrupted.as_ref().map(|interrupted| interrupted.at))
    }

    /// Canonical bytes: JSON with the fields in the order in which the types have them, no white space, no maps.
    /// Reading and writing them again gives the same bytes.
    ///
    /// # Errors
    /// Never for values that this crate can make; serialisation could in principle fail.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a record from a file that anybody may have written.
    ///
    /// # Errors
    /// It is too long, or not a record of a layout that is known here.
    pub fn read(bytes: &[u8]) -> Result<Self, NotEvidence> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NotEvidence::TooLong);
        }
        serde_json::from_slice(bytes).map_err(|error| NotEvidence::Unreadable(error.to_string()))
    }
}
