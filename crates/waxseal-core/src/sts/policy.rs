//! The policy file (RFC 8461 §3.2).

use std::{collections::HashSet, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{Domain, DomainError};

/// A policy that was valid when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// What to do with hosts that do not pass.
    pub mode: Mode,
    /// Hosts that may take the mail; empty only with [`Mode::None`].
    pub mx: Vec<MxPattern>,
    /// How long it holds, at most 31,557,600 s.
    pub max_age: Duration,
}

/// `mode:` (RFC 8461 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Do not deliver to a host that fails.
    Enforce,
    /// Deliver, and report.
    Testing,
    /// As if there were no policy.
    None,
}

/// One `mx:` value: a host name, or `*.` and a domain, which stands for exactly one label (§4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MxPattern {
    /// Just this host.
    Host(Domain),
    /// Any host exactly one label below.
    OneBelow(Domain),
}

/// The longest `max_age`: about a year (RFC 8461 §3.2).
pub const MAX_AGE: Duration = Duration::from_secs(31_557_600);

/// The longest policy file that is read (RFC 8461 §3.3).
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// Why a file is not a policy: the line, where there is one, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Counted from 1; `None` where something is missing.
    pub line: Option<usize>,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(self.why),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Reads a policy file (RFC 8461 §3.2): lines end with LF or CRLF, unknown keys are skipped,
    /// of a key that is repeated the first counts (but for `mx`), `max_age` is cut to a year.
    ///
    /// # Errors
    /// It is not a policy.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        if file.len() > MAX_POLICY_BYTES {
            return Err(PolicyError { line: None, why: "it is longer than 64 KiB" });
        }
        let text = std::str::from_utf8(file)
            .map_err(|_| PolicyError { line: None, why: "it is not UTF-8" })?;
        let mut lines = Lines::default();
        for (index, line) in text.split('\n').enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            lines
                .read(line)
                .map_err(|why| PolicyError { line: Some(index.saturating_add(1)), why })?;
        }
        lines.policy().map_err(|why| PolicyError { line: None, why })
    }

    /// Whether a host may take the mail: its name matches one of the patterns (RFC 8461 §4.1).
    pub fn allows(&self, host: &Domain) -> bool {
        self.mx.iter().any(|pattern| pattern.matches(host))
    }

    /// What it lists beside these MX hosts, each once and in its order: names that are none of them,
    /// and patterns that none of them matches (RFC 8461 §4.1).
    pub fn unused(&self, mx: &[Domain]) -> Vec<&MxPattern> {
        // A policy may have thousands of lines, and a domain thousands of MX records.
        let names: HashSet<&str> = mx.iter().map(Domain::as_str).collect();
        let above = mx.iter().filter_map(|host| host.as_str().split_once('.'));
        let above: HashSet<&str> = above.map(|(_, above)| above).collect();
        let mut told = HashSet::new();
        let unused = self.mx.iter().filter(|pattern| match pattern {
            MxPattern::Host(name) => !names.contains(name.as_str()),
            MxPattern::OneBelow(base) => !above.contains(base.as_str()),
        });
        unused.filter(|pattern| told.insert(*pattern)).collect()
    }
}

impl fmt::Display for Policy {
    /// The file, with CRLF (RFC 8461 §3.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version: STSv1\r\nmode: {}\r\n", self.mode)?;
        for pattern in &self.mx {
            write!(f, "mx: {pattern}\r\n")?;
        }
        write!(f, "max_age: {}\r\n", self.max_age.as_secs())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        })
    }
}

impl MxPattern {
    /// Reads one `mx:` value. Names have to be A-labels (RFC 8461 §3.2).
    ///
    /// # Errors
    /// It is not a host name, with or without `*.`.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if let Some(odd) = text.chars().find(|c| !c.is_ascii()) {
            return Err(DomainError::Character(odd));
        }
        match text.strip_prefix("*.") {
            Some(base) => Domain::parse(base).map(Self::OneBelow),
            None => Domain::parse(text).map(Self::Host),
        }
    }

    /// Whether the pattern stands for this host: `*.` for exactly one label (RFC 8461 §4.1).
    pub fn matches(&self, host: &Domain) -> bool {
        match self {
            Self::Host(name) => name == host,
            Self::OneBelow(base) => {
                let front = host.as_str().strip_suffix(base.as_str());
                let label = front.and_then(|front| front.strip_suffix('.'));
                label.is_some_and(|label| !label.contains('.'))
            }
        }
    }
}

impl fmt::Display for MxPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::OneBelow(base) => write!(f, "*.{base}"),
        }
    }
}

/// The fields as they come.
#[derive(Default)]
struct Lines {
    version: Option<()>,
    mode: Option<Mode>,
    mx: Vec<MxPattern>,
    max_age: Option<Duration>,
}

impl Lines {
    fn read(&mut self, line: &str) -> Result<(), &'static str> {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err("a control character");
        }
        let line = line.trim_end_matches([' ', '\t']);
        if line.is_empty() {
            return Ok(());
        }
        let (key, value) = line.split_once(':').ok_or("no colon")?;
        let value = value.trim_start_matches([' ', '\t']);
        match key {
            "version" if self.version.is_none() => {
                if value != "STSv1" {
                    return Err("the version is not STSv1");
                }
                self.version = Some(());
            }
            "mode" if self.mode.is_none() => {
                self.mode = Some(match value {
                    "enforce" => Mode::Enforce,
                    "testing" => Mode::Testing,
                    "none" => Mode::None,
                    _ => return Err("the mode is none of enforce, testing, none"),
                });
            }
            "mx" => {
                self.mx.push(MxPattern::parse(value).map_err(|_| "the mx is not a host name")?);
            }
            "max_age" if self.max_age.is_none() => self.max_age = Some(max_age(value)?),
            // Extensions, and the second and later of a key.
            _ => {}
        }
        Ok(())
    }

    fn policy(self) -> Result<Policy, &'static str> {
        self.version.ok_or("the version is missing")?;
        let mode = self.mode.ok_or("the mode is missing")?;
        let max_age = self.max_age.ok_or("the max_age is missing")?;
        if self.mx.is_empty() && mode != Mode::None {
            return Err("an mx is missing");
        }
        Ok(Policy { mode, mx: self.mx, max_age })
    }
}

/// The `max_age` of a file in seconds, as it is written: [`Policy`] has it cut to [`MAX_AGE`].
pub fn written_max_age(file: &[u8]) -> Option<u64> {
    let mut lines = std::str::from_utf8(file).ok()?.lines();
    lines.find_map(|line| line.strip_prefix("max_age:")?.trim().parse().ok())
}

/// One to ten digits (RFC 8461 §3.2); what is more than a year counts as a year.
fn max_age(value: &str) -> Result<Duration, &'static str> {
    let proper = (1..=10).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = proper.then(|| value.parse().ok()).flatten();
    let seconds = seconds.ok_or("the max_age is not a number of at most ten digits")?;
    Ok(Duration::from_secs(seconds).min(MAX_AGE))
}
