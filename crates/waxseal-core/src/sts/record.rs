//! The TXT record at `_mta-sts.` that announces a policy (RFC 8461 §3.1).

use std::fmt;

/// `id` of a record: changes when the policy changes. 1 to 32 letters and digits.
pub type PolicyId = String;

/// Why the TXT records announce no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnnounced {
    /// None of them begins with `v=STSv1;`.
    None,
    /// More than one does: then none counts.
    Several(usize),
    /// One does, and it breaks the grammar.
    Malformed(&'static str),
}

impl fmt::Display for NotAnnounced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no TXT record begins with v=STSv1;"),
            Self::Several(n) => write!(f, "{n} TXT records begin with v=STSv1;, so none counts"),
            Self::Malformed(why) => write!(f, "the v=STSv1 record {why}"),
        }
    }
}

/// The `id` that these TXT records announce. The strings of each record are already joined.
///
/// # Errors
/// There is not exactly one MTA-STS record, or it is malformed: the domain then has no (new)
/// policy, and a cached one goes on (RFC 8461 §3.1).
pub fn announced<T: AsRef<[u8]>>(records: &[T]) -> Result<PolicyId, NotAnnounced> {
    let mut ours = records.iter().filter_map(|record| fields(record.as_ref()));
    let Some(fields) = ours.next() else { return Err(NotAnnounced::None) };
    match ours.count() {
        0 => parse(fields),
        others => Err(NotAnnounced::Several(others.saturating_add(1))),
    }
}

/// What follows `v=STSv1` and its semicolon; `None` for any other record.
fn fields(record: &[u8]) -> Option<&[u8]> {
    record.strip_prefix(b"v=STSv1")?.trim_ascii_start().strip_prefix(b";")
}

fn parse(fields: &[u8]) -> Result<PolicyId, NotAnnounced> {
    let malformed = |why| Err(NotAnnounced::Malformed(why));
    let Ok(text) = std::str::from_utf8(fields) else { return malformed("is not ASCII") };
    let mut id = None;
    let mut fields = text.split(';').map(|field| field.trim_matches([' ', '\t'])).peekable();
    while let Some(field) = fields.next() {
        if field.is_empty() {
            // Only the last semicolon may end the record.
            if fields.peek().is_some() {
                return malformed("has an empty field");
            }
            break;
        }
        let Some((name, value)) = field.split_once('=') else {
            return malformed("has a field without a value");
        };
        if name == "id" {
            let proper = (1..=32).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !proper {
                return malformed("has an id that is not 1 to 32 letters and digits");
            }
            if id.replace(value).is_some() {
                return malformed("has two ids");
            }
        } else if !is_extension(name, value) {
            return malformed("has a field that breaks the grammar");
        }
    }
    id.map(str::to_owned).map_or_else(|| malformed("has no id"), Ok)
}

/// `sts-extension` of RFC 8461 §3.1: skipped, but it has to be one.
fn is_extension(name: &str, value: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() <= 32
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=')
}
