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
        Self::of_at_most(text, Self::MOST)
    }

    /// Makes a text harmless that may be longer or has to be shorter, in characters.
    pub(super) fn of_at_most(text: &str, most: usize) -> Self {
        let mut kept = String::with_capacity(text.len().min(most));
        for (count, c) in text.chars().enumerate() {
            if count == most {
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

/// Not a control character, and none that changes how its neighbours are shown or is not seen itself
/// (Unicode TR 36): marks of direction, fillers, joiners, tags, selectors of variants.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
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
