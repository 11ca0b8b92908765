//! Memory of `waxseal serve` with a million messages that are all due, from its start on and while
//! its runner works on them: a receiving server that puts every message off, so that the queue stays
//! as long as it is.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use waxseal::{resolve::Clock, store::Store};
use waxseal_bench::{
    gateway::Home,
    report::{Budget, Report},
    server::Server,
    sink::{Counters, Manner, Sink},
};

use crate::messages::{each, group, message, store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Messages in the queue
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Domains that they go to
    #[arg(long, default_value_t = 100_000)]
    destinations: u64,
    /// Octets of each message
    #[arg(long, default_value_t = 1_024)]
    size: usize,
    /// How long the runner is watched, in seconds
    #[arg(long, default_value_t = 60)]
    watch: u64,
}

/// Until the first attempt.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(report: &mut Report, args: &Args, data: &Path) -> anyhow::Result<()> {
    ensure!(args.destinations > 0, "--destinations has to be at least 1");
    let home = Home::new(data)?;
    let runtime = crate::runtime()?;
    let filled = Instant::now();
    runtime.block_on(fill(&home, args))?;
    let rate = args.messages as f64 / filled.elapsed().as_secs_f64();
    let many = format!("{} messages to {} domains", args.messages, args.destinations);
    report.add(format!("{many}: taken in and judged"), (rate, "/s"), Budget::None);
    let sink = runtime.block_on(Sink::bind(Manner::PutsOff))?;
    let (port, counters) = (sink.port()?, Arc::clone(&sink.counters));
    runtime.spawn(sink.serve());
    eprintln!("queue: starting waxseal serve");
    let template = include_str!("../../budget/queue.toml");
    let begun = Instant::now();
    let server = home.serve(template, &[("sink", port.to_string())])?;
    let started = server.started_in.as_secs_f64();
    report.add(format!("{many}: start until the greeting"), (started, "s"), Budget::None);
    let at_start = server.memory()?.resident;
    let tried =
        async { tokio::time::timeout(PATIENCE, counters.reached(&counters.messages, 1)).await };
    runtime
        .block_on(tried)
        .with_context(|| format!("nothing was tried:\n{}", server.last_words()))?;
    let first = begun.elapsed().as_secs_f64();
    report.add(format!("{many}: start until the first attempt"), (first, "s"), Budget::None);
    let budget = Budget::AtMost(f64::from(1 << 30) / 1e6);
    report.add_memory(format!("{many}: after the start"), at_start, budget);
    watch(report, (&many, args.watch), (server, &counters))
}

/// Takes all messages in and gives each its verdict, through the store's own interface.
async fn fill(home: &Home, args: &Args) -> anyhow::Result<()> {
    let store = store(home, |settings| settings)?;
    let content = Bytes::from(vec![b'x'; args.size]);
    let destinations = args.destinations;
    each("queue", (256, args.messages), move |number| {
        one(store.clone(), number, destinations, content.clone())
    })
    .await
}

async fn one(store: Store, number: u64, destinations: u64, content: Bytes) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let message = message(number, destinations, &content, now)?;
    let group = group(&message).context("no recipient")?;
    let accepted = store.accept(message).await?;
    store.classify(accepted, &[group], now).await?;
    Ok(())
}

fn watch(
    report: &mut Report,
    (many, seconds): (&str, u64),
    (mut server, counters): (Server, &Counters),
) -> anyhow::Result<()> {
    let (begun, before) = (Instant::now(), Counters::read(&counters.messages));
    let end = begun + Duration::from_secs(seconds);
    let mut most = 0;
    while Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(250));
        server.is_alive()?;
        most = most.max(server.memory()?.resident);
    }
    let tried = Counters::read(&counters.messages) - before;
    let rate = tried as f64 / begun.elapsed().as_secs_f64();
    ensure!(tried > 0, "nothing was tried any more:\n{}", server.last_words());
    report.add(format!("{many}: attempts"), (rate, "/s"), Budget::None);
    let budget = Budget::AtMost(f64::from(1 << 30) / 1e6);
    report.add_memory(format!("{many}: most in {seconds} s of attempts"), most, budget);
    let peak = server.memory()?.peak;
    report.add_memory(format!("{many}: peak since the start"), peak, budget);
    Ok(())
}
