//! Which hosts take the mail, and whether they can be reached (RFC 5321 §5.1, RFC 7505).

use std::net::IpAddr;

use super::case::{Case, Findings, Host, Place, said};
use crate::{
    assess::{Contact, Id, Observed, Published, Severity, Unprobed},
    decide::{MAX_ADDRESSES, MAX_HOSTS},
    dns::{Absence, Answer, FailureKind, LookupFailure},
    domain::Domain,
    facts::{MxFact, Refused},
};

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    let domain = case.domain();
    let place = || Place::named(domain);
    match &case.survey.facts.mx {
        MxFact::Found { .. } | MxFact::Configured => {}
        MxFact::Null { .. } => {
            out.add(
                Id::MxNull,
                Severity::Info,
                place(),
                said("the only MX is `.`, which is no host", unused(case)),
            );
        }
        MxFact::Implicit { .. } => out.add(
            Id::MxImplicit,
            Severity::Notice,
            place(),
            said("no MX record", format!("{domain}. IN MX 10 <the name of the mail host>")),
        ),
        MxFact::NoDomain { absence, .. } => {
            let (severity, sure) = match absence {
                Absence::Secure => (Severity::Error, "denied with DNSSEC"),
                Absence::Agreed => (Severity::Error, "independent resolvers agree"),
                Absence::Unconfirmed => {
                    (Severity::Unknown, "not signed: somebody on the path could hide it")
                }
            };
            let evidence = format!("NXDOMAIN ({sure})");
            let fix = "check the spelling and the registration of the domain";
            out.add(Id::DomainMissing, severity, place(), said(evidence, fix));
        }
        MxFact::Failed(failure) => failed(out, place(), failure),
    }
    cut_short(case, out);
    records(case, out);
    for host in &case.hosts {
        addresses(case, host, out);
        alias(host, out);
        contacts(case, host, out);
    }
    without_ipv6(case, out);
}

/// Whoever answers slowly enough, from enough addresses, is never seen whole.
fn cut_short(case: &Case<'_>, out: &mut Findings) {
    let unasked = &case.survey.unasked;
    if !unasked.is_empty() {
        let evidence =
            format!("the time for it was used up before this was seen: {}", unasked.join(", "));
        let fix = "check again later; let its servers answer sooner, or be fewer";
        out.add(Id::CutShort, Severity::Unknown, Place::named(case.domain()), said(evidence, fix));
    }
}

/// What a domain that takes no mail should do: nobody should be able to send in its name, either.
fn unused(case: &Case<'_>) -> String {
    let domain = case.domain();
    let mut wanted = Vec::new();
    if matches!(case.survey.mail.spf, Published::Absent { .. }) {
        wanted.push(format!("{domain}. IN TXT \"v=spf1 -all\""));
    }
    if matches!(case.survey.mail.dmarc, Published::Absent { .. }) {
        wanted.push(format!("_dmarc.{domain}. IN TXT \"v=DMARC1; p=reject\""));
    }
    let fix = "nothing, if the domain is not to take mail";
    if wanted.is_empty() {
        return fix.into();
    }
    format!("{fix}; if it sends none either: {}", wanted.join("; "))
}

/// A look-up that the assessment needs: signatures that do not hold are the domain's fault,
/// everything else may be ours or may pass.
pub(super) fn failed(out: &mut Findings, place: Place, failure: &LookupFailure) {
    let (id, severity, fix) = match failure.kind {
        FailureKind::Bogus => (
            Id::ZoneBogus,
            Severity::Error,
            "sign the zone again, or put the DS record at the parent right; validating resolvers \
             cannot see these names",
        ),
        // Once is enough, whatever was asked for.
        FailureKind::SignaturesStripped | FailureKind::Unreachable | FailureKind::Clock => {
            let fix = "look at the resolver or the clock on our side; the domain is not to blame";
            let words = said(&failure.detail, fix);
            return out.add(Id::DnsFailed, Severity::Unknown, Place::named(&"our resolver"), words);
        }
        FailureKind::Indeterminate
        | FailureKind::ServFail
        | FailureKind::Refused
        | FailureKind::Timeout
        | FailureKind::Malformed
        | FailureKind::Limit => {
            (Id::DnsFailed, Severity::Unknown, "check again; if it stays, look at the name servers")
        }
    };
    out.add(id, severity, place, said(failure.to_string(), fix));
}

