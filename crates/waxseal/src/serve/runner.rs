//! Whether the queue runs: without it mail is taken in and goes nowhere.

use std::future::Future;

use tokio::{sync::watch, task::JoinSet};

use crate::store::StoreError;

/// Knows when the queue has ended though nobody told it to.
#[derive(Clone, Debug)]
pub(super) struct Runner(watch::Receiver<Option<String>>);

impl Runner {
    /// Why the queue does not run any more, where it does not.
    pub(super) fn ended(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Answers why once it has ended, and never where it was told to.
    pub(super) async fn broken(&self) -> String {
        let mut seen = self.0.clone();
        match seen.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

/// The queue's run, to be spawned, and who knows how it ends. A panic is an end like an error: a
/// gateway that goes on without its queue says 250 to mail that nobody sends.
pub(super) fn watched(
    run: impl Future<Output = Result<(), StoreError>> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, Runner) {
    let (tell, told) = watch::channel(None);
    let watching = async move {
        // A task of its own: it ends with this one, and its panic does not.
        let mut alone = JoinSet::new();
        alone.spawn(run);
        let why = match alone.join_next().await {
            Some(Ok(Ok(()))) | None => return,
            Some(Ok(Err(error))) => format!("the queue has stopped: {error}"),
            Some(Err(error)) => format!("the queue has stopped by a defect of ours: {error}"),
        };
        tracing::error!("{why}");
        tell.send_replace(Some(why));
    };
    (watching, Runner(told))
}

#[cfg(test)]
mod tests;
