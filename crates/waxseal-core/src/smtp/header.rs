//! The few header fields that a relay has to look at (RFC 5321 §6.3, RFC 8689 §3, RFC 6409 §8).

use memchr::memchr;

use crate::envelope::TlsAsk;

/// What the header section of a message says to a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// `Received` fields: hops behind it (RFC 5321 §6.3).
    pub hops: usize,
    /// `TLS-Required` fields, whatever they say.
    tls_required: usize,
    /// How many of them say `No`.
    tls_not_required: usize,
    /// `Date` fields.
    pub dates: usize,
    /// `Message-ID` fields.
    pub message_ids: usize,
    /// Lines with their folding, fields or not.
    pub fields: usize,
    /// Octets of the whole section.
    pub octets: usize,
}

/// Why a header section is refused: rules look at all of it, so nobody may hide a field behind more
/// than anybody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// More fields than [`HeaderFacts::FIELDS`].
    Fields,
    /// More octets than [`HeaderFacts::OCTETS`].
    Octets,
}

impl HeaderFacts {
    /// So many fields a message may have: several times what mailing lists and filters add.
    pub const FIELDS: usize = 500;
    /// So many octets its header section may have: a thousand addresses in To, and more.
    pub const OCTETS: usize = 512 * 1_024;

    /// Reads the header section: up to the first empty line, or to the end.
    pub fn scan(message: &[u8]) -> Self {
        let mut facts = Self::default();
        let mut rest = message;
        while let Some((name, value, behind)) = next_field(rest) {
            facts.count(name, value);
            facts.fields += 1;
            rest = behind;
        }
        facts.octets = message.len() - rest.len();
        facts
    }

    /// Whether rules can look at all of it.
    ///
    /// # Errors
    /// Which limit it is over.
    pub const fn fits(&self) -> Result<(), TooMuch> {
        if self.fields > Self::FIELDS {
            return Err(TooMuch::Fields);
        }
        if self.octets > Self::OCTETS {
            return Err(TooMuch::Octets);
        }
        Ok(())
    }

    fn count(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("Received") {
            self.hops += 1;
        } else if is("Date") {
            self.dates += 1;
        } else if is("Message-ID") {
            self.message_ids += 1;
        } else if is("TLS-Required") {
            self.tls_required += 1;
            if value.trim_ascii().eq_ignore_ascii_case(b"No") {
                self.tls_not_required += 1;
            }
        }
    }

    /// What the header section asks of TLS: exactly one field, saying `No` (RFC 8689 §3).
    pub const fn tls(&self) -> TlsAsk {
        match (self.tls_required, self.tls_not_required) {
            (1, 1) => TlsAsk::TlsNotRequired,
            _ => TlsAsk::Nothing,
        }
    }
}

/// The fields of the header section: name as it stands, value with its folding. Lines that are no
/// fields are left out, and hide nothing that follows.
pub fn fields(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = message;
    let next = move || {
        let (name, value, behind) = next_field(rest)?;
        rest = behind;
        Some((name, value))
    };
    std::iter::from_fn(next).filter(|(name, _)| !name.is_empty())
}

/// Name, value with its folding, and what stands behind the field. A line that is no field is
/// passed over under an empty name.
fn next_field(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if text.is_empty() || text.starts_with(b"\r\n") {
        return None;
    }
    let mut end = line_end(text, 0);
    while matches!(text.get(end), Some(b' ' | b'\t')) {
        end = line_end(text, end);
    }
    let (field, behind) = text.split_at_checked(end)?;
    let Some(colon) = memchr(b':', field) else {
        return Some((&[], field, behind));
    };
    let name = field.get(..colon)?.trim_ascii_end();
    Some((name, field.get(colon + 1..)?, behind))
}

fn line_end(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    memchr(b'\n', rest).map_or(text.len(), |at| from + at + 1)
}

#[cfg(test)]
mod tests;
