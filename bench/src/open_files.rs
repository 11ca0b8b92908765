//! How many files and sockets a process may have open.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of this process, and so of its children, to at least so many.
///
/// # Errors
/// The hard limit does not allow that many, and raising it needs root.
pub fn allow(wanted: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    ensure!(raised.is_ok(), "{wanted} open files are needed: raise the hard limit (ulimit -Hn)");
    Ok(())
}

/// Lowers the limit of this process, and so of its children, to what services are started with
/// (systemd's `DefaultLimitNOFILE`): a server has to ask for more itself.
///
/// # Errors
/// The kernel refuses.
pub fn as_usual() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(1_024), maximum })?)
}
