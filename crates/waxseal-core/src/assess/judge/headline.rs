//! The one sentence for people who decide: what would who only listens, and who interferes, obtain?

use super::{
    Delivery,
    case::Case,
    level::{Outcome, Weakest, harmless, planned},
};
use crate::{
    channel::Level,
    dns::Absence,
    facts::{MxFact, Peer},
};

/// The headline, and why the level is not higher.
pub(super) struct Words {
    pub(super) headline: String,
    pub(super) why_not_higher: Option<String>,
}

pub(super) fn words(
    case: &Case<'_>,
    delivery: Delivery,
    weakest: Option<&Weakest>,
    outcomes: &[Outcome],
) -> Words {
    let headline = match (delivery, weakest) {
        (Delivery::Delivers, Some(weakest)) => {
            format!("{}{}", obtained(case, weakest), silent(case, outcomes))
        }
        (Delivery::TakesNoMail, _) => nobody(case),
        (Delivery::Refuses, _) => format!(
            "Our gateway would not deliver to {}: {}. Nobody obtains anything, and no mail arrives.",
            case.domain(),
            reason(case, outcomes)
        ),
        (Delivery::Unknown | Delivery::Delivers, _) => unknown(case, outcomes),
    };
    let why_not_higher = weakest.and_then(|weakest| why(case, weakest));
    Words {
        headline: harmless(&headline),
        why_not_higher: why_not_higher.map(|why| harmless(&why)),
    }
}

fn obtained(case: &Case<'_>, weakest: &Weakest) -> String {
    let domain = case.domain();
    let host = case.hosts.get(weakest.host);
    let demanded = host.and_then(|host| host.route.as_ref().ok()).map(|route| route.level);
    let host = host.map_or_else(|| domain.to_string(), |host| host.facts.host.to_string());
    match weakest.level {
        Level::Cleartext => format!(
            "Whoever listens on the way reads the mail to {domain}: {host} offers no TLS that works, \
             and nothing that is published demands it."
        ),
        // Records that nobody can use still say that there is TLS (RFC 7672 §2.2).
        Level::Encrypted if demanded == Some(Level::Encrypted) => format!(
            "Whoever only listens learns nothing of the mail to {domain}; whoever interferes can \
             pose as {host} and read it."
        ),
        Level::Encrypted => format!(
            "Whoever only listens learns nothing of the mail to {domain}; whoever interferes can \
             pose as {host}, or take the encryption away, and read it."
        ),
        // Nobody insists on the certificate, so that it is worth no more than none.
        Level::Named if demanded != Some(Level::Named) => format!(
            "Whoever only listens learns nothing of the mail to {domain}; whoever interferes can \
             pose as {host} and read it: its certificate is good, and nothing tells us to insist \
             on it."
        ),
        Level::Named => format!(
            "Whoever only listens learns nothing of the mail to {domain}; whoever interferes can \
             name a mail host of their own, since nothing vouches for the name {host}, and read it."
        ),
        Level::StsFirst => format!(
            "Whoever only listens learns nothing of the mail to {domain}; whoever interferes does \
             not either, unless already there at our first contact, when MTA-STS can be hidden, or \
             unless a public CA is brought to issue a false certificate for {host}."
        ),
        Level::Sts | Level::Anchored => format!(
            "Neither who listens nor who interferes learns anything of the mail to {domain}, unless \
             a public CA is brought to issue a false certificate for {host}."
        ),
        Level::Dane => format!(
            "Neither who listens nor who interferes learns anything of the mail to {domain}: DNSSEC \
             and DANE say which key {host} has."
        ),
        Level::Pinned => format!(
            "Neither who listens nor who interferes learns anything of the mail to {domain}: the \
             key of {host} was agreed with us."
        ),
    }
}

