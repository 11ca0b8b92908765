//! `waxseal evidence show`: what is on record about a message, and whether the parts fit.

mod acts;

use std::fmt::Write as _;

use serde_json::{Value, json};
use waxseal_core::{
    decide::{Route, Verdict},
    evidence::{self, Again, BlobId, Commitment, Evidence, Opening, Settlement, Tls},
    queue_id::QueueId,
    time::UnixTime,
};

use super::{Context, Exit, Output, Paint, explain::reasons, queue, replay};
use crate::{
    config::Span,
    queue::system_clock,
    store::{Access, EventKind, EventQuery, Order, Store, StoredEvent},
};

/// What is on record about a message
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Every attempt for a message, and what operators did to it; without an id, the latest
    Show {
        /// The message, as the log and `queue list` show it
        id: Option<QueueId>,
        /// Addresses and replies too, where they have not been erased
        #[arg(long)]
        personal: bool,
        /// Without an id: only the last while, 1d or 4h
        #[arg(long, value_name = "SPAN", conflicts_with = "id", value_parser = replay::span)]
        since: Option<Span>,
        /// Without an id: at most so many, up to 1000
        #[arg(
            long, value_name = "N", conflicts_with = "id", default_value_t = 20,
            value_parser = clap::value_parser!(u16).range(1..=1_000)
        )]
        limit: u16,
    },
    /// The rules and exceptions that were in force, under the digest that a record names
    Rules {
        /// As `show` prints it
        digest: BlobId,
    },
}

/// Whether personal values are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Personal {
    Shown,
    Hidden,
}

/// The most attempts that are shown.
const MOST: usize = 1_000;

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let store = queue::open(context, Access::Visit)?;
    let (id, personal, since, limit) = match args.act {
        Act::Show { id, personal, since, limit } => (id, personal, since, limit),
        Act::Rules { digest } => return acts::in_force(&store, digest, context).await,
    };
    let personal = if personal { Personal::Shown } else { Personal::Hidden };
    match id {
        Some(id) => about(&store, (id, personal), context).await,
        None => {
            let since = since.map_or(UnixTime(0), |span| system_clock()().before(span.0));
            latest(&store, (since, usize::from(limit), personal), context).await
        }
    }
}

/// All attempts for one message, and what was done to it beside them.
async fn about(
    store: &Store,
    (id, personal): (QueueId, Personal),
    context: &Context,
) -> anyhow::Result<Exit> {
    let query = EventQuery { message: Some(id), limit: MOST, ..EventQuery::default() };
    let events = store.events(query).await.map_err(|error| queue::fault(&error))?;
    let of = |kind: EventKind| events.iter().filter(move |event| event.event.kind == kind);
    if events.is_empty() {
        return Err(Exit::Negative.because(format!("there is no record of {id}")));
    }
    context.print(match context.output {
        Output::Json => {
            let all: Vec<_> = of(EventKind::Delivery).map(|one| as_json(one, personal)).collect();
            let acts: Vec<_> = of(EventKind::Override).map(acts::as_json).collect();
            format!("{}\n", json!({ "message": id, "attempts": all, "acts": acts }))
        }
        Output::Text => {
            let mut text = String::new();
            for event in &events {
                match event.event.kind {
                    EventKind::Delivery => {
                        as_text(event, (personal, context.paint), &mut text);
                    }
                    EventKind::Override => acts::as_text(event, &mut text),
                    EventKind::Decision
                    | EventKind::PortalAccess
                    | EventKind::KeyChange
                    | EventKind::ConfigChange
                    | EventKind::AdminView
                    | EventKind::Gap => {}
                }
            }
            text
        }
    })?;
    Ok(Exit::Ok)
}

/// The latest attempts for any message, one line each.
async fn latest(
    store: &Store,
    (since, limit, personal): (UnixTime, usize, Personal),
    context: &Context,
) -> anyhow::Result<Exit> {
    let query = EventQuery {
        kind: Some(EventKind::Delivery),
        since,
        limit,
        order: Order::NewestFirst,
        ..EventQuery::default()
    };
    let events = store.events(query).await.map_err(|error| queue::fault(&error))?;
    let mut text = String::new();
    match context.output {
        Output::Json => {
            for event in &events {
                let _ = writeln!(text, "{}", as_json(event, personal));
            }
        }
        Output::Text if events.is_empty() => {}
        Output::Text => {
            let heads = ["at", "message", "try", "floor", "level", "what came of it"];
            row(heads, "to", &mut text);
            for event in &events {
                as_line(event, &mut text);
            }
        }
    }
    context.print(text)?;
    if events.is_empty() {
        context.say("there is no record");
    } else if events.len() == limit {
        context.say(format!("the latest {limit}; more: --limit, or replay --since for all"));
    }
    Ok(Exit::Ok)
}

