//! The stages of the one path (DESIGN §3), put together from their parts. Each stage takes what
//! the one before it yielded; none of them decides what another one has to.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mail_parser::{HeaderValue, MessageParser};
use waxseal_core::{
    channel::Level,
    decide::{Lack, MessageView, Plan, Sighting, Verdict, inbound, plan, verdict},
    dns::{FailureKind, LookupFailure},
    domain::Domain,
    envelope::Direction,
    evidence::BlobId,
    facts::{Facts, MxFact, Peer},
    memory::Memory,
    org::{Schedule, Terms},
    outcome::{Cause, Outcome},
    smtp::header::fields,
    time::UnixTime,
};

use super::{
    letters,
    parts::{Live, Parts},
    strangers,
};
use crate::{
    author::Letter,
    deliver::{Aside, Delivery, Intent, IntentLost, Job, Try},
    gather::Gathered,
    metrics,
    queue::{Done, Fate, Judged, Path, Promise, Remote, Turn},
    record::{self, Basis, NotRecorded, Stored},
    store::{Event, Head, NewMessage, Revised, Space, Store, StoreError},
    watch::Partners,
};

/// Memory is confirmed again after this time: not every delivery writes.
const CONFIRM: Duration = Duration::from_hours(24);
/// Memory is kept for longer than it binds.
const REMEMBERED: Duration = Duration::from_hours(31 * 24);

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
    /// When we began to look.
    began: Instant,
}

impl Observed {
    /// What a decision follows from.
    fn basis(&self) -> Basis<'_> {
        Basis {
            gateway: self.parts.hostname.as_str(),
            config: self.parts.digest,
            network: self.parts.network(),
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
        let judge = |recipient| match head.direction {
            Direction::Outbound => verdict(&parts.org, &view, recipient, now),
            Direction::Inbound => inbound(&parts.org),
        };
        Judged {
            origin: view.origin(),
            verdicts: head.envelope.recipients.iter().map(judge).collect(),
        }
    }

    /// What the exception lowered holds again once it has ended, also for what waits: an exception
    /// is for a while, and mail may wait longer.
    fn reconsider(&self, turn: &Turn) -> Option<Verdict> {
        let parts = self.live.now();
        let old = &turn.group.verdict;
        let to = &turn.group.destination;
        if !old.is_by_exception() || parts.org.excepts(to, old.asked(), turn.now) {
            return None;
        }
        let judged = self.judge(&turn.head, &turn.content, turn.now);
        let everybody = turn.head.envelope.recipients.iter().zip(judged.verdicts);
        // The group stays one: the highest demand holds for all of it.
        let (_, new) = everybody
            .filter(|(recipient, _)| turn.group.recipients.contains(recipient))
            .max_by_key(|(_, verdict)| verdict.asked())?;
        Some(new.after_exception(old, to))
    }

