//! What changed in whether zones are signed, and whether their signatures hold.

use std::time::Duration;

use super::{Changes, Class, Kind, Look, Was};
use crate::{
    assess::Signing,
    dns::{FailureKind, LookupFailure},
    time::UnixTime,
};

/// Signatures that are made for less than this are made while a zone answers, and none of them is there
/// at the next look.
const SHORT: Duration = Duration::from_hours(24 * 5);

/// So long before its end at most nobody had renewed what ran out; partners are looked at daily.
const LATE: Duration = Duration::from_hours(48);

/// The zone of the domain, and those of its mail hosts.
pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let (was, is) = (&before.survey.zone, &after.survey.zone);
    let times = times(before, after);
    zone(was.zone.as_str(), (&was.signing, &is.signing), times, out);
    for host in &after.survey.hosts {
        let Some(then) = before.survey.hosts.iter().find(|then| then.host == host.host) else {
            continue;
        };
        if host.zone.zone != is.zone {
            let signing = (&then.zone.signing, &host.zone.signing);
            zone(host.zone.zone.as_str(), signing, times, out);
        }
    }
}

/// When the two looks were made.
pub(super) const fn times(before: Look<'_>, after: Look<'_>) -> (UnixTime, UnixTime) {
    (before.assessment.checked_at, after.assessment.checked_at)
}

fn zone(
    name: &str,
    (was, is): (&Signing, &Signing),
    times: (UnixTime, UnixTime),
    out: &mut Changes,
) {
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
            match forged(failure, Life::of(was, times)) {
                Some(meaning) => meaning,
                None => return,
            }
        }
        (Signing::Unsigned { .. }, Signing::Signed { .. }) => (Class::Repair, "it is signed now"),
        (Signing::Unsigned { .. }, Signing::Unsigned { .. }) => return,
        (Signing::Failed(failure), Signing::Signed { .. } | Signing::Unsigned { .. }) => {
            if forged(failure, Life::Lasts).is_none() {
                return;
            }
            (Class::Repair, "its signatures hold again")
        }
        (Signing::Failed(_), Signing::Failed(_)) => return,
    };
    out.add(Kind::Dnssec, name, &Was(&words(was), &words(is)), meaning);
}

/// Whether the signatures that an earlier look saw can still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// They can, or that is not known.
    Lasts,
    /// The first of them ran out meanwhile, and was not one of a day.
    RanOut,
}

impl Life {
    /// Of the signatures of a zone as they were seen at `times.0`; it is `times.1` now. Hourly and daily
    /// looks see new ones long before the old ones end, as long as somebody signs.
    pub(super) fn of(was: &Signing, times: (UnixTime, UnixTime)) -> Self {
        let Signing::Signed { first_expiry, signed_at, .. } = was else { return Self::Lasts };
        let long = signed_at.is_none_or(|signed_at| first_expiry.since(signed_at) >= SHORT);
        if long && ran_out(*first_expiry, times) { Self::RanOut } else { Self::Lasts }
    }
}

/// Whether what ends then ran out by itself. Only a look shortly before the end says that nothing came in its
/// place: one that is kept for a month, since something is watched, knows nothing of what was renewed.
pub(super) fn ran_out(ends: UnixTime, (seen_at, now): (UnixTime, UnixTime)) -> bool {
    ends <= now && ends.since(seen_at) <= LATE
}

/// A look-up that fails as it does when somebody changes or takes out what was signed; `None`
/// where it merely failed.
pub(super) const fn forged(failure: &LookupFailure, life: Life) -> Option<(Class, &'static str)> {
    match failure.kind {
        FailureKind::Bogus => Some(match life {
            Life::Lasts => (
                Class::LikelyAttack,
                "signatures do not hold that held and did not run out: somebody changes answers on the \
                 way, or the zone was signed badly",
            ),
            Life::RanOut => (
                Class::Weakening,
                "signatures do not hold, and those of before ran out without new ones: the signer \
                 stopped, as far as can be told",
            ),
        }),
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
