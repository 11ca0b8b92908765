//! What arrived, and what an attacker could read on the way.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::Notify;

/// A message that a server of the lab took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Name of the host that took it.
    pub host: String,
    /// The MAIL command's argument: address in angle brackets and parameters.
    pub mail: String,
    /// The RCPT commands' arguments.
    pub recipients: Vec<String>,
    /// The message, dots unstuffed, CRLF kept.
    pub data: Vec<u8>,
    /// The session; `None` in the clear.
    pub tls: Option<TlsFacts>,
}

/// What the receiving side saw of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1_3`
    pub version: String,
    /// `TLS13_AES_256_GCM_SHA384`
    pub suite: String,
    /// Server name that the client sent.
    pub sni: Option<String>,
}

#[derive(Default)]
struct Shelf {
    messages: Mutex<Vec<Received>>,
    taken: Mutex<usize>,
    arrived: Notify,
}

/// Where messages end up. Clones share one shelf.
#[derive(Clone, Default)]
pub struct Sink(Arc<Shelf>);

impl Sink {
    /// Puts a message there.
    pub fn store(&self, message: Received) {
        if let Ok(mut messages) = self.0.messages.lock() {
            messages.push(message);
        }
        self.0.arrived.notify_waiters();
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Received> {
        self.0.messages.lock().map(|messages| messages.clone()).unwrap_or_default()
    }

    /// The next message that nobody took with this method; `None` after `patience`.
    pub async fn next(&self, patience: Duration) -> Option<Received> {
        let take = || {
            let messages = self.0.messages.lock().ok()?;
            let mut taken = self.0.taken.lock().ok()?;
            let message = messages.get(*taken).cloned()?;
            *taken += 1;
            Some(message)
        };
        self.wait(take, patience).await
    }

    /// The first message that fits, taken or not; `None` after `patience`.
    pub async fn find(
        &self,
        fits: impl Fn(&Received) -> bool,
        patience: Duration,
    ) -> Option<Received> {
        self.wait(|| self.0.messages.lock().ok()?.iter().find(|m| fits(m)).cloned(), patience).await
    }

    /// Whether there is one that fits by now.
    pub fn has(&self, fits: impl Fn(&Received) -> bool) -> bool {
        self.0.messages.lock().is_ok_and(|messages| messages.iter().any(fits))
    }

    async fn wait<T>(&self, look: impl Fn() -> Option<T>, patience: Duration) -> Option<T> {
        let search = async {
            loop {
                let arrived = self.0.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(patience, search).await.ok()
    }
}

/// What somebody on the path, or a false host, could read from clients. One entry a connection.
/// Clones share it.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Heard>);

#[derive(Default)]
struct Heard {
    sessions: Mutex<Vec<Vec<u8>>>,
    more: Notify,
}

impl Transcript {
    /// A new connection: gives the number to record under.
    pub fn open(&self) -> usize {
        self.0.sessions.lock().map_or(0, |mut sessions| {
            sessions.push(Vec::new());
            sessions.len() - 1
        })
    }

    /// Bytes that a client sent in this connection, as the attacker saw them.
    pub fn record(&self, session: usize, bytes: &[u8]) {
        if let Ok(mut sessions) = self.0.sessions.lock()
            && let Some(log) = sessions.get_mut(session)
        {
            log.extend_from_slice(bytes);
        }
        self.0.more.notify_waiters();
    }

    /// Waits until these words can be read; whether they could be within `patience`.
    pub async fn hears(&self, words: &str, patience: Duration) -> bool {
        let search = async {
            loop {
                let more = self.0.more.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if self.saw(words) {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(patience, search).await.is_ok()
    }

    /// Whether these words could be read in any connection, whatever their case.
    pub fn saw(&self, words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        let holds = |log: &Vec<u8>| {
            log.windows(words.len().max(1)).any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
        };
        self.0.sessions.lock().is_ok_and(|sessions| sessions.iter().any(holds))
    }

    /// How many connections there were.
    pub fn sessions(&self) -> usize {
        self.0.sessions.lock().map_or(0, |sessions| sessions.len())
    }
}
