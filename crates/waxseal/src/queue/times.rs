//! When which destination has something to do.

use std::collections::{BTreeSet, HashMap};

use waxseal_core::time::UnixTime;

use crate::store::Destination;

/// When each destination is next due.
#[derive(Default)]
pub(super) struct Times {
    order: BTreeSet<(UnixTime, Destination)>,
    of: HashMap<Destination, UnixTime>,
}

impl Times {
    /// The earlier of what is known and `due`.
    pub(super) fn set(&mut self, destination: Destination, due: UnixTime) {
        match self.of.get(&destination).copied() {
            Some(known) if known <= due => return,
            Some(known) => {
                self.order.remove(&(known, destination));
            }
            None => {}
        }
        self.of.insert(destination, due);
        self.order.insert((due, destination));
    }

    /// Takes out destinations that are due.
    pub(super) fn take(&mut self, now: UnixTime) -> Option<Destination> {
        let first = self.order.first().filter(|(due, _)| *due <= now).copied()?;
        self.order.remove(&first);
        self.of.remove(&first.1);
        Some(first.1)
    }

    /// Whether something of a destination waits in the store for its turn.
    pub(super) fn is_due(&self, destination: Destination, now: UnixTime) -> bool {
        self.of.get(&destination).is_some_and(|due| *due <= now)
    }

    pub(super) fn next(&self) -> Option<UnixTime> {
        self.order.first().map(|(due, _)| *due)
    }
}
