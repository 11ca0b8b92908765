//! The record of an attempt: facts, plan, what was seen, what came of it.

mod blob;

pub use blob::{BlobId, NotABlobId};
