//! MTA-STS discovery, cache and refresh (RFC 8461 §3, §5.1). What to do is decided in
//! `waxseal_core::sts::cache`; here it is done.

use std::time::Duration;

use tokio::task::JoinSet;
use waxseal_core::{
    dns::{Absence, Answer, Authenticity},
    domain::Domain,
    facts::{Known, Peer, StsFact, StsFailure},
    org::Reach,
    sts::{
        announced,
        cache::{Discovery, FETCH_PAUSE, Next, REFRESH, Remembered, with_preloaded},
    },
    time::UnixTime,
    witness::{Missing, Weighed, Witnessed, weigh},
};

use super::{Gatherer, LONGEST, Noted, Notes, RouteTarget, Shared, alone, lock, witness::Heard};
use crate::metrics;

/// How often it is looked which policies are due.
pub const ROUND: Duration = Duration::from_secs(60);
/// Policies that are refreshed at the same time, at most.
pub const AT_ONCE: usize = 64;
/// A round refreshes at least so many, where so many are due.
const LEAST: usize = 60;
/// All known policies are refreshed within half of the day that they may take (RFC 8461 §3.3), so that
/// an outage of some hours is made good.
const ROUNDS: usize = (REFRESH.as_secs() / ROUND.as_secs() / 2) as usize;

/// How many policies one round may refresh, of so many that are known: a thousand cost one a second,
/// a million 24.
const fn share(known: usize) -> usize {
    let share = known.div_ceil(ROUNDS);
    if share > LEAST { share } else { LEAST }
}

impl Shared {
    /// The policy of a smarthost: it is the policy domain, whoever the recipients are (RFC 8461
    /// §3.4). An address has none, and the destination's own host was agreed on out of band.
    pub(super) async fn smarthost(
        &self,
        target: &RouteTarget,
        now: UnixTime,
    ) -> Option<Noted<(StsFact, Vec<Witnessed>)>> {
        match (&target.host, target.reach) {
            (Peer::Name(host), Reach::FirstHopOnly) => Some(self.sts(host, now).await),
            (Peer::Literal(_), _) | (Peer::Name(_), Reach::Destination) => None,
        }
    }

    /// The policy of a destination as far as it is known, fetched now where it has to be.
    pub(super) async fn sts(
        &self,
        destination: &Domain,
        now: UnixTime,
    ) -> Noted<(StsFact, Vec<Witnessed>)> {
        alone(&self.policies, destination, self.sts_alone(destination, now)).await
    }

    async fn sts_alone(
        &self,
        destination: &Domain,
        now: UnixTime,
    ) -> Noted<(StsFact, Vec<Witnessed>)> {
        let doubted = lock(&self.doubted).remove(destination);
        let mut notes = Notes { until: now + LONGEST, blobs: Vec::new() };
        let (loaded, discovery) = tokio::join!(
            self.store.load(destination, now),
            self.discover(destination, &mut notes, now)
        );
        let before = match loaded {
            Ok(remembered) => remembered.unwrap_or_default(),
            Err(error) => {
                tracing::error!(error, "the MTA-STS cache cannot be read");
                let failure = StsFailure::Unreached("our own policy cache cannot be read".into());
                let fact = StsFact::Unknown { failure, since: now };
                let until = now + Duration::from_secs(1);
                return Noted { fact: (fact, Vec::new()), until, blobs: notes.blobs };
            }
        };
        let had = before.held(now).is_some();
        let preloaded = self.settings.preloaded.get(destination);
        let (discovery, witnesses) = match had || preloaded.is_some() {
            true => (discovery, Vec::new()),
            false => self.first_contact(destination, discovery).await,
        };
        let mut after = before.clone().discovered(&discovery, now);
        let mut known = Known::Cached;
        // The `id` may have been forgotten when the policy was changed (RFC 8461 §5, §5.1).
        let again = doubted && after.may_be_stale(&discovery, now);
        if again || after.next(&discovery, now) == Next::Fetch {
            let result = self.source.fetch(destination).await;
            if result.is_ok() && !had {
                known = Known::FirstFetch;
            }
            if result.is_err() && had {
                metrics::sts_failure();
            }
            after = after.fetched(id(&discovery), result, now);
        }
        self.keep_policy(destination, &before, &after, now).await;
        let mut fact = after.fact(&discovery, known, now);
        if let Some(preloaded) = preloaded {
            fact = with_preloaded(fact, preloaded, self.settings.loaded_at, now);
        }
        let until = match &fact {
            StsFact::Policy { expires, refresh_failed: None, .. } => *expires,
            StsFact::Policy { .. } | StsFact::Unknown { .. } => now + FETCH_PAUSE,
            StsFact::Absent { absence: Absence::Unconfirmed } if !witnesses.is_empty() => {
                now + FETCH_PAUSE
            }
            StsFact::Absent { .. } | StsFact::NotAsked => now + LONGEST,
        };
        let until = until.min(notes.until);
        Noted { fact: (fact, witnesses), until, blobs: notes.blobs }
    }

