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
