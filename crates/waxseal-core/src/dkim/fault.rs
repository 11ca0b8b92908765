//! Why a signature proves nothing: its key, or what was signed with it.

use std::fmt;

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The key cannot be used.
    Key(&'static str),
    /// It has ended (`x=`).
    Expired,
    /// The body was changed.
    Body,
    /// The header was changed, or it is not that key's signature.
    Signature,
    /// There is no From, or more than one.
    From,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(what) => write!(f, "the DKIM key {what}"),
            Self::Expired => f.write_str("the DKIM signature has ended"),
            Self::Body => f.write_str("the body was changed after it was signed"),
            Self::Signature => f.write_str("the DKIM signature does not hold"),
            Self::From => f.write_str("a signed message has exactly one From"),
        }
    }
}
