//! `waxseal queue`: what waits and why, and what an operator can do about it. Never a subject, never
//! a body.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use waxseal_core::{domain::Domain, queue_id::QueueId, time::UnixTime};

use super::{Context, Exit, Output, explain::reasons};
use crate::{
    config::Config,
    queue::system_clock,
    secrets::{SecretSource, StoreKeys},
    store::{Access, Actor, Command, Listed, Settings, Store, StoreError, Target, Verb, WorkState},
};

/// Rows read in one step.
const PAGE: usize = 1_000;
/// How long a running server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What waits to be delivered, and what to do about it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// List what waits: one line for each delivery group
    List {
        /// Only mail to this domain
        #[arg(long, value_name = "DOMAIN")]
        to: Option<Domain>,
        /// Only what is held
        #[arg(long)]
        held: bool,
    },
    /// Show one message: envelope, verdict, attempts
    Show {
        /// Its id, as the log and `list` show it
        id: QueueId,
    },
    /// Try now, whatever the schedule says
    Retry(Which),
    /// Keep mail back until it is released, or its hold ends
    Hold(Which),
    /// End a hold and try now; --all also ends the pause after a restore
    Release(Which),
    /// Give mail up without telling its sender; what he was to be told before is still told
    Drop(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    target: WhichTarget,
    /// Goes on record with your name
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WhichTarget {
    /// One message
    id: Option<QueueId>,
    /// All mail to this domain
    #[arg(long, value_name = "DOMAIN")]
    to: Option<Domain>,
    /// Everything
    #[arg(long)]
    all: bool,
}

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let store = open(context, Access::Visit)?;
    match args.act {
        Act::List { to, held } => {
            let which = if held { Held::Only } else { Held::Too };
            list(&store, (to, which), context).await
        }
        Act::Show { id } => show(&store, id, context).await,
        Act::Retry(which) => ask(&store, (Verb::Retry, which), context).await,
        Act::Hold(which) => ask(&store, (Verb::Hold, which), context).await,
        Act::Release(which) => ask(&store, (Verb::Release, which), context).await,
        Act::Drop(which) => ask(&store, (Verb::Drop, which), context).await,
    }
}

/// Opens the store that the configuration names.
pub(super) fn open(context: &Context, access: Access) -> anyhow::Result<Store> {
    let config = load(context)?;
    let settings = Settings::of(&config);
    if access == Access::Visit && !settings.database.exists() {
        return Err(fault(&StoreError::Nothing(settings.data_dir)));
    }
    let keys = keys(&config)?;
    Store::open(settings, keys, access).map_err(|error| fault(&error))
}

pub(super) fn load(context: &Context) -> anyhow::Result<Config> {
    Config::load(&context.config).map_err(|refused| Exit::Config.because(refused.to_string()))
}

/// The store keys that the configuration names.
pub(super) fn keys(config: &Config) -> anyhow::Result<StoreKeys> {
    let settings = Settings::of(config);
    let source = SecretSource::from(&config.store.key);
    StoreKeys::load(&source, &settings.data_dir, &settings.database)
        .map_err(|error| Exit::Config.because(error.to_string()))
}

/// An error of the store with its exit code.
pub(super) fn fault(error: &StoreError) -> anyhow::Error {
    let exit = if error.is_configuration() {
        Exit::Config
    } else if matches!(error, StoreError::Damaged(_)) {
        // Trying again does not mend it.
        Exit::Negative
    } else {
        Exit::TryAgain
    };
    exit.because(error.to_string())
}

/// Who sits at the terminal, for the record.
pub(super) fn operator() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    Actor::Operator(name.unwrap_or_else(|| "unknown".to_owned()))
}

/// Whether only held mail is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Only,
    Too,
}

/// Where a group stands, for people: what a rule holds is still tried now and then.
fn standing(row: &Listed) -> &'static str {
    if row.unreadable.is_some() {
        return "unreadable";
    }
    match (row.state, &row.group) {
        (WorkState::Fresh, _) => "new",
        (WorkState::Held, _) => "held",
        (WorkState::Queued, Some(group)) if group.history.held_since.is_some() => "held",
        (WorkState::Queued, _) => "queued",
    }
}

