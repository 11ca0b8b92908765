//! Alerts on their way to the webhook, or into the queue as mail. Each is in the store until it was
//! taken or is given up, so that neither a restart nor an outage of the other side loses it.

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

/// Alerts that wait at most on each way; beyond it one is given up, those about partners first, of them
/// the oldest: no number of strangers pushes out what is to be told of ourselves.
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

/// How an alert reaches somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// Posted as JSON.
    #[default]
    Webhook,
    /// A letter in our own queue.
    Mail { subject: String },
}

impl Way {
    /// As it is written in labels.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mail { .. } => "mail",
        }
    }

    const fn is_mail(&self) -> bool {
        match self {
            Self::Webhook => false,
            Self::Mail { .. } => true,
        }
    }
}

/// One alert that waits. Its id is the same in every attempt, so that a receiver sees one alert
/// that came twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) body: String,
    #[serde(default)]
    pub(super) way: Way,
    /// Whose domain it is about.
    #[serde(default)]
    whose: Whose,
    since: UnixTime,
    next: UnixTime,
    tries: usize,
}

impl Waiting {
    /// How long it is left alone. A pause that is longer than any was begun by a clock that was set right
    /// since.
    fn rests(&self, now: UnixTime) -> Duration {
        let pause = self.next.since(now);
        if pause > REFUSED { Duration::ZERO } else { pause }
    }
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
                let entry = match entry {
                    Ok(entry) => entry,
                    // Its name is not known, so that it stays.
                    Err(error) => {
                        lost(&Way::Webhook, &error.to_string());
                        continue;
                    }
                };
                match serde_json::from_slice::<Waiting>(&entry.value) {
                    Ok(alert) => {
                        // Later than now is by a clock that was set right since.
                        let since = alert.since.min(now);
                        let alert = Waiting { since, next: now, ..alert };
                        self.lock().waiting.insert(alert.id.clone(), alert);
                    }
                    Err(error) => {
                        lost(&Way::Webhook, &format!("it cannot be read any more: {error}"));
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
        way: Way,
        body: Vec<u8>,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let body = String::from_utf8(body).unwrap_or_default();
        let alert = Waiting { id, body, way, whose, since: now, next: now, tries: 0 };
        self.save(&alert).await?;
        let surplus = {
            let mut shared = self.lock();
            let is_mail = alert.way.is_mail();
            shared.waiting.insert(alert.id.clone(), alert);
            let beside = || shared.waiting.values().filter(|one| one.way.is_mail() == is_mail);
            let full = beside().count() > MOST;
            beside().min_by_key(|alert| (Reverse(alert.whose), &alert.id)).filter(|_| full).cloned()
        };
        if let Some(surplus) = surplus {
            let why =
                format!("more than {MOST} wait: those about partners go first, then the oldest");
            self.give_up(&surplus, &why).await?;
        }
        self.count();
        Ok(())
    }

    /// Nobody is told of it any more, on this way.
    pub(super) async fn give_up(&self, alert: &Waiting, why: &str) -> Result<(), StoreError> {
        lost(&alert.way, why);
        self.forget(&alert.id).await
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
        self.take_one(now, |_| true)
    }

    /// The same of those that go out as mail.
    pub(super) fn take_letter(&self, now: UnixTime) -> Option<Waiting> {
        self.take_one(now, Way::is_mail)
    }

    fn take_one(&self, now: UnixTime, wanted: impl Fn(&Way) -> bool) -> Option<Waiting> {
        let mut shared = self.lock();
        let due = shared
            .waiting
            .values()
            .filter(|alert| alert.rests(now).is_zero() && !shared.in_hand.contains(&alert.id))
            .filter(|alert| wanted(&alert.way))
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
            .map(|alert| alert.rests(now))
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
            let why = format!("{failure}; tried for {} hours", LIFE.as_secs() / 3_600);
            return self.give_up(&alert, &why).await;
        }
        if alert.tries == 0 {
            match alert.way {
                Way::Webhook => {
                    tracing::warn!("the webhook did not take an alert, which waits: {failure}");
                }
                Way::Mail { .. } => {
                    tracing::warn!("an alert could not be queued as mail, and waits: {failure}");
                }
            }
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

    /// How many wait for the webhook.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.values().filter(|alert| !alert.way.is_mail()).count()
    }

    fn count(&self) {
        metrics::alerts_waiting(self.len());
    }
}

fn lost(way: &Way, why: &str) {
    let way = way.as_str();
    metrics::alert_lost(way);
    tracing::error!("an alert by {way} is given up: {why}; `check --history` has it");
}

#[cfg(test)]
mod tests;
