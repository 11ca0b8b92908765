//! The keys that wrap the keys of messages. They live outside the data directory and its backups.

use std::{
    fmt,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    digest::{Context, SHA256},
    key_wrap::{AES_256, AesKek, KeyWrap},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{Existing, SecretError, SecretSource, write};

/// A wrapped 32-byte key: RFC 3394 §2.2.1 adds one block of 8 octets.
pub(crate) const WRAPPED_LEN: usize = 40;
/// How often the file is read again for one unknown key, and for how many in that time.
const AGAIN: Duration = Duration::from_secs(1);
const MISSED: usize = 16;
const TAG: &str = "waxseal-store-key-v1";
const PREFACE: &str = "# Waxseal store key. Without it nothing that is queued, held or recorded can be read.\n\
    # Keep a copy away from data_dir and its backups. The first key is used for new messages.\n";

/// Names a store key without telling anything about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct StoreKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl StoreKey {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"waxseal store key id\0");
        context.update(&*bytes);
        let mut id = [0; 8];
        id.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self { id: KeyId(id), bytes }
    }

    fn random() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes).map_err(|_| SecretError::NoRandomness)?;
        Ok(Self::new(bytes))
    }
}

/// One key for new messages, and older ones that still open what was sealed before a rotation.
///
/// Another process may put a new key into the file at any time (`waxseal store-key rotate`), and
/// seal with it from then on. So the file is read again where a key is asked for that is not known.
pub struct StoreKeys {
    /// Never empty; the first is the current one.
    keys: RwLock<Vec<Arc<StoreKey>>>,
    /// Where they came from; `None` for keys that are in memory only.
    source: Option<SecretSource>,
    /// Which unknown keys were asked for, and when: damage is no reason to read the file each time.
    missed: Mutex<Vec<(KeyId, Instant)>>,
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// The data names a key that the key file does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownKey(pub(crate) KeyId);

impl StoreKeys {
    /// Reads the keys; at the first start of all, makes the file (mode 0600, fsynced).
    ///
    /// A key is never made where there is a `database` already: a missing key is then a mistake
    /// that a new key would only hide.
    ///
    /// # Errors
    /// The file is missing, damaged, readable by others, or inside `data_dir`.
    pub fn load(
        source: &SecretSource,
        data_dir: &Path,
        database: &Path,
    ) -> Result<Self, SecretError> {
        if let Some(keys) = Self::existing(source, data_dir, database)? {
            return Ok(keys);
        }
        if let SecretSource::File(path) = source {
            match write(path, &Self::random()?.file(), Existing::Keep) {
                Err(SecretError::File { source: error, .. })
                    if error.kind() == io::ErrorKind::AlreadyExists => {}
                outcome => outcome?,
            }
        }
        Self::parse(source.read()?.bytes(), source)
    }

