//! The message itself on the wire: `DATA` with its dots (RFC 5321 §4.5.2), `BDAT` with its chunks
//! (RFC 3030), and the way out.
//!
//! Only `CRLF . CRLF` ends DATA. A message that holds a bare CR, a bare LF or a NUL is read to its
//! proper end and then refused as a whole: another host on the way could take such a spot for a
//! line end, and so a line of the message for an SMTP command ("SMTP smuggling", CVE-2023-51764 and
//! its kin). Repairing it instead would hand on a message that its sender never signed.

use std::{borrow::Cow, fmt};

use memchr::{memchr_iter, memchr3, memmem};

use crate::reply::EnhancedCode;

/// Why a message is refused although it was framed properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// LF without CR before it (RFC 5321 §2.3.8).
    BareLf,
    /// CR without LF behind it (RFC 5321 §2.3.8).
    BareCr,
    /// An octet of zero: neither 7BIT nor 8BITMIME may hold one (RFC 2045 §2.7, §2.8).
    Nul,
    /// More octets than the limit (RFC 1870 §6.3).
    TooBig,
    /// There is no room for it beside what others are sending: it may come again.
    NoRoom,
}

impl Fault {
    /// The reply code.
    pub const fn code(self) -> u16 {
        match self {
            Self::BareLf | Self::BareCr | Self::Nul => 550,
            Self::TooBig => 552,
            Self::NoRoom => 452,
        }
    }

    /// 5.6.11, "invalid characters", is what Exchange says of bare line feeds; RFC 3463 has no number.
    pub const fn enhanced(self) -> EnhancedCode {
        match self {
            Self::BareLf | Self::BareCr | Self::Nul => EnhancedCode(5, 6, 11),
            Self::TooBig => EnhancedCode(5, 3, 4),
            Self::NoRoom => EnhancedCode(4, 3, 1),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareLf => "the message has a line feed without carriage return",
            Self::BareCr => "the message has a carriage return without line feed",
            Self::Nul => "the message has a NUL octet",
            Self::TooBig => "the message is larger than the limit",
            Self::NoRoom => "there is no room for it beside other messages, try again later",
        })
    }
}

impl std::error::Error for Fault {}

/// Whether a decoder has reached the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input was used and more is needed.
    More,
    /// The end was found; input behind it was not touched.
    Done,
    /// Far more was sent than is allowed: not even the end is waited for.
    Overrun,
}

/// What was decoded so far. Past a fault it keeps nothing.
#[derive(Debug)]
pub(super) struct Sink {
    message: Vec<u8>,
    limit: usize,
    kept: usize,
    seen: usize,
    fault: Option<Fault>,
}

impl Sink {
    const fn new(limit: usize) -> Self {
        Self { message: Vec::new(), limit, kept: 0, seen: 0, fault: None }
    }

    /// Octets of memory that it takes.
    pub(super) const fn held(&self) -> usize {
        self.message.capacity()
    }

    /// Lets go of the message: it is refused at its end, or at that of its chunk.
    pub(super) fn no_room(&mut self) {
        self.fail(Fault::NoRoom);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.kept = self.kept.saturating_add(bytes.len());
        if self.kept > self.limit {
            self.fail(Fault::TooBig);
        }
        if self.fault.is_none() {
            self.message.extend_from_slice(bytes);
        }
    }

    /// Room for what has arrived, so that a message does not grow line by line.
    fn expect(&mut self, arrived: usize) {
        if self.fault.is_none() {
            self.message.reserve(arrived.min(self.limit.saturating_sub(self.message.len())));
        }
    }

    fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.fault = Some(fault);
            self.message = Vec::new();
        }
    }

    /// Twice the limit on the wire: who sends on after that does not listen.
    const fn overrun(&self) -> bool {
        self.seen > self.limit.saturating_mul(2)
    }

    fn finish(self) -> Result<Vec<u8>, Fault> {
        self.fault.map_or(Ok(self.message), Err)
    }
}

