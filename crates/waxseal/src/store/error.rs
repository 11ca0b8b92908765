//! What can go wrong with the store, in words for an operator.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi};

use crate::secrets::KeyId;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room: answer 452 and try again. It ends by itself once there is room.
    #[error("the disk that holds the queue takes no more: it is full, over its quota, or failing")]
    Full,
    /// The data directory cannot be used.
    #[error("data_dir {path} cannot be used: {source}; it must be a directory that waxseal owns")]
    DataDir {
        /// Which directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A server runs on it.
    #[error("another waxseal serves the data in {0}; stop it first")]
    Locked(PathBuf),
    /// There is no store.
    #[error("there is no store in {0}; waxseal serve makes one at its first start")]
    Nothing(PathBuf),
    /// Written by a version that knows more than we do.
    #[error(
        "the store has schema version {found}, this waxseal knows up to {known}; install the version that wrote it, or restore a backup"
    )]
    Version {
        /// What the file says.
        found: i64,
        /// What this build writes.
        known: i64,
    },
    /// An SQLite file of somebody else.
    #[error("the database file was not made by waxseal")]
    NotOurs,
    /// The key file lacks a key.
    #[error("the store key {0} is not in the key file; bring back the file that holds it")]
    KeyMissing(KeyId),
    /// Something that was sealed does not open: changed, moved, or cut off.
    #[error("{0} in the store is damaged: it was changed after it was written")]
    Damaged(&'static str),
    /// No such message, event, or group.
    #[error("there is no such {0} in the store")]
    Absent(&'static str),
    /// The target of a backup is there already.
    #[error("{0} exists already; a backup never replaces anything")]
    Exists(PathBuf),
    /// A database with the log of a running one beside it.
    #[error(
        "{0} shows that this is no finished backup but a copy of files in use; use a directory that waxseal backup made"
    )]
    NoBackup(PathBuf),
    /// What SQLite left of a database that is no longer there. SQLite would play it back over
    /// whatever comes under that name next.
    #[error(
        "{0} is left of a database that was moved away, and may hold accepted mail; bring the database back beside it, or move this file away too"
    )]
    Leftover(PathBuf),
    /// Mail in the spool, and a database that does not know it: the next step would be to remove
    /// the mail.
    #[error(
        "{spool} holds mail, and {database} knows nothing of it; bring back the database that it belongs to (see [store] url), or move the spool away too"
    )]
    Orphans {
        /// Where the mail is.
        spool: PathBuf,
        /// The new database.
        database: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The cryptographic library refused, for want of random numbers or memory.
    #[error("encryption at rest failed; nothing was stored")]
    Cipher,
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Database(rusqlite::Error),
    /// The server could not do what an operator asked.
    #[error("the server could not do it: {0}")]
    NotDone(String),
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// With the path of the database, where SQLite does not say it.
    pub(super) fn about(self, path: &Path) -> Self {
        let Self::Database(error) = self else { return self };
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                let source = io::Error::other(error.to_string());
                Self::DataDir { path: path.to_owned(), source }
            }
            Some(ErrorCode::NotADatabase) => Self::NotOurs,
            Some(_) | None => Self::Database(error),
        }
    }

    /// Whether this is about what one row holds, and says nothing of others: damage, or a key that
    /// is not there. Trying again does not help.
    pub fn is_of_one_row(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::KeyMissing(_) => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            ),
            // Not SQLite: a value has another type than it should.
            Self::Database(error) => error.sqlite_error_code().is_none(),
            Self::Full
            | Self::DataDir { .. }
            | Self::Locked(_)
            | Self::Nothing(_)
            | Self::Version { .. }
            | Self::NotOurs
            | Self::Absent(_)
            | Self::Exists(_)
            | Self::NoBackup(_)
            | Self::Orphans { .. }
            | Self::Leftover(_)
            | Self::Cipher
            | Self::NotDone(_)
            | Self::Closed => false,
        }
    }

    /// Whether it is about this message: damage, or a file that the disk does not give back. There is
    /// no other reason to keep it waiting.
    pub fn is_of_one_message(&self) -> bool {
        self.is_of_one_row() || matches!(self, Self::File { .. })
    }

    /// Whether the operator has to change something before a start can work (exit 78).
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::DataDir { .. }
                | Self::Version { .. }
                | Self::NotOurs
                | Self::KeyMissing(_)
                | Self::Nothing(_)
                | Self::Leftover(_)
                | Self::NoBackup(_)
                | Self::Orphans { .. }
                | Self::Locked(_)
        )
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // SQLite says FULL for ENOSPC alone: a quota (EDQUOT) looks like this, see `is_full`.
            Some(ErrorCode::SystemIoFailure)
                if error.sqlite_error().map(|error| error.extended_code)
                    == Some(ffi::SQLITE_IOERR_WRITE) =>
            {
                Self::Full
            }
            Some(_) | None => Self::Database(error),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(_: serde_json::Error) -> Self {
        Self::Damaged("a record")
    }
}

/// `ENOSPC`, `EDQUOT` or `EFBIG`: more room would help.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
