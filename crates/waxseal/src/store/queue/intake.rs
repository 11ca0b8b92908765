//! Taking messages in: they are ours from here on (promise P4), with their groups or to be judged
//! later.

use rusqlite::{Connection, params};
use waxseal_core::{queue_id::QueueId, time::UnixTime};

use super::{Group, Head, Lease, NewMessage, WorkState};
use crate::store::{
    Place, Store, StoreError,
    seal::{MessageKey, OVERHEAD},
    signed, unsigned,
};

impl Store {
    /// Takes a message in: when this answers `Ok` it survives a power cut (promise P4). The lease
    /// on it is for whoever asks for the verdict.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room; nothing is kept then.
    pub async fn accept(&self, message: NewMessage) -> Result<(QueueId, Lease), StoreError> {
        let (id, leases) = self.take_in(message, None).await?;
        Ok((id, leases.into_iter().next().ok_or(StoreError::Closed)?))
    }

    /// Takes a message in together with its groups, due at once: one commit for what would be two
    /// with [`Self::accept`] and [`Self::classify`]. Answers leases in the order of `groups`, of
    /// which there is at least one.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub async fn accept_judged(
        &self,
        message: NewMessage,
        groups: &[Group],
    ) -> Result<(QueueId, Vec<Lease>), StoreError> {
        self.take_in(message, Some(groups)).await
    }

    async fn take_in(
        &self,
        message: NewMessage,
        groups: Option<&[Group]>,
    ) -> Result<(QueueId, Vec<Lease>), StoreError> {
        self.admit()?;
        let id = self.new_id();
        let queue_id = QueueId::new(id).ok_or(StoreError::Closed)?;
        let key = MessageKey::random(&self.keys())?;
        let size = message.content.len();
        let head = Head {
            arrived: message.arrived,
            size: size as u64,
            envelope: message.envelope,
            direction: message.direction,
        };
        let head = key.seal(Place::Head(id), serde_json::to_vec(&head)?)?;
        let first = self.lease(id).ok_or(StoreError::Closed)?;
        let (leases, rows) = match groups {
            Some(groups) if !groups.is_empty() => self.group_rows(&key, first, groups)?,
            Some(_) | None => (vec![first], vec![GroupRow::fresh(id)]),
        };
        let (key_id, wrapped) = (key.id.0, key.wrapped);
        let body = if size <= self.0.settings.inline_limit {
            let mut body = Vec::with_capacity(size + OVERHEAD);
            body.extend_from_slice(&message.content);
            Some(key.seal(Place::Body(id), body)?)
        } else {
            let store = self.clone();
            let write = move || store.0.bodies.write(id, &key, &message.content);
            tokio::task::spawn_blocking(write).await.map_err(|_| StoreError::Closed)??;
            None
        };
        let spooled = body.is_none();
        let arrived = signed(message.arrived.0);
        let written = self.0.writer.write(move |connection| {
            let sql = "INSERT INTO message (id, arrived, size, key_id, key, head, body) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            connection.prepare_cached(sql)?.execute(params![
                signed(id),
                arrived,
                signed(size as u64),
                key_id,
                wrapped,
                head,
                body
            ])?;
            insert_groups(connection, &rows, (signed(id), arrived))
        });
        match written.await {
            Ok(()) => Ok((queue_id, leases)),
            Err(error) => {
                if spooled {
                    self.0.bodies.remove(id);
                }
                Err(error)
            }
        }
    }

    /// New mail is taken in only while there is room to settle what is already here: kept back on
    /// the disk, or, once the queue has drained, free inside the database, which does not shrink.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        match self.0.bodies.admit() {
            Err(StoreError::Full) => {}
            outcome => return outcome,
        }
        let free = self.read_here(|connection| {
            let number = |name: &str| -> Result<u64, StoreError> {
                Ok(unsigned(connection.pragma_query_value(None, name, |row| row.get(0))?))
            };
            Ok(number("freelist_count")?.saturating_mul(number("page_size")?))
        })?;
        if free >= self.0.settings.reserve.max(1) { Ok(()) } else { Err(StoreError::Full) }
    }

    /// Splits a message into its groups, due at once. The lease goes over to the first group;
    /// answers leases in the order of `groups`.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn classify(
        &self,
        (message, lease): (QueueId, Lease),
        groups: &[Group],
        now: UnixTime,
    ) -> Result<Vec<Lease>, StoreError> {
        let key = self.message_key(message)?;
        let (leases, rows) = self.group_rows(&key, lease, groups)?;
        let (message, due) = (signed(message.number()), signed(now.0));
        let write = move |connection: &Connection| insert_groups(connection, &rows, (message, due));
        self.0.writer.write(write).await?;
        Ok(leases)
    }

    /// Rows for groups, and leases on them: the message's own for the first.
    fn group_rows(
        &self,
        key: &MessageKey,
        first: Lease,
        groups: &[Group],
    ) -> Result<(Vec<Lease>, Vec<GroupRow>), StoreError> {
        let mut leases = vec![first];
        while leases.len() < groups.len() {
            leases.push(self.lease(self.new_id()).ok_or(StoreError::Closed)?);
        }
        let row = |(group, lease): (&Group, &Lease)| -> Result<GroupRow, StoreError> {
            Ok(GroupRow {
                id: signed(lease.work),
                destination: self.destination(&group.destination).0,
                state: WorkState::Queued,
                sealed: Some(key.seal(Place::Group(lease.work), serde_json::to_vec(group)?)?),
            })
        };
        let rows = groups.iter().zip(&leases).map(row).collect::<Result<_, _>>()?;
        Ok((leases, rows))
    }
}

/// A group as its row has it.
struct GroupRow {
    id: i64,
    destination: i64,
    state: WorkState,
    sealed: Option<Vec<u8>>,
}

impl GroupRow {
    /// Stands for a whole message that has no verdict yet.
    fn fresh(message: u64) -> Self {
        Self { id: signed(message), destination: 0, state: WorkState::Fresh, sealed: None }
    }
}

fn insert_groups(
    connection: &Connection,
    rows: &[GroupRow],
    (message, due): (i64, i64),
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO work (id, message, destination, state, due, sealed) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql)?;
    for GroupRow { id, destination, state, sealed } in rows {
        statement.execute(params![id, message, destination, state.code(), due, sealed])?;
    }
    Ok(())
}
