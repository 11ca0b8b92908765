//! What predicates look at: facts and findings of one domain.
//!
//! Where something was not seen, nothing follows from that: `unknown`, never met and never not met.

mod addresses;

use super::Status;
use crate::{
    assess::{
        Assessment, Contact, Delivery, Dmarc, Finding, HostSurvey, Id, Observed, OfferedSession,
        Probe, Published, Severity, Signing, SpfAll, StartTlsSeen, Survey, Tried, Unprobed,
        mail::restricts_issuance,
    },
    channel::{Level, TlsVersion},
    dns::{Absence, Answer, Authenticity, Denial, FailureKind},
    facts::{Dane, MxFact, StsFailure},
    guideline::{Grade, Guideline},
    pki::Certificate,
    sts::Mode,
    witness::{Missing, Weighed, weigh_of},
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

    pub(super) fn domain_signed(&self, asked: Dnssec) -> Said {
        asked.of(&self.survey.zone.signing)
    }

    pub(super) fn dnssec_strong(&self) -> Said {
        let zones = || {
            let hosts = self.survey.hosts.iter().map(|host| &host.zone);
            std::iter::once(&self.survey.zone).chain(hosts).map(|zone| signed(&zone.signing))
        };
        match (self.none_of(&[Id::ZoneWeakAlgorithm]), first_unknown(zones())) {
            ((Status::Met, _), Some(why)) => unknown(why),
            ((Status::Met, _), None) if zones().all(|(status, _)| status != Status::Met) => {
                (Status::NotApplicable, "no zone is signed".into())
            }
            (judged, _) => judged,
        }
    }

    pub(super) fn names_and_addresses_signed(&self) -> Said {
        let facts = &self.survey.facts;
        if matches!(facts.mx, MxFact::Configured) {
            return unknown("a route of the configuration names the host; DNS was not asked");
        }
        let secure = matches!(
            facts.mx,
            MxFact::Found { authenticity: Authenticity::Secure, .. }
                | MxFact::Implicit { absence: Absence::Secure, .. }
        );
        if !secure {
            return not_met("the MX records are not signed");
        }
        if facts.hosts.is_empty() {
            return no_host();
        }
        match facts.hosts.iter().find(|host| !host.addresses.is_secure()) {
            None => met("MX records and all addresses are signed"),
            Some(host) => match &host.addresses {
                Answer::Failed(failure) => unknown(failure.to_string()),
                Answer::Found { .. } | Answer::Absent { .. } => {
                    not_met(format!("the addresses of {} are not signed", host.host))
                }
            },
        }
    }

    /// Where nothing was seen of a host, nothing follows; a fault that was seen counts all the same.
    pub(super) fn seen(&self, judge: impl FnOnce() -> Said) -> Said {
        let judged = judge();
        match (judged.0, self.unseen()) {
            (Status::Met, Some(why)) => unknown(why),
            _ => judged,
        }
    }

    pub(super) fn all_signed(&self, asked: Dnssec) -> Said {
        let judged = self.survey.hosts.iter().map(|host| {
            let (status, evidence) = asked.of(&host.zone.signing);
            (status, format!("{}: {evidence}", host.host))
        });
        worst(judged).unwrap_or_else(|| unknown("no mail host was looked at"))
    }

    pub(super) fn tlsa(&self) -> Said {
        if self.survey.facts.hosts.is_empty() {
            return no_host();
        }
        for host in &self.survey.facts.hosts {
            match &host.dane {
                Dane::Usable { .. } => {}
                Dane::LookupFailed(failure) => return unknown(failure.to_string()),
                Dane::Absent(_) => return not_met(format!("{} has no TLSA record", host.host)),
                Dane::Unusable { .. } => {
                    return not_met(format!("no TLSA record of {} can be used", host.host));
                }
            }
        }
        met("each mail host has usable TLSA records")
    }

    pub(super) fn extended_master_secret(&self) -> Said {
        let judged = self.seen(|| self.none_of(&[Id::TlsNoEms]));
        let (mut has, mut unasked) = (false, None);
        for (host, probe) in self.probes() {
            if !is_ready(probe) {
                continue;
            }
            let weak = probe.weak.as_ref();
            has |= weak.is_some_and(|weak| weak.extended_master_secret == Some(true));
            // Without TLS 1.2 there is nothing to extend.
            if weak.is_none_or(|weak| {
                weak.extended_master_secret.is_none() && weak.tls12 != Some(false)
            }) {
                unasked = Some(format!("it was not seen at {}", host.host));
            }
        }
        match (judged.0, unasked) {
            (Status::Met, Some(why)) => unknown(why),
            (Status::Met, None) if !has => {
                (Status::NotApplicable, "no mail host speaks TLS 1.2".into())
            }
            _ => judged,
        }
    }

    /// The chain and its dates; the name has a requirement of its own.
    pub(super) fn certificates_trusted(&self) -> Said {
        if let Some(found) = self.found(&[Id::CertUntrusted]) {
            return not_met(found);
        }
        let now = self.survey.facts.at;
        for (host, probe) in self.probes() {
            for (_, certificate) in certificates(sessions_of(probe)) {
                if let Err(fault) = certificate.in_time(now) {
                    return not_met(format!("{}: {fault}", host.host));
                }
            }
        }
        met("each certificate leads to a public CA")
    }

    pub(super) fn tlsa_matches(&self) -> Said {
        match self.tlsa() {
            (Status::Met, _) => {
                self.none_of(&[Id::TlsaNomatch, Id::TlsaOneAlgOnly, Id::TlsaAddrDiverges])
            }
            other => other,
        }
    }

    pub(super) fn tlsa_rollover(&self) -> Said {
        match self.tlsa() {
            (Status::Met, _) => self.sessions(|| self.none_of(&[Id::TlsaNoNext])),
            other => other,
        }
    }

    /// As [`Self::seen`], and with a session wherever a host spoke.
    pub(super) fn sessions(&self, judge: impl FnOnce() -> Said) -> Said {
        let judged = self.seen(judge);
        match (judged.0, self.without_session()) {
            (Status::Met, Some(bare)) => bare,
            _ => judged,
        }
    }

    /// An address that spoke, and had no TLS session with us.
    fn without_session(&self) -> Option<Said> {
        self.survey.hosts.iter().find_map(|host| {
            host.addresses.iter().find_map(|address| {
                let Observed::Probed(probe) = &address.observed else { return None };
                if !spoke(&address.observed) || sessions_of(probe).next().is_some() {
                    return None;
                }
                let why = format!("no TLS session with {} at {}", host.host, address.ip);
                Some(if is_ready(probe) { unknown(why) } else { not_met(why) })
            })
        })
    }

    /// Whether what should not be taken was tried at all.
    pub(super) fn tried(&self, part: Old, judge: impl FnOnce() -> Said) -> Said {
        let judged = self.seen(judge);
        let untried = self.probes().find(|(_, probe)| {
            let weak = probe.weak.as_ref();
            let tried = match part {
                Old::Versions => probe.legacy.is_some(),
                Old::Suites => weak.is_some(),
                Old::Groups => weak.is_some_and(|weak| weak.groups.is_some()),
            };
            is_ready(probe) && !tried
        });
        match (judged.0, untried) {
            (Status::Met, Some((host, _))) => {
                unknown(format!("old parameters were not tried at {}", host.host))
            }
            _ => judged,
        }
    }

    /// Of a host without any session nothing follows; [`Self::sessions`] says what is known of it.
    pub(super) fn tls13(&self) -> Said {
        let without = self.probes().find(|(_, probe)| {
            let mut sessions = sessions_of(probe).peekable();
            sessions.peek().is_some() && sessions.all(|session| session.version != TlsVersion::V1_3)
        });
        match without {
            Some((host, _)) => not_met(format!("{} does not speak TLS 1.3", host.host)),
            None => met("each mail host speaks TLS 1.3"),
        }
    }

    /// Nothing that is worse than a grade of a guideline.
    pub(super) fn parameters(&self, least: (&Guideline, Grade), part: Part) -> Said {
        let judge = || {
            for (host, probe) in self.probes() {
                if let Some(bad) = part.below(least, probe) {
                    return not_met(format!("{}: {bad}", host.host));
                }
            }
            met("all that was seen is on the list")
        };
        match part {
            // Only what was tried can show that the host takes worse.
            Part::Suite => self.tried(Old::Suites, || self.sessions(judge)),
            Part::Group => self.tried(Old::Groups, || self.sessions(judge)),
            Part::Key | Part::Hash => self.sessions(judge),
        }
    }

    pub(super) fn sts_consistent(&self) -> Said {
        match self.policy(|mode| mode != Mode::None) {
            (Status::Met, _) => self.sessions(|| {
                self.none_of(&[Id::StsMxMismatch, Id::StsCertVsMx, Id::StsDaneConflict])
            }),
            other => other,
        }
    }

    pub(super) fn sts_without_wildcard(&self) -> Said {
        match self.policy(|mode| mode != Mode::None) {
            (Status::Met, _) => self.none_of(&[Id::StsWildcard]),
            other => other,
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

    pub(super) fn policy(&self, enough: impl Fn(Mode) -> bool) -> Said {
        match (&self.survey.policy.served, &self.survey.policy.record) {
            (Some(Ok(policy)), Published::Found { .. }) if enough(policy.mode) => {
                met(format!("mode: {}", policy.mode))
            }
            (Some(Ok(policy)), Published::Found { .. }) => {
                not_met(format!("mode: {}", policy.mode))
            }
            (_, Published::Absent { .. }) => {
                match weigh_of(&self.survey.facts.witnesses, Missing::StsRecord) {
                    Weighed::Contradicted => unknown("others see the record, and we do not"),
                    Weighed::Agreed | Weighed::Unconfirmed => not_met("no _mta-sts record"),
                }
            }
            (_, Published::Broken { why, .. }) => not_met(why.clone()),
            (_, Published::Failed(failure)) => unknown(failure.to_string()),
            (Some(Err(StsFailure::Unreached(why))), Published::Found { .. }) => {
                unknown(why.clone())
            }
            (Some(Err(StsFailure::Record(failure))), Published::Found { .. }) => {
                unknown(failure.to_string())
            }
            (
                Some(Err(
                    StsFailure::Fetch(why)
                    | StsFailure::Certificate(why)
                    | StsFailure::Invalid(why),
                )),
                Published::Found { .. },
            ) => not_met(why.clone()),
            (_, Published::Found { .. } | Published::NotAsked) => {
                unknown("the policy was not fetched")
            }
        }
    }

    pub(super) fn tlsrpt(&self) -> Said {
        published(&self.survey.tlsrpt, |_| met("TLS reports are asked for"))
    }

    pub(super) fn spf(&self, enough: impl Fn(SpfAll) -> bool) -> Said {
        published(&self.survey.mail.spf, |spf| {
            let judged = self.none_of(&[Id::SpfBroken]);
            if judged.0 == Status::Met && !spf.unknown.is_empty() {
                return unknown(spf.unknown.join("; "));
            }
            // A last word that nobody comes to is none.
            let all = if spf.open.is_empty() { spf.all } else { SpfAll::Pass };
            if enough(all) {
                judged
            } else if !spf.open.is_empty() {
                not_met(format!("nearly everybody passes: {}", spf.open.join("; ")))
            } else if spf.all == SpfAll::Unknown {
                unknown("its last word depends on each message")
            } else {
                not_met(format!("its last word is {:?}", spf.all))
            }
        })
    }

    pub(super) fn dmarc(&self, enough: impl Fn(&Dmarc) -> bool) -> Said {
        published(&self.survey.mail.dmarc, |dmarc| {
            let seen = format!("at {}: {:?}, testing {}", dmarc.at, dmarc.policy, dmarc.testing);
            if enough(dmarc) { met(seen) } else { not_met(seen) }
        })
    }

    pub(super) fn dkim(&self) -> Said {
        let keys = &self.survey.mail.dkim;
        let failed = keys.iter().find_map(|(_, key)| match key {
            Published::Failed(failure) => Some(failure.to_string()),
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::NotAsked => None,
        });
        match (self.none_of(&[Id::DkimKey, Id::DkimOtherKey]), failed) {
            _ if keys.is_empty() => unknown("no selector was given"),
            ((Status::Met, _), Some(why)) => unknown(why),
            (judged, _) => judged,
        }
    }

    /// Whether there is something at `_domainkey`, or below it.
    pub(super) fn domainkey(&self) -> Said {
        if self.survey.mail.sends_nothing() {
            return (Status::NotApplicable, "nothing is sent from the domain".into());
        }
        match &self.survey.mail.domainkey {
            Published::Found { .. } | Published::Broken { .. } => met("_domainkey has records"),
            Published::Absent { denial: Denial::NoData, .. } => met("_domainkey is there"),
            Published::Absent { denial: Denial::NxDomain, .. } => not_met("there is no _domainkey"),
            Published::Failed(failure) => unknown(failure.to_string()),
            Published::NotAsked => unknown("not looked at"),
        }
    }

    /// CAA counts for the name in the certificate, which is that of the mail host (RFC 8659 §3).
    pub(super) fn caa(&self) -> Said {
        let judged = self.survey.hosts.iter().map(|host| {
            let (status, evidence) = published(&host.caa, |caa| match restricts_issuance(caa) {
                true => met("CAA says who may issue"),
                false => not_met("CAA does not say who may issue"),
            });
            (status, format!("{}: {evidence}", host.host))
        });
        worst(judged).unwrap_or_else(|| unknown("no mail host was looked at"))
    }
}

/// Whether it let us begin with TLS.
const fn is_ready(probe: &Probe) -> bool {
    matches!(probe.contact, Contact::Spoke { starttls: StartTlsSeen::Ready, .. })
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

fn signed(signing: &Signing) -> Said {
    match signing {
        Signing::Signed { .. } => met("signed"),
        Signing::Unsigned { because } => not_met(because.clone()),
        Signing::Failed(failure) if failure.kind == FailureKind::Bogus => {
            not_met(failure.to_string())
        }
        Signing::Failed(failure) => unknown(failure.to_string()),
        Signing::NotAsked => unknown("not looked at"),
    }
}

/// Why one of them is not known, where one is not.
fn first_unknown(mut judged: impl Iterator<Item = Said>) -> Option<String> {
    judged.find(|(status, _)| *status == Status::Unknown).map(|(_, why)| why)
}

/// The first that is not met, then the first that is unknown.
fn worst(judged: impl Iterator<Item = Said>) -> Option<Said> {
    judged.min_by_key(|(status, _)| match status {
        Status::NotMet => 0,
        Status::Unknown => 1,
        Status::Met | Status::NotApplicable | Status::ByHand => 2,
    })
}

fn published<T>(record: &Published<T>, judge: impl FnOnce(&T) -> Said) -> Said {
    match record {
        Published::Found { value, .. } => judge(value),
        Published::Broken { why, .. } => not_met(why.clone()),
        Published::Absent { .. } => not_met("no record"),
        Published::Failed(failure) => unknown(failure.to_string()),
        Published::NotAsked => unknown("not looked at"),
    }
}

/// What is asked of DNSSEC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dnssec {
    IsThere,
    Holds,
    HoldsWhereItIs,
}

impl Dnssec {
    fn of(self, signing: &Signing) -> Said {
        match (self, signing) {
            (Self::IsThere, Signing::Failed(failure)) if failure.kind == FailureKind::Bogus => {
                met(failure.to_string())
            }
            (Self::HoldsWhereItIs, Signing::Unsigned { because }) => {
                (Status::NotApplicable, because.clone())
            }
            (Self::IsThere | Self::Holds | Self::HoldsWhereItIs, _) => signed(signing),
        }
    }
}

/// What should not be taken any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    Versions,
    Suites,
    Groups,
}

/// A part of a session that a guideline grades.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Suite,
    Group,
    Key,
    Hash,
}

