//! Where a number was measured.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;

/// This machine, as far as it matters to a number.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Cores that we may use.
    pub cores: usize,
    /// Runnable processes in the last minute, as it began: on a busy machine times mean less.
    pub load: f64,
}

impl Machine {
    /// The one we run on.
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = model.unwrap_or("unknown").trim_start_matches(['\t', ' ', ':']).trim_end();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_ascii_whitespace().next().and_then(|load| load.parse().ok());
        Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load: load.unwrap_or(f64::NAN),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores, {}, load {:.1}", self.cores, self.processor, self.load)
    }
}

/// The top of the source tree, where `target` and `tests` are.
///
/// # Errors
/// The tree was moved after the benchmark was built.
pub fn root() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().with_context(|| format!("{} is gone", root.display()))
}

/// The gateway under test: the one built beside this program.
///
/// # Errors
/// It was not built.
pub fn waxseal() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("waxseal");
    anyhow::ensure!(
        program.exists(),
        "{} is missing: cargo build --release -p waxseal -p waxseal-bench",
        program.display()
    );
    Ok(program)
}
