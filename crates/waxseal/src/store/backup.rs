//! Online, consistent copies, and what comes back from them.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, backup::Backup};
use serde_json::json;
use waxseal_core::time::UnixTime;

use super::{
    Access, Actor, DATABASE, Event, EventKind, Settings, Store, StoreError, bodies, events, schema,
    signed, unsigned,
};
use crate::secrets::StoreKeys;

/// So far the log jumps at a restore: numbers that were given after the backup was taken are never
/// given again, for what they stood for may have been shown to somebody.
const GAP: u64 = 1 << 32;
const PAUSED: &str = "paused";

/// What a restore brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Delivery groups that will wait until somebody confirms.
    pub groups: u64,
    /// The last event in the backup.
    pub last: u64,
    /// The event that records the gap.
    pub gap: u64,
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |source| StoreError::File { path: path.to_owned(), source }
}

impl Store {
    /// Copies the store into a new directory while it is in use: the database as of one instant and
    /// every body that it names. Sealed as it is; the store key is not in it.
    ///
    /// # Errors
    /// The target exists, or cannot be written.
    pub async fn backup(&self, target: PathBuf) -> Result<(), StoreError> {
        if target.exists() {
            return Err(StoreError::Exists(target));
        }
        let store = self.clone();
        let copy = move || {
            let outcome = store.copy_to(&target);
            if outcome.is_err() {
                let _ = fs::remove_dir_all(&target);
            }
            outcome
        };
        tokio::task::spawn_blocking(copy).await.map_err(|_| StoreError::Closed)?
    }

    fn copy_to(&self, target: &Path) -> Result<(), StoreError> {
        let private = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(file_error(path))
        };
        private(target)?;
        // Bodies of messages that end while we copy may go meanwhile, so copy them first. What came
        // later than the database copy is swept after the restore.
        let spool = target.join(bodies::DIRECTORY);
        self.copy_bodies(&spool, Missing::Ok)?;
        self.read_here(|source| {
            let mut copy = Connection::open(target.join(DATABASE))?;
            // In one step: between steps a writer would make it begin anew.
            Backup::new(source, &mut copy)?.step(-1)?;
            Ok(())
        })?;
        // Messages that came between: their files are there now, for the rows came after them.
        self.copy_bodies(&spool, Missing::Ok)?;
        check_bodies(target)?;
        let database = target.join(DATABASE);
        File::open(&database).and_then(|file| file.sync_all()).map_err(file_error(&database))?;
        File::open(target).and_then(|dir| dir.sync_all()).map_err(file_error(target))
    }

    fn copy_bodies(&self, target: &Path, missing: Missing) -> Result<(), StoreError> {
        let source = self.0.settings.data_dir.join(bodies::DIRECTORY);
        copy_tree(&source, target, missing)
    }

    /// Whether nothing may be sent until an operator confirms (after a restore).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn is_paused(&self) -> Result<bool, StoreError> {
        self.read_here(|connection| {
            let sql = "SELECT 1 FROM meta WHERE name = ?1";
            Ok(connection.prepare_cached(sql)?.exists([PAUSED])?)
        })
    }

    /// Sending may begin again.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn unpause(&self) -> Result<(), StoreError> {
        self.0
            .writer
            .write(|connection| {
                connection.execute("DELETE FROM meta WHERE name = ?1", [PAUSED])?;
                Ok(())
            })
            .await
    }
}

/// What to do about a file that went while it was to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Ok,
    Error,
}

fn copy_tree(source: &Path, target: &Path, missing: Missing) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(target).map_err(file_error(target))?;
    for entry in fs::read_dir(source).map_err(file_error(source))? {
        let entry = entry.map_err(file_error(source))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if from.is_dir() {
            copy_tree(&from, &to, missing)?;
        } else if !bodies::is_unfinished(&from) {
            match copy_file(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Ok => {
                }
                outcome => outcome.map_err(file_error(&from))?,
            }
        }
    }
    File::open(target).and_then(|dir| dir.sync_all()).map_err(file_error(target))
}

/// Copies a file so that it is whole and durable, or not there at all: what was cut off is not taken
/// for a copy the next time. A file that is finished never changes, so one of the same length stays.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let length = fs::metadata(from)?.len();
    if fs::metadata(to).is_ok_and(|there| there.len() == length) {
        return Ok(());
    }
    let fresh = bodies::unfinished(to);
    let copied = fs::copy(from, &fresh).and_then(|copied| match copied == length {
        true => File::open(&fresh)?.sync_all().and_then(|()| fs::rename(&fresh, to)),
        false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile")),
    });
    if copied.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    copied
}

