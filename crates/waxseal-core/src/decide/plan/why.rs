//! Why the level is not higher: every result says so.

use super::{Case, Route};
use crate::{
    channel::Level,
    decide::transport::NamedBy,
    dns::Answer,
    facts::{Dane, HostFacts, MxFact, NoTlsa, StsFact},
    sts::Mode,
};

/// Why the first host to try does not reach `dane` or `pinned`.
pub(super) fn not_higher(case: &Case<'_>, routes: &[Route]) -> Option<String> {
    let first = routes.iter().find_map(|route| match route {
        Route::Host(host) => Some(host),
        Route::Wait { .. } | Route::Hold { .. } | Route::GiveUp { .. } => None,
    });
    let Some(first) = first else { return no_route(case) };
    if matches!(first.level, Level::Dane | Level::Pinned) {
        return None;
    }
    let host = case.facts.hosts.iter().find(|host| host.host == first.peer)?;
    let mut why = no_dane(case, host);
    let also = match first.level {
        Level::Cleartext | Level::Encrypted | Level::Named => no_sts(&case.facts.sts),
        Level::StsFirst => "; its MTA-STS policy was not known before",
        Level::Sts | Level::Anchored | Level::Dane | Level::Pinned => "",
    };
    why.push_str(also);
    Some(why)
}

/// Why there is no host at all to reach anything with.
pub(super) fn no_route(case: &Case<'_>) -> Option<String> {
    let to = &case.facts.destination;
    Some(match &case.facts.mx {
        MxFact::Null { .. } => format!("{to} takes no mail"),
        MxFact::NoDomain { .. } => format!("there is no domain {to}"),
        MxFact::Failed(failure) => format!("the MX records could not be found out: {failure}"),
        MxFact::Found { .. } | MxFact::Implicit { .. } | MxFact::Configured => {
            let host = case.facts.hosts.first()?;
            format!("no host of {to} is tried now; {}", no_dane(case, host))
        }
    })
}

fn no_dane(case: &Case<'_>, host: &HostFacts) -> String {
    let to = &case.facts.destination;
    let peer = &host.host;
    match (&host.dane, NamedBy::of(&case.facts.mx)) {
        (Dane::Usable { .. }, NamedBy::Path) => {
            format!("{peer} publishes TLSA but the MX records of {to} are unsigned")
        }
        (Dane::Usable { .. }, NamedBy::Dnssec | NamedBy::Administrator) => {
            format!("{peer} publishes TLSA, and this message waives it")
        }
        (Dane::Unusable { .. }, _) => format!("no TLSA record of {peer} can be used"),
        (Dane::LookupFailed(failure), _) => {
            format!("the TLSA records of {peer} could not be found out: {}", failure.detail)
        }
        (Dane::Absent(NoTlsa::InsecureAddress), _) => format!("the zone of {peer} is unsigned"),
        (Dane::Absent(NoTlsa::Denied), _) => format!("{peer} publishes no TLSA records"),
        (Dane::Absent(NoTlsa::InsecureAnswer), _) => format!("the TLSA zone of {peer} is unsigned"),
        (Dane::Absent(NoTlsa::Literal), _) => format!("{peer} is an address without a name"),
        (Dane::Absent(NoTlsa::NoAddress), _) => match &host.addresses {
            Answer::Failed(failure) => {
                format!("the addresses of {peer} could not be found out: {}", failure.detail)
            }
            Answer::Found { .. } | Answer::Absent { .. } => format!("{peer} has no usable address"),
        },
    }
}

const fn no_sts(fact: &StsFact) -> &'static str {
    match fact {
        StsFact::NotAsked => "",
        StsFact::Absent { .. } => "; there is no MTA-STS policy",
        StsFact::Unknown { .. } => "; its MTA-STS policy could not be found out",
        StsFact::Policy { policy, .. } => match policy.mode {
            Mode::Testing => "; its MTA-STS policy is in testing",
            Mode::None => "; its MTA-STS policy is withdrawn",
            Mode::Enforce => "; its MTA-STS policy is not applied to this message",
        },
    }
}
