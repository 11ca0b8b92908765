//! The file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;
use waxseal_core::{channel::Floor, decide::Fallback, org::OnLoss};

use crate::config::Span;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) default: Default,
    #[serde(default)]
    pub(super) group: BTreeMap<String, Group>,
    #[serde(default)]
    pub(super) rule: Vec<Rule>,
}

/// `[default]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Default {
    pub(super) require: Option<Floor>,
    pub(super) otherwise: Option<Fallback>,
    pub(super) patience: Option<Span>,
    pub(super) notify: Option<Vec<Spanned<String>>>,
    pub(super) on_loss: Option<OnLoss>,
}

/// `[group.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) members: Vec<Spanned<String>>,
}

/// `[[rule]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) when: When,
    pub(super) require: Floor,
    pub(super) otherwise: Option<Fallback>,
    pub(super) patience: Option<Span>,
    pub(super) notify: Option<Vec<Spanned<String>>>,
}

/// `when = { .. }`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    pub(super) recipient: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) sender: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) header: Vec<Spanned<Header>>,
    pub(super) subject_tag: Option<Spanned<Vec<Spanned<String>>>>,
}

/// One of `header = [{ .. }]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) equals: Option<String>,
    pub(super) contains: Option<String>,
}
