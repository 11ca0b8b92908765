//! An authoritative-for-everything, signed DNS server on loopback. To the gateway it looks like a
//! forwarder that recurses for it: chains of aliases are followed, proofs come along.

mod answer;
mod key;
mod name;
mod record;
mod server;
mod tamper;
mod tree;
mod zone;

#[cfg(test)]
mod tests;

pub use answer::{Reply, rcode};
pub use key::Algorithm;
pub use name::Name;
pub use record::{Data, Rr, rtype};
pub use server::{DnsServer, Question};
pub use tamper::{Act, Tampering};
pub use tree::Tree;
pub use zone::{Delegation, Denial, EmptyNames, KeyLayout, OptOut, Signing, Zone};
