//! The time, and a machine whose clock is set forward or back.
//!
//! What expires is lost when the clock says so: policies, what is remembered of a destination, and
//! mail whose time is over. Whoever can set the clock of the machine, if only for a minute (time
//! without authentication, a wrong battery clock), would end all of that at once. So time does not
//! leap here: a few minutes forward are believed at once, and whatever is more at twice the pace of
//! the time that really passes. Meanwhile the health check fails.
//!
//! Set back, a clock would bring to life what has ended: an exception to the rules, signatures that were
//! recorded. So it is believed by a few minutes, and time goes on without it where it is set back further.
//!
//! A start is no different: the database knows when something was written last. A clock that is
//! behind that is wrong, and one that is ten days ahead of it may be: what then counts is the last
//! record and the time that passes. A clock that is behind is believed as soon as it has caught up;
//! one that is far ahead, once signatures of the DNS root are valid at the time that it says: whoever
//! forges our time has none of the future.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use waxseal_core::time::UnixTime;

/// A leap of so much is believed at once: clocks are corrected.
pub(crate) const LEAP: Duration = Duration::from_mins(10);
/// Of the time that passes, so much more may be taken back: NTP sets clocks right that run too fast.
const BACK: u32 = 100;
/// In serial arithmetic the signatures of today are valid in another era, too (RFC 4034 §3.1.5).
const ERA: Duration = Duration::from_secs(1 << 31);
/// A start so long after the last record is doubted. Signatures of the root are valid for longer, so
/// of a shorter time they would say nothing.
const AWAY: Duration = Duration::from_hours(10 * 24);

/// Where the time is read.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicU64>>);

/// One for the process: all of it lives at the same time.
static SYSTEM: Mutex<Option<Steady>> = Mutex::new(None);

/// Whether the clock of the machine is believed whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Not where it leaps, or contradicts what was written.
    Guarded,
    /// It is.
    Trusted,
}

/// How the machine's clock stands to the time that we believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are the same.
    Agreed,
    /// It was set forward while we ran, and is so far ahead.
    Leapt(Duration),
    /// It was set back while we ran, and is so far behind.
    Fallen(Duration),
    /// It was behind the last record when we started, and is so far behind.
    Behind(Duration),
    /// It was ten days ahead of the last record when we started, and is so far ahead.
    Ahead(Duration),
}

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
            None => UnixTime(with(|steady, (said, at)| steady.look(said, at)).as_secs()),
        }
    }

    /// Begins anew: the last record is of this time, if there is any.
    pub fn begin(&self, last: Option<UnixTime>, trust: Trust) {
        if self.0.is_none() {
            with(|steady, (said, at)| {
                *steady = match (trust, last) {
                    (Trust::Guarded, Some(last)) => {
                        Steady::after(Duration::from_secs(last.0), said, at)
                    }
                    (Trust::Guarded, None) | (Trust::Trusted, _) => Steady::new(said, at),
                };
                steady.trust = trust;
            });
        }
    }

    /// From now on the machine's clock is believed, or it is not.
    pub fn trust(&self, trust: Trust) {
        if self.0.is_none() {
            with(|steady, _| steady.trust = trust);
        }
    }

    /// How the machine's clock stands to the time that we believe.
    pub fn standing(&self) -> Standing {
        match &self.0 {
            Some(_) => Standing::Agreed,
            None => with(|steady, (said, at)| steady.standing(said, at)),
        }
    }

    /// The time that the machine says, where something else has to confirm it.
    pub fn unconfirmed(&self) -> Option<UnixTime> {
        let Standing::Ahead(ahead) = self.standing() else { return None };
        Some(self.now() + ahead)
    }

    /// Something that nobody can make beforehand was valid at this time, which the machine said a
    /// moment ago.
    pub fn confirm(&self, valid: UnixTime) {
        with(|steady, (said, at)| steady.confirm(Duration::from_secs(valid.0), (said, at)));
    }
}

/// What the machine says, and how long the process lives.
type Look = (Duration, Instant);

fn with<T>(act: impl FnOnce(&mut Steady, Look) -> T) -> T {
    let said = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Instant::now();
    let mut steady = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    act(steady.get_or_insert_with(|| Steady::new(said, at)), (said, at))
}

/// Follows a clock that may leap.
#[derive(Debug)]
struct Steady {
    believed: Duration,
    at: Instant,
    /// So much more than the time that passes is believed.
    more: Duration,
    /// So far it may be set back: what it gained can be taken away again.
    back: Duration,
    doubt: Option<Doubt>,
    trust: Trust,
}

