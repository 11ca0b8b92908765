//! What was seen in DNS and at the policy host, and since when. It is kept between looks as a small
//! JSON file that an administrator can read; there is no secret in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{clock::Clock, gate::Guessed, lifetime};
use crate::{
    domain::Domain,
    sts::{Mode, PolicyId},
    time::UnixTime,
};

/// The form of the file.
const VERSION: u32 = 1;
/// Far more than any organisation has; a file with more is not ours.
const MOST: usize = 100_000;

/// Everything that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    version: u32,
    /// The clock at the last look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// MX hosts with published keys.
    pub hosts: BTreeMap<Domain, HostMemory>,
    /// Domains with reports or a policy.
    pub domains: BTreeMap<Domain, DomainMemory>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { version: VERSION, clock: None, hosts: BTreeMap::new(), domains: BTreeMap::new() }
    }
}

/// What caches may still hold of the records at one name: what authoritative servers said, look by look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// The first look of all.
    pub first: Option<First>,
    /// TTL of the records, or of their absence, at the last look, in seconds: as long as a cache may
    /// still hold what stood there before.
    pub ttl: u64,
    /// Until when a cache may hold a set that had a longer TTL than the one at the last look: who lowers
    /// the TTL and adds a record a moment later has not outrun the old one.
    pub stale_until: UnixTime,
}

/// A first look. What stood there before it, and with which TTL, nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct First {
    /// When.
    pub at: UnixTime,
    /// What every server that answered had already, and no later look saw one without.
    pub saw: BTreeSet<String>,
}

/// What nobody saw is guessed: the longest TTL that `[publish]` allows, and that zones usually have. For
/// absence it is no guess: more than a day has been found to be problematic (RFC 2308 §5), and no cache
/// that we know goes so far.
pub(super) const UNSEEN: Duration = Duration::from_secs(86_400);
/// A first look that sees more than this counts as none.
const MOST_SEEN: usize = 256;

/// When caches have forgotten, and what decides that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub at: UnixTime,
    pub why: String,
    pub guessed: Guessed,
}

impl Caches {
    /// Begins a look at which any server answered: `saw` is what every one that did has.
    pub(super) fn begin(&mut self, saw: &BTreeSet<String>, now: UnixTime) {
        match &mut self.first {
            // A server without it shows the TTL of what others replaced.
            Some(first) => first.saw.retain(|known| saw.contains(known)),
            None if saw.len() <= MOST_SEEN => {
                self.first = Some(First { at: now, saw: saw.clone() });
            }
            None => {}
        }
    }

    /// How long `ttl` counts for what is new since the last look: what stood there before may live as
    /// long as that said.
    pub(super) fn longer(&self, ttl: Duration) -> u64 {
        ttl.as_secs().max(self.ttl)
    }

    /// Ends a look with the longest TTL that any server gave.
    pub(super) fn end(&mut self, ttl: Duration, now: UnixTime) {
        if ttl.as_secs() < self.ttl {
            let old = now + Duration::from_secs(self.ttl).min(lifetime::LONGEST);
            self.stale_until = self.stale_until.max(old);
        }
        self.ttl = ttl.as_secs();
    }

    /// When no cache holds anything older than `what`, which is everywhere since `since` and counts for
    /// `wait`.
    pub(super) fn forgotten(&self, what: &str, since: UnixTime, wait: (u32, u64)) -> Forgotten {
        let (times, ttl) = wait;
        // The file may be anybody's.
        let ttl = ttl.min(lifetime::LONGEST.as_secs());
        let mut found = Forgotten {
            at: since + Duration::from_secs(ttl).saturating_mul(times),
            why: format!("{times} x TTL {ttl} s"),
            guessed: Guessed::No,
        };
        if self.stale_until > found.at {
            let why = "a longer TTL stood there before".to_owned();
            found = Forgotten { at: self.stale_until, why, guessed: Guessed::No };
        }
        let unseen = match &self.first {
            Some(first) if first.saw.contains(what) => Some(first.at),
            Some(_) => None,
            None => Some(since),
        };
        if let Some(first) = unseen.filter(|first| *first + UNSEEN > found.at) {
            let why = format!(
                "A GUESS: it was there at the first look already, at {first}, so nobody saw the TTL of \
                 what it replaced; a day is taken for the longest, its own is {ttl} s"
            );
            found = Forgotten { at: first + UNSEEN, why, guessed: Guessed::Ttl };
        }
        found
    }
}

