//! Everything that lasts: messages, the work that is left of them, events, state. Only this module
//! has SQL, and nothing of SQLite shows in its interface, so that PostgreSQL can stand behind it.
//!
//! | narrow part | what it keeps |
//! |---|---|
//! | [`Store::accept`], [`Store::classify`], [`Store::claim`], [`Store::intend`], [`Store::settle`] | messages and delivery groups |
//! | [`Store::append`], [`Store::events`], [`Store::erase_personal`] | the tagged event log |
//! | [`Store::load`], [`Store::save`], [`Store::entries`] | named state: policies, memory, exceptions, blobs |
//! | [`Store::ask`], [`Store::commands`], [`Store::answer`] | what operators ask of a running server |
//!
//! A write is durable when its future resolves (promise P4): one thread commits all that waits with
//! one fsync. Readers never wait for the writer. What a thief of the disk must not read is sealed
//! before it gets near a file.

mod backup;
mod bodies;
mod command;
mod error;
mod events;
mod listing;
mod owed;
mod queue;
mod schema;
pub(crate) mod seal;

mod state;
#[cfg(test)]
mod tests;
mod unreadable;
mod writer;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use rusqlite::{Connection, OptionalExtension};

pub use backup::{Restored, restore};
pub use command::{Asked, Command, CommandId, Target, Verb};
pub use error::StoreError;
pub use events::{Actor, Event, EventKind, EventQuery, Order, Placed, StoredEvent};
pub use listing::Listed;
pub use owed::{Dsn, Fate, Owed, Remote};
pub use queue::{
    Claimed, Destination, Group, Head, Intent, Lease, NewMessage, Next, Settled, WorkId, WorkState,
};
pub use state::{Change, Entry, Page, Revised, Space};

use crate::{
    config::{Config, StorePlace},
    secrets::StoreKeys,
};
use bodies::Bodies;
use seal::{Place, Tags};
use unreadable::SetAside;
use writer::Writer;

/// The database file in the data directory and in a backup.
pub const DATABASE: &str = "waxseal.db";
const LOCK: &str = "lock";

/// How the store keeps its files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where everything lies; made with mode 0700 where it is missing.
    pub data_dir: PathBuf,
    /// The database file.
    pub database: PathBuf,
    /// Bodies of up to so many octets lie in the database, larger ones in a file of their own.
    pub inline_limit: usize,
    /// Octets kept back on the disk, so that what was sent can be recorded when it is full.
    pub reserve: u64,
}

impl Settings {
    /// With measured defaults: see `docs/decisions` on where bodies go.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        let database = data_dir.join(DATABASE);
        Self { data_dir, database, inline_limit: 64 * 1024, reserve: 32 << 20 }
    }

    /// As the administrator decided.
    pub fn of(config: &Config) -> Self {
        let StorePlace::Sqlite(database) = &config.store.place;
        Self { database: database.clone(), ..Self::new(&config.data_dir) }
    }
}

/// Who opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The one server: nobody else may run a queue on this data.
    Serve,
    /// A command beside it: reads, and asks the server.
    Visit,
}

/// A handle to the store; clones are cheap and share everything.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.0.settings.data_dir).finish()
    }
}

struct Inner {
    settings: Settings,
    keys: RwLock<Arc<StoreKeys>>,
    tags: Tags,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
    bodies: Bodies,
    last_id: AtomicU64,
    /// Work that this process has in hand. Nobody else can run a queue on an embedded store, and a
    /// lease ends with its process, so it needs no row.
    leases: Mutex<HashSet<u64>>,
    /// Leased work that could not be read.
    unreadable: Mutex<SetAside>,
    /// Held as long as the store is open; the kernel lets go of it with the process.
    _lock: Option<File>,
}

