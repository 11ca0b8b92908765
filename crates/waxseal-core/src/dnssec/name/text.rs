//! Names as people write them.

use std::{fmt, net::IpAddr, str::FromStr};

use super::Name;

/// Why a text is not a DNS name, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAName {
    /// Nothing.
    Empty,
    /// Two dots in a row, or one in front.
    EmptyLabel,
    /// This label has more than 63 octets.
    LongLabel(String),
    /// More than 255 octets in wire form.
    TooLong,
    /// A backslash without a character or a number up to 255 behind it.
    Escape,
    /// A character that would have to be escaped.
    Character(char),
    /// Letters beyond ASCII that IDNA refuses.
    Idna(String),
    /// An IP address.
    Address(IpAddr),
    /// A mail address.
    Mailbox,
    /// An address of the web.
    Url,
}

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name is missing; the root is written \".\""),
            Self::EmptyLabel => {
                f.write_str("there is nothing between two dots, or before the first")
            }
            Self::LongLabel(label) => {
                write!(f, "a part of a name has at most 63 octets, {label:?} has more")
            }
            Self::TooLong => f.write_str("a name has at most 255 octets"),
            Self::Escape => {
                f.write_str("behind \"\\\" stands a character, or three digits of at most 255")
            }
            Self::Character(c) => write!(f, "{c:?} cannot stand in a name as it is"),
            Self::Idna(label) => write!(f, "{label:?} is not a valid internationalised label"),
            Self::Address(_) => f.write_str(
                "an IP address is not a name: it has one below in-addr.arpa or ip6.arpa",
            ),
            Self::Mailbox => {
                f.write_str("a mail address is not a name: what stands behind \"@\" is")
            }
            Self::Url => f.write_str("a web address is not a name: what stands behind \"//\" is"),
        }
    }
}

impl std::error::Error for NotAName {}

/// Presentation form (RFC 1035 §5.1): `.` is the root, one dot at the end is dropped, `\.` and
/// `\032` are octets of a label. U-labels are converted (RFC 5891). Underscores and `*` are octets
/// like others.
impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.contains("://") {
            return Err(NotAName::Url);
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Err(NotAName::Address(address));
        }
        let mut wire = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (label, behind) = label(rest)?;
            let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
            if length > 63 {
                let shown: String = rest.chars().take(20).collect();
                return Err(NotAName::LongLabel(format!("{shown}...")));
            }
            wire.push(length);
            wire.extend(label);
            if wire.len() > 254 {
                return Err(NotAName::TooLong);
            }
            rest = behind;
        }
        if wire.is_empty() {
            return Err(NotAName::Empty);
        }
        wire.push(0);
        Ok(Self::lower(wire))
    }
}

/// The first label of a text, its dot dropped, and what stands behind it.
fn label(text: &str) -> Result<(Vec<u8>, &str), NotAName> {
    let mut octets = Vec::new();
    let mut beyond = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next() {
            None | Some('.') => break,
            Some('\\') => octets.push(escaped(&mut rest)?),
            Some('@') => return Err(NotAName::Mailbox),
            Some(c) if c.is_whitespace() || c.is_control() => return Err(NotAName::Character(c)),
            Some(c) => {
                beyond.push(c);
                octets.extend(c.encode_utf8(&mut [0; 4]).bytes());
            }
        }
    }
    if octets.is_empty() {
        return Err(NotAName::EmptyLabel);
    }
    if !beyond.is_ascii() {
        // An escaped octet in a U-label would mean nothing to IDNA.
        if beyond.len() != octets.len() {
            return Err(NotAName::Idna(beyond));
        }
        let ascii = idna::domain_to_ascii_strict(&beyond);
        octets = ascii.map_err(|_| NotAName::Idna(beyond))?.into_bytes();
    }
    Ok((octets, rest.as_str()))
}

/// What a backslash stands before: three digits, or any other character of ASCII.
fn escaped(rest: &mut std::str::Chars<'_>) -> Result<u8, NotAName> {
    let first = rest.next().filter(char::is_ascii).ok_or(NotAName::Escape)?;
    if !first.is_ascii_digit() {
        return u8::try_from(first).map_err(|_| NotAName::Escape);
    }
    let digits: String = std::iter::once(first).chain(rest.by_ref().take(2)).collect();
    let fine = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| fine).ok_or(NotAName::Escape)
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests;
