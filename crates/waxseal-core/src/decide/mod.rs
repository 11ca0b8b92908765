//! What is decided, and why. Pure functions of recorded facts (promise P5).

mod because;
mod plan;
mod settle;
mod short;
#[cfg(test)]
mod tests;
mod transport;
mod verdict;

pub use because::Because;
pub use plan::{Ask, Case, HostRoute, MAX_ADDRESSES, MAX_HOSTS, Plan, RequireTls, Route, plan};
pub use settle::{DelayNotice, DelayTold, History, Settled, settle};
pub use short::{FirstSeen, Lack, Patience, Short, Sighting};
pub use transport::{Chosen, Ground, Need, Obstacle, transport};
pub use verdict::{Fallback, MessageView, Origin, Verdict, inbound, verdict};

/// Version of the decider: recorded with every decision. A record that another version made may
/// be decided differently, which is information and no error. It goes up with whatever a plan says
/// in other words, since plans are compared as a whole:
///
/// 1. the first;
/// 2. times in reasons as people write them; 1 wrote seconds since 1970;
/// 3. patience begins when a channel was not good enough, not with the first attempt; an unsigned
///    address of ours does not end what memory contradicts;
/// 4. what falls short is seen twice by its kind: a connection that was refused, or an unsigned
///    denial of the destination, an unsigned null MX included; a completed discovery of MTA-STS is
///    the check for a new policy; REQUIRETLS is returned for a refused channel at the second look.
pub const DECIDER: u32 = 4;