/// Why the body of a message cannot be read: by reading it.
async fn damage(store: &Store, message: QueueId) -> anyhow::Result<Option<String>> {
    match store.content(message).await {
        // It may have gone meanwhile.
        Ok(_) | Err(StoreError::Absent(_)) => Ok(None),
        Err(error) if error.is_of_one_message() => Ok(Some(error.to_string())),
        Err(error) => Err(fault(&error)),
    }
}

async fn list(
    store: &Store,
    (to, which): (Option<Domain>, Held),
    context: &Context,
) -> anyhow::Result<Exit> {
    let now = system_clock()();
    let (mut after, mut count) = (None, 0_u64);
    loop {
        let (mut page, end) = store.list(after, PAGE).await.map_err(|error| fault(&error))?;
        if end.is_none() {
            break;
        }
        after = end;
        // Bodies are read where that is few: those without a verdict, of which nobody noted
        // anything, and those of which somebody did, because they may have been mended since.
        for row in page.iter_mut().filter(|row| row.unreadable.is_none()) {
            let noted = row.group.as_ref().is_some_and(|group| group.unreadable.is_some());
            if noted || row.state == WorkState::Fresh {
                row.unreadable = damage(store, row.message).await?;
            }
        }
        let mut text = String::new();
        for row in &page {
            let domain = row.group.as_ref().map(|group| &group.destination);
            let wanted = to.is_none() || domain == to.as_ref();
            if !wanted || (which == Held::Only && standing(row) != "held") {
                continue;
            }
            if count == 0 && context.output == Output::Text {
                text.push_str(
                    "id             state   age     size     next    tries to, and why it waits\n",
                );
            }
            count += 1;
            match context.output {
                Output::Json => writeln!(text, "{}", row_json(row))?,
                Output::Text => writeln!(text, "{}", row_text(row, now))?,
            }
        }
        context.show(&text)?;
    }
    if store.is_paused().await.map_err(|error| fault(&error))? {
        context.say(
            "nothing is sent since the restore; check the list, then: waxseal queue release --all",
        );
    }
    if count == 0 && to.is_none() && which == Held::Too {
        context.say("the queue is empty");
    } else if count == 0 {
        context.say("nothing of that kind waits");
    }
    Ok(Exit::Ok)
}

fn row_json(row: &Listed) -> Value {
    let group = row.group.as_ref();
    json!({
        "id": row.message,
        "state": standing(row),
        "arrived": row.arrived,
        "size": row.size,
        "due": row.due,
        "destination": group.map(|group| &group.destination),
        "recipients": group.map(|group| group.recipients.len()),
        "attempts": group.map_or(0, |group| group.history.attempts),
        "floor": group.map(|group| group.verdict.floor),
        "rule": group.map(|group| &group.verdict.rule),
        "why": row.unreadable.as_ref().or(group.and_then(|group| group.note.as_ref())),
    })
}

fn row_text(row: &Listed, now: UnixTime) -> String {
    let group = row.group.as_ref();
    let next = match row.due > now {
        true => span(row.due.since(now)),
        false => "now".to_owned(),
    };
    let to = match (group, &row.unreadable) {
        (Some(group), _) => group.destination.as_str(),
        (None, Some(_)) => "unknown",
        (None, None) => "no verdict yet",
    };
    let why = row.unreadable.as_deref().or(group.and_then(|group| group.note.as_deref()));
    format!(
        "{}  {:<6}  {:<6}  {:<7}  {:<6}  {:<4}  {}: {}",
        row.message,
        standing(row),
        span(now.since(row.arrived)),
        octets(row.size),
        next,
        group.map_or(0, |group| group.history.attempts),
        to,
        why.unwrap_or("its turn comes"),
    )
}

/// `42s`, `17m`, `5h`, `3d`
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn octets(size: u64) -> String {
    match size {
        0..10_240 => format!("{size}B"),
        10_240..10_485_760 => format!("{}KiB", size / 1_024),
        _ => format!("{}MiB", size / 1_048_576),
    }
}