/// Why a clock is not believed: from the start, or since it was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Behind,
    Ahead,
    Fallen,
}

impl Steady {
    const fn new(said: Duration, at: Instant) -> Self {
        Self { believed: said, at, more: LEAP, back: LEAP, doubt: None, trust: Trust::Guarded }
    }

    /// The last record is of the time `last`.
    fn after(last: Duration, said: Duration, at: Instant) -> Self {
        let (believed, doubt) = if said.saturating_add(LEAP) < last {
            (last, Some(Doubt::Behind))
        } else if said > last.saturating_add(AWAY) {
            (last, Some(Doubt::Ahead))
        } else {
            (said, None)
        };
        Self { doubt, ..Self::new(believed, at) }
    }

    /// The time that is believed, since the epoch.
    fn look(&mut self, said: Duration, at: Instant) -> Duration {
        if self.trust == Trust::Trusted {
            *self = Self { trust: self.trust, ..Self::new(said, at) };
            return said;
        }
        let passed = at.saturating_duration_since(self.at);
        let expected = self.believed.saturating_add(passed);
        if self.doubt == Some(Doubt::Behind) {
            *self = Self::after(expected, said, at.max(self.at));
            return self.believed;
        }
        self.at = self.at.max(at);
        let more = self.more.saturating_add(passed).min(LEAP);
        let back = self.back.saturating_add(passed / BACK).min(LEAP.max(self.back));
        let behind = expected.saturating_sub(said);
        if behind > back {
            // A start far ahead is confirmed all the same, once the clock is back there.
            let doubt = self.doubt.or(Some(Doubt::Fallen));
            *self = Self { believed: expected, more, back, doubt, ..*self };
            return expected;
        }
        if self.doubt == Some(Doubt::Fallen) {
            self.doubt = None;
        }
        let believed = said.min(expected.saturating_add(more));
        let gained = believed.saturating_sub(expected);
        self.believed = believed;
        self.more = more.saturating_sub(gained);
        self.back = back.saturating_add(gained).saturating_sub(behind);
        if believed == said {
            self.doubt = None;
            // What it gained and kept is its own: nobody takes that back.
            self.back = self.back.min(LEAP.max(self.back.saturating_sub(passed)));
        }
        believed
    }

    fn standing(&mut self, said: Duration, at: Instant) -> Standing {
        let believed = self.look(said, at);
        let ahead = said.saturating_sub(believed);
        match self.doubt {
            Some(Doubt::Behind) => Standing::Behind(believed.saturating_sub(said)),
            Some(Doubt::Fallen) => Standing::Fallen(believed.saturating_sub(said)),
            Some(Doubt::Ahead) => Standing::Ahead(ahead),
            None if ahead < Duration::from_secs(1) => Standing::Agreed,
            None => Standing::Leapt(ahead),
        }
    }

    fn confirm(&mut self, valid: Duration, (said, at): Look) {
        let is_near = said.saturating_sub(self.believed) < ERA;
        if self.doubt == Some(Doubt::Ahead) && said.abs_diff(valid) <= LEAP && is_near {
            *self = Self::new(said, at);
        }
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

    /// A dead battery: it is 1970 again, and what was written yesterday was.
    #[test]
    fn a_start_behind_the_last_record_goes_on_from_there() {
        let (start, last) = (Instant::now(), days(20_000));
        let mut steady = Steady::after(last, DAY, start);
        let hour = DAY / 24;
        assert_eq!(steady.look(DAY + hour, start + hour), last + hour);
        assert_eq!(steady.standing(DAY + hour, start + hour), Standing::Behind(last - DAY));
        // Corrected, it is believed at once: the machine was off for a week.
        let corrected = last + days(7);
        assert_eq!(steady.look(corrected, start + hour * 2), corrected);
        assert_eq!(steady.standing(corrected, start + hour * 2), Standing::Agreed);
        // From then on it is a clock like any other.
        assert_eq!(steady.look(last, start + hour * 2), corrected);
    }

    /// On the path of unauthenticated time: an exception that ended yesterday would hold again, and what
    /// was signed then.
    #[test]
    fn a_clock_that_is_set_back_brings_nothing_back() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let minute = Duration::from_mins(1);
        let yesterday = said - DAY;
        assert_eq!(steady.look(yesterday + minute, start + minute), said + minute);
        let standing = steady.standing(yesterday + minute * 2, start + minute * 2);
        assert_eq!(standing, Standing::Fallen(DAY));
        // Right again, it is believed again; what it says then is a leap like any other.
        let passed = minute * 3;
        assert_eq!(steady.look(said + passed, start + passed), said + passed);
        assert_eq!(steady.standing(said + passed, start + passed), Standing::Agreed);
        assert_eq!(steady.look(said + DAY, start + passed), said + passed + LEAP);
    }

