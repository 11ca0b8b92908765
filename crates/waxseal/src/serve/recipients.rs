//! Who of ours exists: before a stranger's message is taken, the mail server inside is asked, over
//! the same channel that would carry it. So nothing has to be returned to a sender who may be
//! forged, and nobody on the way inside learns a name that he would not learn from the message.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};
use waxseal_core::{
    decide::{Ask, Case, FirstSeen, Origin, Plan, Route, inbound, plan},
    envelope::{Body, Recipient, ReversePath},
    memory::Memory,
    org::Terms,
    outcome::{Cause, Outcome},
    reply::{EnhancedCode, Reply, Severity},
    smtp::server::{Answer, Question},
    time::UnixTime,
};

use super::{
    parts::{Live, Parts},
    strangers::Unreported,
};
use crate::{
    deliver::Job,
    listen::{Asked, Lane, Recipients, Remembered},
    metrics,
    resolve::Clock,
};

/// Questions at the same time: the mail server inside has other work, and deliveries go before.
const AT_ONCE: usize = 8;
/// Of these, for all clients together that have named several who do not exist.
const NARROW: usize = 2;
/// A client waits five minutes for the reply to RCPT (RFC 5321 §4.5.3.2.3), and names several.
const PATIENCE: Duration = Duration::from_secs(30);
/// Who exists does so for a while.
const TAKEN: Duration = Duration::from_mins(30);
/// Who begins to exist is not turned away for long.
const REFUSED: Duration = Duration::from_mins(5);
/// Answers that are remembered, of each kind: a few MiB.
const MOST: usize = 10_000;
/// Octets that are remembered of the words with which inside refuses.
const WORDS: usize = 200;
/// What our trace field adds to a message at most, for the size that inside is asked about.
const TRACE: u64 = 1_024;
/// Between two complaints in the log: there may be thousands of questions.
const COMPLAIN: u64 = 60;

/// What inside said of recipients. A reload forgets it.
#[derive(Debug)]
pub(crate) struct Known {
    /// With the largest size that was taken.
    taken: Shelf<u64>,
    refused: Shelf<Reply>,
    /// With the smallest size that was refused because of it.
    too_long: Shelf<(u64, Reply)>,
    turns: Semaphore,
    narrow: Semaphore,
    complained: AtomicU64,
    pub(super) unreported: Unreported,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            taken: Shelf::default(),
            refused: Shelf::default(),
            too_long: Shelf::default(),
            turns: Semaphore::new(AT_ONCE),
            narrow: Semaphore::new(NARROW),
            complained: AtomicU64::new(0),
            unreported: Unreported::default(),
        }
    }
}

impl Known {
    /// Who does not exist gets no message of any size. Who does gets those that are no longer than
    /// one that inside would have taken, and none that is as long as one that was too long.
    fn recall(&self, question: &Question, now: UnixTime) -> Remembered {
        let anything = Question { octets: 0, ..question.clone() };
        let taken = self.taken.recall(&anything, now);
        if taken.is_some_and(|largest| question.octets <= largest) {
            return Remembered::Answer(Answer::Taken);
        }
        let too_long = || {
            let (least, reply) = self.too_long.recall(&anything, now)?;
            (question.octets >= least).then_some(reply)
        };
        match self.refused.recall(&anything, now).or_else(too_long) {
            Some(reply) => Remembered::Answer(Answer::Refused(reply)),
            None if taken.is_some() => Remembered::Existence,
            None => Remembered::Nothing,
        }
    }

    /// That nobody could be asked is not remembered: the next may be luckier.
    fn remember(&self, question: Question, answer: &Answer, now: UnixTime) {
        let octets = question.octets;
        let anything = Question { octets: 0, ..question };
        match answer {
            // Two may have asked at the same time.
            Answer::Taken if self.taken.recall(&anything, now).is_some_and(|has| has >= octets) => {
            }
            Answer::Taken => self.taken.keep(anything, octets, (now, TAKEN)),
            Answer::Refused(reply) if octets > 0 && is_about_size(reply) => {
                let known = self.too_long.recall(&anything, now);
                if known.is_none_or(|(least, _)| octets < least) {
                    self.too_long.keep(anything, (octets, short(reply)), (now, REFUSED));
                }
            }
            Answer::Refused(reply) => {
                self.taken.forget(&anything);
                self.refused.keep(anything, short(reply), (now, REFUSED));
            }
            Answer::Later(_) | Answer::TooOften => {}
        }
    }

