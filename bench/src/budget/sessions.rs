//! Memory of `waxseal serve` with 10,000 clients that said STARTTLS and EHLO and then nothing more,
//! and of one with nothing to do at all. The clients are a process of their own; they come from 127.0.0.1,
//! 127.0.0.2, ... with no more sessions each than the limits allow.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use waxseal_bench::{
    gateway::Home,
    open_files,
    report::{Budget, Report},
    server::Server,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Sessions at once
    #[arg(long, default_value_t = 10_000)]
    sessions: u32,
}

/// Until memory has settled.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) fn measure(report: &mut Report, args: &Args, data: &Path) -> anyhow::Result<()> {
    open_files::as_usual()?;
    let home = Home::new(data)?;
    let certificate = home.certify("gw.bench.test")?;
    let limit = ("sessions", args.sessions.max(1).to_string());
    let mut server = home.serve(include_str!("../../budget/sessions.toml"), &[limit])?;
    std::thread::park_timeout(SETTLED);
    let idle = most(&mut server)?;
    report.add_memory("idle process", idle, Budget::AtMost(60.0));
    let begun = Instant::now();
    let clients = Clients::start(server.port, args.sessions, &certificate)
        .with_context(|| format!("waxseal said:\n{}", server.last_words()))?;
    let many = format!("{} idle TLS sessions", args.sessions);
    let opened = begun.elapsed().as_secs_f64();
    report.add(format!("{many}: opened in"), (opened, "s"), Budget::None);
    std::thread::park_timeout(SETTLED);
    let busy = most(&mut server)?;
    let each = busy.saturating_sub(idle) as f64 / f64::from(args.sessions.max(1));
    report.add(format!("{many}: each"), (each / 1e3, "kB"), Budget::None);
    report.add_memory(format!("{many}: all of the process"), busy, Budget::AtMost(400.0));
    let peak = server.memory()?.peak;
    report.add_memory(format!("{many}: peak, handshakes included"), peak, Budget::AtMost(400.0));
    clients.stop()?;
    std::thread::park_timeout(SETTLED);
    report.add_memory("after they have left", most(&mut server)?, Budget::None);
    Ok(())
}

/// The most of a second.
fn most(server: &mut Server) -> anyhow::Result<u64> {
    let mut most = 0;
    for _ in 0..10 {
        server.is_alive()?;
        most = most.max(server.memory()?.resident);
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(most)
}

/// The clients' process. It ends when its standard input does.
struct Clients {
    process: Child,
    input: ChildStdin,
}

impl Clients {
    /// Answers when all sessions have their reply to EHLO.
    fn start(port: u16, sessions: u32, certificate: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["clients", "--port", &port.to_string(), "--sessions", &sessions.to_string()])
            .arg("--certificate")
            .arg(certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("no input")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the clients could not open all sessions");
        Ok(Self { process, input })
    }

    fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let ended = self.process.wait()?;
        ensure!(ended.success(), "a session did not last: the clients ended with {ended}");
        Ok(())
    }
}
