//! One interface for every key and password: named in the configuration, never written there.
//!
//! `credential:NAME` is a systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`), a file
//! of that name in `$CREDENTIALS_DIRECTORY`. `file:PATH` is a file that only we may read.

mod store_keys;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use zeroize::Zeroizing;

use crate::config::SecretRef;

#[cfg(test)]
use store_keys::UnknownKey;
pub(crate) use store_keys::WRAPPED_LEN;
pub use store_keys::{KeyId, StoreKeys};

/// No key, token or chain that we use is larger.
const LARGEST: u64 = 256 * 1024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `credential:NAME`
    Credential(String),
    /// `file:PATH`
    File(PathBuf),
}

/// The bytes of a secret; overwritten when they are dropped, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes as they are in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A password or token: the text without the line end that an editor leaves.
    ///
    /// # Errors
    /// The bytes are not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0).map(|text| text.trim_end_matches(['\r', '\n']))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret cannot be had; each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Neither of the two forms.
    #[error("{0:?} does not say where the secret is: write credential:NAME or file:/absolute/path")]
    Source(String),
    /// `credential:` outside a systemd unit.
    #[error(
        "credential:{0} needs $CREDENTIALS_DIRECTORY, which only a systemd unit has; from a shell: systemd-run --pipe --wait -p User=USER -p LoadCredential={0}:/path waxseal ..., or use file:PATH"
    )]
    NoCredentials(String),
    /// A credential that the unit does not pass.
    #[error(
        "the unit passes no credential {0:?}: add LoadCredential={0}:/path (for a new store key: waxseal store-key new)"
    )]
    NoSuchCredential(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read it.
    #[error("{path}: others can read this secret (mode {mode:04o}); run: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing in it, or more than any secret has.
    #[error("{path}: a secret has 1 to 262144 bytes, this has {size}")]
    Size {
        /// Which file.
        path: PathBuf,
        /// Bytes in it.
        size: u64,
    },
    /// It does not hold what it should.
    #[error("{path}: {what}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, in words; never a part of the secret.
        what: String,
    },
    /// The key would lie beside what it protects.
    #[error(
        "{path}: the store key lies inside data_dir, where a stolen disk or a backup would carry it along; move it elsewhere"
    )]
    InsideDataDir {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl FromStr for SecretSource {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let unclear = || SecretError::Source(text.to_owned());
        match text.split_once(':') {
            Some(("credential", name))
                if !name.is_empty() && !name.contains('/') && !matches!(name, "." | "..") =>
            {
                Ok(Self::Credential(name.to_owned()))
            }
            Some(("file", path)) if Path::new(path).is_absolute() => Ok(Self::File(path.into())),
            Some(_) | None => Err(unclear()),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl From<&SecretRef> for SecretSource {
    fn from(reference: &SecretRef) -> Self {
        match reference {
            SecretRef::Credential(name) => Self::Credential(name.clone()),
            SecretRef::File(path) => Self::File(path.clone()),
        }
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// It is not there, others can read it, or it has no sensible size.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        self.read_in(directory.as_deref())
    }

    fn read_in(&self, credentials: Option<&Path>) -> Result<Secret, SecretError> {
        let path = self.path(credentials)?;
        let others = match self {
            // systemd makes them readable for the unit's user through an ACL, whose mask shows as
            // the bits of the group (0440); nobody can change that, and the group has no access.
            Self::Credential(_) => 0o007,
            Self::File(_) => 0o077,
        };
        match read(&path, others) {
            Err(SecretError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                match self {
                    Self::Credential(name) => Err(SecretError::NoSuchCredential(name.clone())),
                    Self::File(_) => Err(SecretError::File { path, source }),
                }
            }
            outcome => outcome,
        }
    }

    fn path(&self, credentials: Option<&Path>) -> Result<PathBuf, SecretError> {
        match (self, credentials) {
            (Self::File(path), _) => Ok(path.clone()),
            (Self::Credential(name), Some(directory)) => Ok(directory.join(name)),
            (Self::Credential(name), None) => Err(SecretError::NoCredentials(name.clone())),
        }
    }
}

/// Reads a file none of whose permission bits is among `others`.
fn read(path: &Path, others: u32) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & others != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let size = metadata.len();
    if size == 0 || size > LARGEST {
        return Err(SecretError::Size { path: path.to_owned(), size });
    }
    // Capacity first: a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LARGEST).unwrap_or(0) + 1));
    (&mut file).take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Secret(bytes))
}

/// Whether a file must not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

/// Writes a secret so that it is whole, private and durable, or not there at all.
fn write(path: &Path, content: &[u8], existing: Existing) -> Result<(), SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let fresh = directory.join(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        match existing {
            // A link, unlike a rename, never replaces a key that another process made meanwhile.
            Existing::Keep => fs::hard_link(&fresh, path)?,
            Existing::Replace => fs::rename(&fresh, path)?,
        }
        File::open(directory)?.sync_all()
    })();
    let _ = fs::remove_file(&fresh);
    written.map_err(failed)
}
