//! What the organisation demanded, kept under the digest that evidence names, with a line in the log
//! for each change: whoever reads a decision later can read what it followed from.

use std::sync::Arc;

use serde_json::json;
use waxseal_core::{evidence::BlobId, org::Org, time::UnixTime};

use crate::store::{Actor, Change, Entry, Event, EventKind, Space, Store, StoreError};

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

fn change(digest: BlobId, (cause, before): (Cause, Option<String>), now: UnixTime) -> Event {
    let body = json!({ "cause": cause.name(), "before": before, "now": digest.to_string() });
    Event {
        kind: EventKind::ConfigChange,
        version: 1,
        at: now,
        actor: Actor::Gateway,
        config: Some(digest),
        message: None,
        body: body.to_string().into_bytes(),
        personal: None,
    }
}
