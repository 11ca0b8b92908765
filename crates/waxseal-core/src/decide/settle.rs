//! What follows from an attempt, for one recipient.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Origin, Route};
use crate::{
    org::Schedule,
    outcome::{Cause, Outcome},
    reply::{EnhancedCode, Severity},
    time::UnixTime,
};

/// Until the next look at a host where our own limits let nobody else be: it is healthy, so that
/// the pauses of RFC 5321 §4.5.4.1 for hosts that failed say nothing of it.
const SOON: Duration = Duration::from_mins(1);

/// What is known of a delivery group before and including its last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When the message was accepted from its sender.
    pub queued: UnixTime,
    /// Attempts so far, the last one included.
    pub attempts: u32,
    /// Since when it is held; `None` while it is not.
    pub held_since: Option<UnixTime>,
    /// Whether its sender was told that it is late.
    pub delay_told: DelayTold,
    /// Whether anybody can be told.
    pub origin: Origin,
}

/// Whether the one delay notice has been sent (RFC 3461 §4.1, `DELAY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DelayTold {
    /// Not yet.
    #[default]
    NotYet,
    /// It has.
    Told,
}

/// What follows for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Settled {
    /// The peer has it.
    Done,
    /// Again, not before `at`.
    Retry {
        /// When.
        at: UnixTime,
        /// Whether the sender is told now that it is late.
        notice: DelayNotice,
        /// For that notice and the queue's listing.
        code: EnhancedCode,
        /// What stood in the way, in words.
        reason: String,
    },
    /// Held: somebody may decide; meanwhile it is still tried, since a repair frees it.
    Hold {
        /// When to try again.
        at: UnixTime,
        /// When it is returned.
        until: UnixTime,
        /// `5.7.x`.
        code: EnhancedCode,
        /// Why, in words.
        reason: String,
    },
    /// Returned to its sender with a DSN (RFC 3464).
    Bounce {
        /// `5.y.z`.
        code: EnhancedCode,
        /// Why, in words.
        reason: String,
    },
    /// Nobody may be told: it ends with evidence and a notice to our postmaster (RFC 5321 §6.1).
    Drop {
        /// `5.y.z`.
        code: EnhancedCode,
        /// Why, in words.
        reason: String,
    },
}

/// Whether a delay notice is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DelayNotice {
    /// Now; and never again for this message.
    Due,
    /// Not now.
    NotDue,
}

/// What follows from the outcome of an attempt.
///
/// `last` is the last route of the plan: it says what happens when the channel was the reason that
/// no host took the message. Other failures are retried as any mail (RFC 5321 §4.5.4.1).
pub fn settle(
    outcome: &Outcome,
    last: &Route,
    history: &History,
    schedule: &Schedule,
    now: UnixTime,
) -> Settled {
    let soon = match outcome {
        Outcome::Deferred { cause: Cause::Busy(_) } => Some(SOON),
        Outcome::Deferred { .. }
        | Outcome::Accepted { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Disconnected { .. } => None,
    };
    let turn = Turn { history, schedule, now, soon };
    match outcome {
        Outcome::Accepted { .. } => Settled::Done,
        Outcome::Rejected { cause: Cause::Channel(seen) } => turn.follow(last, Some(seen)),
        Outcome::Rejected { cause: Cause::Plan(_) } => turn.follow(last, None),
        Outcome::Rejected { cause } => {
            let (code, reason) = told(cause);
            match (code, last, history.origin) {
                // RFC 8689 §4.2.1: returned once every host has answered; §5: a null sender's
                // message never ends because the next hop lacks the keyword.
                (EnhancedCode(5, 7, 30), Route::Wait { .. }, _)
                | (EnhancedCode(5, 7, 30), _, Origin::Automatic) => turn.again(None, code, reason),
                _ => turn.give_up(permanent(code), reason),
            }
        }
        Outcome::Deferred { cause: Cause::Channel(seen) } => turn.follow(last, Some(seen)),
        Outcome::Deferred { cause: Cause::Plan(_) } => turn.follow(last, None),
        Outcome::Deferred { cause } => {
            let (code, reason) = told(cause);
            turn.again(None, code, reason)
        }
        // Maybe delivered: a duplicate is better than a loss (RFC 5321 §6.1, RFC 1047).
        Outcome::Unknown { detail } => {
            turn.again(None, EnhancedCode(4, 4, 2), format!("maybe delivered: {detail}"))
        }
        Outcome::Disconnected { detail } => turn.again(None, EnhancedCode(4, 4, 2), detail.clone()),
    }
}

struct Turn<'a> {
    history: &'a History,
    schedule: &'a Schedule,
    now: UnixTime,
    /// The pause, where it is not that of the schedule.
    soon: Option<Duration>,
}

