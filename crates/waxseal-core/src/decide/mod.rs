//! What is decided, and why. Pure functions of recorded facts (promise P5).

mod because;
mod plan;
mod verdict;

pub use because::Because;
pub use plan::{Ask, HostRoute, Plan, RequireTls, Route};
pub use verdict::{Fallback, Verdict};
