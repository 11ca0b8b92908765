//! Alerts on their way to the webhook. Each is in the store until it was taken or is given up, so
//! that neither a restart nor an outage of the other side loses it.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use waxseal_core::time::UnixTime;

use super::{Whose, webhook::Failure};
use crate::{
    metrics,
    store::{Entry, Space, Store, StoreError},
};

/// Alerts that wait at most; beyond it one is given up, those about partners first, of them the oldest:
/// no number of strangers pushes out what is to be told of ourselves.
const MOST: usize = 256;
/// After so long an alert is given up: whoever repairs the webhook after a weekend still gets it.
const LIFE: Duration = Duration::from_hours(72);
/// Before each further attempt; the last one again and again.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(3_600),
];
/// After a refusal, which only a person can mend, or an attempt that broke off.
const REFUSED: Duration = Duration::from_secs(3_600);
/// Read from the store in one step.
const PAGE: usize = 64;

/// One alert that waits. Its id is the same in every attempt, so that a receiver sees one alert
/// that came twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) body: String,
    /// Whose domain it is about.
    #[serde(default)]
    whose: Whose,
    since: UnixTime,
    next: UnixTime,
    tries: usize,
}

/// What waits. Clones share it.
#[derive(Clone)]
pub(super) struct Outbox {
    store: Store,
    shared: Arc<Mutex<Shared>>,
}

/// Whether an alert still waits: it may have been given up for a newer one while it was in hand.
enum PutBack {
    Waits,
    GivenUp,
}

#[derive(Default)]
struct Shared {
    /// By id, which begins with its time.
    waiting: BTreeMap<String, Waiting>,
    /// What is being posted.
    in_hand: Vec<String>,
}

impl Outbox {
    pub(super) fn new(store: Store) -> Self {
        Self { store, shared: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waited when we stopped is tried at once: perhaps the start is what mends it.
    pub(super) async fn load(&self, now: UnixTime) -> Result<(), StoreError> {
        let mut from = Some(0);
        while let Some(after) = from {
            let (page, end) = self.store.entries(Space::Alert, (after, PAGE), now).await?;
            from = end;
            for entry in page {
                match serde_json::from_slice::<Waiting>(&entry.value) {
                    Ok(alert) => {
                        let alert = Waiting { next: now, ..alert };
                        self.lock().waiting.insert(alert.id.clone(), alert);
                    }
                    Err(error) => {
                        lost(&format!("it cannot be read any more: {error}"));
                        self.store.remove(Space::Alert, &entry.name).await?;
                    }
                }
            }
        }
        self.count();
        Ok(())
    }

    /// Keeps an alert until it is taken; durable when it answers `Ok`.
    pub(super) async fn put(
        &self,
        whose: Whose,
        body: Vec<u8>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let body = String::from_utf8(body).unwrap_or_default();
        let alert = Waiting { id, body, whose, since: now, next: now, tries: 0 };
        self.save(&alert).await?;
        let surplus = {
            let mut shared = self.lock();
            shared.waiting.insert(alert.id.clone(), alert);
            let full = shared.waiting.len() > MOST;
            let first =
                shared.waiting.values().min_by_key(|alert| (Reverse(alert.whose), &alert.id));
            first.filter(|_| full).map(|alert| alert.id.clone())
        };
        if let Some(surplus) = surplus {
            lost(&format!("more than {MOST} wait: those about partners go first, then the oldest"));
            self.forget(&surplus).await?;
        }
        self.count();
        Ok(())
    }

    async fn save(&self, alert: &Waiting) -> Result<(), StoreError> {
        let (name, value) = (alert.id.clone(), serde_json::to_vec(alert)?);
        self.store.save(Space::Alert, Entry { name, value, expires: None }).await
    }

    async fn forget(&self, id: &str) -> Result<(), StoreError> {
        {
            let mut shared = self.lock();
            shared.waiting.remove(id);
            shared.in_hand.retain(|other| other != id);
        }
        self.count();
        self.store.remove(Space::Alert, id).await
    }

    /// One whose turn it is: about our own domains first, of those the oldest.
    pub(super) fn take(&self, now: UnixTime) -> Option<Waiting> {
        let mut shared = self.lock();
        let due = shared
            .waiting
            .values()
            .filter(|alert| alert.next <= now && !shared.in_hand.contains(&alert.id))
            .min_by_key(|alert| (alert.whose, &alert.id))?;
        let due = due.clone();
        shared.in_hand.push(due.id.clone());
        Some(due)
    }

    /// How long nobody's turn comes.
    pub(super) fn nap(&self, now: UnixTime) -> Duration {
        let shared = self.lock();
        let waiting = shared.waiting.values();
        let next = waiting
            .filter(|alert| !shared.in_hand.contains(&alert.id))
            .map(|alert| alert.next.since(now))
            .min();
        next.unwrap_or(Duration::MAX).max(Duration::from_millis(100))
    }

    /// What an attempt came to.
    pub(super) async fn tried(
        &self,
        alert: Waiting,
        result: Result<(), Failure>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let failure = match result {
            Ok(()) => return self.forget(&alert.id).await,
            Err(failure) => failure,
        };
        let pause = match &failure {
            Failure::Later(_) => PAUSES.get(alert.tries).or(PAUSES.last()).copied(),
            Failure::Never(_) => Some(REFUSED),
        };
        let pause = pause.unwrap_or(REFUSED);
        if now.since(alert.since) + pause > LIFE {
            lost(&format!("{failure}; tried for {} hours", LIFE.as_secs() / 3_600));
            return self.forget(&alert.id).await;
        }
        if alert.tries == 0 {
            tracing::warn!("the webhook did not take an alert, which waits: {failure}");
        }
        let tries = alert.tries.saturating_add(1);
        let alert = Waiting { next: now + pause, tries, ..alert };
        let saved = self.save(&alert).await;
        let id = alert.id.clone();
        match self.put_back(alert) {
            PutBack::Waits => saved,
            PutBack::GivenUp => self.store.remove(Space::Alert, &id).await,
        }
    }

    fn put_back(&self, alert: Waiting) -> PutBack {
        let mut shared = self.lock();
        shared.in_hand.retain(|other| *other != alert.id);
        match shared.waiting.get_mut(&alert.id) {
            Some(known) => {
                *known = alert;
                PutBack::Waits
            }
            None => PutBack::GivenUp,
        }
    }

    /// An attempt that ended without a word.
    pub(super) fn broke_off(&self, now: UnixTime) {
        let mut shared = self.lock();
        let held = std::mem::take(&mut shared.in_hand);
        for id in held {
            if let Some(alert) = shared.waiting.get_mut(&id) {
                alert.next = now + REFUSED;
            }
        }
    }

    /// Everything is given up: the webhook is not configured any more.
    pub(super) async fn clear(&self) -> Result<(), StoreError> {
        let ids: Vec<_> = self.lock().waiting.keys().cloned().collect();
        for id in ids {
            lost("no webhook is configured any more");
            self.forget(&id).await?;
        }
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn count(&self) {
        metrics::alerts_waiting(self.len());
    }
}

fn lost(why: &str) {
    metrics::alert_lost("webhook");
    tracing::error!("an alert to the webhook is given up: {why}; `check --history` has it");
}

#[cfg(test)]
mod tests;
