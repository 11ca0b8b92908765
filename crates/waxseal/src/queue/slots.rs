//! How many groups are in hand, in all and per destination.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::Destination;

#[derive(Default)]
struct Taken {
    total: usize,
    per_destination: HashMap<Destination, usize>,
}

/// The slots of one queue.
pub(super) struct Slots {
    taken: Arc<Mutex<Taken>>,
    per_destination: usize,
    total: usize,
}

/// The right to have one group of a destination in hand.
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    destination: Destination,
}

fn guard(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    pub(super) fn new(per_destination: usize, total: usize) -> Self {
        let taken = Arc::default();
        Self { taken, per_destination: per_destination.max(1), total: total.max(1) }
    }

    pub(super) fn has_room(&self) -> bool {
        guard(&self.taken).total < self.total
    }

    /// How many more groups of a destination may be in hand.
    pub(super) fn free(&self, destination: Destination) -> usize {
        let taken = guard(&self.taken);
        let here = taken.per_destination.get(&destination).copied().unwrap_or(0);
        self.per_destination.saturating_sub(here).min(self.total.saturating_sub(taken.total))
    }

    pub(super) fn take(&self, destination: Destination) -> Option<Slot> {
        let mut taken = guard(&self.taken);
        let total = taken.total;
        let here = taken.per_destination.entry(destination).or_default();
        if *here >= self.per_destination || total >= self.total {
            return None;
        }
        *here += 1;
        taken.total += 1;
        Some(Slot { taken: Arc::clone(&self.taken), destination })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = guard(&self.taken);
        taken.total = taken.total.saturating_sub(1);
        if let Some(here) = taken.per_destination.get_mut(&self.destination) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                taken.per_destination.remove(&self.destination);
            }
        }
    }
}
