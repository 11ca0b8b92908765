//! Who of ours exists: before a stranger's message is taken, the mail server inside is asked, over
//! the same channel that would carry it. So nothing has to be returned to a sender who may be
//! forged, and nobody on the way inside learns a name that he would not learn from the message.

use std::time::Duration;

use tokio::time::timeout;
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

use super::parts::{Live, Parts};
use crate::{
    deliver::Job,
    listen::{Asked, Lane, Recipients, Remembered},
    metrics,
    resolve::Clock,
};

/// A client waits five minutes for the reply to RCPT (RFC 5321 §4.5.3.2.3), and names several.
const PATIENCE: Duration = Duration::from_secs(30);
/// What our trace field adds to a message at most, for the size that inside is asked about.
const TRACE: u64 = 1_024;

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
