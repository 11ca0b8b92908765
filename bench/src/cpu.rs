//! CPU time, from the kernel's own accounts.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use crate::memory::Memory;

/// User and system time of the calling process.
///
/// # Errors
/// There is no `/proc`.
pub fn of_this_process() -> anyhow::Result<Duration> {
    of(std::process::id())
}

/// User and system time of a process.
///
/// # Errors
/// There is no such process.
pub fn of(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    // Linux reports these in USER_HZ, which is 100 on every architecture that we build for.
    Ok(Duration::from_millis(ticks * 10))
}

/// A cgroup for the MTA and whatever it starts; its CPU is counted by the kernel, ended children
/// included. Needs root.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// A new, empty one.
    ///
    /// # Errors
    /// Not root, or no control group file system with an account of CPU time.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "waxseal-bench-{name}-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        let parents = ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"];
        for parent in parents {
            let folder = PathBuf::from(parent).join(&name);
            if fs::create_dir(&folder).is_ok() {
                let group = Self { folder };
                ensure!(group.used().is_ok(), "{}: no CPU account here", group.folder.display());
                return Ok(group);
            }
        }
        anyhow::bail!(
            "no cgroup could be made: the CPU of the MTA alone can only be counted as root"
        )
    }

    /// A command that runs `program` inside this cgroup.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
            .arg(&self.folder)
            .arg(program);
        command
    }

    /// CPU used so far by all processes that ever were in it.
    ///
    /// # Errors
    /// The kernel keeps no such account here.
    pub fn used(&self) -> anyhow::Result<Duration> {
        if let Ok(nanoseconds) = fs::read_to_string(self.folder.join("cpuacct.usage")) {
            return Ok(Duration::from_nanos(nanoseconds.trim().parse()?));
        }
        let stat = fs::read_to_string(self.folder.join("cpu.stat")).context("cpu.stat")?;
        let microseconds = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .context("cpu.stat has no usage_usec")?;
        Ok(Duration::from_micros(microseconds.trim().parse()?))
    }

    /// Resident memory of all processes in it, in bytes, as of now.
    pub fn resident(&self) -> u64 {
        let processes = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        let pids = processes.lines().filter_map(|pid| pid.trim().parse().ok());
        pids.filter_map(|pid| Memory::of(pid).ok()).map(|memory| memory.resident).sum()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Only an empty group can be removed: the MTA was stopped, its last children may linger.
        let until = Instant::now() + Duration::from_secs(2);
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}
