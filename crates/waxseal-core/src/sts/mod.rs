//! MTA-STS (RFC 8461).

pub mod cache;
mod policy;
mod record;

pub use self::{
    policy::{MAX_AGE, MAX_POLICY_BYTES, Mode, MxPattern, Policy, PolicyError, written_max_age},
    record::{NotAnnounced, PolicyId, announced},
};

/// Where the policy of `example.com` is at `mta-sts.example.com` (RFC 8461 §3.3).
pub const PATH: &str = "/.well-known/mta-sts.txt";

#[cfg(test)]
mod tests;
