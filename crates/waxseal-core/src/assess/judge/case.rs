//! What the topics judge from, and where they put what they find.

use std::{fmt, net::IpAddr};

use super::{Against, level};
use crate::{
    assess::{
        AddressSurvey, Contact, Finding, HostSurvey, Id, KeyKind, Observed, Probe, Quoted,
        Severity, Survey,
    },
    channel::{Level, Refusal, Session},
    dane::{Match, Mismatch},
    decide::HostRoute,
    domain::Domain,
    facts::{Dane, HostFacts, MxFact, Peer},
    pki::Fault,
    sts::{Mode, Policy},
};

/// One survey with all that follows from it directly.
pub(super) struct Case<'a> {
    pub(super) survey: &'a Survey,
    pub(super) against: &'a Against<'a>,
    pub(super) hosts: Vec<Host<'a>>,
}

/// One mail host with what was seen there.
pub(super) struct Host<'a> {
    pub(super) facts: &'a HostFacts,
    pub(super) survey: Option<&'a HostSurvey>,
    /// What the gateway would demand there; or why it would not connect.
    pub(super) route: Result<HostRoute, level::Obstructed>,
    /// All sessions, address by address.
    pub(super) sights: Vec<Sight>,
}

/// One session at one address of a host.
pub(super) struct Sight {
    pub(super) ip: IpAddr,
    pub(super) key: KeyKind,
    pub(super) session: Session,
    /// Against the TLSA records of the host; `None` where it has none that can be used.
    pub(super) dane: Option<Result<Match, Mismatch>>,
    /// Against those of its TLSA records that name an issuer, by themselves: what is left of DANE
    /// when the key changes. `None` where it has none.
    pub(super) issuer: Option<Result<Match, Mismatch>>,
    /// Against public CAs and the name of the host (RFC 8461 §4.2).
    pub(super) pkix: Result<(), Fault>,
    /// What the gateway would make of it: a level, or why it would not deliver.
    pub(super) permitted: Option<Result<Level, Refusal>>,
}

/// Whether it makes sense to ask what protects the mail to a domain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TakesMail {
    /// The domain does not exist.
    NoDomain,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    /// It may take some, or that is not known.
    MayBe,
}

impl Case<'_> {
    pub(super) const fn domain(&self) -> &Domain {
        &self.survey.facts.destination
    }

    pub(super) const fn takes_mail(&self) -> TakesMail {
        match self.survey.facts.mx {
            MxFact::NoDomain { .. } => TakesMail::NoDomain,
            MxFact::Null { .. } => TakesMail::NullMx,
            MxFact::Found { .. }
            | MxFact::Implicit { .. }
            | MxFact::Configured
            | MxFact::Failed(_) => TakesMail::MayBe,
        }
    }

    /// The policy that senders go by.
    pub(super) fn policy(&self) -> Option<&Policy> {
        self.survey.policy.in_force(&self.survey.facts, self.against.now)
    }

    /// The policy, where it enforces.
    pub(super) fn enforced(&self) -> Option<&Policy> {
        self.policy().filter(|policy| policy.mode == Mode::Enforce)
    }

    /// Whether anything was reached over the address family of `ip`: where nothing was, the fault
    /// may be on our side.
    pub(super) fn family_works(&self, ip: IpAddr) -> bool {
        self.hosts.iter().flat_map(Host::probes).any(|(other, probe)| {
            other.is_ipv6() == ip.is_ipv6() && !matches!(probe.contact, Contact::Unreachable(_))
        })
    }
}

