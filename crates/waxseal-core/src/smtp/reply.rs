//! Reads replies off a connection, whatever the server sends (RFC 5321 §4.2).
//!
//! Each length is bounded, so an endless banner or an EHLO that never ends is an error and not a
//! growing buffer (promise P8). Control characters never get out of here: replies end up in
//! records, bounces and terminals.

use std::fmt;

use crate::reply::{EnhancedCode, Reply};

/// Longest reply line with its CRLF. RFC 5321 §4.5.3.1.5 says 512 octets; real ones are longer.
pub const MAX_LINE: usize = 2_048;
/// Most lines of one reply.
pub const MAX_LINES: usize = 256;
/// Most octets of one reply.
pub const MAX_REPLY: usize = 64 * 1_024;
/// Most octets that may wait unread: pipelined replies of one flight, and no more.
pub const MAX_AHEAD: usize = 256 * 1_024;

/// How a server broke the rules for replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// A line of more than [`MAX_LINE`] octets, or no line end in that many.
    LineTooLong,
    /// More than [`MAX_LINES`] lines or [`MAX_REPLY`] octets in one reply.
    ReplyTooLong,
    /// More than [`MAX_AHEAD`] octets that nobody asked for.
    TooMuchAhead,
    /// A line end other than CRLF (RFC 5321 §2.3.8).
    BareLineFeed,
    /// A line that does not start with a code from 200 to 599 and a space or hyphen (§4.2).
    NoCode,
    /// The lines of one reply have different codes (§4.2.1).
    CodeChanged,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "a reply line of more than {MAX_LINE} octets"),
            Self::ReplyTooLong => {
                write!(f, "a reply of more than {MAX_LINES} lines or {MAX_REPLY} octets")
            }
            Self::TooMuchAhead => {
                write!(f, "more than {MAX_AHEAD} octets that nobody had asked for")
            }
            Self::BareLineFeed => f.write_str("a reply line that does not end with CRLF"),
            Self::NoCode => f.write_str("a reply line without a reply code"),
            Self::CodeChanged => f.write_str("a reply whose lines have different codes"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Turns octets into replies. Fed with pieces of any size it yields the same.
#[derive(Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    start: usize,
    open: Option<Open>,
    failed: Option<ReplyError>,
}

/// A reply of which lines are still to come.
#[derive(Debug)]
struct Open {
    code: u16,
    enhanced: Option<EnhancedCode>,
    text: Vec<String>,
    octets: usize,
}

impl ReplyReader {
    /// Takes what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // What was read is not kept, also where a server always leaves an octet unread.
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.unread().len() + bytes.len() > MAX_AHEAD {
            self.failed = Some(ReplyError::TooMuchAhead);
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete reply, `None` while more octets are needed.
    ///
    /// # Errors
    /// The server broke a rule or a limit. The error stays: nothing is read after it.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.parse().inspect_err(|error| self.failed = Some(*error))
    }

    /// Whether nothing is waiting: neither octets nor half a reply.
    pub fn is_empty(&self) -> bool {
        self.unread().is_empty() && self.open.is_none()
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn parse(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            let window = unread.get(..MAX_LINE).unwrap_or(unread);
            let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
                return if unread.len() >= MAX_LINE {
                    Err(ReplyError::LineTooLong)
                } else {
                    Ok(None)
                };
            };
            let line = window.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").ok_or(ReplyError::BareLineFeed)?;
            let done = add_line(&mut self.open, line)?;
            self.start += end + 1;
            if done && let Some(open) = self.open.take() {
                let Open { code, enhanced, text, octets: _ } = open;
                return Ok(Some(Reply { code, enhanced, text }));
            }
        }
    }
}

/// Whether it is the last line of its reply.
fn add_line(open: &mut Option<Open>, line: &[u8]) -> Result<bool, ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::NoCode)?;
    let code = code(digits)?;
    let (last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return Err(ReplyError::NoCode),
    };
    let text = printable(text);
    let reply = open.get_or_insert_with(|| Open {
        code,
        enhanced: enhanced(code, &text).map(|(enhanced, _)| enhanced),
        text: Vec::new(),
        octets: 0,
    });
    if reply.code != code {
        return Err(ReplyError::CodeChanged);
    }
    reply.octets += line.len() + 2;
    if reply.text.len() == MAX_LINES || reply.octets > MAX_REPLY {
        return Err(ReplyError::ReplyTooLong);
    }
    // RFC 2034 §4: every line of a reply repeats the enhanced code.
    let text = match enhanced(code, &text) {
        Some((found, rest)) if Some(found) == reply.enhanced => rest.to_owned(),
        Some(_) | None => text,
    };
    reply.text.push(text);
    Ok(last)
}

/// Three digits from 200 to 599.
fn code(digits: &[u8]) -> Result<u16, ReplyError> {
    let value = number(digits).ok_or(ReplyError::NoCode)?;
    if (200..600).contains(&value) { Ok(value) } else { Err(ReplyError::NoCode) }
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    digits.iter().try_fold(0_u16, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0'))
    })
}

/// `class "." subject "." detail` at the front of the text, with the class of the reply code
/// (RFC 2034 §4), and what follows it.
fn enhanced(code: u16, text: &str) -> Option<(EnhancedCode, &str)> {
    let (front, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = front.split('.');
    let class = number(parts.next()?.as_bytes())?;
    let subject = number(parts.next()?.as_bytes())?;
    let detail = number(parts.next()?.as_bytes())?;
    let fits = parts.next().is_none() && class == code / 100 && matches!(class, 2 | 4 | 5);
    fits.then_some((EnhancedCode(u8::try_from(class).ok()?, subject, detail), rest))
}

/// Text that a terminal or a bounce can show: what is not UTF-8, controls and marks that turn
/// the direction of writing become U+FFFD.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(odd) { text.replace(odd, "\u{fffd}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests;
