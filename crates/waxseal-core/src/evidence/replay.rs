//! Decides a recorded case again (promise P5).

use std::fmt;

use super::Evidence;
use crate::decide::{DECIDER, Plan, Route, plan};

/// A record's plan is not what follows from its facts here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which decider made the record.
    pub recorded_by: u32,
    /// What was decided then.
    pub recorded: Box<Plan>,
    /// What is decided now.
    pub now: Box<Plan>,
}

impl Difference {
    /// Whether another version of the decider made the record: then a difference is information,
    /// and no error.
    pub const fn is_of_another_version(&self) -> bool {
        self.recorded_by != DECIDER
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_of_another_version() {
            write!(f, "decided differently by v{}: ", self.recorded_by)?;
        }
        let pairs = self.recorded.routes.iter().zip(&self.now.routes).enumerate();
        for (index, (then, now)) in pairs {
            if then != now {
                return write!(f, "route {}: {} then, {} now", index + 1, told(then), told(now));
            }
        }
        let (then, now) = (self.recorded.routes.len(), self.now.routes.len());
        if then != now {
            return write!(f, "{then} routes then, {now} now");
        }
        f.write_str("the same routes for other reasons")
    }
}

/// A route in a few words.
fn told(route: &Route) -> String {
    use crate::channel::Demand;
    match route {
        Route::Host(host) => {
            let demand = match host.demand {
                Demand::Opportunistic => "opportunistic TLS",
                Demand::Encrypt => "TLS",
                Demand::Authenticate(_) => "authenticated TLS",
            };
            format!("{} with {demand} ({})", host.peer, host.level)
        }
        Route::Wait { code, .. } => format!("wait ({code})"),
        Route::Hold { code, .. } => format!("hold ({code})"),
        Route::GiveUp { code, .. } => format!("give up ({code})"),
    }
}

/// What came of deciding again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The same plan.
    Alike,
    /// The attempt was interrupted: what was decided was lost with the process.
    NotRecorded,
}

/// Decides a recorded case again: the same facts have to give the same plan.
///
/// # Errors
/// Both plans, where they differ.
pub fn replay(evidence: &Evidence) -> Result<Again, Difference> {
    let Some(decided) = &evidence.decided else { return Ok(Again::NotRecorded) };
    let now = plan(&decided.case(), decided.seed, decided.at);
    if now == decided.plan {
        return Ok(Again::Alike);
    }
    Err(Difference {
        recorded_by: decided.decider,
        recorded: Box::new(decided.plan.clone()),
        now: Box::new(now),
    })
}