    /// A second of 1970, or a virtual machine that is put back: nothing is left of it.
    #[test]
    fn a_second_of_1970_leaves_nothing_behind() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let second = Duration::from_secs(1);
        assert_eq!(steady.look(Duration::ZERO, start + second), said + second);
        assert_eq!(steady.standing(said + second * 2, start + second * 2), Standing::Agreed);
    }

    /// The same attacker, step by step: ten minutes, and a hundredth of the time that passes.
    #[test]
    fn many_small_steps_back_come_to_little() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let hour = DAY / 24;
        let mut believed = said;
        for step in 1..=48 {
            // Five minutes less than would be believed.
            let next = believed + hour - Duration::from_mins(5);
            believed = steady.look(next, start + hour * step);
        }
        let lost = (said + days(2)) - believed;
        assert!(lost <= LEAP + days(2) / 100, "{lost:?}");
    }

    /// What the clock gained it may lose again, and only while that is fresh.
    #[test]
    fn what_was_gained_a_while_ago_is_not_taken_back() {
        let (start, said) = (Instant::now(), days(20_000));
        let mut steady = Steady::new(said, start);
        let hour = DAY / 24;
        // Two hours ahead, and reached in the end.
        for step in 1..=20 {
            steady.look(said + hour * 2 + hour * step, start + hour * step);
        }
        let now = said + hour * 22;
        assert_eq!(steady.look(now, start + hour * 20), now);
        assert_eq!(steady.look(now - hour * 2, start + hour * 20), now);
    }

    /// On the path of unauthenticated time, while the machine starts: signatures that are valid next
    /// year are not to be had, and nothing else makes us believe it.
    #[test]
    fn a_start_far_ahead_is_doubted_until_it_is_confirmed() {
        let (start, last) = (Instant::now(), days(20_000));
        let (ahead, minute) = (last + days(365), Duration::from_mins(1));
        let mut steady = Steady::after(last, ahead, start);
        assert_eq!(steady.look(ahead + minute, start + minute), last + minute + LEAP);
        assert!(matches!(steady.standing(ahead + minute, start + minute), Standing::Ahead(_)));
        // Something was valid, but not at that time.
        steady.confirm(last + days(3), (ahead + minute, start + minute));
        assert!(matches!(steady.standing(ahead + minute, start + minute), Standing::Ahead(_)));
        // Serial arithmetic: what is valid now is valid 136 years later.
        let era = Duration::from_secs(1 << 32);
        let mut late = Steady::after(last, last + era, start);
        late.confirm(last + era, (last + era, start));
        assert!(matches!(late.standing(last + era, start), Standing::Ahead(_)));
        // Nor does a second of 1970 in between decide anything.
        assert_eq!(steady.look(Duration::ZERO, start + minute), last + minute + LEAP);
        // Switched off for a year, and right.
        steady.confirm(ahead, (ahead + minute, start + minute));
        assert_eq!(steady.look(ahead + minute, start + minute), ahead + minute);
        // That was for the start: what leaps now is a leap.
        let leapt = ahead + days(40);
        steady.look(leapt, start + minute);
        steady.confirm(leapt, (leapt, start + minute));
        assert!(matches!(steady.standing(leapt, start + minute), Standing::Leapt(_)));
    }

    #[test]
    fn a_start_after_some_days_is_nothing_special() {
        let (start, last) = (Instant::now(), days(20_000));
        for off in [Duration::ZERO, LEAP, days(3), AWAY] {
            let mut steady = Steady::after(last, last + off, start);
            assert_eq!(steady.look(last + off, start), last + off);
        }
        let early = last - LEAP;
        assert_eq!(Steady::after(last, early, start).look(early, start), early);
    }

    /// Who has time with authentication says so, or whose records are from a time when it was wrong.
    #[test]
    fn a_trusted_clock_is_believed_whatever_it_says() {
        let (start, last) = (Instant::now(), days(20_000));
        let mut steady = Steady::after(last, DAY, start);
        steady.trust = Trust::Trusted;
        for said in [DAY, last + days(400), last] {
            assert_eq!(steady.look(said, start), said);
            assert_eq!(steady.standing(said, start), Standing::Agreed);
        }
    }
}
