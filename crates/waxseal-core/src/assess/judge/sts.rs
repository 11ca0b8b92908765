//! MTA-STS: the record, the policy, the hosts that it lists, and DANE beside it (RFC 8461).

use std::{net::IpAddr, time::Duration};

use super::{
    case::{Case, Findings, Host, Place, said},
    mx, unused,
};
use crate::{
    assess::{Contact, Id, PolicyThere, Probe, Published, Quoted, Severity, StartTlsSeen, Tried},
    dns::Absence,
    facts::{Known, StsFact, StsFailure},
    sts::{MAX_AGE, Mode, MxPattern, Policy},
    witness::{Missing, Weighed, weigh_of},
};

/// Less than this protects hardly anybody who writes now and then.
const SHORT: Duration = Duration::from_hours(14 * 24);
/// Less than this is gone over a weekend.
const TOO_SHORT: Duration = Duration::from_hours(24);
/// Longer than this in `testing` is a roll-out that was forgotten.
const LONG_TESTING: Duration = Duration::from_hours(60 * 24);

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    record(case, out);
    served(case, out);
    id(case, out);
    if let Some(policy) = case.policy() {
        mode(case, policy, out);
        if policy.mode != Mode::None {
            hosts(case, policy, out);
            unused::judge(case, policy, out);
        }
    }
}

fn place(case: &Case<'_>) -> Place {
    Place::named(case.domain())
}

fn record(case: &Case<'_>, out: &mut Findings) {
    match &case.survey.policy.record {
        Published::Found { .. } | Published::NotAsked => {}
        Published::Broken { text, why, .. } => {
            let words = said(format!("{why}: {text}"), wanted_record(case));
            out.add(Id::StsRecordBroken, Severity::Error, place(case), words);
        }
        Published::Failed(failure) => mx::failed(out, Place::named(&failure.name), failure),
        Published::Absent { absence, .. } => match hot(case) {
            Some(until) => {
                let sure = match absence {
                    Absence::Secure => "",
                    Absence::Agreed | Absence::Unconfirmed => {
                        "; it is not signed, so an attack is not excluded"
                    }
                };
                let evidence = format!("no record, and senders enforce the policy {until}{sure}");
                let fix = format!(
                    "put the record back; to withdraw the policy serve `mode: none` for as long as \
                     its max_age was (RFC 8461 §8.3): {}",
                    wanted_record(case)
                );
                out.add(Id::StsRemovedHot, Severity::Warning, place(case), said(evidence, fix));
            }
            // It is there, and hidden from us: `DNS-HIDDEN` says so.
            None if hidden(case) == Weighed::Contradicted => {}
            None => {
                let protected = !case.hosts.is_empty() && case.hosts.iter().all(Host::has_dane);
                let severity = if protected { Severity::Notice } else { Severity::Warning };
                let fix = format!(
                    "serve at mta-sts.{} as /.well-known/mta-sts.txt: {}; then publish: {}",
                    case.domain(),
                    file(case),
                    wanted_record(case)
                );
                let sure = match hidden(case) {
                    Weighed::Agreed => "; other resolvers see none either",
                    Weighed::Contradicted | Weighed::Unconfirmed => "",
                };
                let words = said(format!("no _mta-sts record{sure}"), fix);
                out.add(Id::StsMissing, severity, place(case), words);
            }
        },
    }
}

/// What others say of a record that we do not see.
fn hidden(case: &Case<'_>) -> Weighed {
    weigh_of(&case.survey.facts.witnesses, Missing::StsRecord)
}

/// Until when somebody still enforces a policy whose record is gone, in words.
fn hot(case: &Case<'_>) -> Option<String> {
    let now = case.against.now;
    if let StsFact::Policy { policy, known: Known::Cached, expires, .. } = &case.survey.facts.sts
        && policy.mode == Mode::Enforce
        && *expires > now
    {
        return Some(format!("until {expires}"));
    }
    let before = case.against.before?;
    let policy = before.policy.served.as_ref()?.as_ref().ok()?;
    let expires = before.facts.at + policy.max_age;
    (policy.mode == Mode::Enforce && expires > now && before.policy.record.value().is_some())
        .then(|| format!("until {expires}"))
}