    /// Nothing is known of a destination and nobody signs that it has no policy: others are asked.
    /// What one of them sees counts (RFC 8461 §10.2: who is on our path can hide the record).
    async fn first_contact(
        &self,
        destination: &Domain,
        discovery: Discovery,
    ) -> (Discovery, Vec<Witnessed>) {
        if discovery != Discovery::NotAnnounced(Absence::Unconfirmed) {
            return (discovery, Vec::new());
        }
        let Heard { said, announced } = self.hear(destination, Missing::StsRecord).await;
        let discovery = match (announced, weigh(&said)) {
            (Some(id), _) => Discovery::Announced(id),
            (None, Weighed::Agreed) => Discovery::NotAnnounced(Absence::Agreed),
            (None, Weighed::Contradicted | Weighed::Unconfirmed) => discovery,
        };
        (discovery, said)
    }

    async fn discover(&self, destination: &Domain, notes: &mut Notes, now: UnixTime) -> Discovery {
        // A name that is too long cannot exist, and nobody has to sign that.
        let Ok(name) = destination.below("_mta-sts") else {
            return Discovery::NotAnnounced(Absence::Secure);
        };
        let lookup = self.dns.txt(&name).await;
        notes.lookup(&lookup, now);
        match lookup.answer {
            Answer::Found { value, authenticity, .. } => match announced(&value) {
                Ok(id) => Discovery::Announced(id),
                Err(_) => Discovery::NotAnnounced(match authenticity {
                    Authenticity::Secure => Absence::Secure,
                    Authenticity::Insecure => Absence::Unconfirmed,
                }),
            },
            Answer::Absent { absence, .. } => Discovery::NotAnnounced(absence),
            Answer::Failed(failure) => Discovery::Failed(failure),
        }
    }

    /// Persists before use (RFC 8461 §3.3). A store that fails does not take the policy away.
    async fn keep_policy(
        &self,
        destination: &Domain,
        before: &Remembered,
        after: &Remembered,
        now: UnixTime,
    ) {
        match after.held(now) {
            Some(kept) => lock(&self.due).insert(destination.clone(), kept.due(now)),
            None => lock(&self.due).remove(destination),
        };
        if before == after {
            return;
        }
        let worth = (!after.is_empty(now)).then_some(after);
        if let Err(error) = self.store.save(destination, worth, now).await {
            tracing::error!(error, "the MTA-STS cache cannot be written");
        }
    }
}

