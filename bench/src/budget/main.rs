//! The budgets of DESIGN §10 that are about one process: time of a plan and of cached facts, memory
//! with many queued messages, many idle sessions, many cached policies; and of assessing many domains. (Relaying beside Postfix is
//! the program `relay`.) Ends with 1 where a budget is missed.

mod check;
mod clients;
mod facts;
mod messages;
mod plan;
mod policies;
mod queue;
mod sessions;
mod store;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use waxseal_bench::report::{Format, Report};

/// Measures what DESIGN §10 has a budget for; ends with 1 where one is missed
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the result as JSON; progress goes to standard error
    #[arg(long, global = true)]
    json: bool,
    /// Where data directories are made: on a disk, not in memory
    #[arg(long, global = true, default_value = "target")]
    data: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// How long one plan takes
    Plan,
    /// How long the facts of a destination with 5 MX take from the caches
    Facts,
    /// How fast the store takes mail in and lets it go (no budget: it depends on the disk)
    Store,
    /// Memory with a large queue, while its runner works; and how long the start takes
    Queue(queue::Args),
    /// Memory with many idle inbound TLS sessions, and with none
    Sessions(sessions::Args),
    /// Memory with many known MTA-STS policies
    Policies(policies::Args),
    /// Domains a minute of `waxseal check`, and how often it probes the mail hosts of many domains
    Check(check::Args),
    /// The clients of `sessions`, in a process of their own
    #[command(hide = true)]
    Clients(clients::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut report = Report::default();
    match &args.what {
        What::Plan => plan::measure(&mut report)?,
        What::Facts => facts::measure(&mut report, &args.data)?,
        What::Store => store::measure(&mut report, &args.data)?,
        What::Queue(queue) => queue::measure(&mut report, queue, &args.data)?,
        What::Sessions(sessions) => sessions::measure(&mut report, sessions, &args.data)?,
        What::Policies(policies) => policies::measure(&mut report, policies, &args.data)?,
        What::Check(check) => check::measure(&mut report, check, &args.data)?,
        What::Clients(clients) => {
            clients::run(clients)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    report.finish(if args.json { Format::Json } else { Format::Text })
}

/// A runtime as `waxseal` has one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
