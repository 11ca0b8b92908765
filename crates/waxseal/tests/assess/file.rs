//! A world to assess, as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::scenario::file::{Host, Policy, Zone};

/// One file of `scenarios/check/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What it shows.
    #[expect(dead_code, reason = "for readers")]
    about: String,
    #[serde(default)]
    pub(super) zone: BTreeMap<String, Zone>,
    #[serde(default)]
    pub(super) host: Vec<Host>,
    pub(super) policy: Option<Policy>,
    /// What happens to answers: name, type, what.
    #[serde(default)]
    pub(super) damage: Vec<[String; 3]>,
    /// The same at the second name server, 192.0.2.54, alone.
    #[serde(default)]
    pub(super) second_server: Vec<[String; 3]>,
    /// So many resolvers of other operators (`[dns] confirm`), whose answers are damaged like this.
    #[serde(default)]
    pub(super) witnesses: u8,
    #[serde(default)]
    pub(super) witness_damage: Vec<[String; 3]>,
    /// The domain is not there at all.
    #[serde(default)]
    pub(super) no_domain: bool,
    pub(super) expect: Expect,
}

/// What an assessment has to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// The level; `none` where nothing is delivered, or nothing is known.
    pub(super) level: String,
    /// All findings, each with its severity (`SPF-MISSING warning`), but for those that every world here has.
    pub(super) findings: Vec<String>,
    /// `findings` has those of every world, too.
    #[serde(default)]
    pub(super) complete: bool,
    /// Words of a finding: id, severity, subject, evidence and fix, in this order; `…` stands for anything.
    #[serde(default)]
    pub(super) says: Vec<String>,
    /// The worst severity of them.
    pub(super) worst: Option<String>,
}
