//! Large bodies, each in a file of its own, and the room that is kept back for settling.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    Access, StoreError,
    error::is_full,
    guard,
    seal::{Last, MessageKey, OVERHEAD, Place},
    signed,
};

pub(super) const DIRECTORY: &str = "spool";
const UNFINISHED: &str = "part";
const RESERVE: &str = "reserve";
const SHARDS: u64 = 64;
/// Plain octets in one sealed piece: a reader holds one at a time.
const CHUNK: usize = 64 * 1024;
/// How often it is tried to take the reserve back.
const RETRY: Duration = Duration::from_secs(1);

/// Whether the reserve is on the disk.
#[derive(Clone, Copy, Debug)]
enum Reserve {
    Kept,
    Spent { tried: Option<Instant> },
}

/// The files beside the database.
pub(super) struct Bodies {
    directory: PathBuf,
    reserve_path: PathBuf,
    reserve_size: u64,
    reserve: Mutex<Reserve>,
}

/// The name under which a file is written: it has its own only once it is whole and durable.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension(UNFINISHED)
}

/// Whether a file was never finished.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == UNFINISHED)
}

/// The bodies in a spool, by their place in it. None where there is no spool.
pub(super) fn all(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = data_dir.join(DIRECTORY);
    let mut found = Vec::new();
    if !directory.exists() {
        return Ok(found);
    }
    for shard in fs::read_dir(&directory)? {
        let shard = shard?.path();
        if !shard.is_dir() {
            continue;
        }
        for file in fs::read_dir(&shard)? {
            let path = file?.path();
            let inside = path.strip_prefix(&directory).unwrap_or(&path);
            if !is_unfinished(&path) {
                found.push(inside.to_owned());
            }
        }
    }
    Ok(found)
}

/// Whether a spool holds bodies.
pub(super) fn any(data_dir: &Path) -> io::Result<bool> {
    Ok(!all(data_dir)?.is_empty())
}

fn shard(id: u64) -> u64 {
    // The lowest 20 bits of an id count within a millisecond and are mostly zero.
    (id >> 20) % SHARDS
}

fn file_failed(path: &Path, source: io::Error) -> StoreError {
    match is_full(&source) {
        true => StoreError::Full,
        false => StoreError::File { path: path.to_owned(), source },
    }
}

