//! What the MTA-STS policy lists and no MX record calls for (RFC 8461 §4.1): hosts of yesterday and of
//! tomorrow. No mail goes there, so that nothing here touches the level.

use std::net::IpAddr;

use super::{
    case::{Case, Findings, Place, said},
    sts::{handshake_fault, wanted_record, without_tls},
};
use crate::{
    assess::{
        AddressSurvey, Contact, Id, KeyKind, MOST_UNUSED, Observed, Probe, Severity, Tried,
        Unprobed, UnusedHost,
    },
    dns::{Answer, Denial},
    facts::Refused,
    pki,
    sts::{Mode, Policy},
};

pub(super) fn judge(case: &Case<'_>, policy: &Policy, out: &mut Findings) {
    for host in &case.survey.policy.unused.hosts {
        one(case, policy, host, out);
    }
    beyond(case, out);
    patterns(case, out);
}

/// What is to be done about a line that nobody needs.
fn take_out(case: &Case<'_>, line: &str) -> String {
    format!("take the line `mx: {line}` out of the policy, then publish {}", wanted_record(case))
}

fn one(case: &Case<'_>, policy: &Policy, host: &UnusedHost, out: &mut Findings) {
    let name = &host.host;
    let line = take_out(case, name.as_str());
    let expected = format!("nothing, if an MX record is to name it soon; otherwise {line}");
    let (severity, evidence, fix) = match &host.facts.addresses {
        Answer::Failed(failure) => (
            Severity::Unknown,
            format!("where it leads could not be found out: {failure}"),
            format!("check again; {expected}"),
        ),
        Answer::Absent { denial: Denial::NxDomain, .. } => {
            let (what, fix) = missing(case, host, &line);
            (Severity::Warning, what, fix)
        }
        Answer::Found { value, .. } if !value.is_empty() => {
            (Severity::Notice, outlook(case, policy, host, out), expected)
        }
        Answer::Found { .. } | Answer::Absent { .. } => {
            let (severity, what) = nowhere(host);
            (severity, what.to_owned(), expected)
        }
    };
    let evidence = format!("the policy lists it, and no MX record names it; {evidence}");
    out.add(Id::StsMxUnused, severity, Place::named(name), said(evidence, fix));
}

/// A name that is not there: in a domain of others somebody may get it.
fn missing(case: &Case<'_>, host: &UnusedHost, line: &str) -> (String, String) {
    let name = &host.host;
    let danger = "gets a certificate for it, and with a forged MX record the mail";
    if let Some(free) = &host.unregistered {
        let evidence = format!("there is no such name, nor a domain {free}");
        return (evidence, format!("{line}; whoever registers {free} {danger}"));
    }
    let evidence = "there is no such name".to_owned();
    if name.operator() == case.domain().operator() {
        return (evidence, format!("publish its addresses if it is to come; otherwise {line}"));
    }
    (evidence, format!("{line}; whoever gets the name {danger}"))
}

/// A name without an address that we would connect to.
fn nowhere(host: &UnusedHost) -> (Severity, &'static str) {
    let refused = |why| host.facts.refused.iter().any(|(_, refused)| *refused == why);
    if refused(Refused::Own) {
        (Severity::Notice, "it is this gateway, which does not look at itself")
    } else if host.facts.refused.is_empty() {
        (Severity::Warning, "it has no address")
    } else {
        (
            Severity::Warning,
            "its addresses are private, loopback or otherwise unusable, and nobody connected there",
        )
    }
}

/// What one look came to.
enum Seen {
    /// A sender with MTA-STS would deliver.
    Passes,
    /// It would not, and why.
    Fails(Option<KeyKind>, String),
    /// It could not be seen.
    Not(String),
}

/// Whether a sender with MTA-STS would deliver to it, in words; what would keep one from it is a finding
/// of its own.
fn outlook(case: &Case<'_>, policy: &Policy, host: &UnusedHost, out: &mut Findings) -> String {
    let (mut passes, mut fails, mut unseen) = (false, false, None);
    for address in &host.addresses {
        for seen in looks(case, host, address) {
            match seen {
                Seen::Passes => passes = true,
                Seen::Fails(key, fault) => {
                    fails = true;
                    unready(policy, host, (address.ip, key, fault), out);
                }
                Seen::Not(why) => unseen = unseen.or(Some(why)),
            }
        }
    }
    match (fails, passes, unseen) {
        (true, _, _) => "it would not pass".into(),
        (false, true, None) => {
            "it would pass: STARTTLS, and a certificate that holds for its name".into()
        }
        (false, true, Some(why)) => format!("it would pass, as far as it was seen: {why}"),
        (false, false, Some(why)) => format!("whether it would pass was not seen: {why}"),
        (false, false, None) => "whether it would pass was not seen".into(),
    }
}

