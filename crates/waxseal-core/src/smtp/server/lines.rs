//! Lines from bytes: only CRLF ends one (RFC 5321 §2.3.8).

use std::borrow::Cow;

use memchr::memchr;

/// A command line with its CRLF, octets: 512 (RFC 5321 §4.5.3.1.4), and room for what SIZE, BODY,
/// SMTPUTF8, AUTH, REQUIRETLS and DSN add to it (RFC 3461 §5.4: at least 1036 for DSN alone).
pub(super) const MAX_COMMAND: usize = 2_048;
/// A response of AUTH (RFC 4954 §4).
pub(super) const MAX_RESPONSE: usize = 12_288;
/// A line that goes on after this is not waited for.
const MAX_SKIPPED: usize = 65_536;

/// What came out of the input.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// A line without its CRLF.
    Whole(Cow<'a, [u8]>),
    /// No line end yet; the input was kept.
    Partial,
    /// A line over the limit has ended; it was dropped.
    TooLong,
    /// LF without CR before it.
    BareLf,
    /// The line is over every limit and still goes on.
    Endless,
}

/// The beginning of a line that has not ended.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Octets of this line that were dropped.
    dropped: usize,
}

impl Lines {
    /// Takes one line from the front of `input`; says how much was used.
    pub(super) fn take<'a>(&mut self, input: &'a [u8], longest: usize) -> (usize, Line<'a>) {
        let Some(at) = memchr(b'\n', input) else {
            self.keep(input, longest);
            let endless = self.partial.len() + self.dropped > MAX_SKIPPED;
            return (input.len(), if endless { Line::Endless } else { Line::Partial });
        };
        let used = at + 1;
        let piece = input.get(..used).unwrap_or_default();
        if self.partial.is_empty() && self.dropped == 0 && used <= longest {
            let line = piece.strip_suffix(b"\r\n").map(|line| Line::Whole(Cow::Borrowed(line)));
            return (used, line.unwrap_or(Line::BareLf));
        }
        self.keep(piece, longest);
        let length = self.partial.len() + self.dropped;
        let dropped = std::mem::take(&mut self.dropped);
        let mut line = std::mem::take(&mut self.partial);
        let whole = if !line.ends_with(b"\r\n") {
            Line::BareLf
        } else if length > MAX_SKIPPED {
            Line::Endless
        } else if dropped > 0 || length > longest {
            Line::TooLong
        } else {
            line.truncate(length - 2);
            Line::Whole(Cow::Owned(line))
        };
        (used, whole)
    }

    /// Appends; past the limit only the last two octets are kept, to see the line end.
    fn keep(&mut self, input: &[u8], longest: usize) {
        self.partial.extend_from_slice(input);
        if self.partial.len() > longest || self.dropped > 0 {
            let surplus = self.partial.len().saturating_sub(2);
            self.partial.drain(..surplus);
            self.dropped += surplus;
        }
    }
}
