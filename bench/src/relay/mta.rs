//! The two MTAs under test, each started with its committed configuration.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use crate::cpu::Cgroup;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Waxseal,
    Postfix,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waxseal => "waxseal",
            Self::Postfix => "postfix",
        }
    }
}

/// A running MTA that relays to the sink.
pub(crate) struct Mta {
    pub(crate) port: u16,
    pub(crate) cgroup: Cgroup,
    process: Child,
    folder: tempfile::TempDir,
}

fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}

impl Mta {
    pub(crate) fn start(kind: Kind, sink: u16, data: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("waxseal-bench-").tempdir_in(data)?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let fill = |template: &str| {
            template
                .replace("{folder}", &folder.path().display().to_string())
                .replace("{sink}", &sink.to_string())
                .replace("{port}", &port.to_string())
        };
        let cgroup = Cgroup::create(kind.name())?;
        let log = fs::File::create(folder.path().join("stderr"))?;
        let mut command = match kind {
            Kind::Waxseal => waxseal(&cgroup, folder.path(), fill)?,
            Kind::Postfix => postfix(&cgroup, folder.path(), fill)?,
        };
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("starting {}", kind.name()))?;
        let mut mta = Self { port, cgroup, process, folder };
        mta.wait_for_greeting(kind)?;
        Ok(mta)
    }

    fn wait_for_greeting(&mut self, kind: Kind) -> anyhow::Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            let ended = self.process.try_wait()?;
            ensure!(ended.is_none(), "{} ended at once:\n{}", kind.name(), self.log());
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                let mut line = String::new();
                if BufReader::new(stream.take(512)).read_line(&mut line).is_ok()
                    && line.starts_with("220")
                {
                    return Ok(());
                }
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        anyhow::bail!("{} did not greet within 30 s:\n{}", kind.name(), self.log())
    }

    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let text: String = ["stderr", "log"].map(read).concat();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }

    /// What it logged last, for a run that did not come to its end.
    pub(crate) fn last_words(&self) -> String {
        self.log()
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        // SIGTERM first: a graceful stop is part of the work.
        let _ = std::process::Command::new("kill").arg(self.process.id().to_string()).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn waxseal(
    cgroup: &Cgroup,
    folder: &Path,
    fill: impl Fn(&str) -> String,
) -> anyhow::Result<std::process::Command> {
    let program = root()?.join("target/release/waxseal");
    ensure!(program.exists(), "build it first: cargo build --release -p waxseal");
    fs::create_dir(folder.join("data"))?;
    let configuration = folder.join("waxseal.toml");
    fs::write(&configuration, fill(include_str!("../../relay/waxseal.toml")))?;
    let mut command = cgroup.command(&program.display().to_string());
    command.arg("serve").arg("-c").arg(configuration);
    Ok(command)
}

fn postfix(
    cgroup: &Cgroup,
    folder: &Path,
    fill: impl Fn(&str) -> String,
) -> anyhow::Result<std::process::Command> {
    let package = root()?.join("target/peers/postfix");
    ensure!(package.join(".complete").exists(), "unpack it first: tests/peers postfix");
    let package = package.display().to_string();
    let fill = |template: &str| fill(template).replace("{package}", &package);
    for name in ["etc", "spool", "data"] {
        fs::create_dir(folder.join(name))?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
    }
    for queue in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
        "maildrop", "pid", "private", "public", "saved", "trace",
    ] {
        fs::create_dir(folder.join("spool").join(queue))?;
    }
    fs::write(folder.join("etc/main.cf"), fill(include_str!("../../relay/main.cf")))?;
    fs::write(folder.join("etc/master.cf"), fill(include_str!("../../relay/master.cf")))?;
    let folder_name = folder.display();
    let start = format!(
        "cd {folder_name}/spool && chown -R postfix . && chown root . pid \
         && chgrp postdrop maildrop public && chmod 730 maildrop && chmod 710 public \
         && chown postfix {folder_name}/data && export MAIL_CONFIG={folder_name}/etc \
         && exec {package}/usr/lib/postfix/sbin/master -c {folder_name}/etc -d"
    );
    let mut command = cgroup.command(&root()?.join("tests/run-peer").display().to_string());
    command.arg("postfix").arg(folder.join("namespace")).args(["bash", "-c", &start]);
    Ok(command)
}
