//! What is read of a header section, and what is not.

use super::*;

#[test]
fn fields_are_counted_up_to_the_first_empty_line() {
    let facts = HeaderFacts::scan(
        b"RECEIVED: a\r\n\tDate: folded\r\nreceived : b\r\nno field here\r\nDate: x\r\n\
          Message-Id: <a@b>\r\nX-Received: c\r\n\r\nReceived: in the body\r\nTLS-Required: No\r\n",
    );
    assert_eq!((facts.hops, facts.dates, facts.message_ids), (2, 1, 1));
    assert_eq!(facts.tls(), TlsAsk::Nothing);
}

/// The sender's wish is taken only where it is said once and clearly (RFC 8689 §3).
#[test]
fn tls_required_no_counts_exactly_once() {
    for (header, ask) in [
        ("TLS-Required: No\r\n", TlsAsk::TlsNotRequired),
        ("tls-required:\r\n\tNO \r\n", TlsAsk::TlsNotRequired),
        ("TLS-Required: No\r\nTLS-Required: No\r\n", TlsAsk::Nothing),
        ("TLS-Required: No\r\nTLS-Required: Yes\r\n", TlsAsk::Nothing),
        ("TLS-Required: No; really\r\n", TlsAsk::Nothing),
        ("TLS-Required:\r\n", TlsAsk::Nothing),
        ("X-TLS-Required: No\r\n", TlsAsk::Nothing),
        ("\r\nTLS-Required: No\r\n", TlsAsk::Nothing),
        ("", TlsAsk::Nothing),
    ] {
        assert_eq!(HeaderFacts::scan(header.as_bytes()).tls(), ask, "{header:?}");
    }
}

/// A hostile message: no input makes the scan fail or run on.
#[test]
fn odd_header_sections_are_survived() {
    for odd in [&b":"[..], b"\n", b"\r\n", b"a", b"a:", b" a:\r\n", b"\xff:\xff", b"a:b\n\n\n c"] {
        HeaderFacts::scan(odd);
    }
}

/// The insider who hides a field that a rule looks for behind more than anybody reads.
#[test]
fn a_header_section_is_read_whole_or_not_taken() {
    let scan = |fields: usize, length: usize| {
        let field = format!("X: {}\r\n", "a".repeat(length));
        HeaderFacts::scan(format!("{}\r\nbody", field.repeat(fields)).as_bytes()).fits()
    };
    assert_eq!(scan(HeaderFacts::FIELDS, 10), Ok(()));
    assert_eq!(scan(HeaderFacts::FIELDS + 1, 10), Err(TooMuch::Fields));
    assert_eq!(scan(1, HeaderFacts::OCTETS - 5), Ok(()));
    assert_eq!(scan(1, HeaderFacts::OCTETS - 4), Err(TooMuch::Octets));
    let lines = HeaderFacts::scan("no field\r\n".repeat(HeaderFacts::FIELDS + 1).as_bytes());
    assert_eq!(lines.fits(), Err(TooMuch::Fields));
}

/// The same insider with a line that is no field.
#[test]
fn a_line_that_is_no_field_hides_nothing() {
    let message = b"From: a\r\nthis is no field\r\nAuto-Submitted : x\r\n\r\nTo: b\r\n";
    let names: Vec<_> = fields(message).map(|(name, _)| name).collect();
    assert_eq!(names, [&b"From"[..], b"Auto-Submitted"]);
}