    /// Reads the keys, and makes nothing; `None` where the first start will make the file.
    ///
    /// # Errors
    /// As [`StoreKeys::load`].
    pub fn existing(
        source: &SecretSource,
        data_dir: &Path,
        database: &Path,
    ) -> Result<Option<Self>, SecretError> {
        if let SecretSource::File(path) = source {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let parent = path.parent().map(real).unwrap_or_default();
            if parent.starts_with(real(data_dir)) {
                return Err(SecretError::InsideDataDir { path: path.clone() });
            }
        }
        match source.read() {
            Ok(secret) => Self::parse(secret.bytes(), source).map(Some),
            Err(SecretError::File { path, source: error })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                if database.exists() {
                    let what = format!(
                        "the store key is missing, and {} cannot be read without it; bring the key file back",
                        database.display()
                    );
                    return Err(SecretError::Content { path, what });
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One new key, in memory only.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, SecretError> {
        Ok(Self::new(vec![StoreKey::random()?], None))
    }

    /// Puts a new key in front of those in the file: it seals what comes from the next start or
    /// reload on; the older ones still open what they sealed. Answers the new key's name.
    ///
    /// # Errors
    /// The file cannot be read or replaced.
    pub fn rotate(path: &Path) -> Result<KeyId, SecretError> {
        let source = SecretSource::File(path.to_owned());
        // Until this ends nobody else rotates: the key of one of both would be in no file.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let io = |source| SecretError::File { path: folder.to_owned(), source };
        let alone = File::open(folder).map_err(io)?;
        alone.lock().map_err(io)?;
        let keys = Self::parse(source.read()?.bytes(), &source)?;
        let fresh = Arc::new(StoreKey::random()?);
        keys.keys.write().unwrap_or_else(PoisonError::into_inner).insert(0, fresh);
        write(path, &keys.file(), Existing::Replace)?;
        Ok(keys.current())
    }

    /// The key that seals what is new.
    pub fn current(&self) -> KeyId {
        self.known().first().map_or(KeyId([0; 8]), |key| key.id)
    }

    /// The names of all, the current one first.
    pub(crate) fn names(&self) -> Vec<KeyId> {
        self.known().iter().map(|key| key.id).collect()
    }

    /// The content of a key file.
    pub fn file(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        text.extend_from_slice(PREFACE.as_bytes());
        for key in &self.known() {
            let line = Zeroizing::new(format!(
                "{TAG} {}\n",
                &*Zeroizing::new(STANDARD.encode(*key.bytes))
            ));
            text.extend_from_slice(line.as_bytes());
        }
        text
    }

    /// From the content of a key file.
    ///
    /// # Errors
    /// It holds no key, or something else.
    pub fn from_file(content: &[u8]) -> Result<Self, SecretError> {
        let mut keys = Self::parse(content, &SecretSource::File("key file".into()))?;
        keys.source = None;
        Ok(keys)
    }

    fn parse(bytes: &[u8], source: &SecretSource) -> Result<Self, SecretError> {
        let wrong = |what: String| SecretError::Content { path: source.to_string().into(), what };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("not a text file".to_owned()))?;
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = line.strip_prefix(TAG).map(str::trim);
            let key = key.and_then(|key| STANDARD.decode(key).ok()).map(Zeroizing::new);
            let key = key.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
            let Some(key) = key else {
                return Err(wrong(format!(
                    "line {number} is not a store key ({TAG}, a space, 32 bytes in base64)"
                )));
            };
            keys.push(StoreKey::new(Zeroizing::new(key)));
        }
        if keys.is_empty() {
            return Err(wrong("there is no store key in it".to_owned()));
        }
        Ok(Self::new(keys, Some(source.clone())))
    }

    fn new(keys: Vec<StoreKey>, source: Option<SecretSource>) -> Self {
        let keys = keys.into_iter().map(Arc::new).collect();
        Self { keys: RwLock::new(keys), source, missed: Mutex::default() }
    }

    fn known(&self) -> Vec<Arc<StoreKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, id: KeyId) -> Option<Arc<StoreKey>> {
        let find = || {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            keys.iter().find(|key| key.id == id).cloned()
        };
        find().or_else(|| {
            self.read_again(id);
            find()
        })
    }

    /// Reads the file again for a key that is not known. Keys that it no longer holds stay until
    /// somebody asks for a reload.
    fn read_again(&self, id: KeyId) {
        let Some(source) = &self.source else { return };
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|(_, at)| at.elapsed() < AGAIN);
        if missed.len() >= MISSED || missed.iter().any(|(known, _)| *known == id) {
            return;
        }
        missed.push((id, Instant::now()));
        let fresh = source.read().and_then(|secret| Self::parse(secret.bytes(), source));
        let Ok(fresh) = fresh else { return };
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = fresh.known();
        let names: Vec<_> = fresh.iter().map(|key| key.id).collect();
        let lacks = |old: &Arc<StoreKey>| !names.contains(&old.id);
        fresh.extend(keys.drain(..).filter(lacks).collect::<Vec<_>>());
        *keys = fresh;
    }

    /// Wraps a message's key with the current store key (AES key wrap, RFC 3394: no nonce that could
    /// repeat, however many messages there are).
    pub(crate) fn wrap(&self, key: &[u8; 32]) -> Option<(KeyId, [u8; WRAPPED_LEN])> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::clone(keys.first()?);
        drop(keys);
        let mut wrapped = [0; WRAPPED_LEN];
        AesKek::new(&AES_256, &*current.bytes).ok()?.wrap(key, &mut wrapped).ok()?;
        Some((current.id, wrapped))
    }

    /// Unwraps a message's key; `Ok(None)` where it was damaged.
    pub(crate) fn unwrap(
        &self,
        id: KeyId,
        wrapped: &[u8],
    ) -> Result<Option<Zeroizing<[u8; 32]>>, UnknownKey> {
        let key = self.find(id).ok_or(UnknownKey(id))?;
        // AES key wrap asks for 8 octets more room than it fills.
        let mut plain = Zeroizing::new([0; WRAPPED_LEN]);
        let opened = AesKek::new(&AES_256, &*key.bytes).and_then(|kek| {
            kek.unwrap(wrapped, &mut *plain).map(|key| <[u8; 32]>::try_from(&*key))
        });
        Ok(opened.ok().and_then(Result::ok).map(Zeroizing::new))
    }
}
