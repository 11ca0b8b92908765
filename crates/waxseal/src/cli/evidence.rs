//! `waxseal evidence show`: what is on record about a message, and whether the parts fit.

use std::fmt::Write as _;

use serde_json::{Value, json};
use waxseal_core::{
    decide::Because,
    evidence::{Commitment, Evidence, Opening, Settlement, Tls, replay},
    queue_id::QueueId,
};

use super::{Context, Exit, Output, queue};
use crate::store::{Access, EventKind, EventQuery, StoredEvent};

/// What is on record about a message
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Every attempt: facts, decision, channel, outcome
    Show {
        /// The message, as the log and `queue list` show it
        id: QueueId,
        /// Addresses and replies too, where they have not been erased
        #[arg(long)]
        personal: bool,
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
    let Act::Show { id, personal } = args.act;
    let personal = if personal { Personal::Shown } else { Personal::Hidden };
    let store = queue::open(context, Access::Visit)?;
    let query = EventQuery {
        kind: Some(EventKind::Delivery),
        message: Some(id),
        limit: MOST,
        ..EventQuery::default()
    };
    let events = store.events(query).await.map_err(|error| queue::fault(&error))?;
    if events.is_empty() {
        return Err(Exit::Negative.because(format!("there is no record of {id}")));
    }
    match context.output {
        Output::Json => {
            let all: Vec<_> = events.iter().map(|event| as_json(event, personal)).collect();
            context.print(format!("{}\n", json!({ "message": id, "attempts": all })))?;
        }
        Output::Text => {
            let mut text = String::new();
            events.iter().for_each(|event| as_text(event, personal, &mut text));
            context.print(text)?;
        }
    }
    Ok(Exit::Ok)
}

fn openings(event: &StoredEvent) -> Vec<Opening> {
    let bytes = event.event.personal.as_deref().unwrap_or_default();
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn as_json(event: &StoredEvent, personal: Personal) -> Value {
    let record: Value = serde_json::from_slice(&event.event.body).unwrap_or(Value::Null);
    let mut shown = json!({ "sequence": event.sequence, "record": record });
    if let (Personal::Shown, Some(object)) = (personal, shown.as_object_mut()) {
        object.insert("personal".to_owned(), json!(openings(event)));
    }
    shown
}

fn as_text(event: &StoredEvent, personal: Personal, text: &mut String) {
    let Ok(evidence) = Evidence::read(&event.event.body) else {
        let at = event.event.at;
        let _ = writeln!(text, "{at}  an attempt ended with the process: perhaps delivered\n");
        return;
    };
    let known = openings(event);
    let decided = &evidence.decided;
    let level = evidence.level.map_or("not delivered", |level| level.as_str());
    let _ = writeln!(
        text,
        "{}  attempt {} to {}: {level}",
        decided.at, evidence.attempt, decided.facts.destination
    );
    let floor = decided.verdict.suspended.unwrap_or(decided.verdict.floor);
    let monitored = decided.verdict.suspended.map_or("", |_| ", only monitored");
    let _ = writeln!(text, "  floor {floor}{monitored} (rule {})", decided.verdict.rule);
    reasons(&decided.verdict.because, text);
    reasons(&decided.plan.because, text);
    for tried in &evidence.tries {
        let _ = write!(text, "  {} at {}: ", tried.peer, tried.address);
        let _ = match (&tried.tls, tried.level) {
            (Tls::Established(tls), Some(level)) => {
                let group = tls.group.as_deref().unwrap_or("no group");
                writeln!(text, "{level}, {} with {group}", tls.suite)
            }
            (_, Some(level)) => writeln!(text, "{level}"),
            (_, None) => match &tried.refusal {
                Some(refusal) => writeln!(text, "refused: {refusal}"),
                None => writeln!(text, "no channel"),
            },
        };
    }
    for recipient in &evidence.recipients {
        let who = value(&known, recipient.address, personal);
        let words = value(&known, recipient.ended.words, personal);
        let ending = format!("{:?}", recipient.ended.ending).to_lowercase();
        let next = match recipient.settled {
            Settlement::Done => "done".to_owned(),
            Settlement::Retry { at } => format!("again at {}", at),
            Settlement::Hold { until, code } => format!("held until {} ({code})", until),
            Settlement::Bounce { code } => format!("returned to its sender ({code})"),
            Settlement::Drop { code } => format!("ended, nobody could be told ({code})"),
        };
        let _ = writeln!(text, "  {who}: {ending}; {next}");
        if personal == Personal::Shown {
            let _ = writeln!(text, "    {words}");
        }
    }
    if let Some(why) = &decided.plan.why_not_higher {
        let _ = writeln!(text, "  not higher: {why}");
    }
    for alarm in &evidence.alarms {
        let _ = writeln!(text, "  ALARM {alarm}");
    }
    let _ = match replay(&evidence) {
        Ok(()) => writeln!(text, "  the plan follows from these facts\n"),
        Err(difference) => writeln!(text, "  THE PLAN DOES NOT FOLLOW: {difference}\n"),
    };
}

fn reasons(because: &[Because], text: &mut String) {
    for Because { fact, rule, rfc } in because {
        let _ = writeln!(text, "    {fact}: {rule} [{rfc}]");
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
