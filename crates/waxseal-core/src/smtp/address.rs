//! Paths and mailboxes as MAIL and RCPT write them (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! The grammar is strict: what two hosts could read differently is refused, not guessed at.

use std::{fmt, net::IpAddr, net::Ipv6Addr};

use crate::{
    domain::Domain,
    envelope::{Charset, Mailbox},
};

/// Local part, octets (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;
/// Domain, octets (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;
/// Path with punctuation, octets (RFC 5321 §4.5.3.1.3).
pub const MAX_PATH: usize = 256;

/// What stands between the angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `<>`
    Null,
    /// `<Postmaster>` without a domain, in any case of letters (RFC 5321 §4.5.1).
    Postmaster,
    /// An address. A source route in front of it was checked and dropped (RFC 5321 §4.1.1.3).
    Mailbox(Mailbox),
}

/// Why a path or mailbox is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No `<...>`, or something that the grammar does not have.
    Syntax,
    /// A local part alone: whose mailbox it is would be a guess.
    NoDomain,
    /// The local part is empty, has a dot at an end or two in a row, or a character that has to
    /// stand in quotes.
    Local,
    /// Not a host name.
    Domain,
    /// `user@[192.0.2.1]`: well-formed, but nothing vouches for an address (DANE and MTA-STS need
    /// names), so no mail goes there.
    Literal,
    /// Longer than RFC 5321 §4.5.3.1 allows.
    TooLong,
    /// Beyond ASCII without `SMTPUTF8` (RFC 6531 §3.1).
    NeedsUtf8,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "the address has to stand in angle brackets, as <user@example.com>",
            Self::NoDomain => "the address has no domain; write it as <user@example.com>",
            Self::Local => "the part before the @ is malformed",
            Self::Domain => "the part after the @ is not a domain name",
            Self::Literal => "address literals are not accepted; use a domain name",
            Self::TooLong => "the address is longer than RFC 5321 allows",
            Self::NeedsUtf8 => "an address beyond ASCII needs SMTPUTF8",
        })
    }
}

impl std::error::Error for AddressError {}

/// Takes `<...>` from the front of `text`; gives the rest too.
///
/// # Errors
/// Says what is wrong with the path.
pub fn path(text: &str, charset: Charset) -> Result<(Path, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Syntax)?;
    if let Some(rest) = inner.strip_prefix('>') {
        return Ok((Path::Null, rest));
    }
    let after_route = skip_source_route(inner)?;
    let (local, rest) = local_part(after_route, charset)?;
    if let Some(rest) = rest.strip_prefix('>') {
        return match local.eq_ignore_ascii_case("postmaster") {
            true => Ok((Path::Postmaster, rest)),
            false => Err(AddressError::NoDomain),
        };
    }
    let rest = rest.strip_prefix('@').ok_or(AddressError::Local)?;
    let (name, rest) = rest.split_once('>').ok_or(AddressError::Syntax)?;
    if inner.len() - rest.len() + 1 > MAX_PATH + route_length(inner, after_route) {
        return Err(AddressError::TooLong);
    }
    Ok((Path::Mailbox(Mailbox { local: local.to_owned(), domain: host(name, charset)? }), rest))
}

/// Parses `local@domain` without brackets: what configuration and headers hold.
///
/// # Errors
/// Says what is wrong with the address.
pub fn mailbox(text: &str, charset: Charset) -> Result<Mailbox, AddressError> {
    let (local, rest) = local_part(text, charset)?;
    let name = rest.strip_prefix('@').ok_or(AddressError::Local)?;
    Ok(Mailbox { local: local.to_owned(), domain: host(name, charset)? })
}

/// Whether a local part names a mailbox and nothing else to whichever host reads it. The host of
/// the domain alone says what a local part means (RFC 5321 §2.3.11, §4.1.2), and many give these a
/// meaning of their own, most of all to somebody whom they trust:
///
/// - `%`, `!`, or an `@` in quotes, anywhere: on to another host (`bob%there`, `there!bob`: source
///   routes, which a host may decline by RFC 5321 §3.6.1), in Unicode's compatibility forms as well;
/// - `|`, `/`, `-` at the front: a command, a file, an option of a program that gets it;
/// - whatever has to stand in quotes but a space: `:include:/file`, `a,b`, `../ann`.
pub fn is_plain(local: &str) -> bool {
    let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = quoted.unwrap_or(local).trim_matches(' ');
    let words = name.replace(' ', "");
    !name.starts_with(['|', '/', '-'])
        && !words.contains(leads_on)
        && words.chars().all(|c| atext(c) || c == '.')
        && !words.split('.').any(str::is_empty)
}