/// Where the dot decoder stands between two octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind CRLF, or at the very start: the CRLF of the DATA command counts (RFC 5321 §4.1.1.4).
    LineStart,
    /// Behind the first dot of a line.
    Dot,
    /// Behind the dot and a CR.
    DotCr,
    /// Inside a line.
    Middle,
    /// Behind a CR inside a line.
    Cr,
}

/// Decodes what follows `354`, in pieces of any size.
#[derive(Debug)]
pub struct Dotted {
    sink: Sink,
    at: At,
}

impl Dotted {
    /// `limit`: octets that a message may have, stuffing not counted.
    pub const fn new(limit: usize) -> Self {
        Self { sink: Sink::new(limit), at: At::LineStart }
    }

    /// Takes input; says how much of it was used.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Progress) {
        let (mut used, mut progress) = (0, Progress::More);
        self.sink.expect(input.len());
        while let Some(rest) = input.get(used..) {
            let Some(&byte) = rest.first() else { break };
            // The common case: a whole line, or what there is of it, moves in one piece.
            if self.at == At::Middle || (self.at == At::LineStart && byte != b'.') {
                used += self.run(rest);
            } else {
                used += 1;
                progress = self.single(byte);
                if progress == Progress::Done {
                    break;
                }
            }
        }
        self.sink.seen = self.sink.seen.saturating_add(used);
        (used, if self.sink.overrun() { Progress::Overrun } else { progress })
    }

    /// Text up to the next octet that means something, and CRLF behind it where it is whole.
    fn run(&mut self, rest: &[u8]) -> usize {
        let Some(end) = memchr3(b'\r', b'\n', 0, rest) else {
            self.sink.push(rest);
            self.at = At::Middle;
            return rest.len();
        };
        if rest.get(end..end + 2) == Some(b"\r\n") {
            self.sink.push(rest.get(..end + 2).unwrap_or_default());
            self.at = At::LineStart;
            return end + 2;
        }
        self.sink.push(rest.get(..end).unwrap_or_default());
        self.at = At::Middle;
        self.ordinary(rest.get(end).copied().unwrap_or_default());
        end + 1
    }

    fn single(&mut self, byte: u8) -> Progress {
        match (self.at, byte) {
            (At::LineStart, b'.') => self.at = At::Dot,
            (At::Dot, b'\r') => self.at = At::DotCr,
            (At::DotCr, b'\n') => return Progress::Done,
            (At::Cr, b'\n') => {
                self.sink.push(b"\r\n");
                self.at = At::LineStart;
            }
            (At::DotCr | At::Cr, _) => {
                self.sink.fail(Fault::BareCr);
                self.ordinary(byte);
            }
            // A dot in front of anything else was stuffed, and goes (RFC 5321 §4.5.2).
            (At::LineStart | At::Dot | At::Middle, _) => self.ordinary(byte),
        }
        Progress::More
    }

    /// An octet inside a line.
    fn ordinary(&mut self, byte: u8) {
        self.at = At::Middle;
        match byte {
            b'\r' => self.at = At::Cr,
            b'\n' => self.sink.fail(Fault::BareLf),
            0 => self.sink.fail(Fault::Nul),
            _ => self.sink.push(&[byte]),
        }
    }

    /// What was decoded so far.
    pub(super) const fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// The message, after [`Progress::Done`].
    ///
    /// # Errors
    /// The first fault.
    pub fn finish(self) -> Result<Vec<u8>, Fault> {
        self.sink.finish()
    }
}

/// Decodes the chunks of one message (RFC 3030 §2). Nothing is stuffed there, and the same
/// octets are forbidden, because BINARYMIME is not offered (RFC 3030 §3).
#[derive(Debug)]
pub struct Chunks {
    sink: Sink,
    left: u64,
    after_cr: bool,
}

impl Chunks {
    /// `limit`: octets that a message may have.
    pub const fn new(limit: usize) -> Self {
        Self { sink: Sink::new(limit), left: 0, after_cr: false }
    }