/// What was not seen of the hosts that take no mail now.
fn silent(case: &Case<'_>, outcomes: &[Outcome]) -> String {
    let silent = case.hosts.iter().zip(outcomes).filter_map(|(host, outcome)| match outcome {
        Outcome::Silent(_) => Some(host.facts.host.to_string()),
        Outcome::Level(_) | Outcome::Refused(_) | Outcome::Unknown(_) => None,
    });
    let silent: Vec<_> = silent.collect();
    match silent.as_slice() {
        [] => String::new(),
        [one] => format!(" {one} does not answer; what it offers could not be found out."),
        several => format!(
            " {} do not answer; what they offer could not be found out.",
            several.join(" and ")
        ),
    }
}

fn nobody(case: &Case<'_>) -> String {
    let domain = case.domain();
    match &case.survey.facts.mx {
        MxFact::NoDomain { absence: Absence::Secure | Absence::Agreed, .. } => {
            format!("There is no domain {domain}.")
        }
        MxFact::NoDomain { absence: Absence::Unconfirmed, .. } => format!(
            "There is no domain {domain}, as far as DNS without signatures can tell: somebody on \
             the path could hide it."
        ),
        MxFact::Null { .. }
        | MxFact::Found { .. }
        | MxFact::Implicit { .. }
        | MxFact::Configured
        | MxFact::Failed(_) => format!("{domain} takes no mail."),
    }
}

fn unknown(case: &Case<'_>, outcomes: &[Outcome]) -> String {
    let domain = case.domain();
    let why = reason(case, outcomes);
    let demanded: Vec<_> = case
        .hosts
        .iter()
        .filter_map(|host| host.route.as_ref().ok())
        .map(|route| route.level)
        .collect();
    let weakest = demanded.into_iter().min_by_key(|level| super::level::strength(*level));
    let promise = match weakest {
        Some(
            level @ (Level::StsFirst | Level::Sts | Level::Anchored | Level::Dane | Level::Pinned),
        ) => {
            format!(" What it publishes is enough for us to deliver with {level} or not at all.")
        }
        Some(Level::Cleartext | Level::Encrypted | Level::Named) | None => String::new(),
    };
    format!("What protects the mail to {domain} could not be found out: {why}.{promise}")
}

fn reason(case: &Case<'_>, outcomes: &[Outcome]) -> String {
    if let MxFact::Failed(failure) = &case.survey.facts.mx {
        return failure.to_string();
    }
    let named = case.hosts.iter().zip(outcomes);
    let unknown = named.clone().find_map(|(host, outcome)| match outcome {
        Outcome::Unknown(why) | Outcome::Silent(why) => Some(at(&host.facts.host, why)),
        Outcome::Level(_) | Outcome::Refused(_) => None,
    });
    let refused = named.into_iter().find_map(|(host, outcome)| match outcome {
        Outcome::Refused(why) => Some(at(&host.facts.host, why)),
        Outcome::Level(_) | Outcome::Silent(_) | Outcome::Unknown(_) => None,
    });
    unknown.or(refused).unwrap_or_else(|| "it names no host that can be used".into())
}

/// What happened to a host, which a failed look-up names already.
fn at(host: &Peer, why: &str) -> String {
    let name = format!("{host}: ");
    if why.starts_with(&name) { why.to_owned() } else { format!("{name}{why}") }
}

/// The plan says so of its first host; the weakest one is what counts here.
fn why(case: &Case<'_>, weakest: &Weakest) -> Option<String> {
    let host = case.hosts.get(weakest.host)?;
    let mut facts = case.survey.facts.clone();
    facts.hosts = vec![host.facts.clone()];
    let why = planned(&facts, case.against).why_not_higher?;
    Some(match weakest.level {
        Level::Cleartext => format!("{} has no working STARTTLS, and {why}", host.facts.host),
        Level::Encrypted
        | Level::Named
        | Level::StsFirst
        | Level::Sts
        | Level::Anchored
        | Level::Dane
        | Level::Pinned => why,
    })
}
