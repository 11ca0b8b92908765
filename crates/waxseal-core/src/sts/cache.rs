//! What is remembered of a destination's policy, and what to fetch when (RFC 8461 §3.3, §5.1).
//!
//! A policy that was once had holds until its `max_age` runs out, whatever fails in between: the
//! record gone, its `id` changed, HTTPS blocked (§10.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mode, Policy, record::PolicyId};
use crate::{
    dns::{Absence, LookupFailure},
    facts::{Known, StsFact, StsFailure},
    time::UnixTime,
};

/// A failed fetch is not repeated for the same `id` before this (RFC 8461 §3.3).
pub const FETCH_PAUSE: Duration = Duration::from_secs(300);

/// Policies are fetched again about daily (RFC 8461 §3.3).
pub const REFRESH: Duration = Duration::from_secs(24 * 3600);

/// A policy holds for the attempt that fetched it, also with a `max_age` of 0, which RFC 8461 §3.2
/// allows: what was fetched is known, and nobody waits for it.
pub const LEAST: Duration = Duration::from_secs(60);

/// Failures that are further apart are two: between them nobody looked, and one that an attacker made
/// long ago must not use up the patience with the next one.
const ONE_FAILURE: Duration = REFRESH;

/// A refresh that failed is repeated about hourly.
const REFRESH_PAUSE: Duration = Duration::from_secs(3600);

/// All that is remembered of one destination; kept in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The last good policy.
    pub policy: Option<Kept>,
    /// The last fetch, where it failed.
    pub failed: Option<Failed>,
    /// Since when nothing could be found out: no policy, and no clean answer that there is none.
    pub failing_since: Option<UnixTime>,
    /// When it was last seen to fail. `None` in what older versions of us kept.
    #[serde(default)]
    pub failing_at: Option<UnixTime>,
}

/// A policy that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it says.
    pub policy: Policy,
    /// `id` of the record that announced it; `None` where a refresh came without a record.
    pub id: Option<PolicyId>,
    /// When it was fetched last.
    pub fetched_at: UnixTime,
    /// Since when each policy that was fetched had this mode; `None` where an older version of us
    /// fetched it.
    #[serde(default)]
    pub mode_since: Option<UnixTime>,
}

impl Kept {
    /// When it ends; not before [`LEAST`] is over.
    pub fn expires(&self) -> UnixTime {
        self.fetched_at + self.policy.max_age.max(LEAST)
    }

    /// Whether it holds.
    pub fn holds(&self, now: UnixTime) -> bool {
        now < self.expires()
    }

    /// When it is due to be fetched again: daily, and well before a shorter `max_age` ends. One that
    /// ends within minutes is fetched by the attempts that need it: keeping it alive would be a
    /// fetch a minute for nobody. One that was fetched at a time that has not come, by a clock that was set
    /// right since, is due now.
    pub fn due(&self, now: UnixTime) -> UnixTime {
        if self.fetched_at.since(now) > FETCH_PAUSE {
            return now;
        }
        if self.policy.max_age < FETCH_PAUSE {
            return self.expires();
        }
        self.fetched_at + REFRESH.min(self.policy.max_age / 2)
    }
}

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// For which `id`.
    pub id: Option<PolicyId>,
    /// When.
    pub at: UnixTime,
    /// Why.
    pub failure: StsFailure,
}

/// What the TXT lookup said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// A policy is announced.
    Announced(PolicyId),
    /// None is, and how sure that is. Malformed and several records are none (RFC 8461 §3.1).
    NotAnnounced(Absence),
    /// It could not be found out.
    Failed(LookupFailure),
}

/// What to do about a destination's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Fetch it over HTTPS.
    Fetch,
    /// What is known has to do.
    Rest,
}

impl Remembered {
    /// The policy, while it holds.
    pub fn held(&self, now: UnixTime) -> Option<&Kept> {
        self.policy.as_ref().filter(|kept| kept.holds(now))
    }

    /// Whether an attempt to deliver has to fetch the policy: none is held, or another `id` is
    /// announced (RFC 8461 §5.1); but not within five minutes of a failure for that `id`. A held
    /// policy that is merely old is refreshed in the background: nobody has to wait for it.
    pub fn next(&self, discovery: &Discovery, now: UnixTime) -> Next {
        let Discovery::Announced(id) = discovery else { return Next::Rest };
        if self.held(now).is_some_and(|kept| kept.id.as_ref() == Some(id)) {
            return Next::Rest;
        }
        let pausing = |failed: &Failed| {
            failed.id.as_ref() == Some(id) && !failed.at.has_lapsed(FETCH_PAUSE, now)
        };
        if self.failed.as_ref().is_some_and(pausing) { Next::Rest } else { Next::Fetch }
    }

    /// Whether a policy that holds may be worth a fetch though no other `id` is announced: what it
    /// demands was not met, and the `id` may have been forgotten (RFC 8461 §5). Not without a record
    /// (§3.1), and not within five minutes of the last fetch.
    pub fn may_be_stale(&self, discovery: &Discovery, now: UnixTime) -> bool {
        let Some(kept) = self.held(now) else { return false };
        let rested = |at: UnixTime| at.has_lapsed(FETCH_PAUSE, now);
        !matches!(discovery, Discovery::NotAnnounced(_))
            && rested(kept.fetched_at)
            && self.failed.as_ref().is_none_or(|failed| rested(failed.at))
    }

