//! What a connection was, what it had to be, and the proof that it may carry mail.

mod permit;
mod strength;

use std::{fmt, net::SocketAddr};

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::{dane::Tlsa, domain::Domain, facts::Peer, time::UnixTime};

pub use self::{
    permit::{ChannelProof, Held, Refusal, RefusalKind, Waiting, permit},
    strength::{lists_group, lists_suite, qualifies},
};

/// The least that the organisation accepts for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Floor {
    /// Anything; TLS is still tried.
    None,
    /// TLS 1.2 or later.
    Encrypted,
    /// The peer has proven who it is.
    Authenticated,
    /// By DANE or by a pin, with parameters of TR-02102-2.
    Qualified,
    /// End to end, or the portal. No channel meets it.
    Sealed,
}

/// What a channel really was. Levels are not one ladder, so there is no order on them: ask
/// whether one meets a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// No TLS.
    Cleartext,
    /// TLS 1.2+, nobody vouches for the peer.
    Encrypted,
    /// A valid certificate for an MX name that came from insecure DNS.
    Named,
    /// MTA-STS `enforce`, policy fetched for the first time in this attempt.
    StsFirst,
    /// MTA-STS `enforce`, policy known from before.
    Sts,
    /// A valid certificate for a name that no attacker could choose.
    Anchored,
    /// DANE from the root down (RFC 7672).
    Dane,
    /// Keys or a named CA that the administrator agreed with the peer.
    Pinned,
}

/// Whether a policy that was fetched for the first time in this very attempt authenticates
/// (`trust_first_policy`): an attacker at first contact could have hidden another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustFirst {
    /// It does.
    #[default]
    Yes,
    /// Only a policy that was known before does.
    No,
}

impl Level {
    /// What can be said of two channels together: the one that says less, in the order of this
    /// file. It is for telling; whether a channel will do is never asked of this order.
    #[must_use]
    pub const fn lesser(self, other: Self) -> Self {
        if (self as u8) < (other as u8) { self } else { other }
    }

    /// Whether a channel of this level meets a floor: the table of DESIGN §2. `qualified` also
    /// asks for TLS parameters, see [`qualifies`].
    pub const fn meets(self, floor: Floor, first: TrustFirst) -> bool {
        match floor {
            Floor::None => true,
            Floor::Encrypted => !matches!(self, Self::Cleartext),
            Floor::Authenticated => match self {
                Self::Cleartext | Self::Encrypted | Self::Named => false,
                Self::StsFirst => matches!(first, TrustFirst::Yes),
                Self::Sts | Self::Anchored | Self::Dane | Self::Pinned => true,
            },
            Floor::Qualified => matches!(self, Self::Dane | Self::Pinned),
            Floor::Sealed => false,
        }
    }

    /// As it is written in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cleartext => "cleartext",
            Self::Encrypted => "encrypted",
            Self::Named => "named",
            Self::StsFirst => "sts-first",
            Self::Sts => "sts",
            Self::Anchored => "anchored",
            Self::Dane => "dane",
            Self::Pinned => "pinned",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Floor {
    /// As it is written in rules and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Encrypted => "encrypted",
            Self::Authenticated => "authenticated",
            Self::Qualified => "qualified",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is demanded of a channel before the first mail command. Not ordered: two authenticated
/// demands with other names are just different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// TLS is tried; without it the message goes in the clear.
    Opportunistic,
    /// TLS or nothing; nobody has to vouch for the peer.
    Encrypt,
    /// Every voucher in the list has to hold; never empty.
    Authenticate(Vec<Voucher>),
}

/// One way in which the peer has to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    /// Who vouches.
    pub by: By,
    /// Reference identifiers: one of them has to match the certificate (RFC 6125), but for
    /// DANE-EE, which ignores names (RFC 7672 §3.1.1).
    pub names: Vec<Domain>,
}

/// Who vouches for a peer's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// These TLSA records.
    Dane {
        /// All records of the RRset; digest agility is applied when they are matched.
        records: Vec<Tlsa>,
    },
    /// A public CA, for an MX that an MTA-STS policy lists (RFC 8461 §4.2).
    Sts,
    /// A public CA, for a name that the attacker could not choose.
    Anchor,
    /// The administrator's pins.
    Pin(Pins),
}

/// What the administrator agreed with a peer out of band: one match is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// SHA-256 of the SubjectPublicKeyInfo of the end entity.
    pub keys: Vec<[u8; 32]>,
    /// CA certificates (DER) that have to be the root of a valid chain for one of the names.
    pub authorities: Vec<Vec<u8>>,
}

/// What was seen of a connection up to the moment of judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whom we meant to reach.
    pub peer: Peer,
    /// Where we connected to: the address that the route names, whatever a test bed's map made
    /// of it.
    pub address: SocketAddr,
    /// What TLS came to.
    pub tls: TlsSeen,
}

/// What TLS came to on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSeen {
    /// EHLO did not offer STARTTLS.
    NotOffered,
    /// STARTTLS was offered and then refused: the reply line.
    Refused(String),
    /// Bytes followed the 220 before the handshake: an attack (CVE-2011-0411).
    Injected,
    /// The handshake failed.
    HandshakeFailed {
        /// Whether the peer speaks only what we do not (`legacy-tls`).
        legacy: Legacy,
        /// The error, in words.
        detail: String,
    },
    /// A session stands.
    Established(Session),
}

/// Whether a failed handshake is a peer below our minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Legacy {
    /// TLS 1.0/1.1, or suites, groups and keys below the BSI and NCSC-NL minimum.
    TooOld,
    /// Something else.
    No,
}

/// A TLS session after the handshake, before anything was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// 1.2 or 1.3.
    pub version: TlsVersion,
    /// IANA name of the cipher suite.
    pub suite: String,
    /// IANA name of the key exchange group.
    pub group: Option<String>,
    /// What the server presented, end entity first. At least one.
    pub chain: Vec<CertificateDer<'static>>,
    /// The server name that was sent.
    pub sni: Option<Domain>,
    /// A resumed session brought no new proof of possession of the certificate's key.
    pub handshake: Handshake,
    /// When the handshake ended.
    pub at: UnixTime,
}

/// TLS versions that count as TLS here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// RFC 8446
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

/// How a session came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handshake {
    /// With certificate and signature.
    Full,
    /// From a ticket (RFC 8446 §2.2).
    Resumed,
}

#[cfg(test)]
mod tests;