/// What was seen of the TLSA records of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostMemory {
    /// What caches may hold.
    pub caches: Caches,
    /// Keys that are on every server, by the SHA-256 of their SubjectPublicKeyInfo in hexadecimal.
    pub keys: BTreeMap<String, Spell>,
}

/// Since when something is on every authoritative server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// When it was first seen on all of them.
    pub since: UnixTime,
    /// The longer of the TTL then and the TTL of what stood there before, in seconds.
    pub ttl: u64,
}

/// What was seen of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DomainMemory {
    /// Since when the TLSRPT record is there.
    pub tlsrpt_since: Option<UnixTime>,
    /// Its policy.
    pub policy: PolicyMemory,
}

/// What was seen of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyMemory {
    /// The policy that is served, by the id that belongs to it, and since when.
    pub served: Option<(PolicyId, UnixTime)>,
    /// What caches may hold of the announcement.
    pub caches: Caches,
    /// The id that every server announces, and since when.
    pub announced: Option<(PolicyId, Spell)>,
    /// The mode that is served and announced, and since when.
    pub mode: Option<(Mode, UnixTime)>,
    /// The first look at the MX records: what was taken out of them before, nobody saw.
    pub mx_first: Option<UnixTime>,
    /// MX hosts that DNS names or caches may hold, and until when they may.
    pub mx: BTreeMap<Domain, UnixTime>,
    /// The longest `max_age` of a policy that bound anybody, in seconds; 0 where none ever did.
    pub longest_max_age: u64,
}

/// A file that is not what we remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryError(String);

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MemoryError {}

impl Memory {
    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// It is something else, or of a version to come.
    pub fn read(text: &str) -> Result<Self, MemoryError> {
        let memory: Self =
            serde_json::from_str(text).map_err(|error| MemoryError(error.to_string()))?;
        if memory.version != VERSION {
            return Err(MemoryError(format!("version {} is not known here", memory.version)));
        }
        if memory.hosts.len().saturating_add(memory.domains.len()) > MOST {
            return Err(MemoryError("more names than any organisation has".to_owned()));
        }
        Ok(memory)
    }

    /// For people and for [`Self::read`].
    pub fn write(&self) -> String {
        // Strings, numbers and maps with text keys: nothing that JSON could refuse.
        serde_json::to_string_pretty(self).map_or_else(|_| String::new(), |text| text + "\n")
    }
}

impl HostMemory {
    /// Notes that a key is on every server, with this TTL.
    pub(super) fn everywhere(&mut self, key: String, ttl: Duration, now: UnixTime) -> Spell {
        let ttl = self.caches.longer(ttl);
        *self.keys.entry(key).or_insert(Spell { since: now, ttl })
    }
}

/// `known` where it is still of the same value, `now` where that is new.
pub(super) fn since<T: PartialEq>(
    known: &mut Option<(T, UnixTime)>,
    value: Option<T>,
    now: UnixTime,
) -> Option<UnixTime> {
    let Some(value) = value else {
        *known = None;
        return None;
    };
    match known {
        Some((old, at)) if *old == value => Some(*at),
        Some(_) | None => {
            *known = Some((value, now));
            Some(now)
        }
    }
}

/// What all have; nothing where there is none.
pub(super) fn common(sets: impl Iterator<Item = BTreeSet<String>>) -> BTreeSet<String> {
    sets.reduce(|all, one| all.intersection(&one).cloned().collect()).unwrap_or_default()
}
