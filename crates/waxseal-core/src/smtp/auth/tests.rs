//! SASL responses, right and wrong.

use super::*;

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

#[test]
fn plain_has_a_name_and_a_password() {
    for response in ["\0anna\0hunter2", "anna\0anna\0hunter2"] {
        let credentials = plain(encode(response).as_bytes()).unwrap();
        assert_eq!(
            (credentials.user.as_str(), &credentials.password[..]),
            ("anna", &b"hunter2"[..])
        );
    }
}

/// Whoever signs in as one and acts as another, and whoever feeds the hash with megabytes.
#[test]
fn other_responses_are_refused() {
    let long = format!("\0anna\0{}", "x".repeat(256));
    for response in
        ["", "anna", "\0anna", "\0\0x", "\0anna\0", "ben\0anna\0x", "\0a\0b\0c", "\0a\nb\0x", &long]
    {
        assert_eq!(plain(encode(response).as_bytes()), Err(Malformed), "{response:?}");
    }
    for response in [&b"="[..], b"*", b"AA", b"A===", b"\xff", b"AGEAYg", b"AGEAYg==\n"] {
        assert_eq!(plain(response), Err(Malformed), "{response:?}");
    }
    assert_eq!(login_user(b"="), Err(Malformed));
    assert_eq!(login_password(b"="), Err(Malformed));
}

/// The reader of logs: credentials do not print.
#[test]
fn credentials_do_not_print() {
    let credentials = plain(encode("\0anna\0hunter2").as_bytes()).unwrap();
    assert_eq!(format!("{credentials:?}"), "Credentials(..)");
}
