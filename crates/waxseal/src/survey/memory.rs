//! What is known of mail hosts: in memory, and in the store where there is one.

use std::{
    collections::HashMap,
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

use crate::{
    gather::Soon,
    store::{self, Space, Store},
};

/// Names under which one address is known at most: a hostile zone cannot aim us at somebody.
pub(super) const MOST_NAMES: usize = 8;
/// Addresses that are remembered in memory.
const MOST_KEPT: usize = 20_000;
/// What deliveries see again and again is written so often at most.
const NOTED: Duration = Duration::from_secs(1_800);
/// What they see for the first time, so often: one address may serve thousands of names.
const NOTED_NEW: Duration = Duration::from_secs(60);
/// How long the store keeps an address that nobody asks about any more.
const STORED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Who probably runs a host, and where.
pub(super) type Key = (String, SocketAddr);

/// What was seen at one address under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub(super) sni: Domain,
    pub(super) observed: Observed,
    pub(super) at: UnixTime,
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
    sights: Mutex<HashMap<Key, Vec<Sight>>>,
    store: Option<Arc<dyn ProbeStore>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&self.lock().len()).finish()
    }
}

impl Memory {
    /// One that survives in a store.
    pub fn kept_in(store: Arc<dyn ProbeStore>) -> Self {
        Self(Arc::new(Shared { sights: Mutex::default(), store: Some(store) }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Sight>>> {
        self.0.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an address, latest last.
    pub(super) async fn sights(&self, key: &Key, now: UnixTime) -> Vec<Sight> {
        let known = self.lock().get(key).cloned();
        let probed = |sights: &Vec<Sight>| sights.iter().any(|one| one.source == Source::Probe);
        if let (Some(sights), true) = (&known, known.as_ref().is_some_and(probed)) {
            return sights.clone();
        }
        let mut sights = self.stored(key, now).await;
        for newer in known.unwrap_or_default() {
            add(&mut sights, newer);
        }
        sights
    }

    async fn stored(&self, key: &Key, now: UnixTime) -> Vec<Sight> {
        let Some(store) = &self.0.store else { return Vec::new() };
        match store.load(&name(key), now).await {
            // A layout of another version is as good as nothing: the host is asked again.
            Ok(bytes) => {
                bytes.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
            }
            Err(error) => {
                tracing::error!(error, "what is known of mail hosts cannot be read");
                Vec::new()
            }
        }
    }

    /// Keeps a probe, here and in the store.
    pub(super) async fn keep(&self, key: &Key, sight: Sight, now: UnixTime) {
        let mut sights = self.sights(key, now).await;
        add(&mut sights, sight);
        let json = serde_json::to_vec(&sights);
        self.put(key, sights);
        if let (Some(store), Ok(json)) = (&self.0.store, json)
            && let Err(error) = store.save(&name(key), json, now + STORED).await
        {
            tracing::error!(error, "what is known of mail hosts cannot be written");
        }
    }

    /// Keeps what a delivery saw; in the store now and then, and sooner where it is something new, so
    /// that a busy host costs no write for each message.
    pub(super) fn note(&self, key: &Key, sight: Sight) {
        let mut sights = self.lock().get(key).cloned().unwrap_or_default();
        let same = |one: &&Sight| {
            let name = one.source == sight.source && one.sni == sight.sni;
            name && leaf(&one.observed) == leaf(&sight.observed)
        };
        let (last, pause) = match sights.iter().find(same) {
            Some(known) => (known.stored, NOTED),
            None => (sights.iter().filter_map(|one| one.stored).max(), NOTED_NEW),
        };
        let stored = last.filter(|last| sight.at.since(*last) < pause);
        let at = sight.at;
        let sight = Sight { stored: Some(stored.unwrap_or(at)), ..sight };
        add(&mut sights, sight.clone());
        self.put(key, sights);
        if stored.is_some() || self.0.store.is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (memory, key) = (self.clone(), key.clone());
            runtime.spawn(async move { memory.keep(&key, sight, at).await });
        }
    }

    fn put(&self, key: &Key, sights: Vec<Sight>) {
        let mut all = self.lock();
        if all.len() >= MOST_KEPT && !all.contains_key(key) {
            // Any eighth goes. Which one does not matter, each can be probed again.
            let victims: Vec<_> = all.keys().take(MOST_KEPT / 8).cloned().collect();
            for victim in victims {
                all.remove(&victim);
            }
        }
        all.insert(key.clone(), sights);
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

fn name((operator, address): &Key) -> String {
    format!("{operator} {address}")
}

fn add(sights: &mut Vec<Sight>, sight: Sight) {
    sights.retain(|one| one.sni != sight.sni || one.source != sight.source);
    let same = sights.iter().filter(|one| one.source == sight.source).count();
    if same >= MOST_NAMES
        && let Some(first) = sights.iter().position(|one| one.source == sight.source)
    {
        sights.remove(first);
    }
    sights.push(sight);
}
