//! How a door stands, and what to do where it is not open.

use serde::Serialize;

use super::Gap;
use crate::{domain::Domain, time::UnixTime};

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
    /// Something was seen that forbids it.
    Closed {
        /// When it opens by itself; `None` where something has to be done first.
        until: Option<UnixTime>,
    },
    /// What was seen does not forbid it, and not everything could be found out: so not now.
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
    /// What the operator can do, where waiting alone does not open it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_do: Vec<String>,
    /// What could not be found out; not empty where the state is [`State::Unknown`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Gap>,
    /// Addresses of name servers and of the policy host that were not asked, for want of a way there: others
    /// of the same server spoke for them.
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
    /// A door and how it was judged.
    pub(in crate::publish) fn new(
        subject: &Domain,
        door: Door,
        what: String,
        judged: Judged,
    ) -> Self {
        let subject = subject.clone();
        let Judged { state, because, to_do, unknown, guessed } = judged;
        Self { subject, door, what, state, because, to_do, unknown, not_asked: Vec::new(), guessed }
    }

    /// Why it stands so and what to do, in one sentence.
    pub fn reason(&self) -> String {
        match self.to_do.as_slice() {
            [] => self.because.clone(),
            to_do => format!("{}; {}", self.because, to_do.join("; ")),
        }
    }

    /// Whether the change may go ahead.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }
}

/// How a door stands, and why.
#[derive(Clone, Debug)]
pub(in crate::publish) struct Judged {
    pub(super) state: State,
    pub(in crate::publish) because: String,
    pub(super) to_do: Vec<String>,
    pub(super) unknown: Vec<Gap>,
    pub(super) guessed: Guessed,
}

impl Judged {
    const fn new(state: State, because: String) -> Self {
        Self { state, because, to_do: Vec::new(), unknown: Vec::new(), guessed: Guessed::No }
    }

    /// The change may go ahead.
    pub(super) const fn open(because: String) -> Self {
        Self::new(State::Open, because)
    }

    /// Something has to be done first.
    pub(in crate::publish) fn closed(because: String, to_do: impl Into<String>) -> Self {
        Self { to_do: vec![to_do.into()], ..Self::new(State::Closed { until: None }, because) }
    }

    /// It opens by itself.
    pub(super) const fn until(at: UnixTime, because: String) -> Self {
        Self::new(State::Closed { until: Some(at) }, because)
    }

    /// Not everything could be found out; `what` says what that is: `not every server could be asked`.
    pub(super) fn unknown(what: &str, gaps: Vec<Gap>) -> Self {
        let said: Vec<String> = gaps.iter().map(ToString::to_string).collect();
        let mut to_do: Vec<String> = Vec::new();
        for gap in &gaps {
            if !to_do.contains(&gap.to_do) {
                to_do.push(gap.to_do.clone());
            }
        }
        let because = format!("{what}: {}", super::list(&said));
        Self { to_do, unknown: gaps, ..Self::new(State::Unknown, because) }
    }
}

/// What all doors together say to a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything may go ahead.
    Open,
    /// Something may not.
    Closed,
    /// Nothing was seen that forbids it, and not everything could be found out.
    Unknown,
}

/// Of several doors the one that is closed wins, whatever could not be found out of others: what was seen
/// does not become untrue. Nothing to open is no open door: a script that deploys keys must not go ahead on a
/// typing error.
pub fn verdict(items: &[Item]) -> Verdict {
    let closed = items.iter().any(|item| matches!(item.state, State::Closed { .. }));
    if closed || items.is_empty() {
        Verdict::Closed
    } else if items.iter().all(Item::is_open) {
        Verdict::Open
    } else {
        Verdict::Unknown
    }
}
