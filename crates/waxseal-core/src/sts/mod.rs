//! MTA-STS (RFC 8461).

pub mod cache;
mod policy;
mod record;

pub use self::{
    policy::{MAX_AGE, MAX_POLICY_BYTES, Mode, MxPattern, Policy, PolicyError, written_max_age},
    record::{NotAnnounced, PolicyId, announced},
};

#[cfg(test)]
mod tests;
