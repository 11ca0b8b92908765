//! Alternating rounds, and the table at the end.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use waxseal_bench::{machine::Machine, report};

use crate::{
    mta::{Kind, Mta},
    sink, source,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; in each, both MTAs run once, in alternating order.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Messages per run.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Sessions of the source.
    #[arg(long, default_value_t = 20)]
    sessions: u64,
    /// Octets per message.
    #[arg(long, default_value_t = 10 * 1024)]
    size: usize,
    /// Where both keep their queues; the same file system for both, and not in memory.
    #[arg(long, default_value = "target")]
    data: PathBuf,
    /// Only one of them: `waxseal` or `postfix`.
    #[arg(long)]
    only: Option<String>,
}

/// One run of one MTA, per message where that makes sense.
struct Run {
    per_second: f64,
    mta_us: f64,
    source_us: f64,
    sink_us: f64,
    p99_ms: f64,
    resident_mb: f64,
    connections: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.data)?;
    let data = args.data.canonicalize()?;
    println!(
        "{} messages of {} octets, {} sessions, {} rounds; {}",
        args.messages,
        args.size,
        args.sessions,
        args.rounds,
        Machine::this()
    );
    let ceiling = direct(args)?;
    println!("source to sink, nothing between: {ceiling:.0} messages/s");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let order = if round % 2 == 0 {
            [Kind::Waxseal, Kind::Postfix]
        } else {
            [Kind::Postfix, Kind::Waxseal]
        };
        for kind in order {
            if args.only.as_deref().is_some_and(|only| only != kind.name()) {
                continue;
            }
            let run = one(kind, args, &data)?;
            print_row(kind.name(), &run);
            match kind {
                Kind::Waxseal => ours.push(run),
                Kind::Postfix => theirs.push(run),
            }
        }
    }
    if ours.len() == theirs.len() && !ours.is_empty() {
        verdict(&ours, &theirs, ceiling);
    }
    Ok(())
}

fn print_row(name: &str, run: &Run) {
    println!(
        "{name:8} {:8.0} messages/s   CPU us/message: MTA {:7.1}  source {:6.1}  sink {:6.1}   \
         p99 of 250 {:6.1} ms   {:5.0} MB   {} connections",
        run.per_second,
        run.mta_us,
        run.source_us,
        run.sink_us,
        run.p99_ms,
        run.resident_mb,
        run.connections
    );
}

/// Medians, ratios, and the budget of DESIGN §10.
fn verdict(ours: &[Run], theirs: &[Run], ceiling: f64) {
    let cpu = median(ours, |run| run.mta_us) / median(theirs, |run| run.mta_us);
    let rate = median(ours, |run| run.per_second);
    let speed = rate / median(theirs, |run| run.per_second);
    println!(
        "\nmedians: CPU per message {:.3} of Postfix's (1/{:.1}; budget 1/6)\n\
         messages/s {speed:.2} x Postfix's, {:.0} % of the source-to-sink ceiling (budget 6 x or 80 %)",
        cpu,
        1.0 / cpu,
        100.0 * rate / ceiling
    );
}

fn median(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    report::median(runs.iter().map(figure).collect())
}

fn direct(args: &Args) -> anyhow::Result<f64> {
    let mut sink = start_sink(args.messages)?;
    let source: source::Report = answer(&mut start_source(sink.port, args)?)?;
    let _: sink::Report = sink.report()?;
    Ok(args.messages as f64 / source.seconds)
}

fn one(kind: Kind, args: &Args, data: &std::path::Path) -> anyhow::Result<Run> {
    let mut sink = start_sink(args.messages)?;
    let mta = Mta::start(kind, sink.port, data)?;
    let before = mta.cgroup.used()?;
    let started = Instant::now();
    let source: source::Report = answer(&mut start_source(mta.server.port, args)?)
        .with_context(|| format!("{}:\n{}", kind.name(), mta.server.last_words()))?;
    let limit = Duration::from_secs(600);
    let sink = sink.report_within(limit).with_context(|| {
        format!("{} did not deliver all:\n{}", kind.name(), mta.server.last_words())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let resident_mb = mta.cgroup.resident() as f64 / 1e6;
    let used = mta.cgroup.used()?.saturating_sub(before).as_secs_f64();
    ensure!(sink.cleartext == 0, "{} sent {} sessions in the clear", kind.name(), sink.cleartext);
    let per_message = 1e6 / args.messages as f64;
    Ok(Run {
        per_second: args.messages as f64 / seconds,
        mta_us: used * per_message,
        source_us: source.cpu_seconds * per_message,
        sink_us: sink.cpu_seconds * per_message,
        p99_ms: source.p99_ms,
        resident_mb,
        connections: sink.connections,
    })
}

/// A sink process and its port.
struct Sink {
    port: u16,
    process: Child,
    output: Option<BufReader<ChildStdout>>,
}

fn start_sink(expect: u64) -> anyhow::Result<Sink> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["sink", "--expect", &expect.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(process.stdout.take().context("the sink has no output")?);
    let mut port = String::new();
    output.read_line(&mut port)?;
    Ok(Sink {
        port: port.trim().parse().context("the sink's port")?,
        process,
        output: Some(output),
    })
}

impl Sink {
    fn report(&mut self) -> anyhow::Result<sink::Report> {
        self.report_within(Duration::from_secs(600))
    }

    fn report_within(&mut self, limit: Duration) -> anyhow::Result<sink::Report> {
        let mut output = self.output.take().context("reported already")?;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = output.read_line(&mut line);
            // The receiver is gone only after its time limit.
            let _ = tell.send(line);
        });
        let line = told.recv_timeout(limit).context("the sink waits for more messages")?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start_source(port: u16, args: &Args) -> anyhow::Result<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .args(["source", "--to", &format!("127.0.0.1:{port}")])
        .args(["--messages", &args.messages.to_string(), "--sessions", &args.sessions.to_string()])
        .args(["--size", &args.size.to_string()])
        .stdout(Stdio::piped())
        .spawn()?)
}

fn answer<R: DeserializeOwned>(process: &mut Child) -> anyhow::Result<R> {
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
    let status = process.wait()?;
    ensure!(status.success(), "the source ended with {status}");
    Ok(serde_json::from_str(&line)?)
}