pub(super) fn wanted_record(case: &Case<'_>) -> String {
    let now = case.against.now.0;
    format!("_mta-sts.{}. IN TXT \"v=STSv1; id={now}\"", case.domain())
}

/// The policy that would fit, on one line.
fn file(case: &Case<'_>) -> String {
    let hosts = case.hosts.iter().filter_map(Host::name);
    let mut mx: String = hosts.map(|host| format!("mx: {host}; ")).collect();
    if mx.is_empty() {
        mx = "mx: <the name of each mail host>; ".into();
    }
    format!("version: STSv1; mode: testing; {mx}max_age: 86400 (each on a line of its own)")
}

/// The policy host; with the address where it has several.
pub(super) fn policy_host(case: &Case<'_>, address: Option<IpAddr>) -> Place {
    let host = Place::named(&format!("mta-sts.{}", case.domain()));
    match address.filter(|_| !case.survey.policy.elsewhere.is_empty()) {
        Some(address) => host.at(address),
        None => host,
    }
}

fn served(case: &Case<'_>, out: &mut Findings) {
    let survey = &case.survey.policy;
    let host = || policy_host(case, survey.address);
    if let Some(Err(failure)) = &survey.served {
        failed(case, failure, host(), out);
    }
    for there in &survey.elsewhere {
        let place = policy_host(case, Some(there.address));
        match (&there.serves, &survey.served) {
            (PolicyThere::Fails(failure), _) => failed(case, failure, place, out),
            (PolicyThere::Other(policy), Some(Ok(first))) => {
                differs(case, (first, policy), place, out)
            }
            // What the first lacks is told already.
            (PolicyThere::Other(_) | PolicyThere::Same, _) => {}
        }
    }
    let plain = |media: &Quoted| {
        let name = media.as_str().split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("text/plain")
    };
    if let Some(media) = survey.media_type.as_ref().filter(|media| !plain(media)) {
        let words = said(media.to_string(), "serve it as text/plain (RFC 8461 §3.2)");
        out.add(Id::StsMediaType, Severity::Warning, host(), words);
    }
    if survey.crlf == Some(false) {
        let words = said(
            "lines end with LF alone, which RFC 8461 §3.2 allows and some senders do not",
            "end each line with CRLF",
        );
        out.add(Id::StsCrlf, Severity::Info, host(), words);
    }
}

/// No policy from there.
fn failed(case: &Case<'_>, failure: &StsFailure, place: Place, out: &mut Findings) {
    let (id, evidence, fix) = match failure {
        StsFailure::Record(failure) => {
            return mx::failed(out, Place::named(&failure.name), failure);
        }
        StsFailure::Fetch(why) => (
            Id::StsFetch,
            why,
            "serve /.well-known/mta-sts.txt with status 200, without a redirect, a bot check or a \
             login, within a minute and 64 KiB (RFC 8461 §3.3)",
        ),
        StsFailure::Unreached(why) => {
            let fix = "check again, and from another network: port 443 may be closed on our side; \
                       the policy host has to answer within a minute (RFC 8461 §3.3)";
            return out.add(Id::StsFetch, Severity::Unknown, place, said(why, fix));
        }
        StsFailure::Certificate(why) => (
            Id::StsHostCertificate,
            why,
            "get a certificate of a public CA for this name, and renew it in time",
        ),
        StsFailure::Invalid(why) => (Id::StsInvalid, why, "serve what RFC 8461 §3.2 describes"),
    };
    let several = match case.survey.policy.elsewhere.is_empty() {
        true => "",
        false => " at each address of the policy host: senders take any of them",
    };
    let fix = format!("{fix}{several}: {}", file(case));
    out.add(id, Severity::Error, place, said(evidence, fix));
}

