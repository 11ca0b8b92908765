//! The expected outcomes, read from the table that people wrote.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use waxseal_lab::{Attack, Protection};

/// The table: every cell, and the reason for its row.
const TABLE: &str = include_str!("expected.txt");

/// The message classes of DESIGN §8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Message {
    /// An ordinary opportunistic MTA, for contrast.
    Unprotected,
    /// Floor `encrypted`.
    Ordinary,
    /// Floor `authenticated`.
    Sensitive,
    /// Floor `qualified`.
    Critical,
}

impl Message {
    pub(super) const ALL: [Self; 4] =
        [Self::Unprotected, Self::Ordinary, Self::Sensitive, Self::Critical];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Ordinary => "ordinary",
            Self::Sensitive => "sensitive",
            Self::Critical => "critical",
        }
    }

    /// What its sender demands, in words.
    pub(super) const fn demand(self) -> &'static str {
        match self {
            Self::Unprotected => "an ordinary mail server, for contrast: takes what it gets",
            Self::Ordinary => "floor encrypted, the default",
            Self::Sensitive => "floor authenticated",
            Self::Critical => "floor qualified",
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Outcome {
    /// The recipient's server has it, and nobody on the path could read it.
    Delivered,
    /// The attacker could read sender, recipient or body.
    Intercepted,
    /// Not sent.
    Held,
}

impl Outcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Intercepted => "intercepted",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) message: Message,
    pub(super) attack: Attack,
    pub(super) protection: Protection,
    pub(super) expected: Outcome,
    /// Why that is expected.
    pub(super) reason: &'static str,
}

impl Scenario {
    /// `attack/protection/message`
    pub(super) fn id(&self) -> String {
        format!("{}/{}/{}", self.attack, self.protection, self.message.name())
    }
}

/// All cells that make sense, in the order of the picture.
///
/// # Errors
/// The table is not complete: a bug.
pub(super) fn scenarios() -> Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    let mut message = None;
    let mut rows = 0;
    let mut above = "";
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("message ") {
            message = Message::ALL.into_iter().find(|message| message.name() == name);
            continue;
        }
        let message = message.with_context(|| format!("no message class before {line:?}"))?;
        let (cells, reason) = line.split_once(" | ").with_context(|| format!("{line:?}"))?;
        let reason = if reason.starts_with("as above") { above } else { reason };
        above = reason;
        let mut words = cells.split_ascii_whitespace();
        let name = words.next().context("an attack")?;
        let attack = Attack::ALL.into_iter().find(|attack| attack.name() == name);
        let attack = attack.with_context(|| format!("there is no attack {name:?}"))?;
        for protection in Protection::ALL {
            let expected = match words.next() {
                Some("D") => Outcome::Delivered,
                Some("I") => Outcome::Intercepted,
                Some("H") => Outcome::Held,
                Some(".") => continue,
                other => bail!("{name}/{protection}: {other:?}"),
            };
            scenarios.push(Scenario { message, attack, protection, expected, reason });
        }
        ensure!(words.next().is_none(), "{name}: more cells than protections");
        rows += 1;
    }
    ensure!(rows == Attack::ALL.len() * Message::ALL.len(), "{rows} rows");
    Ok(scenarios)
}