    /// Whether the policy is to be fetched in the background, so that it does not run out and an
    /// attacker never meets a first contact again (RFC 8461 §3.3, §10.2).
    pub fn refresh_due(&self, now: UnixTime) -> bool {
        let Some(kept) = self.held(now) else { return false };
        let rested = self.failed.as_ref().is_none_or(|failed| {
            // Towards the end more often, but never within five minutes.
            let pause = REFRESH_PAUSE.min(kept.expires().since(now) / 8).max(FETCH_PAUSE);
            failed.at.has_lapsed(pause, now)
        });
        now >= kept.due(now) && rested
    }

    /// After a fetch, for the `id` that was announced. A failure never touches the policy.
    #[must_use]
    pub fn fetched(
        self,
        id: Option<PolicyId>,
        result: Result<Policy, StsFailure>,
        now: UnixTime,
    ) -> Self {
        match result {
            Ok(policy) => {
                let same = self.policy.as_ref().filter(|kept| kept.policy.mode == policy.mode);
                let since = same.map_or(now, |kept| kept.mode_since.unwrap_or(kept.fetched_at));
                let id = id.or_else(|| self.policy.and_then(|kept| kept.id));
                let kept = Kept { policy, id, fetched_at: now, mode_since: Some(since) };
                Self { policy: Some(kept), ..Self::default() }
            }
            Err(failure) => {
                Self { failed: Some(Failed { id, at: now, failure }), ..self.failing(now) }
            }
        }
    }

    /// After a TXT lookup.
    #[must_use]
    pub fn discovered(self, discovery: &Discovery, now: UnixTime) -> Self {
        match discovery {
            Discovery::Announced(_) if self.held(now).is_none() => self,
            Discovery::Announced(_) => Self { failing_since: None, failing_at: None, ..self },
            // Without an announcement there is nothing that failed.
            Discovery::NotAnnounced(_) => Self { policy: self.policy, ..Self::default() },
            Discovery::Failed(_) => self.failing(now),
        }
    }

    /// Something fails now: while a policy holds, nothing is missing yet.
    fn failing(self, now: UnixTime) -> Self {
        if self.held(now).is_some() {
            return Self { failing_since: None, failing_at: None, ..self };
        }
        let goes_on = self.failing_at.is_none_or(|at| now.since(at) <= ONE_FAILURE);
        let since = self.failing_since.filter(|_| goes_on).unwrap_or(now);
        Self { failing_since: Some(since), failing_at: Some(now), ..self }
    }

    /// Whether nothing is worth keeping.
    pub fn is_empty(&self, now: UnixTime) -> bool {
        self.held(now).is_none() && self.failed.is_none() && self.failing_since.is_none()
    }

    /// The fact that a plan is made of. `first` says whether the policy was fetched just now and
    /// nothing was known before.
    pub fn fact(&self, discovery: &Discovery, first: Known, now: UnixTime) -> StsFact {
        let failure = match discovery {
            Discovery::Failed(failure) => Some(StsFailure::Record(failure.clone())),
            Discovery::Announced(_) => self.failed.as_ref().map(|failed| failed.failure.clone()),
            Discovery::NotAnnounced(_) => None,
        };
        if let Some(kept) = self.held(now) {
            return StsFact::Policy {
                policy: kept.policy.clone(),
                known: first,
                id: kept.id.clone(),
                fetched_at: kept.fetched_at,
                expires: kept.expires(),
                refresh_failed: failure,
            };
        }
        match (discovery, failure) {
            (Discovery::NotAnnounced(absence), _) => StsFact::Absent { absence: *absence },
            (Discovery::Announced(_) | Discovery::Failed(_), Some(failure)) => {
                StsFact::Unknown { failure, since: self.failing_since.unwrap_or(now) }
            }
            // Announced, nothing failed, nothing holds: it ran out just now.
            (Discovery::Announced(_) | Discovery::Failed(_), None) => StsFact::Unknown {
                failure: StsFailure::Fetch("the policy ran out and was not fetched again".into()),
                since: self.failing_since.unwrap_or(now),
            },
        }
    }
}

/// The fact with the administrator's preloaded policy beside it. It takes the place of nothing at
/// all, and a live policy that demands less does not replace an `enforce` of the administrator
/// (promise P3). It was read at `loaded_at`, and holds as long as it is in the file.
pub fn with_preloaded(
    live: StsFact,
    preloaded: &Policy,
    loaded_at: UnixTime,
    now: UnixTime,
) -> StsFact {
    let by_file = |refresh_failed| StsFact::Policy {
        policy: preloaded.clone(),
        known: Known::Preloaded,
        id: None,
        fetched_at: loaded_at,
        expires: now + preloaded.max_age,
        refresh_failed,
    };
    match live {
        StsFact::Policy { policy, known, id, fetched_at, expires, refresh_failed } => {
            if preloaded.mode == Mode::Enforce && policy.mode != Mode::Enforce {
                return by_file(refresh_failed);
            }
            // Known from before, though not in these words; but whoever fools a CA at the first
            // contact must not name other hosts than the administrator did.
            let narrower = policy.mx.iter().all(|pattern| preloaded.mx.contains(pattern));
            let known = match known {
                Known::FirstFetch if preloaded.mode == Mode::Enforce && narrower => Known::Cached,
                Known::FirstFetch | Known::Cached | Known::Preloaded => known,
            };
            StsFact::Policy { policy, known, id, fetched_at, expires, refresh_failed }
        }
        StsFact::Unknown { failure, since: _ } => by_file(Some(failure)),
        StsFact::Absent { .. } => by_file(None),
        StsFact::NotAsked => StsFact::NotAsked,
    }
}
