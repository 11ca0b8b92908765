//! Alarms with hysteresis: a change has to be seen several times in a row, and to be gone several
//! times in a row.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Change, Class, Weight};
use crate::time::UnixTime;

/// Looks in a row without a change before its alarm ends.
const CLEAR_AFTER: u32 = 2;

/// The most changes that are watched for one domain: a hostile domain can bring about any number.
const MOST: usize = 64;

/// The alarms of one domain; kept in the store between looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Changes that are seen, or were seen a moment ago.
    pub open: Vec<Open>,
}

/// One change that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// As it was seen last.
    pub change: Change,
    /// When it was seen first.
    pub since: UnixTime,
    /// Looks in a row that showed it.
    pub seen: u32,
    /// Looks in a row that did not.
    pub gone: u32,
    /// Whether somebody was alarmed.
    pub raised: bool,
}

/// Whether a look saw enough to say that something is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It did.
    Seen,
    /// It saw what DNS shows ([`super::Kind::is_in_dns`]), and nothing beyond: only that can be gone.
    DnsAlone,
    /// It did not: nothing ends because of it.
    NotSeen,
}

/// What an alarm does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Somebody should look.
    Raised(Change),
    /// It is over.
    Cleared(Change),
}

impl Watch {
    /// Takes in one look: the changes from the *same* earlier look that held before any of them.
    /// A change that becomes worse (a weakening that turns out a likely attack) is judged by what
    /// it is now.
    pub fn observe(
        &mut self,
        changes: &[Change],
        certainty: Certainty,
        now: UnixTime,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut counted = HashSet::new();
        for change in changes.iter().filter(|change| change.looks_needed().is_some()) {
            // One look counts once, however often it says the same.
            if !counted.insert((change.kind, &change.subject)) {
                continue;
            }
            if let Some(open) = self.open.iter_mut().find(|open| is_same(&open.change, change)) {
                open.change = change.clone();
                open.seen = open.seen.saturating_add(1);
                open.gone = 0;
            } else if self.make_room(change) {
                let change = change.clone();
                self.open.push(Open { change, since: now, seen: 1, gone: 0, raised: false });
            }
        }
        for open in &mut self.open {
            let here = changes
                .iter()
                .any(|change| change.looks_needed().is_some() && is_same(&open.change, change));
            let gone = match certainty {
                Certainty::Seen => !here,
                Certainty::DnsAlone => !here && open.change.kind.is_in_dns(),
                Certainty::NotSeen => false,
            };
            if gone {
                open.gone = open.gone.saturating_add(1);
                open.seen = 0;
            }
            let enough = open.change.looks_needed().is_some_and(|needed| open.seen >= needed);
            if enough && !open.raised {
                open.raised = true;
                events.push(Event::Raised(open.change.clone()));
            }
            if open.gone >= CLEAR_AFTER && open.raised {
                events.push(Event::Cleared(open.change.clone()));
            }
        }
        // What was never raised goes with the first look that does not show it.
        self.open.retain(|open| open.gone == 0 || (open.raised && open.gone < CLEAR_AFTER));
        events
    }

    /// Whether one more fits, be it in the place of one that is less: of those the one of which nobody was
    /// told, and that was seen the fewest times. Whoever fills this with weakenings hides no attack.
    fn make_room(&mut self, change: &Change) -> bool {
        if self.open.len() < MOST {
            return true;
        }
        let weight = |change: &Change| (change.class, change.weight == Weight::Conclusive);
        let least = self
            .open
            .iter()
            .enumerate()
            .min_by_key(|(_, open)| (weight(&open.change), open.raised, open.seen))
            .filter(|(_, open)| weight(&open.change) < weight(change))
            .map(|(place, _)| place);
        least.map(|place| self.open.remove(place)).is_some()
    }

    /// The worst that was raised and is not over.
    pub fn worst(&self) -> Option<Class> {
        self.open.iter().filter(|open| open.raised).map(|open| open.change.class).max()
    }
}

fn is_same(one: &Change, other: &Change) -> bool {
    one.kind == other.kind && one.subject == other.subject
}
