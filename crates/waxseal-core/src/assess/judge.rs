//! From facts to findings and to the level. One file a topic, each a function over the survey.

mod case;
mod certificate;
mod headline;
mod level;
mod mail;
mod mx;
mod reporting;
mod sts;
mod tls;
mod tlsa;
mod unused;
mod witness;
mod zone;

use rustls_pki_types::TrustAnchor;
use serde::{Deserialize, Serialize};

use self::case::{Case, Findings, TakesMail};
pub(super) use self::level::strength;
use super::{Finding, Severity, Survey};
use crate::{channel::Level, domain::Domain, org::Terms, time::UnixTime};

/// What a survey is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Certificates that count as public CAs: `[tls] roots`.
    pub roots: &'a [TrustAnchor<'static>],
    /// What was agreed with the destination out of band; usually nothing.
    pub terms: &'a Terms,
    /// What was known of the domain before; `None` at first contact.
    pub before: Option<&'a Survey>,
    /// Since when its MTA-STS policy is seen in mode `testing` without a break; `None` where that
    /// is not known.
    pub testing_since: Option<UnixTime>,
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
    /// Whether it would deliver at all, and if not, why there is no level.
    pub delivery: Delivery,
    /// One sentence: what an attacker who listens, and one who interferes, would obtain.
    pub headline: String,
    /// Why it is not higher.
    pub why_not_higher: Option<String>,
    /// Each address of each host with each kind of key.
    pub hosts: Vec<HostAssessment>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// Whether our gateway would deliver to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It would.
    Delivers,
    /// It would not: what the domain publishes and what its hosts do contradict each other, or
    /// there is nothing to connect to.
    Refuses,
    /// The domain takes no mail, or does not exist.
    TakesNoMail,
    /// It could not be found out.
    Unknown,
}

/// One mail host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAssessment {
    /// Its name.
    pub host: Domain,
    /// What a delivery to it reaches at least; `None` where there would be none.
    pub level: Option<Level>,
    /// What the gateway demands there before it looks: DNS and the policy alone say so. `None`
    /// where it does not connect at all.
    pub demanded: Option<Level>,
    /// Why there is no level: an obstacle, a refusal, or something that was not seen.
    pub note: Option<String>,
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

/// Judges a survey: what our gateway would do, what an attacker would obtain, and what the domain
/// should do about it. The same arguments give the same assessment.
pub fn assess(survey: &Survey, against: &Against<'_>) -> Assessment {
    let case = Case::new(survey, against);
    let mut findings = Findings::default();
    mx::judge(&case, &mut findings);
    witness::judge(&case, &mut findings);
    match case.takes_mail() {
        // Nothing else can be said of what is not there.
        TakesMail::NoDomain => {}
        TakesMail::NullMx => {
            zone::judge(&case, &mut findings);
            mail::judge(&case, &mut findings);
        }
        TakesMail::MayBe => {
            zone::judge(&case, &mut findings);
            tlsa::judge(&case, &mut findings);
            tls::judge(&case, &mut findings);
            certificate::judge(&case, &mut findings);
            sts::judge(&case, &mut findings);
            reporting::judge(&case, &mut findings);
            mail::judge(&case, &mut findings);
        }
    }
    let (outcomes, hosts): (Vec<_>, Vec<_>) = case.hosts.iter().map(|host| case.host(host)).unzip();
    let (delivery, weakest) = case.domain_outcome(&outcomes);
    let words = headline::words(&case, delivery, weakest.as_ref(), &outcomes);
    Assessment {
        domain: survey.facts.destination.clone(),
        checked_at: survey.facts.at,
        level: weakest.map(|weakest| weakest.level),
        delivery,
        headline: words.headline,
        why_not_higher: words.why_not_higher,
        hosts,
        findings: findings.sorted(),
    }
}

impl Assessment {
    /// The worst of its findings, `None` without any.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
