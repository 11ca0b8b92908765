//! What a mail operator offers, seen through one of the domains that it serves: for comparing
//! providers before one is chosen.

use serde::{Deserialize, Serialize};

use super::{Assessment, HostSurvey, Observed, OfferedSession, Probe, Signing, Survey, Tried};
use crate::{
    channel::{Level, TlsVersion},
    facts::{Dane, Peer, StsFact},
    guideline::{allows_group, allows_suite},
    sts::Mode,
};

/// Whether something is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offer {
    /// Everywhere.
    Yes,
    /// At some hosts or addresses, or halfway (`testing`).
    Partly,
    /// Nowhere.
    No,
    /// It could not be found out, or was not looked at.
    Unknown,
}

impl Offer {
    /// As it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partly => "partly",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }

    /// What is seen at two domains: what one of them shows is known of their operator.
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, known) | (known, Self::Unknown) => known,
            (Self::Yes, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            (Self::Yes | Self::No | Self::Partly, Self::Yes | Self::No | Self::Partly) => {
                Self::Partly
            }
        }
    }

    /// What the parts of one domain show. A part that is unknown leaves the whole unknown, unless the
    /// others differ already.
    fn throughout(parts: impl Iterator<Item = Self>) -> Self {
        let (mut known, mut unknown) = (Self::Unknown, false);
        for part in parts {
            unknown |= part == Self::Unknown;
            known = known.and(part);
        }
        if unknown && known != Self::Partly { Self::Unknown } else { known }
    }

    fn of(held: impl Iterator<Item = Option<bool>>) -> Self {
        Self::throughout(held.map(|held| match held {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }))
    }
}

/// What one domain's mail operator offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Who runs the mail hosts, as their names tell: `example.net`. The best preference decides.
    pub operator: String,
    /// Who else runs mail hosts of the domain; what they offer is not mixed in here.
    #[serde(default)]
    pub others: Vec<String>,
    /// DANE at its hosts (RFC 7672).
    pub dane: Offer,
    /// MTA-STS in mode `enforce`; `testing` counts as partly (RFC 8461 §5).
    pub sts: Offer,
    /// Reports are asked for (RFC 8460 §3).
    pub tlsrpt: Offer,
    /// TLS 1.3.
    pub tls13: Offer,
    /// A hybrid post-quantum key exchange.
    pub post_quantum: Offer,
    /// IPv6 addresses.
    pub ipv6: Offer,
    /// The zones of its hosts are signed.
    pub dnssec: Offer,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: Offer,
    /// Nothing old: no TLS below 1.2 (RFC 8996 §4, §5), no weak suites or groups.
    pub hygiene: Offer,
}

impl Offers {
    /// The columns of a comparison and their values, in the order in which they matter.
    pub const fn columns(&self) -> [(&'static str, Offer); 9] {
        [
            ("DANE", self.dane),
            ("MTA-STS", self.sts),
            ("TLSRPT", self.tlsrpt),
            ("TLS 1.3", self.tls13),
            ("PQ", self.post_quantum),
            ("IPv6", self.ipv6),
            ("DNSSEC", self.dnssec),
            ("REQUIRETLS", self.require_tls),
            ("hygiene", self.hygiene),
        ]
    }

    /// What is seen at another domain of the same operator.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let mut others = self.others;
        others.extend(other.others.iter().cloned());
        others.sort();
        others.dedup();
        Self {
            operator: self.operator,
            others,
            dane: self.dane.and(other.dane),
            sts: self.sts.and(other.sts),
            tlsrpt: self.tlsrpt.and(other.tlsrpt),
            tls13: self.tls13.and(other.tls13),
            post_quantum: self.post_quantum.and(other.post_quantum),
            ipv6: self.ipv6.and(other.ipv6),
            dnssec: self.dnssec.and(other.dnssec),
            require_tls: self.require_tls.and(other.require_tls),
            hygiene: self.hygiene.and(other.hygiene),
        }
    }
}

