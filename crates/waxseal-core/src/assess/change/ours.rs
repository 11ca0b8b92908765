//! Mail hosts that the records of a domain of ours name and we did not.

use std::collections::BTreeSet;

use super::{
    Change, Class, Keepers, Kind, Weight,
    addresses::listed,
    hosts::{facts_of, shows_old_key},
};
use crate::{
    assess::{HostSurvey, Quoted, Survey},
    dns::{Absence, Answer, Authenticity},
    domain::Domain,
    facts::MxFact,
    time::UnixTime,
};

/// What stands for a null MX (RFC 7505 §3).
pub(super) const NOBODY: &str = ".";

/// Where the mail of a domain of ours goes beside `ours`, the hosts that its configuration names; none
/// where that names none, and none where the records could not be had. `keepers` are
/// the name servers that were seen before this look.
///
/// Who can bring that about decides: an answer that nobody signs is changed on the path, and whoever
/// took over the account at the registrar delegates the domain anew, with keys of their own where they
/// care to sign. Either is a likely attack, also where only some resolvers are led away because some
/// servers of before were left in place. What one of those says as well comes from whoever keeps the
/// zone, and a host that was there at the first look may be missing in the list: a weakening.
pub fn strangers(
    before: Option<&Survey>,
    after: &Survey,
    ours: &[Domain],
    (keepers, at): (&Keepers, UnixTime),
) -> Vec<Change> {
    let Some((signed, mut now)) = mail_hosts(after).filter(|_| !ours.is_empty()) else {
        return Vec::new();
    };
    // Our resolver may have asked one of the others.
    now.extend(keepers.named_by_new_ones(after, at));
    let then = before.and_then(mail_hosts).map(|(_, names)| names);
    let ours: BTreeSet<String> = ours.iter().map(Domain::to_string).collect();
    let list = ours.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let domain = &after.facts.destination;
    let strange = now.into_iter().filter(|name| !ours.contains(name));
    let change = |name: String| {
        let stood = then.as_ref().is_none_or(|then| then.contains(&name));
        let moved = keepers.moved(after, &name, at);
        let (who, why) = match (stood, signed) {
            (true, _) => (Who::Keeper, "it was there when the domain was looked at first, and"),
            (false, _) if moved => (
                Who::Registrar,
                "it is new, only name servers that were not there a month ago say so, and",
            ),
            (false, Signed::No) => (Who::Path, "it is new, nothing signs it, and"),
            (false, Signed::Yes) => (Who::Keeper, "it is new and signed by the zone, and"),
        };
        let text = |text: &str| String::from(Quoted::new(text));
        let because =
            format!("{why} [domain.publish] mx does not name it. {}", advice(&name, domain, who));
        Change {
            kind: Kind::Mx,
            subject: text(&format!("{domain} MX {name}")),
            before: text(&list),
            after: text(&name),
            class: match who {
                Who::Path | Who::Registrar => Class::LikelyAttack,
                Who::Keeper => Class::Weakening,
            },
            because,
            weight: Weight::Standing,
        }
    };
    strange.map(change).collect()
}

/// Mail hosts within a domain of ours that kept their name and are elsewhere since its zone is at other name
/// servers: whoever took over the account at the registrar signs what they like there, TLSA records and
/// a certificate with it. `keepers` are the name servers that were seen before this look. A host that
/// shows a key of before at each of its new addresses is where its owner brought it.
pub fn relocated(
    before: &Survey,
    after: &Survey,
    (keepers, at): (&Keepers, UnixTime),
) -> Vec<Change> {
    let domain = &after.facts.destination;
    let change = |host: &HostSurvey| {
        let then = before.hosts.iter().find(|then| then.host == host.host)?;
        let (was, is) = (facts_of(&before.facts, then)?, facts_of(&after.facts, host)?);
        let (Answer::Found { value: was, .. }, Answer::Found { value: is, .. }) =
            (&was.addresses, &is.addresses)
        else {
            return None;
        };
        let mut fresh = is.iter().filter(|ip| !was.contains(ip));
        let strange = fresh.any(|ip| !shows_old_key(then, host, *ip));
        if !strange || !keepers.moved_host(after, host, at) {
            return None;
        }
        let text = |text: &str| String::from(Quoted::new(text));
        Some(Change {
            kind: Kind::Addresses,
            subject: text(&host.host.to_string()),
            before: text(&listed(was)),
            after: text(&listed(is)),
            class: Class::LikelyAttack,
            because: "only name servers that were not there a month ago say so, and no key of before is \
                      shown there. If you moved both, the zone and the host, nothing is wrong. If not: \
                      look at the account at the registrar: which name servers and DS records it has"
                .into(),
            weight: Weight::Ordinary,
        })
    };
    after.hosts.iter().filter(|host| host.host.is_within(domain)).filter_map(change).collect()
}

/// Who can have brought a host into the records.
#[derive(Clone, Copy)]
enum Who {
    /// Somebody on the path.
    Path,
    /// Whoever has the account at the registrar.
    Registrar,
    /// Whoever keeps the zone: most often us.
    Keeper,
}

/// What to do about it, for somebody who was woken by it.
fn advice(name: &str, domain: &Domain, who: Who) -> String {
    let domain = Quoted::new(domain.as_str());
    let yours = match name {
        NOBODY => format!("take mx out of [domain.publish] of {domain}"),
        _ => format!("add {} to mx in [domain.publish] of {domain}", Quoted::new(name)),
    };
    let not_yours = match who {
        Who::Registrar => {
            "look at the account at the registrar: which name servers and DS records it has"
        }
        Who::Path => {
            "look at the MX records in your zone; if they are right there, somebody on the path forges \
             them"
        }
        Who::Keeper => "correct the MX records",
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
