//! What of a domain runs out, and when.

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{Observed, Probe, Signing, Survey, Tried},
    facts::StsFact,
    pki::Certificate,
    time::UnixTime,
};

/// When something of a domain ends first, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiries {
    /// A certificate: of a mail host, or of the MTA-STS policy host.
    pub certificate: Option<UnixTime>,
    /// The certificate of the MTA-STS policy host.
    pub policy_host: Option<UnixTime>,
    /// A DNSSEC signature that we relied on.
    pub signature: Option<UnixTime>,
    /// The MTA-STS policy as a sender keeps it (RFC 8461 §3.2, `max_age`).
    pub policy: Option<UnixTime>,
}

impl Expiries {
    /// Whichever ends first, kind by kind.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let first = |one: Option<UnixTime>, other: Option<UnixTime>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            certificate: first(self.certificate, other.certificate),
            policy_host: first(self.policy_host, other.policy_host),
            signature: first(self.signature, other.signature),
            policy: first(self.policy, other.policy),
        }
    }
}

/// What ends first in a survey.
pub(super) fn expiries(survey: &Survey) -> Expiries {
    let zones = std::iter::once(&survey.zone).chain(survey.hosts.iter().map(|host| &host.zone));
    let signature = zones.filter_map(|zone| match &zone.signing {
        Signing::Signed { first_expiry, .. } => Some(*first_expiry),
        Signing::Unsigned { .. } | Signing::Failed(_) | Signing::NotAsked => None,
    });
    let probes = survey.hosts.iter().flat_map(|host| &host.addresses);
    let probes = probes.filter_map(|address| match &address.observed {
        Observed::Probed(probe) => Some(&**probe),
        Observed::Not(_) => None,
    });
    let certificate =
        probes.flat_map(certificates).chain(survey.policy.host_certificate_expires).min();
    let policy = match &survey.facts.sts {
        StsFact::Policy { expires, .. } => Some(*expires),
        StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => None,
    };
    let policy_host = survey.policy.host_certificate_expires;
    Expiries { certificate, policy_host, signature: signature.min(), policy }
}

/// When the certificates at one address end: the end entity's, for that is renewed.
fn certificates(probe: &Probe) -> Vec<UnixTime> {
    let end = |one: &waxseal_core::assess::HandshakeTried| match &one.tried {
        Tried::Session(session) => {
            let leaf = Certificate::read(session.chain.first()?).ok()?;
            leaf.dates().ok().map(|(_, until)| until)
        }
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    };
    probe.handshakes.iter().filter_map(end).collect()
}
