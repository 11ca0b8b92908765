//! The proofs of two answers as one. Merging reads both; asked for at every delivery to a host with
//! addresses of both families, it would take longer than everything else about known facts.

use std::sync::{Arc, Mutex, PoisonError};

use waxseal_core::{dnssec::merge_proofs, evidence::BlobId};

use super::cache::Aging;

/// Merged proofs that are kept: a few KiB each.
const KEPT: usize = 4_096;

/// A proof and its name.
pub(super) type Chain = (BlobId, Arc<[u8]>);

/// What was merged before. The same two always come to the same, so nothing in it runs out.
#[derive(Debug)]
pub(super) struct Merged(Mutex<Aging<(BlobId, BlobId), Option<Chain>>>);

impl Default for Merged {
    fn default() -> Self {
        Self(Mutex::new(Aging::new(KEPT)))
    }
}

impl Merged {
    /// Both as one; `None` where one of them is not a proof.
    pub(super) fn of(&self, (one, first): &Chain, (two, second): &Chain) -> Option<Chain> {
        let pair = (*one, *two);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&pair);
        if let Some(known) = known {
            return known;
        }
        let bytes: Option<Arc<[u8]>> = merge_proofs(&[first, second]).map(Arc::from);
        let merged = bytes.map(|bytes| (BlobId::of(&bytes), bytes));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(pair, merged.clone(), 1);
        merged
    }
}

#[cfg(test)]
mod tests;
