//! What of a message is given back in a report. A report travels a way that the message was not
//! allowed to go, perhaps; so protected mail gives back neither body nor Subject.

use waxseal_core::{
    channel::Floor,
    envelope::{Return, TlsAsk},
};

/// How much of the original is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// The message.
    Full,
    /// Its header.
    Headers,
    /// Of its header the fields that say when, from whom, to whom and which.
    Skeleton,
}

/// Longest header, and longest message, that is quoted.
const HEADER: usize = 64 * 1024;
const MESSAGE: usize = 256 * 1024;

/// Fields of a protected message that a report may carry. A list of what is allowed, because
/// mailers put the subject into further fields (`Thread-Topic`, `X-...`).
const SKELETON: [&str; 14] = [
    "auto-submitted",
    "cc",
    "date",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "references",
    "reply-to",
    "sender",
    "resent-message-id",
    "tls-required",
    "to",
];

/// How much may be quoted. `floor` is what the rules demanded of the message.
///
/// REQUIRETLS means RET=HDRS whatever was asked (RFC 8689 §5).
pub const fn quote(tls: TlsAsk, ret: Option<Return>, floor: Floor) -> Quote {
    match floor {
        Floor::Authenticated | Floor::Qualified | Floor::Sealed => Quote::Skeleton,
        Floor::None | Floor::Encrypted => match (tls, ret) {
            (TlsAsk::RequireTls, _) => Quote::Skeleton,
            (TlsAsk::Nothing | TlsAsk::TlsNotRequired, Some(Return::Full)) => Quote::Full,
            (TlsAsk::Nothing | TlsAsk::TlsNotRequired, Some(Return::Headers) | None) => {
                Quote::Headers
            }
        },
    }
}

/// A quoted part: the message, or some of its header.
pub(super) enum Quoted {
    Message(Vec<u8>),
    Header(Vec<u8>),
}

/// The part of `message` that is quoted; a long message is cut down to its header.
pub(super) fn quoted(message: &[u8], quote: Quote) -> Quoted {
    match quote {
        Quote::Full if message.len() <= MESSAGE => Quoted::Message(message.to_vec()),
        Quote::Full | Quote::Headers => Quoted::Header(header(message, |name| name != "bcc")),
        Quote::Skeleton => Quoted::Header(header(message, |name| SKELETON.contains(&name))),
    }
}

/// Whether the header says `TLS-Required: No` (RFC 8689 §3).
pub(super) fn tls_not_required(message: &[u8]) -> bool {
    let value = |field: &[u8]| {
        let (_, value) = split(field)?;
        std::str::from_utf8(value).ok().map(|value| value.trim().eq_ignore_ascii_case("no"))
    };
    fields(message)
        .into_iter()
        .any(|field| name(field).as_deref() == Some("tls-required") && value(field) == Some(true))
}

fn header(message: &[u8], keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    for field in fields(message) {
        if name(field).is_some_and(|name| keep(&name)) && kept.len() + field.len() <= HEADER {
            kept.extend_from_slice(field);
        }
    }
    kept
}

/// The header fields with their folded lines and line ends (RFC 5322 §2.2).
fn fields(message: &[u8]) -> Vec<&[u8]> {
    let mut found: Vec<&[u8]> = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line == b"\r\n" || line == b"\n" {
            break;
        }
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if !folded && at > start {
            found.extend(message.get(start..at));
            start = at;
        }
        at += line.len();
    }
    found.extend(message.get(start..at).filter(|last| !last.is_empty()));
    found
}

fn split(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = field.iter().position(|octet| *octet == b':')?;
    Some((field.get(..colon)?, field.get(colon + 1..)?))
}

fn name(field: &[u8]) -> Option<String> {
    let (name, _) = split(field)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches([' ', '\t']);
    let fine = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic());
    fine.then(|| name.to_ascii_lowercase())
}
