//! Policies that survive a restart, in the store's named state; and a store that forgets.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use waxseal_core::{domain::Domain, sts::cache::Remembered, time::UnixTime};

use super::{PolicyStore, Seen, Soon, lock};
use crate::store::{Entry, Space, Store};

/// How long a failure without a policy is remembered: longer than any message waits for it.
const FAILURE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Policies that are read from the store at once.
const PAGE: usize = 1_000;

impl PolicyStore for Store {
    fn load<'a>(
        &'a self,
        destination: &'a Domain,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Remembered>, String>> {
        Box::pin(async move {
            let value = Self::load(self, Space::Sts, destination.as_str(), now)
                .await
                .map_err(|error| error.to_string())?;
            // What cannot be read any more is an error, not "nothing known": promise P1.
            value
                .map(|json| serde_json::from_slice(&json))
                .transpose()
                .map_err(|error| format!("the policy of {destination} in the store: {error}"))
        })
    }

    fn save<'a>(
        &'a self,
        destination: &'a Domain,
        remembered: Option<&'a Remembered>,
        now: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        Box::pin(async move {
            let name = destination.as_str();
            let Some(remembered) = remembered else {
                let removed = self.remove(Space::Sts, name).await;
                return removed.map_err(|error| error.to_string());
            };
            let value = serde_json::to_vec(remembered).map_err(|error| error.to_string())?;
            let policy = remembered.held(now).map_or(now, |kept| kept.expires());
            let expires = Some(policy.max(now + FAILURE_LIFE));
            let entry = Entry { name: name.to_owned(), value, expires };
            Self::save(self, Space::Sts, entry).await.map_err(|error| error.to_string())
        })
    }

    fn each<'a>(&'a self, now: UnixTime, seen: Seen<'a>) -> Soon<'a, Result<(), String>> {
        Box::pin(async move {
            let mut after = Some(0);
            while let Some(from) = after {
                let (page, end) = self
                    .entries(Space::Sts, (from, PAGE), now)
                    .await
                    .map_err(|error| error.to_string())?;
                after = end;
                // One that cannot be read is reported when its destination is asked about.
                for entry in page.into_iter().flatten() {
                    let domain = Domain::parse(&entry.name);
                    let remembered = serde_json::from_slice(&entry.value);
                    if let (Ok(domain), Ok(remembered)) = (domain, remembered) {
                        seen(domain, remembered);
                    }
                }
            }
            Ok(())
        })
    }
}

/// A [`PolicyStore`] that forgets at the end: for commands that ask once, and for tests.
#[derive(Debug, Default)]
pub struct Forgetful(Mutex<BTreeMap<Domain, Remembered>>);

impl PolicyStore for Forgetful {
    fn load<'a>(
        &'a self,
        destination: &'a Domain,
        _now: UnixTime,
    ) -> Soon<'a, Result<Option<Remembered>, String>> {
        let found = lock(&self.0).get(destination).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn save<'a>(
        &'a self,
        destination: &'a Domain,
        remembered: Option<&'a Remembered>,
        _now: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        let mut all = lock(&self.0);
        match remembered {
            Some(remembered) => all.insert(destination.clone(), remembered.clone()),
            None => all.remove(destination),
        };
        Box::pin(std::future::ready(Ok(())))
    }

    fn each<'a>(&'a self, _now: UnixTime, seen: Seen<'a>) -> Soon<'a, Result<(), String>> {
        for (destination, remembered) in lock(&self.0).iter() {
            seen(destination.clone(), remembered.clone());
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
