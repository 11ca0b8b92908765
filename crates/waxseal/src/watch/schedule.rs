//! Whose turn it is. Looks are spread over their interval by the name of the domain, so that a
//! restart does not ask everybody at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use waxseal_core::{assess::Delivery, domain::Domain, evidence::BlobId, time::UnixTime};

use super::{Expiries, History, Row, Whose, looks::Room};
use crate::{config::Config, metrics};

/// Open alerts of one domain that the status page shows.
const MOST_ALERTS: usize = 5;
/// Between the first looks at our own domains after a start.
const OWN_APART: u64 = 2;
/// When something looks like an attack, the next look comes after this; and twice as long after each
/// further one, as long as each shows something else that nobody was told of.
const SOON: Duration = Duration::from_secs(60);
/// After a look that could not be kept, or that broke off.
const AGAIN: Duration = Duration::from_secs(600);

/// The domains that are looked at.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    domains: HashMap<Domain, Slot>,
}

#[derive(Debug)]
struct Slot {
    whose: Whose,
    /// Between two looks.
    interval: Duration,
    state: State,
    /// Where nobody has looked yet.
    first: UnixTime,
    /// What the last look came to.
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    at: UnixTime,
    /// The label of a metric: a level, `refuses`, `no-mail`, `unknown`.
    level: &'static str,
    expiries: Expiries,
    /// So many looks in a row left something suspicious: the next one comes soon.
    suspicious: u32,
    /// What was raised and is not over.
    alerts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What is kept of it has not been read.
    Unread,
    Waiting,
    InHand,
    /// Not before this.
    After(UnixTime),
}

impl Slot {
    /// When its turn comes. What happened later than now did so by a clock that was set right since: nobody
    /// waits until that time has come.
    fn due(&self, now: UnixTime) -> Option<UnixTime> {
        match (self.state, &self.last) {
            (State::Unread | State::InHand, _) => None,
            (State::After(at), _) if at.since(now) > AGAIN => Some(now),
            (State::After(at), _) => Some(at),
            (State::Waiting, None) => Some(self.first),
            (State::Waiting, Some(last)) if last.at > now => Some(now),
            (State::Waiting, Some(last)) => Some(last.at + self.pause(last.suspicious)),
        }
    }

    /// Between the last look and the next one, after so many suspicious ones in a row.
    fn pause(&self, suspicious: u32) -> Duration {
        let Some(doubled) = suspicious.checked_sub(1) else { return self.interval };
        let factor = 1_u32.checked_shl(doubled).unwrap_or(u32::MAX);
        SOON.saturating_mul(factor).min(self.interval)
    }
}

impl Schedule {
    /// Takes in what the configuration says now.
    pub(super) fn plan(&mut self, config: &Config, partners: &[Domain], now: UnixTime) {
        let checks = &config.checks;
        let mut wanted: BTreeMap<Domain, (Whose, Duration, UnixTime)> = BTreeMap::new();
        if let Some(interval) = checks.own {
            for (nth, domain) in config.domains.iter().enumerate() {
                let wait = OWN_APART.saturating_mul(u64::try_from(nth).unwrap_or(u64::MAX));
                let first = now + Duration::from_secs(wait).min(interval);
                wanted.insert(domain.name.clone(), (Whose::Own, interval, first));
            }
        }
        if let Some(interval) = checks.partners {
            let own = |domain: &&Domain| config.domains.iter().all(|own| own.name != **domain);
            for domain in partners.iter().filter(own).take(checks.partners_max) {
                let first = now + spread(domain, interval);
                wanted.insert(domain.clone(), (Whose::Partner, interval, first));
            }
        }
        self.domains.retain(|domain, _| wanted.contains_key(domain));
        for (domain, (whose, interval, first)) in wanted {
            let slot = self.domains.entry(domain).or_insert(Slot {
                whose,
                interval,
                state: State::Unread,
                first,
                last: None,
            });
            (slot.whose, slot.interval) = (whose, interval);
            slot.first = slot.first.min(first);
        }
    }

    /// Those of which it has to be read what is kept.
    pub(super) fn unknown(&self) -> Vec<Domain> {
        let unread = self.domains.iter().filter(|(_, slot)| slot.state == State::Unread);
        unread.map(|(domain, _)| domain.clone()).collect()
    }

