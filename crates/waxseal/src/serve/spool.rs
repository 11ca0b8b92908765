//! Keeps the queue within `limits.queue`; the rest is the queue's own [`Accept`].

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use waxseal_core::queue_id::QueueId;

use super::{parts::Live, path::Stages};
use crate::{
    listen::{Accept, AcceptError, Submission},
    metrics,
    queue::Queue,
    store::{Store, StoreError},
};

/// A queue that was full is not counted again before this: counting reads all of it, and clients that
/// are refused come back at once.
const FULL_FOR: Duration = Duration::from_secs(1);

/// Takes messages in.
#[derive(Debug)]
pub(super) struct Spool {
    queue: Queue<Stages>,
    store: Store,
    live: Live,
    counted: Mutex<Counted>,
}

/// What came of the last count of delivery groups, of which a message has at most one for each
/// recipient.
#[derive(Debug, Default)]
struct Counted {
    /// `limits.queue` when that was; a reload may change it.
    most: u64,
    /// Groups that may be taken in before the next count.
    room: u64,
    /// When there was no room.
    full: Option<Instant>,
}

impl Spool {
    pub(super) fn new(queue: Queue<Stages>, store: Store, live: Live) -> Self {
        Self { queue, store, live, counted: Mutex::default() }
    }

    /// Whether the queue has room; looks when what was counted is used up. Whoever finds the last room
    /// has it for all recipients of a message.
    async fn has_room(&self, recipients: usize) -> Result<bool, StoreError> {
        let wanted = recipients as u64;
        let most = self.live.now().config.limits.queue as u64;
        let mut counted = self.counted.lock().await;
        if counted.most != most {
            *counted = Counted { most, ..Counted::default() };
        }
        if counted.room < wanted {
            if counted.full.is_some_and(|since| since.elapsed() < FULL_FOR) {
                return Ok(false);
            }
            let queued: u64 = self.store.count().await?.into_iter().sum();
            counted.room = most.saturating_sub(queued);
            counted.full = (counted.room == 0).then(Instant::now);
        }
        let has_room = counted.room > 0;
        counted.room = counted.room.saturating_sub(wanted);
        Ok(has_room)
    }
}

impl Accept for Spool {
    async fn accept(&self, submission: Submission) -> Result<QueueId, AcceptError> {
        match self.has_room(submission.envelope.recipients.len()).await {
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
