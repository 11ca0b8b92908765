//! Messages and what is left to do for them.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use waxseal_core::{
    decide::{History, Verdict},
    domain::Domain,
    envelope::{Direction, Envelope, Recipient},
    queue_id::QueueId,
    time::UnixTime,
};

use super::{
    Event, Inner, Owed, Place, Store, StoreError, events, guard,
    owed::{self, Room},
    schema::state,
    seal::{MessageKey, OVERHEAD},
    signed, unsigned,
};
use crate::secrets::StoreKeys;

/// A message to be taken in.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// When its last octet came.
    pub arrived: UnixTime,
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// The message with our `Received` in front.
    pub content: Bytes,
    /// Which way it goes.
    pub direction: Direction,
}

/// What is known of a message without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When it came.
    pub arrived: UnixTime,
    /// Octets of the content.
    pub size: u64,
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// Which way it goes; what was stored before there was another way went out.
    #[serde(default)]
    pub direction: Direction,
}

/// A delivery group: the recipients of one domain with equal verdict that still wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Their domain.
    pub destination: Domain,
    /// Those without a final outcome.
    pub recipients: Vec<Recipient>,
    /// What the rules demand for them.
    pub verdict: Verdict,
    /// Attempts, holds and notices so far.
    pub history: History,
    /// Since when no channel was good enough; `None` where that never kept it here.
    #[serde(alias = "first_tried")]
    pub short_since: Option<UnixTime>,
    /// Why it waits or is held, for the operator; no address, no subject.
    pub note: Option<String>,
    /// Places of its latest attempts in the event log, at most [`Group::EVIDENCE`].
    pub evidence: Vec<u64>,
    /// What is to be told of its last attempt before anything else is done.
    #[serde(default)]
    pub owed: Option<Owed>,
}

impl Group {
    /// So many places are kept; older attempts are found by the message.
    pub const EVIDENCE: usize = 32;
}

/// Names a delivery group in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub(super) u64);

/// Stands for a domain without naming it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(pub(super) i64);

/// As long as it lives nobody else works on this group; it ends with the process.
#[must_use]
pub struct Lease {
    pub(super) inner: Arc<Inner>,
    work: u64,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lease").field(&self.work).finish()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.stays() {
            guard(&self.inner.leases).remove(&self.work);
        }
    }
}

impl Lease {
    /// The group that is leased.
    pub const fn work(&self) -> WorkId {
        WorkId(self.work)
    }
}

/// A due group in our hands.
#[derive(Debug)]
pub struct Claimed {
    /// Held until the group is settled.
    pub lease: Lease,
    /// The message.
    pub message: QueueId,
    /// Its envelope and size.
    pub head: Head,
    /// The group; `None` where the message has no verdict yet.
    pub group: Option<Group>,
    /// The message, where [`Store::claim`] found it beside its group.
    pub content: Option<Bytes>,
    /// It has ended its hold: nobody released it in time.
    pub state: WorkState,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkState {
    /// Accepted, no verdict yet.
    Fresh,
    /// Waits for its time.
    Queued,
    /// Waits for a person.
    Held,
}

impl WorkState {
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Fresh => state::FRESH,
            Self::Queued => state::QUEUED,
            Self::Held => state::HELD,
        }
    }

    pub(super) fn of(code: i64) -> Result<Self, StoreError> {
        [Self::Fresh, Self::Queued, Self::Held]
            .into_iter()
            .find(|known| known.code() == code)
            .ok_or(StoreError::Damaged("the state of a group"))
    }
}

/// A final dot that may have been sent, with no result on record: the process died in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// For which group.
    pub work: WorkId,
    /// Of which message.
    pub message: QueueId,
    /// In which attempt.
    pub attempt: u32,
    /// When it was about to be sent.
    pub at: UnixTime,
}

/// What is left of a group after an attempt.
#[derive(Clone, Debug)]
pub enum Next {
    /// Nothing: each recipient has its outcome.
    Done,
    /// It is tried again then.
    Retry(UnixTime, Group),
    /// It is kept for a person, at most until then.
    Hold(UnixTime, Group),
}

/// The end of an attempt: what came of it goes on record, and letters of ours about it are taken
/// in, in the same transaction.
#[derive(Debug)]
pub struct Settled {
    /// Which group; the lease is given back once this is durable.
    pub lease: Lease,
    /// Its message.
    pub message: QueueId,
    /// What is left.
    pub next: Next,
    /// What goes on record.
    pub events: Vec<Event>,
    /// What somebody is told of it: nobody is told twice, and nobody never.
    pub letters: Vec<NewMessage>,
}

