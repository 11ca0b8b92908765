//! Names in wire form and lower case, so that equal names have equal octets (RFC 4034 §6.2).

mod text;

use std::{cmp::Ordering, fmt};

use domain::base::name::{Name as WireName, ToName};
use serde::{Deserialize, Serialize};

pub use self::text::NotAName;
use crate::domain::Domain;

/// A DNS name: uncompressed wire form, lower case, at most 255 octets (RFC 1035 §3.1).
///
/// Unlike [`Domain`] it can be the root, a wildcard, or hold any octet.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// From anything that the wire parser takes for a name.
    pub(super) fn from_wire(name: &impl ToName) -> Self {
        let octets: Vec<u8> = name.to_vec().into_octets();
        Self::lower(octets)
    }

    /// From wire form; `None` where it is not exactly one uncompressed name.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        WireName::from_octets(octets.to_vec()).ok().map(|name| Self::lower(name.into_octets()))
    }

    /// The name that stands at the front of `octets`, and the rest.
    pub(crate) fn split_front(octets: &[u8]) -> Option<(Self, &[u8])> {
        let mut at = 0;
        loop {
            let length = usize::from(*octets.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        let (front, rest) = octets.split_at_checked(at)?;
        Some((Self::from_octets(front)?, rest))
    }

    // Length octets are below 64, so lower-casing all octets changes letters only.
    fn lower(mut octets: Vec<u8>) -> Self {
        octets.make_ascii_lowercase();
        Self(octets.into())
    }

    /// The wire form.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The labels from left to right, without the root's.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// How many labels there are, the root's not counted (RFC 4034 §3.1.3).
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Whether the first label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(&[1, b'*'])
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let first = usize::from(*self.0.first()?);
        match first {
            0 => None,
            length => self.0.get(1 + length..).map(|rest| Self(rest.into())),
        }
    }

    /// The ancestor that has `labels` labels; the name itself where it has no more than that.
    pub fn ancestor(&self, labels: usize) -> Self {
        let mut rest: &[u8] = &self.0;
        for _ in labels..self.label_count() {
            let first = rest.first().map_or(0, |length| usize::from(*length));
            rest = rest.get(1 + first..).unwrap_or(&[0]);
        }
        Self(rest.into())
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        let (own, others) = (self.label_count(), other.label_count());
        own >= others && self.ancestor(others) == *other
    }

    /// Whether this lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self != other && self.is_within(other)
    }

    /// How many labels the two share, counted from the root.
    pub(super) fn common_labels(&self, other: &Self) -> usize {
        let own: Vec<_> = self.labels().collect();
        let others: Vec<_> = other.labels().collect();
        own.iter().rev().zip(others.iter().rev()).take_while(|(a, b)| a == b).count()
    }

    /// `label` in front of this name; `None` where that is too long.
    pub fn child(&self, label: &[u8]) -> Option<Self> {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        let mut octets = vec![length];
        octets.extend_from_slice(label);
        octets.extend_from_slice(&self.0);
        (octets.len() <= 255).then(|| Self::lower(octets))
    }

    /// `*` in front of this name.
    pub(super) fn wildcard(&self) -> Option<Self> {
        self.child(b"*")
    }

    /// This name with its end `from` replaced by `to` (RFC 6672 §2.2); `None` where the name
    /// does not lie below `from` or the result is too long.
    pub(super) fn redirect(&self, from: &Self, to: &Self) -> Option<Self> {
        if !self.is_below(from) {
            return None;
        }
        let front = self.0.len().checked_sub(from.0.len())?;
        let mut octets = self.0.get(..front)?.to_vec();
        octets.extend_from_slice(&to.0);
        (octets.len() <= 255).then(|| Self(octets.into()))
    }

    /// As a host or domain name, where it can be one.
    pub fn to_domain(&self) -> Option<Domain> {
        Domain::parse(&self.to_string()).ok()
    }
}

/// Canonical order (RFC 4034 §6.1): label by label from the root.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let own: Vec<_> = self.labels().collect();
        let others: Vec<_> = other.labels().collect();
        own.iter().rev().cmp(others.iter().rev())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&Domain> for Name {
    fn from(domain: &Domain) -> Self {
        let mut octets = Vec::with_capacity(domain.as_str().len() + 2);
        for label in domain.labels() {
            // A `Domain` has labels of 1 to 63 octets, 253 in all.
            octets.push(u8::try_from(label.len()).unwrap_or(63));
            octets.extend_from_slice(label.as_bytes());
        }
        octets.push(0);
        Self::lower(octets)
    }
}

/// Presentation form without the trailing dot; the root is `.`; odd octets are escaped
/// (RFC 4343 §2.1).
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (place, label) in self.labels().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(octet))?;
                    }
                    0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of a [`Name`].
#[derive(Clone, Debug)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        (length > 0).then_some(label)
    }
}
