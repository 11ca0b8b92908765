//! Who comes how often: sessions at once, and failures of signing in.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Lane;

/// Failed sign-ins that an address may have in [`WINDOW`].
pub(super) const MAX_SIGN_INS: u32 = 20;
/// Recipients that do not exist which an address may name in [`WINDOW`]: a list that nobody tended
/// has some, who tries names has nothing else.
pub(super) const MAX_UNKNOWN: u32 = 100;
/// Questions for a longer message to a recipient who is known to exist, from an address that has named
/// [`MAX_UNKNOWN`]: others may send from there, too (a provider's, say), but each size is work inside.
pub(super) const MAX_SIZES: u32 = 50;
/// After so many unknown recipients its questions wait for each other, and not in the way of others.
const DOUBTFUL: u32 = 5;
/// Then it may try again.
const WINDOW: Duration = Duration::from_secs(600);
/// Addresses whose failures are counted. When all places are taken by fresh ones, new addresses
/// are refused as if they had failed: an attack from that many places gets no free tries.
const MAX_ADDRESSES: usize = 65_536;

/// One client, as far as limits go: an IPv4 address, or an IPv6 /64, which is what one customer
/// gets (RFC 6177 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => {
                let network = v6.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }
}

/// Sessions at once.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<Origin, usize>>,
    total: Mutex<usize>,
}

/// A place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Arc<Sessions>,
    origin: Origin,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    Total,
    Client,
}

impl Sessions {
    /// Takes a place, where there is one.
    pub(crate) fn enter(
        self: &Arc<Self>,
        origin: Origin,
        most: usize,
        most_per_client: usize,
    ) -> Result<Place, Crowded> {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        if *total >= most {
            return Err(Crowded::Total);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = open.entry(origin).or_default();
        if *mine >= most_per_client {
            return Err(Crowded::Client);
        }
        *mine += 1;
        *total += 1;
        Ok(Place { sessions: Arc::clone(self), origin })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut total = self.sessions.total.lock().unwrap_or_else(PoisonError::into_inner);
        *total = total.saturating_sub(1);
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.origin) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(&self.origin);
            }
        }
    }
}

/// Messages up to this many octets are read wherever there is a session.
const SMALL: usize = 64 * 1024;

/// Memory that messages take while they are read, over all sessions.
#[derive(Debug, Default)]
pub(super) struct Intake(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by: HashMap<Origin, usize>,
}

/// What one session takes of it; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    intake: Arc<Intake>,
    origin: Origin,
    octets: usize,
}

/// Whether a message fits beside those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
}

impl Intake {
    /// For a session of this client, which has read nothing yet.
    pub(super) fn share(self: &Arc<Self>, origin: Origin) -> Share {
        Share { intake: Arc::clone(self), origin, octets: 0 }
    }
}

impl Share {
    /// The message takes so many octets now: at most so many may be taken by all, and by one client.
    /// Where it does not fit, the share is given back.
    pub(super) fn resize(&mut self, octets: usize, (most, each): (usize, usize)) -> Fits {
        let octets = if octets <= SMALL { 0 } else { octets };
        if octets == self.octets {
            return Fits::Yes;
        }
        let mut taken = self.intake.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = taken.total.saturating_sub(self.octets);
        let mine = taken.by.get(&self.origin).copied().unwrap_or(0).saturating_sub(self.octets);
        let fits = octets < self.octets
            || (others.saturating_add(octets) <= most && mine.saturating_add(octets) <= each);
        self.octets = if fits { octets } else { 0 };
        taken.total = others.saturating_add(self.octets);
        match mine.saturating_add(self.octets) {
            0 => taken.by.remove(&self.origin),
            sum => taken.by.insert(self.origin, sum),
        };
        if fits { Fits::Yes } else { Fits::No }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // What gets smaller fits.
        self.resize(0, (0, 0));
    }
}

/// Failures by origin.
#[derive(Debug)]
pub(super) struct Failures {
    most: u32,
    counts: Mutex<HashMap<Origin, (u32, Instant)>>,
}

impl Failures {
    /// At most so many of one origin.
    pub(super) fn of(most: u32) -> Self {
        Self { most, counts: Mutex::default() }
    }

    /// Whether this origin has to wait.
    pub(super) fn too_often(&self, origin: Origin, now: Instant) -> bool {
        let mut failures = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.get(&origin) {
            Some((count, since)) => {
                *count >= self.most && now.saturating_duration_since(*since) < WINDOW
            }
            None if failures.len() < MAX_ADDRESSES => false,
            None => {
                failures.retain(|_, (_, since)| now.saturating_duration_since(*since) < WINDOW);
                failures.len() >= MAX_ADDRESSES
            }
        }
    }

    /// Where the questions of this origin wait; `None`: nobody is asked for it. An address for which
    /// there is no place any more is only doubtful: an attack from that many places does not stop
    /// the mail of all others.
    pub(super) fn lane(&self, origin: Origin, now: Instant) -> Option<Lane> {
        let failures = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |since: Instant| now.saturating_duration_since(since) < WINDOW;
        match failures.get(&origin) {
            Some((count, since)) if fresh(*since) && *count >= self.most => None,
            Some((count, since)) if fresh(*since) && *count >= DOUBTFUL => Some(Lane::Narrow),
            Some(_) => Some(Lane::Wide),
            None if failures.len() < MAX_ADDRESSES => Some(Lane::Wide),
            None => Some(Lane::Narrow),
        }
    }

    /// Counts one.
    pub(super) fn count(&self, origin: Origin, now: Instant) {
        let mut failures = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&origin) {
            failures.retain(|_, (_, since)| now.saturating_duration_since(*since) < WINDOW);
            if failures.len() >= MAX_ADDRESSES {
                return;
            }
        }
        let (count, since) = failures.entry(origin).or_insert((0, now));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
