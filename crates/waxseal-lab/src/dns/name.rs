//! Domain names as DNS carries them, in canonical order.

use std::{cmp::Ordering, fmt};

/// A name as labels from left to right, lower case. Written by us for a test bed, so making one
/// cannot fail: a label is cut at 63 octets (RFC 1035 §2.3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// An absolute name; `.` or nothing is the root.
    pub fn new(text: &str) -> Self {
        let labels = text.split('.').filter(|label| !label.is_empty());
        Self(
            labels
                .map(|label| label.bytes().take(63).map(|b| b.to_ascii_lowercase()).collect())
                .collect(),
        )
    }

    /// As in a zone file: `@` is `origin`, a final dot makes it absolute, anything else is below
    /// `origin` (RFC 1035 §5.1).
    pub fn relative(text: &str, origin: &Self) -> Self {
        if text == "@" {
            return origin.clone();
        }
        let mut name = Self::new(text);
        if !text.ends_with('.') {
            name.0.extend(origin.0.iter().cloned());
        }
        name
    }

    /// How many labels, the root not counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the root.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the first label is `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.first().is_some_and(|label| label == b"*")
    }

    /// The name without its first label.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_first().map(|(_, rest)| Self(rest.to_vec()))
    }

    /// The name one label below.
    pub fn child(&self, label: &str) -> Self {
        let mut labels = vec![label.as_bytes().to_ascii_lowercase()];
        labels.extend(self.0.iter().cloned());
        Self(labels)
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.ends_with(&other.0)
    }

    /// `self` with its tail `from` replaced by `to`, as DNAME does (RFC 6672 §2.2).
    pub fn substitute(&self, from: &Self, to: &Self) -> Self {
        let front = self.0.len().saturating_sub(from.0.len());
        Self(self.0.iter().take(front).chain(&to.0).cloned().collect())
    }

    /// The last `count` labels.
    pub fn suffix(&self, count: usize) -> Self {
        Self(self.0.iter().skip(self.0.len().saturating_sub(count)).cloned().collect())
    }

    /// Uncompressed wire form.
    pub fn wire(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for label in &self.0 {
            out.push(u8::try_from(label.len()).unwrap_or(63));
            out.extend(label);
        }
        out.push(0);
        out
    }

    /// Reads an uncompressed name (a question is first in a message, so it has no pointers);
    /// `None` where it is not one. Also says how many octets it took.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut labels = Vec::new();
        let mut at = 0usize;
        loop {
            let len = usize::from(*bytes.get(at)?);
            at += 1;
            if len == 0 {
                return Some((Self(labels), at));
            }
            if len > 63 || labels.len() > 127 {
                return None;
            }
            labels.push(bytes.get(at..at + len)?.to_ascii_lowercase());
            at += len;
        }
    }
}

impl Ord for Name {
    /// Canonical order (RFC 4034 §6.1).
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(f, "{}.", String::from_utf8_lossy(label))?;
        }
        if self.0.is_empty() { f.write_str(".") } else { Ok(()) }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
