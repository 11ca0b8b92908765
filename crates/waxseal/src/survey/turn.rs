//! Whose turn it is to be asked. To one operator and to one address goes one connection at a time,
//! with a pause after each; to one network a few at a time.
//!
//! An operator is told by the names of its hosts, and names are cheap: a provider with a name for each
//! customer looks like thousands of operators. Addresses are not, so that the address counts as well,
//! whatever it is called. A network is an IPv4 /24 or an IPv6 /64: the least that is routed on its own,
//! and what one customer gets. Strangers may share one in a cloud, and one of them may be slow on
//! purpose: so a network takes [`NEIGHBOURS`] at a time, and is never left alone for what one did.
//!
//! Who takes up our time is left alone for a while: otherwise one operator whose hosts answer an octet
//! a second would keep everybody waiting who asks for it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};
use waxseal_core::assess::Unprobed;

use crate::deliver::Pace;

/// Addresses of one network that are asked at the same time.
pub(super) const NEIGHBOURS: usize = 4;
/// Places above which those that nobody waits for are forgotten.
const MOST_PLACES: usize = 4_096;

/// What is routed on its own: an IPv4 /24 or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }
}

/// Who takes turns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Operator(String),
    Address(IpAddr),
    Network(Network),
}

/// How turns are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Hosts of one operator at the same time, and the pause after each connection.
    pub(super) pace: Pace,
    /// A look at an address that takes so long without a result was slow.
    pub(super) fruitless: Duration,
    /// Any look that takes so long was slow.
    pub(super) slow: Duration,
    /// Of this time one operator may take so much with slow looks.
    pub(super) window: Duration,
    /// So much.
    pub(super) allowance: Duration,
}

/// Gives turns.
#[derive(Debug)]
pub(super) struct Turns {
    rules: Rules,
    /// For the whole process: who is asked under the configuration of before is still asked under the
    /// next one.
    places: Arc<Mutex<HashMap<Place, Arc<Entry>>>>,
}

#[derive(Debug)]
struct Entry {
    turns: Arc<Semaphore>,
    past: Mutex<Past>,
}

/// What came before at a place.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// When the next connection may be made.
    next: Instant,
    /// When the window began in which slow looks are added up.
    since: Instant,
    slow: Duration,
}

impl Past {
    fn is_left_alone(&self, rules: &Rules, now: Instant) -> bool {
        self.slow >= rules.allowance && now.duration_since(self.since) < rules.window
    }

    fn add(&mut self, took: Duration, rules: &Rules, now: Instant) {
        if now.duration_since(self.since) >= rules.window {
            (self.since, self.slow) = (now, Duration::ZERO);
        }
        self.slow += took;
    }
}

impl Entry {
    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, places: Arc::default() }
    }

    /// Turns by the rules of the next configuration: whose turn it is goes on, and what came before
    /// counts. How many hosts of a known operator are asked at once stays as it was.
    pub(super) fn next(&self, rules: Rules) -> Self {
        Self { rules, places: Arc::clone(&self.places) }
    }

    /// Waits for a turn at a host of this operator at this address, until then.
    ///
    /// Everybody takes the three places in the same order, so none waits for one that waits for it; and
    /// the operator's comes first, so that whoever points names at somebody else's address waits in a
    /// line of his own.
    ///
    /// # Errors
    /// It did not come in time, or the operator took up too much of our time before.
    pub(super) async fn take(
        &self,
        operator: String,
        address: IpAddr,
        until: Instant,
    ) -> Result<Turn, Unprobed> {
        let operator = self.entry(Place::Operator(operator));
        let address = address.to_canonical();
        let wait = |entry: &Arc<Entry>| {
            let turns = Arc::clone(&entry.turns);
            async move { timeout_at(until, turns.acquire_owned()).await.ok()?.ok() }
        };
        let left_alone = || operator.past().is_left_alone(&self.rules, Instant::now());
        if left_alone() {
            return Err(Unprobed::TooSlow);
        }
        let first = wait(&operator).await.ok_or(Unprobed::NoTurn)?;
        if left_alone() {
            return Err(Unprobed::TooSlow);
        }
        let network = self.entry(Place::Network(address.into()));
        let address = self.entry(Place::Address(address));
        let second = wait(&address).await.ok_or(Unprobed::NoTurn)?;
        let third = wait(&network).await.ok_or(Unprobed::NoTurn)?;
        Ok(Turn {
            rules: self.rules,
            operator,
            address,
            now: Mutex::new(Now::beginning()),
            _places: [first, second, third],
        })
    }

    fn entry(&self, place: Place) -> Arc<Entry> {
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() > MOST_PLACES {
            places.retain(|_, entry| {
                let past = *entry.past();
                let counts = past.next > now || past.is_left_alone(&self.rules, now);
                counts || Arc::strong_count(entry) > 1
            });
        }
        let at_once = match &place {
            Place::Operator(_) => self.rules.pace.at_once.max(1),
            Place::Address(_) => 1,
            Place::Network(_) => NEIGHBOURS,
        };
        let fresh = || {
            let past = Past { next: now, since: now, slow: Duration::ZERO };
            Arc::new(Entry { turns: Arc::new(Semaphore::new(at_once)), past: Mutex::new(past) })
        };
        Arc::clone(places.entry(place).or_insert_with(fresh))
    }
}

/// A turn: nobody else asks this operator or this address as long as it lives.
#[derive(Debug)]
pub(super) struct Turn {
    rules: Rules,
    operator: Arc<Entry>,
    address: Arc<Entry>,
    now: Mutex<Now>,
    _places: [OwnedSemaphorePermit; 3],
}

/// How a turn goes.
#[derive(Clone, Copy, Debug)]
struct Now {
    began: Instant,
    connections: usize,
    /// Time in which we asked nothing, out of politeness.
    paused: Duration,
    outcome: Outcome,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something was seen.
    Result,
    /// Nothing, so far.
    Nothing,
}

impl Now {
    fn beginning() -> Self {
        let began = Instant::now();
        Self { began, connections: 0, paused: Duration::ZERO, outcome: Outcome::Nothing }
    }
}

impl Turn {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the next connection may be made; to be called before each.
    pub(super) async fn pause(&self) {
        let start = {
            let (mut turn, now) = (self.now(), Instant::now());
            let start = match turn.connections {
                0 => self.operator.past().next.max(self.address.past().next).max(now),
                _ => now + self.rules.pace.interval,
            };
            turn.connections += 1;
            turn.paused += start.duration_since(now);
            start
        };
        sleep_until(start).await;
    }

    /// How much of our time it took, pauses left out.
    pub(super) fn spent(&self) -> Duration {
        let turn = self.now();
        turn.began.elapsed().saturating_sub(turn.paused)
    }

    /// Says what came of it. A turn that is broken off came to nothing.
    pub(super) fn came_to(&self, outcome: Outcome) {
        self.now().outcome = outcome;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (took, now, turn) = (self.spent(), Instant::now(), *self.now());
        if turn.connections == 0 {
            return;
        }
        let next = now + self.rules.pace.interval;
        for entry in [&self.operator, &self.address] {
            let mut past = entry.past();
            past.next = past.next.max(next);
        }
        let fruitless = turn.outcome == Outcome::Nothing && took >= self.rules.fruitless;
        if fruitless || took >= self.rules.slow {
            self.operator.past().add(took, &self.rules, now);
        }
    }
}

#[cfg(test)]
mod tests;
