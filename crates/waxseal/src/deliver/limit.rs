//! How long one attempt may take until the message itself is said.
//!
//! Each command has its own time (RFC 5321 §4.5.3.2), and a hostile server takes all of it, with
//! each command, at each address of each of its hosts: more than a day in all.

use std::{future::Future, pin::pin};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Until when an attempt has to have come as far as the message.
#[derive(Debug)]
pub(crate) struct Limit(watch::Sender<Instant>);

impl Limit {
    pub(super) fn at(until: Instant) -> Self {
        Self(watch::Sender::new(until))
    }

    /// It is over now.
    pub(super) fn cut(&self) {
        self.0.send_replace(Instant::now());
    }

    pub(super) fn is_over(&self) -> bool {
        *self.0.borrow() <= Instant::now()
    }

    /// What the work comes to; `None` where the time was over before.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut until = self.0.subscribe();
        let mut work = pin!(work);
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = sleep_until(at) => return None,
                Ok(()) = until.changed() => {}
            }
        }
    }
}