fn row(cells: [&str; 6], to: &str, text: &mut String) {
    let [at, message, attempt, floor, level, outcome] = cells;
    let _ = writeln!(
        text,
        "{at:<20}  {message:<13}  {attempt:>3}  {floor:<13}  {level:<9}  {outcome:<16}  {to}"
    );
}

fn as_line(event: &StoredEvent, text: &mut String) {
    let id = event.event.message.map(|id| id.to_string()).unwrap_or_default();
    let at = event.event.at.to_string();
    let Ok(evidence) = Evidence::read(&event.event.body) else {
        let what = match replay::unrecorded(&event.event.body) {
            Some(_) => "no evidence",
            None => "damaged",
        };
        return row([&at, &id, "-", "-", "-", what], "-", text);
    };
    let floor = evidence.verdict().map(|verdict| verdict.floor.to_string()).unwrap_or_default();
    let level = evidence.level.map_or("-", |level| level.as_str());
    let mut ends: Vec<&str> = match evidence.interrupted {
        Some(_) => vec!["perhaps delivered"],
        None => evidence.recipients.iter().map(|recipient| word(&recipient.settled)).collect(),
    };
    ends.dedup();
    let to = evidence.destination().map(waxseal_core::domain::Domain::as_str).unwrap_or("-");
    let alarm = if evidence.alarms.is_empty() { "" } else { "  ALARM" };
    let cells = [&at, &id, &evidence.attempt.to_string(), &floor, level, &ends.join("+")];
    let caveat = evidence.decided.as_ref().and_then(|decided| decided.plan.reach.caveat());
    let caveat = caveat.map_or_else(String::new, |caveat| format!("  {caveat}"));
    row(cells, &format!("{to}{caveat}{alarm}"), text);
}

const fn word(settled: &Settlement) -> &'static str {
    match settled {
        Settlement::Done => "delivered",
        Settlement::Retry { .. } => "waits",
        Settlement::Hold { .. } => "held",
        Settlement::Bounce { .. } => "returned",
        Settlement::Drop { .. } => "dropped",
    }
}

