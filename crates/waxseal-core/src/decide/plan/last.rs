//! The last word of a plan: what happens if no host takes the message.
//!
//! It speaks of the channel only. Whether hosts answered 4yz or could not be reached is seen by
//! `settle`, which then retries as any mail.

use std::time::Duration;

use super::{Case, Route, order};
use crate::{
    channel::Demand,
    decide::{Fallback, Lack, Origin, Patience, transport::Obstacle},
    dns::{Absence, Authenticity},
    envelope::TlsAsk,
    facts::{Facts, Known, MxFact, Peer, StsFact},
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
        return require_tls(case, (routes, obstacles), (code, reason), now);
    }
    if routes.is_empty()
        && let Some(until) = obstacles.iter().find_map(goes_on)
    {
        return Route::Wait { until: Some(until), code, reason };
    }
    let patience = Patience::of(case.short_since, case.verdict.patience, now);
    // Nobody may be asked or told: to the end of the queue's lifetime.
    if patience == Patience::Lasts || case.origin == Origin::Automatic {
        return Route::Wait { until: None, code, reason };
    }
    let code = EnhancedCode(5, code.1, code.2);
    match case.verdict.fallback {
        Fallback::Hold => Route::Hold { code, reason },
        // A host whose address could not be found out may be the one that is good enough.
        Fallback::Bounce
            if seen_twice(case, (routes, obstacles), now)
                && policy_is_fresh(case)
                && !obstacles.iter().any(is_unknown) =>
        {
            Route::GiveUp { code, reason, doubt: None }
        }
        Fallback::Bounce => {
            Route::Wait { until: None, code: EnhancedCode(4, code.1, code.2), reason }
        }
    }
}

/// What falls short by what is known: a host without an address, or one whose address could not be
/// found out, says nothing of its channel, and without working validation nothing does.
pub(super) fn lack(obstacles: &[Met<'_>]) -> Lack {
    let ours = obstacles.iter().any(|(_, obstacle)| obstacle.is_ours());
    if ours || obstacles.iter().all(is_unreachable) { Lack::Nothing } else { Lack::Channel }
}

/// The same where no host is looked at: an answer that ends everything may contradict what we know,
/// and an answer that failed says nothing.
pub(super) const fn lack_of_hosts(facts: &Facts) -> Lack {
    match &facts.mx {
        MxFact::Null { .. } | MxFact::NoDomain { .. } => Lack::Destination,
        MxFact::Failed(_) => Lack::Nothing,
        MxFact::Found { .. } | MxFact::Implicit { .. } | MxFact::Configured => {
            if facts.hosts.is_empty() { Lack::Nothing } else { Lack::Destination }
        }
    }
}

/// REQUIRETLS is returned once every host has answered, and no host may be missing for a reason
/// that can pass (RFC 8689 §4.2.1). A channel that was refused may be an attack or a repair, so that
/// it is looked at twice. A null sender is never dropped for its sake (§5).
fn require_tls(
    case: &Case<'_>,
    (routes, obstacles): (&[Route], &[Met<'_>]),
    (code, reason): (EnhancedCode, String),
    now: UnixTime,
) -> Route {
    let lasting = obstacles.iter().all(|(_, obstacle)| *obstacle == Obstacle::RequireTls);
    let fresh = policy_is_fresh(case);
    if !lasting || case.origin == Origin::Automatic || (routes.is_empty() && !fresh) {
        return Route::Wait { until: None, code, reason };
    }
    let doubt = match case.first_seen.refused {
        _ if routes.is_empty() => None,
        Some(first) if now.since(first) >= APART => (!fresh).then_some(now + APART),
        Some(first) => Some(first + APART),
        None => Some(now + APART),
    };
    Route::GiveUp { code: EnhancedCode(5, 7, 10), reason, doubt }
}

/// A null MX is the end (RFC 7505 §3). Unsigned, and against what we know of the domain, somebody may
/// only want its mail returned: that waits.
pub(super) fn null_mx(case: &Case<'_>, authenticity: Authenticity, now: UnixTime) -> Route {
    let reason = format!("{} says in DNS that it takes no mail", case.facts.destination);
    if authenticity != Authenticity::Secure && may_be_forged(case, now) {
        return Route::Wait { until: None, code: EnhancedCode(4, 1, 10), reason };
    }
    Route::GiveUp { code: EnhancedCode(5, 1, 10), reason, doubt: None }
}

/// A domain that does not exist is a permanent error (RFC 5321 §5.1). One that took our mail
/// within 30 days and is gone without a signature may be hidden: that waits.
pub(super) fn no_domain(case: &Case<'_>, absence: Absence, now: UnixTime) -> Route {
    let reason = format!("there is no domain {}", case.facts.destination);
    if absence != Absence::Secure && may_be_forged(case, now) {
        return Route::Wait { until: None, code: EnhancedCode(4, 1, 2), reason };
    }
    Route::GiveUp { code: EnhancedCode(5, 1, 2), reason, doubt: None }
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
    Route::GiveUp { code: EnhancedCode(5, 4, 6), reason, doubt: None }
}

/// Whether an unsigned answer that ends everything contradicts what we know, and patience with that
/// answer is not over yet. What we know is what was achieved within 30 days, and an enforced policy,
/// which names hosts and came over HTTPS (RFC 8461 §3.3).
fn may_be_forged(case: &Case<'_>, now: UnixTime) -> bool {
    let remembered = matches!(case.memory.standing(case.facts, now), Standing::Stands(_));
    let listed = match &case.facts.sts {
        StsFact::Policy { policy, expires, .. } => {
            policy.mode == Mode::Enforce && !policy.mx.is_empty() && now < *expires
        }
        StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => false,
    };
    let patience = Patience::of(case.first_seen.denied, case.verdict.patience, now);
    (remembered || listed) && patience == Patience::Lasts
}

/// Whether what stands in the way now was seen before: connections by themselves, since look-ups
/// that failed for hours say nothing of the first channel that is seen. Where one host must not be
/// asked and no other is ever reached, there is nothing more to see.
fn seen_twice(case: &Case<'_>, (routes, obstacles): (&[Route], &[Met<'_>]), now: UnixTime) -> bool {
    let long = |first: Option<UnixTime>, least| first.is_some_and(|at| now.since(at) >= least);
    match case.first_seen.refused {
        _ if routes.is_empty() => long(case.short_since, APART),
        Some(first) => long(Some(first), APART),
        None => {
            lack(obstacles) == Lack::Channel
                && long(case.short_since, case.verdict.patience + APART)
        }
    }
}

/// Whether it was checked after the first failure that there is no newer policy (RFC 8461 §5): by
/// its record, which names the policy's `id` (§5.1), or by fetching it, or that was tried in vain.
fn policy_is_fresh(case: &Case<'_>) -> bool {
    match &case.facts.sts {
        StsFact::Policy { policy, known: Known::Cached, refresh_failed, .. }
            if policy.mode == Mode::Enforce =>
        {
            let asked = case.short_since.is_some_and(|first| case.facts.at > first);
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
    let fact = obstacles.first().map(|(host, obstacle)| obstacle.because(host).fact);
    if routes.is_empty() {
        return match fact {
            Some(fact) => fact.into_owned(),
            None => format!("no host of {to} can be used"),
        };
    }
    let offered = format!(
        "no host of {to} offered what this message needs (floor {}, rule {})",
        verdict.floor, verdict.rule
    );
    match fact {
        Some(fact) => format!("{offered}; {fact}"),
        None => offered,
    }
}
