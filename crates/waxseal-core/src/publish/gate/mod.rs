//! Whether a change may go ahead. Doors open one after the other: what DNS says everywhere, and for
//! long enough that no cache remembers anything else, and only then the change that relies on it.
//!
//! A door is open, closed by something that was seen, or not known: that a server lacks a record, that it
//! refuses to answer, and that it was not reached are three different things to the end.

mod item;
mod keys;
mod policy;
mod served;
mod view;

pub(super) use self::item::Judged;
use self::view::{Views, title};
pub use self::{
    item::{Door, Guessed, Item, State, Verdict, verdict},
    keys::{HostKeys, Key, keys},
    policy::{PolicyFacts, policy},
    served::everywhere,
    view::{Gap, How, Loss, Named, Seen, ServerView},
};

/// The first few, so that a list stays a sentence; each once.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut each: Vec<&str> = Vec::new();
    for name in names {
        if !each.contains(&name.as_str()) {
            each.push(name);
        }
    }
    let shown: Vec<&str> = each.iter().take(SHOWN).copied().collect();
    // Sentences have commas of their own.
    let between = if shown.iter().any(|one| one.contains(", ")) { "; " } else { ", " };
    let shown = shown.join(between);
    match each.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
