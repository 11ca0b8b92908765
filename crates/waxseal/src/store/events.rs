//! The tagged, versioned event log (DESIGN §7).

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use waxseal_core::{evidence::BlobId, queue_id::QueueId, time::UnixTime};

use super::{Place, Store, StoreError, seal, signed, unsigned};
use crate::secrets::StoreKeys;

/// What kind of thing happened. The numbers are in the database: never reuse one. Written today are
/// [`Self::Delivery`], [`Self::Override`], [`Self::ConfigChange`] and [`Self::Gap`]; the others keep
/// their numbers for content rules, the portal and the administrators' pages, which come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
#[non_exhaustive]
pub enum EventKind {
    /// A delivery attempt and what came of it.
    Delivery = 1,
    /// A verdict, before any attempt.
    Decision = 2,
    /// A person went against a decision: release, drop, exception.
    Override = 3,
    /// Somebody read, or tried to.
    PortalAccess = 4,
    /// A key came, changed, or went.
    KeyChange = 5,
    /// Configuration or rules were loaded.
    ConfigChange = 6,
    /// A person looked at something that is not for everyone.
    AdminView = 7,
    /// The log goes on after a restore: events between here and the last one may be missing.
    Gap = 8,
}

impl EventKind {
    const ALL: [Self; 8] = [
        Self::Delivery,
        Self::Decision,
        Self::Override,
        Self::PortalAccess,
        Self::KeyChange,
        Self::ConfigChange,
        Self::AdminView,
        Self::Gap,
    ];
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Actor {
    /// The gateway by its rules.
    Gateway,
    /// Somebody with a shell on the machine: the name of the account.
    Operator(String),
    /// Somebody signed in to a web listener.
    Person(String),
}

/// Something to put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its tag.
    pub kind: EventKind,
    /// Version of the layout of `body` for this kind.
    pub version: u16,
    /// When.
    pub at: UnixTime,
    /// Who.
    pub actor: Actor,
    /// Digest of the configuration and rules in force.
    pub config: Option<BlobId>,
    /// The message that it is about.
    pub message: Option<QueueId>,
    /// Canonical JSON; personal fields only as salted commitments.
    pub body: Vec<u8>,
    /// The personal fields and their salts: erasable on their own.
    pub personal: Option<Vec<u8>>,
}

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log: unique, growing, never given again.
    pub sequence: u64,
    /// What was put on record; `personal` is `None` once it was erased.
    pub event: Event,
}

/// A place in the log, and the event there, if it can be read.
pub type Placed = (u64, Result<StoredEvent, StoreError>);

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only those behind this place in the log.
    pub after: u64,
    /// Only those at or after this time.
    pub since: UnixTime,
    /// Only this kind.
    pub kind: Option<EventKind>,
    /// Only those about this message.
    pub message: Option<QueueId>,
    /// At most so many.
    pub limit: usize,
    /// Which first.
    pub order: Order,
}

/// In which order of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As it happened.
    #[default]
    OldestFirst,
    /// What happened last comes first.
    NewestFirst,
}

#[derive(Serialize, Deserialize)]
struct Header {
    actor: Actor,
    config: Option<BlobId>,
}

/// Header length (2 octets), header, body.
fn pack(event: &Event) -> Result<Vec<u8>, StoreError> {
    let header = Header { actor: event.actor.clone(), config: event.config };
    let header = serde_json::to_vec(&header)?;
    let length = u16::try_from(header.len()).map_err(|_| StoreError::Damaged("an actor"))?;
    let mut packed = length.to_be_bytes().to_vec();
    packed.extend_from_slice(&header);
    packed.extend_from_slice(&event.body);
    Ok(packed)
}

/// Appends within a transaction; sealed here because the seal covers the sequence number.
pub(super) fn insert(
    connection: &Connection,
    keys: &StoreKeys,
    event: &Event,
) -> Result<u64, StoreError> {
    let last = "SELECT ifnull(max(sequence), 0) FROM event";
    let last: i64 = connection.prepare_cached(last)?.query_row((), |row| row.get(0))?;
    let sequence = unsigned(last) + 1;
    insert_at(connection, keys, (sequence, event))?;
    Ok(sequence)
}

pub(super) fn insert_at(
    connection: &Connection,
    keys: &StoreKeys,
    (sequence, event): (u64, &Event),
) -> Result<(), StoreError> {
    let header = seal::seal(keys, Place::Event(sequence), &pack(event)?)?;
    let personal = event.personal.as_deref();
    let personal = personal.map(|plain| seal::seal(keys, Place::Personal(sequence), plain));
    let sql = "INSERT INTO event (sequence, at, kind, version, message, header, personal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        signed(sequence),
        signed(event.at.0),
        event.kind as u8,
        event.version,
        event.message.map(|id| signed(id.number())),
        header,
        personal.transpose()?,
    ])?;
    Ok(())
}

