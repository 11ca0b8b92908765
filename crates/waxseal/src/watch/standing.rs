//! What is told of an own domain though nothing changed: what was broken when it was looked at
//! first (that look is the one later ones are compared with, so that nobody would ever hear of it),
//! what ends soon, and mail hosts that we did not name.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{
        Assessment, Delivery, Finding, Id, Severity, Survey,
        change::{Certainty, Change, Class, Event, Kind, Open, Watch, Weight},
    },
    time::UnixTime,
};

use super::expiry::endings;

/// Faults of the first look that are remembered.
const MOST: usize = 24;
/// Characters of a text that may come from the domain.
const LONGEST: usize = 300;
/// What an own domain was before the first look.
const BEFORE: &str = "not looked at before";

/// What stands at an own domain, and who was told of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    watch: Watch,
    /// When a look first told whether mail is delivered. Until then the first looks go on.
    known_since: Option<UnixTime>,
    /// What was broken then, and is.
    found: Vec<Fault>,
}

/// One fault, without its words, which change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fault {
    /// `None`: mail is refused, and no finding says why.
    id: Option<Id>,
    subject: String,
}

impl Standing {
    /// What somebody was alarmed of and what may come to that.
    pub(super) fn open(&self) -> &[Open] {
        &self.watch.open
    }

    /// Whether the next look should come soon, because it confirms or refutes something.
    pub(super) fn is_pending(&self) -> bool {
        let soon = |open: &Open| open.change.kind != Kind::Expiry;
        self.watch.open.iter().any(|open| !open.raised && open.seen > 0 && soon(open))
    }

    /// What is broken follows from changes that somebody was told of.
    pub(super) fn explained(&mut self, now: UnixTime) {
        self.known_since.get_or_insert(now);
    }

    /// Takes in a look, and the mail hosts that it shows and we did not name.
    pub(super) fn observe(
        &mut self,
        (survey, assessment): (&Survey, &Assessment),
        strangers: Vec<Change>,
        certainty: Certainty,
    ) -> Vec<Event> {
        let now = assessment.checked_at;
        let broken = broken(assessment);
        if self.known_since.is_none() {
            self.found = broken.iter().map(|(fault, _)| fault.clone()).collect();
            self.known_since = (assessment.delivery != Delivery::Unknown).then_some(now);
        }
        let standing = broken.into_iter().filter(|(fault, _)| self.found.contains(fault));
        let mut changes: Vec<Change> = standing.map(|(_, change)| change).collect();
        let endings = endings(survey, assessment);
        changes.extend(strangers.into_iter().map(|change| self.no_better(change)));
        let mut ending = self.watch.open.iter().filter(|open| open.change.kind != Kind::Found);
        let certainty = match ending.all(|open| endings.ends(&open.change)) {
            true => certainty,
            false => Certainty::NotSeen,
        };
        // Worst first, where there is not room for all.
        changes.extend(endings.changes);
        changes.sort_by_key(|change| Reverse(change.class));
        let events = self.watch.observe(&changes, certainty, now);
        if self.known_since.is_some() {
            // What is over and comes back is a change.
            let open = &self.watch.open;
            self.found.retain(|fault| open.iter().any(|open| open.change.subject == fault.name()));
        }
        events
    }
}

impl Standing {
    /// A host that was called an attacker's stays one, also when the looks that later ones are compared
    /// with have it.
    fn no_better(&self, change: Change) -> Change {
        let same = |open: &&Open| {
            (open.change.kind, &open.change.subject) == (change.kind, &change.subject)
        };
        match self.watch.open.iter().find(same) {
            Some(open) if open.change.class > change.class => open.change.clone(),
            Some(_) | None => change,
        }
    }
}

impl Fault {
    fn name(&self) -> String {
        match self.id {
            Some(id) => plain(&format!("{} {id}", self.subject)),
            None => plain(&self.subject),
        }
    }

    fn change(&self, after: &str, because: &str) -> Change {
        Change {
            kind: Kind::Found,
            subject: self.name(),
            before: BEFORE.into(),
            after: plain(after),
            class: Class::Weakening,
            because: plain(because),
            weight: Weight::Ordinary,
        }
    }
}

/// What is broken at a domain, once for each name.
fn broken(assessment: &Assessment) -> Vec<(Fault, Change)> {
    let mut all: Vec<(Fault, Change)> = Vec::new();
    for finding in assessment.findings.iter().filter(|one| is_told(one)) {
        let Finding { id, subject, evidence, fix, .. } = finding;
        let fault = Fault { id: Some(*id), subject: subject.clone() };
        if all.len() < MOST && all.iter().all(|(other, _)| other.name() != fault.name()) {
            let change = fault.change(evidence, fix);
            all.push((fault, change));
        }
    }
    if all.is_empty() && assessment.delivery == Delivery::Refuses {
        let fault = Fault { id: None, subject: assessment.domain.to_string() };
        let change = fault.change("no mail would go there", &assessment.headline);
        all.push((fault, change));
    }
    all
}

/// What ends is told by itself.
fn is_told(finding: &Finding) -> bool {
    let ends = matches!(finding.id, Id::CertExpires | Id::RrsigExpires);
    finding.severity == Severity::Error && !ends
}

/// A text that may come from outside, harmless and of a bounded length.
fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}
