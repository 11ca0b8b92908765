//! `waxseal replay`: decides recorded cases again; the same facts have to give the same plan.

use serde_json::{Value, json};
use waxseal_core::{
    evidence::{Evidence, replay},
    queue_id::QueueId,
    time::UnixTime,
};

use super::{Context, Exit, Output, queue};
use crate::{
    config::Span,
    queue::system_clock,
    store::{Access, EventKind, EventQuery, StoredEvent},
};

/// Decide recorded cases again: any difference is an error
///
/// Exit code: 0 all alike, 1 at least one differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the attempts for this message
    id: Option<QueueId>,
    /// Only the last while: 1d, 4h
    #[arg(long, value_name = "SPAN", conflicts_with = "id", value_parser = span)]
    since: Option<Span>,
}

pub(super) fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error: crate::config::BadValue| error.to_string())
}

/// Events read at once.
const PAGE: usize = 500;

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let store = queue::open(context, Access::Visit)?;
    let now = system_clock()();
    let since = args.since.map_or(UnixTime(0), |span| now.before(span.0));
    let mut query = EventQuery {
        since,
        kind: Some(EventKind::Delivery),
        message: args.id,
        limit: PAGE,
        ..EventQuery::default()
    };
    let mut tally = Tally::default();
    loop {
        let page = store.events(query).await.map_err(|error| queue::fault(&error))?;
        let Some(last) = page.last() else { break };
        query.after = last.sequence;
        page.iter().for_each(|event| tally.take(event));
    }
    if args.id.is_some() && tally.looked_at() == 0 {
        return Err(Exit::Negative.because("there is no record of this message"));
    }
    context.print(match context.output {
        Output::Json => format!("{}\n", tally.json()),
        Output::Text => tally.text(),
    })?;
    Ok(if tally.different.is_empty() && tally.unreadable == 0 { Exit::Ok } else { Exit::Negative })
}

/// What was found.
#[derive(Default)]
struct Tally {
    alike: usize,
    /// Attempts that ended with the process: there was no plan to record.
    interrupted: usize,
    /// Decided by another version of the decider.
    other_version: usize,
    unreadable: usize,
    different: Vec<(u64, String)>,
}

impl Tally {
    fn take(&mut self, event: &StoredEvent) {
        match Evidence::read(&event.event.body) {
            Ok(evidence) => match replay(&evidence) {
                Ok(()) => self.alike += 1,
                Err(difference) if difference.is_of_another_version() => self.other_version += 1,
                Err(difference) => self.different.push((event.sequence, difference.to_string())),
            },
            Err(_) if is_interrupted(&event.event.body) => self.interrupted += 1,
            Err(_) => self.unreadable += 1,
        }
    }

    fn looked_at(&self) -> usize {
        let others = self.interrupted + self.other_version + self.unreadable;
        self.alike + others + self.different.len()
    }

    fn json(&self) -> Value {
        let different: Vec<_> = self
            .different
            .iter()
            .map(|(sequence, why)| json!({ "sequence": sequence, "difference": why }))
            .collect();
        json!({
            "records": self.looked_at(),
            "alike": self.alike,
            "interrupted": self.interrupted,
            "other_version": self.other_version,
            "unreadable": self.unreadable,
            "different": different,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{} records, {} decided alike.\n", self.looked_at(), self.alike);
        if self.interrupted > 0 {
            text += &format!("{} attempts ended with the process.\n", self.interrupted);
        }
        if self.other_version > 0 {
            let count = self.other_version;
            text += &format!("{count} decided differently by another version: no error.\n");
        }
        if self.unreadable > 0 {
            text += &format!("{} cannot be read.\n", self.unreadable);
        }
        for (sequence, why) in &self.different {
            text += &format!("DIFFERENT  event {sequence}: {why}\n");
        }
        text
    }
}

fn is_interrupted(body: &[u8]) -> bool {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("interrupted") == Some(&Value::Bool(true)))
}
