//! DNSSEC validation from the root down, ours and pure (RFC 4033, 4034, 4035).
//!
//! ```text
//! loop { match validate(&question, &bundle, &anchors, now, &memo) {
//!     Step::Need(questions) => ask them, bundle.add(..) or bundle.add_failure(..)
//!     Step::Done(validated) => secure | insecure | bogus | indeterminate, why, and the proof
//! } }
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | [`anchors`](Anchors) | where chains of trust begin |
//! | [`response`](Response), [`rrset`](RrSet) | DNS messages, read into RRsets |
//! | [`bundle`](Bundle) | everything at hand; the proof as stable bytes, and back |
//! | `canonical`, `verify` | what is signed, and the cryptography |
//! | `run` | one validation: its bounds, and which signature holds |
//! | `chain` | from an anchor down to a zone; the state of one RRset |
//! | `denial` | NSEC and NSEC3 |
//! | [`signing()`] | which algorithms, keys and end of time a zone's signatures have |
//! | `validate` | aliases, and the verdict |

mod anchors;
mod bundle;
mod canonical;
mod chain;
mod denial;
mod fuzz;
mod name;
mod response;
mod rrset;
mod run;
mod signing;
#[cfg(test)]
mod tests;
mod validate;
mod verify;

pub use domain::base::iana::Rtype as RecordType;

pub use self::{
    anchors::{AnchorError, Anchors},
    bundle::{Bundle, BundleError, merge_proofs},
    fuzz::fuzz,
    name::{Labels, Name, NotAName},
    response::{NotAnAnswer, Question, Response, Truncation},
    rrset::{RrSet, Signature},
    signing::{ZoneSigning, signed_ttl, signing},
    validate::{AliasStep, Finding, Flaw, Step, Validated, validate},
    verify::Memo,
};
