//! What is remembered of the mail server inside, and of what it refused: in memory only.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use waxseal_core::{
    reply::{EnhancedCode, Reply},
    smtp::server::{Answer, Question},
    time::UnixTime,
};

use crate::listen::Remembered;

/// Questions at the same time: the mail server inside has other work, and deliveries go before.
const AT_ONCE: usize = 8;
/// Of these, for all clients together that have named several who do not exist.
const NARROW: usize = 2;
/// Who exists does so for a while.
const TAKEN: Duration = Duration::from_mins(30);
/// Who begins to exist is not turned away for long.
const REFUSED: Duration = Duration::from_mins(5);
/// Answers that are remembered, of each kind: a few MiB.
const MOST: usize = 10_000;
/// Octets that are remembered of the words with which inside refuses.
const WORDS: usize = 200;
/// Between two complaints in the log: there may be thousands of questions.
const COMPLAIN: u64 = 60;
/// Seconds between two letters to the postmaster about what inside refused: a wave of spam is one
/// letter, not a second wave.
const BETWEEN: u64 = 3_600;

/// What inside said of recipients. A reload forgets it.
#[derive(Debug)]
pub(crate) struct Known {
    /// With the largest size that was taken.
    taken: Shelf<u64>,
    refused: Shelf<Reply>,
    /// With the smallest size that was refused because of it.
    too_long: Shelf<(u64, Reply)>,
    pub(super) turns: Semaphore,
    pub(super) narrow: Semaphore,
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
    pub(super) fn recall(&self, question: &Question, now: UnixTime) -> Remembered {
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
    pub(super) fn remember(&self, question: Question, answer: &Answer, now: UnixTime) {
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
    pub(super) fn complain(&self, why: &str, now: UnixTime) {
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

/// A refusal that may be of this size only. RFC 3463 §3.3 and §3.4: X.2.2, mailbox full; X.2.3,
/// message length exceeds administrative limit; X.3.4, message too big for system.
fn is_about_size(reply: &Reply) -> bool {
    let said = matches!(reply.enhanced, Some(EnhancedCode(_, 2, 2 | 3) | EnhancedCode(_, 3, 4)));
    said || reply.code == 552
}

/// When the postmaster was last told, and how much has come since.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    last: AtomicU64,
    more: AtomicU64,
}

impl Unreported {
    /// How many messages besides this one a letter of now speaks of; `None`: not now.
    pub(super) fn due(&self, now: UnixTime) -> Option<u64> {
        let order = Ordering::Relaxed;
        let last = self.last.load(order);
        let late = now.0 >= last.saturating_add(BETWEEN) || now.0 < last;
        if late && self.last.compare_exchange(last, now.0, order, order).is_ok() {
            return Some(self.more.swap(0, order));
        }
        self.more.fetch_add(1, order);
        None
    }
}

#[cfg(test)]
mod tests;
