//! Delivery reports (RFC 3464 in the `multipart/report` of RFC 6522): one part for people, one
//! for machines, and what may be quoted of the message.

use std::{borrow::Cow, fmt::Write as _};

use mail_builder::{
    headers::{content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};
use waxseal_core::{
    envelope::{Charset, Mailbox, ReversePath, TlsAsk},
    time::UnixTime,
};

use super::{
    Action, Address, Author, Fate, Letter, Quote, Report, charset_of,
    quote::{Quoted, quoted, tls_not_required},
    status, words,
};

impl Author {
    /// The report to the sender; `None` where nobody may be told: the null reverse path is
    /// never answered (RFC 5321 §4.5.5, RFC 3464 §2), and NOTIFY may forbid it for all
    /// recipients.
    pub fn report(&self, report: &Report<'_>, now: UnixTime) -> Option<Letter> {
        let sender = match &report.envelope.reverse_path {
            ReversePath::Null => return None,
            ReversePath::Mailbox(mailbox) => mailbox,
        };
        let mut wanted = report.clone();
        wanted
            .fates
            .retain(|fate| fate.action.is_wanted(fate.recipient.notify.unwrap_or_default()));
        let first = wanted.fates.first()?;
        let subject = subject(first, wanted.fates.len());
        let charset = charset(&wanted, sender);
        let address = Address { to: sender, subject: &subject, charset, tls: tls(&wanted), now };
        let parts = vec![
            MimePart::new("text/plain", self.text(&wanted)),
            machine_part(status::part(&wanted, self.hostname.as_str(), charset), charset),
            quoted_part(&wanted, charset),
        ];
        let kind = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
        let mut builder = self.begin(&address, "auto-replied");
        if tls_not_required(report.message) && address.tls != TlsAsk::RequireTls {
            builder = builder.header("TLS-Required", Raw::new("No"));
        }
        Some(self.finish(&address, builder.body(MimePart::new(kind, parts))))
    }

    /// The part for people.
    fn text(&self, report: &Report<'_>) -> String {
        let mut text = String::from("This is the mail server ");
        let _ = write!(text, "{}.\r\n", self.hostname);
        for group in report.fates.chunk_by(|a, b| same(a, b)) {
            let Some(first) = group.first() else { continue };
            let _ = write!(text, "\r\n{}\r\n\r\n", opening(first.action));
            for fate in group {
                let _ = write!(text, "    {}\r\n", fate.recipient.mailbox);
            }
            text.push_str("\r\n");
            explain(&mut text, first);
        }
        let _ = write!(
            text,
            "The message was taken over on {}.\r\n\r\n",
            status::date(report.received)
        );
        if report.quote == Quote::Skeleton {
            paragraph(
                &mut text,
                "It is protected, so this report contains neither its text nor its subject.",
            );
        }
        // Whoever writes to us from outside has another one.
        let whose = match &report.envelope.reverse_path {
            ReversePath::Mailbox(sender) if sender.domain == self.postmaster.domain => "Your",
            ReversePath::Mailbox(_) | ReversePath::Null => "Our",
        };
        let _ = write!(text, "{whose} postmaster is {}.\r\n", self.postmaster);
        text
    }
}

/// Whether two recipients can be told in one paragraph.
fn same(one: &Fate<'_>, other: &Fate<'_>) -> bool {
    one.action == other.action && one.code == other.code && one.reason == other.reason
}

const fn opening(action: Action) -> &'static str {
    match action {
        Action::Failed => "Your message was NOT delivered to:",
        Action::Delayed { .. } => "Your message has not been delivered yet to:",
        Action::Held { .. } => "Your message is being held, and has not been sent to:",
        Action::Delivered => "Your message was delivered to the mail server of:",
        Action::Relayed => {
            "Your message was handed to a mail server that reports no further, on its way to:"
        }
    }
}