impl Store {
    /// The tag that stands for a domain in claims.
    pub fn destination(&self, domain: &Domain) -> Destination {
        let tag = self.0.tags.tag(0, domain.as_str().as_bytes());
        let mut first = [0; 8];
        first.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        Destination(i64::from_be_bytes(first))
    }

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
    fn admit(&self) -> Result<(), StoreError> {
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

    fn lease(&self, work: u64) -> Option<Lease> {
        guard(&self.0.leases).insert(work).then(|| Lease { inner: Arc::clone(&self.0), work })
    }

    fn message_key(&self, message: QueueId) -> Result<MessageKey, StoreError> {
        let keys = self.keys();
        self.read_here(|connection| {
            let sql = "SELECT key_id, key FROM message WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([signed(message.number())], |row| {
                Ok(MessageKey::unwrap(
                    &keys,
                    row.get_ref(0)?.as_blob()?,
                    row.get_ref(1)?.as_blob()?,
                ))
            });
            found.optional()?.ok_or(StoreError::Absent("message"))?
        })
    }

    /// The content of a message.
    ///
    /// # Errors
    /// There is no such message, or it was tampered with.
    pub async fn content(&self, message: QueueId) -> Result<Bytes, StoreError> {
        let (keys, store, id) = (self.keys(), self.clone(), message.number());
        self.read(move |connection| {
            let sql = "SELECT key_id, key, body FROM message WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([signed(id)])?;
            let row = rows.next()?.ok_or(StoreError::Absent("message"))?;
            let (key_id, key): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let key = MessageKey::unwrap(&keys, &key_id, &key)?;
            let body: Option<Vec<u8>> = row.get(2)?;
            let content = match body {
                Some(sealed) => key.open(Place::Body(id), sealed)?,
                None => store.0.bodies.read(id, &key)?,
            };
            Ok(Bytes::from(content))
        })
        .await
    }

    /// Envelope and size of a message.
    ///
    /// # Errors
    /// There is no such message, or it was tampered with.
    pub async fn head(&self, message: QueueId) -> Result<Head, StoreError> {
        let (keys, id) = (self.keys(), message.number());
        self.read(move |connection| {
            let sql = "SELECT key_id, key, head FROM message WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([signed(id)])?;
            let row = rows.next()?.ok_or(StoreError::Absent("message"))?;
            let (key_id, key): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let key = MessageKey::unwrap(&keys, &key_id, &key)?;
            Ok(serde_json::from_slice(&key.open(Place::Head(id), row.get(2)?)?)?)
        })
        .await
    }

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
        let content = body.map(|sealed| key.open(Place::Body(message), sealed)).transpose()?;
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

    /// Puts on record that a final dot is about to be sent (promise P4): durable when this answers.
    ///
    /// # Errors
    /// The store cannot be written; then nothing may be sent.
    pub async fn intend(&self, work: WorkId, attempt: u32, at: UnixTime) -> Result<(), StoreError> {
        let outcome = self.intend_once(work, attempt, at).await;
        if !matches!(outcome, Err(StoreError::Full)) {
            return outcome;
        }
        // What goes out makes room.
        self.make_room().await;
        self.intend_once(work, attempt, at).await
    }

    /// Gives the reserve to the database, and lets it write its log from the start again. Nobody
    /// writes in between: other writers would use the room up in the log, and then the log could
    /// neither grow nor be moved into the database.
    async fn make_room(&self) {
        let store = self.clone();
        let moved = self.0.writer.between(move |connection| {
            store.0.bodies.spend();
            Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
        });
        if let Err(error) = moved.await {
            tracing::warn!(%error, "the disk is full, and the database's log cannot be moved");
        }
    }

    async fn intend_once(
        &self,
        work: WorkId,
        attempt: u32,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.0
            .writer
            .write(move |connection| {
                let sql = "INSERT OR REPLACE INTO intent (work, attempt, at) VALUES (?1, ?2, ?3)";
                let values = params![signed(work.0), attempt, signed(at.0)];
                connection.prepare_cached(sql)?.execute(values)?;
                Ok(())
            })
            .await
    }

    /// Intents without a result. Asked once at the start, before anything is sent.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn intents(&self) -> Result<Vec<Intent>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT i.work, w.message, i.attempt, i.at FROM intent i \
                       JOIN work w ON w.id = i.work";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut intents = Vec::new();
            while let Some(row) = rows.next()? {
                let message = QueueId::new(unsigned(row.get(1)?));
                intents.push(Intent {
                    work: WorkId(unsigned(row.get(0)?)),
                    message: message.ok_or(StoreError::Damaged("a message id"))?,
                    attempt: row.get(2)?,
                    at: UnixTime(unsigned(row.get(3)?)),
                });
            }
            Ok(intents)
        })
        .await
    }

    /// Records an attempt, what is left and what is told, in one transaction, and gives the lease
    /// back. When the disk is full it uses the room that was kept back for this; letters may then
    /// only take what is free inside the database, such as the room of the message that they speak
    /// of. Answers the places of the events.
    ///
    /// # Errors
    /// The store cannot be written; the lease is still held by the value that comes back.
    pub async fn settle(&self, settled: Settled) -> Result<Vec<u64>, (StoreError, Box<Settled>)> {
        let settled = Box::new(settled);
        let tells = !settled.letters.is_empty();
        let room = if tells && self.admit().is_err() { Room::AsItIs } else { Room::May };
        let mut outcome = self.settle_once(&settled, room).await;
        if matches!(outcome, Err(StoreError::Full)) {
            self.make_room().await;
            let room = if tells { Room::AsItIs } else { Room::May };
            outcome = self.settle_once(&settled, room).await;
        }
        match outcome {
            Ok((sequences, gone)) => {
                self.gone(settled.message, gone);
                Ok(sequences)
            }
            Err(error) => Err((error, settled)),
        }
    }

    /// The file of a message goes with it.
    pub(super) fn gone(&self, message: QueueId, gone: Gone) {
        if gone == Gone::WithFile {
            self.0.bodies.remove(message.number());
        }
    }

    async fn settle_once(
        &self,
        settled: &Settled,
        room: Room,
    ) -> Result<(Vec<u64>, Gone), StoreError> {
        let work = settled.lease.work;
        let row = match &settled.next {
            Next::Done => None,
            Next::Retry(due, group) => Some((WorkState::Queued, *due, group)),
            Next::Hold(until, group) => Some((WorkState::Held, *until, group)),
        };
        let row = match row {
            None => None,
            Some((state, due, group)) => {
                let key = self.message_key(settled.message)?;
                let sealed = key.seal(Place::Group(work), serde_json::to_vec(group)?)?;
                Some((state.code(), signed(due.0), sealed))
            }
        };
        let (keys, events, message) = (self.keys(), settled.events.clone(), settled.message);
        let letters = self.seal_letters(&settled.letters)?;
        let write = move |connection: &Connection| {
            // First what makes room.
            let done = settle_rows(connection, (work, message), row.as_ref(), (&keys, &events))?;
            owed::insert_all(connection, &letters, room)?;
            Ok(done)
        };
        self.0.writer.write(write).await
    }

    /// Changes the time or state of a group that is not in hand, with what goes on record for it.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub async fn resume(
        &self,
        claimed: Claimed,
        next: Next,
        event: Option<Event>,
    ) -> Result<(), StoreError> {
        let settled = Settled {
            lease: claimed.lease,
            message: claimed.message,
            next,
            events: event.into_iter().collect(),
            letters: Vec::new(),
        };
        self.settle(settled).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

/// Whether messages are read with their groups, where they lie in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Inline,
    Leave,
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

/// Whether a message went with its last group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    No,
    Yes,
    WithFile,
}

