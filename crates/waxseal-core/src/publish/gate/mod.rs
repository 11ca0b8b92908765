//! Whether a change may go ahead. Doors open one after the other: what DNS says everywhere, and for
//! long enough that no cache remembers anything else, and only then the change that relies on it.

mod keys;
mod policy;

use std::{net::IpAddr, time::Duration};

use serde::Serialize;

pub use self::{
    keys::{HostKeys, Key, keys},
    policy::{PolicyFacts, policy},
};
use crate::{dns::Authenticity, domain::Domain, time::UnixTime};

/// One question, asked of one authoritative server, without any cache in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView<T> {
    /// The server's name, from the NS records.
    pub server: Domain,
    /// Whose NS records name it.
    pub named: Named,
    /// Which of its addresses; `None` where it has none.
    pub address: Option<IpAddr>,
    /// What it said.
    pub seen: Seen<T>,
}

/// Whose NS records name a server. Senders may be sent to it by either (RFC 1034 §4.2.2 asks that both
/// agree).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// Those of the zone itself.
    Zone,
    /// Only those of the zone above: a delegation that was forgotten, or not finished.
    ParentOnly,
}

/// What one server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// Records, with authority.
    Records {
        /// What they say.
        value: T,
        /// Their TTL.
        ttl: Duration,
        /// Whether the signatures hold.
        authenticity: Authenticity,
    },
    /// None, with authority.
    Absent {
        /// How long caches may keep that (RFC 2308 §5).
        ttl: Duration,
    },
    /// It answered, and nobody can use the answer: without authority, bogus.
    Unusable(String),
    /// It did not answer, or must not be asked.
    Failed(String),
    /// This machine has no way to such an address, and why: nobody tried. The server's other addresses
    /// speak for it, where there are any.
    NoRoute(String),
}

impl<T> Seen<T> {
    /// The same with other values.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Records { value, ttl, authenticity } => {
                Seen::Records { value: change(value), ttl, authenticity }
            }
            Self::Absent { ttl } => Seen::Absent { ttl },
            Self::Unusable(why) => Seen::Unusable(why),
            Self::Failed(why) => Seen::Failed(why),
            Self::NoRoute(why) => Seen::NoRoute(why),
        }
    }
}

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Deploy the next key of an MX host.
    Key,
    /// Publish the `id` of a policy.
    Id,
    /// Change the MX records.
    Mx,
    /// Take MTA-STS away.
    Removal,
}

/// How a door stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// The change may go ahead, or has.
    Open,
    /// Not yet.
    Waiting {
        /// When to look again, where that is known.
        until: Option<UnixTime>,
    },
    /// It could not be found out, so not now.
    Unknown,
}

/// One door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The host or domain.
    pub subject: Domain,
    /// What for.
    pub door: Door,
    /// What may be done through it: `deploy ECDSA P-256 key 3f5c...`.
    pub what: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Why, and what is waited for.
    pub because: String,
    /// Addresses of name servers that were not asked, for want of a way there: others of the same server
    /// spoke for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
    /// Whether part of the wait is a guess, for nobody saw what stood there before.
    pub guessed: Guessed,
}

/// Whether a wait rests on a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guessed {
    /// On what was seen alone.
    #[default]
    No,
    /// On how long TTLs usually are at most.
    Ttl,
}

impl Item {
    /// Whether the change may go ahead.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }
}

/// `ns1.example.net (192.0.2.53)`
fn title<T>(view: &ServerView<T>) -> String {
    let server = match view.address {
        Some(address) => format!("{} ({address})", view.server),
        None => view.server.to_string(),
    };
    match view.named {
        Named::Zone => server,
        Named::ParentOnly => format!("{server}, which only the parent zone names,"),
    }
}

/// Addresses that nobody could ask from here.
#[derive(Debug, Default)]
struct Unreached {
    /// Others of the same server were tried.
    aside: Vec<String>,
    /// The only ones of their server: what it says is not known.
    lost: Vec<String>,
}

impl Unreached {
    fn look<T>(views: &[ServerView<T>]) -> Self {
        let mut unreached = Self::default();
        for view in views {
            let Seen::NoRoute(why) = &view.seen else { continue };
            let tried = |other: &ServerView<T>| {
                other.server == view.server && !matches!(other.seen, Seen::NoRoute(_))
            };
            let words = format!("{}: {why}", title(view));
            match views.iter().any(tried) {
                true => unreached.aside.push(words),
                false => unreached.lost.push(words),
            }
        }
        unreached
    }
}

/// The first few, so that a list stays a sentence.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
