//! What falls short, and since when: patience begins there, and nothing is returned at the first
//! look.
//!
//! A host that is down says nothing of its channel, and a look-up that failed says nothing at all:
//! neither uses up patience. But a host that is down does not switch patience off either, where
//! another one was reached and its channel refused; otherwise whoever strips STARTTLS at one host and
//! drops packets to the other keeps mail for days, and nobody hears why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    outcome::{Cause, Outcome},
    time::UnixTime,
};

/// What falls short before anybody is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// Nothing that is known: a look-up that failed is nothing of that kind.
    #[default]
    Nothing,
    /// A host's channel, by what is published, remembered or hidden from us.
    Channel,
    /// The destination: an unsigned answer denies it, and contradicts what we know of it.
    Destination,
}

impl Lack {
    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// When each kind was first seen by this delivery group; a bounce needs a second look at the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FirstSeen {
    /// A connection that fell short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<UnixTime>,
    /// An unsigned answer that denies a destination which we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<UnixTime>,
}

impl FirstSeen {
    /// Whether none of it was seen.
    pub const fn is_nothing(&self) -> bool {
        self.refused.is_none() && self.denied.is_none()
    }
}

/// What an attempt saw of channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// What was seen of the first one that fell short, if one did.
    pub refused: Option<String>,
    /// Whether one was good enough.
    pub good: bool,
}

/// Whether patience is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It has not begun, or goes on.
    Lasts,
    /// The fallback follows.
    Over,
}

impl Patience {
    /// With what falls short since then.
    pub fn of(since: Option<UnixTime>, patience: Duration, now: UnixTime) -> Self {
        match since {
            Some(first) if now >= first && now.since(first) >= patience => Self::Over,
            Some(_) | None => Self::Lasts,
        }
    }
}

/// Since when something falls short for a delivery group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Short {
    /// No channel was good enough.
    pub since: Option<UnixTime>,
    /// Each kind by itself.
    pub first_seen: FirstSeen,
}

impl Short {
    /// After one more attempt, which began at `now`.
    #[must_use]
    pub fn after<'a>(
        self,
        lack: Lack,
        seen: &Sighting,
        outcomes: impl IntoIterator<Item = &'a Outcome>,
        now: UnixTime,
    ) -> Self {
        let replied = |outcome: &Outcome| {
            matches!(
                outcome,
                Outcome::Deferred { cause: Cause::Reply { .. } }
                    | Outcome::Rejected { cause: Cause::Reply { .. } }
                    | Outcome::Accepted { .. }
            )
        };
        // A host that answered the mail itself had a good channel.
        if seen.good && outcomes.into_iter().any(replied) {
            return Self::default();
        }
        let (refused, denied) = (seen.refused.is_some(), lack == Lack::Destination);
        let first = |before: Option<UnixTime>, seen: bool| before.or(seen.then_some(now));
        Self {
            since: first(self.since, refused || lack == Lack::Channel),
            first_seen: FirstSeen {
                refused: first(self.first_seen.refused, refused),
                denied: first(self.first_seen.denied, denied),
            },
        }
    }
}

impl Sighting {
    /// The outcome for one recipient in the light of the other hosts. A host that could not be
    /// asked keeps the matter open as long as patience lasts (RFC 5321 §4.5.4.1), and hides nothing:
    /// both reasons are told. Then it is the channel that stands in the way.
    #[must_use]
    pub fn weigh(&self, outcome: Outcome, lack: Lack, patience: Patience) -> Outcome {
        let silent = match &outcome {
            Outcome::Deferred { cause: Cause::Connection(words) | Cause::Protocol(words) }
            | Outcome::Disconnected { detail: words } => words.clone(),
            // Before the channel was judged anybody can have said it.
            Outcome::Deferred { cause: Cause::Reply { command, reply } } if !self.good => {
                format!("{command}: {reply}")
            }
            Outcome::Deferred { .. }
            | Outcome::Rejected { .. }
            | Outcome::Accepted { .. }
            | Outcome::Unknown { .. } => return outcome,
        };
        let both = match &self.refused {
            Some(refused) if refused.contains(&silent) => refused.clone(),
            Some(refused) => format!("{refused}; {silent}"),
            None => silent,
        };
        match (patience, &outcome) {
            (Patience::Over, _) if self.refused.is_some() || lack == Lack::Channel => {
                Outcome::Deferred { cause: Cause::Channel(both) }
            }
            (_, Outcome::Deferred { cause: Cause::Connection(_) }) => {
                Outcome::Deferred { cause: Cause::Connection(both) }
            }
            (Patience::Lasts | Patience::Over, _) => outcome,
        }
    }
}