fn records(case: &Case<'_>, out: &mut Findings) {
    let mx = &case.survey.mx;
    let domain = case.domain();
    if mx.null > 0 && mx.records > mx.null {
        let evidence = format!("{} of {} MX records are a null MX", mx.null, mx.records);
        let fix = format!("remove `{domain}. IN MX 0 .`, or all the others");
        out.add(Id::MxNullConflict, Severity::Error, Place::named(domain), said(evidence, fix));
    }
    // With another host mail arrives all the same.
    let severity = if case.hosts.is_empty() { Severity::Error } else { Severity::Warning };
    for odd in &mx.invalid {
        let fix = "name a host there: an address, a wildcard or anything else that no host is called \
                   is none (RFC 5321 §5.1)";
        let evidence = format!("MX {odd}");
        out.add(Id::MxNoAddress, severity, Place::named(domain), said(evidence, fix));
    }
    let count = mx.records.max(case.hosts.len());
    if count > MAX_HOSTS {
        let evidence = format!("{count} MX records");
        let fix = "keep a few; senders try no more than that";
        out.add(Id::MxTooMany, Severity::Notice, Place::named(domain), said(evidence, fix));
    }
}

/// Names below these are kept from the Internet (IANA's list of special-use domain names), or mean a machine
/// of one network: nobody can publish addresses for them.
const OF_NOBODY: [&str; 8] =
    ["alt", "home.arpa", "internal", "invalid", "local", "localdomain", "localhost", "onion"];