impl Store {
    /// Opens the store, makes it at the first start.
    ///
    /// # Errors
    /// The directory or the database cannot be used, another server has it, a newer version wrote
    /// it, or its key is not among `keys`.
    pub fn open(settings: Settings, keys: StoreKeys, access: Access) -> Result<Self, StoreError> {
        let dir = &settings.data_dir;
        let unusable = |source| StoreError::DataDir { path: dir.clone(), source };
        if access == Access::Serve {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        }
        fs::read_dir(dir).map_err(unusable)?;
        let lock = match access {
            Access::Serve => Some(lock(dir)?),
            Access::Visit => None,
        };
        let path = settings.database.clone();
        if access == Access::Visit && !path.exists() {
            return Err(StoreError::Nothing(dir.clone()));
        }
        if !path.exists() {
            schema::nothing_left(&path)?;
        }
        let connection =
            schema::connect(&path, schema::Purpose::Write).map_err(|error| error.about(&path))?;
        if schema::is_new(&connection).map_err(|error| error.about(&path))?
            && bodies::any(dir).map_err(unusable)?
        {
            return Err(StoreError::Orphans { spool: dir.join(bodies::DIRECTORY), database: path });
        }
        schema::prepare(&connection).map_err(|error| error.about(&path))?;
        let tags = tags(&connection, &keys)?;
        let newest = "SELECT max(ifnull((SELECT max(id) FROM message), 0), \
                      ifnull((SELECT max(id) FROM work), 0))";
        let newest: i64 = connection.query_row(newest, (), |row| row.get(0))?;
        let bodies = Bodies::open(dir, settings.reserve, access).map_err(unusable)?;
        if access == Access::Serve {
            bodies.sweep(&connection).map_err(unusable)?;
        }
        let writer = Writer::start(connection).map_err(unusable)?;
        Ok(Self(Arc::new(Inner {
            settings,
            keys: RwLock::new(Arc::new(keys)),
            tags,
            writer,
            readers: Mutex::default(),
            bodies,
            last_id: AtomicU64::new(unsigned(newest)),
            leases: Mutex::default(),
            unreadable: Mutex::default(),
            _lock: lock,
        })))
    }

    /// From now on the first of `keys` seals what is new (key rotation without a restart).
    ///
    /// # Errors
    /// They are not the keys of this store; then the old ones stay.
    pub fn use_keys(&self, keys: StoreKeys) -> Result<(), StoreError> {
        self.read_here(|connection| open_tag_key(connection, &keys).map(drop))?;
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Where the files are.
    pub fn data_dir(&self) -> &Path {
        &self.0.settings.data_dir
    }

    fn keys(&self) -> Arc<StoreKeys> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number that no message or group has or had: milliseconds since 1970, and a count. It grows
    /// even where the clock jumps back.
    fn new_id(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let base = u64::try_from(now.as_millis()).unwrap_or(0).min((1 << 43) - 1) << 20;
        let next = |last: u64| Some(base.max(last + 1));
        let last = self.0.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        base.max(last.unwrap_or(0) + 1)
    }

    /// Reads on a thread of its own, with a connection of its own.
    async fn read<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        let task = tokio::task::spawn_blocking(move || store.read_here(act));
        task.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads on this thread: for few rows that are likely in memory.
    fn read_here<T>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = guard(&self.0.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.0.settings.database, schema::Purpose::Read)?,
        };
        let outcome = act(&connection);
        let mut readers = guard(&self.0.readers);
        if readers.len() < 4 {
            readers.push(connection);
        }
        outcome
    }
}

/// A lock that holds plain data: a panic elsewhere leaves nothing half-done in it.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SQL integers are signed; ours never reach that far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::DataDir { path: dir.to_owned(), source };
    let options = || File::options().create(true).truncate(false).write(true).open(dir.join(LOCK));
    let file = options().map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// The key of the tags: made with the database, sealed under the store key.
fn tags(connection: &Connection, keys: &StoreKeys) -> Result<Tags, StoreError> {
    if kept_tag_key(connection)?.is_none() {
        let mut key = zeroize::Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut *key).map_err(|_| StoreError::Cipher)?;
        let sealed = seal::seal(keys, Place::Meta, &*key)?;
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('tag-key', ?1)", [sealed])?;
    }
    Ok(Tags::new(&open_tag_key(connection, keys)?))
}

fn kept_tag_key(connection: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = 'tag-key'";
    Ok(connection.query_row(sql, (), |row| row.get(0)).optional()?)
}

/// What only the keys of this store open.
fn open_tag_key(connection: &Connection, keys: &StoreKeys) -> Result<Vec<u8>, StoreError> {
    let sealed = kept_tag_key(connection)?.ok_or(StoreError::Damaged("the table meta"))?;
    seal::open(keys, Place::Meta, &sealed)
}
