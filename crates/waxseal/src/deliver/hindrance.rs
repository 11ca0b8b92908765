//! What stood in the way of a recipient whom no host has taken yet.

use waxseal_core::outcome::{Cause, Outcome};

use crate::store::Remote;

/// An outcome and the host that it is from.
pub(super) type From = (Outcome, Option<Remote>);

/// What stood in the way at the hosts so far. What lacks for good, or a channel that is too weak,
/// is the end of the matter only where nothing else was: a host that could not be asked may take it
/// the next time (RFC 5321 §4.5.4.1, RFC 8689 §4.2.1). Otherwise whoever keeps us from the primary
/// host, if only for a minute, has a weak backup speak for the domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Hindrance {
    /// At the host at hand.
    here: Option<From>,
    /// At those before.
    before: Option<From>,
}

impl Hindrance {
    /// One more, at an address of the host at hand. An address that answered speaks for its host.
    pub(super) fn meet(&mut self, from: From) {
        heavier(&mut self.here, from, at_address);
    }

    /// What follows is of another host.
    pub(super) fn leave_host(&mut self) {
        if let Some(here) = self.here.take() {
            heavier(&mut self.before, here, at_host);
        }
    }

    /// What weighs most.
    pub(super) fn most(mut self) -> Option<From> {
        self.leave_host();
        self.before
    }
}

/// Of two that weigh the same the later one is told.
fn heavier(known: &mut Option<From>, new: From, weight: fn(&Outcome) -> u8) {
    if known.as_ref().is_none_or(|(known, _)| weight(known) <= weight(&new.0)) {
        *known = Some(new);
    }
}

/// How much an address says of its host: nothing, where nobody answered there.
const fn at_address(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Deferred { cause: Cause::Connection(_) } => 0,
        Outcome::Deferred { cause: Cause::Busy(_) } => 1,
        Outcome::Deferred { .. }
        | Outcome::Rejected { .. }
        | Outcome::Disconnected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Accepted { .. } => 2 + at_host(outcome),
    }
}

/// How much a host says of the whole attempt: least, where another attempt would end the same way.
const fn at_host(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Rejected { cause: Cause::Capability(_) } => 0,
        Outcome::Deferred { cause: Cause::Channel(_) } => 1,
        Outcome::Deferred { cause: Cause::Connection(_) } => 2,
        // It may be the one that works, and can be asked soon.
        Outcome::Deferred { cause: Cause::Busy(_) } => 3,
        Outcome::Deferred { .. }
        | Outcome::Rejected { .. }
        | Outcome::Disconnected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Accepted { .. } => 4,
    }
}

#[cfg(test)]
mod tests;
