//! What single servers say, and why what one of them says may count for nothing.

use std::{fmt, net::IpAddr, time::Duration};

use serde::Serialize;

use crate::{dns::Authenticity, domain::Domain};

/// One question, asked of one authoritative server, without any cache in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView<T> {
    /// The server's name, from the NS records; the zone's, where its servers are not known.
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
    /// Something else than may stand there, with authority: another alias, a record that nobody can read.
    Wrong(String),
    /// What it has is not known.
    Lost(Loss),
}

impl<T> Seen<T> {
    /// The same with other values.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Self::Records { value, ttl, authenticity } => {
                Seen::Records { value: change(value), ttl, authenticity }
            }
            Self::Absent { ttl } => Seen::Absent { ttl },
            Self::Wrong(why) => Seen::Wrong(why),
            Self::Lost(loss) => Seen::Lost(loss),
        }
    }

    /// It is not known, and why.
    pub fn lost(how: How, why: impl Into<String>) -> Self {
        Self::Lost(Loss { how, why: why.into() })
    }
}

/// Why it is not known what somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What kind of silence it was.
    pub how: How,
    /// In words.
    pub why: String,
}

/// The kinds of silence: they are mended in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It answers, and not for this zone: REFUSED, or without authority.
    Refused,
    /// It answered what proves nothing: signatures that do not hold, or no DNS at all. The server did that,
    /// or somebody on the path.
    Unproven,
    /// No answer, or SERVFAIL.
    Silent,
    /// It must not be asked: no public address, or one too many.
    NotAsked,
    /// This machine has no way to such an address: nobody tried. The server's other addresses speak for it,
    /// where there are any.
    NoRoute,
    /// Whom to ask could not be found out.
    Unfound,
}

/// One thing that could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Who did not tell: `ns1.example.net (192.0.2.53)`, `mta-sts.example.com`.
    pub of: String,
    /// What kind of silence it was.
    pub how: How,
    /// In words.
    pub why: String,
    /// What the operator can do about it.
    #[serde(skip)]
    pub to_do: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of, self.why)
    }
}

impl Gap {
    /// Of a name server.
    fn of_server<T>(view: &ServerView<T>, loss: &Loss) -> Self {
        let server = &view.server;
        let to_do = match loss.how {
            How::Refused => format!(
                "let {server} answer for the zone (its log says why it does not), or take it out of the NS \
                 records, those in the zone above too"
            ),
            How::Unproven => format!(
                "compare the zone at {server} with that of the primary server, and sign it anew; where both \
                 are good, somebody changes answers on the way here"
            ),
            How::Silent => format!(
                "see that {server} runs and takes TCP at port 53 from here, or take it out of the NS records, \
                 those in the zone above too"
            ),
            How::NotAsked => {
                "mend the NS records: strangers are sent to them as well, and need few servers at public \
                 addresses"
                    .to_owned()
            }
            How::NoRoute => format!(
                "ask from a machine with a way there (or allow its family in [delivery] families), or give \
                 {server} another address"
            ),
            How::Unfound => format!(
                "look again later; `waxseal dns {server} NS` shows what DNS says, and port 53 of its servers \
                 has to be open to this machine"
            ),
        };
        Self { of: title(view), how: loss.how, why: loss.why.clone(), to_do }
    }

    /// No server is known.
    fn nobody(subject: &Domain) -> Self {
        Self {
            of: subject.to_string(),
            how: How::Unfound,
            why: "no authoritative server of its zone could be found".to_owned(),
            to_do: format!("`waxseal dns {subject} NS` shows what DNS says"),
        }
    }

    /// Of the host that serves a policy.
    pub(super) fn of_policy_host(domain: &Domain, why: String) -> Self {
        let of = format!("mta-sts.{domain}");
        let to_do =
            format!("see that {of} answers at port 443, and that this machine may connect to it");
        Self { of, how: How::Silent, why, to_do }
    }
}

/// What nobody knows, and what is wrong for all to see, at all servers together.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Addresses that nobody could ask from here; others of the same server spoke for them.
    pub(super) aside: Vec<String>,
    /// Where it is not known what a server has.
    pub(super) gaps: Vec<Gap>,
    /// Servers that have something else than may stand there.
    pub(super) wrong: Vec<String>,
}

impl Views {
    pub(super) fn look<T>(subject: &Domain, views: &[ServerView<T>]) -> Self {
        let mut all = Self::default();
        if views.is_empty() {
            all.gaps.push(Gap::nobody(subject));
        }
        for view in views {
            match &view.seen {
                Seen::Records { .. } | Seen::Absent { .. } => {}
                Seen::Wrong(why) => all.wrong.push(format!("{}: {why}", title(view))),
                Seen::Lost(loss) if loss.how == How::NoRoute && spoken_for(view, views) => {
                    all.aside.push(format!("{}: {}", title(view), loss.why));
                }
                Seen::Lost(loss) => all.gaps.push(Gap::of_server(view, loss)),
            }
        }
        all
    }
}

/// Whether another address of the same server was tried.
fn spoken_for<T>(view: &ServerView<T>, views: &[ServerView<T>]) -> bool {
    let tried = |seen: &Seen<T>| match seen {
        Seen::Records { .. } | Seen::Absent { .. } | Seen::Wrong(_) => true,
        Seen::Lost(loss) => loss.how != How::NoRoute,
    };
    views.iter().any(|other| other.server == view.server && tried(&other.seen))
}

/// `ns1.example.net (192.0.2.53)`
pub(super) fn title<T>(view: &ServerView<T>) -> String {
    let server = match view.address {
        Some(address) => format!("{} ({address})", view.server),
        None => view.server.to_string(),
    };
    match view.named {
        Named::Zone => server,
        Named::ParentOnly => format!("{server} [named by the parent zone only]"),
    }
}
