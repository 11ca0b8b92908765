//! Whether the gateway itself can look. Where most domains cannot be seen at once, the fault is its own
//! resolver or way out: that is told once, with a count, and not of every domain.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::change::{Change, Class, Kind, Weight},
    domain::Domain,
    time::UnixTime,
};

use super::{Alert, Whose};
use crate::store::{Entry, Space, Store, StoreError};

/// Domains that are counted: those that were looked at last.
const NEWEST: usize = 8;
/// Fewer than these say little of the gateway, unless they go on unseen.
const FEW: usize = 3;
/// Looks in a row that see nothing before somebody is told, and that see something before it is over.
const ROW: u32 = 3;
/// A fault of our way that is over sooner is nobody's news.
const PASSING: Duration = Duration::from_secs(600);
/// A fault that goes on for so long is told, whatever is seen in between: whoever lets one domain through now
/// and then would keep it from being told, and with it what cannot be seen.
const LONG: Duration = Duration::from_hours(6);
/// A domain that was looked at longer ago says nothing of now. Partners have a day.
const OLD: Duration = Duration::from_hours(26);
/// No domain has this name.
const NAME: &str = "/outlook";

/// How the last looks went. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlook {
    view: Arc<Mutex<View>>,
    /// One at a time tells: looks end side by side.
    telling: Arc<tokio::sync::Mutex<()>>,
}

/// As it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct View {
    /// The last look at each of those that were looked at last.
    last: BTreeMap<Domain, Glimpse>,
    /// Whether it came to that nothing can be seen, and how much that was.
    #[serde(default)]
    blind: Option<Unseen>,
    /// What of that somebody was told, and is kept as told. Where it differs, they have to be.
    told: Option<Unseen>,
    /// Looks in a row that saw something.
    clear: u32,
    /// Since when most of them cannot be seen.
    since: Option<UnixTime>,
    /// Looks in a row that saw nothing, well after that.
    late: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Glimpse {
    at: UnixTime,
    /// Looks in a row that did not see the domain.
    unseen: u32,
    /// Since when each look did.
    #[serde(default)]
    seen: Option<UnixTime>,
}

/// How many domains could not be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unseen {
    pub(super) count: usize,
    pub(super) of: usize,
}

/// Whether what a look does not see says anything of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// Other domains can be seen.
    Clear,
    /// Most others cannot be seen either.
    Blind,
}

/// What somebody has to be told of the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Begins(Unseen),
    Ends(Unseen),
}

/// Whether one look saw its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeing {
    /// It did.
    Seen,
    /// It did not.
    Unseen,
}

impl Outlook {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known when we stopped.
    pub(super) async fn load(&self, store: &Store, now: UnixTime) -> Result<(), StoreError> {
        let known = store.load(Space::Check, NAME, now).await?;
        if let Some(view) = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            *self.view() = view;
        }
        Ok(())
    }

    /// Has `put` tell what nobody was told yet, and keeps that it was told, so that a restart tells
    /// nothing twice; answers what that was. Where either fails it is still to be told: rather twice
    /// than never.
    pub(super) async fn tell(
        &self,
        store: &Store,
        put: impl AsyncFnOnce(Turn) -> Result<(), StoreError>,
    ) -> Result<Option<Turn>, StoreError> {
        let _telling = self.telling.lock().await;
        let Some((turn, after)) = self.view().owed() else { return Ok(None) };
        put(turn).await?;
        let value = serde_json::to_vec(&after)?;
        store.save(Space::Check, Entry { name: NAME.into(), value, expires: None }).await?;
        // Only this: meanwhile others may have looked.
        self.view().told = after.told;
        Ok(Some(turn))
    }

    /// Whether other domains can be seen, by the last looks.
    pub(super) fn vantage(&self) -> Vantage {
        self.view().vantage()
    }

    /// Takes in how one look went, before anything is made of it. Whether that is to be told, see
    /// [`Self::tell`].
    pub(super) fn take(
        &self,
        domain: &Domain,
        seeing: Seeing,
        now: UnixTime,
    ) -> (Vantage, Option<Turn>) {
        self.view().take(domain, seeing, now)
    }
}