/// Two addresses, two policies, one id: which of them a sender keeps is chance.
fn differs(case: &Case<'_>, (first, other): (&Policy, &Policy), place: Place, out: &mut Findings) {
    let mut hosts = case.hosts.iter().filter_map(Host::name);
    let refused = hosts.find(|host| first.allows(host) && !other.allows(host));
    let (severity, refused) = match refused.filter(|_| other.mode == Mode::Enforce) {
        Some(host) => (Severity::Error, format!(", and it does not list {host}")),
        None => (Severity::Warning, String::new()),
    };
    let address = case.survey.policy.address;
    let at = address.map(|address| format!(" than {address}")).unwrap_or_default();
    let evidence = format!("another policy{at} under the same id: mode: {}{refused}", other.mode);
    let fix = format!(
        "serve the same file at each address of the policy host: senders take any of them; then \
         publish a new id: {}",
        wanted_record(case)
    );
    out.add(Id::StsIdStale, severity, place, said(evidence, fix));
}

/// A new file under an old id is fetched by nobody who has the old one (RFC 8461 §3.1).
fn id(case: &Case<'_>, out: &mut Findings) {
    let now = &case.survey.policy;
    let Some(id) = now.record.value() else { return };
    let before = case.against.before.map(|before| &before.policy).filter(|before| {
        before.record.value() == Some(id)
            && before.digest.is_some()
            && now.digest.is_some()
            && before.digest != now.digest
    });
    let remembered = match (&case.survey.facts.sts, &now.served) {
        (
            StsFact::Policy { policy, id: Some(known), known: Known::Cached, .. },
            Some(Ok(served)),
        ) => known == id.as_str() && policy != served,
        (
            StsFact::Policy { .. }
            | StsFact::Absent { .. }
            | StsFact::Unknown { .. }
            | StsFact::NotAsked,
            _,
        ) => false,
    };
    if before.is_some() || remembered {
        let words = said(
            format!("the policy is another one than before, and its id is still {id}"),
            format!("publish a new id: {}", wanted_record(case)),
        );
        out.add(Id::StsIdStale, Severity::Warning, place(case), words);
    }
}

fn mode(case: &Case<'_>, policy: &Policy, out: &mut Findings) {
    match policy.mode {
        Mode::Enforce => {}
        Mode::None => {
            let words = said("mode: none", "serve `mode: testing`, then `mode: enforce`");
            out.add(Id::StsNone, Severity::Notice, place(case), words);
            return;
        }
        Mode::Testing => testing(case, out),
    }
    let age = policy.max_age;
    let severity = match policy.mode {
        Mode::Enforce if age < TOO_SHORT => Severity::Warning,
        Mode::Enforce if age < SHORT => Severity::Notice,
        Mode::Testing if age < TOO_SHORT => Severity::Info,
        Mode::Enforce | Mode::Testing | Mode::None => Severity::Unknown,
    };
    if severity != Severity::Unknown {
        let least = if policy.mode == Mode::Enforce { SHORT } else { TOO_SHORT };
        let words = said(
            format!("max_age: {}", age.as_secs()),
            format!("max_age: {} or more; `31557600` is the most (RFC 8461 §3.2)", least.as_secs()),
        );
        out.add(Id::StsMaxAge, severity, place(case), words);
    }
    let most = MAX_AGE.as_secs();
    if let Some(written) = case.survey.policy.max_age.filter(|written| *written > most) {
        let evidence = format!("max_age: {written}, which is more than a policy may say");
        let fix =
            format!("max_age: {most} is the most (RFC 8461 §3.2): senders cut it, or refuse it");
        out.add(Id::StsMaxAgeTooLong, Severity::Notice, place(case), said(evidence, fix));
    }
    let wild = policy.mx.iter().filter_map(|pattern| match pattern {
        MxPattern::OneBelow(_) => Some(pattern.to_string()),
        MxPattern::Host(_) => None,
    });
    let wild: Vec<_> = wild.collect();
    if !wild.is_empty() {
        let words = said(
            format!("mx: {}", wild.join(", ")),
            "name the hosts one by one: whoever gets any name below that domain passes",
        );
        out.add(Id::StsWildcard, Severity::Notice, place(case), words);
    }
}

