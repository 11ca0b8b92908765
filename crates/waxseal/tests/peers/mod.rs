//! Real mail servers from Debian, started for one test on a free loopback port with throw-away
//! data (`tests/peers` unpacks them, `tests/run-peer` gives each a namespace of its own).

mod deliveries;
mod exim;
mod inbound;
mod knot;
mod opensmtpd;
mod postfix;
pub(crate) mod process;
mod roll;
mod smarthost;

pub(crate) use exim::exim;
pub(crate) use opensmtpd::opensmtpd;
pub(crate) use postfix::{
    postfix, postfix_behind, postfix_knowing, postfix_sender, postfix_to, postfix_trusting,
    postfix_with_changing_keys,
};
pub(crate) use process::{Identity, Peer, package, root};

mod tests;
mod world;
