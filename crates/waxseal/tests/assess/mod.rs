//! What an assessment asks of the world, and what it makes of the answers.

pub(crate) mod file;
mod names;
mod openssl;
mod polite;
mod scenarios;
mod servers;
mod surveys;
mod unused;
pub(crate) mod world;