fn explain(text: &mut String, fate: &Fate<'_>) {
    match fate.action {
        Action::Failed => {
            paragraph(text, &format!("Why: {}", words::meaning(fate.code)));
            paragraph(text, &format!("What you can do: {}", words::advice(fate.code)));
        }
        Action::Delayed { until } => {
            paragraph(text, &format!("Why: {}", words::meaning(fate.code)));
            let when = status::date(until);
            paragraph(
                text,
                &format!(
                    "You need not do anything: it is tried again until {when}. You will hear \
                     if it fails."
                ),
            );
        }
        Action::Held { until } => {
            paragraph(text, &format!("Why: {}", words::meaning(fate.code)));
            paragraph(text, &format!("What you can do: {}", words::advice(fate.code)));
            let when = status::date(until);
            paragraph(
                text,
                &format!(
                    "It goes out by itself as soon as a safe connection can be had. If nobody \
                     decides otherwise, it is returned on {when}."
                ),
            );
        }
        Action::Delivered | Action::Relayed => return,
    }
    let code = status::status(fate);
    paragraph(text, &format!("For the administrator: {code} {}", printable(&fate.reason)));
    if let Some((peer, reply)) = &fate.remote {
        paragraph(text, &format!("{peer} said: {}", printable(&reply.to_string())));
    }
}

/// Text from outside, without control characters and not longer than a person reads.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(2_000).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Wrapped at 72 columns.
pub(super) fn paragraph(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > 72 {
            text.push_str("\r\n");
            column = 0;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push_str("\r\n\r\n");
}

fn subject(fate: &Fate<'_>, count: usize) -> String {
    let state = match fate.action {
        Action::Failed => "Not delivered",
        Action::Delayed { .. } => "Delayed",
        Action::Held { .. } => "Held",
        Action::Delivered => "Delivered",
        Action::Relayed => "Handed on",
    };
    match count {
        1 => format!("{state}: your message to {}", fate.recipient.mailbox),
        _ => format!("{state}: your message to {count} recipients"),
    }
}

/// UTF-8 stands in a report if the message was international or an address is (RFC 6533 §4).
fn charset(report: &Report<'_>, sender: &Mailbox) -> Charset {
    let addresses = report.fates.iter().map(|fate| &fate.recipient.mailbox).chain([sender]);
    let foreign = addresses.map(charset_of).any(|charset| charset == Charset::Utf8);
    match (report.envelope.charset, foreign) {
        (Charset::Utf8, _) | (_, true) => Charset::Utf8,
        (Charset::Ascii, false) => Charset::Ascii,
    }
}

/// A report keeps the demand of its message (RFC 8689 §5); the parameter wins over the header
/// field (§4.1).
fn tls(report: &Report<'_>) -> TlsAsk {
    match report.envelope.tls {
        TlsAsk::RequireTls => TlsAsk::RequireTls,
        TlsAsk::TlsNotRequired => TlsAsk::TlsNotRequired,
        TlsAsk::Nothing if tls_not_required(report.message) => TlsAsk::TlsNotRequired,
        TlsAsk::Nothing => TlsAsk::Nothing,
    }
}

/// The part for machines is never encoded (RFC 3464 §2.1), but for 8 bits (RFC 6533 §4).
fn machine_part(text: String, charset: Charset) -> MimePart<'static> {
    let (kind, encoding) = match charset {
        Charset::Ascii => ("message/delivery-status", "7bit"),
        Charset::Utf8 => ("message/global-delivery-status", "8bit"),
    };
    let bytes = BodyPart::Binary(Cow::Owned(text.into_bytes()));
    MimePart::new(kind, bytes).transfer_encoding(encoding)
}

fn quoted_part(report: &Report<'_>, charset: Charset) -> MimePart<'static> {
    let (kind, bytes) = match (quoted(report.message, report.quote), charset) {
        // As text it is encoded where it has 8 bits.
        (Quoted::Header(bytes), Charset::Ascii) => {
            return MimePart::new("text/rfc822-headers", BodyPart::Binary(Cow::Owned(bytes)));
        }
        (Quoted::Header(bytes), Charset::Utf8) => ("message/global-headers", bytes),
        (Quoted::Message(bytes), Charset::Ascii) => ("message/rfc822", bytes),
        (Quoted::Message(bytes), Charset::Utf8) => ("message/global", bytes),
    };
    let encoding = if bytes.is_ascii() { "7bit" } else { "8bit" };
    MimePart::new(kind, BodyPart::Binary(Cow::Owned(bytes))).transfer_encoding(encoding)
}
