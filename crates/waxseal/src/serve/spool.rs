//! Keeps the queue within `limits.queue`; the rest is the queue's own [`Accept`].

use std::sync::atomic::{AtomicU64, Ordering};

use waxseal_core::queue_id::QueueId;

use super::{parts::Live, path::Stages};
use crate::{
    listen::{Accept, AcceptError, Submission},
    metrics,
    queue::Queue,
    store::{Store, StoreError},
};

/// Messages between two looks at how many are queued: counting is a query.
const LOOK_EVERY: u64 = 256;

/// Takes messages in.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) queue: Queue<Stages>,
    pub(super) store: Store,
    pub(super) live: Live,
    /// Messages that may be taken before the next count of delivery groups.
    pub(super) room: AtomicU64,
}

impl Spool {
    /// Whether the queue has room; looks when what was counted is used up.
    async fn has_room(&self) -> Result<bool, StoreError> {
        let take = |room: u64| room.checked_sub(1);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            return Ok(true);
        }
        let most = self.live.now().config.limits.queue as u64;
        let queued: u64 = self.store.count().await?.into_iter().sum();
        let room = most.saturating_sub(queued).min(LOOK_EVERY);
        self.room.store(room.saturating_sub(1), Ordering::Relaxed);
        Ok(room > 0)
    }
}

impl Accept for Spool {
    async fn accept(&self, submission: Submission) -> Result<QueueId, AcceptError> {
        match self.has_room().await {
            Ok(true) => {
                let outcome = Accept::accept(&self.queue, submission).await;
                if outcome.is_err() {
                    metrics::refused(4);
                }
                outcome
            }
            Ok(false) => {
                metrics::refused(4);
                tracing::warn!("the queue is full: mail is refused for now (limits.queue)");
                Err(AcceptError::TooMany)
            }
            Err(error) => {
                metrics::refused(4);
                tracing::error!("the queue cannot be counted: {error}");
                Err(AcceptError::Internal)
            }
        }
    }
}
