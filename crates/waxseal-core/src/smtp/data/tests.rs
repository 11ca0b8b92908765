//! What ends a message, what does not, and what must not be in one.

use proptest::prelude::*;

use super::*;

type Message = Result<Vec<u8>, Fault>;

/// Feeds in pieces of `size`; the message or the fault, and what stood behind the end.
fn dotted(wire: &[u8], size: usize, limit: usize) -> Option<(Message, Vec<u8>)> {
    let mut decoder = Dotted::new(limit);
    let mut offset = 0;
    for piece in wire.chunks(size) {
        let (used, progress) = decoder.feed(piece);
        offset += used;
        match progress {
            Progress::More => assert_eq!(used, piece.len()),
            Progress::Done => return Some((decoder.finish(), wire[offset..].to_vec())),
            Progress::Overrun => return None,
        }
    }
    None
}

const SIZES: [usize; 4] = [1, 2, 7, 4_096];

/// An attacker who can write a message tries to end it early, so that what follows becomes SMTP
/// commands of their own (SMTP smuggling, CVE-2023-51764, CVE-2023-51765, CVE-2023-51766).
#[test]
fn no_smuggling_sequence_ends_a_message() {
    let sequences: [(&str, &[u8], Fault); 14] = [
        ("LF.LF", b"\n.\n", Fault::BareLf),
        ("LF.CR", b"\n.\r", Fault::BareLf),
        ("LF.CRLF", b"\n.\r\n", Fault::BareLf),
        ("CR.LF", b"\r.\n", Fault::BareCr),
        ("CR.CR", b"\r.\r", Fault::BareCr),
        ("CR.CRLF", b"\r.\r\n", Fault::BareCr),
        ("CRLF.LF", b"\r\n.\n", Fault::BareLf),
        ("CRLF.CR", b"\r\n.\r", Fault::BareCr),
        ("CRLF.CRCRLF", b"\r\n.\r\r\n", Fault::BareCr),
        ("CRLF NUL.CRLF", b"\r\n\0.\r\n", Fault::Nul),
        ("CRLF.NUL CRLF", b"\r\n.\0\r\n", Fault::Nul),
        ("CR CR LF.CRLF", b"\r\r\n.\r\r\n", Fault::BareCr),
        ("LF LF.LF LF", b"\n\n.\n\n", Fault::BareLf),
        ("CRLF.CR NUL LF", b"\r\n.\r\0\n", Fault::BareCr),
    ];
    for (name, sequence, fault) in sequences {
        let smuggled = b"MAIL FROM:<admin@example.com>\r\nRCPT TO:<v@example.net>\r\nDATA\r\nx";
        let wire = [b"body", sequence, smuggled, b"\r\n.\r\nQUIT\r\n"].concat();
        for size in SIZES {
            let (message, behind) = dotted(&wire, size, 10_000).expect(name);
            assert_eq!(message, Err(fault), "{name} at {size}");
            assert_eq!(behind, b"QUIT\r\n", "{name} at {size}");
        }
    }
}

#[test]
fn a_message_ends_at_crlf_dot_crlf_and_loses_its_stuffing() {
    let cases: [(&[u8], &[u8]); 7] = [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"a.\r\n..\r\n.\r\n", b"a.\r\n.\r\n"),
        (b"...\r\n\r\n.\r\n", b"..\r\n\r\n"),
    ];
    for (wire, message) in cases {
        for size in SIZES {
            let full = [wire, b"NOOP\r\n"].concat();
            let (decoded, behind) = dotted(&full, size, 100).unwrap();
            assert_eq!(decoded.unwrap(), message, "{wire:?}");
            assert_eq!(behind, b"NOOP\r\n");
        }
    }
}

#[test]
fn a_message_past_the_limit_is_read_to_its_end_and_past_twice_the_limit_is_not() {
    let wire = |n: usize| [&vec![b'a'; n][..], b"\r\n.\r\n"].concat();
    for size in SIZES {
        assert!(dotted(&wire(98), size, 100).unwrap().0.is_ok());
        assert_eq!(dotted(&wire(99), size, 100).unwrap().0, Err(Fault::TooBig));
        assert!(dotted(&wire(300), size, 100).is_none());
        assert!(dotted(&vec![0; 300], size, 100).is_none(), "NULs count too");
    }
}

