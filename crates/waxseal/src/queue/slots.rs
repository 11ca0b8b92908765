//! How many groups are in hand, in all and per destination. One that waits, or whose peer is slow,
//! steps aside, so that a few hosts that keep us waiting do not hold up all other mail.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{deliver::Aside, store::Destination};

#[derive(Default)]
struct Taken {
    /// In hand, but for those aside.
    total: usize,
    /// As many more as may be in hand.
    aside: usize,
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
    most: usize,
    aside: AtomicBool,
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
        let (taken, most) = (Arc::clone(&self.taken), self.total);
        Some(Slot { taken, destination, most, aside: AtomicBool::new(false) })
    }
}

impl Slot {
    /// Makes room for others, if not too many stand aside; its share of its destination stays.
    pub(super) fn step_aside(&self) -> Aside {
        let mut taken = guard(&self.taken);
        if self.aside.load(Ordering::Relaxed) {
            return Aside::Stood;
        }
        if taken.aside >= self.most {
            return Aside::NoRoom;
        }
        taken.aside += 1;
        taken.total = taken.total.saturating_sub(1);
        self.aside.store(true, Ordering::Relaxed);
        Aside::Stood
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = guard(&self.taken);
        match self.aside.load(Ordering::Relaxed) {
            true => taken.aside = taken.aside.saturating_sub(1),
            false => taken.total = taken.total.saturating_sub(1),
        }
        if let Some(here) = taken.per_destination.get_mut(&self.destination) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                taken.per_destination.remove(&self.destination);
            }
        }
    }
}