/// What the operator of a domain's mail hosts offers.
pub fn offers(survey: &Survey, assessment: &Assessment) -> Offers {
    let mut others: Vec<String> = Vec::new();
    for facts in &survey.facts.hosts {
        if let Peer::Name(name) = &facts.host
            && !others.contains(&name.operator())
        {
            others.push(name.operator());
        }
    }
    let operator = if others.is_empty() { "none".to_owned() } else { others.remove(0) };
    let own = || survey.hosts.iter().filter(|host| host.host.operator() == operator);
    let probes = || own().flat_map(probes);
    let sessions = || own().flat_map(sessions);
    // A host that nothing was negotiated with may do anything.
    let unseen = || {
        let silent = own().filter(|host| !host.addresses.is_empty());
        silent.filter(|host| self::sessions(host).next().is_none()).map(|_| None)
    };
    let hybrid = |group: &str| group.to_ascii_uppercase().contains("MLKEM");
    Offers {
        dane: dane(survey, assessment, &operator),
        sts: sts(&survey.facts.sts),
        tlsrpt: match &survey.tlsrpt {
            super::Published::Found { .. } => Offer::Yes,
            super::Published::Broken { .. } | super::Published::Absent { .. } => Offer::No,
            super::Published::Failed(_) | super::Published::NotAsked => Offer::Unknown,
        },
        tls13: Offer::of(
            sessions().map(|session| Some(session.version == TlsVersion::V1_3)).chain(unseen()),
        ),
        post_quantum: Offer::of(
            sessions()
                .filter_map(|session| session.group.as_deref())
                .map(|group| Some(hybrid(group)))
                .chain(unseen()),
        ),
        ipv6: Offer::of(
            own()
                .filter(|host| !host.addresses.is_empty())
                .map(|host| Some(host.addresses.iter().any(|address| address.ip.is_ipv6()))),
        ),
        dnssec: Offer::of(own().map(|host| match &host.zone.signing {
            Signing::Signed { .. } => Some(true),
            Signing::Unsigned { .. } => Some(false),
            Signing::Failed(_) | Signing::NotAsked => None,
        })),
        require_tls: Offer::of(probes().map(require_tls).chain(unseen())),
        hygiene: Offer::of(probes().map(hygiene).chain(unseen())),
        others,
        operator,
    }
}

fn probes(host: &HostSurvey) -> impl Iterator<Item = &Probe> {
    host.addresses.iter().filter_map(|address| match &address.observed {
        Observed::Probed(probe) => Some(&**probe),
        Observed::Not(_) => None,
    })
}

fn sessions(host: &HostSurvey) -> impl Iterator<Item = &OfferedSession> {
    probes(host).flat_map(|probe| &probe.handshakes).filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    })
}

/// Records alone are no offer where a certificate was seen that does not match them.
fn dane(survey: &Survey, assessment: &Assessment, operator: &str) -> Offer {
    let parts = survey.facts.hosts.iter().filter_map(|facts| {
        let Peer::Name(name) = &facts.host else { return None };
        if name.operator() != operator {
            return None;
        }
        let assessed = assessment.hosts.iter().find(|host| host.host == *name);
        Some(match &facts.dane {
            Dane::Usable { .. } => match assessed.and_then(|host| host.level) {
                Some(Level::Dane) => Offer::Yes,
                Some(_) | None => {
                    let seen = assessed.is_some_and(|host| {
                        host.addresses.iter().any(|address| !address.keys.is_empty())
                    });
                    if seen { Offer::Partly } else { Offer::Yes }
                }
            },
            Dane::Unusable { .. } | Dane::Absent(_) => Offer::No,
            Dane::LookupFailed(_) => Offer::Unknown,
        })
    });
    Offer::throughout(parts)
}

fn hygiene(probe: &Probe) -> Option<bool> {
    let weak = probe.weak.as_ref()?;
    let (legacy, groups) = (probe.legacy.as_ref()?, weak.groups.as_ref()?);
    // As the findings have it: what one guideline calls good is not weak.
    Some(
        legacy.is_empty()
            && weak.suites.iter().all(|suite| allows_suite(suite))
            && groups.iter().all(|group| allows_group(group)),
    )
}

const fn sts(fact: &StsFact) -> Offer {
    match fact {
        StsFact::Policy { policy, .. } => match policy.mode {
            Mode::Enforce => Offer::Yes,
            Mode::Testing => Offer::Partly,
            Mode::None => Offer::No,
        },
        StsFact::Absent { .. } => Offer::No,
        StsFact::Unknown { .. } | StsFact::NotAsked => Offer::Unknown,
    }
}

fn require_tls(probe: &Probe) -> Option<bool> {
    let keywords = probe.keywords_in_tls.as_ref()?;
    Some(keywords.iter().any(|keyword| {
        let word = keyword.as_str().split(' ').next().unwrap_or_default();
        word.eq_ignore_ascii_case("REQUIRETLS")
    }))
}
