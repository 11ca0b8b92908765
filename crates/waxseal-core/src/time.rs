//! Points in time as values. Core never reads a clock: the time is a parameter.

use std::{fmt, ops::Add, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The time since `earlier`; zero where `earlier` is later (a clock that jumped back).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Whether a `span` that began at this time is over. What lies further ahead than the span is long was noted by a clock
    /// that was set right since: nobody waits until that time has come.
    pub fn has_lapsed(self, span: Duration, now: Self) -> bool {
        now.since(self) >= span || self.since(now) > span
    }

    /// `span` before this, but never before 1970.
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    /// Saturates: a remote `max_age` cannot overflow a clock.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }
}

/// For people: RFC 3339 §5.6 in UTC, `2026-11-22T07:15:50Z`. What lies beyond the year 9999, as a
/// remote `max_age` can ask for, is a number of seconds.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).map(Timestamp::from_second) {
            Ok(Ok(at)) => fmt::Display::fmt(&at, f),
            Ok(Err(_)) | Err(_) => write!(f, "@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests;
