//! What was seen in DNS and at the policy host, and since when. It is kept between looks as a small
//! JSON file that an administrator can read; there is no secret in it.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

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
    /// MX hosts with published keys.
    pub hosts: BTreeMap<Domain, HostMemory>,
    /// Domains with reports or a policy.
    pub domains: BTreeMap<Domain, DomainMemory>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { version: VERSION, hosts: BTreeMap::new(), domains: BTreeMap::new() }
    }
}

/// What was seen of the TLSA records of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostMemory {
    /// TTL of the records, or of their absence, at the last look, in seconds: as long as a cache may
    /// still hold what stood there before.
    pub ttl: u64,
    /// Until when a cache may hold a set that had a longer TTL than the one at the last look: who lowers
    /// the TTL and adds a key a moment later has not outrun the old one.
    #[serde(default)]
    pub stale_until: UnixTime,
    /// Keys that are on every server, by the SHA-256 of their SubjectPublicKeyInfo in hexadecimal.
    pub keys: BTreeMap<String, KeyMemory>,
}

/// Since when a key is on every authoritative server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyMemory {
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
    /// The id that every server announces, and since when.
    pub announced: Option<(PolicyId, UnixTime)>,
    /// TTL of the announcement at the last look, in seconds.
    pub ttl: u64,
    /// The mode that is served and announced, and since when.
    pub mode: Option<(Mode, UnixTime)>,
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
    pub(super) fn everywhere(&mut self, key: String, ttl: Duration, now: UnixTime) -> KeyMemory {
        let ttl = ttl.as_secs().max(self.ttl);
        *self.keys.entry(key).or_insert(KeyMemory { since: now, ttl })
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
