//! How long one attempt may take: until the message itself is said, and until all of it is.
//!
//! Each command has its own time (RFC 5321 §4.5.3.2), and a hostile server takes all of it, with
//! each command, at each address of each of its hosts: more than a day in all. The same with each
//! block of the message.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// A message has this long to be said, and a second more for each [`RATE`] octets.
const MESSAGE: Duration = Duration::from_mins(10);
/// Octets a second: who reads more slowly than this for the whole of it is left.
const RATE: usize = 4 * 1024;

/// Until when an attempt has to have come as far as the message, and then as far as the end of it.
#[derive(Debug)]
pub(crate) struct Limit(watch::Sender<Until>);

#[derive(Clone, Copy, Debug)]
struct Until {
    at: Instant,
    /// The time for the message, until it is begun.
    message: Option<Duration>,
}

impl Limit {
    /// For an attempt with a message of so many octets, that has to have begun at `at`.
    pub(super) fn new(at: Instant, octets: usize) -> Self {
        let seconds = u64::try_from(octets / RATE).unwrap_or(u64::MAX);
        let message = Some(MESSAGE.saturating_add(Duration::from_secs(seconds)));
        Self(watch::Sender::new(Until { at, message }))
    }

    /// The message begins. What its time comes to is for all hosts: there is no more with the next.
    pub(super) fn message_begins(&self) {
        self.0.send_if_modified(|until| {
            let message = until.message.take();
            if let Some(time) = message {
                until.at = until.at.max(Instant::now() + time);
            }
            message.is_some()
        });
    }

    /// It is over now.
    pub(super) fn cut(&self) {
        self.0.send_replace(Until { at: Instant::now(), message: None });
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().at <= Instant::now()
    }

    /// What the work comes to; `None` where the time was over before.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut until = self.0.subscribe();
        let mut work = pin!(work);
        loop {
            let at = until.borrow_and_update().at;
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = sleep_until(at) => return None,
                Ok(()) = until.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Hostile recipient domain: 4 KiB a second is the least that a message is read with, and the
    /// next host gets no time of its own.
    #[test]
    fn a_message_has_a_time_of_its_own_and_only_once() {
        let start = Instant::now();
        let limit = Limit::new(start + Duration::from_mins(1), 50 << 20);
        limit.message_begins();
        let until = limit.0.borrow().at;
        let whole = Duration::from_mins(10) + Duration::from_secs(50 * 256);
        assert_eq!((until - start).as_secs(), whole.as_secs());
        limit.message_begins();
        assert_eq!(limit.0.borrow().at, until);
    }

    #[tokio::test]
    async fn what_was_cut_is_over_however_large_the_message_is() {
        let limit = Limit::new(Instant::now() + Duration::from_mins(30), 50 << 20);
        limit.cut();
        limit.message_begins();
        assert!(limit.within(pending::<()>()).await.is_none());
        assert!(limit.is_over());
    }
}
