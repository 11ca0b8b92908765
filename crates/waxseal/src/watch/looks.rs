//! Looks under way: how many, at whose domains, and how each ended.

use std::{collections::HashMap, future::Future};

use tokio::task::{Id, JoinError, JoinSet};
use waxseal_core::domain::Domain;

use super::{Seen, Whose};

/// Domains that are looked at at the same time.
const AT_ONCE: usize = 4;
/// Partners among them: the last place is for our own domains, so that no number of strangers who
/// take their time holds up a look at ourselves.
const PARTNERS_AT_ONCE: usize = AT_ONCE - 1;

/// Whose domains may be looked at beside those that are in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Anybody's.
    Everybody,
    /// Our own.
    Own,
    /// Nobody's.
    Nobody,
}

impl Room {
    pub(super) fn is_for(self, whose: Whose) -> bool {
        match (self, whose) {
            (Self::Everybody, _) | (Self::Own, Whose::Own) => true,
            (Self::Own, Whose::Partner) | (Self::Nobody, _) => false,
        }
    }
}

/// A look that ended.
pub(super) struct Ended {
    pub(super) domain: Domain,
    pub(super) whose: Whose,
    /// An error where it ended without a word, a defect of ours.
    pub(super) seen: Result<Seen, JoinError>,
}

/// Looks under way.
#[derive(Default)]
pub(super) struct Looks {
    tasks: JoinSet<Seen>,
    of: HashMap<Id, (Domain, Whose)>,
}

impl Looks {
    pub(super) fn room(&self) -> Room {
        let partners = self.of.values().filter(|(_, whose)| *whose == Whose::Partner).count();
        if self.of.len() >= AT_ONCE {
            Room::Nobody
        } else if partners >= PARTNERS_AT_ONCE {
            Room::Own
        } else {
            Room::Everybody
        }
    }

    pub(super) fn begin(
        &mut self,
        domain: Domain,
        whose: Whose,
        look: impl Future<Output = Seen> + Send + 'static,
    ) {
        let task = self.tasks.spawn(look);
        self.of.insert(task.id(), (domain, whose));
    }

    /// The next that ends; `None` where none is under way.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let (id, seen) = match self.tasks.join_next_with_id().await? {
            Ok((id, seen)) => (id, Ok(seen)),
            Err(error) => (error.id(), Err(error)),
        };
        let (domain, whose) = self.of.remove(&id)?;
        Some(Ended { domain, whose, seen })
    }

    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
