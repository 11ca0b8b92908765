//! `waxseal check --history DOMAIN`: what the regular checks of `serve` saw.

use waxseal_core::{assess::Id, domain::Domain};

use super::super::{Context, Exit, Output, queue};
use crate::{
    queue::system_clock,
    store::Access,
    watch::{History, history},
};

/// Prints it, from the store.
pub(super) async fn run(domains: &[String], context: &Context) -> anyhow::Result<Exit> {
    let store = queue::open(context, Access::Visit)?;
    let now = system_clock()();
    let mut exit = Exit::Ok;
    for text in domains {
        let domain =
            Domain::parse(text).map_err(|why| Exit::Usage.because(format!("{text}: {why}")))?;
        let kept = history(&store, &domain, now).await.map_err(|error| queue::fault(&error))?;
        let Some(kept) = kept else {
            context.say(format!(
                "{domain}: no regular check has looked at it; see [checks] in the configuration"
            ));
            exit = Exit::Unknown;
            continue;
        };
        context.print(match context.output {
            Output::Json => format!("{}\n", json(&domain, &kept)),
            Output::Text => page(&domain, &kept),
        })?;
        if kept.raised().next().is_some() && exit == Exit::Ok {
            exit = Exit::Negative;
        }
    }
    Ok(exit)
}

/// The contract and its version; another number where a key goes or means something else.
const SCHEMA: &str = "waxseal/check-history/1";

/// What was seen of one domain, as `docs/check.md` lists its keys.
fn json(domain: &Domain, kept: &History) -> serde_json::Value {
    serde_json::json!({
        "schema": SCHEMA,
        "domain": domain,
        "whose": kept.whose,
        "open": kept.raised().collect::<Vec<_>>(),
        "looks": kept.looks,
        "changes": kept.changes,
        "expiries": kept.expiries,
    })
}

fn page(domain: &Domain, kept: &History) -> String {
    let mut text = format!("{domain} ({})\n", kept.whose.as_str());
    for open in kept.raised() {
        let change = &open.change;
        text.push_str(&format!(
            "  ! since {}: {} ({}): {} -> {}; {}\n",
            open.since, change.subject, change.class, change.before, change.after, change.because
        ));
    }
    text.push_str("\nChanges\n");
    if kept.changes.is_empty() {
        text.push_str("  none\n");
    }
    for noted in &kept.changes {
        let change = &noted.change;
        text.push_str(&format!(
            "  {}  {:<13}  {}: {} -> {}\n",
            noted.at, change.class, change.subject, change.before, change.after
        ));
    }
    text.push_str("\nLooks\n");
    for glance in &kept.looks {
        let level = glance.level.map_or_else(|| "-".to_owned(), |level| level.to_string());
        let findings: Vec<&str> = glance.findings.iter().copied().map(Id::as_str).collect();
        text.push_str(&format!("  {}  {level:<9}  {}\n", glance.at, findings.join(" ")));
    }
    text
}
