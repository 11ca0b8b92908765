//! Letters to others than the sender: notices to those who look after the mail, and what is left of
//! a report that may not travel as it is.

use std::fmt::Write as _;

use waxseal_core::{
    domain::Domain,
    envelope::{Mailbox, TlsAsk},
    queue_id::QueueId,
    reply::EnhancedCode,
    time::UnixTime,
};

use super::{
    Address, Author, Letter, charset_of,
    report::{paragraph, printable},
    status, words,
};

/// The longest Message-ID that is given back.
const MESSAGE_ID: usize = 250;

/// What a notice is about. It names a message by its number with us: no address, no subject.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Who is told.
    pub to: &'a Mailbox,
    /// What happened.
    pub event: Event,
    /// To which message.
    pub message: QueueId,
    /// On its way to which domain.
    pub destination: &'a Domain,
    /// The rule that decided.
    pub rule: &'a str,
    /// The reason.
    pub code: EnhancedCode,
    /// The reason in words.
    pub reason: &'a str,
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rule holds it, until then at most.
    Held {
        /// Then it is returned.
        until: UnixTime,
    },
    /// It went back to its sender because no safe connection could be had.
    Returned,
    /// It ended, and nobody could be told.
    Dropped,
    /// It came from outside and could not be handed inside; its sender may be forged, and was not
    /// told.
    Refused {
        /// As many others since the last such notice.
        others: u64,
    },
}

/// What is left of a report on a message with REQUIRETLS whose way back cannot promise that.
#[derive(Clone, Copy, Debug)]
pub struct Redacted<'a> {
    /// The postmaster of the sender's domain.
    pub to: &'a Mailbox,
    /// The report as it was written.
    pub report: &'a [u8],
    /// Why it could not go.
    pub why: EnhancedCode,
}

impl Author {
    /// A notice to somebody of ours.
    pub fn notice(&self, notice: &Notice<'_>, now: UnixTime) -> Letter {
        let subject = match notice.event {
            Event::Held { .. } => "A message is held",
            Event::Returned => "A message was returned to its sender",
            Event::Dropped => "A message could not be delivered, and nobody can be told",
            Event::Refused { .. } => "Mail from outside was refused inside after it was taken",
        };
        let mut text = format!("This is the mail server {}.\r\n\r\n", self.hostname);
        let to = notice.destination;
        match notice.event {
            Event::Held { until } => {
                let when = status::date(until);
                paragraph(
                    &mut text,
                    &format!(
                        "A message to somebody at {to} is held and has not been sent. It goes out \
                         by itself as soon as a safe connection can be had. If nobody decides \
                         otherwise, it is returned to its sender on {when}."
                    ),
                );
            }
            Event::Returned => paragraph(
                &mut text,
                &format!(
                    "A message to somebody at {to} was not sent, and went back to its sender with \
                     the reason."
                ),
            ),
            Event::Dropped => paragraph(
                &mut text,
                &format!(
                    "A message to somebody at {to} could not be delivered in all the time that it \
                     may wait. It was written by a machine, so there is no person who could be \
                     told: perhaps it was a report or an automatic answer. It is gone; what \
                     happened to it is on record."
                ),
            ),
            Event::Refused { others } => paragraph(
                &mut text,
                &format!(
                    "A message from outside to somebody at {to} was taken, and your mail server \
                     did not take it afterwards. Nothing proves that the sender's address is real, \
                     so no report went there: it would bother somebody whose address was forged. \
                     The message is gone; what happened to it is on record. Others that ended so \
                     since the last notice: {others}. The next notice comes in an hour at the earliest."
                ),
            ),
        }
        paragraph(&mut text, &format!("Why: {}", words::meaning(notice.code)));
        let (id, rule) = (notice.message, printable(notice.rule));
        let reason = printable(notice.reason);
        paragraph(
            &mut text,
            &format!("For the administrator: message {id}, rule {rule}, {} {reason}", notice.code),
        );
        let _ = write!(text, "    waxseal queue show {id}\r\n    waxseal evidence show {id}\r\n");
        self.plain((notice.to, subject), &text, now)
    }

