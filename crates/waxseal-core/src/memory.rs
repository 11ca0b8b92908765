//! Downgrade memory: what a destination achieved before. It raises demands, never lowers them
//! (promise P3), and it expires.

use serde::{Deserialize, Serialize};

use crate::{channel::Level, facts::Peer, time::UnixTime};

/// What is remembered of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The best level that was achieved and confirmed within the last 30 days.
    pub best: Option<Remembered>,
}

/// One achievement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The level of the channel.
    pub level: Level,
    /// The host that it was achieved with.
    pub host: Peer,
    /// When it was seen last.
    pub confirmed: UnixTime,
}