impl View {
    fn take(&mut self, domain: &Domain, seeing: Seeing, now: UnixTime) -> (Vantage, Option<Turn>) {
        let before = self.last.get(domain);
        let (unseen, seen) = match seeing {
            Seeing::Seen => (0, before.and_then(|glimpse| glimpse.seen).or(Some(now))),
            Seeing::Unseen => (before.map_or(1, |glimpse| glimpse.unseen.saturating_add(1)), None),
        };
        // One that was seen all the while, such as our own host in the next room, says nothing of the way
        // to the others, however often it is looked at.
        let meanwhile = |since| before.is_some_and(|before| before.at >= since);
        let steady =
            seen.zip(self.since).is_some_and(|(seen, since)| seen < since && meanwhile(since));
        if !steady {
            self.clear = if unseen == 0 { self.clear.saturating_add(1) } else { 0 };
        }
        self.last.insert(domain.clone(), Glimpse { at: now, unseen, seen });
        self.last.retain(|_, glimpse| !glimpse.at.has_lapsed(OLD, now));
        while self.last.len() > NEWEST {
            let oldest = self.last.iter().min_by_key(|(_, glimpse)| glimpse.at);
            let Some(oldest) = oldest.map(|(domain, _)| domain.clone()) else { break };
            self.last.remove(&oldest);
        }
        let most = self.most_unseen();
        self.since = most.and(self.since.filter(|since| *since <= now).or(Some(now)));
        let lasts = self.since.is_some_and(|since| now.since(since) >= PASSING);
        let goes_on = self.since.is_some_and(|since| now.since(since) >= LONG);
        self.late = match (lasts, unseen) {
            (true, 0) if steady => self.late,
            (true, 0) | (false, _) => 0,
            (true, _) => self.late.saturating_add(1),
        };
        // One that cannot be seen from here does not keep it open while all others are seen.
        let (count, of) = self.counts();
        let half = unseen == 0 && of > 1 && count.saturating_mul(2) <= of;
        let turn = match (self.blind, most) {
            (Some(blind), _) if half || self.clear >= ROW => {
                // What was not seen before says nothing of what comes.
                self.last.retain(|_, glimpse| glimpse.unseen == 0);
                (self.blind, self.since) = (None, None);
                Some(Turn::Ends(blind))
            }
            (None, Some(unseen)) if self.late >= ROW || goes_on || unseen.of < FEW => {
                self.blind = Some(unseen);
                Some(Turn::Begins(unseen))
            }
            (Some(_), _) | (None, Some(_) | None) => None,
        };
        (self.vantage(), turn)
    }

    const fn vantage(&self) -> Vantage {
        let blind = self.blind.is_some() || self.since.is_some();
        if blind { Vantage::Blind } else { Vantage::Clear }
    }

    /// What nobody was told yet, and what is kept once they were. What began and ended unheard of is
    /// nobody's news.
    fn owed(&self) -> Option<(Turn, Self)> {
        let turn = match (self.told, self.blind) {
            (None, Some(unseen)) => Turn::Begins(unseen),
            (Some(unseen), None) => Turn::Ends(unseen),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        Some((turn, Self { told: self.blind, ..self.clone() }))
    }

    /// Those that cannot be seen, and all.
    fn counts(&self) -> (usize, usize) {
        let unseen = self.last.values().filter(|glimpse| glimpse.unseen > 0);
        (unseen.count(), self.last.len())
    }

    /// How many cannot be seen, where that is most of them: all, or six of eight.
    fn most_unseen(&self) -> Option<Unseen> {
        let (count, of) = self.counts();
        let most = if of < FEW {
            of > 0 && self.last.values().all(|glimpse| glimpse.unseen >= ROW)
        } else {
            count.saturating_mul(4) >= of.saturating_mul(3)
        };
        most.then_some(Unseen { count, of })
    }
}

/// What is told of the gateway.
pub(super) fn alert(gateway: &Domain, turn: Turn, now: UnixTime) -> Alert {
    let (headline, unseen) = match turn {
        Turn::Begins(unseen) => ("The gateway cannot look at other domains.", unseen),
        Turn::Ends(unseen) => ("The gateway can look at other domains again.", unseen),
    };
    let change = Change {
        kind: Kind::View,
        subject: gateway.to_string(),
        before: "domains can be seen".into(),
        after: format!("{} of the last {} domains cannot be seen", unseen.count, unseen.of),
        class: Class::Weakening,
        because:
            "look at its resolver and at its way out (ports 25, 443 and 853), or at what these \
                  domains have in common; until then nothing is told of a domain because it cannot \
                  be seen"
                .into(),
        weight: Weight::Conclusive,
    };
    let (raised, cleared) = match turn {
        Turn::Begins(_) => (vec![change], Vec::new()),
        Turn::Ends(_) => (Vec::new(), vec![change]),
    };
    Alert {
        domain: gateway.clone(),
        whose: Whose::Own,
        at: now,
        level: None,
        headline: headline.into(),
        raised,
        cleared,
    }
}

#[cfg(test)]
mod tests;
