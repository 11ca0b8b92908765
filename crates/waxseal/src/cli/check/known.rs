//! What the gateway knows already, for a check that writes nothing: its policies, what was seen of
//! mail hosts, and the history of its regular checks.

use std::{fmt::Display, sync::Arc};

use waxseal_core::{
    assess::Survey,
    domain::Domain,
    sts::{Mode, cache::Remembered},
    time::UnixTime,
};

use super::super::Context;
use crate::{
    config::Config,
    gather::{Forgetful, PolicyStore, Seen, Soon},
    secrets::{SecretSource, StoreKeys},
    store::{Access, Settings, Store},
    survey::probe::ProbeStore,
    watch::history,
};

/// The store of the gateway, to read only; what is learnt on the way is forgotten at the end.
#[derive(Clone)]
pub(super) struct Known {
    store: Store,
    learnt: Arc<Forgetful>,
}

/// What is known of a domain from before.
#[derive(Default)]
pub(super) struct Before {
    /// The last look that held before anything changed.
    pub(super) survey: Option<Survey>,
    /// Since when its policy is seen in mode `testing`.
    pub(super) testing_since: Option<UnixTime>,
}

impl Known {
    /// The store that the configuration names, where it is there. That it cannot be read is said,
    /// and is no reason not to check.
    pub(super) fn open(config: &Config, context: &Context) -> Option<Self> {
        let settings = Settings::of(config);
        // Opening an empty file would make it a store.
        if !settings.database.metadata().is_ok_and(|file| file.len() > 0) {
            return None;
        }
        let without = |why: &dyn Display| {
            context.say(format!("checking without what the gateway knows: {why}"));
        };
        let source = SecretSource::from(&config.store.key);
        let keys = StoreKeys::existing(&source, &settings.data_dir, &settings.database);
        let keys = keys.map_err(|error| without(&error)).ok()??;
        let store = Store::open(settings, keys, Access::Visit);
        let store = store.map_err(|error| without(&error)).ok()?;
        Some(Self { store, learnt: Arc::default() })
    }

    /// What is known of a domain; what cannot be read is as good as unknown.
    pub(super) async fn before(&self, domain: &Domain, now: UnixTime) -> Before {
        let kept = history(&self.store, domain, now).await.ok().flatten();
        let policy = PolicyStore::load(&self.store, domain, now).await.ok().flatten();
        let testing = policy.as_ref().and_then(|known| known.held(now)).and_then(|kept| {
            (kept.policy.mode == Mode::Testing).then_some(kept.mode_since).flatten()
        });
        let watched = kept.as_ref().and_then(|kept| kept.testing_since());
        let testing_since = [testing, watched].into_iter().flatten().min();
        Before { survey: kept.and_then(|kept| kept.before().cloned()), testing_since }
    }
}

impl PolicyStore for Known {
    fn load<'a>(
        &'a self,
        destination: &'a Domain,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Remembered>, String>> {
        Box::pin(async move {
            match self.learnt.load(destination, now).await? {
                Some(learnt) => Ok(Some(learnt)),
                None => PolicyStore::load(&self.store, destination, now).await,
            }
        })
    }

    fn save<'a>(
        &'a self,
        destination: &'a Domain,
        remembered: Option<&'a Remembered>,
        now: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        self.learnt.save(destination, remembered, now)
    }

    fn each<'a>(&'a self, now: UnixTime, seen: Seen<'a>) -> Soon<'a, Result<(), String>> {
        self.learnt.each(now, seen)
    }
}

impl ProbeStore for Known {
    fn load<'a>(
        &'a self,
        name: &'a str,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Vec<u8>>, String>> {
        ProbeStore::load(&self.store, name, now)
    }

    fn save<'a>(
        &'a self,
        _name: &'a str,
        _value: Vec<u8>,
        _expires: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
