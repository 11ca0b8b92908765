//! The record of an attempt: facts, plan, what was seen, what came of it.

mod blob;
mod personal;
mod record;
mod replay;
#[cfg(test)]
mod tests;

pub use blob::{BlobId, NotABlobId};
pub use personal::{Commitment, Opening, Sealer};
pub use record::{
    Connection, Decided, Ended, Ending, Established, Evidence, Interrupted, Message, Network,
    NotEvidence, Schema, Settlement, Tls, ToRecipient, Try, Why,
};
pub use replay::{Again, Difference, replay};
