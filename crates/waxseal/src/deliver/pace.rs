//! How many at once, and how fast: per address of an MX host, per operator, per domain.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// The three limits, for the whole process: deliveries that go on across a reload still count.
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
    _places: Vec<Place>,
}

impl Gates {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            address: Gate::new(settings.per_address),
            operator: Gate::new(settings.per_operator),
            domain: Gate::new(settings.per_domain),
        }
    }

    /// From now on these limits hold, with everything that counted so far.
    pub(crate) fn limit(&self, settings: &Settings) {
        self.address.limit(settings.per_address);
        self.operator.limit(settings.per_operator);
        self.domain.limit(settings.per_domain);
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
struct Gate<K>(Mutex<Counts<K>>);

#[derive(Debug)]
struct Counts<K> {
    pace: Pace,
    entries: HashMap<K, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    places: Arc<Semaphore>,
    /// Places that are taken beyond the limit since it was lowered: they are not given back.
    over: Mutex<usize>,
    /// When the last delivery starts.
    last: Mutex<Option<Instant>>,
}

/// One place at an entry.
#[derive(Debug)]
struct Place {
    entry: Arc<Entry>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut over = lock(&self.entry.over);
        if *over > 0 {
            *over -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
        // Otherwise it goes back, before anybody lowers the limit.
        drop(self.permit.take());
    }
}

impl Entry {
    fn new(pace: Pace) -> Self {
        let places = Arc::new(Semaphore::new(pace.places()));
        Self { places, over: Mutex::new(0), last: Mutex::new(None) }
    }

    /// So many places instead of so many.
    fn resize(&self, from: usize, to: usize) {
        let mut over = lock(&self.over);
        let fewer = from.saturating_sub(to);
        *over += fewer - self.places.forget_permits(fewer);
        let more = to.saturating_sub(from);
        let kept = more.min(*over);
        *over -= kept;
        self.places.add_permits(more - kept);
    }
}

impl Pace {
    /// At least one: nothing would ever go on.
    fn places(&self) -> usize {
        self.at_once.clamp(1, Semaphore::MAX_PERMITS)
    }
}

impl<K: Clone + Eq + Hash + fmt::Debug> Gate<K> {
    fn new(pace: Pace) -> Self {
        Self(Mutex::new(Counts { pace, entries: HashMap::new() }))
    }

    fn limit(&self, pace: Pace) {
        let mut counts = lock(&self.0);
        let (from, to) = (counts.pace.places(), pace.places());
        counts.pace = pace;
        counts.entries.values().for_each(|entry| entry.resize(from, to));
    }

    async fn enter(&self, key: K, wait: impl Into<Wait<'_>>) -> Option<Place> {
        let Wait { until, aside } = wait.into();
        let entry = self.entry(key);
        let permit = match Arc::clone(&entry.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if aside() == Aside::NoRoom => return None,
            Err(_) => {
                timeout_at(until, Arc::clone(&entry.places).acquire_owned()).await.ok()?.ok()?
            }
        };
        let place = Place { entry, permit: Some(permit) };
        let interval = lock(&self.0).pace.interval;
        let (start, now) = {
            let mut last = lock(&place.entry.last);
            let now = Instant::now();
            let start = match *last {
                Some(last) if !interval.is_zero() => now.max(last + interval),
                Some(_) | None => now,
            };
            if start > until || (start > now && aside() == Aside::NoRoom) {
                return None;
            }
            *last = Some(start);
            (start, now)
        };
        // A timer costs a millisecond, and most deliveries wait for nothing.
        if start > now {
            sleep_until(start).await;
        }
        Some(place)
    }

    fn entry(&self, key: K) -> Arc<Entry> {
        let now = Instant::now();
        let mut counts = lock(&self.0);
        let pace = counts.pace;
        if counts.entries.len() > MAX_ENTRIES {
            counts.entries.retain(|_, entry| {
                let due = lock(&entry.last).is_some_and(|last| last + pace.interval > now);
                due || Arc::strong_count(entry) > 1
            });
        }
        Arc::clone(counts.entries.entry(key).or_insert_with(|| Arc::new(Entry::new(pace))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
