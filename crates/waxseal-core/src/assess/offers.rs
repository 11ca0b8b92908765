//! What a mail operator offers, seen through one of the domains that it serves: for comparing
//! providers before one is chosen. What could not be found out is never "no", and of a domain of
//! which a part is unknown nothing is said to be "everywhere".

use serde::{Deserialize, Serialize};

use super::{
    Assessment, Contact, HostSurvey, Observed, OfferedSession, Probe, Signing, StartTlsSeen,
    Survey, Tried, Unprobed,
};
use crate::{
    channel::{Level, TlsVersion},
    dns::Answer,
    facts::{Dane, HostFacts, Peer, StsFact},
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
    let own: Vec<Host<'_>> = survey
        .hosts
        .iter()
        .filter(|host| host.host.operator() == operator)
        .map(|seen| {
            let facts = survey.facts.hosts.iter();
            let is_it =
                |facts: &&HostFacts| matches!(&facts.host, Peer::Name(name) if *name == seen.host);
            Host { seen, facts: facts.into_iter().find(is_it) }
        })
        .collect();
    let looks = || own.iter().flat_map(Host::looks);
    Offers {
        dane: Offer::throughout(own.iter().map(|host| host.dane(assessment))),
        sts: sts(&survey.facts.sts),
        tlsrpt: match &survey.tlsrpt {
            super::Published::Found { .. } => Offer::Yes,
            super::Published::Broken { .. } | super::Published::Absent { .. } => Offer::No,
            super::Published::Failed(_) | super::Published::NotAsked => Offer::Unknown,
        },
        tls13: Offer::of(in_sessions(looks(), |one| Some(one.version == TlsVersion::V1_3))),
        post_quantum: Offer::of(in_sessions(looks(), hybrid)),
        ipv6: Offer::of(own.iter().filter_map(Host::ipv6)),
        dnssec: Offer::of(own.iter().map(|host| match &host.seen.zone.signing {
            Signing::Signed { .. } => Some(true),
            Signing::Unsigned { .. } => Some(false),
            Signing::Failed(_) | Signing::NotAsked => None,
        })),
        require_tls: Offer::of(looks().map(|probe| require_tls(probe?))),
        hygiene: Offer::of(looks().map(|probe| hygiene(probe?))),
        others,
        operator,
    }
}

/// One host of the operator.
struct Host<'a> {
    seen: &'a HostSurvey,
    facts: Option<&'a HostFacts>,
}

impl<'a> Host<'a> {
    /// Its addresses, as far as somebody meant to look at them; `None` where nothing came of it. Where
    /// there is none to look at, the host as a whole is one that was not seen, unless it has no address.
    fn looks(&self) -> Vec<Option<&'a Probe>> {
        let mut looks: Vec<_> =
            self.seen.addresses.iter().filter_map(|one| look(&one.observed)).collect();
        if looks.is_empty() && (!self.seen.addresses.is_empty() || self.is_open()) {
            looks.push(None);
        }
        looks
    }

    /// Whether its addresses could not be looked up.
    fn is_open(&self) -> bool {
        self.facts.is_some_and(|facts| matches!(facts.addresses, Answer::Failed(_)))
    }

    /// `None` for a host without any address: nobody can compare that.
    fn ipv6(&self) -> Option<Option<bool>> {
        if self.seen.addresses.iter().any(|address| address.ip.is_ipv6()) {
            Some(Some(true))
        } else if self.is_open() || self.seen.ipv6_unknown().is_some() {
            Some(None)
        } else {
            (!self.seen.addresses.is_empty()).then_some(Some(false))
        }
    }

    /// Records alone are no offer where a certificate was seen that does not match them, and where one
    /// should have been seen they are a promise. Who asks DNS alone goes by the records.
    fn dane(&self, assessment: &Assessment) -> Offer {
        match self.facts.map(|facts| &facts.dane) {
            Some(Dane::Usable { .. }) => {}
            Some(Dane::Unusable { .. } | Dane::Absent(_)) => return Offer::No,
            Some(Dane::LookupFailed(_)) | None => return Offer::Unknown,
        }
        let only_dns = |observed: &Observed| matches!(observed, Observed::Not(Unprobed::DnsOnly));
        if self.seen.addresses.iter().all(|address| only_dns(&address.observed)) {
            return Offer::Yes;
        }
        let assessed = assessment.hosts.iter().find(|host| host.host == self.seen.host);
        let level = assessed.and_then(|host| host.level);
        let looks = self.looks();
        let shows = |probe: &Probe| sessions(probe).next().is_some();
        let seen = |look: &Option<&Probe>| look.is_some_and(shows);
        let kept = |look: &Option<&Probe>| look.is_some_and(|one| shows(one) || without_tls(one));
        match (level == Some(Level::Dane), looks.iter().any(kept), looks.iter().all(seen)) {
            (true, _, true) => Offer::Yes,
            (false, true, _) => Offer::Partly,
            (true, _, false) | (false, false, _) => Offer::Unknown,
        }
    }
}

/// What was seen at an address; nothing where nobody meant to look there.
fn look(observed: &Observed) -> Option<Option<&Probe>> {
    match observed {
        Observed::Probed(probe) => Some(Some(probe)),
        Observed::Not(Unprobed::NoTurn | Unprobed::OutOfTime | Unprobed::TooSlow) => Some(None),
        Observed::Not(
            Unprobed::DnsOnly | Unprobed::Refused(_) | Unprobed::NoFamily | Unprobed::OverLimit,
        ) => None,
    }
}

fn sessions(probe: &Probe) -> impl Iterator<Item = &OfferedSession> {
    probe.handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    })
}

/// Whether it was seen that there is no TLS at an address.
const fn without_tls(probe: &Probe) -> bool {
    matches!(probe.contact, Contact::Spoke { starttls: StartTlsSeen::NotOffered, .. })
}

/// What each session shows. Without STARTTLS there is none to have, and nothing that hangs on one is
/// offered; an address that nothing was negotiated with for another reason may do anything.
fn in_sessions<'a>(
    looks: impl Iterator<Item = Option<&'a Probe>>,
    shows: impl Fn(&OfferedSession) -> Option<bool>,
) -> impl Iterator<Item = Option<bool>> {
    looks.flat_map(move |probe| {
        let all: Vec<_> = probe.into_iter().flat_map(sessions).map(&shows).collect();
        match probe {
            Some(probe) if without_tls(probe) => vec![Some(false)],
            Some(_) | None if all.is_empty() => vec![None],
            Some(_) | None => all,
        }
    })
}

/// Whether its key exchange is one that a quantum computer does not break: hybrids are defined for TLS
/// 1.3 alone.
fn hybrid(session: &OfferedSession) -> Option<bool> {
    match (&session.group, session.version) {
        (Some(group), _) => Some(group.to_ascii_uppercase().contains("MLKEM")),
        (None, TlsVersion::V1_3) => None,
        (None, _) => Some(false),
    }
}

/// Mail in the clear is no better than old TLS.
fn hygiene(probe: &Probe) -> Option<bool> {
    if without_tls(probe) {
        return Some(false);
    }
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

/// It counts only under TLS (RFC 8689 §2).
fn require_tls(probe: &Probe) -> Option<bool> {
    if without_tls(probe) {
        return Some(false);
    }
    let keywords = probe.keywords_in_tls.as_ref()?;
    Some(keywords.iter().any(|keyword| {
        let word = keyword.as_str().split(' ').next().unwrap_or_default();
        word.eq_ignore_ascii_case("REQUIRETLS")
    }))
}