    /// Once a minute at most. Nothing that inside said of a recipient is in it.
    fn complain(&self, why: &str, now: UnixTime) {
        let last = self.complained.load(Ordering::Relaxed);
        let due = now.0 >= last.saturating_add(COMPLAIN) || now.0 < last;
        let mine = || {
            let (new, order) = (now.0, Ordering::Relaxed);
            self.complained.compare_exchange(last, new, order, order).is_ok()
        };
        if due && mine() {
            tracing::warn!("recipients of inbound mail cannot be asked about inside: {why}");
        }
    }
}

/// Answers of one kind, apart from those of the other: who tries a million names must not push out
/// the names of those who exist.
#[derive(Debug)]
struct Shelf<T>(Mutex<HashMap<Question, (T, UnixTime)>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Shelf<T> {
    fn recall(&self, question: &Question, now: UnixTime) -> Option<T> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.get(question).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    fn forget(&self, question: &Question) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(question);
    }

    fn keep(&self, question: Question, value: T, (now, term): (UnixTime, Duration)) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.len() >= MOST {
            shelf.retain(|_, (_, until)| now < *until);
        }
        if shelf.len() >= MOST {
            // Each can be asked for again.
            shelf.clear();
        }
        shelf.insert(question, (value, now + term));
    }
}

fn short(reply: &Reply) -> Reply {
    let words: String = reply.text.join(" ").chars().take(WORDS).collect();
    Reply::new(reply.code, reply.enhanced, words)
}

/// Asks inside, with the parts in force.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) live: Live,
    pub(super) clock: Clock,
}

impl Recipients for Inside {
    fn remembered(&self, question: &Question) -> Remembered {
        let remembered = self.live.now().known.recall(question, self.clock.now());
        if let Remembered::Answer(answer) = &remembered {
            count(answer, "memory");
        }
        remembered
    }

    fn ask(&self, question: Question, lane: Lane) -> Asked<'_> {
        Box::pin(async move {
            let parts = self.live.now();
            let now = self.clock.now();
            let asked = async {
                // Closed never: they live as long as the parts.
                let _narrow = match lane {
                    Lane::Narrow => Some(parts.known.narrow.acquire().await),
                    Lane::Wide => None,
                };
                let _turn = parts.known.turns.acquire().await;
                inquire(&parts, &question, now).await
            };
            let answer = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
                parts.known.complain("there was no answer in time", now);
                silent()
            });
            count(&answer, "inside");
            parts.known.remember(question, &answer, self.clock.now());
            answer
        })
    }
}

fn count(answer: &Answer, from: &'static str) {
    let answer = match answer {
        Answer::Taken => "taken",
        Answer::Refused(_) => "refused",
        Answer::Later(_) | Answer::TooOften => "later",
    };
    metrics::recipient_asked(answer, from);
}

/// Gather, plan, and ask: the path of a message, without a message. From the null sender, as is
/// usual for such questions: whoever refuses it refuses our reports, too (RFC 5321 §4.5.5).
async fn inquire(parts: &Parts, question: &Question, now: UnixTime) -> Answer {
    let domain = &question.mailbox.domain;
    let Some(way) = parts.routes.to(domain).filter(|_| is_ours(parts, question)) else {
        // A session from before a reload.
        return later(EnhancedCode(4, 3, 2), "the configuration has changed; connect again");
    };
    let gathered = parts.gatherer.gather(domain, Some(&way.target), now).await;
    let terms = Terms { trust: parts.org.trust, agreement: Some(way.agreement.clone()) };
    let ask = Ask { tls: question.tls, body: Body::SevenBit, charset: question.charset };
    let case = Case {
        terms: &terms,
        ask: &ask,
        verdict: &inbound(&parts.org),
        facts: &gathered.facts,
        memory: &Memory::default(),
        origin: Origin::Person,
        short_since: None,
        first_seen: FirstSeen::default(),
    };
    let plan = plan(&case, 0, now);
    let mailbox = question.mailbox.clone();
    let recipients = [Recipient::new(mailbox)];
    let job = Job {
        plan: &plan,
        reverse_path: &ReversePath::Null,
        way: way.route,
        recipients: &recipients,
        ask,
        ret: None,
        envelope_id: None,
        content: &[],
        now,
    };
    // What goes inside is longer than what was declared to us.
    let octets = match question.octets {
        0 => 0,
        declared => declared.saturating_add(TRACE),
    };
    let outcome = parts.deliverer.ask(job, octets).await.outcomes.into_iter().next();
    let answer = outcome.map_or_else(silent_because, |outcome| answer(outcome, &plan));
    let (answer, why) = answer;
    if let Some(why) = why {
        parts.known.complain(&why, now);
    }
    answer
}