/// `%` and `!`, and what becomes one of `@`, `%`, `!` where a host brings letters into their
/// compatibility form (NFKC), with others of their blocks.
const fn leads_on(c: char) -> bool {
    matches!(
        c,
        '%' | '!'
            | '\u{203C}'
            | '\u{2048}'
            | '\u{2049}'
            | '\u{FE10}'..='\u{FE19}'
            | '\u{FE50}'..='\u{FE6F}'
            | '\u{FF01}'..='\u{FF0F}'
            | '\u{FF1A}'..='\u{FF20}'
            | '\u{FF5B}'..='\u{FF60}'
    )
}

const fn route_length(inner: &str, after: &str) -> usize {
    inner.len() - after.len()
}

/// `@a.example,@b.example:` is accepted and ignored (RFC 5321 §4.1.1.3 and appendix C).
fn skip_source_route(inner: &str) -> Result<&str, AddressError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, rest) = inner.split_once(':').ok_or(AddressError::Syntax)?;
    if route.len() > MAX_PATH {
        return Err(AddressError::TooLong);
    }
    for hop in route.split(',') {
        let name = hop.strip_prefix('@').ok_or(AddressError::Syntax)?;
        host(name, Charset::Ascii)?;
    }
    Ok(rest)
}

/// Takes `Dot-string` or `Quoted-string` from the front, quotes kept.
fn local_part(text: &str, charset: Charset) -> Result<(&str, &str), AddressError> {
    let length = if text.starts_with('"') { quoted_length(text)? } else { dot_length(text)? };
    let (local, rest) = text.split_at_checked(length).ok_or(AddressError::Syntax)?;
    if local.len() > MAX_LOCAL {
        return Err(AddressError::TooLong);
    }
    if charset == Charset::Ascii && !local.is_ascii() {
        return Err(AddressError::NeedsUtf8);
    }
    Ok((local, rest))
}

/// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE` (RFC 5321 §4.1.2).
fn quoted_length(text: &str) -> Result<usize, AddressError> {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            '"' if at == 1 => return Err(AddressError::Local),
            '"' => return Ok(at + 1),
            '\\' => match characters.next() {
                Some((_, ' '..='~')) => {}
                Some(_) | None => return Err(AddressError::Local),
            },
            ' '..='~' => {}
            c if !c.is_ascii() && !c.is_control() => {}
            _ => return Err(AddressError::Local),
        }
    }
    Err(AddressError::Local)
}

/// `Dot-string = Atom *("." Atom)` (RFC 5321 §4.1.2), with UTF-8 (RFC 6531 §3.3).
fn dot_length(text: &str) -> Result<usize, AddressError> {
    let length = text.find(|c| !(atext(c) || c == '.')).unwrap_or(text.len());
    let local = text.get(..length).unwrap_or_default();
    if local.split('.').any(str::is_empty) {
        return Err(AddressError::Local);
    }
    Ok(length)
}

/// `atext` of RFC 5322 §3.2.3, and UTF-8 beyond the controls (RFC 6531 §3.3).
fn atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control())
}

/// `Domain` of RFC 5321 §4.1.2: no trailing dot, no underscore, no hyphen at the end of a label.
fn host(name: &str, charset: Charset) -> Result<Domain, AddressError> {
    if name.starts_with('[') {
        return Err(if is_literal(name) { AddressError::Literal } else { AddressError::Domain });
    }
    if !name.is_ascii() && charset == Charset::Ascii {
        return Err(AddressError::NeedsUtf8);
    }
    if name.len() > MAX_DOMAIN {
        return Err(AddressError::TooLong);
    }
    if name.ends_with('.') {
        return Err(AddressError::Domain);
    }
    let domain = Domain::parse(name).map_err(|_| AddressError::Domain)?;
    let malformed =
        |label: &str| label.starts_with('-') || label.ends_with('-') || label.contains('_');
    if domain.labels().any(malformed) {
        return Err(AddressError::Domain);
    }
    Ok(domain)
}

/// `address-literal` of RFC 5321 §4.1.3: IPv4, `IPv6:`, or a general one.
pub(crate) fn is_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else {
        return false;
    };
    if let Some((tag, value)) = inner.split_once(':') {
        return if tag.eq_ignore_ascii_case("IPv6") {
            value.parse::<Ipv6Addr>().is_ok()
        } else {
            let tag_char = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let value_char = |c: char| matches!(c, '!'..='Z' | '^'..='~');
            tag.chars().all(tag_char) && !tag.is_empty() && value.chars().all(value_char)
        };
    }
    matches!(inner.parse::<IpAddr>(), Ok(IpAddr::V4(_)))
}

#[cfg(test)]
mod tests;
