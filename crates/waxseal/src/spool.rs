//! From the listener into the queue: `250` is said only after this has answered (promise P4).

use waxseal_core::queue_id::QueueId;

use crate::{
    listen::{Accept, AcceptError, Submission},
    metrics,
    queue::{Path, Queue},
    store::{NewMessage, StoreError},
};

impl<P: Path> Accept for Queue<P> {
    async fn accept(&self, submission: Submission) -> Result<QueueId, AcceptError> {
        let trace = submission.trace;
        let message = NewMessage {
            arrived: submission.submitted_at,
            envelope: submission.envelope,
            content: submission.message,
            direction: submission.client.standing.direction(),
        };
        match Self::accept(self, message).await {
            Ok(id) => {
                metrics::accepted();
                Ok(id)
            }
            Err(StoreError::Full) => {
                tracing::warn!(%trace, "the disk is full: mail is refused with 452 for now");
                Err(AcceptError::Full)
            }
            Err(error) => {
                tracing::error!(%trace, %error, "a message could not be stored");
                Err(AcceptError::Internal)
            }
        }
    }
}
