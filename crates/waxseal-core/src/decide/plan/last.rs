//! The last word of a plan: what happens if no host takes the message.
//!
//! It speaks of the channel only. Whether hosts answered 4yz or could not be reached is seen by
//! `settle`, which then retries as any mail.

use std::time::Duration;

use super::{Case, Route, order};
use crate::{
    channel::Demand,
    decide::{Fallback, Origin, transport::Obstacle},
    dns::Absence,
    envelope::TlsAsk,
    facts::{Known, Peer, StsFact},
    memory::Standing,
    reply::EnhancedCode,
    sts::Mode,
    time::UnixTime,
};

/// Nothing is returned for the channel's sake before it was seen failing twice, this far apart
/// (DESIGN §3).
pub(super) const APART: Duration = Duration::from_mins(30);

/// A host and why it is not tried.
pub(super) type Met<'a> = (&'a Peer, Obstacle);

/// What if no host takes it.
pub(super) fn word(
    case: &Case<'_>,
    routes: &[Route],
    obstacles: &[Met<'_>],
    now: UnixTime,
) -> Route {
    let reason = reason(case, routes, obstacles);
    let code = code(routes, obstacles);
    // Without working validation nothing follows but to wait (promise P1).
    if let Some((_, ours)) = obstacles.iter().find(|(_, obstacle)| obstacle.is_ours()) {
        return Route::Wait { until: None, code: ours.code(), reason };
    }
    if routes.is_empty() && obstacles.iter().all(is_unreachable) {
        return Route::Wait { until: None, code, reason };
    }
    if case.ask.tls == TlsAsk::RequireTls {
        return require_tls(case, obstacles, code, reason);
    }
    if routes.is_empty()
        && let Some(until) = obstacles.iter().find_map(goes_on)
    {
        return Route::Wait { until: Some(until), code, reason };
    }
    let over = case
        .short_since
        .is_some_and(|first| now.since(first) >= case.verdict.patience && now >= first);
    // Nobody may be asked or told: to the end of the queue's lifetime.
    if !over || case.origin == Origin::Automatic {
        return Route::Wait { until: None, code, reason };
    }
    let code = EnhancedCode(5, code.1, code.2);
    match case.verdict.fallback {
        Fallback::Hold => Route::Hold { code, reason },
        // A host whose address could not be found out may be the one that is good enough.
        Fallback::Bounce
            if seen_twice(case, now)
                && policy_is_fresh(case)
                && !obstacles.iter().any(is_unknown) =>
        {
            Route::GiveUp { code, reason }
        }
        Fallback::Bounce => {
            Route::Wait { until: None, code: EnhancedCode(4, code.1, code.2), reason }
        }
    }
}

/// REQUIRETLS is returned once every host has answered, and no host may be missing for a reason
/// that can pass (RFC 8689 §4.2.1). A null sender is never dropped for its sake (§5).
fn require_tls(
    case: &Case<'_>,
    obstacles: &[Met<'_>],
    code: EnhancedCode,
    reason: String,
) -> Route {
    let lasting = obstacles.iter().all(|(_, obstacle)| *obstacle == Obstacle::RequireTls);
    if !lasting || case.origin == Origin::Automatic || !policy_is_fresh(case) {
        return Route::Wait { until: None, code, reason };
    }
    Route::GiveUp { code: EnhancedCode(5, 7, 10), reason }
}

/// A domain that does not exist is a permanent error (RFC 5321 §5.1). One that took our mail
/// within 30 days and is gone without a signature may be hidden: that waits.
pub(super) fn no_domain(case: &Case<'_>, absence: Absence, now: UnixTime) -> Route {
    let reason = format!("there is no domain {}", case.facts.destination);
    if absence != Absence::Secure && may_be_forged(case, now) {
        return Route::Wait { until: None, code: EnhancedCode(4, 1, 2), reason };
    }
    Route::GiveUp { code: EnhancedCode(5, 1, 2), reason }
}

/// Mail that would come back to us is returned (RFC 5321 §5.1). Where no signature says that a host
/// is us, and the domain took our mail within 30 days, somebody may only want it returned: that
/// waits.
pub(super) fn loops(case: &Case<'_>, now: UnixTime) -> Route {
    let to = &case.facts.destination;
    let reason = format!("mail for {to} would come back to us: we are its first MX host");
    if !order::we_are_it_for_sure(case.facts) && may_be_forged(case, now) {
        return Route::Wait { until: None, code: EnhancedCode(4, 4, 6), reason };
    }
    Route::GiveUp { code: EnhancedCode(5, 4, 6), reason }
}

/// Whether an unsigned answer that ends everything contradicts what we remember, and patience is
/// not over yet.
fn may_be_forged(case: &Case<'_>, now: UnixTime) -> bool {
    let known = matches!(case.memory.standing(case.facts, now), Standing::Stands(_));
    let over = case.short_since.is_some_and(|first| now.since(first) >= case.verdict.patience);
    known && !over
}

fn seen_twice(case: &Case<'_>, now: UnixTime) -> bool {
    case.short_since.is_some_and(|first| now.since(first) >= APART)
}

/// Whether an enforced policy was fetched, or at least asked for, after the first failure
/// (RFC 8461 §5.1).
fn policy_is_fresh(case: &Case<'_>) -> bool {
    match &case.facts.sts {
        StsFact::Policy { policy, known: Known::Cached, fetched_at, refresh_failed, .. }
            if policy.mode == Mode::Enforce =>
        {
            let asked = case.short_since.is_some_and(|first| *fetched_at >= first);
            asked || refresh_failed.is_some()
        }
        StsFact::Policy { .. }
        | StsFact::Absent { .. }
        | StsFact::Unknown { .. }
        | StsFact::NotAsked => true,
    }
}

const fn is_unreachable((_, obstacle): &Met<'_>) -> bool {
    matches!(obstacle, Obstacle::NoAddress | Obstacle::AddressFailed(_))
}

const fn is_unknown((_, obstacle): &Met<'_>) -> bool {
    matches!(obstacle, Obstacle::AddressFailed(_))
}

const fn goes_on((_, obstacle): &Met<'_>) -> Option<UnixTime> {
    match obstacle {
        Obstacle::StsUnknown { until } => *until,
        Obstacle::NoAddress
        | Obstacle::AddressFailed(_)
        | Obstacle::TlsaFailed(_)
        | Obstacle::NotListed
        | Obstacle::BelowFloor(_)
        | Obstacle::Remembered(_)
        | Obstacle::RequireTls
        | Obstacle::FirstPolicy => None,
    }
}

/// X.7.10 where only encryption is missing, X.7.5 where the peer has to prove something.
fn code(routes: &[Route], obstacles: &[Met<'_>]) -> EnhancedCode {
    let first = routes.iter().find_map(|route| match route {
        Route::Host(host) => Some(&host.demand),
        Route::Wait { .. } | Route::Hold { .. } | Route::GiveUp { .. } => None,
    });
    match (first, obstacles.first()) {
        (Some(Demand::Authenticate(_)), _) => EnhancedCode(4, 7, 5),
        (Some(Demand::Encrypt | Demand::Opportunistic), _) => EnhancedCode(4, 7, 10),
        (None, Some((_, obstacle))) => obstacle.code(),
        (None, None) => EnhancedCode(4, 4, 4),
    }
}

fn reason(case: &Case<'_>, routes: &[Route], obstacles: &[Met<'_>]) -> String {
    let to = &case.facts.destination;
    let verdict = case.verdict;
    if !routes.is_empty() {
        return format!(
            "no host of {to} offered what this message needs (floor {}, rule {})",
            verdict.floor, verdict.rule
        );
    }
    match obstacles.first() {
        Some((host, obstacle)) => obstacle.because(host).fact.into_owned(),
        None => format!("no host of {to} can be used"),
    }
}
