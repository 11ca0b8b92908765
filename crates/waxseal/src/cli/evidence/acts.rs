//! What people and clocks did to a message beside its attempts, and under which rules it was decided.

use std::fmt::Write as _;

use serde_json::{Value, json};
use waxseal_core::evidence::BlobId;

use crate::{
    cli::{Context, Exit, queue},
    store::{Actor, Store, StoredEvent},
};

/// What was in force under a digest, as the records name it.
pub(super) async fn in_force(
    store: &Store,
    digest: BlobId,
    context: &Context,
) -> anyhow::Result<Exit> {
    let found = store.blob(digest).await.map_err(|error| queue::fault(&error))?;
    let Some(bytes) = found else {
        return Err(Exit::Negative.because(format!("nothing is kept under {digest}")));
    };
    let rules: Value = serde_json::from_slice(&bytes)?;
    context.print(format!("{rules:#}\n"))?;
    Ok(Exit::Ok)
}

fn who(actor: &Actor) -> &str {
    match actor {
        Actor::Gateway => "the gateway",
        Actor::Operator(name) | Actor::Person(name) => name,
    }
}

/// An act on a message: who, what, why.
pub(super) fn as_json(event: &StoredEvent) -> Value {
    let what: Value = serde_json::from_slice(&event.event.body).unwrap_or(Value::Null);
    json!({
        "sequence": event.sequence,
        "at": event.event.at,
        "actor": event.event.actor,
        "what": what,
    })
}

pub(super) fn as_text(event: &StoredEvent, text: &mut String) {
    let what: Value = serde_json::from_slice(&event.event.body).unwrap_or(Value::Null);
    let word = |key: &str| what.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Of the gateway itself there is one: a hold that nobody ended.
    let verb = match word("verb").as_str() {
        "retry" => "tried again at once".to_owned(),
        "hold" => "held".to_owned(),
        "release" => "released".to_owned(),
        "drop" => "dropped, its sender was not told".to_owned(),
        "expire" => "its hold ended".to_owned(),
        other => other.to_owned(),
    };
    let (at, who) = (event.event.at, who(&event.event.actor));
    let _ = write!(text, "{at}  {verb}, by {who}");
    if let Some(to) = what.get("destination").and_then(Value::as_str) {
        let count = what.get("recipients").and_then(Value::as_u64).unwrap_or_default();
        let _ = write!(text, ": {count} recipients at {to}");
    }
    let reason = word("reason").replace(char::is_control, " ");
    if !reason.is_empty() {
        let _ = write!(text, "; {reason}");
    }
    text.push_str("\n\n");
}
