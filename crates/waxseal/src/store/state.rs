//! Named values: policies, downgrade memory, exceptions, counters, and content-addressed blobs.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, params};
use waxseal_core::{evidence::BlobId, time::UnixTime};

use super::{Event, Place, Store, StoreError, events, seal, signed, unsigned};
use crate::secrets::StoreKeys;

/// So long what has expired is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Which kind of value; names are unique within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Space {
    /// MTA-STS policies by domain.
    Sts = 1,
    /// Downgrade memory by domain.
    Memory = 2,
    /// Exceptions to rules by domain.
    Exception = 3,
    /// Counters and other small state of the server.
    Server = 4,
    /// Blobs by their digest: use [`Store::put_blob`].
    Blob = 5,
    /// State of the web listeners: sessions, one-time links.
    Web = 6,
    /// What is known of mail hosts, for assessments.
    Probe = 16,
    /// What regular checks saw, by domain.
    Check = 7,
    /// Alerts on their way to the webhook, by id.
    Alert = 17,
}

/// A value with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name within its space.
    pub name: String,
    /// The value as it was saved.
    pub value: Vec<u8>,
    /// From then on it is gone; `None` stays until it is removed.
    pub expires: Option<UnixTime>,
}

/// A new value, and when it ends.
pub type Revised = (Vec<u8>, Option<UnixTime>);

/// Name length (2 octets), name, value.
fn pack(name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let length = u16::try_from(name.len()).map_err(|_| StoreError::Damaged("a name"))?;
    let mut packed = Vec::with_capacity(2 + name.len() + value.len());
    packed.extend_from_slice(&length.to_be_bytes());
    packed.extend_from_slice(name.as_bytes());
    packed.extend_from_slice(value);
    Ok(packed)
}

fn unpack(packed: &[u8]) -> Result<(String, Vec<u8>), StoreError> {
    let damaged = || StoreError::Damaged("a named value");
    let (length, rest) = packed.split_first_chunk::<2>().ok_or_else(damaged)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (name, value) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let name = std::str::from_utf8(name).map_err(|_| damaged())?;
    Ok((name.to_owned(), value.to_vec()))
}

/// Some named values, and what became of those that are damaged.
pub type Page = Vec<Result<Entry, StoreError>>;

/// One change of a named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keeps a value under its name, in place of what was there.
    Save(Space, Entry),
    /// Forgets a name.
    Remove(Space, String),
}

/// A value as its row has it.
struct Sealed {
    space: Space,
    tag: [u8; 16],
    expires: Option<i64>,
    value: Vec<u8>,
}

