//! DANE for SMTP (RFC 6698, 7671, 7672).

mod base;
mod usable;
mod verify;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    base::{Reach, Read, bases, owner, read},
    usable::{MAX_OCTETS, MAX_RECORDS, Usage, effective},
    verify::{How, Match, Mismatch, verify},
};

/// One TLSA record as it was published (RFC 6698 §2.1). Unknown values are kept: they make a
/// record unusable, not invisible.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tlsa {
    /// Certificate usage: 2 DANE-TA, 3 DANE-EE; 0 and 1 are unusable in SMTP (RFC 7672 §3.1.3).
    pub usage: u8,
    /// 0 the whole certificate, 1 its SubjectPublicKeyInfo.
    pub selector: u8,
    /// 0 exact, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tlsa({self})")
    }
}

#[cfg(test)]
mod tests;
