//! `waxseal exception`: a lower floor for one domain, for a while, by somebody, for a reason.

use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use serde_json::json;
use waxseal_core::{
    channel::Floor,
    domain::Domain,
    memory::Memory,
    org::{Exception, ExceptionError},
    time::UnixTime,
};

use super::{Context, Exit, Output, queue};
use crate::{
    exceptions,
    queue::system_clock,
    store::{Access, Change, Event, EventKind, Space, Store},
};

/// Exceptions from the floors: for one domain, with a reason, an owner and an end
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Accept less for one domain until a day; it never lowers what the domain itself publishes
    Add {
        /// Exactly this recipient domain
        domain: Domain,
        /// What is accepted instead: none, encrypted, authenticated, qualified
        #[arg(long, value_parser = floor)]
        floor: Floor,
        /// The day on which it ends, 2027-01-31, or a moment, 2027-01-31T12:00:00Z
        #[arg(long, value_parser = moment)]
        until: UnixTime,
        /// Why; goes on record
        #[arg(long)]
        reason: String,
        /// Who answers for it; goes on record
        #[arg(long)]
        owner: String,
    },
    /// What holds now
    List,
    /// End one now
    Remove {
        /// The recipient domain
        domain: Domain,
        /// Why; goes on record with your name
        #[arg(long)]
        reason: Option<String>,
    },
    /// Forget what a domain achieved before, after it has really given up DANE or MTA-STS
    ///
    /// Until then, mail to it waits for the level of before, or its memory ends by itself 30 days
    /// after it was confirmed last. Look first whether somebody on the path only hides it.
    Forget {
        /// The recipient domain
        domain: Domain,
        /// Why; goes on record
        #[arg(long)]
        reason: String,
        /// Who answers for it; goes on record
        #[arg(long)]
        owner: String,
    },
}

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let store = queue::open(context, Access::Visit)?;
    let now = system_clock()();
    match args.act {
        Act::Add { domain, floor, until, reason, owner } => {
            let asked = Exception { domain, floor, since: now, until, reason, owner };
            add(&store, asked, context).await
        }
        Act::List => list(&store, now, context).await,
        Act::Remove { domain, reason } => remove(&store, (domain, reason), context).await,
        Act::Forget { domain, reason, owner } => {
            let until = now + Duration::from_secs(1);
            // The same rules for who and why.
            let asked = Exception { domain, floor: Floor::None, since: now, until, reason, owner };
            let asked = asked.check(Duration::from_hours(1)).map_err(refused)?;
            forget(&store, &asked, context).await
        }
    }
}

fn refused(error: ExceptionError) -> anyhow::Error {
    Exit::Usage.because(error.to_string())
}

async fn add(store: &Store, asked: Exception, context: &Context) -> anyhow::Result<Exit> {
    let now = asked.since;
    let exception = asked.check(queue::load(context)?.longest_exception).map_err(refused)?;
    let event = event(&json!({ "exception": "add", "what": exception }), now);
    exceptions::keep(store, &exception, event).await.map_err(|error| queue::fault(&error))?;
    context.print(match context.output {
        Output::Json => format!("{}\n", shown(&exception, now)),
        Output::Text => line(&exception, now),
    })?;
    let domain = &exception.domain;
    context.say(format!(
        "In force within a second where a server runs, for new mail.\n\
         Mail that waits already: waxseal queue release --to {domain} (or retry, if it is not held)"
    ));
    Ok(Exit::Ok)
}

async fn remove(
    store: &Store,
    (domain, reason): (Domain, Option<String>),
    context: &Context,
) -> anyhow::Result<Exit> {
    let now = system_clock()();
    let holds = exceptions::of(store, &domain, now).await;
    let Some(ended) = holds.map_err(|error| queue::fault(&error))? else {
        return Err(Exit::Negative.because(format!("no exception holds for {domain}")));
    };
    let record = json!({ "exception": "remove", "what": ended, "reason": reason });
    let ended = exceptions::end(store, &domain, event(&record, now)).await;
    ended.map_err(|error| queue::fault(&error))?;
    context.print(match context.output {
        Output::Json => format!("{}\n", json!({ "removed": domain })),
        Output::Text => format!("The exception for {domain} has ended.\n"),
    })?;
    Ok(Exit::Ok)
}

