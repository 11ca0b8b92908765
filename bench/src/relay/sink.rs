//! The sink process: takes every message over STARTTLS, and reports when all are there.

use std::{sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};
use waxseal_bench::{
    cpu,
    sink::{Counters, Manner, Sink},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Messages after which the sink reports and ends.
    #[arg(long)]
    expect: u64,
}

/// What the sink says at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// From the first connection to the last message.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) connections: u64,
    /// Sessions that did not use TLS.
    pub(crate) cleartext: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args.expect))
}

async fn serve(expect: u64) -> anyhow::Result<()> {
    let sink = Sink::bind(Manner::Takes).await?;
    println!("{}", sink.port()?);
    let counters = Arc::clone(&sink.counters);
    let begun = async {
        counters.reached(&counters.connections, 1).await;
        Instant::now()
    };
    let all = counters.reached(&counters.messages, expect);
    let (begun, ()) = tokio::select! {
        ended = sink.serve() => return ended,
        done = async { tokio::join!(begun, all) } => done,
    };
    let report = Report {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu::of_this_process()?.as_secs_f64(),
        connections: Counters::read(&counters.connections),
        cleartext: Counters::read(&counters.cleartext),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
