//! What is told about one domain: the survey is dropped, so that thousands fit into memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use waxseal_core::{
    assess::{
        Assessment, Delivery, Id, Observed, Offer, Offers, Published, Severity, Survey, offers,
        profile::{ProfileVerdict, Status},
    },
    facts::{Known, StsFact, StsFailure},
    sts::{Mode, MxPattern},
    time::UnixTime,
    tlsrpt::{self, ReportTo},
};

use super::super::Exit;
use crate::survey::{Depth, probe::is_from_delivery};

/// A report that is older is not taken for what would be found now: certificates, signatures and
/// policies change within a week.
const OLDEST_REPORT: Duration = Duration::from_secs(7 * 86_400);

/// One line of work and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// As it was given.
    pub(super) input: String,
    /// What came of it.
    pub(super) outcome: Outcome,
}

/// What came of one line of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It was assessed.
    Assessed(Box<Assessed>),
    /// It is no domain name; why.
    NoDomain(String),
}

/// An assessed domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Assessed {
    /// How much was asked.
    pub(super) depth: Depth,
    /// Whether of a mail host only what a delivery of ours saw was used: nobody asked there for
    /// REQUIRETLS, old versions, weak suites or groups.
    #[serde(default)]
    pub(super) by_delivery: bool,
    /// Level, findings, hosts.
    pub(super) assessment: Assessment,
    /// What its operator offers.
    pub(super) offers: Offers,
    /// Its MTA-STS policy.
    pub(super) sts: StsTold,
    /// Where reports go.
    pub(super) tlsrpt: ReportsTold,
    /// What each profile asked that judged it, as digests.
    pub(super) judged_by: Vec<String>,
    /// What the profiles that were asked for say.
    #[serde(default)]
    pub(super) profiles: Vec<ProfileVerdict>,
    /// The result in the shape of Internet.nl's, where that was asked for.
    #[serde(default)]
    pub(super) internet_nl: Option<Value>,
    /// Where this gateway sends mail for it instead, in a sentence.
    #[serde(default)]
    pub(super) elsewhere: Option<String>,
}

/// Whether domains are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Yes,
    No,
}

/// MTA-STS, as reports tell it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StsTold {
    /// `enforce`, `testing`, `none`, `absent`, `unknown`.
    pub(super) state: String,
    /// `id` of the record.
    pub(super) id: Option<String>,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    /// Patterns.
    pub(super) mx: Vec<String>,
    /// How we came by it, or why not.
    pub(super) note: Option<String>,
}

/// TLSRPT, as reports tell it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReportsTold {
    /// `published`, `broken`, `absent`, `unknown`.
    pub(super) state: String,
    /// Where reports go.
    pub(super) rua: Vec<String>,
    /// What is wrong.
    pub(super) note: Option<String>,
}

impl Report {
    /// What the process exits with for it (DESIGN §9).
    pub(super) fn exit(&self) -> Exit {
        match &self.outcome {
            Outcome::Assessed(one) if self.unresolved().is_none() => one.exit(),
            Outcome::Assessed(_) | Outcome::NoDomain(_) => Exit::Unknown,
        }
    }

    /// Why nothing is known of whatever was meant: the name leads nowhere, or nobody answers for
    /// it.
    pub(super) fn unresolved(&self) -> Option<&str> {
        let one = match &self.outcome {
            Outcome::NoDomain(why) => return Some(why),
            Outcome::Assessed(one) => one,
        };
        let Assessment { delivery, hosts, findings, headline, .. } = &one.assessment;
        if let Some(missing) = findings.iter().find(|one| one.id == Id::DomainMissing) {
            return Some(&missing.evidence);
        }
        (*delivery == Delivery::Unknown && hosts.is_empty()).then_some(headline)
    }

    /// Whether it was judged by exactly what these profiles ask now.
    pub(super) fn is_judged_by(&self, digests: &[String]) -> bool {
        match &self.outcome {
            Outcome::NoDomain(_) => true,
            Outcome::Assessed(one) => one.judged_by == digests,
        }
    }

    /// Whether it counts as done at this time. What could not be found out may be found out now, and
    /// what was found out does not hold for ever.
    pub(super) fn is_settled(&self, now: UnixTime) -> bool {
        match &self.outcome {
            Outcome::NoDomain(_) => true,
            Outcome::Assessed(one) => {
                let age = now.since(one.assessment.checked_at);
                // What only the hosts could show stays unknown however often DNS is asked.
                let unknown = match one.depth {
                    Depth::Full => self.exit() == Exit::Unknown,
                    Depth::DnsOnly => self.unresolved().is_some() || one.has(Severity::Unknown),
                };
                !unknown && age <= OLDEST_REPORT
            }
        }
    }

    /// Whether as much was asked.
    pub(super) fn is_as_deep(&self, depth: Depth) -> bool {
        match &self.outcome {
            Outcome::NoDomain(_) => true,
            Outcome::Assessed(one) => one.depth == depth,
        }
    }

    /// Whether it leaves open what a probe asks and a delivery does not: in a comparison, in the shape of
    /// Internet.nl's, or in a profile that was asked for.
    pub(super) fn lacks_a_probe(&self, compared: Compare) -> bool {
        let Outcome::Assessed(one) = &self.outcome else { return false };
        let Offers { require_tls, hygiene, .. } = &one.offers;
        let unseen = compared == Compare::Yes && [require_tls, hygiene].contains(&&Offer::Unknown);
        let mut asked = one.profiles.iter().flat_map(|verdict| &verdict.requirements);
        let open = asked.any(|asked| asked.status == Status::Unknown);
        one.by_delivery && (unseen || open || one.internet_nl.is_some())
    }

