//! Turns what happened into evidence: one event per attempt and delivery group, the personal
//! values beside it, and the blobs that it names.

#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use waxseal_core::{
    channel::TlsSeen,
    decide::{Ask, Case, Plan, Verdict},
    envelope::ReversePath,
    evidence::{
        BlobId, Connection, Decided, Evidence, Interrupted, Message, Network, Schema, Sealer, Tls,
        ToRecipient, Try, Why,
    },
    facts::Facts,
    memory::Memory,
    org::Terms,
    outcome::Outcome,
};

use crate::{
    deliver::{self, Delivery},
    queue::{Fate, Turn},
    store::{Actor, Event, EventKind},
};

/// What a decision followed from, beside the turn itself.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// Our name in EHLO.
    pub gateway: &'a str,
    /// Digest of configuration and rules.
    pub config: Option<BlobId>,
    /// Where connections really go.
    pub network: Network,
    /// Our settings for the destination.
    pub terms: &'a Terms,
    /// What was observed.
    pub facts: &'a Facts,
    /// What was remembered.
    pub memory: &'a Memory,
    /// What ordered hosts of equal preference.
    pub seed: u64,
}

impl<'a> Basis<'a> {
    /// The case that is decided for a turn; `ask` is what its message asks for.
    pub const fn case(&self, turn: &'a Turn, ask: &'a Ask) -> Case<'a> {
        Case {
            terms: self.terms,
            ask,
            verdict: &turn.group.verdict,
            facts: self.facts,
            memory: self.memory,
            origin: turn.group.history.origin,
            short_since: turn.group.short_since,
            first_seen: turn.group.first_seen,
        }
    }
}

/// What the message of a turn asks for.
pub const fn ask(turn: &Turn) -> Ask {
    let envelope = &turn.head.envelope;
    Ask { tls: envelope.tls, body: envelope.body, charset: envelope.charset }
}

/// What was done about a turn.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// What was seen.
    pub delivery: &'a Delivery,
    /// What it came to, recipient by recipient.
    pub fates: &'a [Fate],
}

/// A record, ready for the store.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The event with its personal values.
    pub event: Event,
    /// Certificates that it names.
    pub blobs: Vec<(BlobId, Arc<[u8]>)>,
}

/// The evidence of one turn. `secret` is random and for this record only: the salts of its
/// personal values come from it.
///
/// # Errors
/// It would be longer than anybody reads, or serialisation failed: [`unrecorded`] says so in its
/// place.
pub fn record(
    turn: &Turn,
    basis: &Basis<'_>,
    done: Done<'_>,
    secret: [u8; 32],
) -> Result<Recorded, NotRecorded> {
    let mut sealer = Sealer::new(secret);
    let ask = ask(turn);
    let case = basis.case(turn, &ask);
    let evidence = Evidence {
        schema: Schema::Delivery1,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        gateway: basis.gateway.to_owned(),
        config: basis.config,
        network: basis.network,
        message: message(turn, &mut sealer),
        attempt: turn.attempt,
        decided: Some(Decided::new(&case, done.plan.clone(), basis.seed, turn.now)),
        interrupted: None,
        tries: (0_usize..)
            .zip(&done.delivery.tries)
            .map(|(nth, tried)| one_try(nth, tried, &mut sealer))
            .collect(),
        recipients: recipients(done.fates, &mut sealer),
        level: done.delivery.level(),
        alarms: basis.memory.alarms(basis.facts, turn.now),
    };
    Ok(Recorded { event: event(turn, &evidence, sealer)?, blobs: certificates(done.delivery) })
}

/// The evidence of an attempt that ended with the process: what was observed and decided is lost,
/// and that it was may not be hidden. `basis` says who and where we are.
///
/// # Errors
/// As [`record`].
pub fn interrupted(
    turn: &Turn,
    (gateway, config, network): (&str, Option<BlobId>, Network),
    fates: &[Fate],
    secret: [u8; 32],
) -> Result<Event, NotRecorded> {
    let mut sealer = Sealer::new(secret);
    let group = &turn.group;
    let evidence = Evidence {
        schema: Schema::Delivery1,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        gateway: gateway.to_owned(),
        config,
        network,
        message: message(turn, &mut sealer),
        attempt: turn.attempt,
        decided: None,
        interrupted: Some(Interrupted {
            at: turn.now,
            destination: group.destination.clone(),
            ask: ask(turn),
            verdict: Verdict { notify: Vec::new(), ..group.verdict.clone() },
            origin: group.history.origin,
            short_since: group.short_since,
        }),
        tries: Vec::new(),
        recipients: recipients(fates, &mut sealer),
        level: None,
        alarms: Vec::new(),
    };
    event(turn, &evidence, sealer)
}

/// Why there is no evidence of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// Longer than [`Evidence::MAX_BYTES`]: no reader would take it.
    #[error("the record would have {0} octets, and nobody reads more than {max}", max = Evidence::MAX_BYTES)]
    TooLong(usize),
    /// A value that cannot be written as JSON.
    #[error("the record cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// Salts need randomness.
    #[error("the system has no random numbers")]
    NoRandomness,
}

