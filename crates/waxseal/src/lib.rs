//! Waxseal asks, does and records; what is decided is decided in `waxseal-core`.

pub mod cli;
pub mod config;
pub mod resolve;
