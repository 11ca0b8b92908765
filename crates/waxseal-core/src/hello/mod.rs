//! ClientHellos that nobody means, and what servers say to them: which old versions, weak suites
//! and weak groups a host still takes.
//!
//! No TLS is spoken here. A hello is octets with a random number in them, no key is ever made, and
//! of what comes back only the first plaintext messages are read: ServerHello, the curve in a
//! ServerKeyExchange of TLS 1.2, or an alert. Then the connection is dropped. The TLS stack
//! (rustls) cannot ask these questions, because it does not speak what is asked for.

mod offer;
mod said;
mod suites;
#[cfg(test)]
mod tests;

pub use self::{
    offer::{Offer, Version},
    said::{Nonsense, Said, ServerHello, Until, Words},
    suites::{
        GOOD_SUITES, Suite, WEAK_GROUPS_1_2, WEAK_GROUPS_1_3, WEAK_SUITES, Weakness, group_name,
        suite_name, weakness,
    },
};
