//! MTA-STS (RFC 8461).

mod policy;

pub use policy::{Mode, MxPattern, Policy};
