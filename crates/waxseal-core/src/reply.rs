//! SMTP replies (RFC 5321 §4.2) and enhanced status codes (RFC 3463, RFC 2034).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reply as a server gave it: the code, the enhanced code where there was one, and the text lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// `x.y.z` from the front of the text (RFC 2034 §4).
    pub enhanced: Option<EnhancedCode>,
    /// The lines without code, separator and enhanced code; at least one, maybe empty. Printable
    /// ASCII and UTF-8 only: whoever parses a reply replaces control characters.
    pub text: Vec<String>,
}

/// `class.subject.detail` of RFC 3463 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

/// What the first digit of a reply means for the sender (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 2yz
    Completed,
    /// 3yz
    Continue,
    /// 4yz: may be tried again.
    Transient,
    /// 5yz: trying again the same way will not help.
    Permanent,
    /// Anything else: the server does not speak SMTP.
    Invalid,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, enhanced: Option<EnhancedCode>, text: impl Into<String>) -> Self {
        Self { code, enhanced, text: vec![text.into()] }
    }

    /// What the first digit says.
    pub const fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Completed,
            3 => Severity::Continue,
            4 => Severity::Transient,
            5 => Severity::Permanent,
            _ => Severity::Invalid,
        }
    }
}

impl EnhancedCode {
    /// The code at the beginning of a text (RFC 2034 §4), and what stands behind it.
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = code.split('.').map(|number| number.parse::<u16>().ok());
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let fine = numbers.next().is_none() && matches!(class, 2 | 4 | 5);
        let class = u8::try_from(class).ok()?;
        (fine && subject < 1_000 && detail < 1_000).then_some((Self(class, subject, detail), rest))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Reply {
    /// One line, for people and records: `550 5.1.1 no such user here`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.text {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}
