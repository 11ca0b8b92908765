//! A mail server under test, in a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::memory::Memory;

/// How long a server may take until it greets. A large queue is looked through before.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running server; ended in order when it is dropped.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    /// Where it takes mail, on loopback.
    pub port: u16,
    /// How long it took from its start until it greeted.
    pub started_in: Duration,
    process: Child,
    folder: PathBuf,
}

/// A port on loopback that is free now. A server that is configured before it runs needs a number.
///
/// # Errors
/// There is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Server {
    /// Starts it and waits until it greets at `port`. What it says goes into the file `stderr` in
    /// `folder`.
    ///
    /// # Errors
    /// It ended, or it did not greet in time; with its last words.
    pub fn start(
        name: &'static str,
        mut command: Command,
        port: u16,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = fs::File::create(folder.join("stderr"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let process = command.spawn().with_context(|| format!("starting {name}"))?;
        let (folder, started_in) = (folder.to_owned(), Duration::ZERO);
        let mut server = Self { name, port, started_in, process, folder };
        server.wait_for_greeting(begun + PATIENCE)?;
        server.started_in = begun.elapsed();
        Ok(server)
    }

    fn wait_for_greeting(&mut self, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            self.is_alive()?;
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                let mut line = String::new();
                if BufReader::new(stream.take(512)).read_line(&mut line).is_ok()
                    && line.starts_with("220")
                {
                    return Ok(());
                }
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        anyhow::bail!("{} did not greet in time:\n{}", self.name, self.last_words())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It ended; with its last words.
    pub fn is_alive(&mut self) -> anyhow::Result<()> {
        let ended = self.process.try_wait()?;
        ensure!(ended.is_none(), "{} ended:\n{}", self.name, self.last_words());
        Ok(())
    }

    /// What its first process occupies.
    ///
    /// # Errors
    /// It ended; with its last words.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.process.id())
            .with_context(|| format!("{} ended:\n{}", self.name, self.last_words()))
    }

    /// CPU that its first process used so far.
    ///
    /// # Errors
    /// It ended; with its last words.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        crate::cpu::of(self.process.id())
            .with_context(|| format!("{} ended:\n{}", self.name, self.last_words()))
    }

    /// What it said last, for a run that did not come to its end.
    pub fn last_words(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let text: String = ["stderr", "log"].map(read).concat();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first: a graceful stop is part of the work.
        if let Some(pid) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