impl<'a> Host<'a> {
    /// Its name; `None` for an address from a `[[route]]`.
    pub(super) const fn name(&self) -> Option<&'a Domain> {
        match &self.facts.host {
            Peer::Name(name) => Some(name),
            Peer::Literal(_) => None,
        }
    }

    pub(super) fn addresses(&self) -> &'a [AddressSurvey] {
        self.survey.map(|survey| survey.addresses.as_slice()).unwrap_or_default()
    }

    pub(super) fn probes(&self) -> impl Iterator<Item = (IpAddr, &'a Probe)> + use<'a> {
        self.addresses().iter().filter_map(|address| match &address.observed {
            Observed::Probed(probe) => Some((address.ip, &**probe)),
            Observed::Not(_) => None,
        })
    }

    /// Whether it has TLSA records that can be used.
    pub(super) const fn has_dane(&self) -> bool {
        matches!(self.facts.dane, Dane::Usable { .. })
    }

    /// What to do about a certificate, in an order that breaks nothing: senders with DANE stop at a
    /// new key whose record they do not see yet (RFC 7671 §8.1).
    pub(super) fn keeping_dane(&self, fix: &str) -> String {
        match self.facts.dane {
            Dane::Usable { .. } => format!(
                "{fix}; keep the key, or publish the TLSA record of the new one first and wait for \
                 twice its TTL: senders with DANE go by it"
            ),
            Dane::Unusable { .. } | Dane::Absent(_) | Dane::LookupFailed(_) => fix.to_owned(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place::named(&self.facts.host)
    }

    pub(super) fn at(&self, ip: IpAddr) -> Place {
        self.place().at(ip)
    }

    pub(super) fn sight(&self, sight: &Sight) -> Place {
        self.at(sight.ip).with(sight.key)
    }
}

impl Sight {
    /// Whether a TLSA record matches.
    pub(super) const fn has_match(&self) -> bool {
        matches!(self.dane, Some(Ok(_)))
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    what: String,
    ip: Option<IpAddr>,
    key: Option<KeyKind>,
}

impl Place {
    pub(super) fn named(what: &impl fmt::Display) -> Self {
        Self { what: what.to_string(), ip: None, key: None }
    }

    pub(super) fn at(self, ip: IpAddr) -> Self {
        Self { ip: Some(ip), ..self }
    }

    pub(super) fn with(self, key: KeyKind) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// The words of a finding: what was seen, and what to do.
pub(super) struct Said {
    evidence: String,
    fix: String,
}

/// The words of a finding.
pub(super) fn said(evidence: impl Into<String>, fix: impl Into<String>) -> Said {
    Said { evidence: evidence.into(), fix: fix.into() }
}

/// What was found so far. The same thing at several addresses of a host is one finding.
#[derive(Default)]
pub(super) struct Findings(Vec<Found>);

struct Found {
    id: Id,
    severity: Severity,
    place: Place,
    ips: Vec<IpAddr>,
    evidence: String,
    fix: String,
}

/// Characters of a fix: it may hold a few records, each in one piece.
const MOST_FIX: usize = 8 * Quoted::MOST;

/// Addresses that are named in a subject before it says "and n more".
const NAMED: usize = 4;

impl Findings {
    /// Adds one. Its words are made harmless here, whatever they quote.
    pub(super) fn add(&mut self, id: Id, severity: Severity, place: Place, said: Said) {
        let evidence = String::from(Quoted::new(&said.evidence));
        let fix = String::from(Quoted::of_at_most(&said.fix, MOST_FIX));
        let same = self.0.iter_mut().find(|other| {
            other.id == id
                && other.severity == severity
                && other.place.what == place.what
                && other.place.key == place.key
                && other.place.ip.is_some() == place.ip.is_some()
                && other.evidence == evidence
                && other.fix == fix
        });
        match (same, place.ip) {
            (Some(same), Some(ip)) if !same.ips.contains(&ip) => same.ips.push(ip),
            (Some(_), _) => {}
            (None, ip) => {
                let ips = ip.into_iter().collect();
                self.0.push(Found { id, severity, place, ips, evidence, fix });
            }
        }
    }

    /// All of them, worst first; within a severity in the order of the kinds.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by(|one, other| {
            (other.severity, one.id, &one.place.what).cmp(&(
                one.severity,
                other.id,
                &other.place.what,
            ))
        });
        self.0.into_iter().map(Found::finding).collect()
    }
}

impl Found {
    fn finding(self) -> Finding {
        let mut subject = self.place.what;
        if !self.ips.is_empty() {
            let shown: Vec<_> = self.ips.iter().take(NAMED).map(ToString::to_string).collect();
            let more = self.ips.len().saturating_sub(NAMED);
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            subject.push_str(&format!(" [{}{tail}]", shown.join(", ")));
        }
        if let Some(key) = self.place.key {
            subject.push(' ');
            subject.push_str(key.as_str());
        }
        let Self { id, severity, evidence, fix, .. } = self;
        Finding { id, severity, subject, evidence, fix }
    }
}
