//! MTA-STS in more detail than the gateway needs (RFC 8461), and security.txt (RFC 9116).

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use hyper::StatusCode;
use waxseal_core::{
    assess::{PolicyElsewhere, PolicySurvey, PolicyThere, Published, Quoted, mail::security_txt},
    dns::{Absence, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    facts::StsFailure,
    sts::written_max_age,
    time::UnixTime,
};

use super::{Depth, Errand, Scope, Surveyor};
use crate::fetch::{Body, Fetched, Wanted, policy};

/// Redirects of a security.txt that are followed: to `www`, and to the right place there.
const MOST_REDIRECTS: usize = 2;
/// Addresses of a policy host that are asked: it is not ours.
const MOST_ADDRESSES: usize = 4;
/// Where it is (RFC 9116 §3).
const SECURITY_TXT: &str = "/.well-known/security.txt";

impl Surveyor {
    /// The record, and what the policy host serves now.
    pub(super) async fn policy(&self, domain: &Domain, errand: &Errand) -> PolicySurvey {
        let Errand { scope: Scope { depth, .. }, span, .. } = errand;
        let asking = self.policy_record(domain);
        let record = span.published("the MTA-STS record", domain, asking).await;
        let (absence, ask) = match &record {
            Published::Absent { absence, .. } => (Some(*absence), false),
            Published::Found { .. } | Published::Broken { .. } => (None, *depth == Depth::Full),
            Published::Failed(_) | Published::NotAsked => (None, false),
        };
        let caa = match (&record, domain.below("mta-sts")) {
            (Published::Found { .. } | Published::Broken { .. }, Ok(host)) => {
                span.published("the CAA records", &host, self.caa(&host)).await
            }
            (_, _) => Published::NotAsked,
        };
        let survey = PolicySurvey { record, absence, caa, ..PolicySurvey::default() };
        if !ask {
            return survey;
        }
        let asking = self.0.tools.fetcher.served_each(domain, MOST_ADDRESSES);
        match span.within(format!("the MTA-STS policy of {domain}"), asking).await {
            // As if nobody had asked: that a policy host is slow withdraws nothing.
            None => survey,
            Some(Err(failure)) => PolicySurvey { served: Some(Err(failure)), ..survey },
            Some(Ok(each)) => at_each(survey, domain, each.asked),
        }
    }

    /// When the security.txt of a domain expires.
    pub(super) async fn security_txt(
        &self,
        domain: &Domain,
        errand: &Errand,
    ) -> Published<UnixTime> {
        let now = errand.now;
        if errand.scope.depth == Depth::DnsOnly {
            return Published::NotAsked;
        }
        let (mut host, mut path) = (domain.clone(), SECURITY_TXT.to_owned());
        for _ in 0..=MOST_REDIRECTS {
            let most = security_txt::MOST_OCTETS;
            let wanted = Wanted { host: &host, path: &path, most };
            let fetched = match self.0.tools.fetcher.https().get(wanted).await {
                Ok(fetched) => fetched,
                Err(failure) => return unfetched(domain, failure),
            };
            if !fetched.status.is_redirection() {
                return expiry(&fetched, now);
            }
            match within(domain, &fetched) {
                Some(there) => (host, path) = there,
                None => return missing(),
            }
        }
        missing()
    }
}

/// Nobody vouches for what HTTPS does not have.
const fn missing() -> Published<UnixTime> {
    Published::Absent { denial: Denial::NoData, absence: Absence::Unconfirmed }
}

fn unfetched(domain: &Domain, failure: StsFailure) -> Published<UnixTime> {
    let detail = match failure {
        // Most domains have no web server of their own: that is an answer.
        StsFailure::Fetch(why) if why.ends_with("has no address") => return missing(),
        StsFailure::Fetch(why)
        | StsFailure::Unreached(why)
        | StsFailure::Certificate(why)
        | StsFailure::Invalid(why) => why,
        StsFailure::Record(failure) => failure.detail,
    };
    let kind = FailureKind::Unreachable;
    Published::Failed(LookupFailure { name: domain.into(), kind, detail })
}

/// Where a redirect leads, as long as it stays with the domain and with HTTPS.
fn within(domain: &Domain, fetched: &Fetched) -> Option<(Domain, String)> {
    let location = std::str::from_utf8(fetched.location.as_deref()?).ok()?;
    let rest = location.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let host = Domain::parse(host).ok()?;
    let proper = path.len() < 512 && path.bytes().all(|byte| byte.is_ascii_graphic());
    (host.is_within(domain) && proper).then(|| (host, format!("/{path}")))
}

fn expiry(fetched: &Fetched, now: UnixTime) -> Published<UnixTime> {
    match (&fetched.body, fetched.status) {
        (Body::Whole(file), _) => match security_txt::expires(file) {
            Ok(value) => Published::Found {
                value,
                text: Quoted::octets(file),
                authenticity: Authenticity::Insecure,
                expires: now,
            },
            Err(why) => Published::Broken {
                text: Quoted::octets(file),
                why,
                authenticity: Authenticity::Insecure,
            },
        },
        (Body::TooLong, _) => Published::Broken {
            text: Quoted::default(),
            why: format!("it is longer than {} octets", security_txt::MOST_OCTETS),
            authenticity: Authenticity::Insecure,
        },
        (Body::NotRead, StatusCode::NOT_FOUND | StatusCode::GONE) => missing(),
        (Body::NotRead, status) => Published::Broken {
            text: Quoted::default(),
            why: format!("the web server answered {status}"),
            authenticity: Authenticity::Insecure,
        },
    }
}

/// What the first address that answers serves, and what the others do.
fn at_each(
    survey: PolicySurvey,
    domain: &Domain,
    mut each: Vec<(IpAddr, Result<Fetched, StsFailure>)>,
) -> PolicySurvey {
    let answers = |(_, one): &(IpAddr, Result<_, _>)| !matches!(one, Err(StsFailure::Unreached(_)));
    let first = each.iter().position(answers).unwrap_or_default();
    if first >= each.len() {
        return survey;
    }
    let (address, fetched) = each.remove(first);
    let survey = PolicySurvey { address: Some(address), ..survey };
    let survey = match fetched {
        Ok(fetched) => described(survey, domain, &fetched),
        Err(failure) => PolicySurvey { served: Some(Err(failure)), ..survey },
    };
    let there = |(address, fetched): (IpAddr, Result<Fetched, StsFailure>)| {
        let certificate = fetched.as_ref().ok().and_then(|fetched| fetched.certificate_dates);
        let serves = match fetched.and_then(|fetched| policy(domain, &fetched)) {
            Ok(policy) if survey.served.as_ref() == Some(&Ok(policy.clone())) => PolicyThere::Same,
            Ok(policy) => PolicyThere::Other(policy),
            Err(failure) => PolicyThere::Fails(failure),
        };
        PolicyElsewhere { address, serves, certificate }
    };
    let elsewhere = each.into_iter().map(there).collect();
    PolicySurvey { elsewhere, ..survey }
}

/// What the file is, beside what it says.
fn described(survey: PolicySurvey, domain: &Domain, fetched: &Fetched) -> PolicySurvey {
    let media_type = (!fetched.media_type.is_empty()).then(|| Quoted::octets(&fetched.media_type));
    let served = Some(policy(domain, fetched));
    let (host_certificate_from, host_certificate_expires) = fetched.certificate_dates.unzip();
    let survey = PolicySurvey {
        served,
        media_type,
        host_certificate_from,
        host_certificate_expires,
        ..survey
    };
    let Body::Whole(file) = &fetched.body else { return survey };
    let hash = digest(&SHA256, file);
    PolicySurvey {
        file: Some(Quoted::octets(file)),
        digest: Some(hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()),
        crlf: Some(is_crlf(file)),
        max_age: written_max_age(file),
        ..survey
    }
}

/// Whether each line ends with CRLF (RFC 8461 §3.2).
fn is_crlf(file: &[u8]) -> bool {
    file.split_inclusive(|octet| *octet == b'\n').all(|line| line.ends_with(b"\r\n"))
}
