//! What a stored survey and its words promise.

mod advice;
mod changed_policy_host;
mod changed_records;
mod changes;
mod dkim;
mod elsewhere;
mod hosts;
mod ids;
mod keepers;
mod levels;
mod offers;
mod policy_host;
mod profiles;
mod properties;
mod records;
mod unseen;
mod unused;
mod words;
mod world;
