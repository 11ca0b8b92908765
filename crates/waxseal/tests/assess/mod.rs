//! What an assessment asks of the world, and what it makes of the answers.

mod file;
mod openssl;
mod polite;
mod scenarios;
mod surveys;
mod world;
