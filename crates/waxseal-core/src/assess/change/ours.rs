//! Mail hosts that the records of a domain of ours name and we did not.

use std::collections::BTreeSet;

use super::{Change, Class, Kind, Weight};
use crate::{
    assess::{NameServers, Quoted, Survey},
    dns::{Absence, Authenticity},
    domain::Domain,
    facts::MxFact,
};

/// What stands for a null MX (RFC 7505 §3).
const NOBODY: &str = ".";

/// Where the mail of a domain of ours goes beside `ours`, the hosts that its configuration names; none
/// where that names none, and none where the records could not be had.
///
/// Who can bring that about decides: an answer that nobody signs is changed on the path, and whoever
/// took over the account at the registrar delegates the domain anew, with keys of their own where they
/// care to sign. Either is a likely attack. A signed answer from the servers of before comes from
/// whoever keeps the zone, and a host that was there at the first look may be missing in the list:
/// a weakening.
pub fn strangers(before: Option<&Survey>, after: &Survey, ours: &[Domain]) -> Vec<Change> {
    let Some((signed, now)) = mail_hosts(after).filter(|_| !ours.is_empty()) else {
        return Vec::new();
    };
    let then = before.and_then(mail_hosts).map(|(_, names)| names);
    let ours: BTreeSet<String> = ours.iter().map(Domain::to_string).collect();
    let list = ours.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let moved = before.is_some_and(|before| delegated_anew(before, after));
    let domain = &after.facts.destination;
    let strange = now.into_iter().filter(|name| !ours.contains(name));
    let change = |name: String| {
        let stood = then.as_ref().is_none_or(|then| then.contains(&name));
        let (class, why) = match (stood, signed) {
            (true, _) => (
                Class::Weakening,
                "it was there when the domain was looked at first, and [domain.publish] mx does not \
                 name it",
            ),
            (false, Signed::No) => (
                Class::LikelyAttack,
                "it is new, nothing signs it, and [domain.publish] mx does not name it",
            ),
            (false, Signed::Yes) if moved => (
                Class::LikelyAttack,
                "it is new, [domain.publish] mx does not name it, and the domain is at other name \
                 servers than before",
            ),
            (false, Signed::Yes) => (
                Class::Weakening,
                "it is new and signed by the zone, and [domain.publish] mx does not name it",
            ),
        };
        let text = |text: &str| String::from(Quoted::new(text));
        let because = format!("{why}. {}", advice(&name, domain, (class, signed)));
        Change {
            kind: Kind::Mx,
            subject: text(&format!("{domain} MX {name}")),
            before: text(&list),
            after: text(&name),
            class,
            because,
            weight: Weight::Standing,
        }
    };
    strange.map(change).collect()
}

/// What to do about it, for somebody who was woken by it.
fn advice(name: &str, domain: &Domain, (class, signed): (Class, Signed)) -> String {
    let domain = Quoted::new(domain.as_str());
    let yours = match name {
        NOBODY => format!("take mx out of [domain.publish] of {domain}"),
        _ => format!("add {} to mx in [domain.publish] of {domain}", Quoted::new(name)),
    };
    let not_yours = match (class, signed) {
        (Class::LikelyAttack, Signed::Yes) => {
            "look at the account at the registrar: which name servers and DS records it has"
        }
        (Class::LikelyAttack, Signed::No) => {
            "look at the MX records in your zone; if they are right there, somebody on the path forges \
             them"
        }
        (Class::Repair | Class::Drift | Class::Weakening, _) => "correct the MX records",
    };
    format!("If this was you: {yours}, and reload. If not: {not_yours}")
}

/// Whether an answer was signed, or its absence was.
#[derive(Clone, Copy)]
enum Signed {
    Yes,
    No,
}

/// Where mail goes; `None` where that could not be found out.
fn mail_hosts(survey: &Survey) -> Option<(Signed, BTreeSet<String>)> {
    let is_secure = match &survey.facts.mx {
        MxFact::Found { authenticity, .. } | MxFact::Null { authenticity, .. } => {
            *authenticity == Authenticity::Secure
        }
        MxFact::Implicit { absence, .. } => *absence == Absence::Secure,
        // Told as a domain that is gone.
        MxFact::NoDomain { .. } | MxFact::Configured | MxFact::Failed(_) => return None,
    };
    let signed = if is_secure { Signed::Yes } else { Signed::No };
    let names = match &survey.facts.mx {
        MxFact::Null { .. } => BTreeSet::from([NOBODY.to_owned()]),
        MxFact::Found { .. }
        | MxFact::Implicit { .. }
        | MxFact::NoDomain { .. }
        | MxFact::Configured
        | MxFact::Failed(_) => {
            survey.facts.hosts.iter().map(|host| host.host.to_string()).collect()
        }
    };
    Some((signed, names))
}

/// Whether none of the name servers is one of before.
fn delegated_anew(before: &Survey, after: &Survey) -> bool {
    let names = |survey: &Survey| -> BTreeSet<String> {
        match &survey.name_servers {
            NameServers::Found(servers) => {
                servers.iter().map(|server| server.name.to_string()).collect()
            }
            NameServers::NotAsked | NameServers::Failed(_) => BTreeSet::new(),
        }
    };
    let (then, now) = (names(before), names(after));
    !then.is_empty() && !now.is_empty() && then.is_disjoint(&now)
}