/// A copied database names only bodies that were copied too. A message that ended between the two
/// copies is done: its rows go from the copy.
fn check_bodies(target: &Path) -> Result<(), StoreError> {
    let connection = Connection::open(target.join(DATABASE))?;
    connection.pragma_update(None, "journal_mode", "delete")?;
    let bodies = bodies::Bodies::open(target, 0, Access::Visit).map_err(file_error(target))?;
    let spooled: Vec<i64> = {
        let mut statement = connection.prepare("SELECT id FROM message WHERE body IS NULL")?;
        let rows = statement.query_map((), |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for id in spooled.into_iter().filter(|id| !bodies.path(unsigned(*id)).exists()) {
        connection.execute("DELETE FROM work WHERE message = ?1", [id])?;
        connection.execute("DELETE FROM message WHERE id = ?1", [id])?;
    }
    Ok(())
}

/// Brings a backup back into an empty data directory. Nothing is sent until an operator confirms:
/// what is in the backup may have been delivered since. The event log goes on behind a gap.
///
/// # Errors
/// There is a store in `settings.data_dir` already, the backup cannot be read, or its key is not
/// among `keys`.
pub fn restore(
    from: &Path,
    settings: Settings,
    keys: StoreKeys,
    now: UnixTime,
) -> Result<Restored, StoreError> {
    let dir = settings.data_dir.clone();
    let database = settings.database.clone();
    if database.exists() {
        return Err(StoreError::Exists(database));
    }
    schema::nothing_left(&database)?;
    let source = from.join(DATABASE);
    if !source.exists() {
        return Err(StoreError::Nothing(from.to_owned()));
    }
    // A backup has none: this is a copy of a running store, without what its log holds.
    if let Some(log) = schema::beside(&source).find(|path| path.exists()) {
        return Err(StoreError::NoBackup(log));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(file_error(&dir))?;
    let _lock = super::lock(&dir)?;
    let known = bodies::all(from).map_err(file_error(from))?;
    let here = bodies::all(&dir).map_err(file_error(&dir))?;
    // Of another store: the next start would remove what the restored database does not name. What
    // a restore left that was cut off is in the backup too.
    if here.iter().any(|body| !known.contains(body)) {
        return Err(StoreError::Orphans { spool: dir.join(bodies::DIRECTORY), database });
    }
    let spool = from.join(bodies::DIRECTORY);
    if spool.exists() {
        copy_tree(&spool, &dir.join(bodies::DIRECTORY), Missing::Error)?;
    }
    // Prepared under another name: a restore that is cut off leaves no store that would start.
    let fresh = database.with_extension("restoring");
    for left in schema::beside(&fresh).chain([fresh.clone()]) {
        let _ = fs::remove_file(left);
    }
    fs::copy(&source, &fresh).map_err(file_error(&source))?;
    let restored = mark_restored(&fresh, &keys, now)?;
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(file_error(&fresh))?;
    fs::rename(&fresh, &database).map_err(file_error(&database))?;
    File::open(&dir).and_then(|dir| dir.sync_all()).map_err(file_error(&dir))?;
    Ok(restored)
}

fn mark_restored(path: &Path, keys: &StoreKeys, now: UnixTime) -> Result<Restored, StoreError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "delete")?;
    schema::prepare(&connection)?;
    // The key is asked for before anything changes.
    super::open_tag_key(&connection, keys)?;
    let number = |sql: &str| -> Result<u64, StoreError> {
        Ok(unsigned(connection.query_row(sql, (), |row| row.get(0))?))
    };
    let last = number("SELECT ifnull(max(sequence), 0) FROM event")?;
    let groups = number("SELECT count(*) FROM work")?;
    let gap = last + GAP;
    let body = json!({ "last": last, "first": gap, "restored_at": now.0 });
    let event = Event {
        kind: EventKind::Gap,
        version: 1,
        at: now,
        actor: Actor::Operator("restore".to_owned()),
        config: None,
        message: None,
        body: body.to_string().into_bytes(),
        personal: None,
    };
    connection.execute_batch("BEGIN IMMEDIATE")?;
    events::insert_at(&connection, keys, (gap, &event))?;
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", (PAUSED, signed(now.0)))?;
    connection.execute("DELETE FROM command", ())?;
    connection.execute_batch("COMMIT")?;
    Ok(Restored { groups, last, gap })
}
