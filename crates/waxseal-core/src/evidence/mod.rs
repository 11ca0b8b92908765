//! The record of an attempt: facts, plan, what was seen, what came of it.

mod attempt;
mod blob;
mod decided;
mod personal;
mod recipient;
mod record;
mod replay;
#[cfg(test)]
mod tests;

pub use attempt::{Connection, Established, Tls, Try};
pub use blob::{BlobId, NotABlobId};
pub use decided::{Decided, Interrupted};
pub use personal::{Commitment, Opening, Sealer};
pub use recipient::{Ended, Ending, Settlement, ToRecipient, Why};
pub use record::{Evidence, Message, Network, NotEvidence, Schema};
pub use replay::{Again, Difference, replay};
