//! Asks the world about a destination, and judges nothing: the answers become [`Facts`].
//!
//! Hosts are asked about side by side, and MTA-STS beside them. What was gathered is kept until
//! the first answer in it runs out.

mod address;
mod host;
mod mx;
mod persist;
mod policy;
#[cfg(test)]
mod tests;
mod witness;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use waxseal_core::{
    dane::Tlsa,
    domain::Domain,
    evidence::BlobId,
    facts::{Facts, Known, MxFact, Peer, StsFact, StsFailure},
    org::Reach,
    sts::{Policy, cache::Remembered},
    time::UnixTime,
};

pub use self::{
    address::{Ourselves, Own, hostile},
    persist::Forgetful,
    policy::{AT_ONCE, ROUND},
    witness::Witness,
};
use crate::resolve::{Lookup, Mx, Resolver};

/// A future that is not named.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What gathering asks of DNS: the validated answers of [`Resolver`].
pub trait Dns: Send + Sync {
    /// The mail exchangers.
    fn mx<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Mx>>>;
    /// IPv4 and IPv6 addresses.
    fn addresses<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<IpAddr>>>;
    /// TXT records, strings joined.
    fn txt<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Vec<u8>>>>;
    /// TLSA records.
    fn tlsa<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Tlsa>>>;
    /// The same without what was learnt before ([`Resolver::anew`]); `None` where nothing is kept.
    fn anew(&self) -> Option<Arc<dyn Dns>> {
        None
    }
}

impl Dns for Resolver {
    fn mx<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Mx>>> {
        Box::pin(Self::mx(self, name))
    }

    fn addresses<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<IpAddr>>> {
        Box::pin(Self::addresses(self, name))
    }

    fn txt<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Vec<u8>>>> {
        Box::pin(Self::txt(self, name))
    }

    fn tlsa<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Tlsa>>> {
        Box::pin(Self::tlsa(self, name))
    }

    fn anew(&self) -> Option<Arc<dyn Dns>> {
        Some(Arc::new(Self::anew(self)))
    }
}

/// Fetches MTA-STS policies over HTTPS.
pub trait PolicySource: Send + Sync {
    /// The policy of a destination (RFC 8461 §3.3).
    fn fetch<'a>(&'a self, destination: &'a Domain) -> Soon<'a, Result<Policy, StsFailure>>;
}

/// What is done with each known policy.
pub type Seen<'a> = &'a mut (dyn FnMut(Domain, Remembered) + Send);

/// Where what is known of policies survives a restart (RFC 8461 §3.3). Errors are one line for the
/// log.
pub trait PolicyStore: Send + Sync {
    /// What is known of one destination.
    fn load<'a>(
        &'a self,
        destination: &'a Domain,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Remembered>, String>>;
    /// Keeps it; durable when the future resolves. `None` forgets.
    fn save<'a>(
        &'a self,
        destination: &'a Domain,
        remembered: Option<&'a Remembered>,
        now: UnixTime,
    ) -> Soon<'a, Result<(), String>>;
    /// Hands everything to `seen`, one after the other, to know what has to be refreshed. There may
    /// be a million of them, so they are never in memory together.
    fn each<'a>(&'a self, now: UnixTime, seen: Seen<'a>) -> Soon<'a, Result<(), String>>;
}

/// A host that the administrator names for a destination instead of its MX (`[[route]]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTarget {
    /// The host. It may have private addresses: the administrator said so.
    pub host: Peer,
    /// Its port.
    pub port: u16,
    /// Whether it is the destination's own host, or a smarthost.
    pub reach: Reach,
}

/// How facts are gathered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port of MX hosts: 25.
    pub port: u16,
    /// What mail must not be sent to, because it is we.
    pub own: Own,
    /// Policies from the administrator's file.
    pub preloaded: BTreeMap<Domain, Policy>,
    /// When that file was read.
    pub loaded_at: UnixTime,
    /// Resolvers of other operators: asked about an absence that nobody signs, and only then.
    pub witnesses: Vec<Witness>,
    /// Destinations whose facts are kept in memory.
    pub cache_entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 25,
            own: Own::default(),
            preloaded: BTreeMap::new(),
            loaded_at: UnixTime(0),
            witnesses: Vec::new(),
            cache_entries: 20_000,
        }
    }
}

/// Facts, and the bytes that the blob ids in them stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// The facts.
    pub facts: Arc<Facts>,
    /// Proofs from DNSSEC: to be kept with the evidence.
    pub blobs: Arc<[Blob]>,
}

/// Bytes that are stored once.
pub type Blob = (BlobId, Arc<[u8]>);

/// Facts are kept no longer than this, whatever the TTLs say.
const LONGEST: Duration = Duration::from_secs(3600);

/// Facts with a failure in them are asked for again soon.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Gathers facts. A clone is the same gatherer.
#[derive(Clone)]
pub struct Gatherer(Arc<Shared>);

