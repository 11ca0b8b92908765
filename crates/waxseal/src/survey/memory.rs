//! What is known of mail hosts: in memory, and in the store where there is one.
//!
//! Kept by address and port. What a host shows before it hears a name, and what TLS it takes, is the
//! same under all its names; a certificate may not be, so that handshakes are kept by the server name
//! that was sent. All of it is bounded in octets: a hostile host may show three chains of 64 KiB.

mod room;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{Observed, Tried},
    domain::Domain,
    time::UnixTime,
};

use self::room::{Kept, Shelf};
use crate::{
    gather::Soon,
    store::{self, Space, Store},
};

/// What deliveries see again and again is written so often at most.
const NOTED: Duration = Duration::from_secs(1_800);
/// What they see for the first time, so often: one address may serve thousands of names.
const NOTED_NEW: Duration = Duration::from_secs(60);
/// Looks go on side by side, and each has the time at which it began: the longest takes an hour.
const LOOK: Duration = Duration::from_secs(3_600);
/// How long the store keeps an address that nobody asks about any more.
const STORED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What was seen at one address under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub(super) sni: Domain,
    pub(super) observed: Observed,
    pub(super) at: UnixTime,
    /// When that was seen of it which is the same under all names; not after `at`.
    pub(super) whole: UnixTime,
    pub(super) source: Source,
    /// When the store got it, or something newer of its address.
    #[serde(default, skip)]
    pub(super) stored: Option<UnixTime>,
}

/// What a sight comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    /// Connections that were made to look.
    Probe,
    /// A message that was delivered: one handshake, and nothing else was asked.
    Delivery,
}

/// Where probes survive a restart. Errors are one line for the log.
pub trait ProbeStore: Send + Sync {
    /// What is kept under a name.
    fn load<'a>(
        &'a self,
        name: &'a str,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Vec<u8>>, String>>;
    /// Keeps it until then.
    fn save<'a>(
        &'a self,
        name: &'a str,
        value: Vec<u8>,
        expires: UnixTime,
    ) -> Soon<'a, Result<(), String>>;
}

impl ProbeStore for Store {
    fn load<'a>(
        &'a self,
        name: &'a str,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            Self::load(self, Space::Probe, name, now).await.map_err(|error| error.to_string())
        })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: Vec<u8>,
        expires: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        Box::pin(async move {
            let entry = store::Entry { name: name.to_owned(), value, expires: Some(expires) };
            Self::save(self, Space::Probe, entry).await.map_err(|error| error.to_string())
        })
    }
}

/// Remembers what was seen of mail hosts. A clone is the same memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kept: Mutex<Kept>,
    shelf: Mutex<Shelf>,
    store: Option<Arc<dyn ProbeStore>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&*self.lock()).finish()
    }
}

impl Memory {
    /// One that survives in a store.
    pub fn kept_in(store: Arc<dyn ProbeStore>) -> Self {
        Self(Arc::new(Shared { store: Some(store), ..Shared::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an address, latest last. What was seen much later than now was so by a clock that was set
    /// right since, and is forgotten: it would be news until that time has come.
    pub(super) async fn sights(&self, address: SocketAddr, now: UnixTime) -> Vec<Arc<Sight>> {
        let latest = now + LOOK;
        let known = {
            let mut kept = self.lock();
            kept.forget_after(address, latest);
            kept.sights(address)
        };
        if known.iter().any(|one| one.source == Source::Probe) {
            return known;
        }
        let mut sights = self.stored(address, now).await;
        sights.retain(|one| one.at <= latest);
        known.into_iter().for_each(|newer| room::add(&mut sights, newer));
        sights
    }

    /// Whether an address may be asked under one name more, of so many in an hour.
    pub(super) fn may_ask(
        &self,
        (address, sni): (SocketAddr, &Domain),
        most: usize,
        now: UnixTime,
    ) -> bool {
        self.lock().may_ask((address, sni), most, now)
    }

    async fn stored(&self, address: SocketAddr, now: UnixTime) -> Vec<Arc<Sight>> {
        let Some(store) = &self.0.store else { return Vec::new() };
        match store.load(&address.to_string(), now).await {
            // A layout of another version is as good as nothing: the host is asked again.
            Ok(bytes) => bytes
                .and_then(|json| serde_json::from_slice::<Vec<Sight>>(&json).ok())
                .unwrap_or_default()
                .into_iter()
                .map(Arc::new)
                .collect(),
            Err(error) => {
                tracing::error!(error, "what is known of mail hosts cannot be read");
                Vec::new()
            }
        }
    }

    /// Keeps a sight, here and in the store.
    pub(super) async fn keep(&self, address: SocketAddr, sight: Sight, now: UnixTime) {
        let mut sights = self.sights(address, now).await;
        room::add(&mut sights, Arc::new(sight));
        let sights = self.lock().put(address, sights);
        let Some(store) = &self.0.store else { return };
        let Some(json) = room::record(&sights) else { return };
        let expires = now + STORED;
        let room = {
            let mut shelf = self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.takes((address, json.len()), expires, now)
        };
        if room && let Err(error) = store.save(&address.to_string(), json, expires).await {
            tracing::error!(error, "what is known of mail hosts cannot be written");
        }
    }

    /// Keeps what a delivery saw; in the store now and then, and sooner where it is something new, so
    /// that a busy host costs no write for each message.
    pub(super) fn note(&self, address: SocketAddr, sight: Sight) {
        let at = sight.at;
        let (sight, is_written) = {
            let mut kept = self.lock();
            kept.forget_after(address, at + LOOK);
            let sights = kept.sights(address);
            let same = |one: &&Arc<Sight>| {
                let name = one.source == sight.source && one.sni == sight.sni;
                name && leaf(&one.observed) == leaf(&sight.observed)
            };
            let (last, pause) = match sights.iter().find(same) {
                Some(known) => (known.stored, NOTED),
                None => (sights.iter().filter_map(|one| one.stored).max(), NOTED_NEW),
            };
            let stored = last.filter(|last| at.since(*last) < pause);
            let sight = Sight { stored: Some(stored.unwrap_or(at)), ..sight };
            kept.put(address, vec![Arc::new(sight.clone())]);
            (sight, stored.is_some())
        };
        if is_written || self.0.store.is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let memory = self.clone();
            runtime.spawn(async move { memory.keep(address, sight, at).await });
        }
    }
}

/// The certificate that a delivery saw.
fn leaf(observed: &Observed) -> Option<&Vec<u8>> {
    let Observed::Probed(probe) = observed else { return None };
    probe.handshakes.iter().find_map(|one| match &one.tried {
        Tried::Session(session) => session.chain.first(),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    })
}

#[cfg(test)]
mod tests;
