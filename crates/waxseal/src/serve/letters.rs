//! What people are told of a turn: reports to senders (RFC 3464), notices to those whom a rule
//! names, and to the postmaster where nobody else may be told.

use waxseal_core::{
    decide::{DelayNotice, Settled},
    envelope::{Direction, Mailbox, Recipient, Return, ReversePath, TlsAsk},
    facts::Peer,
    org::Told,
    outcome::{Cause, Outcome},
    reply::{EnhancedCode, Reply},
};

use super::parts::Parts;
use crate::{
    author::{Action, Event, Fate as Fated, Letter, Notice, Redacted, Report, is_report, quote},
    metrics,
    queue::{Dsn, Fate, Turn},
};

/// All letters of one turn. They go the way inside and never by MX, but for reports to the sender of
/// mail that came from outside.
pub(super) fn letters(parts: &Parts, turn: &Turn, fates: &[Fate]) -> Vec<Letter> {
    let mut letters = reports(parts, turn, fates);
    letters.extend(notices(parts, turn, fates));
    letters.retain(|letter| {
        let everybody = &letter.envelope.recipients;
        let ours = everybody.iter().all(|to| is_inside(parts, &to.mailbox) || wrote(turn, to));
        if !ours {
            tracing::error!(message = %turn.message, "a letter about it is not written: its domain is no [[domain]] of ours any more");
        }
        ours
    });
    letters
}

/// Whether somebody outside wrote this message, and nobody else is told.
fn wrote(turn: &Turn, to: &Recipient) -> bool {
    let sender = &turn.head.envelope.reverse_path;
    turn.head.direction == Direction::Inbound
        && matches!(sender, ReversePath::Mailbox(sender) if *sender == to.mailbox)
}

fn is_inside(parts: &Parts, mailbox: &Mailbox) -> bool {
    parts.config.domains.iter().any(|domain| domain.name == mailbox.domain)
}

/// What the sender is told, one report for each thing that happened: a person reads one message
/// with one subject.
fn reports(parts: &Parts, turn: &Turn, fates: &[Fate]) -> Vec<Letter> {
    let mut told: Vec<Vec<Fated<'_>>> = Vec::new();
    for fate in fates {
        let Some((action, code, reason)) = action(parts, turn, fate) else { continue };
        let fated = Fated {
            recipient: &fate.recipient,
            action,
            code,
            reason,
            remote: said(fate),
            last_attempt: Some(turn.now),
        };
        match told.iter_mut().find(|group| group.iter().any(|other| other.action == action)) {
            Some(group) => group.push(fated),
            None => told.push(vec![fated]),
        }
    }
    let envelope = &turn.head.envelope;
    let report = |fates: Vec<Fated<'_>>| {
        // RFC 3461 §4.3: RET=FULL is for failures only.
        let failed = fates.iter().any(|fate| fate.action == Action::Failed);
        // What a stranger wrote is not sent on under our name, whatever he asks for.
        let ret = match turn.head.direction {
            Direction::Outbound if failed => envelope.ret,
            Direction::Outbound | Direction::Inbound => Some(Return::Headers),
        };
        let report = Report {
            envelope,
            message: &turn.content,
            quote: quote(envelope.tls, ret, turn.group.verdict.asked()),
            received: turn.head.arrived,
            fates,
        };
        parts.author.report(&report, turn.now)
    };
    told.into_iter().filter_map(report).collect()
}

/// What is reported about one recipient, if anything.
fn action(parts: &Parts, turn: &Turn, fate: &Fate) -> Option<(Action, EnhancedCode, String)> {
    match &fate.settled {
        Settled::Bounce { code, reason } => Some((Action::Failed, *code, reason.clone())),
        Settled::Retry { notice: DelayNotice::Due, code, reason, .. } => {
            let until = turn.group.history.queued + parts.org.schedule.lifetime;
            Some((Action::Delayed { until }, *code, reason.clone()))
        }
        Settled::Hold { until, code, reason, .. } if newly_held(turn) => {
            let wanted = turn.group.verdict.notify.contains(&Told::Sender);
            wanted.then(|| (Action::Held { until: *until }, *code, reason.clone()))
        }
        // To an address that may be forged no word of success goes either.
        Settled::Done if turn.head.direction == Direction::Inbound => None,
        Settled::Done => relayed(fate),
        Settled::Retry { .. } | Settled::Hold { .. } | Settled::Drop { .. } | _ => None,
    }
}

/// A host without DSN has it: where SUCCESS was asked for, this is the last that will be heard
/// (RFC 3461 §5.2.2). One with DSN was asked in turn, and reports itself (§5.2.1).
fn relayed(fate: &Fate) -> Option<(Action, EnhancedCode, String)> {
    let Outcome::Accepted { reply } = &fate.outcome else { return None };
    let code = reply.enhanced.unwrap_or(EnhancedCode(2, 0, 0));
    let last = fate.remote.as_ref().is_some_and(|remote| remote.dsn == Dsn::Missing);
    last.then(|| (Action::Relayed, code, "the next server reports no further".to_owned()))
}

