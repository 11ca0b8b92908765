//! The part for machines: `message/delivery-status` (RFC 3464 §2), and its international form
//! (RFC 6533 §4).

use std::fmt::Write as _;

use mail_builder::headers::date::Date;
use waxseal_core::{envelope::Charset, facts::Peer, reply::EnhancedCode, time::UnixTime};

use super::{Action, Fate, Report};

/// Fields are folded before they get longer.
const LINE: usize = 900;

/// The whole part, CRLF line ends.
pub(super) fn part(report: &Report<'_>, hostname: &str, charset: Charset) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        let _ = write!(text, "{name}: {}\r\n", clean(&value, charset));
    };
    field("Reporting-MTA", format!("dns; {hostname}"));
    if let Some(id) = report.envelope.envelope_id.as_deref().and_then(xtext) {
        // RFC 3464 §2.2.1: as it was before it became xtext.
        field("Original-Envelope-Id", id);
    }
    field("Arrival-Date", date(report.received));
    for fate in &report.fates {
        text.push_str("\r\n");
        recipient(&mut text, fate, charset);
    }
    text
}

fn recipient(text: &mut String, fate: &Fate<'_>, charset: Charset) {
    let mut field = |name: &str, value: String| {
        let _ = write!(text, "{name}: {}\r\n", clean(&value, charset));
    };
    if let Some(original) = fate.recipient.original.as_deref().and_then(original) {
        field("Original-Recipient", original);
    }
    let mailbox = &fate.recipient.mailbox;
    let kind = if mailbox.local.is_ascii() { "rfc822" } else { "utf-8" };
    field("Final-Recipient", format!("{kind}; {mailbox}"));
    field("Action", action(&fate.action).to_owned());
    field("Status", status(fate).to_string());
    // RFC 3464 §2.3.5 and §2.3.6: who said it, and in which words.
    if let Some((peer, reply)) = &fate.remote {
        let peer = match peer {
            Peer::Name(name) => name.to_string(),
            Peer::Literal(address) => format!("[{address}]"),
        };
        field("Remote-MTA", format!("dns; {peer}"));
        field("Diagnostic-Code", format!("smtp; {reply}"));
    } else if !matches!(fate.action, Action::Delivered | Action::Relayed) {
        field("Diagnostic-Code", format!("X-Waxseal; {}", fate.reason));
    }
    if let Some(at) = fate.last_attempt {
        field("Last-Attempt-Date", date(at));
    }
    // RFC 3464 §2.3.9; what is held is tried on, too.
    if let Action::Delayed { until } | Action::Held { until } = fate.action {
        field("Will-Retry-Until", date(until));
    }
}

/// RFC 3464 §2.3.3.
const fn action(action: &Action) -> &'static str {
    match action {
        Action::Failed => "failed",
        Action::Delayed { .. } | Action::Held { .. } => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "relayed",
    }
}

/// The code, with the class that its action has to have (RFC 3464 §2.3.4).
pub(super) const fn status(fate: &Fate<'_>) -> EnhancedCode {
    let class = match fate.action {
        Action::Failed => 5,
        Action::Delayed { .. } | Action::Held { .. } => 4,
        Action::Delivered | Action::Relayed => 2,
    };
    EnhancedCode(class, fate.code.1, fate.code.2)
}

/// A date as in a header field (RFC 5322 §3.3).
pub(super) fn date(at: UnixTime) -> String {
    Date::new(i64::try_from(at.0).unwrap_or(i64::MAX)).to_rfc822()
}

/// One field value: no control characters, so that nothing from outside can add a field; only
/// ASCII outside the international form; folded at blanks.
fn clean(value: &str, charset: Charset) -> String {
    let mut text = String::new();
    let mut line = 0;
    for c in value.chars().take(8 * LINE) {
        let plain = match (c, charset) {
            (c, _) if c.is_control() => ' ',
            (c, Charset::Ascii) if !c.is_ascii() => '?',
            (c, Charset::Ascii | Charset::Utf8) => c,
        };
        if line >= LINE || (line >= 70 && plain == ' ') {
            text.push_str("\r\n ");
            line = 1;
            if plain == ' ' {
                continue;
            }
        }
        line += plain.len_utf8();
        text.push(plain);
    }
    text.trim_end().to_owned()
}

/// Undoes xtext (RFC 3461 §4); `None` if it is none, or hides anything unprintable.
fn xtext(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => {
                let pair = [rest.next()?, rest.next()?];
                octets.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
            }
            b'!'..=b'~' if octet != b'=' => octets.push(octet),
            _ => return None,
        }
    }
    octets.iter().all(|octet| matches!(octet, b' '..=b'~')).then_some(())?;
    String::from_utf8(octets).ok().filter(|text| text.len() <= 500)
}

/// `rfc822;a+2Bb@example.net` as an Original-Recipient value (RFC 3464 §2.3.1).
fn original(orcpt: &str) -> Option<String> {
    let (kind, address) = orcpt.split_once(';')?;
    let known = kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    (known && !kind.is_empty())
        .then(|| xtext(address).map(|address| format!("{kind};{address}")))?
}