impl Gatherer {
    /// Reads from the store which policies are known, so that they are refreshed in time; once, at
    /// the start. Yields how many there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn remember(&self, now: UnixTime) -> Result<usize, String> {
        let shared = &self.0;
        let mut note = |destination, remembered: Remembered| {
            if let Some(kept) = remembered.held(now) {
                lock(&shared.due).insert(destination, kept.due(now));
            }
        };
        shared.store.each(now, &mut note).await?;
        Ok(lock(&shared.due).len())
    }

    /// Destinations whose policy is due to be fetched again, those that wait longest first; at
    /// most `limit`.
    pub fn refresh_due(&self, now: UnixTime, limit: usize) -> Vec<Domain> {
        let due = lock(&self.0.due);
        // Nothing is due in more than a day, but by a clock that was ahead and was set right since.
        let is_late = |at: UnixTime| at <= now || at.since(now) > REFRESH;
        let mut late: Vec<_> = due.iter().filter(|(_, at)| is_late(**at)).collect();
        late.sort_by_key(|(_, at)| **at);
        late.into_iter().take(limit).map(|(destination, _)| destination.clone()).collect()
    }

    /// Begins to refresh what is due, evenly over [`ROUND`] and no faster than all known policies
    /// need; at most [`AT_ONCE`] at the same time. What still runs goes on in `fetching`: a policy
    /// host that stalls holds up nobody else.
    pub async fn refresh_late(&self, now: UnixTime, fetching: &mut JoinSet<()>) {
        let share = share(lock(&self.0.due).len());
        let due = self.refresh_due(now, share);
        let gap = ROUND / u32::try_from(share).unwrap_or(u32::MAX);
        for destination in due {
            while fetching.try_join_next().is_some() {}
            if fetching.len() >= AT_ONCE {
                fetching.join_next().await;
            }
            // Not chosen again while it is under way.
            lock(&self.0.due).insert(destination.clone(), now + FETCH_PAUSE);
            let gatherer = self.clone();
            fetching.spawn(async move { gatherer.refresh(&destination, now).await });
            tokio::time::sleep(gap).await;
        }
    }

    /// Fetches a known policy again, out of band of any message (RFC 8461 §3.3). A policy whose
    /// record is gone is not fetched: it holds until it runs out.
    pub async fn refresh(&self, destination: &Domain, now: UnixTime) {
        let shared = &self.0;
        let before = match shared.store.load(destination, now).await {
            Ok(Some(before)) => before,
            Ok(None) => {
                lock(&shared.due).remove(destination);
                return;
            }
            // It may be there all the same, and must not run out unseen.
            Err(error) => {
                tracing::error!(error, "the MTA-STS cache cannot be read");
                lock(&shared.due).insert(destination.clone(), now + FETCH_PAUSE);
                return;
            }
        };
        if !before.refresh_due(now) {
            let again = before.held(now).map(|kept| kept.due(now).max(now + FETCH_PAUSE));
            let mut due = lock(&shared.due);
            match again {
                Some(at) => due.insert(destination.clone(), at),
                None => due.remove(destination),
            };
            return;
        }
        let mut notes = Notes { until: now + LONGEST, blobs: Vec::new() };
        let discovery = shared.discover(destination, &mut notes, now).await;
        let result = match discovery {
            Discovery::NotAnnounced(_) => None,
            Discovery::Announced(_) | Discovery::Failed(_) => {
                Some(shared.source.fetch(destination).await)
            }
        };
        if matches!(result, Some(Err(_))) {
            metrics::sts_failure();
        }
        // Only now: no delivery waits for a policy host that stalls.
        let keeping = async {
            // What a delivery fetched meanwhile is newer than what we have.
            let Ok(Some(kept)) = shared.store.load(destination, now).await else { return };
            if kept.policy != before.policy {
                return;
            }
            let mut after = kept.clone().discovered(&discovery, now);
            if let Some(result) = result {
                after = after.fetched(id(&discovery), result, now);
            }
            shared.keep_policy(destination, &kept, &after, now).await;
        };
        alone(&shared.policies, destination, keeping).await;
        // A failure, or no record: not again at once.
        let mut due = lock(&shared.due);
        if let Some(at) = due.get_mut(destination) {
            *at = (*at).max(now + FETCH_PAUSE);
        }
    }
}

fn id(discovery: &Discovery) -> Option<String> {
    match discovery {
        Discovery::Announced(id) => Some(id.clone()),
        Discovery::NotAnnounced(_) | Discovery::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million policies of a week: each is fetched daily, and a handful costs a trickle.
    #[test]
    fn the_pace_follows_from_how_many_policies_are_known() {
        let a_day = |known: usize| share(known) * ROUNDS * 2;
        for known in [0, 1, 50_000, 1_000_000, 10_000_000] {
            assert!(a_day(known) >= 2 * known, "{known}: {}", a_day(known));
        }
        assert_eq!(share(1_000), LEAST, "one a second");
        assert_eq!(share(1_000_000), 1_389, "24 a second");
        // 64 at a time are enough for that while each takes less than two seconds.
        assert!(AT_ONCE as u64 * ROUND.as_secs() / 2 >= share(1_000_000) as u64);
    }
}
