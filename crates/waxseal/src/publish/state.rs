//! What is remembered between two looks, as a file: `publish` runs where keys are deployed, often without
//! the store's key, and an administrator can read it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use waxseal_core::{
    publish::{Clock, ClockSet, Memory},
    time::UnixTime,
};

/// Far more than a hundred thousand names need.
const LARGEST: u64 = 64 << 20;

/// Why nothing can be remembered.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file or its folder.
    #[error("{path}: {source}; set [publish] state to a file that we may write")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "{path} is not what `publish` remembered: {why}; move it away, and all waiting begins anew"
    )]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else may write it, and so open every door.
    #[error(
        "{path}: others can write it (mode {mode:04o}), and so open the gate; run: chmod go-w {path}"
    )]
    Open {
        /// The file or its folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, who may write it.
    #[error(
        "{path}: it belongs to user {owner}, and we are {us}; run `publish` as that user, or move it away"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        us: u32,
    },
    /// Another `waxseal publish` is looking.
    #[error("another `waxseal publish` is using {0}; try again when it is done")]
    Busy(PathBuf),
}

/// The file, ours alone until it is dropped.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// What it says.
    pub memory: Memory,
    /// Whether the clock was set since the last look.
    pub clock: ClockSet,
    _lock: File,
}

impl State {
    /// Opens it; where there is none, nothing was seen yet.
    ///
    /// # Errors
    /// It cannot be read, is in use, may be written by others, or holds something else.
    pub fn open(path: &Path, now: UnixTime) -> Result<Self, StateError> {
        let fail = |source| StateError::File { path: path.to_owned(), source };
        ours(folder(path), &fs::metadata(folder(path)).map_err(fail)?, 0o002)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(path, "lock"))
            .map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let wrong = |why: String| StateError::Content { path: path.to_owned(), why };
        let mut memory = match File::open(path) {
            Ok(file) => {
                ours(path, &file.metadata().map_err(fail)?, 0o022)?;
                let mut text = String::new();
                file.take(LARGEST + 1).read_to_string(&mut text).map_err(fail)?;
                if text.len() as u64 > LARGEST {
                    return Err(wrong("larger than 64 MiB".to_owned()));
                }
                Memory::read(&text).map_err(|error| wrong(error.to_string()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => return Err(fail(error)),
        };
        let clock = memory.begin(clock(now));
        Ok(Self { path: path.to_owned(), memory, clock, _lock: lock })
    }

    /// Writes it: whole and durable, or as it was.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self) -> Result<(), StateError> {
        let fresh = beside(&self.path, "new");
        let written = (|| {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(self.memory.write().as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            File::open(folder(&self.path))?.sync_all()
        })();
        written.map_err(|source| StateError::File { path: self.path.clone(), source })
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whoever writes what was seen, and when, opens the gate: that is us, and root, and nobody else.
fn ours(path: &Path, found: &fs::Metadata, others: u32) -> Result<(), StateError> {
    let path = path.to_owned();
    let mode = found.permissions().mode() & 0o7777;
    let (owner, us) = (found.uid(), rustix::process::geteuid().as_raw());
    if mode & others != 0 {
        return Err(StateError::Open { path, mode });
    }
    // Root may read what belongs to the user of the gateway.
    if found.is_file() && owner != us && owner != 0 && us != 0 {
        return Err(StateError::Foreign { path, owner, us });
    }
    Ok(())
}

/// The time, and how long the machine is on: nobody sets that.
fn clock(now: UnixTime) -> Clock {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    Clock { now, boot: boot.trim().to_owned(), up: u64::try_from(up).unwrap_or(0) }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    path.with_file_name(name)
}
