//! Whose turn it is: due groups under lease, and when the next are due.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use waxseal_core::{queue_id::QueueId, time::UnixTime};

use super::{Claimed, Destination, Group, Lease, WorkState};
use crate::store::{Place, Store, StoreError, guard, seal::MessageKey, signed, unsigned};

impl Store {
    /// Due groups of one destination, oldest first, under lease; small messages with them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn claim(
        &self,
        destination: Destination,
        now: UnixTime,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.claim_where(WorkState::Queued, Some(destination), (now, limit)).await
    }

    /// Messages without a verdict: those that a crash or a burst left behind.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn claim_fresh(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        let now = UnixTime(u64::MAX);
        self.claim_where(WorkState::Fresh, None, (now, limit)).await
    }

    /// Held groups whose hold has ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn claim_overdue(
        &self,
        now: UnixTime,
        limit: usize,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.claim_where(WorkState::Held, None, (now, limit)).await
    }

    /// Groups of one message that nobody has in hand, whatever their time; what was set aside is
    /// tried once more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn claim_message(&self, message: QueueId) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        self.read(move |connection| {
            let sql = "SELECT id FROM work WHERE message = ?1";
            let wanted = params![signed(message.number())];
            store.take_back(connection, message)?;
            let leases = store.take_leases(connection, (sql, usize::MAX), wanted)?;
            store.claim_leased(connection, leases, (None, i64::MAX), Contents::Leave)
        })
        .await
    }

    async fn claim_where(
        &self,
        state: WorkState,
        destination: Option<Destination>,
        (now, limit): (UnixTime, usize),
    ) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        self.read(move |connection| {
            let one = "SELECT id FROM work \
                WHERE state = ?1 AND destination = ?2 AND due <= ?3 ORDER BY due";
            let all = "SELECT id FROM work \
                WHERE state = ?1 AND ?2 IS NULL AND due <= ?3 ORDER BY destination, due";
            let sql = if destination.is_some() { one } else { all };
            let (destination, due) = (destination.map(|tag| tag.0), signed(now.0));
            let wanted = params![state.code(), destination, due];
            let leases = store.take_leases(connection, (sql, limit), wanted)?;
            let contents = match destination {
                Some(_) => Contents::Inline,
                None => Contents::Leave,
            };
            store.claim_leased(connection, leases, (Some(state), due), contents)
        })
        .await
    }

    /// Leases on what a query names and nobody has in hand.
    fn take_leases(
        &self,
        connection: &Connection,
        (sql, limit): (&str, usize),
        wanted: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Lease>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(wanted)?;
        let mut leases = Vec::new();
        while leases.len() < limit {
            let Some(row) = rows.next()? else { break };
            leases.extend(self.lease(unsigned(row.get(0)?)));
        }
        Ok(leases)
    }

    /// What is under these leases now. Read after the lease was taken: the query that named it may
    /// have seen it as it was before somebody else settled it, with recipients who have the message
    /// by now.
    fn claim_leased(
        &self,
        connection: &Connection,
        leases: Vec<Lease>,
        (state, due): (Option<WorkState>, i64),
        contents: Contents,
    ) -> Result<Vec<Claimed>, StoreError> {
        let sql = "SELECT w.id, w.message, w.state, w.sealed, m.key_id, m.key, m.head, \
            iif(?4, m.body, NULL) FROM work w JOIN message m ON m.id = w.message \
            WHERE w.id = ?1 AND (?2 IS NULL OR w.state = ?2) AND w.due <= ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let mut claimed = Vec::with_capacity(leases.len());
        for lease in leases {
            let (state, inline) = (state.map(WorkState::code), contents == Contents::Inline);
            let wanted = params![signed(lease.work), state, due, inline];
            let mut rows = statement.query(wanted)?;
            let Some(row) = rows.next()? else { continue };
            let message = QueueId::new(unsigned(row.get(1)?));
            match (self.claim_row(row), message) {
                (Ok(one), _) => claimed.push(one(lease)),
                (Err(error), Some(message)) if error.is_of_one_row() => {
                    self.set_aside(lease, message, &error);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(claimed)
    }

    /// What is in a row; it only lacks its lease.
    fn claim_row(
        &self,
        row: &Row<'_>,
    ) -> Result<impl FnOnce(Lease) -> Claimed + use<>, StoreError> {
        let (work, message) = (unsigned(row.get(0)?), unsigned(row.get(1)?));
        let (key_id, key): (Vec<u8>, Vec<u8>) = (row.get(4)?, row.get(5)?);
        let key = MessageKey::unwrap(&self.keys(), &key_id, &key)?;
        let sealed: Option<Vec<u8>> = row.get(3)?;
        let group = sealed.map(|sealed| -> Result<Group, StoreError> {
            Ok(serde_json::from_slice(&key.open(Place::Group(work), sealed)?)?)
        });
        let body: Option<Vec<u8>> = row.get(7)?;
        // Whoever asks for a damaged one by itself hears why; the group is whole.
        let content = body.and_then(|sealed| key.open(Place::Body(message), sealed).ok());
        let (content, group) = (content.map(Bytes::from), group.transpose()?);
        let head = serde_json::from_slice(&key.open(Place::Head(message), row.get(6)?)?)?;
        let message = QueueId::new(message).ok_or(StoreError::Damaged("a message id"))?;
        let state = WorkState::of(row.get(2)?)?;
        Ok(move |lease| Claimed { lease, message, head, group, content, state })
    }

    /// Destinations with waiting groups and when the first of each is due: one entry a destination,
    /// however many groups there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn schedule(&self) -> Result<Vec<(Destination, UnixTime)>, StoreError> {
        self.read(|connection| {
            // One step in the index per destination, not per group.
            let sql = "WITH RECURSIVE d (x) AS ( \
                SELECT min(destination) FROM work WHERE state = 1 UNION ALL \
                SELECT (SELECT min(destination) FROM work WHERE state = 1 AND destination > x) \
                FROM d WHERE x IS NOT NULL) \
                SELECT x, (SELECT min(due) FROM work WHERE state = 1 AND destination = x) \
                FROM d WHERE x IS NOT NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut schedule = Vec::new();
            while let Some(row) = rows.next()? {
                schedule.push((Destination(row.get(0)?), UnixTime(unsigned(row.get(1)?))));
            }
            Ok(schedule)
        })
        .await
    }

    /// When the next group of a destination is due that nobody has in hand.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn next_due(&self, destination: Destination) -> Result<Option<UnixTime>, StoreError> {
        let store = self.clone();
        self.read(move |connection| {
            let sql = "SELECT id, due FROM work WHERE state = 1 AND destination = ?1 ORDER BY due";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([destination.0])?;
            while let Some(row) = rows.next()? {
                let (work, due): (i64, i64) = (row.get(0)?, row.get(1)?);
                if !guard(&store.0.leases).contains(&unsigned(work)) {
                    return Ok(Some(UnixTime(unsigned(due))));
                }
            }
            Ok(None)
        })
        .await
    }
}

/// Whether messages are read with their groups, where they lie in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Inline,
    Leave,
}
