//! What predicates look at: facts and findings of one domain.
//!
//! Where something was not seen, nothing follows from that: `unknown`, never met and never not met.

mod addresses;
mod dnssec;
mod records;
mod sts;
mod tls;

pub(super) use self::{
    dnssec::Dnssec,
    tls::{Old, Part},
};
use super::Status;
use crate::{
    assess::{
        Assessment, Contact, Delivery, Finding, HostSurvey, Id, Observed, Probe, Severity, Survey,
        Unprobed,
    },
    channel::Level,
    facts::MxFact,
};

/// Status and evidence.
pub(super) type Said = (Status, String);

/// One domain as predicates see it.
pub(super) struct View<'a> {
    pub(super) survey: &'a Survey,
    pub(super) assessment: &'a Assessment,
}

fn met(evidence: impl Into<String>) -> Said {
    (Status::Met, evidence.into())
}

fn not_met(evidence: impl Into<String>) -> Said {
    (Status::NotMet, evidence.into())
}

fn unknown(evidence: impl Into<String>) -> Said {
    (Status::Unknown, evidence.into())
}

/// Only MX records that are no host names: there is nothing of which anything could hold.
fn no_host() -> Said {
    not_met("it names no host that can be used")
}

impl View<'_> {
    /// Findings of these kinds, as evidence; without those that say that something is not known.
    fn found(&self, ids: &[Id]) -> Option<String> {
        self.such(|finding| ids.contains(&finding.id) && finding.severity != Severity::Unknown)
    }

    fn such(&self, counts: impl Fn(&&Finding) -> bool) -> Option<String> {
        let found: Vec<_> = self
            .assessment
            .findings
            .iter()
            .filter(counts)
            .map(|finding| format!("{}: {}", finding.subject, finding.evidence))
            .take(3)
            .collect();
        (!found.is_empty()).then(|| found.join("; "))
    }

    pub(super) fn none_of(&self, ids: &[Id]) -> Said {
        match (self.found(ids), self.such(|finding| ids.contains(&finding.id))) {
            (Some(found), _) => not_met(found),
            (None, Some(open)) => unknown(open),
            (None, None) => met("nothing of that kind was found"),
        }
    }

    fn probes(&self) -> impl Iterator<Item = (&HostSurvey, &Probe)> {
        self.survey.hosts.iter().flat_map(|host| {
            host.addresses.iter().filter_map(move |address| match &address.observed {
                Observed::Probed(probe) => Some((host, &**probe)),
                Observed::Not(_) => None,
            })
        })
    }

    /// An address of which nothing was seen, though it could have been: why nothing follows for its
    /// host.
    fn unseen(&self) -> Option<String> {
        if self.survey.hosts.is_empty() {
            return Some("no mail host was looked at".into());
        }
        self.survey.hosts.iter().find_map(|host| {
            let silent = host.addresses.iter().find(|address| !is_told(&address.observed));
            match silent {
                Some(address) => {
                    Some(format!("nothing was seen of {} at {}", host.host, address.ip))
                }
                None if host.addresses.iter().any(|address| spoke(&address.observed)) => None,
                None => Some(format!("nothing was seen of {}", host.host)),
            }
        })
    }

    /// Where nothing was seen of a host, nothing follows; a fault that was seen counts all the same.
    pub(super) fn seen(&self, judge: impl FnOnce() -> Said) -> Said {
        let judged = judge();
        match (judged.0, self.unseen()) {
            (Status::Met, Some(why)) => unknown(why),
            _ => judged,
        }
    }

    pub(super) fn takes_mail(&self) -> Said {
        let facts = &self.survey.facts;
        match &facts.mx {
            MxFact::Found { .. } | MxFact::Implicit { .. } | MxFact::Configured
                if !facts.hosts.is_empty() =>
            {
                met(format!("{} mail hosts", facts.hosts.len()))
            }
            MxFact::Failed(failure) => unknown(failure.to_string()),
            MxFact::Found { .. }
            | MxFact::Implicit { .. }
            | MxFact::Configured
            | MxFact::Null { .. }
            | MxFact::NoDomain { .. } => not_met("no mail host"),
        }
    }

    pub(super) fn level(&self, enough: impl Fn(Level) -> bool) -> Said {
        let headline = self.assessment.headline.clone();
        match (self.assessment.delivery, self.assessment.level) {
            // What it publishes and what its hosts do contradict each other: that was seen.
            (Delivery::Refuses, _) => not_met(headline),
            (Delivery::Unknown, _) | (_, None) => unknown(headline),
            (_, Some(level)) if enough(level) => met(format!("{level}: {headline}")),
            (_, Some(level)) => not_met(format!("{level}: {headline}")),
        }
    }
}

/// Whether it answered, and talked.
fn spoke(observed: &Observed) -> bool {
    matches!(observed, Observed::Probed(probe) if matches!(probe.contact, Contact::Spoke { .. }))
}

/// Whether it spoke, or nobody could expect us to have heard it: an address that is no address of
/// the Internet, one of a family that this machine has no way to, one more than we ask.
fn is_told(observed: &Observed) -> bool {
    match observed {
        Observed::Probed(_) => spoke(observed),
        Observed::Not(Unprobed::Refused(_) | Unprobed::NoFamily | Unprobed::OverLimit) => true,
        Observed::Not(
            Unprobed::DnsOnly | Unprobed::NoTurn | Unprobed::OutOfTime | Unprobed::TooSlow,
        ) => false,
    }
}

/// The first that is not met, then the first that is unknown.
fn worst(judged: impl Iterator<Item = Said>) -> Option<Said> {
    judged.min_by_key(|(status, _)| match status {
        Status::NotMet => 0,
        Status::Unknown => 1,
        Status::Met | Status::NotApplicable | Status::ByHand => 2,
    })
}
