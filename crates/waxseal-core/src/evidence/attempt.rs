//! What a record says of each connection: where it went, what TLS came to, who was accepted on it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{BlobId, Commitment, Why};
use crate::{
    channel::{Handshake, Held, Legacy, Level, Refusal, Seen, TlsSeen, TlsVersion},
    domain::Domain,
    facts::Peer,
    time::UnixTime,
};

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
