//! What the organisation's rules say for one message and one recipient.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Because;
use crate::channel::Floor;

/// What has to hold for one recipient of one message. Equal verdicts of one destination form a
/// delivery group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The least that is accepted; in monitor mode what binds, which is `none`.
    pub floor: Floor,
    /// In monitor mode: the floor that the rules would have set.
    pub suspended: Option<Floor>,
    /// What happens when the floor cannot be met.
    pub fallback: Fallback,
    /// How long to try for the floor before the fallback.
    pub patience: Duration,
    /// Name of the rule that decided; `default` where none matched.
    pub rule: String,
    /// All rules that matched, and the exception that was used.
    pub because: Vec<Because>,
}

/// What happens to a message whose floor cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fallback {
    /// Kept, and an administrator or its sender decides; returned when the hold lifetime ends.
    Hold,
    /// Returned to its sender.
    Bounce,
}
