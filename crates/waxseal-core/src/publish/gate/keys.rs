//! A new key of an MX host (RFC 7671 §8.1): its TLSA record first, everywhere and for two TTLs, then the
//! key. A sender that still holds the old records would otherwise refuse the new key.

use std::{collections::BTreeSet, time::Duration};

use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::{Door, Gap, Item, Judged, Seen, ServerView, Views, list, title};
use crate::{
    dane::{self, Tlsa},
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
    /// SHA-512 of the same: we publish no such record, and others may have.
    pub spki_sha512: [u8; 64],
}

impl Key {
    /// The digest in hexadecimal.
    pub fn hex(&self) -> String {
        self.spki_sha256.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// A key with this SubjectPublicKeyInfo.
    pub fn of(algorithm: String, spki: &[u8]) -> Self {
        let (mut spki_sha256, mut spki_sha512) = ([0; 32], [0; 64]);
        for (to, from) in spki_sha256.iter_mut().zip(digest(&SHA256, spki).as_ref()) {
            *to = *from;
        }
        for (to, from) in spki_sha512.iter_mut().zip(digest(&SHA512, spki).as_ref()) {
            *to = *from;
        }
        Self { algorithm, spki_sha256, spki_sha512 }
    }

    /// What a record of `usage` names it by: its SHA-256, as we publish it, and its SHA-512.
    fn records(&self, usage: u8) -> [Tlsa; 2] {
        let of = |matching, data| Tlsa { usage, selector: 1, matching, data };
        [of(1, self.spki_sha256.to_vec()), of(2, self.spki_sha512.to_vec())]
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
    let all = Everywhere::look(&host.host, views);
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
        let what = format!("deploy {}", key.title());
        items.push(Item::new(&host.host, Door::Key, what, next(key, &all, memory, now)));
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

/// All servers at one look.
struct Everywhere<'a> {
    views: &'a [ServerView<Vec<Tlsa>>],
    /// The longest TTL that any of them gives.
    ttl: Option<Duration>,
    /// Where it is not known what they have.
    gaps: Vec<Gap>,
    /// Those whose records count for nobody, with the reason.
    wrong: Vec<String>,
    /// Whether any gives records without signatures.
    unsigned: bool,
    /// Addresses that nobody could ask from here, of servers that have others.
    aside: Vec<String>,
}

impl<'a> Everywhere<'a> {
    fn look(host: &Domain, views: &'a [ServerView<Vec<Tlsa>>]) -> Self {
        let Views { aside, gaps, wrong } = Views::look(host, views);
        let mut all = Self { views, ttl: None, gaps, wrong, unsigned: false, aside };
        for view in views {
            match &view.seen {
                Seen::Records { ttl, authenticity, .. } => {
                    all.ttl = all.ttl.max(Some(*ttl));
                    if *authenticity == Authenticity::Insecure {
                        // RFC 7672 §2.2: insecure TLSA records count for nobody.
                        all.wrong.push(format!("{}: not signed with DNSSEC", title(view)));
                        all.unsigned = true;
                    }
                }
                Seen::Absent { ttl } => all.ttl = all.ttl.max(Some(*ttl)),
                Seen::Wrong(_) | Seen::Lost(_) => {}
            }
        }
        all
    }

    /// The digests of the end entities' keys that every server has that answers, and that count there, in
    /// hexadecimal.
    fn digests(&self) -> BTreeSet<String> {
        memory::common(self.views.iter().filter_map(|view| {
            let value = match &view.seen {
                Seen::Records { value, .. } => value.as_slice(),
                Seen::Absent { .. } => &[],
                Seen::Wrong(_) | Seen::Lost(_) => return None,
            };
            let hex = |tlsa: &Tlsa| tlsa.data.iter().map(|octet| format!("{octet:02x}")).collect();
            let ours = |tlsa: &&Tlsa| (tlsa.usage, tlsa.selector, tlsa.matching) == (3, 1, 1);
            Some(dane::effective(value).map(|(_, tlsa)| tlsa).filter(ours).map(hex).collect())
        }))
    }

    /// Servers that answer, and do not have this record.
    fn without(&self, wanted: &Tlsa) -> Vec<String> {
        let lacks = |view: &&ServerView<Vec<Tlsa>>| match &view.seen {
            Seen::Records { value, .. } => !value.contains(wanted),
            Seen::Absent { .. } => true,
            Seen::Wrong(_) | Seen::Lost(_) => false,
        };
        self.views.iter().filter(lacks).map(title).collect()
    }

    /// Servers that answer, and where none of these records is one that counts.
    fn bare(&self, any: &[Tlsa]) -> Vec<String> {
        let bare = |view: &&ServerView<Vec<Tlsa>>| match &view.seen {
            Seen::Records { value, .. } => {
                !dane::effective(value).any(|(_, tlsa)| any.contains(tlsa))
            }
            Seen::Absent { .. } => true,
            Seen::Wrong(_) | Seen::Lost(_) => false,
        };
        self.views.iter().filter(bare).map(title).collect()
    }

    /// Servers that have this record for nobody: a stronger digest stands beside it, and senders go by the
    /// strongest alone (digest agility, RFC 7671 §9).
    fn outdone(&self, wanted: &Tlsa) -> Vec<String> {
        let outdoes = |view: &&ServerView<Vec<Tlsa>>| match &view.seen {
            Seen::Records { value, .. } => {
                value.contains(wanted) && !dane::effective(value).any(|(_, tlsa)| tlsa == wanted)
            }
            Seen::Absent { .. } | Seen::Wrong(_) | Seen::Lost(_) => false,
        };
        self.views.iter().filter(outdoes).map(title).collect()
    }

    /// Why no record counts, where none does.
    fn worthless(&self) -> Option<Judged> {
        if self.wrong.is_empty() {
            return None;
        }
        let to_do = match self.unsigned {
            true => "sign the zone with DNSSEC: unsigned TLSA records count for nobody",
            false => "let all servers of the zone have the same",
        };
        Some(Judged::closed(list(&self.wrong), to_do))
    }

    /// What could not be found out, where anything could not.
    fn unknown(&self) -> Option<Judged> {
        let asked = "not every server could be asked";
        (!self.gaps.is_empty()).then(|| Judged::unknown(asked, self.gaps.clone()))
    }
}

fn next(key: &Key, all: &Everywhere<'_>, memory: &mut HostMemory, now: UnixTime) -> Judged {
    let wanted = texts::end_entity(key.spki_sha256);
    let lacking = all.without(&wanted);
    if !lacking.is_empty() {
        // Seen before and gone: the time counts anew.
        memory.keys.remove(&key.hex());
        let because = format!("its TLSA record is missing at {}", list(&lacking));
        let to_do = match all.views.len() == lacking.len() {
            true => "publish it: `waxseal publish tlsa` prints it",
            false => {
                "publish it (`waxseal publish tlsa` prints it), and see that every server takes it over"
            }
        };
        return Judged::closed(because, to_do);
    }
    let outdone = all.outdone(&wanted);
    if !outdone.is_empty() {
        // For senders it is not there, so the time counts anew.
        memory.keys.remove(&key.hex());
        let because = format!(
            "its TLSA record counts for nobody at {}: a record with SHA-512 (`3 1 2`) stands beside it, and \
             senders go by the strongest digest alone (RFC 7671 section 9)",
            list(&outdone)
        );
        let to_do = "take the records with SHA-512 away, once those with SHA-256 cover every key in use: \
                     `waxseal publish tlsa --update --prune` does";
        return Judged::closed(because, to_do);
    }
    if let Some(judged) = all.worthless() {
        return judged;
    }
    // Nothing was seen to be wrong there, so the time goes on; but nothing opens either.
    if let Some(judged) = all.unknown() {
        return judged;
    }
    let known = memory.everywhere(key.hex(), all.ttl.unwrap_or_default(), now);
    let forgotten = memory.caches.forgotten(&key.hex(), known.since, (TTLS, known.ttl));
    let until = forgotten.at + ROUNDING;
    let servers = match (all.views.len() - all.aside.len(), all.aside.is_empty()) {
        (1, true) => "the only server address".to_owned(),
        (1, false) => "the only server address that could be asked".to_owned(),
        (some, true) => format!("all {some} server addresses"),
        (some, false) => format!("all {some} server addresses that could be asked"),
    };
    let judged = if now < until {
        let because = format!(
            "its TLSA record is on {servers} since {}; caches forget what stood there before at {until} ({})",
            known.since, forgotten.why
        );
        Judged::until(until, because)
    } else {
        Judged::open(format!(
            "its TLSA record is on {servers}, signed, since {}: longer than {}",
            known.since, forgotten.why
        ))
    };
    Judged { guessed: forgotten.guessed, ..judged }
}

/// A key in use without a record: mail is being refused now, and a change of keys has to wait.
fn uncovered(host: &HostKeys, key: &Key, all: &Everywhere<'_>) -> Option<Item> {
    // An issuer's record covers the key as well, with the chain that the host sends (RFC 7671 §5.2).
    let issuers = host.issuers.iter().flat_map(|issuer| issuer.records(2));
    let any: Vec<Tlsa> = key.records(3).into_iter().chain(issuers).collect();
    let bare = all.bare(&any);
    if bare.is_empty() {
        return None;
    }
    let outdone: Vec<String> = any.iter().flat_map(|tlsa| all.outdone(tlsa)).collect();
    let (outdone, lacking): (Vec<_>, Vec<_>) =
        bare.into_iter().partition(|server| outdone.contains(server));
    let nothing = all.views.iter().all(|view| matches!(view.seen, Seen::Absent { .. }));
    let judged = if nothing {
        let because = "no TLSA record is published yet".to_owned();
        Judged::closed(
            because,
            "publish that of the key in use together with the next: `waxseal publish tlsa`",
        )
    } else if lacking.is_empty() {
        let because = format!(
            "the TLSA record of the key IN USE counts for nobody at {}: one with SHA-512 (`3 1 2`) that is not \
             of this key stands beside it, and senders go by the strongest digest alone (RFC 7671 section 9): \
             those with DANE refuse this host",
            list(&outdone)
        );
        let to_do = "take the records with SHA-512 away AT ONCE: `waxseal publish tlsa --update --prune` does, \
                     where no key that is shown needs them";
        Judged::closed(because, to_do)
    } else {
        let because = format!(
            "the key IN USE has no TLSA record at {}: senders with DANE refuse this host",
            list(&lacking)
        );
        Judged::closed(because, "publish its record AT ONCE: `waxseal publish tlsa` prints it")
    };
    let what = format!("cover {}, which is in use", key.title());
    Some(Item::new(&host.host, Door::Key, what, judged))
}

/// Servers whose answer is not known or cannot be used: whether the keys in use are covered there is
/// not known either.
fn unseen(host: &HostKeys, all: &Everywhere<'_>) -> Option<Item> {
    if host.current.is_empty() {
        return None;
    }
    let judged = all.worthless().or_else(|| all.unknown())?;
    let what = "cover the keys that are in use".to_owned();
    Some(Item::new(&host.host, Door::Key, what, judged))
}
