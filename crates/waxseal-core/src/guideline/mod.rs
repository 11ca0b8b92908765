//! What authorities say of TLS parameters, as data: a list that changes every year is a file that
//! a reader can hold against its source, not code.
//!
//! The files are part of the program. One that cannot be read grades everything `insufficient`,
//! so that nothing passes by accident; a test reads them all.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use serde::{Deserialize, Serialize};

use crate::pki::{Hash, PublicKey};

/// How good a parameter is, in the words of NCSC-NL, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Use it.
    Good,
    /// It will do.
    Sufficient,
    /// It has to go.
    PhaseOut,
    /// It must not be used, or is not on the list.
    Insufficient,
}

impl Grade {
    /// As it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Sufficient => "sufficient",
            Self::PhaseOut => "phase-out",
            Self::Insufficient => "insufficient",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One guideline. Whatever none of its lists names is [`Grade::Insufficient`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guideline {
    /// For people.
    pub title: String,
    /// Which edition, and where it can be read.
    pub source: String,
    /// Whether somebody has still to hold the lists against the primary text.
    #[serde(default)]
    pub unverified: bool,
    versions: Lists,
    suites: Lists,
    groups: Lists,
    curves: Lists,
    hashes: Lists,
    rsa: Bits,
}

/// Names by grade, compared without regard to case.
type Lists = BTreeMap<Grade, Vec<String>>;

/// The least bits of a modulus by grade.
type Bits = BTreeMap<Grade, u32>;

impl Guideline {
    /// Reads a guideline.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// A version of the protocol: `TLSv1.3`.
    pub fn version(&self, name: &str) -> Grade {
        listed(&self.versions, name)
    }

    /// A cipher suite by its IANA name.
    pub fn suite(&self, name: &str) -> Grade {
        listed(&self.suites, name)
    }

    /// A key exchange group by its IANA name.
    pub fn group(&self, name: &str) -> Grade {
        listed(&self.groups, name)
    }

    /// The hash below a certificate's signature.
    pub fn hash(&self, hash: Hash) -> Grade {
        listed(&self.hashes, hash.as_str())
    }

    /// The key of a certificate.
    pub fn key(&self, key: &PublicKey) -> Grade {
        match key {
            PublicKey::Rsa(bits) => self
                .rsa
                .iter()
                .find(|(_, least)| bits >= least)
                .map_or(Grade::Insufficient, |(grade, _)| *grade),
            PublicKey::Ec(curve) => listed(&self.curves, curve),
            PublicKey::Ed25519 => listed(&self.curves, "ed25519"),
            PublicKey::Other(_) => Grade::Insufficient,
        }
    }
}

fn listed(lists: &Lists, name: &str) -> Grade {
    lists
        .iter()
        .find(|(_, names)| names.iter().any(|listed| listed.eq_ignore_ascii_case(name)))
        .map_or(Grade::Insufficient, |(grade, _)| *grade)
}

/// NCSC-NL, TLS guidelines of May 2025.
pub fn ncsc_nl() -> &'static Guideline {
    static READ: LazyLock<Guideline> = LazyLock::new(|| built_in(NCSC_NL));
    &READ
}

/// BSI TR-02102-2.
pub fn bsi() -> &'static Guideline {
    static READ: LazyLock<Guideline> = LazyLock::new(|| built_in(BSI));
    &READ
}

/// Both, to find the best that anybody says of a parameter.
pub fn all() -> [&'static Guideline; 2] {
    [ncsc_nl(), bsi()]
}

/// Whether one of them calls a suite good or sufficient, by its IANA name.
pub fn allows_suite(name: &str) -> bool {
    all().iter().any(|guideline| guideline.suite(name) <= Grade::Sufficient)
}

/// Whether one of them calls a group good or sufficient, by its IANA name.
pub fn allows_group(name: &str) -> bool {
    all().iter().any(|guideline| guideline.group(name) <= Grade::Sufficient)
}

const NCSC_NL: &str = include_str!("ncsc-nl-2025-05.toml");
const BSI: &str = include_str!("bsi-tr-02102-2.toml");

fn built_in(text: &str) -> Guideline {
    Guideline::parse(text).unwrap_or_default()
}