type Fault = (IpAddr, Option<KeyKind>, String);

fn unready(policy: &Policy, host: &UnusedHost, (ip, key, fault): Fault, out: &mut Findings) {
    let severity = match policy.mode {
        Mode::Enforce => Severity::Warning,
        Mode::Testing | Mode::None => Severity::Notice,
    };
    let name = &host.host;
    let place = Place::named(name).at(ip);
    let place = match key {
        Some(key) => place.with(key),
        None => place,
    };
    let evidence = format!("only the policy lists it; {fault}");
    let fix = format!(
        "before an MX record names it, let STARTTLS work there with a certificate for {name} from a \
         public CA; or take the host out of the policy"
    );
    out.add(Id::StsMxUnready, severity, place, said(evidence, fix));
}

fn looks(case: &Case<'_>, host: &UnusedHost, address: &AddressSurvey) -> Vec<Seen> {
    let probe = match &address.observed {
        Observed::Probed(probe) => probe,
        Observed::Not(why) => {
            let why = match why {
                Unprobed::Refused(_) | Unprobed::OverLimit => return Vec::new(),
                Unprobed::DnsOnly => "only DNS was asked",
                Unprobed::NoFamily => "we have no way to one of its addresses",
                Unprobed::NoTurn => "too many asked its operator",
                Unprobed::OutOfTime => "the time for the domain was used up",
                Unprobed::TooSlow => "its operator's hosts are too slow",
            };
            return vec![Seen::Not(why.into())];
        }
    };
    let starttls = match &probe.contact {
        Contact::Unreachable(why) => return vec![Seen::Not(format!("no connection: {why}"))],
        Contact::TurnedAway(reply) => {
            return vec![Seen::Not(format!("it turned us away: {reply}"))];
        }
        Contact::Misbehaved(why) => return vec![Seen::Not(why.clone())],
        Contact::Spoke { starttls, .. } => starttls,
    };
    match without_tls(starttls) {
        Some(fault) => vec![Seen::Fails(None, fault.into())],
        None => handshakes(case, host, probe),
    }
}

fn handshakes(case: &Case<'_>, host: &UnusedHost, probe: &Probe) -> Vec<Seen> {
    let names = std::slice::from_ref(&host.host);
    let seen = probe.handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(offered) => {
            let chain = offered.session().chain;
            let held = pki::valid_for(&chain, case.against.roots, names, case.against.now);
            Some(match held {
                Ok(_) => Seen::Passes,
                Err(fault) => Seen::Fails(Some(one.key), fault.to_string()),
            })
        }
        // The same with each kind of key.
        Tried::NoSuchKey | Tried::Failed { .. } => None,
        Tried::Unknown(why) => Some(Seen::Not(why.clone())),
    });
    let failed = handshake_fault(probe);
    let failed = failed.map(|why| Seen::Fails(None, format!("no handshake works: {why}")));
    seen.chain(failed).collect()
}

fn beyond(case: &Case<'_>, out: &mut Findings) {
    let more = case.survey.policy.unused.more_hosts;
    if more > 0 {
        let evidence = format!(
            "the policy lists {more} more hosts that no MX record names; nobody looked at those, as \
             only the first {MOST_UNUSED} are looked at"
        );
        let fix = "list the hosts that take the mail, and those that soon will";
        let words = said(evidence, fix);
        out.add(Id::StsMxUnused, Severity::Notice, Place::named(case.domain()), words);
    }
}

/// No host stands for a pattern, so that there is nothing to look up.
fn patterns(case: &Case<'_>, out: &mut Findings) {
    let unused = &case.survey.policy.unused;
    let Some(first) = unused.patterns.first() else { return };
    let named: Vec<_> = unused.patterns.iter().map(ToString::to_string).collect();
    let more = match unused.more_patterns {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let evidence = format!(
        "no MX host matches mx: {}{more}; which hosts are meant nobody can tell, so that none was \
         looked at",
        named.join(", ")
    );
    let fix = format!(
        "nothing, if MX records are to name hosts there soon; otherwise {}",
        take_out(case, &first.to_string())
    );
    let place = Place::named(case.domain());
    out.add(Id::StsMxUnused, Severity::Notice, place, said(evidence, fix));
}
