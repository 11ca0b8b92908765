//! What resolvers of other operators say about an absence that nobody signs (DESIGN §3, first
//! contact): an attacker on our path hides a record from us, and not from them (RFC 8461 §10.2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What our own resolver says is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// MX records of a domain that exists.
    Mx,
    /// The domain.
    Domain,
    /// The record that announces an MTA-STS policy.
    StsRecord,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mx => "MX records",
            Self::Domain => "the domain",
            Self::StsRecord => "the MTA-STS record",
        })
    }
}

/// What one witness says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Testimony {
    /// It does not see it either.
    Agrees,
    /// It sees it.
    Contradicts,
    /// It could not be asked, or did not know: why.
    Failed(String),
}

/// Who said what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witnessed {
    /// What it was asked about.
    pub missing: Missing,
    /// The resolver, as the configuration names it: `tls://192.0.2.53:853#dns.example`.
    pub witness: String,
    /// Its answer.
    pub said: Testimony,
}

/// What all testimonies together come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighed {
    /// Everybody agrees, and somebody was asked.
    Agreed,
    /// Somebody sees it: that one is believed, for what is published only raises (promise P3).
    Contradicted,
    /// Nobody sees it, but not everybody could be asked, or nobody was.
    Unconfirmed,
}

/// Weighs testimonies; their order does not matter.
pub fn weigh(all: &[Witnessed]) -> Weighed {
    let says = |wanted: fn(&Testimony) -> bool| move |one: &Witnessed| wanted(&one.said);
    if all.iter().any(says(|said| matches!(said, Testimony::Contradicts))) {
        return Weighed::Contradicted;
    }
    let everybody = all.iter().all(says(|said| matches!(said, Testimony::Agrees)));
    if everybody && !all.is_empty() { Weighed::Agreed } else { Weighed::Unconfirmed }
}

/// Weighs what was said of one thing that our own resolver does not see.
pub fn weigh_of(all: &[Witnessed], missing: Missing) -> Weighed {
    let about: Vec<_> = all.iter().filter(|one| one.missing == missing).cloned().collect();
    weigh(&about)
}

#[cfg(test)]
mod tests;
