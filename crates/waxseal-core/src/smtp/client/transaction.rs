//! One message over a connection that may carry it.

use std::borrow::Cow;

use super::{Client, Mail, Purpose, mail::write_rcpt, session::reply_cause};
use crate::{
    outcome::{Cause, Outcome},
    reply::{EnhancedCode, Reply, Severity},
    smtp::data::stuffed,
};

/// Most commands that wait for a reply. The replies to so many fit any socket buffer, so that
/// neither side blocks on writing (RFC 2920 §3.1).
const WINDOW: usize = 100;
/// Most content octets in one flight.
const CHUNK: usize = 64 * 1_024;

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxStep<'m> {
    /// Read, then call `input` or `disconnected`.
    Read,
    /// Write these pieces, in one go where the transport can.
    Write(Flight<'m>),
    /// Make the intent to send durable, then call `intended`: the next flight holds the final
    /// dot (promise P4).
    Intend,
    /// Call `finish`.
    Done,
}

/// Octets to write, mostly borrowed from the message.
pub type Flight<'m> = Vec<Cow<'m, [u8]>>;

/// One message on its way. Made by [`Client::begin`], which asks for the proof.
#[derive(Debug)]
pub struct Transaction<'c, 'm> {
    client: &'c mut Client,
    mail: Mail<'m>,
    /// Next command to say: 0 is MAIL, then one RCPT each, then DATA.
    next: usize,
    /// Commands that were answered.
    answered: usize,
    outcomes: Vec<Option<Outcome>>,
    /// Whether the peer accepted any RCPT, refused MAIL or not.
    taken: Taken,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Nobody,
    Somebody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// MAIL, RCPT and DATA, as far as the peer lets us.
    Commands,
    /// 354 came. Content up to here has been handed out.
    Content {
        at: usize,
        intent: Intent,
    },
    /// The final dot has been handed out.
    FinalDot,
    /// DATA was accepted though no recipient was: a lone dot ends it (RFC 2920 §3.1).
    Empty,
    /// RSET was said, so that the connection can be used again.
    Reset,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Missing,
    Durable,
}

impl<'c, 'm> Transaction<'c, 'm> {
    pub(super) fn new(client: &'c mut Client, mail: Mail<'m>) -> Self {
        let outcomes = mail.recipients.iter().map(|_| None).collect();
        let taken = Taken::Nobody;
        Self { client, mail, next: 0, answered: 0, outcomes, taken, phase: Phase::Commands }
    }

