//! A new key of an MX host (RFC 7671 §8.1): its TLSA record first, everywhere and for two TTLs, then the
//! key. A sender that still holds the old records would otherwise refuse the new key.

use std::{collections::BTreeSet, time::Duration};

use super::{Door, Guessed, Item, Seen, ServerView, State, Unreached, list, title};
use crate::{
    dane::Tlsa,
    dns::Authenticity,
    domain::Domain,
    publish::{HostMemory, memory, texts},
    time::UnixTime,
};

/// A key as TLSA records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// For people: `ECDSA P-256`.
    pub algorithm: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

impl Key {
    /// The digest in hexadecimal.
    pub fn hex(&self) -> String {
        self.spki_sha256.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// `ECDSA P-256 key 3f5c...`
    pub fn title(&self) -> String {
        let hex: String = self.hex().chars().take(16).collect();
        format!("{} key {hex}...", self.algorithm)
    }
}

/// The keys of one MX host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeys {
    /// Its name.
    pub host: Domain,
    /// In use.
    pub current: Vec<Key>,
    /// To be used.
    pub next: Vec<Key>,
    /// Issuers that may vouch for any key of this host (`2 1 1`).
    pub issuers: Vec<Key>,
}

/// How many TTLs a record has to be old: one for caches that took the old set just before the change,
/// one for servers that we cannot see (anycast, slow secondaries behind one address).
const TTLS: u32 = 2;
/// Times here are whole seconds: what was seen "at 10" may have come about at 10.9.
const ROUNDING: Duration = Duration::from_secs(1);

/// One door for each next key, and one for each key in use that is not covered. What was seen is
/// noted in `memory`.
pub fn keys(
    host: &HostKeys,
    views: &[ServerView<Vec<Tlsa>>],
    memory: &mut HostMemory,
    now: UnixTime,
) -> Vec<Item> {
    let all = Everywhere::look(views);
    if all.ttl.is_some() {
        memory.caches.begin(&all.digests(), now);
    }
    let mut items = Vec::new();
    for key in host.current.iter().filter(|key| !host.next.contains(key)) {
        items.extend(uncovered(host, key, &all));
    }
    // The doors of next keys say the same.
    if host.next.is_empty() && items.is_empty() {
        items.extend(unseen(host, &all));
    }
    for key in &host.next {
        let (state, because, guessed) = next(key, &all, memory, now);
        let door = item(host, format!("deploy {}", key.title()), state, because);
        items.push(Item { guessed, ..door });
    }
    items.iter_mut().for_each(|item| item.not_asked.clone_from(&all.aside));
    if let Some(ttl) = all.ttl {
        memory.caches.end(ttl, now);
    }
    // Keys that nobody asks about any more are forgotten.
    let asked = |hex: &String| host.next.iter().any(|key| key.hex() == *hex);
    memory.keys.retain(|hex, _| asked(hex));
    items
}

fn item(host: &HostKeys, what: String, state: State, because: String) -> Item {
    let (subject, door) = (host.host.clone(), Door::Key);
    let (not_asked, guessed) = (Vec::new(), Guessed::No);
    Item { subject, door, what, state, because, not_asked, guessed }
}

/// All servers at one look.
struct Everywhere<'a> {
    views: &'a [ServerView<Vec<Tlsa>>],
    /// The longest TTL that any of them gives.
    ttl: Option<Duration>,
    /// Those that did not answer, with the reason.
    failed: Vec<String>,
    /// Those whose answer nobody can use, with the reason.
    unusable: Vec<String>,
    /// Addresses that nobody could ask from here, of servers that have others.
    aside: Vec<String>,
}

impl<'a> Everywhere<'a> {
    fn look(views: &'a [ServerView<Vec<Tlsa>>]) -> Self {
        let Unreached { aside, lost } = Unreached::look(views);
        let mut all = Self { views, ttl: None, failed: lost, unusable: Vec::new(), aside };
        for view in views {
            match &view.seen {
                Seen::Records { ttl, authenticity, .. } => {
                    all.ttl = all.ttl.max(Some(*ttl));
                    if *authenticity == Authenticity::Insecure {
                        // RFC 7672 §2.2: insecure TLSA records count for nobody.
                        all.unusable.push(format!("{}: not signed with DNSSEC", title(view)));
                    }
                }
                Seen::Absent { ttl } => all.ttl = all.ttl.max(Some(*ttl)),
                Seen::Unusable(why) => all.unusable.push(format!("{}: {why}", title(view))),
                Seen::Failed(why) => all.failed.push(format!("{}: {why}", title(view))),
                Seen::NoRoute(_) => {}
            }
        }
        all
    }

