//! What changed in whether zones are signed, and whether their signatures hold.

use super::{Changes, Class, Kind, Look, Was};
use crate::{
    assess::Signing,
    dns::{FailureKind, LookupFailure},
};

/// The zone of the domain, and those of its mail hosts.
pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let (was, is) = (&before.survey.zone, &after.survey.zone);
    zone(was.zone.as_str(), &was.signing, &is.signing, out);
    for host in &after.survey.hosts {
        let Some(then) = before.survey.hosts.iter().find(|then| then.host == host.host) else {
            continue;
        };
        if host.zone.zone != is.zone {
            zone(host.zone.zone.as_str(), &then.zone.signing, &host.zone.signing, out);
        }
    }
}

fn zone(name: &str, was: &Signing, is: &Signing, out: &mut Changes) {
    let words = |signing: &Signing| match signing {
        Signing::Signed { algorithms, .. } => format!("signed with {algorithms:?}"),
        Signing::Unsigned { because } => format!("unsigned: {because}"),
        Signing::Failed(failure) => failure.to_string(),
        Signing::NotAsked => String::new(),
    };
    let meaning = match (was, is) {
        (Signing::NotAsked, _) | (_, Signing::NotAsked) => return,
        (Signing::Signed { algorithms: one, .. }, Signing::Signed { algorithms: other, .. }) => {
            if one == other {
                return;
            }
            (Class::Drift, "the keys were rolled to another algorithm")
        }
        (Signing::Signed { .. }, Signing::Unsigned { .. }) => {
            (Class::Weakening, "the parent zone proves that there is no DS record any more")
        }
        (Signing::Signed { .. } | Signing::Unsigned { .. }, Signing::Failed(failure)) => {
            match forged(failure) {
                Some(meaning) => meaning,
                None => return,
            }
        }
        (Signing::Unsigned { .. }, Signing::Signed { .. }) => (Class::Repair, "it is signed now"),
        (Signing::Unsigned { .. }, Signing::Unsigned { .. }) => return,
        (Signing::Failed(failure), Signing::Signed { .. } | Signing::Unsigned { .. }) => {
            if forged(failure).is_none() {
                return;
            }
            (Class::Repair, "its signatures hold again")
        }
        (Signing::Failed(_), Signing::Failed(_)) => return,
    };
    out.add(Kind::Dnssec, name, &Was(&words(was), &words(is)), meaning);
}

/// A look-up that fails as it does when somebody changes or takes out what was signed; `None`
/// where it merely failed.
pub(super) const fn forged(failure: &LookupFailure) -> Option<(Class, &'static str)> {
    match failure.kind {
        FailureKind::Bogus => Some((
            Class::LikelyAttack,
            "signatures do not hold: an expired signature, or somebody changes answers on the way",
        )),
        FailureKind::Indeterminate
        | FailureKind::SignaturesStripped
        | FailureKind::Clock
        | FailureKind::ServFail
        | FailureKind::Refused
        | FailureKind::Timeout
        | FailureKind::Unreachable
        | FailureKind::Malformed
        | FailureKind::Limit => None,
    }
}
