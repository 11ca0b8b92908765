//! Logging: for people or as JSON, on standard error. What is logged names messages by id and
//! never an address, a subject or a secret (promise P9); a mask stands behind that rule.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    cli::Voice,
    config::{Log, LogFormat, LogLevel},
};

/// Begins to log. A second call in one process changes nothing (tests).
pub fn start(log: Log, voice: Voice) {
    let level = match (voice, log.level) {
        (Voice::Quiet, _) | (_, LogLevel::Error) => LevelFilter::ERROR,
        (Voice::Debug, _) => LevelFilter::TRACE,
        (Voice::Verbose, _) | (_, LogLevel::Debug) => LevelFilter::DEBUG,
        (Voice::Normal, LogLevel::Warn) => LevelFilter::WARN,
        (Voice::Normal, LogLevel::Info) => LevelFilter::INFO,
    };
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_writer(Masked).with_target(false);
    let started = match log.format {
        LogFormat::Human => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was already begun");
    }
}

/// Standard error behind the mask.
#[derive(Clone, Copy, Debug)]
struct Masked;

impl<'a> MakeWriter<'a> for Masked {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for Masked {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(&mask(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Replaces the local part of everything that looks like a mail address. The rule is that none is
/// logged; this is for the error text of a library that does not know the rule.
fn mask(line: &[u8]) -> Vec<u8> {
    let mut masked: Vec<u8> = Vec::with_capacity(line.len());
    for (at, octet) in line.iter().enumerate() {
        let domain =
            line.get(at + 1).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'[');
        if *octet == b'@' && domain {
            let keep = masked.iter().rposition(|octet| !is_local(*octet)).map_or(0, |at| at + 1);
            if keep < masked.len() {
                masked.truncate(keep);
                masked.extend_from_slice(b"***");
            }
        }
        masked.push(*octet);
    }
    masked
}

/// What an unquoted local part is made of (RFC 5322 §3.2.3, RFC 6531 §3.3).
const fn is_local(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | 0x80.. | b'.' | b'!' | b'#' | b'$' | b'%'
        | b'&' | b'\'' | b'*' | b'+' | b'-' | b'/' | b'?' | b'^' | b'_' | b'`' | b'{' | b'|' | b'}' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against whoever reads the logs: an address in an error text does not get there.
    #[test]
    fn local_parts_are_masked() {
        let masked = |line: &str| String::from_utf8(mask(line.as_bytes())).unwrap();
        assert_eq!(masked("RCPT TO:<ann.o'x+1@example.net> 550"), "RCPT TO:<***@example.net> 550");
        assert_eq!(masked("a@b.example, c@d.example"), "***@b.example, ***@d.example");
        assert_eq!(masked("\u{14d}ta@example.net"), "***@example.net");
        assert_eq!(masked("at @42 and x @ y"), "at @42 and x @ y");
        assert_eq!(masked(""), "");
    }
}
