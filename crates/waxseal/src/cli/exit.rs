//! Exit codes: a contract with scripts (DESIGN §9).

use std::{fmt, process::ExitCode};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and nothing is wrong.
    Ok,
    /// 1: done, and the result is negative: a finding, a difference, not found.
    Negative,
    /// 2: it could not be found out.
    Unknown,
    /// 64: the command line is wrong (`EX_USAGE` of sysexits).
    Usage,
    /// 70: a bug of ours (`EX_SOFTWARE`).
    Bug,
    /// 75: not now, try again (`EX_TEMPFAIL`).
    TryAgain,
    /// 78: the configuration is wrong, nothing was started (`EX_CONFIG`).
    Config,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Negative => 1,
            Self::Unknown => 2,
            Self::Usage => 64,
            Self::Bug => 70,
            Self::TryAgain => 75,
            Self::Config => 78,
        }
    }

    /// An error that ends the command with this code and says `text` on standard error.
    pub fn because(self, text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Failure { exit: self, text: text.into() })
    }

    /// The code for an error: the one that it carries, or [`Exit::Unknown`]: a command that
    /// stopped half-way found nothing out.
    pub fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Failure>().map_or(Self::Unknown, |failure| failure.exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error with its exit code.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