async fn show(store: &Store, id: QueueId, context: &Context) -> anyhow::Result<Exit> {
    let head = match store.head(id).await {
        Ok(head) => head,
        Err(StoreError::Absent(_)) => {
            context.say(format!(
                "{id} is not in the queue; waxseal evidence show {id} tells what became of it"
            ));
            return Ok(Exit::Negative);
        }
        Err(error) if error.is_of_one_row() => {
            context
                .say(format!("{id} is unreadable: {error}; waxseal queue drop {id} gives it up"));
            return Ok(Exit::Negative);
        }
        Err(error) => return Err(fault(&error)),
    };
    let mut rows = store.groups_of(id).await.map_err(|error| fault(&error))?;
    let damage = damage(store, id).await?;
    rows.iter_mut().for_each(|row| row.unreadable = row.unreadable.take().or(damage.clone()));
    match context.output {
        Output::Json => {
            let groups: Vec<_> = rows
                .iter()
                .map(|row| json!({ "standing": row_json(row), "group": row.group }))
                .collect();
            let document = json!({ "id": id, "head": head, "groups": groups });
            context.print(format!("{document}\n"))?;
        }
        Output::Text => {
            let mut text = String::new();
            let from = &head.envelope.reverse_path;
            writeln!(text, "{id}  from {from}, {}, arrived {}", octets(head.size), head.arrived)?;
            let now = system_clock()();
            for row in &rows {
                group_text(row, now, &mut text)?;
            }
            context.show(&text)?;
        }
    }
    Ok(Exit::Ok)
}

/// One group of a message, in full.
fn group_text(row: &Listed, now: UnixTime, text: &mut String) -> std::fmt::Result {
    if let Some(why) = &row.unreadable {
        writeln!(text, "  unreadable: {why}; waxseal queue drop {} gives it up", row.message)?;
        if row.group.is_none() {
            return Ok(());
        }
    }
    let Some(group) = &row.group else { return writeln!(text, "  no verdict yet") };
    let next = match row.due > now {
        true => format!("{} ({})", row.due, span(row.due.since(now))),
        false => "now".to_owned(),
    };
    let (to, tries) = (&group.destination, group.history.attempts);
    writeln!(text, "  to {to}: {}, tried {tries} times, next {next}", standing(row))?;
    for recipient in &group.recipients {
        writeln!(text, "    to {}", recipient.mailbox)?;
    }
    if let Some(note) = &group.note {
        writeln!(text, "    last: {note}")?;
    }
    writeln!(text, "    floor {}, by rule {}", group.verdict.floor, group.verdict.rule)?;
    reasons(&group.verdict.because, "    ", text);
    Ok(())
}

/// What was done, in words.
fn done(verb: Verb, changed: u64) -> String {
    let act = match verb {
        Verb::Retry => "tried now",
        Verb::Hold => "held",
        Verb::Release => "released",
        Verb::Drop => "dropped",
    };
    match (changed, verb) {
        (0, Verb::Retry) => "Nothing to try: not there, held (release it), or being sent.\n".into(),
        (0, Verb::Release) => "Nothing to release: not there, or not held.\n".into(),
        (0, Verb::Hold | Verb::Drop) => {
            format!("Nothing {act}: not there, {act} before, or being sent.\n")
        }
        (1, _) => format!("1 delivery group {act}.\n"),
        (more, _) => format!("{more} delivery groups {act}.\n"),
    }
}

async fn ask(
    store: &Store,
    (verb, which): (Verb, Which),
    context: &Context,
) -> anyhow::Result<Exit> {
    let target = match (which.target.id, which.target.to) {
        (Some(id), _) => Target::Message(id),
        (None, Some(domain)) => Target::Destination(domain),
        (None, None) => Target::All,
    };
    // After a restore this also lets mail go, whether or not anything was held.
    let begins = (verb, &target) == (Verb::Release, &Target::All)
        && store.is_paused().await.map_err(|error| fault(&error))?;
    let command = Command { verb, target, reason: which.reason, actor: operator() };
    let id = store.ask(&command).await.map_err(|error| fault(&error))?;
    let deadline = Instant::now() + ANSWER;
    let changed = loop {
        match store.answered(id).await.map_err(|error| fault(&error))? {
            Some(changed) => break Some(changed),
            None if Instant::now() > deadline => break None,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    match (changed, context.output) {
        (changed, Output::Json) => {
            context.print(format!("{}\n", json!({ "changed": changed })))?;
        }
        (Some(0), Output::Text) if begins => context.print("Sending begins again.\n")?,
        (Some(changed), Output::Text) => context.print(done(verb, changed))?,
        (None, Output::Text) => {}
    }
    match changed {
        Some(0) if !begins => Ok(Exit::Negative),
        Some(_) => Ok(Exit::Ok),
        None => {
            context.say("no server answers; this will be done when waxseal serve runs");
            Ok(Exit::TryAgain)
        }
    }
}
