//! `waxseal replay`: decides recorded cases again; the same facts have to give the same plan.

use serde_json::{Value, json};
use waxseal_core::{
    evidence::{Again, Evidence, replay},
    queue_id::QueueId,
    time::UnixTime,
};

use super::{Context, Exit, Output, queue};
use crate::{
    config::Span,
    queue::system_clock,
    record::UNRECORDED,
    store::{Access, EventKind, EventQuery, StoredEvent},
};

/// Decide recorded cases again: any difference is an error
///
/// A damaged record is reported and does not end the replay.
///
/// Exit code: 0 all alike, 1 at least one differs, is damaged or is missing.
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
        let page = store.each_event(query).await.map_err(|error| queue::fault(&error))?;
        let Some((last, _)) = page.last() else { break };
        query.after = *last;
        for (sequence, event) in page {
            match event {
                Ok(event) => tally.take(&event),
                Err(error) => tally.damaged.push((sequence, error.to_string())),
            }
        }
    }
    if args.id.is_some() && tally.looked_at() == 0 {
        return Err(Exit::Negative.because("there is no record of this message"));
    }
    context.print(match context.output {
        Output::Json => format!("{}\n", tally.json()),
        Output::Text => tally.text(),
    })?;
    Ok(if tally.is_fine() { Exit::Ok } else { Exit::Negative })
}

/// What was found.
#[derive(Default)]
struct Tally {
    alike: usize,
    /// Attempts that ended with the process: there was no plan to record.
    interrupted: usize,
    /// Decided by another version of the decider.
    other_version: usize,
    /// Attempts whose evidence could not be made, and why: nothing to decide again.
    missing: Vec<(u64, String)>,
    /// Records that cannot be read, and why.
    damaged: Vec<(u64, String)>,
    different: Vec<(u64, String)>,
}

impl Tally {
    fn take(&mut self, event: &StoredEvent) {
        match Evidence::read(&event.event.body) {
            Ok(evidence) => match replay(&evidence) {
                Ok(Again::Alike) => self.alike += 1,
                Ok(Again::NotRecorded) => self.interrupted += 1,
                Err(difference) if difference.is_of_another_version() => self.other_version += 1,
                Err(difference) => self.different.push((event.sequence, difference.to_string())),
            },
            Err(error) => match unrecorded(&event.event.body) {
                Some(why) => self.missing.push((event.sequence, why)),
                None => self.damaged.push((event.sequence, error.to_string())),
            },
        }
    }

    const fn looked_at(&self) -> usize {
        let others = self.interrupted + self.other_version + self.missing.len();
        self.alike + others + self.damaged.len() + self.different.len()
    }

    const fn is_fine(&self) -> bool {
        self.different.is_empty() && self.damaged.is_empty() && self.missing.is_empty()
    }

    fn json(&self) -> Value {
        let list = |of: &[(u64, String)], key: &str| -> Vec<_> {
            of.iter().map(|(sequence, why)| json!({ "sequence": sequence, key: why })).collect()
        };
        json!({
            "records": self.looked_at(),
            "alike": self.alike,
            "interrupted": self.interrupted,
            "other_version": self.other_version,
            "unreadable": self.damaged.len(),
            "damaged": list(&self.damaged, "why"),
            "missing": list(&self.missing, "why"),
            "different": list(&self.different, "difference"),
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
        for (sequence, why) in &self.damaged {
            text += &format!("DAMAGED    event {sequence}: {why}\n");
        }
        for (sequence, why) in &self.missing {
            text += &format!("MISSING    event {sequence}: no evidence of this attempt: {why}\n");
        }
        for (sequence, why) in &self.different {
            text += &format!("DIFFERENT  event {sequence}: {why}\n");
        }
        text
    }
}

/// Why there is no evidence of an attempt, where the log says so.
pub(super) fn unrecorded(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let says = body.get("schema").and_then(Value::as_str) == Some(UNRECORDED);
    says.then(|| body.get("why").and_then(Value::as_str).unwrap_or_default().to_owned())
}