    /// The redacted report: only the Message-ID and what kind of failure it was; no address and no
    /// other field of the message (RFC 8689 §5).
    pub fn redacted(&self, redacted: &Redacted<'_>, now: UnixTime) -> Letter {
        let mut text = format!("This is the mail server {}.\r\n\r\n", self.hostname);
        let found = outline(redacted.report);
        let state = match found.action.as_deref() {
            Some("delayed") => "is late or held",
            Some("relayed") => "was handed on",
            Some(_) | None => "was NOT delivered",
        };
        paragraph(
            &mut text,
            &format!(
                "A message that somebody in your domain sent {state}. It had to travel protected \
                 all the way (REQUIRETLS), and so has the report about it. Your mail server does \
                 not promise that, so the sender has not been told. This note says only which \
                 message it was."
            ),
        );
        let id = found.message_id.as_deref().unwrap_or("(it had none)");
        let _ = write!(text, "    Message-ID: {id}\r\n\r\n");
        if let Some(code) = found.status {
            paragraph(&mut text, &format!("Why: {} ({code})", words::meaning(code)));
        }
        paragraph(
            &mut text,
            "What you can do: look for this Message-ID in the log of your mail server, and tell \
             the sender. So that such reports arrive by themselves, let your mail server offer \
             REQUIRETLS to this one.",
        );
        let code = redacted.why;
        paragraph(&mut text, &format!("For the administrator: {code} the report was not taken"));
        let subject = "A report about a protected message could not be delivered";
        self.plain((redacted.to, subject), &text, now)
    }

    /// Tells our postmaster that something needs a person.
    pub fn alert(&self, subject: &str, text: &str, now: UnixTime) -> Letter {
        self.plain((&self.postmaster, subject), text, now)
    }

    fn plain(&self, (to, subject): (&Mailbox, &str), text: &str, now: UnixTime) -> Letter {
        let (charset, tls) = (charset_of(to), TlsAsk::Nothing);
        let address = Address { to, subject, charset, tls, now };
        let builder = self.begin(&address, "auto-generated");
        self.finish(&address, builder.text_body(text))
    }
}

/// Whether a message of the null reverse path is a delivery report (RFC 6522).
pub fn is_report(message: &[u8]) -> bool {
    let (header, _) = halves(message);
    contains(header, b"multipart/report").is_some()
        && contains(header, b"delivery-status").is_some()
}

/// What a report says, as far as a stranger may know it.
struct Outline {
    action: Option<String>,
    status: Option<EnhancedCode>,
    message_id: Option<String>,
}

/// Read back from the report, as whatever stands in a queue: somebody inside may have written it.
fn outline(report: &[u8]) -> Outline {
    let (_, body) = halves(report);
    let field = |name: &[u8]| {
        let at = contains(body, name)? + name.len();
        let rest = body.get(at..)?;
        let end = contains(rest, b"\r\n").unwrap_or(rest.len());
        let value = std::str::from_utf8(rest.get(..end)?).ok()?.trim().to_owned();
        let fine = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_graphic());
        (fine && value.len() <= MESSAGE_ID).then_some(value)
    };
    Outline {
        action: field(b"\r\nAction:"),
        status: field(b"\r\nStatus:")
            .and_then(|text| EnhancedCode::leading(&text).map(|(code, _)| code)),
        message_id: field(b"\r\nMessage-ID:"),
    }
}

/// Header and body.
fn halves(message: &[u8]) -> (&[u8], &[u8]) {
    let at = contains(message, b"\r\n\r\n").unwrap_or(message.len());
    message.split_at_checked(at).unwrap_or((message, &[]))
}

/// Where these octets stand first, whatever their case.
fn contains(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part.eq_ignore_ascii_case(wanted))
}
