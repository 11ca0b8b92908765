//! The sending side of SMTP (RFC 5321), without input or output.
//!
//! A [`Client`] brings a connection to the point where it can be judged: greeting, EHLO, STARTTLS
//! and EHLO again. There it stops. What follows (AUTH, MAIL, RCPT, content) needs a reference to a
//! [`ChannelProof`](crate::channel::ChannelProof), which only
//! [`permit`](crate::channel::permit) makes: a stripped STARTTLS cannot leak the sender
//! (promise P2), because the code that would leak it cannot be called.
//!
//! ```text
//! driver                       client
//!   step() ───────────────────▶ Read | Write(octets) | StartTls | Judge | Ready | Closed
//!   input(octets) ────────────▶
//!   disconnected(why) ────────▶
//!   secured() ────────────────▶ after StartTls, when the handshake is done
//!   permitted(&proof, ..) ────▶ after Judge
//!   begin(&proof, mail) ──────▶ Transaction: Read | Write | Intend | Done
//! ```
//!
//! `Intend` comes before the final dot may be written: the driver makes the intent durable there,
//! so that a possible duplicate is known as such after a crash (promise P4). If the connection
//! dies after that and before the reply, the outcome is `Unknown`; before it, `Disconnected`.
//!
//! A transaction that only [asks](Purpose::Ask) whether recipients are taken comes to `Done` after
//! the last RCPT, by way of RSET.

mod extensions;
mod mail;
mod session;
mod transaction;
mod transcript;

pub use extensions::{Extensions, Size};
pub use mail::{Mail, Purpose};
pub use session::{Client, Credentials, Hello, HeloFallback, StartTls, Step, Tls};
pub use transaction::{Awaits, Flight, Transaction, TxStep};
pub use transcript::Transcript;

#[cfg(test)]
mod tests;
