//! A small Internet on loopback: signed DNS, MX personalities, policy hosts, attackers on the path.
//! For tests and `waxseal demo`; it needs no privileges and makes no traffic outside.
//!
//! | room | what is in it |
//! |---|---|
//! | [`dns`] | zones as data, really signed; damage for one domain |
//! | [`ca`] | authorities and the identities that servers show |
//! | [`mx`] | receiving SMTP servers with personalities |
//! | [`policy_host`] | MTA-STS over real HTTPS |
//! | [`attacker`] | proxies that listen, strip, inject, impersonate |
//! | [`site`] | a recipient organisation: its protection, and the attack on it |
//! | [`lab`] | all of it: addresses, map, configuration for a gateway |
//! | [`sink`] | what arrived, and what an attacker could read |

pub mod aged;
pub mod attacker;
pub mod ca;
pub mod dns;
pub mod lab;
pub mod mx;
pub mod policy_host;
pub mod sink;
pub mod site;

#[cfg(test)]
mod tests;

pub use lab::{Lab, Pinning};
pub use site::{Attack, Protection, Site};
