//! The stages of the one path (DESIGN §3), put together from their parts. Each stage takes what
//! the one before it yielded; none of them decides what another one has to.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use mail_parser::{HeaderValue, MessageParser};
use serde_json::json;
use waxseal_core::{
    channel::Floor,
    decide::{DelayNotice, MessageView, Plan, Settled, plan, verdict},
    dns::{FailureKind, LookupFailure},
    domain::Domain,
    evidence::Network,
    facts::{Facts, MxFact},
    memory::Memory,
    org::{Schedule, Terms, Told},
    outcome::{Cause, Outcome},
    reply::EnhancedCode,
    time::UnixTime,
};

use super::parts::{Live, Parts};
use crate::{
    author::{Action, Fate as Fated, Letter, Report, quote},
    deliver::{Delivery, Intent, IntentLost, Job},
    gather::Gathered,
    metrics,
    queue::{Done, Fate, Judged, Path, Promise, Turn},
    record::{self, Basis, Stored},
    store::{Actor, Entry, Event, EventKind, Head, NewMessage, Space, Store, StoreError},
    watch::Partners,
};

/// Memory is confirmed again after this time: not every delivery writes.
const CONFIRM: std::time::Duration = std::time::Duration::from_hours(24);
/// Header fields that rules may look at, and octets of each.
const FIELDS: usize = 500;
const FIELD: usize = 8 * 1024;

/// The path of `serve`.
#[derive(Clone, Debug)]
pub(super) struct Stages {
    pub(super) live: Live,
    pub(super) store: Store,
    pub(super) stored: Arc<Stored>,
    pub(super) partners: Partners,
}

/// What was observed for one turn, and the parts that all its stages use.
pub(super) struct Observed {
    parts: Arc<Parts>,
    gathered: Gathered,
    memory: Memory,
    terms: Terms,
    seed: u64,
}

impl Observed {
    /// What a decision follows from.
    fn basis(&self) -> Basis<'_> {
        let mapped = !self.parts.config.network.is_empty();
        Basis {
            gateway: self.parts.hostname.as_str(),
            config: self.parts.digest,
            network: if mapped { Network::Mapped } else { Network::Real },
            terms: &self.terms,
            facts: &self.gathered.facts,
            memory: &self.memory,
            seed: self.seed,
        }
    }
}

impl Path for Stages {
    type Facts = Observed;
    type Delivery = Delivery;

    fn schedule(&self) -> Arc<Schedule> {
        Arc::new(self.live.now().org.schedule.clone())
    }

    fn judge(&self, head: &Head, content: &[u8], now: UnixTime) -> Judged {
        let parts = self.live.now();
        let headers = headers(content);
        let view = MessageView { reverse_path: &head.envelope.reverse_path, headers: &headers };
        let judge = |recipient| verdict(&parts.org, &view, recipient, now);
        Judged {
            origin: view.origin(),
            verdicts: head.envelope.recipients.iter().map(judge).collect(),
        }
    }

    async fn gather(&self, turn: &Turn) -> Observed {
        let parts = self.live.now();
        let destination = &turn.group.destination;
        let way = parts.routes.to(destination);
        let target = way.map(|way| &way.target);
        let gathered = parts.gatherer.gather(destination, target, turn.now).await;
        let mut gathered = gathered;
        let memory = match way {
            // What the destination's own hosts achieved says nothing of a host that we name.
            Some(_) => Memory::default(),
            None => self.memory(destination, turn.now).await.unwrap_or_else(|error| {
                tracing::error!("downgrade memory cannot be read, mail waits: {error}");
                gathered.facts = Arc::new(unreadable(&gathered.facts));
                Memory::default()
            }),
        };
        for alarm in memory.alarms(&gathered.facts, turn.now) {
            metrics::downgrade();
            tracing::warn!(message = %turn.message, "{alarm}");
        }
        let agreement = way.map(|way| way.agreement.clone());
        let terms = Terms { trust: parts.org.trust, agreement };
        Observed { parts, gathered, memory, terms, seed: seed(turn) }
    }