fn testing(case: &Case<'_>, out: &mut Findings) {
    let against = case.against;
    let was = against.before.filter(
        |before| matches!(&before.policy.served, Some(Ok(policy)) if policy.mode == Mode::Testing),
    );
    let since = [against.testing_since, was.map(|before| before.facts.at)].into_iter().flatten();
    let since = since.min();
    let fix =
        "serve `mode: enforce` once TLS reports show no failures for two weeks, then a new id";
    match since.filter(|since| against.now.since(*since) > LONG_TESTING) {
        Some(since) => {
            let words = said(format!("mode: testing at least since {since}"), fix);
            out.add(Id::StsTestingTooLong, Severity::Warning, place(case), words);
        }
        None => {
            out.add(Id::StsTesting, Severity::Notice, place(case), said("mode: testing", fix));
        }
    }
}

fn hosts(case: &Case<'_>, policy: &Policy, out: &mut Findings) {
    let severity = if policy.mode == Mode::Enforce { Severity::Error } else { Severity::Warning };
    for host in &case.hosts {
        let Some(name) = host.name() else { continue };
        if !policy.allows(name) {
            // Where nobody signs the MX records, somebody on the path can name a host.
            let fix = format!(
                "if the host is yours, add the line `mx: {name}`, then publish {}; otherwise find \
                 out who put it into the MX records",
                wanted_record(case)
            );
            let evidence = format!("the policy does not list {name}");
            out.add(Id::StsMxMismatch, severity, host.place(), said(&evidence, &fix));
            if host.has_dane() {
                let evidence = format!("{evidence}, which DANE protects");
                out.add(Id::StsDaneConflict, severity, host.place(), said(evidence, fix));
            }
            continue;
        }
        for sight in &host.sights {
            let Err(fault) = &sight.pkix else { continue };
            let fix = host.keeping_dane(&format!("get a certificate for {name} from a public CA"));
            out.add(Id::StsCertVsMx, severity, host.sight(sight), said(fault.to_string(), &fix));
            if sight.has_match() {
                let evidence =
                    format!("a TLSA record matches, and senders with MTA-STS only fail: {fault}");
                out.add(Id::StsDaneConflict, severity, host.sight(sight), said(evidence, fix));
            }
        }
        for (ip, probe) in host.probes() {
            let Contact::Spoke { starttls, .. } = &probe.contact else { continue };
            let failing = || handshake_fault(probe).map(|why| format!("no handshake works: {why}"));
            let Some(evidence) = without_tls(starttls).map(str::to_owned).or_else(failing) else {
                continue;
            };
            // A host that is in the MX records and not in the policy gets no more mail than this one.
            let fix = "let STARTTLS work; or take the host out of the MX records, and then out of \
                       the policy";
            out.add(Id::StsCertVsMx, severity, host.at(ip), said(evidence, fix));
        }
    }
}

/// Why no session comes about with any kind of key; nothing where one does, or where it was not seen.
pub(super) fn handshake_fault(probe: &Probe) -> Option<&str> {
    let works = probe.handshakes.iter().any(|one| matches!(one.tried, Tried::Session(_)));
    let mut tried = probe.handshakes.iter().filter(|_| !works);
    tried.find_map(|one| match &one.tried {
        Tried::Failed { detail, .. } => Some(detail.as_str()),
        Tried::Session(_) | Tried::NoSuchKey | Tried::Unknown(_) => None,
    })
}

/// Why there is no TLS, in words.
pub(super) const fn without_tls(starttls: &StartTlsSeen) -> Option<&'static str> {
    match starttls {
        StartTlsSeen::Ready => None,
        StartTlsSeen::NotOffered => Some("no STARTTLS"),
        StartTlsSeen::Refused(_) => Some("STARTTLS is offered and then refused"),
        StartTlsSeen::Injected => Some("something speaks before TLS begins"),
    }
}
