//! `waxseal serve` as a process of its own, told by signals what to do. Every wait is for something
//! that it says.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The process and its log.
pub(crate) struct Process {
    child: Child,
    log: UnboundedReceiver<String>,
    said: Vec<String>,
}

impl Process {
    /// With the configuration of a folder.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::with(folder, &[])
    }

    /// With more in its environment.
    pub(crate) fn with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .args(["serve", "-c"])
            .arg(folder.join("waxseal.toml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = unbounded_channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { child, log, said: Vec::new() }
    }

    /// The next line of the log that contains these words.
    pub(crate) async fn logs(&mut self, words: &str) -> String {
        let found = async {
            while let Some(line) = self.log.recv().await {
                self.said.push(line.clone());
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        };
        let line = timeout(PATIENCE, found).await.ok().flatten();
        line.unwrap_or_else(|| panic!("it never said {words:?}:\n{}", self.said.join("\n")))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        // Its log ends with it.
        let ended = async { while self.log.recv().await.is_some() {} };
        timeout(PATIENCE, ended).await.expect("it ends");
        self.child.wait().unwrap()
    }

    pub(crate) async fn ends_by(mut self, signal: Signal) {
        self.signal(signal);
        self.ends().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
