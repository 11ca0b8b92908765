//! The time, and a machine whose clock is set forward.
//!
//! What expires is lost when the clock says so: policies, what is remembered of a destination, and
//! mail whose time is over. Whoever can set the clock of the machine, if only for a minute (time
//! without authentication, a wrong battery clock), would end all of that at once. So time does not
//! leap here: a few minutes forward are believed at once, and whatever is more at twice the pace of
//! the time that really passes. Meanwhile the health check fails.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use waxseal_core::time::UnixTime;

/// A leap of so much is believed at once: clocks are corrected.
const LEAP: Duration = Duration::from_mins(10);

/// Where the time is read.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicU64>>);

/// One for the process: all of it lives at the same time.
static SYSTEM: Mutex<Option<Steady>> = Mutex::new(None);

impl Clock {
    /// The clock of the machine, which does not leap.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is set.
    pub fn fixed(at: UnixTime) -> Self {
        Self(Some(Arc::new(AtomicU64::new(at.0))))
    }

    /// Sets a fixed clock and all its clones; the machine's clock stays as it is.
    pub fn set(&self, to: UnixTime) {
        if let Some(fixed) = &self.0 {
            fixed.store(to.0, Ordering::Relaxed);
        }
    }

    /// The time.
    pub fn now(&self) -> UnixTime {
        match &self.0 {
            Some(fixed) => UnixTime(fixed.load(Ordering::Relaxed)),
            None => UnixTime(look().0.as_secs()),
        }
    }

    /// How far the machine's clock is ahead of the time that we believe.
    pub fn ahead(&self) -> Duration {
        match &self.0 {
            Some(_) => Duration::ZERO,
            None => {
                let (believed, said) = look();
                said.saturating_sub(believed)
            }
        }
    }
}

/// What we believe, and what the machine says.
fn look() -> (Duration, Duration) {
    let said = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Instant::now();
    let mut steady = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    let steady = steady.get_or_insert_with(|| Steady::new(said, at));
    (steady.look(said, at), said)
}

/// Follows a clock that may leap.
#[derive(Debug)]
struct Steady {
    believed: Duration,
    at: Instant,
    /// So much more than the time that passes is believed.
    more: Duration,
}

impl Steady {
    const fn new(said: Duration, at: Instant) -> Self {
        Self { believed: said, at, more: LEAP }
    }

    /// The time that is believed, since the epoch. Backward a clock may go as it likes: then things
    /// wait, and nothing ends.
    fn look(&mut self, said: Duration, at: Instant) -> Duration {
        let passed = at.saturating_duration_since(self.at);
        let expected = self.believed.saturating_add(passed);
        let more = self.more.saturating_add(passed).min(LEAP);
        let believed = said.min(expected.saturating_add(more));
        self.more = more.saturating_sub(believed.saturating_sub(expected));
        self.believed = believed;
        self.at = self.at.max(at);
        believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn days(count: u32) -> Duration {
        DAY * count
    }

    #[test]
    fn a_clock_that_runs_is_followed() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        for second in [1_u64, 60, 86_400, 10_000_000] {
            let passed = Duration::from_secs(second);
            assert_eq!(steady.look(said + passed, start + passed), said + passed);
        }
        // A correction by some minutes is one.
        let (later, corrected) = (start + days(200), said + days(200) + LEAP);
        assert_eq!(steady.look(corrected, later), corrected);
    }

    /// On the path of unauthenticated time: forty days for a minute end nothing.
    #[test]
    fn a_leap_is_believed_at_twice_the_pace_of_time() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let minute = Duration::from_mins(1);
        let soon = steady.look(said + days(40) + minute, start + minute);
        assert_eq!(soon, said + minute + LEAP);
        let next = steady.look(said + days(40) + minute * 2, start + minute * 2);
        assert_eq!(next, said + minute * 3 + LEAP);
        // Set back, all is as it was.
        let passed = minute * 3;
        assert_eq!(steady.look(said + passed, start + passed), said + passed);
    }

    /// The same, step by step.
    #[test]
    fn many_small_leaps_come_to_no_more() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let mut believed = said;
        for step in 1..=1_000_u32 {
            let leaps = (LEAP - Duration::from_secs(1)) * step;
            believed = steady.look(said + leaps, start + Duration::from_secs(1) * step);
        }
        let passed = Duration::from_secs(1_000);
        assert!(believed <= said + passed * 2 + LEAP, "{believed:?}");
    }

    /// The machine slept: the new time is right, and is reached in the end.
    #[test]
    fn a_new_time_that_stays_is_reached() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        for step in 1..=25 * 12 {
            let passed = Duration::from_mins(5) * step;
            steady.look(said + DAY + passed, start + passed);
        }
        let passed = Duration::from_hours(26);
        assert_eq!(steady.look(said + DAY + passed, start + passed), said + DAY + passed);
    }
}
