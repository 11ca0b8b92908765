//! What somebody was told, so that they are told once; and so that the last that they hear of an attack
//! which comes and goes is not that it is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::change::{Change, Class, Event, Kind, Open, Weight},
    time::UnixTime,
};

/// Changes that are remembered: more than are watched of one domain, each 64 of what changed, of what stands and
/// of what is not seen. What is forgotten while it lasts would be told with each look.
const MOST: usize = 256;

/// What was told of one domain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Told(Vec<Announced>);

/// What somebody was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Announced {
    kind: Kind,
    subject: String,
    class: Class,
    at: UnixTime,
    over: Option<UnixTime>,
    #[serde(default)]
    times: Times,
    /// It is over, and nobody heard of that yet.
    #[serde(default)]
    unsaid: Option<Change>,
}

/// Whether it is the first time within `repeat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Times {
    #[default]
    Once,
    /// It was told to be over, came back, and that was told. Whoever does that again and again is not told
    /// of each time; but neither that it is over, before it was for that long.
    Again,
}

/// What has to be told now.
pub(super) struct News {
    /// What is raised and was not told, or became worse, or came back.
    pub(super) raised: Vec<Change>,
    /// What is over.
    pub(super) cleared: Vec<Change>,
}

impl Told {
    /// Takes in what is open after a look, and what ended with it.
    pub(super) fn news<'a>(
        &mut self,
        open: impl Iterator<Item = &'a Open>,
        events: &[Event],
        repeat: Duration,
        now: UnixTime,
    ) -> News {
        let mut news = News { raised: Vec::new(), cleared: Vec::new() };
        for open in open.filter(|open| open.raised && open.gone == 0) {
            if self.raise(&open.change, repeat, now) {
                news.raised.push(open.change.clone());
            }
        }
        for event in events {
            let Event::Cleared(change) = event else { continue };
            let told = self.0.iter_mut().find(|one| one.is(change) && one.over.is_none());
            if let Some(told) = told {
                told.unsaid = Some(change.clone());
            }
        }
        for told in &mut self.0 {
            let may = told.times == Times::Once || told.at.has_lapsed(repeat, now);
            if may && let Some(change) = told.unsaid.take() {
                told.over = Some(now);
                news.cleared.push(change);
            }
        }
        self.0.retain(|one| one.over.is_none_or(|_| !one.at.has_lapsed(repeat, now)));
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
        news
    }

    /// Whether it is news that this is so.
    fn raise(&mut self, change: &Change, repeat: Duration, now: UnixTime) -> bool {
        let told = |times| Announced {
            kind: change.kind,
            subject: change.subject.clone(),
            class: change.class,
            at: now,
            over: None,
            times,
            unsaid: None,
        };
        let Some(before) = self.0.iter_mut().find(|one| one.is(change)) else {
            self.0.push(told(Times::Once));
            return true;
        };
        let is_over = before.over.is_some();
        let grave = change.class == Class::LikelyAttack || change.weight == Weight::Conclusive;
        if change.class > before.class || (is_over && before.at.has_lapsed(repeat, now)) {
            *before = told(Times::Once);
            true
        } else if is_over && grave && before.times == Times::Once {
            *before = told(Times::Again);
            true
        } else {
            before.unsaid = None;
            false
        }
    }

    /// Things are as they are: what comes back later is news again, but for what stands by itself.
    pub(super) fn usual<'a>(&mut self, standing: impl Iterator<Item = &'a Open>, now: UnixTime) {
        let standing: Vec<&Open> = standing.collect();
        for one in &mut self.0 {
            if standing.iter().all(|open| !one.is(&open.change)) {
                one.over = one.over.or(Some(now));
                one.unsaid = None;
            }
        }
    }
}

impl Announced {
    fn is(&self, change: &Change) -> bool {
        (self.kind, &self.subject) == (change.kind, &change.subject)
    }
}