    async fn plan(&self, turn: &Turn, facts: &Observed) -> Plan {
        let ask = record::ask(turn);
        plan(&facts.basis().case(turn, &ask), facts.seed, turn.now)
    }

    async fn deliver(
        &self,
        turn: &Turn,
        (observed, plan): (&Observed, &Plan),
        promise: &Promise,
    ) -> (Vec<Outcome>, Delivery) {
        let parts = &observed.parts;
        let envelope = &turn.head.envelope;
        let job = Job {
            plan,
            reverse_path: &envelope.reverse_path,
            way: parts.routes.to(&turn.group.destination).and_then(|way| way.route),
            recipients: &turn.group.recipients,
            ask: record::ask(turn),
            ret: envelope.ret,
            envelope_id: envelope.envelope_id.as_deref(),
            content: &turn.content,
            now: turn.now,
        };
        let delivery = parts.deliverer.deliver(job, &Kept(promise)).await;
        let seen = delivery.tries.iter().filter_map(|tried| tried.seen.as_deref());
        seen.for_each(|seen| parts.surveyor.delivered(seen));
        let outcomes = delivery.outcomes.clone();
        let level = carried(&delivery).and_then(|tried| tried.level());
        outcomes.iter().for_each(|outcome| metrics::attempt(level, outcome));
        let refused = |outcome: &Outcome| {
            matches!(
                outcome,
                Outcome::Deferred { cause: Cause::Channel(_) }
                    | Outcome::Rejected { cause: Cause::Channel(_) }
            )
        };
        if outcomes.iter().any(refused) {
            // Nothing is returned before the policy was looked at anew (RFC 8461 §5).
            parts.gatherer.forget(&turn.group.destination);
        }
        (outcomes, delivery)
    }

    async fn record(&self, turn: &Turn, done: Done<'_, Observed, Delivery>) -> Vec<Event> {
        self.confirm(turn, &done).await;
        let happened = record::Done { plan: done.plan, delivery: done.delivery, fates: done.fates };
        let mut secret = [0; 32];
        let filled = aws_lc_rs::rand::fill(&mut secret);
        let basis = done.facts.basis();
        let recorded = match record::record(turn, &basis, happened, secret) {
            Ok(recorded) if filled.is_ok() => recorded,
            Ok(_) => {
                tracing::error!(message = %turn.message, "no evidence: there is no randomness");
                return Vec::new();
            }
            Err(error) => {
                tracing::error!(message = %turn.message, "no evidence: {error}");
                return Vec::new();
            }
        };
        for (id, bytes) in done.facts.gathered.blobs.iter().chain(&recorded.blobs) {
            if self.stored.has(id) {
                continue;
            }
            match self.store.put_blob(Arc::clone(bytes)).await {
                Ok(_) => self.stored.add(*id),
                Err(error) => tracing::error!("a proof could not be kept: {error}"),
            }
        }
        vec![recorded.event]
    }

    fn lost(&self, turn: &Turn, fates: &[Fate]) -> Vec<Event> {
        let outcomes: Vec<_> = fates.iter().map(|fate| &fate.outcome).collect();
        let body = json!({
            "destination": turn.group.destination,
            "attempt": turn.attempt,
            "interrupted": true,
            "outcomes": outcomes,
        });
        vec![delivery_event(turn, &body)]
    }

    fn letters(&self, turn: &Turn, fates: &[Fate]) -> Vec<NewMessage> {
        let parts = self.live.now();
        let mut letters: Vec<Letter> = Vec::new();
        letters.extend(report(&parts, turn, fates));
        letters.extend(notices(&parts, turn, fates));
        let message = |letter: Letter| NewMessage {
            arrived: turn.now,
            envelope: letter.envelope,
            content: Bytes::from(letter.message),
        };
        letters.into_iter().map(message).collect()
    }
}