impl Part {
    /// The first thing that is worse than a grade.
    fn below(self, (guideline, least): (&Guideline, Grade), probe: &Probe) -> Option<String> {
        let sessions = || sessions_of(probe);
        let bad =
            |grade: Grade, what: String| (grade > least).then(|| format!("{what} is {grade}"));
        let weak = probe.weak.as_ref();
        match self {
            Self::Suite => sessions()
                .map(|session| &session.suite)
                .chain(weak.into_iter().flat_map(|weak| &weak.suites))
                .find_map(|suite| bad(guideline.suite(suite), suite.clone())),
            Self::Group => sessions()
                .filter_map(|session| session.group.as_ref())
                .chain(weak.into_iter().flat_map(|weak| weak.groups.iter().flatten()))
                .find_map(|group| bad(guideline.group(group), group.clone())),
            Self::Key => certificates(sessions()).find_map(|(_, certificate)| {
                let key = certificate.public_key().ok()?;
                bad(guideline.key(&key), key.to_string())
            }),
            Self::Hash => certificates(sessions()).find_map(|(_, certificate)| {
                let hash = certificate.signature_hash()?;
                (!certificate.is_self_issued())
                    .then(|| bad(guideline.hash(hash), hash.to_string()))
                    .flatten()
            }),
        }
    }
}

fn sessions_of(probe: &Probe) -> impl Iterator<Item = &OfferedSession> {
    probe.handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    })
}

/// All certificates but roots.
fn certificates<'a>(
    sessions: impl Iterator<Item = &'a OfferedSession>,
) -> impl Iterator<Item = (usize, Certificate<'a>)> {
    sessions
        .flat_map(|session| session.chain.iter().enumerate())
        .filter_map(|(depth, der)| Some((depth, Certificate::read(der).ok()?)))
        .filter(|(depth, certificate)| *depth == 0 || !certificate.is_self_issued())
}