fn is_ours(parts: &Parts, question: &Question) -> bool {
    parts.config.domains.iter().any(|domain| domain.name == question.mailbox.domain)
}

/// What an outcome says of the recipient, and what the administrator should hear of it. Only what
/// was said to RCPT speaks of the recipient; a refusal of the connection or of MAIL speaks of us.
fn answer(outcome: Outcome, plan: &Plan) -> (Answer, Option<String>) {
    match outcome {
        Outcome::Accepted { .. } => (Answer::Taken, None),
        Outcome::Rejected { cause } | Outcome::Deferred { cause } => not_taken(cause, plan),
        Outcome::Unknown { detail } | Outcome::Disconnected { detail } => (silent(), Some(detail)),
    }
}

fn not_taken(cause: Cause, plan: &Plan) -> (Answer, Option<String>) {
    match cause {
        Cause::Reply { command, reply } if command == "RCPT" => match reply.severity() {
            Severity::Permanent => (Answer::Refused(reply), None),
            Severity::Completed | Severity::Continue | Severity::Transient | Severity::Invalid => {
                (Answer::Later(reply), None)
            }
        },
        // RFC 1870 §6.1: what is too long is refused at MAIL. It speaks of the message, not of us.
        Cause::Reply { command, reply } if command == "MAIL" && is_too_long(&reply) => {
            (Answer::Refused(reply), None)
        }
        Cause::Reply { command, reply } => {
            let why = format!("it answers {} to {command}", reply.code);
            (later(EnhancedCode(4, 3, 5), "the mail server inside cannot be asked"), Some(why))
        }
        // RFC 8689 §4.2.1 (5.7.30), RFC 6531 §3.5 (5.6.7): no message of this kind gets through.
        Cause::Capability(missing) => {
            let (code, words) = EnhancedCode::leading(&missing)
                .unwrap_or((EnhancedCode(5, 3, 3), "the mail server inside cannot take it"));
            let number = if code == EnhancedCode(5, 3, 4) { 552 } else { 550 };
            (Answer::Refused(Reply::new(number, Some(code), words)), None)
        }
        Cause::Channel(why) => {
            let words = "the mail server inside did not prove who it is";
            (later(EnhancedCode(4, 7, 5), words), Some(why))
        }
        Cause::Plan(why) => planned(plan, why),
        Cause::Connection(why) => (silent(), Some(why)),
        Cause::Busy(_) => (later(EnhancedCode(4, 4, 5), "the mail server inside is busy"), None),
        Cause::Protocol(why) => {
            (later(EnhancedCode(4, 5, 0), "the mail server inside does not speak SMTP"), Some(why))
        }
    }
}

/// RFC 3463 §3.4: X.3.4, message too big for system; RFC 1870 §6.1: 552.
fn is_too_long(reply: &Reply) -> bool {
    let said = matches!(reply.enhanced, Some(EnhancedCode(5, 3, 4)));
    reply.severity() == Severity::Permanent && (said || reply.code == 552)
}

/// A refusal that may be of this size only. RFC 3463 §3.3 and §3.4: X.2.2, mailbox full; X.2.3,
/// message length exceeds administrative limit; X.3.4, message too big for system.
fn is_about_size(reply: &Reply) -> bool {
    let said = matches!(reply.enhanced, Some(EnhancedCode(_, 2, 2 | 3) | EnhancedCode(_, 3, 4)));
    said || reply.code == 552
}

/// No host was tried: the plan's last word.
fn planned(plan: &Plan, why: String) -> (Answer, Option<String>) {
    match plan.routes.last() {
        Some(Route::GiveUp { code, .. }) => {
            let words = "the mail server inside cannot get it the way that was asked for";
            (Answer::Refused(Reply::new(550, Some(*code), words)), Some(why))
        }
        Some(Route::Wait { code, .. } | Route::Hold { code, .. }) => {
            let code = EnhancedCode(4, code.1, code.2);
            (later(code, "the way to the mail server inside is not known now"), Some(why))
        }
        _ => (silent(), Some(why)),
    }
}

fn later(code: EnhancedCode, words: &str) -> Answer {
    Answer::Later(Reply::new(451, Some(code), format!("{words}; try again later")))
}

fn silent() -> Answer {
    later(EnhancedCode(4, 4, 1), "the mail server inside does not answer")
}

fn silent_because() -> (Answer, Option<String>) {
    (silent(), None)
}

#[cfg(test)]
mod tests;