async fn forget(store: &Store, asked: &Exception, context: &Context) -> anyhow::Result<Exit> {
    let Exception { domain, since: now, reason, owner, .. } = asked;
    let known = store.load(Space::Memory, domain.as_str(), *now).await;
    let known = known.map_err(|error| queue::fault(&error))?;
    let memory: Memory =
        known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let Some(best) = memory.best else {
        return Err(Exit::Negative.because(format!("nothing is remembered of {domain}")));
    };
    let record = json!({
        "memory": "forget",
        "what": { "domain": domain, "best": best, "reason": reason, "owner": owner },
    });
    let gone = Change::Remove(Space::Memory, domain.as_str().to_owned());
    let forgotten = store.change(vec![gone], vec![event(&record, *now)]).await;
    forgotten.map_err(|error| queue::fault(&error))?;
    let (level, host, confirmed) = (best.level, &best.host, best.confirmed);
    context.print(match context.output {
        Output::Json => format!("{}\n", json!({ "domain": domain, "forgotten": best })),
        Output::Text => {
            format!("Forgotten: {domain} had {level} at {host}, confirmed last {confirmed}.\n")
        }
    })?;
    Ok(Exit::Ok)
}

async fn list(store: &Store, now: UnixTime, context: &Context) -> anyhow::Result<Exit> {
    let all = exceptions::all(store, now).await.map_err(|error| queue::fault(&error))?;
    context.print(match context.output {
        Output::Json => {
            let all: Vec<_> = all.iter().map(|exception| shown(exception, now)).collect();
            format!("{}\n", json!({ "exceptions": all }))
        }
        Output::Text if all.is_empty() => "No exception holds.\n".to_owned(),
        Output::Text => all.iter().map(|exception| line(exception, now)).collect(),
    })?;
    Ok(Exit::Ok)
}

fn shown(e: &Exception, now: UnixTime) -> serde_json::Value {
    json!({
        "domain": e.domain, "floor": e.floor, "since": e.since, "until": e.until,
        "reason": e.reason, "owner": e.owner, "ends_soon": e.ends_soon(now),
    })
}

/// What goes on record, in one step with what it speaks of.
fn event(body: &serde_json::Value, now: UnixTime) -> Event {
    Event {
        kind: EventKind::Override,
        version: 1,
        at: now,
        actor: queue::operator(),
        config: None,
        message: None,
        body: body.to_string().into_bytes(),
        personal: None,
    }
}

fn line(exception: &Exception, now: UnixTime) -> String {
    let Exception { domain, floor, until, reason, owner, .. } = exception;
    let left = queue::span(until.since(now));
    let soon = if exception.ends_soon(now) { ": ENDS SOON" } else { "" };
    format!(
        "{domain}\n  {floor} is enough until {until} ({left} left{soon})\n  \
         {reason} -- {owner}\n"
    )
}

fn floor(text: &str) -> Result<Floor, String> {
    let parsed = serde_json::Value::String(text.to_owned());
    Floor::deserialize(parsed)
        .map_err(|_| "write none, encrypted, authenticated or qualified".to_owned())
}

fn moment(text: &str) -> Result<UnixTime, String> {
    let wrong = || "write a day, 2027-01-31, or a moment, 2027-01-31T12:00:00Z".to_owned();
    let at: Timestamp = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let day: Date = text.parse().map_err(|_| wrong())?;
            day.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp()
        }
    };
    u64::try_from(at.as_second()).map(UnixTime).map_err(|_| wrong())
}
