//! `tag=value; tag=value`, as DKIM, DMARC and TLSRPT write it (RFC 6376 §3.2).

use super::super::Quoted;

/// The longest record that is read.
const MOST_OCTETS: usize = 16 * 1024;

/// The most tags of one record.
const MOST_TAGS: usize = 64;

/// The tags of a record, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tags<'t>(Vec<(&'t str, &'t str)>);

impl<'t> Tags<'t> {
    /// Reads a list of tags; the last one may end with a semicolon.
    pub(crate) fn read(text: &'t str) -> Result<Self, String> {
        if text.len() > MOST_OCTETS {
            return Err(format!("it is longer than {MOST_OCTETS} octets"));
        }
        let mut tags: Vec<(&str, &str)> = Vec::new();
        for part in text.split(';').map(trim).filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{}` has no value", Quoted::new(part)))?;
            let (name, value) = (trim(name), trim(value));
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                return Err(format!("`{}` is no name of a tag", Quoted::new(name)));
            }
            if tags.iter().any(|(known, _)| *known == name) {
                return Err(format!("`{name}` stands there twice"));
            }
            if tags.len() == MOST_TAGS {
                return Err(format!("it has more than {MOST_TAGS} tags"));
            }
            tags.push((name, value));
        }
        Ok(Self(tags))
    }

    /// The value of one tag.
    pub(crate) fn value(&self, name: &str) -> Option<&'t str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.0.iter().copied()
    }
}

/// The text of a DMARC record; `None` for any other TXT record.
pub(crate) fn dmarc(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (name, rest) = text.split_once('=')?;
    let value = rest.split(';').next().unwrap_or(rest);
    (name.trim() == "v" && value.trim() == "DMARC1").then_some(text)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}