/// The schema of [`unrecorded`].
pub const UNRECORDED: &str = "waxseal/unrecorded/1";

/// What goes on record of an attempt whose evidence could not be made: that there was one, what
/// came of it in numbers, and why there is no more (promise P6). Short, whatever the attempt was.
pub fn unrecorded(turn: &Turn, config: Option<BlobId>, fates: &[Fate], why: &NotRecorded) -> Event {
    let count = |fits: fn(&Outcome) -> bool| fates.iter().filter(|f| fits(&f.outcome)).count();
    let body = serde_json::json!({
        "schema": UNRECORDED,
        "destination": turn.group.destination,
        "attempt": turn.attempt,
        "floor": turn.group.verdict.floor,
        "why": why.to_string(),
        "recipients": fates.len(),
        "accepted": count(|outcome| matches!(outcome, Outcome::Accepted { .. })),
        "unknown": count(|outcome| matches!(outcome, Outcome::Unknown { .. })),
    });
    Event {
        kind: EventKind::Delivery,
        version: 2,
        at: turn.now,
        actor: Actor::Gateway,
        config,
        message: Some(turn.message),
        body: body.to_string().into_bytes(),
        personal: None,
    }
}

fn recipients(fates: &[Fate], sealer: &mut Sealer) -> Vec<ToRecipient> {
    let sealed = |(nth, fate): (usize, &Fate)| {
        let address = fate.recipient.mailbox.to_string();
        ToRecipient::seal(sealer, nth, &address, &fate.outcome, &fate.settled)
    };
    fates.iter().enumerate().map(sealed).collect()
}

fn event(turn: &Turn, evidence: &Evidence, sealer: Sealer) -> Result<Event, NotRecorded> {
    let body = evidence.canonical()?;
    if body.len() > Evidence::MAX_BYTES {
        return Err(NotRecorded::TooLong(body.len()));
    }
    Ok(Event {
        kind: EventKind::Delivery,
        version: 1,
        at: turn.now,
        actor: Actor::Gateway,
        config: evidence.config,
        message: Some(turn.message),
        body,
        personal: Some(serde_json::to_vec(&sealer.finish())?),
    })
}

fn message(turn: &Turn, sealer: &mut Sealer) -> Message {
    let reverse_path = &turn.head.envelope.reverse_path;
    let hash = digest(&SHA256, &turn.content);
    let digits = hash.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hash: String = match turn.content.is_empty() {
        false => digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect(),
        // It could not be read any more; no message of ours is empty.
        true => String::new(),
    };
    Message {
        id: turn.message,
        size: turn.head.size,
        arrived: turn.head.arrived,
        sender_domain: match reverse_path {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox.domain.clone()),
        },
        sender: sealer.seal("message/sender", reverse_path.to_string()),
        content: sealer.seal("message/content", hash),
    }
}

fn one_try(nth: usize, tried: &deliver::Try, sealer: &mut Sealer) -> Try {
    let permitted = tried.judgement.as_ref().and_then(|judged| judged.as_ref().ok());
    Try {
        route: tried.route,
        peer: tried.peer.clone(),
        address: tried.address,
        connection: match tried.connection {
            deliver::Connection::New => Connection::New,
            deliver::Connection::Reused => Connection::Reused,
        },
        tls: Tls::of(tried.seen.as_deref()),
        level: tried.level(),
        held: permitted.map(|proof| proof.held().to_vec()).unwrap_or_default(),
        refusal: tried.refusal().cloned(),
        cause: tried.cause.as_ref().map(Why::of),
        accepted: tried.accepted.clone(),
        transcript: sealer.seal(format!("tries/{nth}/transcript"), tried.transcript.join("\n")),
        started: tried.started,
        finished: tried.finished,
    }
}

/// The certificates that were presented, each once.
fn certificates(delivery: &Delivery) -> Vec<(BlobId, Arc<[u8]>)> {
    let mut blobs: Vec<(BlobId, Arc<[u8]>)> = Vec::new();
    for seen in delivery.tries.iter().filter_map(|tried| tried.seen.as_deref()) {
        let TlsSeen::Established(session) = &seen.tls else { continue };
        for der in &session.chain {
            let id = BlobId::of(der);
            if blobs.iter().all(|(known, _)| *known != id) {
                blobs.push((id, Arc::from(der.as_ref())));
            }
        }
    }
    blobs
}

/// Blobs that this process has stored: a day's mail to one provider shares a chain, and need not
/// write it a thousand times.
#[derive(Debug, Default)]
pub struct Stored(Mutex<HashSet<BlobId>>);

impl Stored {
    const MOST: usize = 10_000;

    /// Whether a blob has been stored before.
    pub fn has(&self, id: &BlobId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// From now on it has.
    pub fn add(&self, id: BlobId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(id);
    }
}
