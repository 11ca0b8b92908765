//! Which domains we send to, the most used first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use waxseal_core::{domain::Domain, time::UnixTime};

use crate::store::{Entry, Space, Store, StoreError};

/// What one delivery counts.
const ONE: u64 = 1024;
/// Domains that are counted: those least used go first.
const MOST: usize = 2_000;
/// How often counts fade, by an eighth: a domain that was used once is forgotten after a month.
const FADE: std::time::Duration = std::time::Duration::from_hours(24);
/// Below this a domain is forgotten.
const LEAST: u64 = 16;
/// No domain has this name.
const NAME: &str = "/partners";
/// Remembered destinations that are taken where nothing was counted yet.
const SEEDS: usize = 500;

/// Counts deliveries by domain; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Partners(Arc<Mutex<HashMap<Domain, u64>>>);

/// As it is kept.
#[derive(Default, Serialize, Deserialize)]
struct Counts {
    faded: UnixTime,
    counts: BTreeMap<Domain, u64>,
}

impl Partners {
    /// Mail was accepted there.
    pub fn used(&self, domain: &Domain) {
        let mut fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = fresh.get_mut(domain) {
            *count = count.saturating_add(ONE);
        } else if fresh.len() < MOST {
            fresh.insert(domain.clone(), ONE);
        }
    }

    /// Keeps what was counted, and answers the most used, at most so many.
    ///
    /// # Errors
    /// The store fails.
    pub async fn most_used(
        &self,
        store: &Store,
        most: usize,
        now: UnixTime,
    ) -> Result<Vec<Domain>, StoreError> {
        let known = match store.load(Space::Check, NAME, now).await {
            // It is counted anew.
            Err(StoreError::Damaged(_)) => None,
            known => known?,
        };
        let mut kept = match known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(kept) => kept,
            None => Counts { faded: now, counts: seeds(store, now).await? },
        };
        let fresh = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (domain, count) in fresh {
            let sum = kept.counts.entry(domain).or_default();
            *sum = sum.saturating_add(count);
        }
        if kept.faded.has_lapsed(FADE, now) {
            kept.faded = now;
            kept.counts.values_mut().for_each(|count| *count -= *count / 8);
            kept.counts.retain(|_, count| *count >= LEAST);
        }
        let mut order: Vec<_> = kept.counts.into_iter().collect();
        order.sort_by(|(one, less), (other, more)| (more, one).cmp(&(less, other)));
        order.truncate(MOST);
        let names = order.iter().take(most).map(|(domain, _)| domain.clone()).collect();
        kept.counts = order.into_iter().collect();
        let value = serde_json::to_vec(&kept)?;
        store.save(Space::Check, Entry { name: NAME.into(), value, expires: None }).await?;
        Ok(names)
    }
}

/// What downgrade memory knows: domains that mail went to in the last month.
async fn seeds(store: &Store, now: UnixTime) -> Result<BTreeMap<Domain, u64>, StoreError> {
    let (entries, _) = store.entries(Space::Memory, (0, SEEDS), now).await?;
    let domains = entries.iter().flatten().filter_map(|entry| Domain::parse(&entry.name).ok());
    Ok(domains.map(|domain| (domain, LEAST)).collect())
}
