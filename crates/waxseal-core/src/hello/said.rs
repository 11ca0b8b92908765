//! What a server says to a hello, read as far as it is plaintext, and not an octet too much.

use std::fmt;

use super::offer::{EXTENDED_MASTER_SECRET, KEY_SHARE, SUPPORTED_VERSIONS};

/// The most octets that are read of an answer: a certificate chain may stand before the curve.
const MOST_OCTETS: usize = 96 * 1_024;

/// `random` of a HelloRetryRequest (RFC 8446 §4.1.3).
pub(super) const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// How far an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the ServerHello.
    Hello,
    /// To the ServerKeyExchange of TLS 1.2, which names the curve in the clear (RFC 8422 §5.4).
    Curve,
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It chose.
    Hello(ServerHello),
    /// It refused, with this alert (RFC 8446 §6).
    Alert(u8),
}

/// What a server chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version, `supported_versions` considered.
    pub version: u16,
    /// The suite.
    pub suite: u16,
    /// The group, where it was named.
    pub group: Option<u16>,
    /// Whether `extended_master_secret` was among the extensions (RFC 7627 §5.1).
    pub extended_master_secret: bool,
}

/// An answer that is not TLS, or goes on for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonsense(&'static str);

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Nonsense {}

/// Reads an answer, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Words {
    until: Until,
    records: Vec<u8>,
    messages: Vec<u8>,
    hello: Option<ServerHello>,
    taken: usize,
}

impl Words {
    /// A reader that has read nothing.
    pub const fn new(until: Until) -> Self {
        Self { until, records: Vec::new(), messages: Vec::new(), hello: None, taken: 0 }
    }

    /// Takes what came; yields what was said once that is known.
    ///
    /// # Errors
    /// It is not TLS, or more than a limit allows. Nothing is to be read after it.
    pub fn push(&mut self, octets: &[u8]) -> Result<Option<Said>, Nonsense> {
        self.taken = self.taken.saturating_add(octets.len());
        if self.taken > MOST_OCTETS {
            return Err(Nonsense("an answer of more than 96 KiB"));
        }
        self.records.extend_from_slice(octets);
        while let Some((kind, content)) = self.next_record()? {
            match kind {
                21 if is_warning(&content) => continue,
                21 => return Ok(Some(self.refused(&content))),
                22 => self.messages.extend_from_slice(&content),
                // TLS 1.3 goes on encrypted, and TLS 1.2 would not before we do.
                _ => return Ok(self.hello.map(Said::Hello)),
            }
            if let Some(said) = self.read_messages()? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// The connection ended: what is known by then.
    pub fn ended(&self) -> Option<Said> {
        self.hello.map(Said::Hello)
    }

    /// An alert after a ServerHello takes nothing back: the server had chosen.
    fn refused(&self, content: &[u8]) -> Said {
        let alert = Said::Alert(content.get(1).copied().unwrap_or_default());
        self.hello.map_or(alert, Said::Hello)
    }

    /// Type and content of the next whole record (RFC 8446 §5.1).
    fn next_record(&mut self) -> Result<Option<(u8, Vec<u8>)>, Nonsense> {
        let Some((&[kind, major, _, high, low], rest)) = self.records.split_first_chunk::<5>()
        else {
            return Ok(None);
        };
        if major != 3 || !(20..=23).contains(&kind) {
            return Err(Nonsense("not a TLS record"));
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > 16_384 + 2_048 {
            return Err(Nonsense("a TLS record of more than 18 KiB"));
        }
        let Some((content, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        let content = content.to_vec();
        self.records = rest.to_vec();
        Ok(Some((kind, content)))
    }

    fn read_messages(&mut self) -> Result<Option<Said>, Nonsense> {
        loop {
            let Some((&[kind, a, b, c], rest)) = self.messages.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if length > MOST_OCTETS {
                return Err(Nonsense("a handshake message of more than 96 KiB"));
            }
            let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
            let body = body.to_vec();
            self.messages = rest.to_vec();
            let said = self.message(kind, &body)?;
            if said.is_some() {
                return Ok(said);
            }
        }
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Result<Option<Said>, Nonsense> {
        match (kind, self.hello) {
            (2, None) => {
                let hello = hello(body).ok_or(Nonsense("a ServerHello that cannot be read"))?;
                self.hello = Some(hello);
                let over = self.until == Until::Hello || hello.version >= 0x0304;
                Ok(over.then_some(Said::Hello(hello)))
            }
            // ServerKeyExchange: a named curve (RFC 8422 §5.4).
            (12, Some(mut hello)) => {
                if let &[3, high, low, ..] = body {
                    hello.group = Some(u16::from_be_bytes([high, low]));
                }
                Ok(Some(Said::Hello(hello)))
            }
            // ServerHelloDone: no ServerKeyExchange came.
            (14, Some(hello)) => Ok(Some(Said::Hello(hello))),
            (_, Some(_)) => Ok(None),
            (_, None) => Err(Nonsense("another message before the ServerHello")),
        }
    }
}

/// Whether an alert only warns and the handshake goes on (RFC 5246 §7.2.2): a server may say like that
/// that it knows no such name (RFC 6066 §3). `close_notify` ends the connection.
fn is_warning(alert: &[u8]) -> bool {
    matches!(alert, [1, description, ..] if *description != 0)
}

/// RFC 8446 §4.1.3, and the same before it.
fn hello(body: &[u8]) -> Option<ServerHello> {
    let (&[high, low], rest) = body.split_first_chunk::<2>()?;
    let (random, rest) = rest.split_first_chunk::<32>()?;
    let (&session, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(session)..)?;
    let (&[s0, s1, _compression], rest) = rest.split_first_chunk::<3>()?;
    let mut hello = ServerHello {
        version: u16::from_be_bytes([high, low]),
        suite: u16::from_be_bytes([s0, s1]),
        ..ServerHello::default()
    };
    let Some((_, mut rest)) = rest.split_first_chunk::<2>() else { return Some(hello) };
    while let Some((&[k0, k1, l0, l1], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let (data, after) = after.split_at_checked(length)?;
        match (u16::from_be_bytes([k0, k1]), data) {
            (EXTENDED_MASTER_SECRET, _) => hello.extended_master_secret = true,
            (SUPPORTED_VERSIONS, &[high, low]) => hello.version = u16::from_be_bytes([high, low]),
            // A HelloRetryRequest names a group and nothing else.
            (KEY_SHARE, &[high, low, ..]) if *random == RETRY || data.len() > 2 => {
                hello.group = Some(u16::from_be_bytes([high, low]));
            }
            _ => {}
        }
        rest = after;
    }
    Some(hello)
}
