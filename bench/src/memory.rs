//! Memory of a process, from the kernel's own account.

use std::fs;

use anyhow::{Context, bail};

/// What a process occupies, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now (`VmRSS`), pages of mapped files included.
    pub resident: u64,
    /// The most that ever was (`VmHWM`).
    pub peak: u64,
}

impl Memory {
    /// Of this process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let Some(line) = status.lines().find_map(|line| line.strip_prefix(name)) else {
                bail!("{path} has no {name}: the process has ended");
            };
            let kib = line.trim_start_matches(':').trim().trim_end_matches("kB").trim_end();
            Ok(kib.parse::<u64>()?.saturating_mul(1024))
        };
        Ok(Self { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
    }
}
