//! Groups that are in memory and wait for a slot of their destination: what has just come in, and
//! what was read ahead. Not each of them costs a visit to the store then.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use waxseal_core::queue_id::QueueId;

use super::room::Room;
use crate::store::{Destination, Group, Head, Lease};

/// Groups of one destination that wait in memory at most.
const PER_DESTINATION: usize = 256;
/// Groups that wait in memory at most.
const TOTAL: usize = 1_024;
/// Larger messages, in octets, wait in the store: with [`TOTAL`] of these half of the memory for
/// contents is left for what is being sent.
const LARGEST: usize = 64 * 1024;

/// A message while it is in memory; its room is given back with the last clone.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) message: QueueId,
    pub(super) head: Head,
    pub(super) content: Bytes,
    pub(super) room: Arc<Room>,
}

/// A group that could begin its turn.
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    pub(super) group: Group,
    pub(super) lease: Lease,
}

/// Where a group waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    InMemory,
    InStore,
}

/// What waits, first come, first served for each destination.
#[derive(Default)]
pub(super) struct Waiting {
    of: HashMap<Destination, VecDeque<Ready>>,
    total: usize,
}

impl Waiting {
    /// How many more groups of a destination may wait here.
    pub(super) fn room(&self, destination: Destination) -> usize {
        let here = self.of.get(&destination).map_or(0, VecDeque::len);
        PER_DESTINATION.saturating_sub(here).min(TOTAL.saturating_sub(self.total))
    }

    /// Whether a group of this destination is here.
    pub(super) fn has(&self, destination: Destination) -> bool {
        self.of.contains_key(&destination)
    }

    /// Keeps a group, or lets go of it where it has to wait in the store.
    pub(super) fn push(&mut self, destination: Destination, ready: Ready) -> Kept {
        if ready.loaded.content.len() > LARGEST || self.room(destination) == 0 {
            return Kept::InStore;
        }
        self.total += 1;
        self.of.entry(destination).or_default().push_back(ready);
        Kept::InMemory
    }

    /// The first of a destination.
    pub(super) fn pop(&mut self, destination: Destination) -> Option<Ready> {
        let here = self.of.get_mut(&destination)?;
        let first = here.pop_front();
        if here.is_empty() {
            self.of.remove(&destination);
        }
        self.total -= usize::from(first.is_some());
        first
    }

    /// Where something waits.
    pub(super) fn destinations(&self) -> Vec<Destination> {
        self.of.keys().copied().collect()
    }

    /// Lets go of everything, and says whose it was: it still is in the store.
    pub(super) fn clear(&mut self) -> Vec<Destination> {
        let destinations = self.destinations();
        *self = Self::default();
        destinations
    }
}