pub(super) fn settle_rows(
    connection: &Connection,
    (work, message): (u64, QueueId),
    row: Option<&(i64, i64, Vec<u8>)>,
    (keys, events): (&StoreKeys, &[Event]),
) -> Result<(Vec<u64>, Gone), StoreError> {
    let run = |sql, id: u64| -> Result<usize, StoreError> {
        Ok(connection.prepare_cached(sql)?.execute([signed(id)])?)
    };
    let sequences = events.iter().map(|event| events::insert(connection, keys, event));
    let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
    run("DELETE FROM intent WHERE work = ?1", work)?;
    if let Some((state, due, sealed)) = row {
        let sql = "UPDATE work SET state = ?2, due = ?3, sealed = ?4 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![signed(work), state, due, sealed])?;
        return Ok((sequences, Gone::No));
    }
    run("DELETE FROM work WHERE id = ?1", work)?;
    let more = "SELECT 1 FROM work WHERE message = ?1";
    if connection.prepare_cached(more)?.exists([signed(message.number())])? {
        return Ok((sequences, Gone::No));
    }
    let gone = "DELETE FROM message WHERE id = ?1 RETURNING body IS NULL";
    let mut statement = connection.prepare_cached(gone)?;
    let spooled = statement.query_row([signed(message.number())], |row| row.get(0)).optional()?;
    Ok((sequences, if spooled == Some(true) { Gone::WithFile } else { Gone::Yes }))
}