    /// `BDAT size` was read; so many octets follow.
    pub fn begin(&mut self, size: u64) -> Progress {
        self.left = size;
        let limit = u64::try_from(self.sink.limit).unwrap_or(u64::MAX);
        match size > limit.saturating_mul(2) {
            true => Progress::Overrun,
            false => Progress::More,
        }
    }

    /// Takes input; says how much of it was used. `Done` is the end of the chunk.
    pub fn feed(&mut self, input: &[u8]) -> (usize, Progress) {
        let used = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let chunk = input.get(..used).unwrap_or_default();
        self.check(chunk);
        self.sink.push(chunk);
        self.sink.seen = self.sink.seen.saturating_add(used);
        self.left = self.left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        let progress = match (self.left, self.sink.overrun()) {
            (_, true) => Progress::Overrun,
            (0, false) => Progress::Done,
            (_, false) => Progress::More,
        };
        (used, progress)
    }

    fn check(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            match rest.split_first() {
                Some((b'\n', behind)) => rest = behind,
                Some(_) | None => self.sink.fail(Fault::BareCr),
            }
        }
        while let Some(at) = memchr3(b'\r', b'\n', 0, rest) {
            let (byte, behind) = (rest.get(at), rest.get(at + 1..).unwrap_or_default());
            rest = behind;
            match (byte, behind.first()) {
                (Some(b'\r'), Some(b'\n')) => rest = behind.get(1..).unwrap_or_default(),
                (Some(b'\r'), None) => self.after_cr = true,
                (Some(b'\r'), Some(_)) => self.sink.fail(Fault::BareCr),
                (Some(b'\n'), _) => self.sink.fail(Fault::BareLf),
                (Some(_) | None, _) => self.sink.fail(Fault::Nul),
            }
        }
    }

    /// What was decoded so far.
    pub(super) const fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// The first fault so far.
    pub const fn fault(&self) -> Option<Fault> {
        self.sink.fault
    }

    /// The message, after the last chunk. A last line without CRLF gets one: DATA on the next hop
    /// could not say it otherwise.
    ///
    /// # Errors
    /// The first fault.
    pub fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if self.after_cr {
            self.sink.fail(Fault::BareCr);
        }
        if self.sink.fault.is_none()
            && !self.sink.message.is_empty()
            && !self.sink.message.ends_with(b"\r\n")
        {
            self.sink.message.extend_from_slice(b"\r\n");
        }
        self.sink.finish()
    }
}

/// The octets `from..to` of a message with leading dots doubled (RFC 5321 §4.5.2), in pieces that
/// are borrowed: a message is written in windows and never copied.
pub fn stuffed(message: &[u8], from: usize, to: usize) -> Vec<Cow<'_, [u8]>> {
    let mut pieces = Vec::with_capacity(3);
    let mut start = from;
    let mut cut = |dot: usize| {
        // Up to and including the dot; the next piece starts with the same dot again.
        pieces.push(Cow::Borrowed(message.get(start..=dot).unwrap_or_default()));
        start = dot;
    };
    let line_start = from == 0 || message.get(from - 1) == Some(&b'\n');
    let part = message.get(from..to).unwrap_or_default();
    if line_start && part.first() == Some(&b'.') {
        cut(from);
    }
    memmem::find_iter(part, b"\n.").for_each(|at| cut(from + at + 1));
    pieces.push(Cow::Borrowed(message.get(start..to).unwrap_or_default()));
    pieces
}

/// Whether every CR is followed by LF, every LF preceded by CR, and nothing is NUL.
///
/// # Errors
/// The kind of fault that was found.
pub fn strict(message: &[u8]) -> Result<(), Fault> {
    let before = |at: usize| at.checked_sub(1).and_then(|at| message.get(at));
    if memchr_iter(b'\n', message).any(|at| before(at) != Some(&b'\r')) {
        return Err(Fault::BareLf);
    }
    if memchr_iter(b'\r', message).any(|at| message.get(at + 1) != Some(&b'\n')) {
        return Err(Fault::BareCr);
    }
    match memchr::memchr(0, message) {
        Some(_) => Err(Fault::Nul),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
