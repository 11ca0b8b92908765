//! What connections to one address of a mail host showed.

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::Quoted;
use crate::{
    channel::{Legacy, Session, TlsVersion},
    domain::Domain,
    pki::{Certificate, key_and_algorithm},
    time::UnixTime,
};

/// All that was seen at one address: several connections, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When the first connection was made.
    pub at: UnixTime,
    /// How the SMTP part of the first connection went.
    pub contact: Contact,
    /// EHLO keywords after STARTTLS: REQUIRETLS is offered only there (RFC 8689 §2). `None` where
    /// TLS did not come about or nobody asked.
    #[serde(default)]
    pub keywords_in_tls: Option<Vec<Quoted>>,
    /// One full handshake for each kind of key that was asked for (a host may hold an RSA and an
    /// ECDSA certificate, and only one of them may match its TLSA records).
    pub handshakes: Vec<HandshakeTried>,
    /// Versions below 1.2 that it still takes; `None` where that was not tried, or nobody answered.
    #[serde(default)]
    pub legacy: Option<Vec<LegacyVersion>>,
    /// What it takes of what no guideline calls good; `None` where that was not tried.
    pub weak: Option<WeakOffer>,
}

/// How far a connection came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contact {
    /// No connection.
    Unreachable(String),
    /// It answered with a 4xx or 5xx greeting or EHLO reply: rate limits, block lists,
    /// greylisting. Nothing follows from that for the domain.
    TurnedAway(Quoted),
    /// It went over one of our limits, or did not speak SMTP; in words.
    Misbehaved(String),
    /// It talked.
    Spoke {
        /// The greeting line.
        greeting: Quoted,
        /// EHLO keywords with parameters, upper case, at most 64.
        keywords: Vec<Quoted>,
        /// Whether STARTTLS worked.
        starttls: StartTlsSeen,
    },
}

/// What came of STARTTLS (RFC 3207).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartTlsSeen {
    /// Not among the keywords.
    NotOffered,
    /// Offered, and then refused with this reply.
    Refused(Quoted),
    /// Plaintext followed the 220: an attack or a fault (CVE-2011-0411).
    Injected,
    /// 220; what TLS came to is in [`Probe::handshakes`].
    Ready,
}

/// Kinds of keys that certificates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// RSA, PKCS#1 or PSS signatures.
    Rsa,
    /// ECDSA on P-256, P-384 or P-521.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// As it is written in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// A handshake that took only certificates with one kind of key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeTried {
    /// Which kind.
    pub key: KeyKind,
    /// What came of it.
    pub tried: Tried,
}

/// What came of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tried {
    /// A session.
    Session(OfferedSession),
    /// The host has no certificate of that kind: it refused where another kind worked.
    NoSuchKey,
    /// It failed whatever the kind.
    Failed {
        /// Whether the host speaks only what we do not.
        legacy: Legacy,
        /// In words.
        detail: String,
    },
    /// It could not be found out: no connection, rate limit, time.
    Unknown(String),
}

/// A session as it was seen; [`Session`] that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedSession {
    /// 1.2 or 1.3.
    pub version: TlsVersion,
    /// IANA name of the suite.
    pub suite: String,
    /// IANA name of the group.
    pub group: Option<String>,
    /// Certificates in DER, base64 in records, end entity first.
    #[serde(with = "chain")]
    pub chain: Vec<Vec<u8>>,
    /// The server name that was sent.
    pub sni: Option<Domain>,
    /// When.
    pub at: UnixTime,
}

impl OfferedSession {
    /// The kind of key in the first certificate; `None` for one that is not known here.
    pub fn key(&self) -> Option<KeyKind> {
        // The object identifiers of RFC 4055, RFC 5480 and RFC 8410.
        const KINDS: [(&[u8], KeyKind); 4] = [
            (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1], KeyKind::Rsa),
            (&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 10], KeyKind::Rsa),
            (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], KeyKind::Ecdsa),
            (&[6, 3, 0x2b, 0x65, 0x70], KeyKind::Ed25519),
        ];
        let leaf = Certificate::read(self.chain.first()?).ok()?;
        let (algorithm, _) = key_and_algorithm(leaf.public_key_info())?;
        KINDS.iter().find(|(oid, _)| algorithm.starts_with(oid)).map(|(_, kind)| *kind)
    }

    /// The same as [`crate::channel::permit`] wants it.
    pub fn session(&self) -> Session {
        Session {
            version: self.version,
            suite: self.suite.clone(),
            group: self.group.clone(),
            chain: self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect(),
            sni: self.sni.clone(),
            handshake: crate::channel::Handshake::Full,
            at: self.at,
        }
    }
}

impl From<&Session> for OfferedSession {
    fn from(session: &Session) -> Self {
        Self {
            version: session.version,
            suite: session.suite.clone(),
            group: session.group.clone(),
            chain: session.chain.iter().map(|der| der.as_ref().to_vec()).collect(),
            sni: session.sni.clone(),
            at: session.at,
        }
    }
}

/// Versions that a host should not take any more (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LegacyVersion {
    /// RFC 6101
    #[serde(rename = "SSLv3")]
    Ssl3,
    /// RFC 2246
    #[serde(rename = "TLSv1.0")]
    V1_0,
    /// RFC 4346
    #[serde(rename = "TLSv1.1")]
    V1_1,
}

/// What a host chose when it was offered only what no guideline calls good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeakOffer {
    /// IANA names of suites that it took; more may be accepted.
    pub suites: Vec<String>,
    /// IANA names of groups that it took; `None` where nobody answered.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Whether a TLS 1.2 session had the extended master secret (RFC 7627); `None` where that was
    /// not seen.
    pub extended_master_secret: Option<bool>,
    /// Whether it speaks TLS 1.2 at all; `None` where nobody answered.
    #[serde(default)]
    pub tls12: Option<bool>,
}

/// Certificates as base64, so that a stored survey is half the size.
mod chain {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(chain: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| STANDARD.decode(text).map_err(D::Error::custom))
            .collect()
    }
}
