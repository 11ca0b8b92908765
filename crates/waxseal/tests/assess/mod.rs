//! What an assessment asks of the world, and what it makes of the answers.

mod consents;
pub(crate) mod file;
mod lost;
mod names;
mod openssl;
mod polite;
mod scenarios;
mod servers;
mod surveys;
mod unused;
pub(crate) mod world;