    async fn gather(&self, turn: &Turn) -> Observed {
        let began = Instant::now();
        let parts = self.live.now();
        let destination = &turn.group.destination;
        let way = parts.routes.to(destination);
        let target = way.map(|way| &way.target);
        let mut gathered = parts.gatherer.gather(destination, target, turn.now).await;
        let memory = match way {
            // What the destination's own hosts achieved says nothing of a host that we name.
            Some(_) => Memory::default(),
            None => remembered(&self.store, destination, turn.now).await.unwrap_or_else(|error| {
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
        Observed { parts, gathered, memory, terms, seed: seed(turn), began }
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
        for (at, outcome) in outcomes.iter().enumerate() {
            if matches!(outcome, Outcome::Deferred { cause: Cause::Busy(_) }) {
                continue;
            }
            match turn.head.direction {
                Direction::Inbound => {
                    metrics::handed_inside(outcome);
                    continue;
                }
                Direction::Outbound => {
                    // Where nobody took it, the channel over which that was said.
                    let tried = delivery.carried(at).or_else(|| judged(&delivery));
                    metrics::attempt(tried.and_then(Try::level), outcome);
                }
            }
            if matches!(outcome, Outcome::Accepted { .. }) {
                let waited = turn.now.since(turn.head.arrived);
                metrics::delivered_after(waited + observed.began.elapsed());
            }
        }
        if plan.lack == Lack::Channel || delivery.sighting().refused.is_some() {
            // Nothing is returned before the policy was looked at anew (RFC 8461 §5).
            parts.gatherer.doubt(&turn.group.destination);
        }
        (outcomes, delivery)
    }

    fn was_tried(&self, delivery: &Delivery) -> bool {
        !delivery.tries.is_empty()
    }

    fn sighting(&self, delivery: &Delivery) -> Sighting {
        delivery.sighting()
    }

    fn remotes(&self, delivery: &Delivery) -> Vec<Option<Remote>> {
        delivery.remotes.clone()
    }

    async fn amend(&self, turn: &Turn, fates: &mut [Fate]) {
        let parts = self.live.now();
        letters::redact(&parts, turn, fates);
        strangers::spare(&parts, turn, fates).await;
    }

    async fn record(&self, turn: &Turn, done: Done<'_, Observed, Delivery>) -> Vec<Event> {
        self.confirm(turn, &done).await;
        let happened = record::Done { plan: done.plan, delivery: done.delivery, fates: done.fates };
        let basis = done.facts.basis();
        let made = secret().and_then(|secret| record::record(turn, &basis, happened, secret));
        let recorded = match made {
            Ok(recorded) => recorded,
            Err(why) => return vec![unrecorded(turn, basis.config, (done.fates, &why))],
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
        let parts = self.live.now();
        let who = (parts.hostname.as_str(), parts.digest, parts.network());
        let made = secret().and_then(|secret| record::interrupted(turn, who, fates, secret));
        vec![made.unwrap_or_else(|why| unrecorded(turn, parts.digest, (fates, &why)))]
    }

    fn letters(&self, turn: &Turn, fates: &[Fate]) -> Vec<NewMessage> {
        let letters = letters::letters(&self.live.now(), turn, fates);
        let message = |letter: Letter| NewMessage {
            arrived: turn.now,
            envelope: letter.envelope,
            content: Bytes::from(letter.message),
            direction: Direction::Outbound,
        };
        letters.into_iter().map(message).collect()
    }
}

impl Stages {
    /// Remembers what was achieved, where it says something new.
    async fn confirm(&self, turn: &Turn, done: &Done<'_, Observed, Delivery>) {
        let destination = &turn.group.destination;
        if done.facts.parts.routes.to(destination).is_some() {
            return;
        }
        let carrying = done.delivery.tries.iter().filter(|tried| !tried.accepted.is_empty());
        let achieved: Vec<(Level, Peer)> = carrying
            .inspect(|_| self.partners.used(destination))
            .filter_map(|tried| Some((tried.level()?, tried.peer.clone())))
            .collect();
        let facts = Arc::clone(&done.facts.gathered.facts);
        let now = turn.now;
        let after = move |known: &Memory| {
            let achieved = achieved.iter().map(|(level, host)| (*level, host));
            known.after(&facts, achieved, now)
        };
        let known = &done.facts.memory;
        if !says_more(&after(known), known) {
            return;
        }
        // From what is kept now: another delivery may have raised it since this one began, and it is
        // never lowered (promise P3).
        let name = (Space::Memory, destination.as_str());
        let written = self.store.revise(name, now, move |kept| raised(kept, &after, now)).await;
        if let Err(error) = written {
            tracing::error!("downgrade memory cannot be written: {error}");
        }
    }
}

/// What is kept in place of `kept`, and until when; `None` where that stays.
fn raised(
    kept: Option<&[u8]>,
    after: &impl Fn(&Memory) -> Memory,
    now: UnixTime,
) -> Result<Option<Revised>, StoreError> {
    let known = match kept {
        Some(bytes) => read_memory(bytes)?,
        None => Memory::default(),
    };
    let memory = after(&known);
    if !says_more(&memory, &known) {
        return Ok(None);
    }
    let value = serde_json::to_vec(&memory).map_err(|_| StoreError::Damaged("downgrade memory"))?;
    Ok(Some((value, Some(now + REMEMBERED))))
}

/// Whether it is worth writing down.
fn says_more(new: &Memory, old: &Memory) -> bool {
    match (&new.best, &old.best) {
        (Some(new), Some(old)) => {
            new.level != old.level
                || new.host != old.host
                || new.confirmed.since(old.confirmed) > CONFIRM
        }
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

fn read_memory(bytes: &[u8]) -> Result<Memory, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged("downgrade memory"))
}

/// What is remembered of a destination.
pub(crate) async fn remembered(
    store: &Store,
    destination: &Domain,
    now: UnixTime,
) -> Result<Memory, StoreError> {
    let known = store.load(Space::Memory, destination.as_str(), now).await?;
    known.map_or_else(|| Ok(Memory::default()), |bytes| read_memory(&bytes))
}

/// Facts that let mail wait: failing to find out what was achieved before never yields a weaker
/// channel than that (promise P1).
pub(crate) fn unreadable(facts: &Facts) -> Facts {
    let failure = LookupFailure {
        name: (&facts.destination).into(),
        kind: FailureKind::Unreachable,
        detail: "our own downgrade memory cannot be read".to_owned(),
    };
    Facts { mx: MxFact::Failed(failure), hosts: Vec::new(), ..facts.clone() }
}

/// The last try whose channel was good enough, or else the last one.
fn judged(delivery: &Delivery) -> Option<&Try> {
    let good = delivery.tries.iter().rev().find(|tried| tried.cause.is_none());
    good.or(delivery.tries.last())
}

/// The promise of the store, as the deliverer asks for it.
struct Kept<'a>(&'a Promise);

impl Intent for Kept<'_> {
    async fn before_final_dot(&self) -> Result<(), IntentLost> {
        self.0.keep().await.map_err(|error| IntentLost(error.to_string()))
    }

    fn step_aside(&self) -> Aside {
        self.0.step_aside()
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

/// Header fields for the rules: names in lower case, values decoded (RFC 2047). All of them, and
/// whole: the listener takes no message with more than its limits allow.
pub(crate) fn headers(content: &[u8]) -> Vec<(String, String)> {
    let found = decoded(content);
    if found.len() == fields(content).count() {
        return found;
    }
    // The parser stops at a line that is no field, and somebody may have put it there for that.
    let each = |(name, value): (&[u8], &[u8])| {
        let alone = [name, b":", value, b"\r\n"].concat();
        decoded(&alone).into_iter().next().unwrap_or_else(|| {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).trim().to_owned();
            (text(name).to_ascii_lowercase(), text(value))
        })
    };
    fields(content).map(each).collect()
}

fn decoded(content: &[u8]) -> Vec<(String, String)> {
    let Some(parsed) = MessageParser::default().parse_headers(content) else { return Vec::new() };
    let value = |value: &HeaderValue<'_>, raw: Option<&str>| match value {
        HeaderValue::Text(text) => text.to_string(),
        HeaderValue::TextList(list) => list.join(", "),
        HeaderValue::Address(_)
        | HeaderValue::DateTime(_)
        | HeaderValue::ContentType(_)
        | HeaderValue::Received(_)
        | HeaderValue::Empty => raw.unwrap_or_default().trim().to_owned(),
    };
    let field = |field: &mail_parser::Header<'_>| {
        let raw = content.get(field.offset_start() as usize..field.offset_end() as usize);
        let raw = raw.and_then(|raw| std::str::from_utf8(raw).ok());
        (field.name().to_ascii_lowercase(), value(field.value(), raw))
    };
    parsed.headers().iter().map(field).collect()
}

/// Salts of one record come from this.
fn secret() -> Result<[u8; 32], NotRecorded> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| NotRecorded::NoRandomness)?;
    Ok(secret)
}

/// What goes on record in place of evidence that cannot be made.
fn unrecorded(turn: &Turn, config: Option<BlobId>, (fates, why): (&[Fate], &NotRecorded)) -> Event {
    tracing::error!(message = %turn.message, "no evidence of an attempt, which is on record: {why}");
    record::unrecorded(turn, config, fates, why)
}