    /// The digests of the end entities' keys that every server has that answers, in hexadecimal.
    fn digests(&self) -> BTreeSet<String> {
        memory::common(self.views.iter().filter_map(|view| {
            let value = match &view.seen {
                Seen::Records { value, .. } => value.as_slice(),
                Seen::Absent { .. } => &[],
                Seen::Unusable(_) | Seen::Failed(_) | Seen::NoRoute(_) => return None,
            };
            let hex = |tlsa: &Tlsa| tlsa.data.iter().map(|octet| format!("{octet:02x}")).collect();
            let ours = |tlsa: &&Tlsa| (tlsa.usage, tlsa.selector, tlsa.matching) == (3, 1, 1);
            Some(value.iter().filter(ours).map(hex).collect())
        }))
    }

    /// Servers that answer, and do not have this record.
    fn without(&self, wanted: &Tlsa) -> Vec<String> {
        let lacks = |view: &&ServerView<Vec<Tlsa>>| match &view.seen {
            Seen::Records { value, .. } => !value.contains(wanted),
            Seen::Absent { .. } => true,
            Seen::Unusable(_) | Seen::Failed(_) | Seen::NoRoute(_) => false,
        };
        self.views.iter().filter(lacks).map(title).collect()
    }
}

fn next(
    key: &Key,
    all: &Everywhere<'_>,
    memory: &mut HostMemory,
    now: UnixTime,
) -> (State, String, Guessed) {
    let waiting = State::Waiting { until: None };
    if all.views.is_empty() {
        let because = "no authoritative server of its zone could be found".to_owned();
        return (State::Unknown, because, Guessed::No);
    }
    let lacking = all.without(&texts::end_entity(key.spki_sha256));
    if !lacking.is_empty() {
        // Seen before and gone: the time counts anew.
        memory.keys.remove(&key.hex());
        let because = format!("its TLSA record is missing at {}", list(&lacking));
        return (waiting, because, Guessed::No);
    }
    if !all.unusable.is_empty() {
        return (waiting, list(&all.unusable), Guessed::No);
    }
    if !all.failed.is_empty() {
        // Nothing was seen to be wrong there, so the time goes on; but nothing opens either.
        let because = format!("not every server could be asked: {}", list(&all.failed));
        return (State::Unknown, because, Guessed::No);
    }
    let known = memory.everywhere(key.hex(), all.ttl.unwrap_or_default(), now);
    let forgotten = memory.caches.forgotten(&key.hex(), known.since, (TTLS, known.ttl));
    let until = forgotten.at + ROUNDING;
    let servers = all.views.len() - all.aside.len();
    if now < until {
        let because = format!(
            "its TLSA record is on all {servers} server addresses since {}; caches forget what stood \
             there before at {until} ({})",
            known.since, forgotten.why
        );
        return (State::Waiting { until: Some(until) }, because, forgotten.guessed);
    }
    let because = format!(
        "its TLSA record is on all {servers} server addresses, signed, since {}: longer than {}",
        known.since, forgotten.why
    );
    (State::Open, because, forgotten.guessed)
}

/// A key in use without a record: mail is being refused now, and a change of keys has to wait.
fn uncovered(host: &HostKeys, key: &Key, all: &Everywhere<'_>) -> Option<Item> {
    let wanted = texts::end_entity(key.spki_sha256);
    let mut lacking = all.without(&wanted);
    // An issuer's record covers the key as well, with the chain that the host sends (RFC 7671 §5.2).
    for issuer in &host.issuers {
        let without = all.without(&texts::issuer(issuer.spki_sha256));
        lacking.retain(|server| without.contains(server));
    }
    if lacking.is_empty() {
        return None;
    }
    let nothing = all.views.iter().all(|view| matches!(view.seen, Seen::Absent { .. }));
    let because = if nothing {
        "no TLSA record is published yet: publish the key in use together with the next".to_owned()
    } else {
        format!(
            "the key IN USE has no TLSA record at {}: senders with DANE refuse this host",
            list(&lacking)
        )
    };
    let what = format!("cover {}, which is in use", key.title());
    Some(item(host, what, State::Waiting { until: None }, because))
}

/// Servers whose answer is not known or cannot be used: whether the keys in use are covered there is
/// not known either.
fn unseen(host: &HostKeys, all: &Everywhere<'_>) -> Option<Item> {
    if host.current.is_empty() {
        return None;
    }
    let what = "cover the keys that are in use".to_owned();
    if !all.unusable.is_empty() {
        let because = list(&all.unusable);
        return Some(item(host, what, State::Waiting { until: None }, because));
    }
    let because = match all.failed.as_slice() {
        [] if !all.views.is_empty() => return None,
        [] => "no authoritative server of its zone could be found".to_owned(),
        failed => format!("not every server could be asked: {}", list(failed)),
    };
    Some(item(host, what, State::Unknown, because))
}
