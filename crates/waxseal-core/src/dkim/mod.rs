//! DKIM (RFC 6376, RFC 8463, RFC 8301): whether a domain signed a message, and our own signature.
//!
//! Pure: who calls it looks the key up and passes the time. Only what vouches for a whole message
//! counts here: `l=` is not accepted (RFC 6376 §8.2), From has to be signed and has to stand there
//! once (§8.15), keys in testing mode prove nothing (§3.6.1), SHA-1 is refused
//! (RFC 8301 §3), and RSA below 2048 bits, which §3.2 still allows: a signature lets mail in here.

mod canon;
mod claim;
mod fault;
mod key;
mod sign;
#[cfg(test)]
mod tests;

pub use claim::{Claim, claims};
pub use fault::Fault;
pub use sign::{Signer, SignerError};

/// Signatures of one message that are looked at (RFC 6376 §8.4: denial of service).
pub const MOST_SIGNATURES: usize = 5;