impl Stages {
    /// What is remembered of a destination.
    async fn memory(&self, destination: &Domain, now: UnixTime) -> Result<Memory, StoreError> {
        let known = self.store.load(Space::Memory, destination.as_str(), now).await?;
        let read = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).map_err(|_| StoreError::Damaged("downgrade memory"))
        };
        known.map_or_else(|| Ok(Memory::default()), read)
    }

    /// Remembers what was achieved, where it says something new.
    async fn confirm(&self, turn: &Turn, done: &Done<'_, Observed, Delivery>) {
        let destination = &turn.group.destination;
        if done.facts.parts.routes.to(destination).is_some() {
            return;
        }
        let known = &done.facts.memory;
        let mut memory = known.refresh(&done.facts.gathered.facts, turn.now);
        let accepted =
            done.fates.iter().any(|fate| matches!(fate.outcome, Outcome::Accepted { .. }));
        if accepted
            && let Some(tried) = carried(done.delivery)
            && let Some(level) = tried.level()
        {
            memory = memory.confirm(level, &tried.peer, turn.now);
        }
        if accepted {
            self.partners.used(destination);
        }
        let stale = |one: &Memory, other: &Memory| match (&one.best, &other.best) {
            (Some(one), Some(other)) => {
                one.level != other.level
                    || one.host != other.host
                    || one.confirmed.since(other.confirmed) > CONFIRM
            }
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !stale(&memory, known) {
            return;
        }
        let Ok(value) = serde_json::to_vec(&memory) else { return };
        let term = std::time::Duration::from_hours(31 * 24);
        let name = destination.as_str().to_owned();
        let entry = Entry { name, value, expires: Some(turn.now + term) };
        if let Err(error) = self.store.save(Space::Memory, entry).await {
            tracing::error!("downgrade memory cannot be written: {error}");
        }
    }
}

/// Facts that let mail wait: failing to find out what was achieved before never yields a weaker
/// channel than that (promise P1).
fn unreadable(facts: &Facts) -> Facts {
    let failure = LookupFailure {
        name: (&facts.destination).into(),
        kind: FailureKind::Unreachable,
        detail: "our own downgrade memory cannot be read".to_owned(),
    };
    Facts { mx: MxFact::Failed(failure), hosts: Vec::new(), ..facts.clone() }
}

/// The try that carried the message, or else the last one.
fn carried(delivery: &Delivery) -> Option<&crate::deliver::Try> {
    let good = delivery.tries.iter().rev().find(|tried| tried.cause.is_none());
    good.or(delivery.tries.last())
}

/// The promise of the store, as the deliverer asks for it.
struct Kept<'a>(&'a Promise);

impl Intent for Kept<'_> {
    async fn before_final_dot(&self) -> Result<(), IntentLost> {
        self.0.keep().await.map_err(|error| IntentLost(error.to_string()))
    }
}

/// Orders hosts of equal preference: another order for each message and attempt, and the same
/// one whenever the record is decided again.
fn seed(turn: &Turn) -> u64 {
    let mut hasher = DefaultHasher::new();
    turn.message.to_string().hash(&mut hasher);
    turn.attempt.hash(&mut hasher);
    hasher.finish()
}

/// Header fields for the rules: names in lower case, values decoded (RFC 2047), bounded.
pub(crate) fn headers(content: &[u8]) -> Vec<(String, String)> {
    let Some(parsed) = MessageParser::default().parse_headers(content) else { return Vec::new() };
    let value = |name: &str, value: &HeaderValue<'_>, raw: Option<&str>| {
        let text = match value {
            HeaderValue::Text(text) => text.to_string(),
            HeaderValue::TextList(list) => list.join(", "),
            HeaderValue::Address(_)
            | HeaderValue::DateTime(_)
            | HeaderValue::ContentType(_)
            | HeaderValue::Received(_)
            | HeaderValue::Empty => raw.unwrap_or_default().trim().to_owned(),
        };
        (name.to_ascii_lowercase(), text.chars().take(FIELD).collect())
    };
    let fields = parsed.headers().iter().take(FIELDS);
    fields
        .map(|field| {
            let raw = content.get(field.offset_start() as usize..field.offset_end() as usize);
            let raw = raw.and_then(|raw| std::str::from_utf8(raw).ok());
            value(field.name(), field.value(), raw)
        })
        .collect()
}

