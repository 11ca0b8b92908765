//! `waxseal exception`: a lower floor for one domain, for a while, by somebody, for a reason.

use std::fmt::Write as _;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use serde_json::json;
use waxseal_core::{channel::Floor, domain::Domain, org::Exception, time::UnixTime};

use super::{Context, Exit, Output, queue};
use crate::{
    exceptions,
    queue::system_clock,
    store::{Access, Event, EventKind, Store},
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
    },
}

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let store = queue::open(context, Access::Visit)?;
    let now = system_clock()();
    match args.act {
        Act::Add { domain, floor, until, reason, owner } => {
            let longest = queue::load(context)?.longest_exception;
            let asked = Exception { domain, floor, since: now, until, reason, owner };
            let exception =
                asked.check(longest).map_err(|error| Exit::Usage.because(error.to_string()))?;
            exceptions::keep(&store, &exception).await.map_err(|error| queue::fault(&error))?;
            put_on_record(&store, "add", &json!(exception), now).await?;
            context.print(line(&exception))?;
            context.say("A running server takes it up when it is reloaded (SIGHUP).");
            Ok(Exit::Ok)
        }
        Act::List => list(&store, now, context).await,
        Act::Remove { domain } => {
            exceptions::end(&store, &domain).await.map_err(|error| queue::fault(&error))?;
            put_on_record(&store, "remove", &json!({ "domain": domain }), now).await?;
            context.say("A running server takes it up when it is reloaded (SIGHUP).");
            Ok(Exit::Ok)
        }
    }
}

async fn list(store: &Store, now: UnixTime, context: &Context) -> anyhow::Result<Exit> {
    let all = exceptions::all(store, now).await.map_err(|error| queue::fault(&error))?;
    let mut text = String::new();
    match context.output {
        Output::Json => {
            let all: Vec<_> = all
                .iter()
                .map(|e| {
                    json!({
                        "domain": e.domain, "floor": e.floor, "since": e.since, "until": e.until,
                        "reason": e.reason, "owner": e.owner, "ends_soon": e.ends_soon(now),
                    })
                })
                .collect();
            let _ = writeln!(text, "{}", json!({ "exceptions": all }));
        }
        Output::Text if all.is_empty() => text.push_str("No exception holds.\n"),
        Output::Text => {
            for exception in &all {
                let soon = if exception.ends_soon(now) { "  ENDS SOON\n" } else { "" };
                let _ = write!(text, "{}{soon}", line(exception));
            }
        }
    }
    context.print(text)?;
    Ok(Exit::Ok)
}

async fn put_on_record(
    store: &Store,
    act: &str,
    what: &serde_json::Value,
    now: UnixTime,
) -> anyhow::Result<()> {
    let event = Event {
        kind: EventKind::Override,
        version: 1,
        at: now,
        actor: queue::operator(),
        config: None,
        message: None,
        body: json!({ "exception": act, "what": what }).to_string().into_bytes(),
        personal: None,
    };
    store.append(vec![event]).await.map_err(|error| queue::fault(&error))?;
    Ok(())
}

fn line(exception: &Exception) -> String {
    let Exception { domain, floor, until, reason, owner, .. } = exception;
    format!("{domain}: {floor} is enough until {}\n  {reason} ({owner})\n", until)
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
