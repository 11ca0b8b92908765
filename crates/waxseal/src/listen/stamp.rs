//! What a relay, and a submission server, put in front of a message.

use std::fmt::Write;

use bytes::Bytes;
use waxseal_core::smtp::{
    header::HeaderFacts,
    received::{MailDate, Received},
};

use super::Kind;

/// Prepends `Received` (RFC 5321 §4.4), and on a submission port `Date` and `Message-ID` where
/// they are missing (RFC 6409 §8.2, §8.3).
pub(super) fn stamp(
    mut message: Vec<u8>,
    headers: HeaderFacts,
    received: &Received<'_>,
    kind: Kind,
) -> Bytes {
    let mut front = String::with_capacity(320);
    // Writing to a String cannot fail.
    let _ = write!(front, "{received}");
    match kind {
        Kind::Submission => {
            if headers.dates == 0 {
                let _ = write!(front, "Date: {}\r\n", MailDate(received.at));
            }
            if headers.message_ids == 0 {
                let _ = write!(front, "Message-ID: <{}@{}>\r\n", received.id, received.by);
            }
        }
        Kind::Inbound | Kind::Relay => {}
    }
    if matches!(message.first(), Some(b' ' | b'\t')) {
        // It would continue our own field. What begins so has no header section.
        front.push_str("\r\n");
    }
    message.splice(..0, front.into_bytes());
    Bytes::from(message)
}

#[cfg(test)]
mod tests;
