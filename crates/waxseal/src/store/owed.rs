//! Letters of ours that go with the end of an attempt, and what is kept of them where the disk has
//! no room for them yet.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use waxseal_core::{
    decide::Settled, envelope::Recipient, facts::Peer, outcome::Outcome, time::UnixTime,
};

use super::{Head, NewMessage, Place, Store, StoreError, seal::MessageKey, signed};

/// What became of a message for one recipient, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Who.
    pub recipient: Recipient,
    /// What the attempt came to.
    pub outcome: Outcome,
    /// What follows from it.
    pub settled: Settled,
    /// The host that the outcome is from; `None` where none was reached.
    pub remote: Option<Remote>,
}

/// A host that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Its name.
    pub peer: Peer,
    /// Whether it goes on reporting.
    pub dsn: Dsn,
}

/// Whether a host offers DSN (RFC 3461 §5.2.1): then it reports what its own next hop says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dsn {
    /// It does.
    Offered,
    /// It does not: nothing further will be heard of the message.
    Missing,
}

/// What somebody still has to be told: the attempt is on record, and its letters had no room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// When the attempt was.
    pub at: UnixTime,
    /// What came of it.
    pub fates: Vec<Fate>,
    /// When the recipients that are left are tried again; `None` where none is left.
    pub then: Option<UnixTime>,
}

/// A letter as it goes into the database: always inside it, so that it is there with the end of
/// the attempt or not at all.
pub(super) struct Sealed {
    id: u64,
    arrived: i64,
    size: i64,
    key_id: Vec<u8>,
    key: Vec<u8>,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Store {
    /// Seals letters for the transaction that they go with.
    pub(super) fn seal_letters(&self, letters: &[NewMessage]) -> Result<Vec<Sealed>, StoreError> {
        letters.iter().map(|letter| self.seal_letter(letter)).collect()
    }

    fn seal_letter(&self, letter: &NewMessage) -> Result<Sealed, StoreError> {
        let id = self.new_id();
        let key = MessageKey::random(&self.keys())?;
        let size = letter.content.len() as u64;
        let head = Head {
            arrived: letter.arrived,
            size,
            envelope: letter.envelope.clone(),
            direction: letter.direction,
        };
        let head = key.seal(Place::Head(id), serde_json::to_vec(&head)?)?;
        let body = key.seal(Place::Body(id), letter.content.to_vec())?;
        let (arrived, size) = (signed(letter.arrived.0), signed(size));
        Ok(Sealed {
            id,
            arrived,
            size,
            key_id: key.id.0.into(),
            key: key.wrapped.into(),
            head,
            body,
        })
    }
}

/// Whether the database may grow for letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may.
    May,
    /// The disk is full: what is kept back is for records, not for new mail.
    AsItIs,
}

/// Takes letters in within a transaction.
pub(super) fn insert_all(
    connection: &Connection,
    letters: &[Sealed],
    room: Room,
) -> Result<(), StoreError> {
    let limit = |pages: i64| -> Result<(), StoreError> {
        Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    };
    if room == Room::AsItIs {
        limit(connection.pragma_query_value(None, "page_count", |row| row.get(0))?)?;
    }
    let inserted = letters.iter().try_for_each(|letter| insert(connection, letter));
    if room == Room::AsItIs {
        limit(MOST_PAGES)?;
    }
    inserted
}

/// As many as SQLite can have.
const MOST_PAGES: i64 = 4_294_967_294;

/// Takes a letter in within a transaction; whoever asks for messages without a verdict finds it.
fn insert(connection: &Connection, letter: &Sealed) -> Result<(), StoreError> {
    let Sealed { id, arrived, size, key_id, key, head, body } = letter;
    let sql = "INSERT INTO message (id, arrived, size, key_id, key, head, body) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = params![signed(*id), arrived, size, key_id, key, head, body];
    connection.prepare_cached(sql)?.execute(values)?;
    let sql = "INSERT INTO work (id, message, destination, state, due, sealed) \
               VALUES (?1, ?1, 0, 0, ?2, NULL)";
    connection.prepare_cached(sql)?.execute(params![signed(*id), arrived])?;
    Ok(())
}