struct Shared {
    settings: Settings,
    dns: Arc<dyn Dns>,
    source: Arc<dyn PolicySource>,
    store: Arc<dyn PolicyStore>,
    reading: Reading,
    ourselves: Ourselves,
    cache: Arc<Mutex<HashMap<Domain, Cached>>>,
    /// One lock for each destination that is being asked about, so that a burst asks once.
    busy: Arc<Turns>,
    /// When each known policy is due to be fetched again.
    due: Arc<Mutex<BTreeMap<Domain, UnixTime>>>,
    /// One lock for each policy domain, from reading what is kept to writing it: a delivery and the
    /// refresh in the background do not undo each other's work.
    policies: Arc<Turns>,
    /// Destinations whose channel fell short: their policy is fetched anew by the next attempt.
    doubted: Arc<Mutex<BTreeSet<Domain>>>,
}

/// One lock for each domain that is in hand.
type Turns = Mutex<HashMap<Domain, Arc<tokio::sync::Mutex<()>>>>;

/// Does something about a domain while nobody else does.
async fn alone<T>(turns: &Turns, domain: &Domain, work: impl Future<Output = T>) -> T {
    let turn = Arc::clone(lock(turns).entry(domain.clone()).or_default());
    let guard = turn.lock().await;
    let done = work.await;
    drop(guard);
    drop(turn);
    lock(turns).retain(|_, turn| Arc::strong_count(turn) > 1);
    done
}

/// Whether facts that were gathered before will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Kept,
    Anew,
}

struct Cached {
    route: Option<RouteTarget>,
    gathered: Gathered,
    until: UnixTime,
}

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gatherer").field(&self.0.settings).finish()
    }
}

impl Gatherer {
    /// A gatherer that knows nothing but what `store` has; see [`Self::remember`].
    pub fn new(
        settings: Settings,
        dns: Arc<dyn Dns>,
        source: Arc<dyn PolicySource>,
        store: Arc<dyn PolicyStore>,
    ) -> Self {
        Self(Arc::new(Shared {
            settings,
            dns,
            source,
            store,
            reading: Reading::Kept,
            ourselves: Ourselves::Refused,
            cache: Arc::default(),
            busy: Arc::default(),
            due: Arc::default(),
            policies: Arc::default(),
            doubted: Arc::default(),
        }))
    }

    /// The same gatherer for whoever wants to know how things are now. It asks DNS for everything,
    /// witnesses too, and neither reads the facts that are kept for mail nor replaces them. MTA-STS
    /// policies hold as long as they say (RFC 8461 §3.2).
    #[must_use]
    pub fn anew(&self) -> Self {
        let anew = |dns: &Arc<dyn Dns>| dns.anew().unwrap_or_else(|| Arc::clone(dns));
        let mut settings = self.0.settings.clone();
        settings.witnesses.iter_mut().for_each(|witness| witness.dns = anew(&witness.dns));
        self.but(settings, anew(&self.0.dns), self.0.ourselves)
    }

    /// The same gatherer for whoever looks at a domain of ours and sends nothing: this gateway is a mail
    /// host like any other. Such facts are none for mail, so that they are neither kept nor read.
    #[must_use]
    pub fn of_ours(&self) -> Self {
        self.but(self.0.settings.clone(), Arc::clone(&self.0.dns), Ourselves::LookedAt)
    }

    /// Another gatherer that shares what is under way, and no facts.
    fn but(&self, settings: Settings, dns: Arc<dyn Dns>, ourselves: Ourselves) -> Self {
        let Shared { source, store, cache, busy, due, policies, doubted, .. } = &*self.0;
        Self(Arc::new(Shared {
            settings,
            dns,
            ourselves,
            source: Arc::clone(source),
            store: Arc::clone(store),
            reading: Reading::Anew,
            cache: Arc::clone(cache),
            busy: Arc::clone(busy),
            due: Arc::clone(due),
            policies: Arc::clone(policies),
            doubted: Arc::clone(doubted),
        }))
    }

    /// Everything about a destination, from memory where it still holds.
    ///
    /// Never fails: what could not be found out is a fact, too (promise P1).
    pub async fn gather(
        &self,
        destination: &Domain,
        route: Option<&RouteTarget>,
        now: UnixTime,
    ) -> Gathered {
        if let Some(gathered) = self.cached(destination, route, now) {
            return gathered;
        }
        let asking = async {
            // Somebody else may have asked while we waited.
            let known = self.cached(destination, route, now);
            match known {
                Some(gathered) => gathered,
                None => self.ask(destination, route, now).await,
            }
        };
        alone(&self.0.busy, destination, asking).await
    }

    /// Forgets the facts of a destination, so that the next attempt asks again.
    pub fn forget(&self, destination: &Domain) {
        lock(&self.0.cache).remove(destination);
    }

