//! A lower floor for one domain, for a while, by somebody, for a reason.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{channel::Floor, domain::Domain, time::UnixTime};

/// A lower floor for one recipient domain. It never lowers what the domain itself publishes, and
/// never lasts: DORA RTS 2024/1774 Art. 6(3) wants the reason on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Exactly this recipient domain.
    pub domain: Domain,
    /// What is accepted there instead.
    pub floor: Floor,
    /// From when.
    pub since: UnixTime,
    /// Until when, never included.
    pub until: UnixTime,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
}

/// Why an exception is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExceptionError {
    /// It ends before it begins.
    Over,
    /// It is longer than the organisation allows.
    TooLong {
        /// The longest term.
        longest: Duration,
    },
    /// Nobody said why.
    NoReason,
    /// Nobody answers for it.
    NoOwner,
    /// Reason or owner is longer than 500 characters, or holds control characters.
    Text,
}

impl fmt::Display for ExceptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over => f.write_str("the end of an exception lies in the future"),
            Self::TooLong { longest } => {
                let days = longest.as_secs() / 86_400;
                write!(f, "an exception lasts at most {days} days; renew it when it ends")
            }
            Self::NoReason => f.write_str("an exception needs a reason"),
            Self::NoOwner => f.write_str("an exception needs somebody who answers for it"),
            Self::Text => f.write_str("at most 500 printable characters for reason and owner"),
        }
    }
}

impl std::error::Error for ExceptionError {}

impl Exception {
    /// Warned about from this long before its end.
    pub const NOTICE: Duration = Duration::from_hours(7 * 24);

    /// An exception as an administrator asks for it; `longest` is the organisation's limit.
    ///
    /// # Errors
    /// Says which promise about exceptions it would break.
    pub fn check(self, longest: Duration) -> Result<Self, ExceptionError> {
        if self.until <= self.since {
            return Err(ExceptionError::Over);
        }
        if self.until > self.since + longest {
            return Err(ExceptionError::TooLong { longest });
        }
        if self.reason.trim().is_empty() {
            return Err(ExceptionError::NoReason);
        }
        if self.owner.trim().is_empty() {
            return Err(ExceptionError::NoOwner);
        }
        let odd = |text: &str| text.chars().count() > 500 || text.chars().any(char::is_control);
        if odd(&self.reason) || odd(&self.owner) {
            return Err(ExceptionError::Text);
        }
        Ok(self)
    }

    /// Whether it holds at that moment.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.since <= now && now < self.until
    }

    /// Whether somebody has to be told that it ends soon.
    pub fn ends_soon(&self, now: UnixTime) -> bool {
        self.holds(now) && now + Self::NOTICE >= self.until
    }
}