    /// What a good level does not say: that others cannot deliver. `None` where there is no error, or where
    /// the headline says that no mail arrives.
    pub(super) fn told_errors(&self) -> Option<String> {
        let Outcome::Assessed(one) = &self.outcome else { return None };
        let words = match (one.assessment.delivery, self.errors()) {
            (Delivery::Refuses | Delivery::TakesNoMail | Delivery::Unknown, _) | (_, 0) => {
                return None;
            }
            (Delivery::Delivers, 1) => {
                "1 error below: mail fails for some senders, or can be read".to_owned()
            }
            (Delivery::Delivers, more) => {
                format!("{more} errors below: mail fails for some senders, or can be read")
            }
        };
        Some(words)
    }

    /// How many findings are errors.
    pub(super) fn errors(&self) -> usize {
        match &self.outcome {
            Outcome::NoDomain(_) => 0,
            Outcome::Assessed(one) => {
                let findings = one.assessment.findings.iter();
                findings.filter(|finding| finding.severity == Severity::Error).count()
            }
        }
    }
}

impl Assessed {
    pub(super) fn of(survey: &Survey, assessment: Assessment, depth: Depth) -> Self {
        let offers = offers(survey, &assessment);
        let (sts, tlsrpt) = (StsTold::of(survey), ReportsTold::of(&survey.tlsrpt));
        let addresses = survey.hosts.iter().flat_map(|host| &host.addresses);
        let by_delivery =
            addresses.map(|address| &address.observed).any(|observed| match observed {
                Observed::Probed(probe) => is_from_delivery(probe),
                Observed::Not(_) => false,
            });
        Self {
            depth,
            by_delivery,
            assessment,
            offers,
            sts,
            tlsrpt,
            judged_by: Vec::new(),
            profiles: Vec::new(),
            internet_nl: None,
            elsewhere: None,
        }
    }

    fn has(&self, severity: Severity) -> bool {
        self.assessment.findings.iter().any(|finding| finding.severity == severity)
    }

    fn exit(&self) -> Exit {
        let judged = |status| self.profiles.iter().any(|verdict| verdict.status == status);
        // Whoever asks for DNS alone does not ask what the hosts do.
        let undecided = self.depth == Depth::Full && self.assessment.delivery == Delivery::Unknown;
        // As with an input that is no domain: nothing is known of whatever was meant.
        if self.assessment.findings.iter().any(|finding| finding.id == Id::DomainMissing) {
            Exit::Unknown
        } else if self.has(Severity::Error) || judged(Status::NotMet) {
            Exit::Negative
        } else if self.has(Severity::Unknown) || judged(Status::Unknown) || undecided {
            Exit::Unknown
        } else {
            Exit::Ok
        }
    }
}

impl StsTold {
    pub(super) fn of(survey: &Survey) -> Self {
        let mut told =
            Self { state: String::new(), id: None, max_age: None, mx: Vec::new(), note: None };
        match &survey.facts.sts {
            StsFact::Policy { policy, known, id, refresh_failed, .. } => {
                mode(policy.mode).clone_into(&mut told.state);
                told.id.clone_from(id);
                told.max_age = Some(policy.max_age.as_secs());
                told.mx = policy.mx.iter().map(pattern).collect();
                told.note = refresh_failed.as_ref().map(reason).or(match known {
                    Known::FirstFetch => None,
                    Known::Cached => Some("known from before".to_owned()),
                    Known::Preloaded => Some("from the preload file".to_owned()),
                });
            }
            StsFact::Absent { .. } => {
                "absent".clone_into(&mut told.state);
                if let Published::Broken { why, .. } = &survey.policy.record {
                    told.note = Some(format!("there is a record that nobody can use: {why}"));
                }
            }
            StsFact::Unknown { failure, .. } => {
                "unknown".clone_into(&mut told.state);
                told.note = Some(reason(failure));
            }
            StsFact::NotAsked => {
                "unknown".clone_into(&mut told.state);
                told.note = Some("a route of the configuration decides".to_owned());
            }
        }
        told
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Testing => "testing",
        Mode::None => "none",
    }
}

fn pattern(pattern: &MxPattern) -> String {
    match pattern {
        MxPattern::Host(host) => host.to_string(),
        MxPattern::OneBelow(domain) => format!("*.{domain}"),
    }
}

fn reason(failure: &StsFailure) -> String {
    match failure {
        StsFailure::Record(failure) => failure.to_string(),
        StsFailure::Fetch(why)
        | StsFailure::Unreached(why)
        | StsFailure::Certificate(why)
        | StsFailure::Invalid(why) => why.clone(),
    }
}

impl ReportsTold {
    pub(super) fn of(published: &Published<tlsrpt::Record>) -> Self {
        let told = |state: &str, note| Self { state: state.to_owned(), rua: Vec::new(), note };
        match published {
            Published::Found { value, .. } => {
                let uri = |to: &ReportTo| match to {
                    ReportTo::Mailto { address, .. } => format!("mailto:{address}"),
                    ReportTo::Https { uri, .. } => uri.to_string(),
                };
                Self { rua: value.rua.iter().map(uri).collect(), ..told("published", None) }
            }
            Published::Broken { why, .. } => told("broken", Some(why.clone())),
            Published::Absent { .. } => told("absent", None),
            Published::Failed(failure) => told("unknown", Some(failure.to_string())),
            Published::NotAsked => told("unknown", None),
        }
    }
}
