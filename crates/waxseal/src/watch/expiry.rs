//! What of a domain runs out, and when; and what is told of that.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{
        Assessment, HostSurvey, Id, Observed, Probe, Severity, Signing, Survey, Tried,
        change::{Change, Class, Kind, Weight},
    },
    domain::Domain,
    facts::{MxFact, StsFact},
    pki::Certificate,
    sts::Mode,
    time::UnixTime,
};

/// Nothing else has to be told of a certificate that ends later than this: a finding that it is not
/// valid yet is no end.
const SOON: Duration = Duration::from_hours(14 * 24);
/// A policy that senders keep ends sooner than this, and cannot be fetched.
const POLICY_SOON: Duration = Duration::from_hours(3 * 24);
/// Told again when so little is left.
const LAST_DAY: Duration = Duration::from_hours(24);

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
        probes.flat_map(certificates).chain(survey.policy.host_certificate_ends()).min();
    let policy = match &survey.facts.sts {
        StsFact::Policy { expires, .. } => Some(*expires),
        StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => None,
    };
    let policy_host = survey.policy.host_certificate_ends();
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

/// What ends soon at one look.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// One for each host, zone and policy.
    pub(super) changes: Vec<Change>,
    /// Subjects of which the look did not see when they end: nothing is over because of it.
    unseen: Vec<String>,
    /// The mail hosts could not be found out.
    without_hosts: bool,
}

impl Endings {
    /// Whether a look that does not name this as ending soon shows that it does not any more.
    pub(super) fn ends(&self, change: &Change) -> bool {
        !self.without_hosts && !self.unseen.contains(&change.subject)
    }

    fn add(&mut self, subject: String, (now, until): (UnixTime, UnixTime), then: &str) {
        let class = match until.since(now) <= LAST_DAY {
            true => Class::Weakening,
            false => Class::Drift,
        };
        let verb = if until < now { "ended" } else { "ends" };
        self.changes.push(Change {
            kind: Kind::Expiry,
            subject,
            before: "valid".into(),
            after: format!("{verb} at {until}"),
            class,
            because: then.into(),
            weight: Weight::Standing,
        });
    }
}

/// What ends soon: by the thresholds of `CERT-EXPIRES` and `RRSIG-EXPIRES`, which know how long a
/// thing lives in all, and not where a matching TLSA record makes the dates count for nothing (RFC
/// 7672 §3.1.1).
pub(super) fn endings(survey: &Survey, assessment: &Assessment) -> Endings {
    let now = assessment.checked_at;
    let without_hosts = matches!(survey.facts.mx, MxFact::Failed(_));
    let mut out = Endings { without_hosts, ..Endings::default() };
    let found = |id: Id, what: &str| {
        let mut findings = assessment.findings.iter();
        findings.any(|one| {
            let name = one.subject.split(' ').next().unwrap_or_default();
            one.id == id && one.severity >= Severity::Notice && name == what
        })
    };
    let then = "it was not renewed: senders that check it deliver no more when it has ended";
    for (name, until) in hosts(survey) {
        let subject = format!("{name} certificate");
        match until {
            None => out.unseen.push(subject),
            Some(until) if found(Id::CertExpires, &name) && until.since(now) <= SOON => {
                out.add(subject, (now, until), then);
            }
            Some(_) => {}
        }
    }
    let then = "the zone was not signed again: resolvers that validate refuse it when they have \
                ended";
    for (name, signing) in zones(survey) {
        let subject = format!("{name} signatures");
        match signing {
            Signing::Failed(_) | Signing::NotAsked => out.unseen.push(subject),
            Signing::Signed { first_expiry, .. } if found(Id::RrsigExpires, name.as_str()) => {
                out.add(subject, (now, *first_expiry), then);
            }
            Signing::Signed { .. } | Signing::Unsigned { .. } => {}
        }
    }
    policy(survey, now, &mut out);
    out
}

/// When the certificates of each host end first, of all that it shows; `None` where it shows none.
fn hosts(survey: &Survey) -> BTreeMap<String, Option<UnixTime>> {
    let end = |host: &HostSurvey| {
        let probes = host.addresses.iter().filter_map(|address| match &address.observed {
            Observed::Probed(probe) => Some(&**probe),
            Observed::Not(_) => None,
        });
        probes.flat_map(certificates).min()
    };
    let mut hosts: BTreeMap<_, _> =
        survey.hosts.iter().map(|host| (host.host.to_string(), end(host))).collect();
    // Where there is no policy, there is no host of one.
    if !matches!(survey.facts.sts, StsFact::Absent { .. }) {
        let name = format!("mta-sts.{}", survey.facts.destination);
        hosts.insert(name, survey.policy.host_certificate_ends());
    }
    hosts
}

fn zones(survey: &Survey) -> BTreeMap<&Domain, &Signing> {
    let all = survey.hosts.iter().map(|host| &host.zone).chain(std::iter::once(&survey.zone));
    all.map(|zone| (&zone.zone, &zone.signing)).collect()
}

/// A policy that is fetched again and again has no end; one that cannot be fetched ends for all
/// senders that keep it (RFC 8461 §3.3).
fn policy(survey: &Survey, now: UnixTime, out: &mut Endings) {
    let subject = format!("{} MTA-STS policy", survey.facts.destination);
    match &survey.facts.sts {
        StsFact::Policy { policy, fetched_at, expires, refresh_failed, .. } => {
            let is_fetched = match &survey.policy.served {
                Some(served) => served.is_ok(),
                None => refresh_failed.is_none(),
            };
            let left = expires.since(now);
            let is_soon = left < POLICY_SOON.min(expires.since(*fetched_at) / 4);
            let promises = match policy.mode {
                Mode::Enforce | Mode::Testing => true,
                Mode::None => false,
            };
            if !is_fetched && is_soon && promises {
                let then = "it cannot be fetched: senders that keep it forget it when it has ended";
                out.add(subject, (now, *expires), then);
            }
        }
        StsFact::Unknown { .. } | StsFact::NotAsked => out.unseen.push(subject),
        StsFact::Absent { .. } => {}
    }
}
