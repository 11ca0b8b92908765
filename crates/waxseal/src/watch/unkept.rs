//! What could not be written down: a full disk keeps neither hysteresis from going on nor an alert from
//! being told later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use waxseal_core::domain::Domain;

use super::{Alert, History, Whose};
use crate::metrics;

/// Partners whose history is kept here: each may have half a MiB. Our own domains are as many as the
/// administrator wrote down.
const MOST_PARTNERS: usize = 32;
/// Alerts of one domain that are kept here; then the oldest goes.
const MOST_OWED: usize = 16;

/// What the next look at a domain begins with instead of what the store has. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unkept(Arc<Mutex<HashMap<Domain, Owing>>>);

/// A history that the store did not take.
#[derive(Clone, Debug)]
pub(super) struct Owing {
    pub(super) history: History,
    /// What is in the log, and did not get any further.
    pub(super) alerts: Vec<Alert>,
}

impl Unkept {
    fn lock(&self) -> MutexGuard<'_, HashMap<Domain, Owing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, domain: &Domain) -> Option<Owing> {
        self.lock().get(domain).cloned()
    }

    /// The store failed.
    pub(super) fn keep(&self, domain: &Domain, mut owing: Owing) {
        let surplus = owing.alerts.len().saturating_sub(MOST_OWED);
        owing.alerts.drain(..surplus).for_each(|_| metrics::alert_lost("store"));
        let mut kept = self.lock();
        let partner = |owing: &Owing| owing.history.whose == Whose::Partner;
        let partners = kept.values().filter(|owing| partner(owing)).count();
        if partner(&owing) && partners >= MOST_PARTNERS && !kept.contains_key(domain) {
            // The next look sees again what this one saw.
            return;
        }
        kept.insert(domain.clone(), owing);
    }

    /// It is in the store.
    pub(super) fn written(&self, domain: &Domain) {
        self.lock().remove(domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk while every partner shows something: memory has an end, and our own domains are in it.
    #[test]
    fn a_disk_that_stays_full_fills_no_memory() {
        let unkept = Unkept::default();
        let name = |number: usize| Domain::parse(&format!("d{number}.example")).unwrap();
        let owing = |whose| Owing { history: History::new(whose), alerts: Vec::new() };
        for number in 0..100 {
            unkept.keep(&name(number), owing(Whose::Partner));
        }
        unkept.keep(&name(100), owing(Whose::Own));
        assert_eq!(unkept.lock().len(), MOST_PARTNERS + 1);
        assert!(unkept.of(&name(100)).is_some() && unkept.of(&name(99)).is_none());
        unkept.written(&name(0));
        unkept.keep(&name(99), owing(Whose::Partner));
        assert!(unkept.of(&name(99)).is_some());
    }
}
