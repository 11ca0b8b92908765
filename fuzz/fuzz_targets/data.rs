//! Hostile message text, as DATA and as BDAT: where the pieces are cut does not matter, only
//! CRLF.CRLF ends, and nothing with a lone CR, LF or NUL is let through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::smtp::data::{Chunks, Dotted, Fault, Progress, strict, stuffed};

const LIMIT: usize = 1_000;

type End = (Progress, Option<Result<Vec<u8>, Fault>>, usize);

fn dotted(wire: &[u8], size: usize) -> End {
    let mut decoder = Dotted::new(LIMIT);
    let mut used = 0;
    for piece in wire.chunks(size) {
        let (taken, progress) = decoder.feed(piece);
        used += taken;
        match progress {
            Progress::More => assert_eq!(taken, piece.len()),
            Progress::Done => return (progress, Some(decoder.finish()), used),
            Progress::Overrun => return (progress, None, 0),
        }
    }
    (Progress::More, None, used)
}

fn chunked(octets: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Chunks::new(LIMIT);
    for chunk in octets.chunks(size) {
        assert_eq!(decoder.begin(chunk.len() as u64), Progress::More);
        assert_eq!(decoder.feed(chunk), (chunk.len(), Progress::Done));
    }
    decoder.finish()
}

fuzz_target!(|data: &[u8]| {
    let whole = dotted(data, data.len().max(1));
    assert_eq!(dotted(data, 1), whole);
    assert_eq!(dotted(data, 3), whole);
    if let (Progress::Done, Some(message), used) = whole {
        let wire = &data[..used];
        assert!(wire == b".\r\n" || wire.ends_with(b"\r\n.\r\n"));
        if let Ok(message) = message {
            assert_eq!(strict(&message), Ok(()));
            assert!(message.len() <= LIMIT);
        }
    }
    if data.len() <= LIMIT {
        let message = chunked(data, LIMIT);
        assert_eq!(chunked(data, 1), message);
        assert_eq!(chunked(data, 2), message);
        if let Ok(message) = message {
            let mut wire = stuffed(&message, 0, message.len()).concat();
            wire.extend_from_slice(b".\r\n");
            if message.len() <= LIMIT {
                assert_eq!(dotted(&wire, 5), (Progress::Done, Some(Ok(message)), wire.len()));
            }
        }
    }
});
