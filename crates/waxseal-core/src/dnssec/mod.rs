//! DNSSEC validation from the root down, ours and pure (RFC 4033, 4034, 4035).

#[expect(dead_code, reason = "used by the validator, which follows")]
mod anchors;
#[expect(dead_code, reason = "used by the validator, which follows")]
mod name;

pub use domain::base::iana::Rtype as RecordType;

pub use self::{
    anchors::{AnchorError, Anchors},
    name::{Labels, Name},
};