    /// What is kept of one.
    pub(super) fn known(&mut self, domain: &Domain, history: Option<&History>) {
        if let Some(slot) = self.domains.get_mut(domain) {
            slot.state = State::Waiting;
            slot.last = history.and_then(last);
        }
    }

    /// One whose turn it is and for whom there is room: the one that has waited longest, our own
    /// first.
    pub(super) fn take(&mut self, now: UnixTime, room: Room) -> Option<(Domain, Whose)> {
        let due = self.domains.iter().filter(|(_, slot)| room.is_for(slot.whose));
        let due = due.filter_map(|(domain, slot)| {
            let due = slot.due(now).filter(|due| *due <= now)?;
            Some((slot.whose, due, domain))
        });
        let (whose, _, domain) = due.min()?;
        let domain = domain.clone();
        self.domains.get_mut(&domain)?.state = State::InHand;
        Some((domain, whose))
    }

    /// How long nobody's turn comes for whom there is room. Whoever waits for room is waited for
    /// elsewhere.
    pub(super) fn nap(&self, now: UnixTime, room: Room) -> Duration {
        let may = self.domains.values().filter(|slot| room.is_for(slot.whose));
        let next = may.filter_map(|slot| slot.due(now)).min();
        let wait = next.map_or(Duration::MAX, |next| next.since(now));
        wait.max(Duration::from_millis(100))
    }

    /// A look was taken in.
    pub(super) fn done(&mut self, domain: &Domain, history: &History) {
        self.known(domain, Some(history));
    }

    /// A look could not be kept, or ended without a word, a defect of ours.
    pub(super) fn failed(&mut self, domain: &Domain, now: UnixTime) {
        if let Some(slot) = self.domains.get_mut(domain) {
            slot.state = State::After(now + AGAIN.min(slot.interval));
        }
    }

    /// How each stands.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |(domain, slot): (&Domain, &Slot)| Row {
            domain: domain.clone(),
            whose: slot.whose,
            looked: slot.last.as_ref().map(|last| last.at),
            level: slot.last.as_ref().map_or("unknown", |last| last.level),
            alerts: slot.last.as_ref().map(|last| last.alerts.clone()).unwrap_or_default(),
        };
        self.domains.iter().map(row).collect()
    }

    /// What the metrics say: domains by level, and what of our own ends first.
    pub(super) fn publish(&self) {
        let mut levels: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let mut first = Expiries::default();
        for slot in self.domains.values() {
            let level = slot.last.as_ref().map_or("unknown", |last| last.level);
            *levels.entry((slot.whose.as_str(), level)).or_default() += 1;
            if let (Whose::Own, Some(last)) = (slot.whose, &slot.last) {
                first = first.and(last.expiries);
            }
        }
        metrics::checked_domains(&levels);
        let kinds = [
            ("certificate", first.certificate),
            ("policy-host", first.policy_host),
            ("signature", first.signature),
            ("policy", first.policy),
        ];
        for (kind, at) in kinds {
            metrics::own_not_after(kind, at);
        }
    }
}

fn last(history: &History) -> Option<Last> {
    let glance = history.looks.back()?;
    let level = match (glance.level, glance.delivery) {
        (Some(level), _) => metrics::level_name(level),
        (None, Delivery::Refuses) => "refuses",
        (None, Delivery::TakesNoMail) => "no-mail",
        (None, Delivery::Delivers | Delivery::Unknown) => "unknown",
    };
    let (expiries, suspicious) = (history.expiries, history.suspicious_looks());
    let alerts =
        history.raised().map(|open| format!("{}: {}", open.change.class, open.change.subject));
    let alerts = alerts.take(MOST_ALERTS).collect();
    Some(Last { at: glance.at, level, expiries, suspicious, alerts })
}

/// When in its interval a domain comes: always the same, and different for each.
fn spread(domain: &Domain, interval: Duration) -> Duration {
    let digest = BlobId::of(domain.as_str().as_bytes());
    let number = digest.as_bytes().iter().take(4).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    Duration::from_secs(interval.as_secs().saturating_mul(number) >> 32)
}
