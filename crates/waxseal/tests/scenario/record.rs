//! The record of a scenario's attempt: made as the gateway makes it, kept in a real store, read back.

use bytes::Bytes;
use waxseal::{
    queue::{Fate, Turn},
    record::{self, Basis, Done},
    secrets::StoreKeys,
    store::{Access, EventQuery, Group, Head, Settings, Store},
};
use waxseal_core::{
    decide::{History, Plan, Route, Verdict, settle},
    envelope::{Direction, Envelope},
    evidence::{Evidence, Network, replay},
    facts::Facts,
    memory::Memory,
    org::{Schedule, Terms},
    queue_id::QueueId,
    time::UnixTime,
};

use super::file;

/// A store for all scenarios.
pub(super) fn store(folder: &tempfile::TempDir) -> Store {
    let settings = Settings { reserve: 64 << 10, ..Settings::new(folder.path()) };
    Store::open(settings, StoreKeys::random().unwrap(), Access::Serve).unwrap()
}

/// One attempt.
pub(super) struct Attempt<'a> {
    pub(super) number: u64,
    pub(super) envelope: Envelope,
    pub(super) verdict: Verdict,
    pub(super) facts: &'a Facts,
    pub(super) plan: &'a Plan,
    pub(super) delivery: &'a waxseal::deliver::Delivery,
    pub(super) content: &'a str,
    pub(super) now: UnixTime,
}

impl Attempt<'_> {
    /// Records it, and answers what the store has of it then.
    pub(super) async fn kept(&self, store: &Store) -> (Evidence, String) {
        let id = QueueId::new(self.number).unwrap();
        let turn = self.turn(id);
        let last = self.plan.routes.last().unwrap();
        let fate = |(recipient, outcome): (&_, &_)| {
            let history = &turn.group.history;
            let settled = settle(outcome, last, history, &Schedule::default(), self.now);
            Fate {
                recipient: Clone::clone(recipient),
                outcome: Clone::clone(outcome),
                settled,
                remote: None,
            }
        };
        let outcomes = &self.delivery.outcomes;
        let fates: Vec<Fate> = turn.group.recipients.iter().zip(outcomes).map(fate).collect();
        let basis = Basis {
            gateway: "gw.sender.example",
            config: None,
            network: Network::Mapped,
            terms: &Terms::default(),
            facts: self.facts,
            memory: &Memory::default(),
            seed: 0,
        };
        let done = Done { plan: self.plan, delivery: self.delivery, fates: &fates };
        let recorded = record::record(&turn, &basis, done, [7; 32]).unwrap();
        store.append(vec![recorded.event]).await.unwrap();
        let query = EventQuery { message: Some(id), limit: 2, ..EventQuery::default() };
        let events = store.events(query).await.unwrap();
        assert_eq!(events.len(), 1);
        let body = &events[0].event.body;
        let evidence = Evidence::read(body).unwrap();
        replay(&evidence).unwrap();
        (evidence, String::from_utf8(body.clone()).unwrap())
    }

    fn turn(&self, message: QueueId) -> Turn {
        let size = u64::try_from(self.content.len()).unwrap();
        let recipients = self.envelope.recipients.clone();
        Turn {
            message,
            head: Head {
                arrived: self.now,
                size,
                envelope: self.envelope.clone(),
                direction: Direction::Outbound,
            },
            group: Group::new(
                self.facts.destination.clone(),
                recipients,
                self.verdict.clone(),
                History { queued: self.now, attempts: 1, ..History::default() },
            ),
            content: Bytes::from(self.content.to_owned()),
            attempt: 1,
            now: self.now,
        }
    }
}

/// What a scenario can say of it.
pub(super) fn summary(evidence: &Evidence) -> file::Evidence {
    let plan = &evidence.decided.as_ref().expect("an attempt that was decided").plan;
    let hosts = plan.routes.iter().filter_map(|route| {
        let Route::Host(host) = route else { return None };
        Some(&host.because)
    });
    let mut because: Vec<String> = Vec::new();
    for reason in plan.because.iter().chain(hosts.flatten()) {
        if !because.iter().any(|known| *known == reason.rfc) {
            because.push(reason.rfc.to_string());
        }
    }
    let why_not_higher = plan.why_not_higher.clone();
    file::Evidence { level: evidence.level, why_not_higher, because }
}
