//! What the organisation demanded, kept under the digest that evidence names, with a line in the log
//! for each change: whoever reads a decision later can read what it followed from.

use std::sync::Arc;

use serde_json::json;
use waxseal_core::{evidence::BlobId, org::Org, time::UnixTime};

use crate::{
    clock::{LEAP, Trust},
    store::{Actor, Change, Entry, Event, EventKind, Space, Store, StoreError},
};

/// Where the digest of what was in force last is, in [`Space::Server`].
const LAST: &str = "in-force";

/// Why it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Start,
    Reload,
    Exceptions,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Exceptions => "exceptions",
        }
    }
}

/// Keeps what is about to be in force, before any evidence can name it. It holds rules, exceptions
/// and times, and no secret: those are never part of it.
pub(super) async fn record(store: &Store, org: &Org, (cause, now): (Cause, UnixTime)) {
    if let Err(error) = keep(store, org, (cause, now)).await {
        tracing::error!("what is in force could not be put on record: {error}");
    }
}

async fn keep(store: &Store, org: &Org, (cause, now): (Cause, UnixTime)) -> Result<(), StoreError> {
    let digest = store.put_blob(Arc::from(org.canonical()?)).await?;
    let name = digest.to_string();
    let last = store.load(Space::Server, LAST, now).await?;
    if last.as_deref() == Some(name.as_bytes()) {
        return Ok(());
    }
    let before = last.map(|last| String::from_utf8_lossy(&last).into_owned());
    let entry = Entry { name: LAST.to_owned(), value: name.into_bytes(), expires: None };
    let event = change(digest, (cause, before), now);
    store.change(vec![Change::Save(Space::Server, entry)], vec![event]).await
}

/// Where a clock that is trusted contradicts the last record, that clock is on record from now on: it is
/// believed at the next start also where it is not trusted any more.
pub(super) async fn correct(store: &Store, now: UnixTime, trust: Trust) {
    if trust == Trust::Guarded {
        return;
    }
    let corrected = async {
        let Some(last) = store.last_written().await?.filter(|last| *last > now + LEAP) else {
            return Ok(());
        };
        let body = json!({ "cause": "clock", "before": last.0, "now": now.0 });
        store.append(vec![event(None, &body, now)]).await?;
        tracing::info!(
            "the last record was of a later time than it is: the clock is trusted, and its time is on \
             record now. Take clock = \"trusted\" out of the configuration again, unless its time comes \
             with authentication"
        );
        Ok::<_, StoreError>(())
    };
    if let Err(error) = corrected.await {
        tracing::error!("the corrected clock could not be put on record: {error}");
    }
}

fn change(digest: BlobId, (cause, before): (Cause, Option<String>), now: UnixTime) -> Event {
    let body = json!({ "cause": cause.name(), "before": before, "now": digest.to_string() });
    event(Some(digest), &body, now)
}

fn event(config: Option<BlobId>, body: &serde_json::Value, now: UnixTime) -> Event {
    Event {
        kind: EventKind::ConfigChange,
        version: 1,
        at: now,
        actor: Actor::Gateway,
        config,
        message: None,
        body: body.to_string().into_bytes(),
        personal: None,
    }
}
