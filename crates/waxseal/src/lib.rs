//! Waxseal asks, does and records; what is decided is decided in `waxseal-core`.

pub mod author;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod dial;
pub mod exceptions;
pub mod fetch;
pub mod gather;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod publish;
pub mod queue;
pub mod record;
pub mod resolve;
pub mod rules;
pub mod secrets;
pub mod serve;
pub mod spool;
pub mod store;
pub mod survey;
pub mod tls;
pub mod watch;
pub mod web;
