//! What was said on a connection, for the record: bounded, and without anything personal.

use crate::reply::Reply;

/// Most lines that are kept.
const MAX_LINES: usize = 64;
/// Longest line that is kept, in characters.
const MAX_LINE: usize = 200;

/// Lines such as `> EHLO gw.example.com` and `< 250 2.1.5`. Addresses and content never get in:
/// of MAIL and RCPT only the verb is kept, and of their replies only the codes (promise P9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    lines: Vec<String>,
    /// How many lines did not fit.
    dropped: usize,
}

impl Transcript {
    /// The lines; the last one says how many are missing, if any are.
    pub fn into_lines(mut self) -> Vec<String> {
        if self.dropped > 0 {
            self.lines.push(format!("({} more)", self.dropped));
        }
        self.lines
    }

    pub(super) fn said(&mut self, verb: &str) {
        self.add(format!("> {verb}"));
    }

    /// A reply whose text is about the host, not about a person.
    pub(super) fn heard(&mut self, reply: &Reply) {
        self.add(format!("< {reply}"));
    }

    /// A reply whose text may quote an address.
    pub(super) fn heard_codes(&mut self, reply: &Reply) {
        self.add(match reply.enhanced {
            Some(enhanced) => format!("< {} {enhanced}", reply.code),
            None => format!("< {}", reply.code),
        });
    }

    pub(super) fn noted(&mut self, what: &str) {
        self.add(format!("* {what}"));
    }

    fn add(&mut self, mut line: String) {
        if self.lines.len() == MAX_LINES {
            self.dropped += 1;
            return;
        }
        if let Some((cut, _)) = line.char_indices().nth(MAX_LINE) {
            line.truncate(cut);
        }
        self.lines.push(line);
    }
}
