//! From facts to findings and to the level. One file a topic, each a function over the survey.

use rustls_pki_types::TrustAnchor;
use serde::{Deserialize, Serialize};

use super::{Finding, Severity, Survey};
use crate::{channel::Level, domain::Domain, time::UnixTime};

/// What a survey is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Certificates that count as public CAs: `[tls] roots`.
    pub roots: &'a [TrustAnchor<'static>],
    /// What was known of the domain before; `None` at first contact.
    pub before: Option<&'a Survey>,
    /// The time.
    pub now: UnixTime,
}

/// What a survey comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// Whose.
    pub domain: Domain,
    /// When the facts were gathered.
    pub checked_at: UnixTime,
    /// What is left when an attacker between us and the domain does what he can: the weakest
    /// level at which our gateway would deliver with the floor `none`. `None` where it would not
    /// deliver, or where that could not be found out.
    pub level: Option<Level>,
    /// One sentence: what an attacker who listens, and one who interferes, would obtain.
    pub headline: String,
    /// Why it is not higher.
    pub why_not_higher: Option<String>,
    /// Each address of each host with each kind of key.
    pub hosts: Vec<HostAssessment>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// One mail host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAssessment {
    /// Its name.
    pub host: Domain,
    /// What a delivery to it reaches at least; `None` where there would be none.
    pub level: Option<Level>,
    /// Its addresses.
    pub addresses: Vec<AddressAssessment>,
}

/// One address of a mail host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAssessment {
    /// The address.
    pub ip: std::net::IpAddr,
    /// Each kind of key that it holds a certificate for.
    pub keys: Vec<KeyAssessment>,
}

/// One certificate at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAssessment {
    /// `RSA`, `ECDSA`, `Ed25519`.
    pub algorithm: super::KeyKind,
    /// `TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768`.
    pub tls: String,
    /// Whether a TLSA record matches.
    pub dane: Check,
    /// Whether it leads to a public CA for the name of the host, in time.
    pub pkix: Check,
}

/// One check of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It holds.
    Holds,
    /// It does not, and why.
    Fails(String),
    /// There is nothing to check against.
    NotApplicable,
}

impl Assessment {
    /// The worst of its findings, `None` without any.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
