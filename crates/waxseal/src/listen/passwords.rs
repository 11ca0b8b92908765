//! The password file: `name:$argon2id$...`, one account a line, `#` for comments.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{PasswordHashString, SaltString},
};
use aws_lc_rs::hmac;
use tokio::sync::Semaphore;
use waxseal_core::smtp::{auth::Credentials, server::Verified};
use zeroize::Zeroizing;

/// A file of more than this is not read.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Memory of one hash, KiB: a file that asks for more is refused, not obeyed.
const MAX_MEMORY: u32 = 256 * 1024;
/// Passes of one hash.
const MAX_PASSES: u32 = 16;
/// How long a right password is remembered (as a keyed digest): mail servers sign in for every
/// connection, and each hash costs some 30 ms of CPU.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many are remembered.
const MAX_REMEMBERED: usize = 4_096;
/// What is hashed for a name that does not exist.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// It cannot be read.
    #[error("{path}: cannot read the password file: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is no account.
    #[error("{path}:{line}: {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Accounts that may sign in.
#[derive(Debug)]
pub struct Passwords {
    accounts: HashMap<String, PasswordHashString>,
    nobody: Option<PasswordHashString>,
    key: Option<hmac::Key>,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
}

/// Makes the hash of a password for the file: argon2id with OWASP's parameters. `salt` is random.
///
/// # Errors
/// The password is empty or longer than 255 octets.
pub fn hash(password: &[u8], salt: [u8; 16]) -> Result<String, &'static str> {
    if password.is_empty() || password.len() > 255 {
        return Err("a password has 1 to 255 octets");
    }
    let salt = SaltString::encode_b64(&salt).map_err(|_| "the salt cannot be written")?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let hash = argon.hash_password(password, &salt).map_err(|_| "the password cannot be hashed")?;
    Ok(hash.to_string())
}

impl Passwords {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong.
    pub fn load(path: &Path) -> Result<Self, PasswordsError> {
        let read = |source| PasswordsError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(read)?.len() > MAX_FILE {
            return Err(read(io::Error::other("the file is larger than 16 MiB")));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(read)?);
        Self::parse(&text).map_err(|(line, why)| PasswordsError::Line {
            path: path.to_owned(),
            line,
            why,
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The line, counted from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut accounts = HashMap::new();
        for (line, account) in (1..).zip(text.lines()) {
            let account = account.trim();
            if account.is_empty() || account.starts_with('#') {
                continue;
            }
            let (name, hash) = self::account(account).map_err(|why| (line, why))?;
            if accounts.insert(name, hash).is_some() {
                return Err((line, "this name stands in the file twice"));
            }
        }
        // The pretence for unknown names costs what a real account costs.
        let nobody = match accounts.values().next() {
            Some(hash) => pretence(hash),
            None => PasswordHashString::new(NOBODY).ok(),
        };
        let mut key = [0; 32];
        let key = aws_lc_rs::rand::fill(&mut key)
            .is_ok()
            .then(|| hmac::Key::new(hmac::HMAC_SHA256, &key));
        Ok(Self { accounts, nobody, key, remembered: Mutex::default() })
    }

    /// Checks credentials on a thread that may block, at most `permits` at once: each takes some
    /// 19 MiB and a core.
    pub(super) async fn check(
        self: &Arc<Self>,
        credentials: Credentials,
        permits: &Semaphore,
    ) -> Verified {
        let digest = self.digest(&credentials);
        if digest.is_some_and(|digest| self.remembers(&digest)) {
            return Verified::Yes;
        }
        let Ok(_permit) = permits.acquire().await else { return Verified::Unavailable };
        let accounts = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || accounts.check_now(&credentials)).await;
        match (checked, digest) {
            (Ok(Verified::Yes), Some(digest)) => {
                self.remember(digest);
                Verified::Yes
            }
            (Ok(verified), _) => verified,
            (Err(_), _) => Verified::Unavailable,
        }
    }

    fn check_now(&self, credentials: &Credentials) -> Verified {
        let known = self.accounts.get(&credentials.user);
        // A name that does not exist takes as long as a wrong password: time tells nothing.
        let Some(hash) = known.or(self.nobody.as_ref()) else { return Verified::Unavailable };
        let verified =
            Argon2::default().verify_password(&credentials.password, &hash.password_hash());
        match (verified, known) {
            (Ok(()), Some(_)) => Verified::Yes,
            (Ok(()) | Err(_), _) => Verified::No,
        }
    }

    /// Of name, password and stored hash, under a key that lives as long as this: a changed file
    /// forgets.
    fn digest(&self, credentials: &Credentials) -> Option<[u8; 32]> {
        let hash = self.accounts.get(&credentials.user)?;
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        context.update(hash.as_str().as_bytes());
        context.update(&[0]);
        context.update(credentials.user.as_bytes());
        context.update(&[0]);
        context.update(&credentials.password);
        context.sign().as_ref().try_into().ok()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(digest).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(digest, Instant::now());
        }
    }
}

fn account(text: &str) -> Result<(String, PasswordHashString), &'static str> {
    let (name, hash) = text.split_once(':').ok_or("the form is name:$argon2id$...")?;
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err("a name has 1 to 255 characters");
    }
    let hash = PasswordHashString::new(hash).map_err(|_| "not a hash in PHC form")?;
    if hash.algorithm() != argon2::ARGON2ID_IDENT || hash.hash().is_none() {
        return Err("only argon2id hashes are accepted; make one with `waxseal config password`");
    }
    let params = Params::try_from(&hash.password_hash()).map_err(|_| "unusable parameters")?;
    if params.m_cost() > MAX_MEMORY || params.t_cost() > MAX_PASSES || params.p_cost() > 4 {
        return Err("the parameters of the hash ask for too much memory or time");
    }
    Ok((name.to_owned(), hash))
}

/// The parameters of a real hash, with nobody's salt and hash.
fn pretence(real: &PasswordHashString) -> Option<PasswordHashString> {
    let params = Params::try_from(&real.password_hash()).ok()?;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let (_, rest) = NOBODY.split_once("p=1")?;
    PasswordHashString::new(&format!("$argon2id$v=19$m={memory},t={passes},p={lanes}{rest}")).ok()
}

#[cfg(test)]
mod tests;
