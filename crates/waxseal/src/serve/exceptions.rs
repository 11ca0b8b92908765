//! Exceptions while the server runs: what `waxseal exception` changed is in force within a second,
//! and whoever reads the log hears once a day what ends soon.

use std::time::Duration;

use tokio::sync::watch;
use waxseal_core::{
    org::{Exception, Org},
    time::UnixTime,
};

use super::{Live, in_force};
use crate::{
    exceptions::{self, Mark},
    resolve::Clock,
    store::{Store, StoreError},
};

/// How often the mark is looked at: one small read.
const LOOK: Duration = Duration::from_secs(1);
/// How often the log tells what ends soon.
const TELL: Duration = Duration::from_hours(24);

/// Those in force, and which state that is.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn read(
    store: &Store,
    now: UnixTime,
) -> Result<(Vec<Exception>, Mark), StoreError> {
    // In this order: what changes in between is noticed at the next look.
    let mark = exceptions::mark(store, now).await?;
    Ok((exceptions::all(store, now).await?, mark))
}

/// One line for each exception that ends within a week.
pub(super) fn warn(exceptions: &[Exception], now: UnixTime) {
    for exception in exceptions.iter().filter(|exception| exception.ends_soon(now)) {
        tracing::warn!(
            "an exception from a floor ends at {}: see `waxseal exception list`",
            exception.until
        );
    }
}

/// Takes changes up until `stop`.
pub(super) async fn watch(live: Live, store: Store, clock: Clock, mut stop: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = clock.now();
    let mut failed: Option<String> = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = every.tick() => {}
        }
        let now = clock.now();
        let error = look(&live, &store, now).await.err().map(|error| error.to_string());
        // Once, not every second. Those known before stay in force, each until it ends.
        if let Some(error) = error.as_ref().filter(|error| failed.as_ref() != Some(error)) {
            tracing::error!("changes of exceptions cannot be read: {error}");
        }
        failed = error;
        if now.since(told) >= TELL {
            told = now;
            warn(&live.now().org.exceptions, now);
        }
    }
}

async fn look(live: &Live, store: &Store, now: UnixTime) -> Result<(), StoreError> {
    if exceptions::mark(store, now).await? == live.now().mark {
        return Ok(());
    }
    let (exceptions, mark) = read(store, now).await?;
    tracing::info!("exceptions have changed: {} in force now", exceptions.len());
    warn(&exceptions, now);
    let org = Org { exceptions: exceptions.clone(), ..Org::clone(&live.now().org) };
    in_force::record(store, &org, (in_force::Cause::Exceptions, now)).await;
    live.update(|parts| parts.with_exceptions(exceptions, mark));
    Ok(())
}
