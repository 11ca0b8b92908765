//! The number under which an accepted message is known, from the `250` to its evidence.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Crockford's base 32: no letter looks like a digit, so that a person can read an id out.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 13;

/// Unique within one store and growing with time; 13 characters, as in `01k0p9qx4h2v7`.
///
/// It only locates a message: whoever knows one may do nothing by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueId(u64);

impl QueueId {
    /// The largest: SQL integers are signed.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// From the number that a store gave; `None` past [`Self::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// The number, for the store.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        (0..LENGTH).rev().try_for_each(|place| {
            let digit = (self.0 >> (5 * place)) & 31;
            let letter = usize::try_from(digit).ok().and_then(|at| ALPHABET.get(at));
            f.write_char(char::from(*letter.unwrap_or(&b'0')))
        })
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAQueueId;

impl fmt::Display for NotAQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message id has 13 letters and digits, as in 01k0p9qx4h2v7")
    }
}

impl std::error::Error for NotAQueueId {}

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        if text.len() != LENGTH {
            return Err(NotAQueueId);
        }
        let mut number: u128 = 0;
        for letter in text.bytes() {
            let letter = letter.to_ascii_lowercase();
            let digit = ALPHABET.iter().position(|known| *known == letter).ok_or(NotAQueueId)?;
            number = number << 5 | u128::try_from(digit).map_err(|_| NotAQueueId)?;
        }
        u64::try_from(number).ok().and_then(Self::new).ok_or(NotAQueueId)
    }
}

impl TryFrom<String> for QueueId {
    type Error = NotAQueueId;

    fn try_from(text: String) -> Result<Self, NotAQueueId> {
        text.parse()
    }
}

impl From<QueueId> for String {
    fn from(id: QueueId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_read_out_is_the_same_id() {
        for number in [0, 1, 31, 32, 1_790_000_000_000 << 20, QueueId::MAX.number()] {
            let id = QueueId::new(number).unwrap();
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
            assert_eq!(id.to_string().len(), LENGTH);
        }
        assert_eq!(QueueId::new(1 << 63), None);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "0", "zzzzzzzzzzzzz", "000000000000l", "00000000000000", "é00000000000"] {
            assert_eq!(text.parse::<QueueId>(), Err(NotAQueueId), "{text}");
        }
    }
}
