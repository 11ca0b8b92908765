//! Tables, and what a connection is set to.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// The schema that this build writes.
pub(crate) const VERSION: i64 = 1;
/// `WXSL`: so that a file of another program is not mistaken for ours.
const APPLICATION: i64 = 0x5758_534c;

/// `work.state`
pub(crate) mod state {
    /// Accepted, no verdict yet: one row stands for the whole message.
    pub(crate) const FRESH: i64 = 0;
    /// A delivery group that waits for its time.
    pub(crate) const QUEUED: i64 = 1;
    /// A delivery group that waits for a person; `due` is the end of the hold.
    pub(crate) const HELD: i64 = 2;
}

/// Whoever steals the disk sees this: numbers, times, sizes, and keyed tags. Names, addresses,
/// headers, bodies, verdicts and evidence are in the sealed columns.
const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE message (
    id INTEGER PRIMARY KEY,         -- QueueId
    arrived INTEGER NOT NULL,       -- seconds since 1970
    size INTEGER NOT NULL,          -- octets of the message
    key_id BLOB NOT NULL,           -- which store key wraps
    key BLOB NOT NULL,              -- the message's own key, wrapped
    head BLOB NOT NULL,             -- sealed: envelope
    body BLOB                       -- sealed: the message; NULL where it is in the spool
);
CREATE TABLE work (
    id INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    destination INTEGER NOT NULL,   -- keyed tag of the domain
    state INTEGER NOT NULL,
    due INTEGER NOT NULL,
    sealed BLOB                     -- domain, recipients, verdict, history
);
CREATE INDEX work_due ON work (state, destination, due);
CREATE INDEX work_message ON work (message);
CREATE TABLE intent (
    work INTEGER PRIMARY KEY,       -- a final dot may have been sent for it
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    version INTEGER NOT NULL,
    message INTEGER,
    header BLOB NOT NULL,           -- sealed with the body: actor, configuration, content
    personal BLOB                   -- sealed apart: what retention erases
);
CREATE INDEX event_message ON event (message) WHERE message IS NOT NULL;
CREATE TABLE state (
    space INTEGER NOT NULL,
    tag BLOB NOT NULL,              -- keyed tag of the name
    expires INTEGER,
    value BLOB NOT NULL             -- sealed: name and value
);
CREATE UNIQUE INDEX state_tag ON state (space, tag);
CREATE TABLE command (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sealed BLOB NOT NULL,           -- what an operator asks of the running server
    answer BLOB                     -- sealed: what came of it
);
";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Read,
}

/// Files that SQLite keeps beside a database file.
pub(crate) fn beside(database: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    ["-wal", "-shm", "-journal"].into_iter().map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Where there is no database, nothing of one may lie there either: an old log with a new file of
/// the same name is played back into it.
pub(crate) fn nothing_left(database: &Path) -> Result<(), StoreError> {
    match beside(database).find(|path| path.exists()) {
        Some(left) => Err(StoreError::Leftover(left)),
        None => Ok(()),
    }
}

/// Opens the database file for one purpose.
pub(crate) fn connect(path: &Path, purpose: Purpose) -> Result<Connection, StoreError> {
    let flags = match purpose {
        Purpose::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        // Not READ_ONLY: a reader may have to make the shared memory file of the WAL.
        Purpose::Read => OpenFlags::SQLITE_OPEN_READ_WRITE,
    } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if purpose == Purpose::Write {
        // SQLite would make it readable by everybody, and gives its log the mode of the file. Where
        // it cannot be made, SQLite says why.
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(Duration::from_secs(10))?;
    match purpose {
        Purpose::Write => {
            // Before the first table: the size of a page cannot change later.
            connection.pragma_update(None, "page_size", 8192)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            // The promise of P4: a commit returns after fsync.
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "wal_autocheckpoint", 512)?;
            // A burst leaves a large log behind: give the disk back.
            connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
            connection.pragma_update(None, "secure_delete", "fast")?;
            connection.pragma_update(None, "cache_size", -16_384)?;
        }
        Purpose::Read => {
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "cache_size", -2_048)?;
        }
    }
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

/// Whether nothing is in the file yet.
pub(crate) fn is_new(connection: &Connection) -> Result<bool, StoreError> {
    let version: i64 = connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
    Ok(version == 0)
}

/// Brings the tables to the version of this build, or refuses.
pub(crate) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    match (application, version) {
        (APPLICATION, VERSION) => Ok(()),
        (0, 0) if pragma("schema_version")? == 0 => {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            // Another process may have been quicker.
            if pragma("user_version")? == 0 {
                connection.execute_batch(TABLES)?;
                connection.pragma_update(None, "application_id", APPLICATION)?;
                connection.pragma_update(None, "user_version", VERSION)?;
            }
            connection.execute_batch("COMMIT")?;
            Ok(())
        }
        (APPLICATION, found) => Err(StoreError::Version { found, known: VERSION }),
        (_, _) => Err(StoreError::NotOurs),
    }
}
