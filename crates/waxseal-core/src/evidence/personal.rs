//! Personal values in records: a salted commitment in the record, the value beside it. Erasing
//! the value with its salt leaves the record as it was, and nobody can guess the value any more.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::BlobId;

/// `SHA-256(tag || salt || length of place || place || value)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commitment(BlobId);

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What opens one commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Where the commitment stands: `recipients/0/address`.
    pub place: String,
    /// Of this one value only, so that each can be erased alone.
    pub salt: BlobId,
    /// The value.
    pub value: String,
}

impl Opening {
    /// Whether it opens this commitment.
    pub fn opens(&self, commitment: Commitment) -> bool {
        commit(self.salt, &self.place, &self.value) == commitment
    }
}

/// Commits to values one by one and keeps what opens them.
#[derive(Debug)]
pub struct Sealer {
    secret: [u8; 32],
    openings: Vec<Opening>,
}

impl Sealer {
    /// `secret` is random, used for one record, and forgotten: the salts are derived from it.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self { secret, openings: Vec::new() }
    }

    /// The commitment to a value at a place. Places differ.
    pub fn seal(&mut self, place: impl Into<String>, value: impl Into<String>) -> Commitment {
        let (place, value) = (place.into(), value.into());
        let salt = hash(b"waxseal salt 1", &[&self.secret, place.as_bytes()]);
        let commitment = commit(salt, &place, &value);
        self.openings.push(Opening { place, salt, value });
        commitment
    }

    /// What opens the commitments.
    pub fn finish(self) -> Vec<Opening> {
        self.openings
    }
}

fn commit(salt: BlobId, place: &str, value: &str) -> Commitment {
    let length = u64::try_from(place.len()).unwrap_or(u64::MAX).to_be_bytes();
    let parts: [&[u8]; 4] = [salt.as_bytes(), &length, place.as_bytes(), value.as_bytes()];
    Commitment(hash(b"waxseal personal 1", &parts))
}

fn hash(tag: &[u8], parts: &[&[u8]]) -> BlobId {
    let mut context = Context::new(&SHA256);
    context.update(tag);
    for part in parts {
        context.update(part);
    }
    BlobId::from_digest(context.finish().as_ref())
}
