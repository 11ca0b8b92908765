//! Messages and what is left to do for them.

mod claim;
mod intake;
mod settle;

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use waxseal_core::{
    decide::{FirstSeen, History, Verdict},
    domain::Domain,
    envelope::{Direction, Envelope, Recipient},
    queue_id::QueueId,
    time::UnixTime,
};

use super::{
    Event, Inner, Owed, Place, Store, StoreError, guard, schema::state, seal::MessageKey, signed,
};
pub(super) use settle::settle_rows;

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
    /// Since when each kind of what falls short was seen; rows of before do not say so.
    #[serde(default, skip_serializing_if = "FirstSeen::is_nothing")]
    pub first_seen: FirstSeen,
    /// Why it waits or is held, for the operator; no address, no subject.
    pub note: Option<String>,
    /// What is to be told of its last attempt before anything else is done.
    #[serde(default)]
    pub owed: Option<Owed>,
    /// Why its message could not be read when its turn came.
    #[serde(default)]
    pub unreadable: Option<String>,
}

impl Group {
    /// A group that was never tried.
    pub const fn new(
        destination: Domain,
        recipients: Vec<Recipient>,
        verdict: Verdict,
        history: History,
    ) -> Self {
        Self {
            destination,
            recipients,
            verdict,
            history,
            short_since: None,
            first_seen: FirstSeen { refused: None, denied: None },
            note: None,
            owed: None,
            unreadable: None,
        }
    }
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

    fn lease(&self, work: u64) -> Option<Lease> {
        guard(&self.0.leases).insert(work).then(|| Lease { inner: Arc::clone(&self.0), work })
    }

    pub(super) fn message_key(&self, message: QueueId) -> Result<MessageKey, StoreError> {
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
}
