//! Text from outside, made harmless once, where it comes in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that somebody else wrote: at most [`Quoted::MOST`] characters, without control
/// characters, line breaks or the marks that turn the direction of writing. What was there is
/// shown as `\u{..}`, so that a hostile record is seen and not obeyed by a terminal, a page or a
/// spreadsheet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Quoted(String);

impl Quoted {
    /// The most characters that are kept.
    pub const MOST: usize = 512;

    /// Makes a text harmless.
    pub fn new(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(Self::MOST));
        for (count, c) in text.chars().enumerate() {
            if count == Self::MOST {
                kept.push('…');
                break;
            }
            if is_harmless(c) {
                kept.push(c);
            } else {
                kept.extend(c.escape_unicode());
            }
        }
        Self(kept)
    }

    /// Makes octets harmless; those that are not UTF-8 become U+FFFD.
    pub fn octets(octets: &[u8]) -> Self {
        let most = Self::MOST.saturating_mul(4);
        Self::new(&String::from_utf8_lossy(octets.get(..most).unwrap_or(octets)))
    }

    /// The harmless text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not a control character, and none that changes how its neighbours are shown (Unicode TR 36).
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Quoted {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&str> for Quoted {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Quoted> for String {
    fn from(quoted: Quoted) -> Self {
        quoted.0
    }
}
