//! What is decided, for every combination of facts.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test that gets anything else fails")]

mod matrix;
mod plan;
mod properties;
mod settle;
mod short;
mod verdict;
mod world;