impl Turn<'_> {
    /// The plan's own last word, and what was seen of the channel, which the plan could not know.
    fn follow(&self, last: &Route, seen: Option<&str>) -> Settled {
        let words = |reason: &str| match seen {
            Some(seen) => format!("{reason}: {seen}"),
            None => reason.to_owned(),
        };
        match last {
            Route::Wait { until, code, reason } => self.again(*until, *code, words(reason)),
            Route::Hold { code, reason } => self.hold(*code, words(reason)),
            Route::GiveUp { doubt: Some(until), code, reason } if self.now < *until => {
                self.again(Some(*until), *code, words(reason))
            }
            Route::GiveUp { code, reason, .. } => self.give_up(*code, words(reason)),
            // A plan always ends in one of the three; were it not so, the mail would wait.
            Route::Host(host) => {
                let reason = format!("{} did not take it", host.peer);
                self.again(None, EnhancedCode(4, 4, 0), reason)
            }
        }
    }

    fn again(&self, until: Option<UnixTime>, code: EnhancedCode, reason: String) -> Settled {
        if let Some(since) = self.history.held_since {
            return self.held(since, permanent(code), reason);
        }
        if self.now >= self.history.queued + self.schedule.lifetime {
            // RFC 3463 §3.5: X.4.7, delivery time expired.
            let days = self.schedule.lifetime.as_secs() / 86_400;
            let reason = format!("tried for {days} days; at last: {reason}");
            return self.give_up(EnhancedCode(5, 4, 7), reason);
        }
        let late = self.now >= self.history.queued + self.schedule.delay_notice;
        let notice = match (self.history.delay_told, self.history.origin) {
            (DelayTold::NotYet, Origin::Person) if late => DelayNotice::Due,
            (DelayTold::NotYet | DelayTold::Told, Origin::Person | Origin::Automatic) => {
                DelayNotice::NotDue
            }
        };
        let code = EnhancedCode(4, code.1, code.2);
        Settled::Retry { at: self.next(until), notice, code, reason }
    }

    fn hold(&self, code: EnhancedCode, reason: String) -> Settled {
        match self.history.origin {
            Origin::Person => self.held(self.history.held_since.unwrap_or(self.now), code, reason),
            Origin::Automatic => self.again(None, code, reason),
        }
    }

    fn held(&self, since: UnixTime, code: EnhancedCode, reason: String) -> Settled {
        let until = since + self.schedule.hold_lifetime;
        if self.now >= until {
            let hours = self.schedule.hold_lifetime.as_secs() / 3_600;
            return self.give_up(code, format!("nobody decided for {hours} hours: {reason}"));
        }
        Settled::Hold { at: self.next(Some(until)), until, code, reason }
    }

    fn give_up(&self, code: EnhancedCode, reason: String) -> Settled {
        match self.history.origin {
            Origin::Person => Settled::Bounce { code, reason },
            Origin::Automatic => Settled::Drop { code, reason },
        }
    }

    /// The next time: by schedule, sooner where the plan knows when its reason ends, and not
    /// beyond the end of the queue's lifetime.
    fn next(&self, until: Option<UnixTime>) -> UnixTime {
        let turn = usize::try_from(self.history.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let retry = &self.schedule.retry;
        let wait = self.soon.or(retry.get(turn).or(retry.last()).copied());
        let minute = Duration::from_mins(1);
        let wait = wait.unwrap_or(Duration::from_mins(30)).max(minute);
        let mut at = self.now + wait;
        if let Some(until) = until {
            at = at.min(until);
        }
        if self.history.held_since.is_none() {
            at = at.min(self.history.queued + self.schedule.lifetime);
        }
        at.max(self.now + minute)
    }
}

/// Code and words of a cause.
fn told(cause: &Cause) -> (EnhancedCode, String) {
    match cause {
        Cause::Reply { command, reply } => {
            let class = match reply.severity() {
                Severity::Permanent => 5,
                Severity::Completed
                | Severity::Continue
                | Severity::Transient
                | Severity::Invalid => 4,
            };
            let code = reply.enhanced.unwrap_or(EnhancedCode(class, 0, 0));
            (code, format!("{command}: {reply}"))
        }
        // The client says the code with what is missing.
        Cause::Capability(missing) => match EnhancedCode::leading(missing) {
            Some((code, words)) => (code, words.to_owned()),
            None => (capability(missing), format!("no host offers {missing}")),
        },
        Cause::Channel(detail) | Cause::Plan(detail) => (EnhancedCode(4, 7, 5), detail.clone()),
        Cause::Connection(detail) => (EnhancedCode(4, 4, 1), detail.clone()),
        // RFC 3463 §3.5: X.4.5, congestion, which is ours.
        Cause::Busy(detail) => (EnhancedCode(4, 4, 5), detail.clone()),
        Cause::Protocol(detail) => (EnhancedCode(4, 5, 0), detail.clone()),
    }
}

/// What a missing extension means: RFC 8689 §7 (X.7.30), RFC 3463 §3.7 (X.6.3), RFC 6531 §3.5
/// (X.6.7), RFC 3463 §3.4 (X.3.4).
fn capability(missing: &str) -> EnhancedCode {
    match missing {
        "REQUIRETLS" => EnhancedCode(5, 7, 30),
        "8BITMIME" => EnhancedCode(5, 6, 3),
        "SMTPUTF8" => EnhancedCode(5, 6, 7),
        "SIZE" => EnhancedCode(5, 3, 4),
        _ => EnhancedCode(5, 5, 0),
    }
}

const fn permanent(code: EnhancedCode) -> EnhancedCode {
    EnhancedCode(5, code.1, code.2)
}