fn openings(event: &StoredEvent) -> Vec<Opening> {
    let bytes = event.event.personal.as_deref().unwrap_or_default();
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn as_json(event: &StoredEvent, personal: Personal) -> Value {
    let record: Value = serde_json::from_slice(&event.event.body).unwrap_or(Value::Null);
    let mut shown =
        json!({ "sequence": event.sequence, "message": event.event.message, "record": record });
    if let (Personal::Shown, Some(object)) = (personal, shown.as_object_mut()) {
        object.insert("personal".to_owned(), json!(openings(event)));
    }
    shown
}

fn as_text(event: &StoredEvent, (personal, paint): (Personal, Paint), text: &mut String) {
    let evidence = match Evidence::read(&event.event.body) {
        Ok(evidence) => evidence,
        Err(error) => {
            let at = event.event.at;
            let _ = match replay::unrecorded(&event.event.body) {
                Some(why) => writeln!(text, "{at}  an attempt without evidence: {why}\n"),
                None => writeln!(text, "{at}  a damaged record: {error}\n"),
            };
            return;
        }
    };
    let known = openings(event);
    let Some(decided) = &evidence.decided else {
        return cut_off(&evidence, (&known, personal, paint), text);
    };
    let destination = paint.bold(decided.facts.destination.as_str());
    let came = match evidence.level {
        Some(level) => match decided.plan.reach.caveat() {
            Some(caveat) => format!("delivered, {level}, {caveat}"),
            None => format!("delivered, {level}"),
        },
        None => "not delivered".to_owned(),
    };
    let (at, attempt) = (decided.at, evidence.attempt);
    let _ = writeln!(text, "{at}  attempt {attempt} to {destination}: {}", paint.bold(&came));
    for alarm in &evidence.alarms {
        let _ = writeln!(text, "  {} {alarm}", paint.bold("ALARM"));
    }
    floor(&decided.verdict, text);
    if let Some(digest) = evidence.config {
        let _ = writeln!(text, "  rules: waxseal evidence rules {digest}");
    }
    text.push_str("  decided:\n");
    reasons(&decided.plan.because, "    ", text);
    for route in &decided.plan.routes {
        if let Route::Host(host) = route {
            let _ = writeln!(text, "    {}: {} or better", host.peer, host.level);
        }
    }
    if let Some(why) = &decided.plan.why_not_higher {
        let _ = writeln!(text, "    not higher: {why}");
    }
    channels(&evidence, text);
    recipients(&evidence, (&known, personal), text);
    let _ = match evidence::replay(&evidence) {
        Ok(Again::Alike | Again::NotRecorded) => {
            writeln!(text, "  replayed: the plan follows from these facts\n")
        }
        Err(difference) => {
            writeln!(text, "  {}: {difference}\n", paint.bold("THE PLAN DOES NOT FOLLOW"))
        }
    };
}

fn floor(verdict: &Verdict, text: &mut String) {
    let floor = verdict.suspended.unwrap_or(verdict.floor);
    let monitored = verdict.suspended.map_or("", |_| ", only monitored");
    let _ = writeln!(text, "  floor: {floor}{monitored}, by rule {}", verdict.rule);
    reasons(&verdict.because, "    ", text);
}

/// An attempt that ended with the process.
fn cut_off(
    evidence: &Evidence,
    (known, personal, paint): (&[Opening], Personal, Paint),
    text: &mut String,
) {
    let at = evidence.at().map(|at| at.to_string()).unwrap_or_default();
    let to = evidence.destination().map(ToString::to_string).unwrap_or_default();
    let came = paint.bold("perhaps delivered");
    let _ = writeln!(
        text,
        "{at}  attempt {} to {}: {came}\n  the gateway stopped between sending the message and \
         hearing the answer; what was decided is lost",
        evidence.attempt,
        paint.bold(&to)
    );
    if let Some(verdict) = evidence.verdict() {
        floor(verdict, text);
    }
    recipients(evidence, (known, personal), text);
    text.push('\n');
}

/// What was seen at each address.
fn channels(evidence: &Evidence, text: &mut String) {
    for tried in &evidence.tries {
        let _ = write!(text, "  tried: {} at {}: ", tried.peer, tried.address);
        let _ = match (&tried.tls, tried.level) {
            (Tls::Established(tls), Some(level)) => {
                let group = tls.group.as_deref().unwrap_or("no group");
                let version = serde_json::to_value(tls.version).unwrap_or_default();
                let version = version.as_str().unwrap_or("TLS");
                writeln!(text, "{level}; {version}, {}, {group}", tls.suite)
            }
            (_, Some(level)) => writeln!(text, "{level}"),
            (_, None) => match &tried.refusal {
                Some(refusal) => writeln!(text, "refused: {refusal}"),
                None => writeln!(text, "no channel"),
            },
        };
    }
}

/// What became of it for each recipient.
fn recipients(evidence: &Evidence, (known, personal): (&[Opening], Personal), text: &mut String) {
    for (at, recipient) in evidence.recipients.iter().enumerate() {
        let who = value(known, recipient.address, personal);
        let mut ending = format!("{:?}", recipient.ended.ending).to_lowercase();
        if let Some(level) = evidence.level_for(at) {
            let _ = write!(ending, ", {level}");
        }
        let next = match recipient.settled {
            Settlement::Done => "done".to_owned(),
            Settlement::Retry { at } => format!("again at {at}"),
            Settlement::Hold { until, code } => format!("held until {until} ({code})"),
            Settlement::Bounce { code } => format!("returned to its sender ({code})"),
            Settlement::Drop { code } => format!("ended, nobody could be told ({code})"),
        };
        let _ = writeln!(text, "  {who}: {ending}; {next}");
        if personal == Personal::Shown {
            let _ = writeln!(text, "    {}", value(known, recipient.ended.words, personal));
        }
    }
}

/// A personal value; control characters of a peer must not reach the terminal.
fn value(known: &[Opening], commitment: Commitment, personal: Personal) -> String {
    if personal == Personal::Hidden {
        let short: String = commitment.to_string().chars().take(12).collect();
        return format!("recipient {short}");
    }
    match known.iter().find(|opening| opening.opens(commitment)) {
        Some(opening) => {
            opening.value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        }
        None => "erased".to_owned(),
    }
}
