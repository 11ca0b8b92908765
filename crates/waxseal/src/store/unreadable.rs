//! Groups that cannot be read: damaged on the disk, or sealed under a key that is gone. Each is kept
//! where it is and out of the way of all others, until a person looks at it.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use waxseal_core::queue_id::QueueId;

use super::{
    Destination, Event, Group, Lease, Place, Store, StoreError, WorkId, guard, queue::settle_rows,
    signed, unsigned,
};
use crate::secrets::KeyId;

/// Groups that were set aside. In memory only: the next start tries them again.
#[derive(Default)]
pub(super) struct SetAside {
    works: HashSet<u64>,
    /// With which keys they could not be read.
    keys: Vec<KeyId>,
}

impl SetAside {
    pub(super) fn has(&self, work: u64) -> bool {
        self.works.contains(&work)
    }
}

impl Store {
    /// Keeps a group that cannot be read, so that nobody takes it up again before the next start,
    /// other keys, or an operator's wish. `waxseal queue list` shows it.
    pub fn set_aside(&self, lease: Lease, message: QueueId, error: &StoreError) {
        let work = lease.work();
        let mut aside = guard(&self.0.unreadable);
        aside.keys = self.keys().names();
        if aside.works.insert(work.0) {
            tracing::error!(
                %message, %error,
                "mail cannot be read; it is kept, and the rest goes on: see waxseal queue list"
            );
        }
        // The lease stays taken as long as it is set aside.
        drop(aside);
        drop(lease);
    }

    /// Keeps what a group says of its message, and its time and state as they are.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn note(
        &self,
        lease: &Lease,
        (message, group): (QueueId, &Group),
    ) -> Result<(), StoreError> {
        let WorkId(work) = lease.work();
        let plain = serde_json::to_vec(group)?;
        let sealed = self.message_key(message)?.seal(Place::Group(work), plain)?;
        let write = move |connection: &Connection| {
            let sql = "UPDATE work SET sealed = ?2 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![signed(work), sealed])?;
            Ok(())
        };
        self.0.writer.write(write).await
    }

    /// How many groups are set aside.
    pub fn unreadable(&self) -> u64 {
        guard(&self.0.unreadable).works.len() as u64
    }

    /// Whether groups that were set aside may be read now: the keys are others. They are back where
    /// they were then.
    pub fn look_again(&self) -> bool {
        let mut aside = guard(&self.0.unreadable);
        if aside.works.is_empty() || aside.keys == self.keys().names() {
            return false;
        }
        let works = std::mem::take(&mut aside.works);
        let mut leases = guard(&self.0.leases);
        leases.retain(|work| !works.contains(work));
        true
    }

    /// Puts the groups of a message back that were set aside, to try once more.
    pub(super) fn take_back(
        &self,
        connection: &Connection,
        message: QueueId,
    ) -> Result<(), StoreError> {
        for work in self.aside_of(connection, (message, None))? {
            self.forget(work);
        }
        Ok(())
    }

    fn forget(&self, work: u64) {
        let mut aside = guard(&self.0.unreadable);
        if aside.works.remove(&work) {
            guard(&self.0.leases).remove(&work);
        }
    }

    fn aside_of(
        &self,
        connection: &Connection,
        (message, destination): (QueueId, Option<Destination>),
    ) -> Result<Vec<u64>, StoreError> {
        let sql = "SELECT id FROM work WHERE message = ?1 AND (?2 IS NULL OR destination = ?2)";
        let mut statement = connection.prepare_cached(sql)?;
        let wanted = params![signed(message.number()), destination.map(|tag| tag.0)];
        let works = statement.query_map(wanted, |row| row.get(0))?;
        let works: Vec<i64> = works.collect::<Result<_, _>>()?;
        let aside = guard(&self.0.unreadable);
        Ok(works.into_iter().map(unsigned).filter(|work| aside.has(*work)).collect())
    }

    /// Gives up the groups of a message that are set aside, with `event` on record for each; without
    /// opening them. With a destination only its groups. Answers how many.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn drop_unreadable(
        &self,
        (message, destination): (QueueId, Option<Destination>),
        event: &Event,
    ) -> Result<u64, StoreError> {
        let works =
            self.read_here(|connection| self.aside_of(connection, (message, destination)))?;
        let mut dropped = 0;
        for work in works {
            let (keys, events) = (self.keys(), [event.clone()]);
            let write = move |connection: &Connection| {
                settle_rows(connection, (work, message), None, (&keys, &events))
            };
            let (_, gone) = self.0.writer.write(write).await?;
            self.forget(work);
            self.gone(message, gone);
            dropped += 1;
        }
        Ok(dropped)
    }
}

impl Lease {
    /// Whether the group stays taken when this ends.
    pub(super) fn stays(&self) -> bool {
        let WorkId(work) = self.work();
        guard(&self.inner.unreadable).has(work)
    }
}
