//! How long a survey may take. What does not end in time is said not to have been seen: whoever
//! answers slowly must neither hold up other surveys nor look better or worse by it.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use waxseal_core::{
    assess::{MOST_UNASKED, Published},
    dns::{FailureKind, LookupFailure},
    domain::Domain,
};

/// As it is said of what was to be looked up.
pub(super) const USED_UP: &str = "not asked to the end: the survey had used up its time";

/// The time of one survey, and what it was too short for. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Span(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    until: Instant,
    unasked: Mutex<BTreeSet<String>>,
}

impl Span {
    /// From now on.
    pub(super) fn of(patience: Duration) -> Self {
        let now = Instant::now();
        // What nobody can wait for is as good as a day.
        let until = now.checked_add(patience).unwrap_or(now + Duration::from_hours(24));
        Self(Arc::new(Shared { until, unasked: Mutex::default() }))
    }

    /// The same time, with notes of its own: for what says itself that it was not seen.
    pub(super) fn apart(&self) -> Self {
        Self(Arc::new(Shared { until: self.0.until, unasked: Mutex::default() }))
    }

    /// What comes of `asked`, or `None` where the time ends first; then `what` is noted.
    ///
    /// What is there at once, as all that a cache answers, is there after the end, too.
    pub(super) async fn within<T>(
        &self,
        what: impl Into<String>,
        asked: impl Future<Output = T>,
    ) -> Option<T> {
        let found = timeout_at(self.0.until, Box::pin(asked)).await.ok();
        if found.is_none() {
            let mut unasked = self.0.unasked.lock().unwrap_or_else(PoisonError::into_inner);
            unasked.insert(what.into());
        }
        found
    }

    /// Like [`Self::within`], for what is published.
    pub(super) async fn published<T>(
        &self,
        what: &str,
        name: &Domain,
        asked: impl Future<Output = Published<T>>,
    ) -> Published<T> {
        match self.within(format!("{what} of {name}"), asked).await {
            Some(found) => found,
            None => Published::Failed(late(name)),
        }
    }

    /// What was noted, as much as is told.
    pub(super) fn unasked(&self) -> Vec<String> {
        let unasked = self.0.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(more) = unasked.len().checked_sub(MOST_UNASKED).filter(|more| *more > 0) else {
            return unasked.iter().cloned().collect();
        };
        let mut told: Vec<_> = unasked.iter().take(MOST_UNASKED - 1).cloned().collect();
        told.push(format!("and {} more", more.saturating_add(1)));
        told
    }
}

/// A lookup that the time was too short for.
pub(super) fn late(name: &Domain) -> LookupFailure {
    LookupFailure { name: name.into(), kind: FailureKind::Timeout, detail: USED_UP.into() }
}

#[cfg(test)]
mod tests;
