//! What is remembered between two looks, as a file: `publish` runs where keys are deployed, often without
//! the store's key, and an administrator can read it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use waxseal_core::publish::Memory;

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
    _lock: File,
}

impl State {
    /// Opens it; where there is none, nothing was seen yet.
    ///
    /// # Errors
    /// It cannot be read, is in use, or holds something else.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError::File { path: path.to_owned(), source };
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
        let memory = match File::open(path) {
            Ok(file) => {
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
        Ok(Self { path: path.to_owned(), memory, _lock: lock })
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
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        })();
        written.map_err(|source| StateError::File { path: self.path.clone(), source })
    }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    path.with_file_name(name)
}