impl Bodies {
    /// Makes the directories where they are missing.
    pub(super) fn open(data_dir: &Path, reserve: u64, access: Access) -> io::Result<Self> {
        let bodies = Self {
            directory: data_dir.join(DIRECTORY),
            reserve_path: data_dir.join(RESERVE),
            reserve_size: reserve,
            reserve: Mutex::new(Reserve::Spent { tried: None }),
        };
        if access == Access::Serve {
            for shard in 0..SHARDS {
                let path = bodies.directory.join(format!("{shard:02}"));
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            }
            File::open(&bodies.directory)?.sync_all()?;
            File::open(data_dir)?.sync_all()?;
        }
        Ok(bodies)
    }

    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.directory.join(format!("{:02}", shard(id))).join(format!("{id:016x}"))
    }

    /// Writes a body so that it survives a power cut, before the row that names it.
    pub(super) fn write(&self, id: u64, key: &MessageKey, body: &[u8]) -> Result<(), StoreError> {
        let path = self.path(id);
        let failed = |source| file_failed(&path, source);
        let fresh = unfinished(&path);
        let written = Self::write_chunks(&fresh, id, (key, body));
        // Whoever copies the spool meanwhile finds the whole file or none.
        let written = written.and_then(|()| fs::rename(&fresh, &path).map_err(failed));
        let parent = path.parent().unwrap_or(&self.directory);
        let durable = || File::open(parent).and_then(|directory| directory.sync_all());
        let written = written.and_then(|()| durable().map_err(failed));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
            let _ = fs::remove_file(&path);
        }
        written
    }

    fn write_chunks(
        path: &Path,
        id: u64,
        (key, body): (&MessageKey, &[u8]),
    ) -> Result<(), StoreError> {
        let failed = |source| file_failed(path, source);
        let mut file = File::options();
        let mut file = file.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let mut chunks = body.chunks(CHUNK).peekable();
        let mut number = 0;
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { Last::Yes } else { Last::No };
            let sealed = key.seal(Place::Chunk(id, number, last), chunk.to_vec())?;
            file.write_all(&sealed).map_err(failed)?;
            number += 1;
        }
        file.sync_all().map_err(failed)
    }

    /// Reads a body back; a file that was cut off, reordered or exchanged is an error.
    pub(super) fn read(&self, id: u64, key: &MessageKey) -> Result<Vec<u8>, StoreError> {
        let path = self.path(id);
        let failed = |source| StoreError::File { path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        let (mut body, mut number) = (Vec::with_capacity(left), 0);
        while left > 0 {
            let length = left.min(CHUNK + OVERHEAD);
            left -= length;
            let mut sealed = vec![0; length];
            file.read_exact(&mut sealed).map_err(failed)?;
            let last = if left == 0 { Last::Yes } else { Last::No };
            body.extend_from_slice(&key.open(Place::Chunk(id, number, last), sealed)?);
            number += 1;
        }
        if number == 0 { Err(StoreError::Damaged("a spooled body")) } else { Ok(body) }
    }

    /// Removes the file of a message that is done. What stays after a crash goes at the next start.
    pub(super) fn remove(&self, id: u64) {
        let _ = fs::remove_file(self.path(id));
    }

    /// Removes files that no message names: a crash between file and row, or between the last row
    /// and its file.
    pub(super) fn sweep(&self, connection: &Connection) -> io::Result<()> {
        for directory in fs::read_dir(&self.directory)? {
            let directory = directory?.path();
            if !directory.is_dir() {
                continue;
            }
            for file in fs::read_dir(&directory)? {
                let path = file?.path();
                let id = path.file_name().and_then(|name| name.to_str());
                let id = id.and_then(|name| u64::from_str_radix(name, 16).ok());
                let sql = "SELECT 1 FROM message WHERE id = ?1 AND body IS NULL";
                let named = id.map(|id| connection.prepare_cached(sql)?.exists([signed(id)]));
                if is_unfinished(&path) || matches!(named, Some(Ok(false))) {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Whether new mail may be taken in: only while there is room to settle what is already here.
    pub(super) fn admit(&self) -> Result<(), StoreError> {
        let mut reserve = guard(&self.reserve);
        match *reserve {
            Reserve::Kept => return Ok(()),
            Reserve::Spent { tried: Some(at) } if at.elapsed() < RETRY => {
                return Err(StoreError::Full);
            }
            Reserve::Spent { .. } => {}
        }
        match self.keep() {
            Ok(()) => {
                *reserve = Reserve::Kept;
                Ok(())
            }
            Err(source) => {
                *reserve = Reserve::Spent { tried: Some(Instant::now()) };
                if is_full(&source) {
                    let _ = fs::remove_file(&self.reserve_path);
                    return Err(StoreError::Full);
                }
                Err(StoreError::File { path: self.reserve_path.clone(), source })
            }
        }
    }

    fn keep(&self) -> io::Result<()> {
        if fs::metadata(&self.reserve_path).is_ok_and(|kept| kept.len() == self.reserve_size) {
            return Ok(());
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&self.reserve_path)?;
        // Not zeros: a file system that compresses would keep nothing back.
        let mut noise = vec![0; CHUNK];
        aws_lc_rs::rand::fill(&mut noise).map_err(|_| io::Error::other("no random numbers"))?;
        let mut left = self.reserve_size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            file.write_all(noise.get(..length).unwrap_or_default())?;
            left -= length as u64;
        }
        file.sync_all()
    }

    /// Gives the reserve to the database, for the records of what was already sent.
    pub(super) fn spend(&self) {
        let _ = fs::remove_file(&self.reserve_path);
        *guard(&self.reserve) = Reserve::Spent { tried: Some(Instant::now()) };
    }

    /// As on a disk that stays full: the reserve is spent, and there is no place for another.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.spend();
        fs::create_dir(&self.reserve_path).unwrap();
    }
}
