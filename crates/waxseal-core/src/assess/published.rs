//! A record that a domain publishes for others to read.

use serde::{Deserialize, Serialize};

use super::Quoted;
use crate::{
    dns::{Absence, Authenticity, Denial, LookupFailure},
    time::UnixTime,
};

/// One kind of record at one name: there and readable, there and broken, absent, not found out, or
/// never asked for. Five different facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published<T> {
    /// It is there and says this.
    Found {
        /// What it says.
        value: T,
        /// As it was published, made harmless.
        text: Quoted,
        /// Whether DNSSEC vouches for it.
        authenticity: Authenticity,
        /// When the answer runs out.
        expires: UnixTime,
    },
    /// It is there and nobody can use it.
    Broken {
        /// As it was published, made harmless.
        text: Quoted,
        /// What is wrong with it, in words.
        why: String,
        /// Whether DNSSEC vouches for it.
        authenticity: Authenticity,
    },
    /// There is none.
    Absent {
        /// Whether the name exists.
        denial: Denial,
        /// How sure that is.
        absence: Absence,
    },
    /// It could not be found out.
    Failed(LookupFailure),
    /// Nobody asked.
    #[default]
    NotAsked,
}

impl<T> Published<T> {
    /// What it says, where it is there and readable.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Found { value, .. } => Some(value),
            Self::Broken { .. } | Self::Absent { .. } | Self::Failed(_) | Self::NotAsked => None,
        }
    }
}