/// A message as the client writes it, in windows of that size, with its end.
fn encoded(message: &[u8], window: usize) -> Vec<u8> {
    let starts = (0..message.len()).step_by(window);
    let pieces = starts.flat_map(|from| stuffed(message, from, (from + window).min(message.len())));
    let mut wire: Vec<u8> = pieces.flat_map(Cow::into_owned).collect();
    wire.extend_from_slice(b".\r\n");
    wire
}

#[test]
fn what_a_client_wrote_a_server_reads_and_what_it_could_misread_is_not_written() {
    for window in 1..20 {
        let wire = encoded(b".\r\n.a\r\n..\r\nb\r\n", window);
        assert_eq!(wire, b"..\r\n..a\r\n...\r\nb\r\n.\r\n");
    }
    for (bad, fault) in [
        (&b"a\nb"[..], Fault::BareLf),
        (b"\n", Fault::BareLf),
        (b"a\rb", Fault::BareCr),
        (b"a\r", Fault::BareCr),
        (b"a\0", Fault::Nul),
    ] {
        assert_eq!(strict(bad), Err(fault));
    }
}

fn chunks(pieces: &[&[u8]], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Chunks::new(limit);
    for piece in pieces {
        assert_eq!(decoder.begin(piece.len() as u64), Progress::More);
        let mut rest = *piece;
        loop {
            let (used, progress) = decoder.feed(&rest[..rest.len().min(3)]);
            rest = &rest[used..];
            if progress == Progress::Done {
                break;
            }
        }
        assert!(rest.is_empty());
    }
    decoder.finish()
}

#[test]
fn chunks_are_joined_as_they_are_and_dots_stay() {
    assert_eq!(chunks(&[b".\r\n", b"", b"..\r", b"\na"], 100).unwrap(), b".\r\n..\r\na\r\n");
    assert_eq!(chunks(&[b""], 100).unwrap(), b"");
}

/// Chunks are no way around the ban on lone CR, LF and NUL: the next hop gets them with DATA.
#[test]
fn chunks_with_bare_line_ends_are_refused() {
    for (pieces, fault) in [
        (vec![&b"a\n"[..]], Fault::BareLf),
        (vec![b"a\r", b"b\r\n"], Fault::BareCr),
        (vec![b"a\r"], Fault::BareCr),
        (vec![b"\r\r\n"], Fault::BareCr),
        (vec![b"a\0b"], Fault::Nul),
        (vec![&[b'a'; 101]], Fault::TooBig),
    ] {
        assert_eq!(chunks(&pieces, 100), Err(fault), "{pieces:?}");
    }
    assert_eq!(Chunks::new(100).begin(201), Progress::Overrun);
}

proptest! {
    #[test]
    fn any_text_survives_the_way_out_and_in(
        lines in proptest::collection::vec("[.a\u{e9}]{0,5}", 0..6), size in 1_usize..9,
        window in 1_usize..12,
    ) {
        let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let wire = encoded(message.as_bytes(), window);
        let (decoded, behind) = dotted(&wire, size, 1_000).unwrap();
        prop_assert_eq!(decoded.unwrap(), message.as_bytes());
        prop_assert!(behind.is_empty());
    }

    /// Any octets at all, cut anywhere, come to the same; and a message that is let through never
    /// has a lone CR, LF or NUL.
    #[test]
    fn pieces_do_not_matter(
        wire in proptest::collection::vec(
            proptest::sample::select(b"\r\n.\0a".to_vec()), 0..40), size in 1_usize..9,
    ) {
        let wire = [&wire[..], b"\r\n.\r\n"].concat();
        let whole = dotted(&wire, wire.len(), 1_000);
        prop_assert_eq!(&dotted(&wire, size, 1_000), &whole);
        let (message, behind) = whole.unwrap();
        let end = wire.len() - behind.len();
        prop_assert!(wire[..end] == *b".\r\n" || wire[..end].ends_with(b"\r\n.\r\n"));
        if let Ok(message) = message {
            prop_assert_eq!(strict(&message), Ok(()));
        }
    }
}
