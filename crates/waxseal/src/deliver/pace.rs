//! How many at once, and how fast: per address of an MX host, per operator, per domain.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};
use waxseal_core::{domain::Domain, facts::Peer};

use super::{Aside, Settings};

/// Entries above which those that nobody waits for are forgotten.
const MAX_ENTRIES: usize = 4_096;

/// A limit on deliveries to one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Deliveries at the same time; at least one.
    pub at_once: usize,
    /// Time from the start of one delivery to the start of the next.
    pub interval: Duration,
}

/// The three limits.
#[derive(Debug)]
pub(crate) struct Gates {
    address: Gate<SocketAddr>,
    operator: Gate<String>,
    domain: Gate<Domain>,
}

/// How a delivery waits.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    until: Instant,
    aside: &'a (dyn Fn() -> Aside + Send + Sync),
}

impl<'a> Wait<'a> {
    /// Until then, where `aside` finds room to do so.
    pub(super) const fn new(until: Instant, aside: &'a (dyn Fn() -> Aside + Send + Sync)) -> Self {
        Self { until, aside }
    }
}

impl From<Instant> for Wait<'_> {
    fn from(until: Instant) -> Self {
        Self::new(until, &|| Aside::Stood)
    }
}

/// Holds a place as long as it lives.
#[derive(Debug)]
pub(crate) struct Turn {
    _places: Vec<OwnedSemaphorePermit>,
}

impl Gates {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            address: Gate::new(settings.per_address),
            operator: Gate::new(settings.per_operator),
            domain: Gate::new(settings.per_domain),
        }
    }

    /// Waits for a place among the deliveries to a domain; `None` when its time came first.
    pub(crate) async fn domain(&self, domain: &Domain, wait: Wait<'_>) -> Option<Turn> {
        Some(Turn { _places: vec![self.domain.enter(domain.clone(), wait).await?] })
    }

    /// Waits for a place at a host and its operator. Every delivery takes the three places in the
    /// same order, so none waits for one that waits for it.
    pub(crate) async fn host(
        &self,
        peer: &Peer,
        address: SocketAddr,
        wait: impl Into<Wait<'_>>,
    ) -> Option<Turn> {
        let wait = wait.into();
        let operator = self.operator.enter(operator(peer), wait).await?;
        let address = self.address.enter(address, wait).await?;
        Some(Turn { _places: vec![address, operator] })
    }
}

#[derive(Debug)]
struct Gate<K> {
    pace: Pace,
    entries: Mutex<HashMap<K, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    places: Arc<Semaphore>,
    /// When the next delivery may start.
    next: Mutex<Instant>,
}

impl<K: Clone + Eq + Hash + fmt::Debug> Gate<K> {
    fn new(pace: Pace) -> Self {
        Self { pace, entries: Mutex::default() }
    }

    async fn enter(&self, key: K, wait: impl Into<Wait<'_>>) -> Option<OwnedSemaphorePermit> {
        let Wait { until, aside } = wait.into();
        let entry = self.entry(key);
        let place = match Arc::clone(&entry.places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) if aside() == Aside::NoRoom => return None,
            Err(_) => {
                timeout_at(until, Arc::clone(&entry.places).acquire_owned()).await.ok()?.ok()?
            }
        };
        if self.pace.interval.is_zero() {
            return Some(place);
        }
        let start = {
            let mut next = entry.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let start = (*next).max(now);
            if start > until || (start > now && aside() == Aside::NoRoom) {
                return None;
            }
            *next = start + self.pace.interval;
            start
        };
        sleep_until(start).await;
        Some(place)
    }

    fn entry(&self, key: K) -> Arc<Entry> {
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() > MAX_ENTRIES {
            entries.retain(|_, entry| {
                let due = *entry.next.lock().unwrap_or_else(PoisonError::into_inner) > now;
                let free = entry.places.available_permits() == self.pace.at_once.max(1);
                due || !free || Arc::strong_count(entry) > 1
            });
        }
        let fresh = || {
            let places = Arc::new(Semaphore::new(self.pace.at_once.max(1)));
            Arc::new(Entry { places, next: Mutex::new(now) })
        };
        Arc::clone(entries.entry(key).or_insert_with(fresh))
    }
}

/// Who runs a host.
pub(crate) fn operator(peer: &Peer) -> String {
    match peer {
        Peer::Name(name) => name.operator(),
        Peer::Literal(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests;
