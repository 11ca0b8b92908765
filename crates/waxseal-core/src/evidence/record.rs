//! One record per attempt and delivery group (DESIGN §6).
//!
//! Certificate chains, DNSSEC proofs and the configuration are blobs, named by their digest.
//! Addresses, replies and transcripts are commitments. All else is here, so that a stranger can
//! decide the case again.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{BlobId, Commitment, Sealer};
use crate::{
    channel::{Handshake, Held, Legacy, Level, Refusal, Seen, TlsSeen, TlsVersion},
    decide::{Ask, Case, FirstSeen, Origin, Plan, Settled, Verdict},
    domain::Domain,
    facts::{Facts, Peer},
    memory::{Alarm, Memory},
    org::Terms,
    outcome::{Cause, Outcome},
    queue_id::QueueId,
    reply::EnhancedCode,
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

/// What was decided, with all that it followed from: enough to decide it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// [`crate::decide::DECIDER`] of the program that decided.
    pub decider: u32,
    /// When.
    pub at: UnixTime,
    /// What ordered hosts of equal preference.
    pub seed: u64,
    /// Our settings for this destination.
    pub terms: Terms,
    /// What the message asked for.
    pub ask: Ask,
    /// What the rules said, without the addresses of those who are told.
    pub verdict: Verdict,
    /// What was observed.
    pub facts: Facts,
    /// What was remembered.
    pub memory: Memory,
    /// Whether anybody could be told.
    pub origin: Origin,
    /// Since when no channel was good enough for the group; before decider 3, since its first attempt.
    #[serde(alias = "first_tried")]
    pub short_since: Option<UnixTime>,
    /// Since when each kind of what falls short was seen; before decider 4, nothing.
    #[serde(default, skip_serializing_if = "FirstSeen::is_nothing")]
    pub first_seen: FirstSeen,
    /// What followed.
    pub plan: Plan,
}

impl Decided {
    /// A decision as it was made.
    pub fn new(case: &Case<'_>, plan: Plan, seed: u64, at: UnixTime) -> Self {
        let verdict = Verdict { notify: Vec::new(), ..case.verdict.clone() };
        Self {
            decider: crate::decide::DECIDER,
            at,
            seed,
            terms: case.terms.clone(),
            ask: *case.ask,
            verdict,
            facts: case.facts.clone(),
            memory: case.memory.clone(),
            origin: case.origin,
            short_since: case.short_since,
            first_seen: case.first_seen,
            plan,
        }
    }

    /// The case that was decided.
    pub const fn case(&self) -> Case<'_> {
        Case {
            terms: &self.terms,
            ask: &self.ask,
            verdict: &self.verdict,
            facts: &self.facts,
            memory: &self.memory,
            origin: self.origin,
            short_since: self.short_since,
            first_seen: self.first_seen,
        }
    }
}

/// What is known of an attempt that ended with the process. Facts and plan were in memory only;
/// the message may have been sent (RFC 1047).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    /// When the final dot was about to be sent.
    pub at: UnixTime,
    /// To which domain.
    pub destination: Domain,
    /// What the message asked for.
    pub ask: Ask,
    /// What the rules said, without the addresses of those who are told.
    pub verdict: Verdict,
    /// Whether anybody could be told.
    pub origin: Origin,
    /// Since when no channel was good enough for the group; before decider 3, since its first attempt.
    #[serde(alias = "first_tried")]
    pub short_since: Option<UnixTime>,
}

/// One attempt at one address of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Index into the plan's routes.
    pub route: usize,
    /// Whom we meant to reach.
    pub peer: Peer,
    /// Where we connected to.
    pub address: SocketAddr,
    /// Whether the connection carried other messages before.
    pub connection: Connection,
    /// What TLS came to.
    pub tls: Tls,
    /// The level, where the channel was permitted.
    pub level: Option<Level>,
    /// What held on it.
    pub held: Vec<Held>,
    /// Why it was refused, where it was.
    pub refusal: Option<Refusal>,
    /// What ended the attempt before the message was said.
    pub cause: Option<Why>,
    /// Who was accepted here: indexes into the recipients of the record. Records of before do not
    /// say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<usize>,
    /// What was said, without addresses and content.
    pub transcript: Commitment,
    /// When it began.
    pub started: UnixTime,
    /// When it ended.
    pub finished: UnixTime,
}

/// Whether a connection was made for this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// It was.
    New,
    /// It carried others before.
    Reused,
}

/// What TLS came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// It did not come to that.
    NotReached,
    /// STARTTLS was not offered.
    NotOffered,
    /// Offered, then refused.
    Refused,
    /// Bytes stood between the 220 and the handshake: an attack (CVE-2011-0411).
    Injected,
    /// The handshake failed.
    Failed {
        /// Whether the peer is below our minimum.
        legacy: Legacy,
        /// In words.
        detail: String,
    },
    /// A session stood.
    Established(Established),
}

/// A TLS session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Established {
    /// 1.2 or 1.3.
    pub version: TlsVersion,
    /// IANA name of the suite.
    pub suite: String,
    /// IANA name of the group.
    pub group: Option<String>,
    /// The server name that was sent.
    pub sni: Option<Domain>,
    /// Full, or resumed.
    pub handshake: Handshake,
    /// When the handshake ended.
    pub at: UnixTime,
    /// The certificates, end entity first: blobs.
    pub chain: Vec<BlobId>,
}

impl Tls {
    /// From what was seen of a connection.
    pub fn of(seen: Option<&Seen>) -> Self {
        let Some(seen) = seen else { return Self::NotReached };
        match &seen.tls {
            TlsSeen::NotOffered => Self::NotOffered,
            TlsSeen::Refused(_) => Self::Refused,
            TlsSeen::Injected => Self::Injected,
            TlsSeen::HandshakeFailed { legacy, detail } => {
                Self::Failed { legacy: *legacy, detail: detail.clone() }
            }
            TlsSeen::Established(session) => Self::Established(Established {
                version: session.version,
                suite: session.suite.clone(),
                group: session.group.clone(),
                sni: session.sni.clone(),
                handshake: session.handshake,
                at: session.at,
                chain: session.chain.iter().map(|der| BlobId::of(der)).collect(),
            }),
        }
    }
}

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

    /// Canonical bytes: JSON with the fields in the order of this file, no white space, no maps.
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