    /// Forgets the facts of a destination, and has the next attempt fetch its policy whatever its
    /// `id`: after a channel fell short, nothing is returned before the policy was looked at anew
    /// (RFC 8461 §5).
    pub fn doubt(&self, destination: &Domain) {
        self.forget(destination);
        let mut doubted = lock(&self.0.doubted);
        // They are hints: without one the record alone is looked at.
        if doubted.len() >= self.0.settings.cache_entries.max(1) {
            doubted.clear();
        }
        doubted.insert(destination.clone());
    }

    fn cached(
        &self,
        destination: &Domain,
        route: Option<&RouteTarget>,
        now: UnixTime,
    ) -> Option<Gathered> {
        match self.0.reading {
            Reading::Kept => {}
            Reading::Anew => return None,
        }
        let cache = lock(&self.0.cache);
        let cached = cache.get(destination)?;
        (cached.route.as_ref() == route && now < cached.until).then(|| cached.gathered.clone())
    }

    async fn ask(
        &self,
        destination: &Domain,
        route: Option<&RouteTarget>,
        now: UnixTime,
    ) -> Gathered {
        let mut notes = Notes { until: now + LONGEST, blobs: Vec::new() };
        let facts = match route {
            Some(target) => {
                let (host, sts) =
                    tokio::join!(self.0.named(target, now), self.0.smarthost(target, now));
                let hosts = vec![notes.take(host)];
                let (sts, witnesses) =
                    sts.map_or_else(|| (StsFact::NotAsked, Vec::new()), |sts| notes.take(sts));
                let (destination, mx) = (destination.clone(), MxFact::Configured);
                Facts { destination, at: now, mx, hosts, sts, witnesses }
            }
            None => {
                let (found, sts) =
                    tokio::join!(self.0.exchangers(destination, now), self.0.sts(destination, now));
                let (mx, hosts, mut witnesses) = notes.take(found);
                let (sts, heard) = notes.take(sts);
                witnesses.extend(heard);
                Facts { destination: destination.clone(), at: now, mx, hosts, sts, witnesses }
            }
        };
        let Notes { until, blobs } = notes;
        let gathered = Gathered { facts: Arc::new(facts), blobs: blobs.into() };
        match self.0.reading {
            Reading::Kept => {
                self.keep(destination, route, &gathered, until.max(now + Duration::from_secs(1)));
            }
            // What could not be found out anew is no fact for those who know it.
            Reading::Anew => {}
        }
        gathered
    }

    /// Keeps facts for the next attempt, for which a first fetch is not the first any more.
    fn keep(
        &self,
        destination: &Domain,
        route: Option<&RouteTarget>,
        gathered: &Gathered,
        until: UnixTime,
    ) {
        let mut gathered = gathered.clone();
        if matches!(gathered.facts.sts, StsFact::Policy { known: Known::FirstFetch, .. }) {
            let mut facts = Facts::clone(&gathered.facts);
            if let StsFact::Policy { known, .. } = &mut facts.sts {
                *known = Known::Cached;
            }
            gathered.facts = Arc::new(facts);
        }
        let now = gathered.facts.at;
        let mut cache = lock(&self.0.cache);
        let limit = self.0.settings.cache_entries.max(1);
        if cache.len() >= limit && !cache.contains_key(destination) {
            cache.retain(|_, cached| now < cached.until);
            // Still full: any eighth goes. Which one does not matter, each can be asked for again.
            let excess = cache.len().saturating_sub(limit - limit.div_ceil(8));
            let victims: Vec<_> = cache.keys().take(excess).cloned().collect();
            for victim in victims {
                cache.remove(&victim);
            }
        }
        let route = route.cloned();
        cache.insert(destination.clone(), Cached { route, gathered, until });
    }
}

/// What comes with a fact: how long it holds, and its proofs.
struct Noted<T> {
    fact: T,
    until: UnixTime,
    blobs: Vec<Blob>,
}

/// Collects what comes with facts.
struct Notes {
    until: UnixTime,
    blobs: Vec<Blob>,
}

impl Notes {
    fn take<T>(&mut self, noted: Noted<T>) -> T {
        self.until = self.until.min(noted.until);
        for blob in noted.blobs {
            if self.blobs.iter().all(|(id, _)| *id != blob.0) {
                self.blobs.push(blob);
            }
        }
        noted.fact
    }

    /// A lookup's proof and life time.
    fn lookup<T>(&mut self, lookup: &Lookup<T>, now: UnixTime) {
        use waxseal_core::dns::Answer;
        let (until, id) = match &lookup.answer {
            Answer::Found { expires, chain, .. } | Answer::Absent { expires, chain, .. } => {
                (*expires, *chain)
            }
            Answer::Failed(_) => (now + AFTER_FAILURE, None),
        };
        let blobs = id.zip(lookup.chain.clone()).into_iter().collect();
        self.take(Noted { fact: (), until, blobs });
    }
}

/// A poisoned lock holds caches, which every state of is good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