impl Sealed {
    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let sql = "INSERT INTO state (space, tag, expires, value) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (space, tag) DO UPDATE \
                   SET expires = excluded.expires, value = excluded.value";
        let values = params![self.space as u8, self.tag, self.expires, self.value];
        connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

fn read(
    connection: &Connection,
    keys: &StoreKeys,
    (space, tag): (Space, [u8; 16]),
    now: UnixTime,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT value FROM state WHERE space = ?1 AND tag = ?2 \
               AND (expires IS NULL OR expires > ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement
        .query_row(params![space as u8, tag, signed(now.0)], |row| row.get(0))
        .optional()?;
    let Some(sealed): Option<Vec<u8>> = row else { return Ok(None) };
    let (_, value) = unpack(&seal::open(keys, Place::State(tag), &sealed)?)?;
    Ok(Some(value))
}

fn remove(connection: &Connection, (space, tag): (Space, [u8; 16])) -> Result<(), StoreError> {
    let sql = "DELETE FROM state WHERE space = ?1 AND tag = ?2";
    connection.prepare_cached(sql)?.execute(params![space as u8, tag])?;
    Ok(())
}

impl Store {
    /// The value under a name, unless it has expired.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load(
        &self,
        space: Space,
        name: &str,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let tag = self.0.tags.tag(space as u8, name.as_bytes());
        let keys = self.keys();
        // One row by its key: handing it to another thread would cost more than reading it.
        self.read_here(move |connection| read(connection, &keys, (space, tag), now))
    }

    /// Keeps a value under a name, in place of what was there.
    ///
    /// # Errors
    /// The store cannot be written; then the old value stays.
    pub async fn save(&self, space: Space, entry: Entry) -> Result<(), StoreError> {
        let entry = self.seal_entry((space, entry))?;
        self.0.writer.write(move |connection| entry.write(connection)).await
    }

    /// Writes what `revise` makes of the value that is kept under a name now, if it makes anything of
    /// it: nobody else writes in between, so that nothing that was kept meanwhile is lost. It may be
    /// called twice.
    ///
    /// # Errors
    /// The value cannot be read or written, or `revise` cannot; then the old value stays.
    pub async fn revise(
        &self,
        (space, name): (Space, &str),
        now: UnixTime,
        revise: impl Fn(Option<&[u8]>) -> Result<Option<Revised>, StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let tag = self.0.tags.tag(space as u8, name.as_bytes());
        let (keys, name) = (self.keys(), name.to_owned());
        let act = move |connection: &Connection| {
            let kept = read(connection, &keys, (space, tag), now)?;
            let Some((value, expires)) = revise(kept.as_deref())? else { return Ok(()) };
            let value = seal::seal(&keys, Place::State(tag), &pack(&name, &value)?)?;
            Sealed { space, tag, expires: expires.map(|at| signed(at.0)), value }.write(connection)
        };
        self.0.writer.write(act).await
    }

    /// Changes named values and puts events on record, all or nothing.
    ///
    /// # Errors
    /// The store cannot be written; then nothing of it happened.
    pub async fn change(&self, changes: Vec<Change>, events: Vec<Event>) -> Result<(), StoreError> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Save(space, entry) => kept.push(self.seal_entry((space, entry))?),
                Change::Remove(space, name) => {
                    gone.push((space, self.0.tags.tag(space as u8, name.as_bytes())));
                }
            }
        }
        let keys = self.keys();
        self.0
            .writer
            .write(move |connection| {
                kept.iter().try_for_each(|entry| entry.write(connection))?;
                gone.iter().try_for_each(|name| remove(connection, *name))?;
                for event in &events {
                    events::insert(connection, &keys, event)?;
                }
                Ok(())
            })
            .await
    }

    fn seal_entry(&self, (space, entry): (Space, Entry)) -> Result<Sealed, StoreError> {
        let tag = self.0.tags.tag(space as u8, entry.name.as_bytes());
        let plain = pack(&entry.name, &entry.value)?;
        let value = seal::seal(&self.keys(), Place::State(tag), &plain)?;
        Ok(Sealed { space, tag, expires: entry.expires.map(|at| signed(at.0)), value })
    }

    /// Forgets a name; no error where it is not there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn remove(&self, space: Space, name: &str) -> Result<(), StoreError> {
        let tag = self.0.tags.tag(space as u8, name.as_bytes());
        self.0.writer.write(move |connection| remove(connection, (space, tag))).await
    }

    /// All values of a space that have not expired, by and by: `after` is where the last page ended
    /// (0 for the first), `limit` how many at most. Answers the page and where it ended. One that is damaged
    /// is an error in its place, and hides no other.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn entries(
        &self,
        space: Space,
        (after, limit): (u64, usize),
        now: UnixTime,
    ) -> Result<(Page, Option<u64>), StoreError> {
        let keys = self.keys();
        self.read(move |connection| {
            // `+`: by row from where the last page ended. By the index of names, each page would be
            // sorted out of the whole space.
            let sql = "SELECT rowid, tag, expires, value FROM state \
                       WHERE rowid > ?1 AND +space = ?2 AND (expires IS NULL OR expires > ?3) \
                       ORDER BY rowid LIMIT ?4";
            let mut statement = connection.prepare_cached(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows =
                statement.query(params![signed(after), space as u8, signed(now.0), limit])?;
            let (mut page, mut end) = (Vec::new(), None);
            while let Some(row) = rows.next()? {
                end = Some(unsigned(row.get(0)?));
                let tag: [u8; 16] = row.get(1)?;
                let expires: Option<i64> = row.get(2)?;
                let sealed: Vec<u8> = row.get(3)?;
                let opened = seal::open(&keys, Place::State(tag), &sealed);
                let expires = expires.map(|at| UnixTime(unsigned(at)));
                match opened.and_then(|packed| unpack(&packed)) {
                    Ok((name, value)) => page.push(Ok(Entry { name, value, expires })),
                    Err(error @ StoreError::Damaged(_)) => page.push(Err(error)),
                    Err(error) => return Err(error),
                }
            }
            Ok((page, end))
        })
        .await
    }

    /// Deletes what expired a month ago. Answers how many.
    ///
    /// Not at once: nobody gets it any more, and a machine that starts with a wrong clock would lose
    /// every policy and all that is known of others.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn expire(&self, now: UnixTime) -> Result<usize, StoreError> {
        self.0
            .writer
            .write(move |connection| {
                let sql = "DELETE FROM state WHERE expires <= ?1";
                Ok(connection.prepare_cached(sql)?.execute([signed(now.before(KEPT).0)])?)
            })
            .await
    }

    /// Keeps bytes once, under their digest.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn put_blob(&self, bytes: Arc<[u8]>) -> Result<BlobId, StoreError> {
        let id = BlobId::of(&bytes);
        let tag = self.0.tags.tag(Space::Blob as u8, id.as_bytes());
        let (keys, known) = (self.keys(), tag);
        let known = self.read_here(move |connection| {
            let sql = "SELECT 1 FROM state WHERE space = ?1 AND tag = ?2";
            Ok(connection.prepare_cached(sql)?.exists(params![Space::Blob as u8, known])?)
        })?;
        if known {
            return Ok(id);
        }
        let sealed = seal::seal(&keys, Place::State(tag), &pack(&id.to_string(), &bytes)?)?;
        self.0
            .writer
            .write(move |connection| {
                let sql = "INSERT OR IGNORE INTO state (space, tag, expires, value) \
                           VALUES (?1, ?2, NULL, ?3)";
                connection.prepare_cached(sql)?.execute(params![Space::Blob as u8, tag, sealed])?;
                Ok(())
            })
            .await?;
        Ok(id)
    }

    /// The bytes under a digest; checked against it.
    ///
    /// # Errors
    /// The store cannot be read, or what it holds has another digest.
    pub async fn blob(&self, id: BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        let tag = self.0.tags.tag(Space::Blob as u8, id.as_bytes());
        let keys = self.keys();
        self.read(move |connection| {
            let sql = "SELECT value FROM state WHERE space = ?1 AND tag = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let row = statement.query_row(params![Space::Blob as u8, tag], |row| row.get(0));
            let Some(sealed): Option<Vec<u8>> = row.optional()? else { return Ok(None) };
            let (_, bytes) = unpack(&seal::open(&keys, Place::State(tag), &sealed)?)?;
            if BlobId::of(&bytes) == id {
                Ok(Some(bytes))
            } else {
                Err(StoreError::Damaged("a blob"))
            }
        })
        .await
    }
}
