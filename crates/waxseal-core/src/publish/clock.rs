//! Whether the clock was set between two looks: waits are counted by how long the machine was on.

use serde::{Deserialize, Serialize};

use super::{DomainMemory, HostMemory, Memory, lifetime, memory::UNSEEN};
use crate::time::UnixTime;

/// What the machine says of its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// The time of day.
    pub now: UnixTime,
    /// Which start of the machine this is: any text that no other start has; empty where that is not known.
    pub boot: String,
    /// Seconds since that start, which nobody can set.
    pub up: u64,
}

/// Seconds that a clock may be put right in silence: time servers do it all the time.
const SLACK: i64 = 5;

/// How far the clock was set since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSet {
    /// As far as anybody can tell, not at all.
    No,
    /// By so many seconds; back where it is negative.
    By(i64),
}

impl Memory {
    /// Begins a look: whoever sets the clock ahead, or sets a wrong one right, has not waited. What was
    /// remembered is moved along with the clock, so that all waits stay as long as they were. After a
    /// new start of the machine only times in the future show that the clock was wrong: they count as now.
    pub fn begin(&mut self, clock: Clock) -> ClockSet {
        let set = match &self.clock {
            Some(last) if last.boot == clock.boot && !clock.boot.is_empty() => {
                let passed = signed(clock.now.0).saturating_sub(signed(last.now.0));
                passed.saturating_sub(signed(clock.up).saturating_sub(signed(last.up)))
            }
            Some(_) | None => 0,
        };
        let now = clock.now;
        self.clock = Some(clock);
        let moved = set.saturating_abs() > SLACK;
        self.times(&mut |time, reach| {
            if moved {
                *time = UnixTime(time.0.saturating_add_signed(set));
            }
            // What lies ahead may only be the end of what a cache holds.
            *time = (*time).min(match reach {
                Reach::Past => now,
                Reach::Cached => now + lifetime::LONGEST.max(UNSEEN),
            });
        });
        if moved { ClockSet::By(set) } else { ClockSet::No }
    }

    /// Every time in it.
    fn times(&mut self, change: &mut impl FnMut(&mut UnixTime, Reach)) {
        for host in self.hosts.values_mut() {
            host.times(change);
        }
        for domain in self.domains.values_mut() {
            domain.times(change);
        }
    }
}

/// How far ahead a time may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// It was seen, so it is over.
    Past,
    /// Until then a cache may hold something.
    Cached,
}

impl super::Caches {
    fn times(&mut self, change: &mut impl FnMut(&mut UnixTime, Reach)) {
        if let Some(first) = &mut self.first {
            change(&mut first.at, Reach::Past);
        }
        change(&mut self.stale_until, Reach::Cached);
    }
}

impl HostMemory {
    fn times(&mut self, change: &mut impl FnMut(&mut UnixTime, Reach)) {
        self.caches.times(change);
        for spell in self.keys.values_mut() {
            change(&mut spell.since, Reach::Past);
        }
    }
}

impl DomainMemory {
    fn times(&mut self, change: &mut impl FnMut(&mut UnixTime, Reach)) {
        let policy = &mut self.policy;
        policy.caches.times(change);
        let seen = [
            self.tlsrpt_since.as_mut(),
            policy.served.as_mut().map(|(_, at)| at),
            policy.announced.as_mut().map(|(_, spell)| &mut spell.since),
            policy.mode.as_mut().map(|(_, at)| at),
            policy.mx_first.as_mut(),
        ];
        for time in seen.into_iter().flatten() {
            change(time, Reach::Past);
        }
        for until in policy.mx.values_mut() {
            change(until, Reach::Cached);
        }
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
