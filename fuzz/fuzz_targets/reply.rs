//! Hostile replies: whatever the pieces, the reader yields the same, within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::smtp::reply::{MAX_LINES, ReplyReader};

fn replies(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
    let mut reader = ReplyReader::default();
    let mut read = Vec::new();
    for piece in pieces {
        reader.push(&piece);
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => {
                    assert!(reply.text.len() <= MAX_LINES && (200..600).contains(&reply.code));
                    assert!(!reply.to_string().chars().any(char::is_control));
                    read.push(reply.to_string());
                }
                Ok(None) => break,
                Err(error) => {
                    read.push(error.to_string());
                    return read;
                }
            }
        }
    }
    read
}

fuzz_target!(|data: &[u8]| {
    let whole = replies(std::iter::once(data.to_vec()));
    let bytes = replies(data.iter().map(|byte| vec![*byte]));
    assert_eq!(whole, bytes);
});
