//! Certificates of the mail hosts: name, issuer, dates, strength (RFC 5280, RFC 6125).

use std::time::Duration;

use super::{
    case::{Case, Findings, Host, Place, Sight, said},
    sts,
};
use crate::{
    assess::{Id, Severity},
    dane::{How, Match},
    guideline::{self, Grade},
    pki::{Certificate, Fault, is_for},
    sts::Mode,
    time::UnixTime,
};

/// A certificate that runs out sooner should have been renewed.
const SOON: Duration = Duration::from_hours(14 * 24);

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    for host in &case.hosts {
        for sight in &host.sights {
            name(case, host, sight, out);
            public_ca(case, host, sight, out);
            expiry(case, host, sight, out);
            strength(host, sight, out);
        }
    }
    policy_host(case, out);
}

/// How much it matters that no public CA vouches for a host.
fn weight(case: &Case<'_>, host: &Host<'_>, sight: &Sight) -> Severity {
    let listed = |mode| {
        case.policy().is_some_and(|policy| {
            policy.mode == mode && host.name().is_some_and(|name| policy.allows(name))
        })
    };
    if listed(Mode::Enforce) {
        Severity::Error
    } else if listed(Mode::Testing) {
        Severity::Warning
    } else if matches!(sight.dane, Some(Ok(Match { how: How::EndEntity, .. }))) {
        // Names, dates and issuers do not count there (RFC 7672 §3.1.1).
        Severity::Info
    } else {
        Severity::Notice
    }
}

/// By itself: a chain that nobody vouches for, or that ran out, hides no wrong name.
fn name(case: &Case<'_>, host: &Host<'_>, sight: &Sight, out: &mut Findings) {
    let leaf = sight.session.chain.first().and_then(|leaf| Certificate::read(leaf).ok());
    let (Some(leaf), Some(peer)) = (leaf, host.name()) else { return };
    if let Err(fault @ Fault::WrongName(_)) = is_for(&leaf, peer) {
        let fix = format!("get a certificate with the subject alternative name {peer}");
        let words = said(fault.to_string(), host.keeping_dane(&fix));
        out.add(Id::CertName, weight(case, host, sight), host.sight(sight), words);
    }
}

fn public_ca(case: &Case<'_>, host: &Host<'_>, sight: &Sight, out: &mut Findings) {
    let Err(fault) = &sight.pkix else { return };
    let severity = weight(case, host, sight);
    let peer = &host.facts.host;
    match fault {
        // Dates and names are judged by themselves.
        Fault::Expired | Fault::NotYetValid | Fault::WrongName(_) => {}
        Fault::Missing | Fault::TooLong | Fault::Unreadable(_) | Fault::Untrusted(_) => {
            let fix =
                format!("get a certificate for {peer} from a public CA and send its whole chain");
            let words = said(fault.to_string(), host.keeping_dane(&fix));
            out.add(Id::CertUntrusted, severity, host.sight(sight), words);
        }
    }
}

fn expiry(case: &Case<'_>, host: &Host<'_>, sight: &Sight, out: &mut Findings) {
    let now = case.against.now;
    let Some(Ok((from, until))) = sight
        .session
        .chain
        .first()
        .and_then(|leaf| Certificate::read(leaf).ok())
        .map(|leaf| leaf.dates())
    else {
        return;
    };
    let weight = weight(case, host, sight);
    if from > now {
        let words = said(format!("valid from {from}"), "set the clock of the CA or the host right");
        out.add(Id::CertExpires, weight, host.sight(sight), words);
    } else if let Some(left) = short(now, from, until) {
        let severity = match left {
            Left::Expired => weight,
            Left::Soon => weight.min(Severity::Warning),
        };
        let anchored = matches!(sight.dane, Some(Ok(Match { how: How::TrustAnchor { .. }, .. })));
        let severity = if anchored { severity.max(Severity::Warning) } else { severity };
        let words = said(
            format!("valid until {until}"),
            "renew it, and let the renewal run by itself; with TLSA records publish the new key \
             first",
        );
        out.add(Id::CertExpires, severity, host.sight(sight), words);
    }
}

enum Left {
    Expired,
    Soon,
}

/// Short-lived certificates are renewed late: a third of the lifetime is the measure there.
fn short(now: UnixTime, from: UnixTime, until: UnixTime) -> Option<Left> {
    if now > until {
        return Some(Left::Expired);
    }
    let left = until.since(now);
    (left < SOON && left < until.since(from) / 3).then_some(Left::Soon)
}

/// The certificate of `mta-sts.`: without it senders with MTA-STS lose the policy (RFC 8461 §3.3).
fn policy_host(case: &Case<'_>, out: &mut Findings) {
    let survey = &case.survey.policy;
    if let Some(until) = survey.host_certificate_expires {
        let place = sts::policy_host(case, survey.address);
        policy_host_at(case, place, (survey.host_certificate_from, until), out);
    }
    for there in &survey.elsewhere {
        let Some((from, until)) = there.certificate else { continue };
        let place = sts::policy_host(case, Some(there.address));
        policy_host_at(case, place, (Some(from), until), out);
    }
}

fn policy_host_at(
    case: &Case<'_>,
    place: Place,
    (from, until): (Option<UnixTime>, UnixTime),
    out: &mut Findings,
) {
    let now = case.against.now;
    let soon = || match from {
        Some(from) => short(now, from, until).is_some(),
        None => until.since(now) < SOON,
    };
    let severity = if now > until {
        Severity::Error
    } else if soon() {
        Severity::Warning
    } else {
        return;
    };
    let words = said(format!("valid until {until}"), "renew the certificate of the policy host");
    out.add(Id::CertExpires, severity, place, words);
}

/// Keys and hashes of all certificates but roots, which nobody has to trust for their signature.
fn strength(host: &Host<'_>, sight: &Sight, out: &mut Findings) {
    for (depth, der) in sight.session.chain.iter().enumerate() {
        let Ok(certificate) = Certificate::read(der) else { continue };
        if depth > 0 && certificate.is_self_issued() {
            continue;
        }
        let which =
            if depth == 0 { "its own certificate" } else { "a CA certificate in the chain" };
        if let Ok(key) = certificate.public_key() {
            let grades = guideline::all().map(|guideline| (guideline.key(&key), guideline));
            weak(grades, host, sight, (Id::CertWeakKey, format!("{which}: {key}")), out);
        }
        // A certificate that signed itself proves nothing by that.
        if let Some(hash) = certificate.signature_hash()
            && !certificate.is_self_issued()
        {
            let grades = guideline::all().map(|guideline| (guideline.hash(hash), guideline));
            weak(grades, host, sight, (Id::CertWeakHash, format!("{which}: {hash}")), out);
        }
    }
}

type Grades = [(Grade, &'static guideline::Guideline); 2];

fn weak(
    grades: Grades,
    host: &Host<'_>,
    sight: &Sight,
    (id, what): (Id, String),
    out: &mut Findings,
) {
    let best = grades.iter().map(|(grade, _)| *grade).min().unwrap_or(Grade::Insufficient);
    let severity = match best {
        Grade::Good | Grade::Sufficient => return,
        Grade::PhaseOut => Severity::Notice,
        Grade::Insufficient => Severity::Warning,
    };
    let grades: Vec<_> =
        grades.iter().map(|(grade, guideline)| format!("{}: {grade}", guideline.title)).collect();
    let evidence = format!("{what} ({})", grades.join(", "));
    let fix = "ECDSA on P-256, or RSA with 3072 bits, signed with SHA-256";
    out.add(id, severity, host.sight(sight), said(evidence, host.keeping_dane(fix)));
}