    /// What to do now.
    pub fn step(&mut self) -> TxStep<'m> {
        if self.phase == Phase::Commands {
            self.say_commands();
        }
        if !self.client.out.is_empty() {
            return TxStep::Write(vec![Cow::Owned(std::mem::take(&mut self.client.out))]);
        }
        match self.phase {
            Phase::Commands | Phase::FinalDot | Phase::Empty | Phase::Reset => TxStep::Read,
            Phase::Content { at, intent } => self.content(at, intent),
            Phase::Done => TxStep::Done,
        }
    }

    /// Takes what was read.
    pub fn input(&mut self, bytes: &[u8]) {
        self.client.replies.push(bytes);
        while self.phase != Phase::Done && self.is_due() {
            match self.client.next_reply() {
                Ok(Some(reply)) => self.hear(reply),
                Ok(None) => return,
                Err(cause) => return self.broken(cause),
            }
        }
    }

    /// The intent to send is durable.
    pub const fn intended(&mut self) {
        if let Phase::Content { at, .. } = self.phase {
            self.phase = Phase::Content { at, intent: Intent::Durable };
        }
    }

    /// The connection is gone, or the driver lost patience. Once the final dot may have been
    /// written, nobody knows whether the message was taken (RFC 5321 §4.2.5, RFC 1047).
    pub fn disconnected(&mut self, why: &str) {
        let (outcome, step) = match self.phase {
            Phase::Done => return,
            Phase::FinalDot => {
                let detail = format!("{why} after the final dot and before the reply");
                (Outcome::Unknown { detail: detail.clone() }, detail)
            }
            Phase::Commands => disconnected(why, self.command(self.answered)),
            Phase::Content { .. } => disconnected(why, "the content"),
            Phase::Empty | Phase::Reset => disconnected(why, "RSET"),
        };
        self.client.transcript.noted(&step);
        self.decide_rest(&outcome);
        self.client.close(Cause::Connection(step));
        self.phase = Phase::Done;
    }

    /// How many replies were heard on this connection; see [`Client::heard`].
    pub const fn heard(&self) -> u64 {
        self.client.heard()
    }

    /// Which reply is awaited, for the choice of timeout (RFC 5321 §4.5.3.2).
    pub const fn awaits(&self) -> Awaits {
        match self.phase {
            Phase::Commands if self.answered > self.mail.recipients.len() => Awaits::Data,
            Phase::Commands | Phase::Reset => Awaits::Envelope,
            Phase::Content { .. } | Phase::FinalDot | Phase::Empty | Phase::Done => {
                Awaits::FinalDot
            }
        }
    }

    /// What became of each recipient, in the order of the envelope.
    pub fn finish(mut self) -> Vec<Outcome> {
        self.disconnected("the driver gave up");
        self.client.idle();
        let nothing = || Outcome::Disconnected { detail: "nothing was said".into() };
        self.outcomes.drain(..).map(|outcome| outcome.unwrap_or_else(nothing)).collect()
    }

    /// Whether a reply is awaited in this phase; replies beyond that are the next reader's.
    const fn is_due(&self) -> bool {
        match self.phase {
            Phase::Commands => self.answered < self.next,
            Phase::Content { .. } | Phase::FinalDot | Phase::Empty | Phase::Reset => true,
            Phase::Done => false,
        }
    }

    const fn command(&self, index: usize) -> &'static str {
        if index == 0 {
            "MAIL"
        } else if index <= self.mail.recipients.len() {
            "RCPT"
        } else {
            "DATA"
        }
    }

    /// As many commands as the peer takes in one flight (RFC 2920 §3.1).
    fn say_commands(&mut self) {
        let last = match self.mail.purpose {
            Purpose::Ask { .. } => self.mail.recipients.len(),
            Purpose::Deliver => self.mail.recipients.len() + 1,
        };
        let window = if self.client.extensions.pipelining { WINDOW } else { 1 };
        while self.next <= last && self.next - self.answered < window {
            // Nothing more to say once nobody can get the message.
            let hopeless = self.answered > 0 && !self.is_hopeful();
            if hopeless {
                break;
            }
            self.say_command();
        }
        if self.next == self.answered {
            self.reset();
        }
    }

    fn say_command(&mut self) {
        let (peer, out) = (&self.client.extensions, &mut self.client.out);
        match self.next.checked_sub(1) {
            None => self.mail.write_mail(peer, out),
            Some(index) => match self.mail.recipients.get(index) {
                Some(recipient) => write_rcpt(recipient, peer, out),
                None => out.extend_from_slice(b"DATA\r\n"),
            },
        }
        self.client.transcript.said(self.command(self.next));
        self.next += 1;
    }

    /// Whether some recipient was accepted or was not answered yet.
    fn is_hopeful(&self) -> bool {
        self.outcomes.iter().any(Option::is_none)
    }

    fn hear(&mut self, reply: Reply) {
        self.client.transcript.heard_codes(&reply);
        match self.phase {
            Phase::Commands => self.hear_command(reply),
            Phase::Content { .. } => self.hear_too_early(reply),
            Phase::FinalDot => self.hear_final(reply),
            Phase::Empty => self.done_or_closed(reply),
            Phase::Reset => self.done_or_closed(reply),
            Phase::Done => {}
        }
    }

    fn hear_command(&mut self, reply: Reply) {
        let index = self.answered;
        let command = self.command(index);
        self.answered += 1;
        // RFC 5321 §3.8: the server closes, whatever the command was.
        if reply.code == 421 {
            return self.goodbye(command, reply);
        }
        let is_data = index > self.mail.recipients.len();
        match (reply.severity(), is_data) {
            (Severity::Completed, false) if index > 0 => self.accepted(index, reply),
            (Severity::Completed, false) => {}
            (Severity::Continue, true) => self.start_content(),
            (Severity::Transient | Severity::Permanent, false) => self.refused(index, reply),
            (Severity::Transient | Severity::Permanent, true) => {
                self.decide_rest(&refusal(command, reply));
                self.reset();
            }
            (Severity::Completed, true) | (Severity::Continue, false) | (Severity::Invalid, _) => {
                self.broken(Cause::Protocol(format!("{} in reply to {command}", reply.code)));
            }
        }
    }

    /// One RCPT was accepted; where that is all that was asked, it is the end of it. After a
    /// refused MAIL it means nothing.
    fn accepted(&mut self, index: usize, reply: Reply) {
        self.taken = Taken::Somebody;
        let slot = index.checked_sub(1).and_then(|index| self.outcomes.get_mut(index));
        if let (Purpose::Ask { .. }, Some(slot)) = (self.mail.purpose, slot) {
            slot.get_or_insert(Outcome::Accepted { reply });
        }
    }

    /// MAIL or one RCPT was refused.
    fn refused(&mut self, index: usize, reply: Reply) {
        match index.checked_sub(1) {
            None => self.decide_rest(&refusal("MAIL", reply)),
            Some(index) => {
                let outcome = if is_too_many(&reply) {
                    Outcome::Deferred { cause: reply_cause("RCPT", reply) }
                } else {
                    refusal("RCPT", reply)
                };
                // After a refused MAIL each RCPT is refused too; what counts is the first.
                if let Some(slot) = self.outcomes.get_mut(index) {
                    slot.get_or_insert(outcome);
                }
            }
        }
    }

    fn start_content(&mut self) {
        if self.is_hopeful() {
            self.phase = Phase::Content { at: 0, intent: Intent::Missing };
        } else if self.taken == Taken::Somebody {
            // MAIL was refused, RCPT and DATA were not: a lone dot would deliver an empty message.
            self.broken(Cause::Protocol("DATA was accepted though MAIL was refused".into()));
        } else {
            self.client.out.extend_from_slice(b".\r\n");
            self.phase = Phase::Empty;
        }
    }

    /// The next flight of content. The last one holds the final dot and waits for the intent.
    fn content(&mut self, at: usize, intent: Intent) -> TxStep<'m> {
        let content = self.mail.content;
        if content.len() - at > CHUNK {
            let to = at + CHUNK;
            self.phase = Phase::Content { at: to, intent };
            return TxStep::Write(stuffed(content, at, to));
        }
        if intent == Intent::Missing {
            return TxStep::Intend;
        }
        let mut flight = stuffed(content, at, content.len());
        // RFC 5321 §4.1.1.4: the CRLF before the dot is the one that ends the last line.
        let end: &[u8] = match content {
            [.., b'\r', b'\n'] | [] => b".\r\n",
            [..] => b"\r\n.\r\n",
        };
        flight.push(Cow::Borrowed(end));
        self.client.transcript.said("content and final dot");
        self.phase = Phase::FinalDot;
        TxStep::Write(flight)
    }

    /// A reply in the middle of the content: a refusal is one, anything else is no SMTP. The
    /// connection cannot be used again, since the server does not know where it is.
    fn hear_too_early(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Transient | Severity::Permanent => self.goodbye("content", reply),
            Severity::Completed | Severity::Continue | Severity::Invalid => {
                self.broken(Cause::Protocol(format!("{} before the final dot", reply.code)));
            }
        }
    }

    fn hear_final(&mut self, reply: Reply) {
        match reply.severity() {
            Severity::Completed => {
                self.decide_rest(&Outcome::Accepted { reply });
                self.phase = Phase::Done;
            }
            Severity::Transient if reply.code == 421 => self.goodbye("final dot", reply),
            Severity::Transient | Severity::Permanent => {
                self.decide_rest(&refusal("final dot", reply));
                self.phase = Phase::Done;
            }
            Severity::Continue | Severity::Invalid => {
                self.broken(Cause::Protocol(format!("{} after the final dot", reply.code)));
            }
        }
    }

    /// The reply to RSET or to a lone dot: the connection goes on unless the server ends it.
    fn done_or_closed(&mut self, reply: Reply) {
        let over = reply.code == 421
            || (self.phase == Phase::Reset && reply.severity() != Severity::Completed);
        if over {
            self.client.close(reply_cause("RSET", reply));
        }
        self.phase = Phase::Done;
    }

    fn goodbye(&mut self, command: &str, reply: Reply) {
        self.decide_rest(&refusal(command, reply.clone()));
        self.client.close(reply_cause(command, reply));
        self.phase = Phase::Done;
    }

    /// The server does not speak SMTP. After the final dot that leaves the message's fate open.
    fn broken(&mut self, cause: Cause) {
        let outcome = if self.phase == Phase::FinalDot {
            Outcome::Unknown { detail: "an invalid reply after the final dot".into() }
        } else {
            Outcome::Deferred { cause: cause.clone() }
        };
        self.decide_rest(&outcome);
        self.client.close(cause);
        self.phase = Phase::Done;
    }

    /// Nothing can be delivered any more, and the server may still have a sender noted down.
    fn reset(&mut self) {
        self.client.out.extend_from_slice(b"RSET\r\n");
        self.client.transcript.said("RSET");
        self.phase = Phase::Reset;
    }

    fn decide_rest(&mut self, outcome: &Outcome) {
        for slot in self.outcomes.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some(outcome.clone());
        }
    }
}

/// Which timeout of RFC 5321 §4.5.3.2 applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// MAIL or RCPT (§4.5.3.2.2, §4.5.3.2.3).
    Envelope,
    /// DATA (§4.5.3.2.4).
    Data,
    /// The final dot (§4.5.3.2.6).
    FinalDot,
}

fn disconnected(why: &str, step: &str) -> (Outcome, String) {
    let detail = format!("{why} at {step}");
    (Outcome::Disconnected { detail: detail.clone() }, detail)
}

/// 4yz may be tried again, 5yz not.
fn refusal(command: &str, reply: Reply) -> Outcome {
    let permanent = reply.severity() == Severity::Permanent;
    let cause = reply_cause(command, reply);
    if permanent { Outcome::Rejected { cause } } else { Outcome::Deferred { cause } }
}

/// 552 to RCPT means "too many recipients" in old servers and is temporary then (RFC 5321
/// §4.5.3.1.10); with an enhanced code it means what that says, such as 5.2.2 mailbox full.
fn is_too_many(reply: &Reply) -> bool {
    reply.code == 552 && matches!(reply.enhanced, None | Some(EnhancedCode(5, 5, 3)))
}
