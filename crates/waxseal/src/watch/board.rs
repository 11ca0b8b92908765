//! How the watched domains stand, for the status page: the watcher writes, whoever looks reads.

use std::sync::{Arc, Mutex, PoisonError};

use waxseal_core::{domain::Domain, time::UnixTime};

use super::Whose;

/// What is watched. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Standing>>);

/// How everything stands at one moment.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Those with open alerts first, then our own, then by name.
    pub domains: Vec<Row>,
    /// Alerts that wait for the webhook.
    pub waiting: usize,
}

/// One watched domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub domain: Domain,
    /// Whether it is one of ours.
    pub whose: Whose,
    /// When it was looked at last.
    pub looked: Option<UnixTime>,
    /// A level, or `refuses`, `no-mail`, `unknown`.
    pub level: &'static str,
    /// What was raised and is not over, one line each.
    pub alerts: Vec<String>,
}

impl Row {
    /// Key of the words for its level on the status page.
    pub fn level_key(&self) -> &'static str {
        match self.level {
            "cleartext" => "level_cleartext",
            "encrypted" => "level_encrypted",
            "named" => "level_named",
            "sts-first" => "level_sts-first",
            "sts" => "level_sts",
            "anchored" => "level_anchored",
            "dane" => "level_dane",
            "pinned" => "level_pinned",
            "refuses" => "level_refuses",
            "no-mail" => "level_no-mail",
            _ => "level_unknown",
        }
    }
}

impl Board {
    /// How everything stands now.
    pub fn standing(&self) -> Standing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn write(&self, mut standing: Standing) {
        standing.domains.sort_by(|one, other| {
            let rank = |row: &Row| (row.alerts.is_empty(), row.whose);
            (rank(one), &one.domain).cmp(&(rank(other), &other.domain))
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}