fn stored(row: &rusqlite::Row<'_>, keys: &StoreKeys) -> Result<StoredEvent, StoreError> {
    let damaged = || StoreError::Damaged("an event");
    let sequence = unsigned(row.get(0)?);
    let kind: u8 = row.get(2)?;
    let kind = EventKind::ALL.into_iter().find(|known| *known as u8 == kind);
    let message: Option<i64> = row.get(4)?;
    let packed = seal::open(
        keys,
        Place::Event(sequence),
        row.get_ref(5)?.as_blob().map_err(|_| damaged())?,
    )?;
    let (length, rest) = packed.split_first_chunk::<2>().ok_or_else(damaged)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (header, body) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(header)?;
    let personal: Option<Vec<u8>> = row.get(6)?;
    let personal = personal.map(|sealed| seal::open(keys, Place::Personal(sequence), &sealed));
    let event = Event {
        kind: kind.ok_or_else(damaged)?,
        version: row.get(3)?,
        at: UnixTime(unsigned(row.get(1)?)),
        actor: header.actor,
        config: header.config,
        message: message.and_then(|id| QueueId::new(unsigned(id))),
        body: body.to_vec(),
        personal: personal.transpose()?,
    };
    Ok(StoredEvent { sequence, event })
}

impl Store {
    /// Puts events on record, all or none. Answers the place of the first; the others follow.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn append(&self, events: Vec<Event>) -> Result<u64, StoreError> {
        let keys = self.keys();
        self.0
            .writer
            .write(move |connection| {
                let mut first = None;
                for event in &events {
                    let sequence = insert(connection, &keys, event)?;
                    first.get_or_insert(sequence);
                }
                Ok(first.unwrap_or(0))
            })
            .await
    }

    /// When the last event was put on record: the last in the log, whatever times the others have.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_written(&self) -> Result<Option<UnixTime>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT at FROM event ORDER BY sequence DESC LIMIT 1";
            let at = connection.prepare_cached(sql)?.query_row((), |row| row.get(0)).optional()?;
            Ok(at.map(|at| UnixTime(unsigned(at))))
        })
        .await
    }

    /// Events, in the order that the query asks for.
    ///
    /// # Errors
    /// The store cannot be read, or an event was tampered with.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.each_event(query).await?.into_iter().map(|(_, event)| event).collect()
    }

    /// Events with their places in the log, each readable or not: for whoever goes on past a
    /// damaged one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn each_event(&self, query: EventQuery) -> Result<Vec<Placed>, StoreError> {
        let keys = self.keys();
        self.read(move |connection| {
            let which = match query.message {
                Some(_) => "message = ?4",
                None => "?4 IS NULL",
            };
            let order = match query.order {
                Order::OldestFirst => "ASC",
                Order::NewestFirst => "DESC",
            };
            let sql = format!(
                "SELECT sequence, at, kind, version, message, header, personal FROM event \
                 WHERE {which} AND sequence > ?1 AND at >= ?2 AND (?3 IS NULL OR kind = ?3) \
                 ORDER BY sequence {order} LIMIT ?5"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![
                signed(query.after),
                signed(query.since.0),
                query.kind.map(|kind| kind as u8),
                query.message.map(|id| signed(id.number())),
                i64::try_from(query.limit).unwrap_or(i64::MAX),
            ])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push((unsigned(row.get(0)?), stored(row, &keys)));
            }
            Ok(found)
        })
        .await
    }

    /// One event by its place in the log.
    ///
    /// # Errors
    /// The store cannot be read, or the event was tampered with.
    pub async fn event(&self, sequence: u64) -> Result<Option<StoredEvent>, StoreError> {
        let keys = self.keys();
        self.read(move |connection| {
            let sql = "SELECT sequence, at, kind, version, message, header, personal FROM event \
                       WHERE sequence = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([signed(sequence)], |row| Ok(stored(row, &keys)));
            found.optional()?.transpose()
        })
        .await
    }

    /// Erases the personal fields of one event; the event and its commitments stay.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn erase_personal(&self, sequence: u64) -> Result<(), StoreError> {
        self.0
            .writer
            .write(move |connection| {
                let sql = "UPDATE event SET personal = NULL WHERE sequence = ?1";
                connection.prepare_cached(sql)?.execute([signed(sequence)])?;
                Ok(())
            })
            .await
    }
}
