//! Integration tests: the gateway and its command as their users meet them, with real peers where
//! they matter.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this whole crate is tests"
)]

mod assess;
mod browser;
mod check_command;
mod check_differential;
mod delivery;
mod demo;
mod dnssec_differential;
mod documents;
mod fault;
mod gathering;
mod imports;
mod operator;
mod peers;
mod process;
mod publish;
mod resolve;
mod scenario;
mod serve;
mod submission;
mod watch;