/// Whether no host on the Internet can have this name. One label alone is a name that somebody forgot to end,
/// unless the addresses of a top-level domain could not be looked up.
fn is_of_nobody(name: &Domain, addresses: &Answer<Vec<IpAddr>>) -> bool {
    let below = |end: &&str| {
        let front = name.as_str().strip_suffix(end);
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    let unfinished = name.parent().is_none() && !matches!(addresses, Answer::Failed(_));
    unfinished || OF_NOBODY.iter().any(below)
}

fn addresses(case: &Case<'_>, host: &Host<'_>, out: &mut Findings) {
    let (mx, domain) = (&case.survey.facts.mx, case.domain());
    let peer = &host.facts.host;
    let private: Vec<_> =
        host.facts.refused.iter().filter(|(_, why)| *why != Refused::Own).collect();
    let usable = host.facts.addresses.value().map_or(0, Vec::len);
    let found = &host.facts.addresses;
    if usable == 0 && host.name().is_some_and(|name| is_of_nobody(name, found)) {
        let evidence = "no host on the Internet can have this name";
        let fix = format!(
            "name a mail host of its own in the MX records, with a name for which addresses can be \
             published; or, if {domain} is not to take mail, `{domain}. IN MX 0 .` (RFC 7505 §3)"
        );
        return out.add(Id::MxNoAddress, Severity::Error, host.place(), said(evidence, fix));
    }
    for (ip, why) in &private {
        let evidence = match why {
            Refused::Special => "loopback, link-local, multicast or unspecified",
            Refused::Private => "private or shared address space",
            Refused::Own => continue,
        };
        let severity = if usable == 0 { Severity::Error } else { Severity::Warning };
        let fix = match usable {
            0 => format!(
                "publish a public address for {peer}, or name a mail host that has one; or, if {domain} is \
                 not to take mail, `{domain}. IN MX 0 .` (RFC 7505 §3)"
            ),
            _ => format!("remove this address of {peer} from public DNS"),
        };
        out.add(Id::MxPrivateAddress, severity, host.at(*ip), said(evidence, fix));
    }
    match &host.facts.addresses {
        Answer::Failed(failure) => failed(out, host.place(), failure),
        Answer::Found { value, .. } if value.len() > MAX_ADDRESSES => {
            let evidence = format!("{} addresses", value.len());
            let fix = format!("keep at most {MAX_ADDRESSES}; senders try no more");
            out.add(Id::MxTooMany, Severity::Notice, host.place(), said(evidence, fix));
        }
        Answer::Found { value, .. } if !value.is_empty() => {}
        Answer::Found { .. } | Answer::Absent { .. } if host.facts.refused.is_empty() => {
            // Without MX records the domain is its own mail host (RFC 5321 §5.1).
            let fix = if matches!(mx, MxFact::Implicit { .. }) {
                format!(
                    "publish MX records; or, if {peer} is not to take mail, `{peer}. IN MX 0 .` (RFC \
                     7505 §3)"
                )
            } else {
                format!("publish A and AAAA for {peer}, or remove it from the MX records")
            };
            let words = said("no address record", fix);
            out.add(Id::MxNoAddress, Severity::Error, host.place(), words);
        }
        Answer::Found { .. } | Answer::Absent { .. } => {}
    }
    if let Some(fault) = host.survey.and_then(|survey| survey.aaaa_fault.as_ref()) {
        let fix = "let every name server answer AAAA with the address or a proper denial \
                   (RFC 4074)";
        out.add(Id::AaaaDoeBroken, Severity::Warning, host.place(), said(fault, fix));
    }
}

fn alias(host: &Host<'_>, out: &mut Findings) {
    if let Some(alias) = host.survey.and_then(|survey| survey.alias.as_ref()) {
        let evidence = format!("{} is an alias of {alias}", host.facts.host);
        let fix = format!(
            "let the certificate, the TLSA records and the MTA-STS policy know {alias}, then name it \
             in the MX record (RFC 2181 §10.3)"
        );
        out.add(Id::MxCname, Severity::Warning, host.place(), said(evidence, fix));
    }
}

fn contacts(case: &Case<'_>, host: &Host<'_>, out: &mut Findings) {
    let answers = host.probes().any(|(_, probe)| !matches!(probe.contact, Contact::Unreachable(_)));
    for address in host.addresses() {
        let ip = address.ip;
        let probe = match &address.observed {
            Observed::Probed(probe) => probe,
            // What is wrong with the address itself was said above; there is nothing wrong with our own.
            Observed::Not(Unprobed::Refused(why)) => {
                let own = host.facts.refused.contains(&(ip, Refused::Own));
                if own || !host.facts.refused.iter().any(|(refused, _)| *refused == ip) {
                    let fix = "check from another machine: we do not connect there";
                    let words = said(format!("not looked at: {why}"), fix);
                    out.add(Id::MxPrivateAddress, Severity::Unknown, host.at(ip), words);
                }
                continue;
            }
            Observed::Not(Unprobed::NoTurn) => {
                let words =
                    said("nobody looked: too many asked this operator", "check again later");
                out.add(Id::MxTurnedAway, Severity::Unknown, host.at(ip), words);
                continue;
            }
            // The finding for all of them together is `CUT-SHORT`.
            Observed::Not(Unprobed::OutOfTime) => continue,
            Observed::Not(Unprobed::TooSlow) => {
                let words = said(
                    "nobody looked: hosts of this operator took minutes to answer before",
                    "let them answer at once; check again in half an hour",
                );
                out.add(Id::MxTurnedAway, Severity::Unknown, host.at(ip), words);
                continue;
            }
            Observed::Not(Unprobed::DnsOnly | Unprobed::NoFamily | Unprobed::OverLimit) => continue,
        };
        let (id, severity, evidence, fix) = match &probe.contact {
            Contact::Spoke { .. } => continue,
            Contact::Unreachable(why) => {
                // Where nothing of that family answers, the way out may be what is broken.
                // Of a host that is silent everywhere nothing is known, whatever the reason.
                let severity = if case.family_works(ip) && answers {
                    Severity::Warning
                } else {
                    Severity::Unknown
                };
                let fix = if case.family_works(ip) {
                    "let port 25 of this address answer, or remove the address"
                } else {
                    "check again from a network whose port 25 is open"
                };
                (Id::MxUnreachable, severity, why.clone(), fix)
            }
            Contact::TurnedAway(reply) => (
                Id::MxTurnedAway,
                Severity::Unknown,
                reply.to_string(),
                "check again later, or from an address that the host knows",
            ),
            Contact::Misbehaved(why) => (
                Id::MxMisbehaved,
                Severity::Warning,
                why.clone(),
                "let the host keep to RFC 5321 §4.2 and its limits",
            ),
        };
        out.add(id, severity, host.at(ip), said(evidence, fix));
    }
}

fn without_ipv6(case: &Case<'_>, out: &mut Findings) {
    let mut known = false;
    for host in &case.hosts {
        match &host.facts.addresses {
            Answer::Found { value, .. } if value.iter().any(IpAddr::is_ipv6) => return,
            Answer::Found { .. } => known = true,
            Answer::Absent { .. } => {}
            // It could not be found out.
            Answer::Failed(_) => return,
        }
        if host.survey.is_some_and(|survey| survey.ipv6_unknown().is_some()) {
            return;
        }
    }
    if known {
        let names: Vec<_> = case.hosts.iter().map(|host| host.facts.host.to_string()).collect();
        let evidence = format!("no AAAA record at {}", names.join(", "));
        let fix = "publish AAAA for at least one mail host";
        let place = Place::named(case.domain());
        out.add(Id::MxNoIpv6, Severity::Notice, place, said(evidence, fix));
    }
}