/// The record of an attempt that ended with the process.
fn delivery_event(turn: &Turn, body: &serde_json::Value) -> Event {
    Event {
        kind: EventKind::Delivery,
        version: 1,
        at: turn.now,
        actor: Actor::Gateway,
        config: None,
        message: Some(turn.message),
        body: body.to_string().into_bytes(),
        personal: None,
    }
}

/// What the sender is told of this turn, if anything.
fn report(parts: &Parts, turn: &Turn, fates: &[Fate]) -> Option<Letter> {
    let mut told = Vec::new();
    for fate in fates {
        let (action, code, reason) = match &fate.settled {
            Settled::Bounce { code, reason } => (Action::Failed, *code, reason),
            Settled::Retry { notice: DelayNotice::Due, code, reason, .. } => {
                let until = turn.group.history.queued + parts.org.schedule.lifetime;
                (Action::Delayed { until }, *code, reason)
            }
            Settled::Hold { until, code, reason, .. } if newly_held(turn) => {
                if !turn.group.verdict.notify.contains(&Told::Sender) {
                    continue;
                }
                (Action::Held { until: *until }, *code, reason)
            }
            Settled::Done
            | Settled::Retry { .. }
            | Settled::Hold { .. }
            | Settled::Drop { .. }
            | _ => continue,
        };
        told.push(Fated {
            recipient: &fate.recipient,
            action,
            code,
            reason: reason.clone(),
            remote: None,
            last_attempt: Some(turn.now),
        });
    }
    let envelope = &turn.head.envelope;
    let report = Report {
        envelope,
        message: &turn.content,
        quote: quote(envelope.tls, envelope.ret, demanded(turn)),
        received: turn.head.arrived,
        fates: told,
    };
    parts.author.report(&report, turn.now)
}

fn newly_held(turn: &Turn) -> bool {
    turn.group.history.held_since.is_none()
}

/// What the rules demanded, in monitor mode too: what is protected stays out of reports.
fn demanded(turn: &Turn) -> Floor {
    turn.group.verdict.suspended.unwrap_or(turn.group.verdict.floor)
}

/// What the postmaster and others are told: messages that ended without anybody to tell, and
/// holds that a rule wants them to know. By id: no address and no subject.
fn notices(parts: &Parts, turn: &Turn, fates: &[Fate]) -> Vec<Letter> {
    let mut letters = Vec::new();
    for fate in fates {
        let (subject, code, reason) = match &fate.settled {
            Settled::Drop { code, reason } => {
                metrics::dropped();
                ("A message could not be delivered, and nobody can be told", code, reason)
            }
            Settled::Hold { code, reason, .. }
                if newly_held(turn) && turn.group.verdict.notify.contains(&Told::Postmaster) =>
            {
                ("A message is held", code, reason)
            }
            Settled::Done
            | Settled::Retry { .. }
            | Settled::Hold { .. }
            | Settled::Bounce { .. }
            | _ => continue,
        };
        // A notice about a notice would never end.
        if is_to_postmaster(parts, fate) {
            tracing::error!(message = %turn.message, %code, "a notice to the postmaster was dropped");
            continue;
        }
        letters.push(parts.author.notice(subject, &notice(turn, *code, reason), turn.now));
        break;
    }
    letters
}

fn is_to_postmaster(parts: &Parts, fate: &Fate) -> bool {
    fate.recipient.mailbox == parts.author.postmaster
}

fn notice(turn: &Turn, code: EnhancedCode, reason: &str) -> String {
    let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!(
        "Message: {}\r\nDestination: {}\r\nRule: {}\r\nReason: {code} {reason}\r\n\r\n\
         waxseal queue show {}\r\nwaxseal evidence show {}\r\n",
        turn.message, turn.group.destination, turn.group.verdict.rule, turn.message, turn.message
    )
}
