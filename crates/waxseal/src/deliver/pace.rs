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

use super::Settings;

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

/// Holds a place as long as it lives.
#[derive(Debug)]
pub(crate) struct Turn {
    _places: Vec<OwnedSemaphorePermit>,
}

impl Gates {
    pub(crate) fn new(settings: &Settings) -> Self {
        let domain = Gate::new(settings.per_domain);
        Self { domain, ..Self::of(settings.per_address, settings.per_operator) }
    }

    /// Limits for connections that belong to no domain: those of an assessment.
    pub(crate) fn of(per_address: Pace, per_operator: Pace) -> Self {
        let one = Pace { at_once: 1, interval: Duration::ZERO };
        Self {
            address: Gate::new(per_address),
            operator: Gate::new(per_operator),
            domain: Gate::new(one),
        }
    }

    /// Waits for a place among the deliveries to a domain; `None` when `until` came first.
    pub(crate) async fn domain(&self, domain: &Domain, until: Instant) -> Option<Turn> {
        Some(Turn { _places: vec![self.domain.enter(domain.clone(), until).await?] })
    }

    /// Waits for a place at a host and its operator. Every delivery takes the three places in the
    /// same order, so none waits for one that waits for it.
    pub(crate) async fn host(
        &self,
        peer: &Peer,
        address: SocketAddr,
        until: Instant,
    ) -> Option<Turn> {
        let operator = self.operator.enter(operator(peer), until).await?;
        let address = self.address.enter(address, until).await?;
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

    async fn enter(&self, key: K, until: Instant) -> Option<OwnedSemaphorePermit> {
        let entry = self.entry(key);
        let place =
            timeout_at(until, Arc::clone(&entry.places).acquire_owned()).await.ok()?.ok()?;
        if self.pace.interval.is_zero() {
            return Some(place);
        }
        let start = {
            let mut next = entry.next.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(Instant::now());
            if start > until {
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
