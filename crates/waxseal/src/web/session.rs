//! Sessions: kept on the server, short, and known there only by the digest of their cookie, so
//! that a copy of our memory or logs opens none.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use waxseal_core::time::UnixTime;

use super::Language;

/// A session ends when it was not used for this long, and after this long in any case.
const IDLE: Duration = Duration::from_mins(15);
const LONGEST: Duration = Duration::from_hours(8);
/// Sessions that are kept; then the one that was not used for longest goes.
const MOST: usize = 10_000;

/// Who a session is, without the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    fn of(cookie: &str) -> Self {
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(digest(&SHA256, cookie.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(id)
    }

    /// The digest of its cookie.
    pub const fn digest(&self) -> &[u8] {
        &self.0
    }
}

/// What is known of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// When it began.
    pub began: UnixTime,
    /// When it was used last.
    pub used: UnixTime,
    /// The language that was chosen.
    pub language: Option<Language>,
}

/// All sessions of one role.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<SessionId, Session>>,
}

impl Sessions {
    /// Begins a session: its id and the value of its cookie. `None` where the system has no
    /// randomness.
    pub fn begin(&self, now: UnixTime) -> Option<(SessionId, String)> {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).ok()?;
        let cookie = URL_SAFE_NO_PAD.encode(secret);
        let id = SessionId::of(&cookie);
        let mut open = self.lock();
        if open.len() >= MOST {
            open.retain(|_, session| is_alive(session, now));
        }
        if open.len() >= MOST
            && let Some(oldest) =
                open.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id)
        {
            open.remove(&oldest);
        }
        open.insert(id, Session { began: now, used: now, language: None });
        Some((id, cookie))
    }

    /// The session of a cookie, if it is still alive; it counts as used now.
    pub fn resume(&self, cookie: &str, now: UnixTime) -> Option<(SessionId, Session)> {
        let id = SessionId::of(cookie);
        let mut open = self.lock();
        let session = open.get_mut(&id)?;
        if !is_alive(session, now) {
            open.remove(&id);
            return None;
        }
        session.used = now;
        Some((id, *session))
    }

    /// Remembers a choice.
    pub fn choose(&self, id: &SessionId, language: Language) {
        if let Some(session) = self.lock().get_mut(id) {
            session.language = Some(language);
        }
    }

    /// Ends a session.
    pub fn end(&self, id: &SessionId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Session>> {
        // A panic while the lock was held leaves a map that is still a map.
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn is_alive(session: &Session, now: UnixTime) -> bool {
    now.since(session.used) < IDLE && now.since(session.began) < LONGEST
}