/// Which host said what (RFC 3464 §2.3.5, §2.3.6).
fn said(fate: &Fate) -> Option<(Peer, Reply)> {
    let reply = match &fate.outcome {
        Outcome::Accepted { reply }
        | Outcome::Deferred { cause: Cause::Reply { reply, .. } }
        | Outcome::Rejected { cause: Cause::Reply { reply, .. } } => reply.clone(),
        Outcome::Deferred { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Disconnected { .. } => return None,
    };
    fate.remote.as_ref().map(|remote| (remote.peer.clone(), reply))
}

fn newly_held(turn: &Turn) -> bool {
    turn.group.history.held_since.is_none()
}

/// What others than the sender are told: the postmaster, of messages that ended without anybody to
/// tell; and whom a rule names, of what fell back. By id: no address and no subject.
fn notices(parts: &Parts, turn: &Turn, fates: &[Fate]) -> Vec<Letter> {
    let postmaster = &parts.author.postmaster;
    for fate in fates {
        let (event, to, code, reason) = match &fate.settled {
            Settled::Drop { code, .. } if is_redactable(parts, turn) => {
                return vec![redacted(parts, turn, *code)];
            }
            Settled::Drop { code, reason } if turn.head.direction == Direction::Inbound => {
                match parts.known.unreported.due(turn.now) {
                    Some(others) => (Event::Refused { others }, vec![postmaster], code, reason),
                    None => return Vec::new(),
                }
            }
            Settled::Drop { code, reason } => {
                metrics::dropped();
                // A notice about a notice would never end.
                if fate.recipient.mailbox == *postmaster {
                    tracing::error!(message = %turn.message, %code, "a notice to the postmaster was dropped");
                    continue;
                }
                (Event::Dropped, vec![postmaster], code, reason)
            }
            Settled::Hold { until, code, reason, .. } if newly_held(turn) => {
                (Event::Held { until: *until }, told(parts, turn), code, reason)
            }
            Settled::Bounce { code, reason } if is_fallback(*code) => {
                (Event::Returned, told(parts, turn), code, reason)
            }
            Settled::Done
            | Settled::Retry { .. }
            | Settled::Hold { .. }
            | Settled::Bounce { .. }
            | _ => continue,
        };
        let notice = |to| Notice {
            to,
            event,
            message: turn.message,
            destination: &turn.group.destination,
            rule: &turn.group.verdict.rule,
            code: *code,
            reason,
        };
        return to.into_iter().map(|to| parts.author.notice(&notice(to), turn.now)).collect();
    }
    Vec::new()
}

/// Whether a message was returned for the channel's sake: what a rule's `otherwise` brought about.
const fn is_fallback(code: EnhancedCode) -> bool {
    matches!(code, EnhancedCode(5, 7, 5 | 10))
}

/// Whom the rule names beside the sender, each once.
fn told<'a>(parts: &'a Parts, turn: &'a Turn) -> Vec<&'a Mailbox> {
    let mut people: Vec<&Mailbox> = Vec::new();
    for told in &turn.group.verdict.notify {
        let mailbox = match told {
            Told::Sender => continue,
            Told::Postmaster => &parts.author.postmaster,
            Told::Mailbox(mailbox) => mailbox,
        };
        if !people.contains(&mailbox) {
            people.push(mailbox);
        }
    }
    people
}

/// Whether this is a report of ours about a message with REQUIRETLS, on its way inside.
fn is_redactable(parts: &Parts, turn: &Turn) -> bool {
    let envelope = &turn.head.envelope;
    turn.head.direction == Direction::Outbound
        && envelope.reverse_path == ReversePath::Null
        && envelope.tls == TlsAsk::RequireTls
        && parts.config.domains.iter().any(|domain| domain.name == turn.group.destination)
        && is_report(&turn.content)
}

/// The mail server inside answered and does not know REQUIRETLS: the report ends here, and the
/// postmaster there gets one without anything to protect (RFC 8689 §5).
pub(super) fn redact(parts: &Parts, turn: &Turn, fates: &mut [Fate]) {
    if !is_redactable(parts, turn) {
        return;
    }
    for fate in fates {
        let lacks = |cause: &Cause| match cause {
            Cause::Capability(what) => {
                EnhancedCode::leading(what).is_some_and(|(code, _)| code == EnhancedCode(5, 7, 30))
            }
            Cause::Reply { .. }
            | Cause::Channel(_)
            | Cause::Connection(_)
            | Cause::Busy(_)
            | Cause::Plan(_)
            | Cause::Protocol(_) => false,
        };
        if matches!(&fate.outcome, Outcome::Rejected { cause } if lacks(cause)) {
            let code = EnhancedCode(5, 7, 30);
            let reason = "the next host lacks REQUIRETLS; a redacted report goes in its place";
            fate.settled = Settled::Drop { code, reason: reason.to_owned() };
        }
    }
}

fn redacted(parts: &Parts, turn: &Turn, why: EnhancedCode) -> Letter {
    let domain = turn.group.destination.clone();
    let to = Mailbox { local: "postmaster".to_owned(), domain };
    let redacted = Redacted { to: &to, report: &turn.content, why };
    parts.author.redacted(&redacted, turn.now)
}
