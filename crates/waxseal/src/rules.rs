//! Reads `rules.toml`: what is written there becomes the parsed words of
//! [`Org`], or one line for each mistake with file, line and key.
//!
//! A file is taken as a whole or not at all: whoever reloads keeps the old rules on an error.

mod build;
mod raw;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::{io::Read, path::Path};

use toml::de::DeTable;
use waxseal_core::{
    domain::Domain,
    org::{Defaults, Groups, OnLoss, Org, Rule},
};

use crate::config::Refused;

/// The rules, as they are shipped to begin with.
pub const EXAMPLE: &str = include_str!("../../../rules.example.toml");

/// Larger than any sane set of rules, small enough to refuse a disk image.
const LARGEST: u64 = 4 << 20;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// `[default]`
    pub defaults: Defaults,
    /// `[default] on_loss`
    pub on_loss: OnLoss,
    /// `[group.*]`
    pub groups: Groups,
    /// `[[rule]]`, in order.
    pub rules: Vec<Rule>,
}

impl Ruleset {
    /// Reads and parses a file; `ours` are our domains, where alone people are told of anything.
    ///
    /// # Errors
    /// It cannot be read, or all that is wrong with it.
    pub fn load(file: &Path, ours: &[Domain]) -> Result<Self, Refused> {
        let name = file.display().to_string();
        let refuse = |why: &str| Refused { lines: vec![format!("{name}: {why}")] };
        let open = std::fs::File::open(file).map_err(|error| refuse(&error.to_string()))?;
        let mut text = String::new();
        let read = open.take(LARGEST + 1).read_to_string(&mut text);
        read.map_err(|error| refuse(&error.to_string()))?;
        if text.len() as u64 > LARGEST {
            return Err(refuse("larger than 4 MiB"));
        }
        Self::parse(&text, &name, ours)
    }

    /// Parses a text; `name` is what the errors call it.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the file.
    pub fn parse(text: &str, name: &str, ours: &[Domain]) -> Result<Self, Refused> {
        parse(text, ours).map_err(|mut faults| {
            faults.sort_by_key(|fault| fault.at);
            Refused { lines: faults.iter().map(|fault| fault.line(text, name)).collect() }
        })
    }

    /// Puts the rules in force.
    pub fn apply(self, org: &mut Org) {
        org.defaults = self.defaults;
        org.trust.on_loss = self.on_loss;
        org.groups = self.groups;
        org.rules = self.rules;
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    /// Where in the text.
    at: usize,
    /// Which key, `rule[2].require`; empty where the text is no TOML.
    key: String,
    /// One sentence.
    what: String,
}

impl Fault {
    /// `rules.toml:12: rule[1].requir: there is no such key; did you mean "require"?`
    fn line(&self, text: &str, name: &str) -> String {
        let before = text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        match self.key.as_str() {
            "" => format!("{name}:{line}: {}", self.what),
            key => format!("{name}:{line}: {key}: {}", self.what),
        }
    }
}

fn parse(text: &str, ours: &[Domain]) -> Result<Ruleset, Vec<Fault>> {
    let told = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().replace('\n', ", "))
    };
    let tree = DeTable::parse(text).map_err(|error| {
        let (at, what) = told(&error);
        vec![Fault { at, key: String::new(), what }]
    })?;
    let unknown = vocabulary::unknown(tree.get_ref());
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let raw: raw::Raw = toml::from_str(text).map_err(|error| {
        let (at, what) = told(&error);
        let key = vocabulary::key_at(tree.get_ref(), at);
        vec![Fault { at, key, what }]
    })?;
    build::ruleset(raw, ours)
}
