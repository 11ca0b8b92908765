//! Dates and protocol names in trace fields.

use super::*;
use crate::envelope::Charset;

#[test]
fn dates_are_those_of_the_calendar() {
    for (at, text) in [
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 +0000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 +0000"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 +0000"),
        (1_795_305_600, "Sun, 22 Nov 2026 00:00:00 +0000"),
        (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
    ] {
        assert_eq!(MailDate(UnixTime(at)).to_string(), text);
    }
}

#[test]
fn protocols_have_the_names_of_the_registry() {
    let name = |greeting, charset, tls, auth| Protocol { greeting, charset, tls, auth }.to_string();
    use {Authenticated as A, Charset as C, Greeting as G, Secured as S};
    assert_eq!(name(G::Helo, C::Ascii, S::No, A::No), "SMTP");
    assert_eq!(name(G::Ehlo, C::Ascii, S::No, A::No), "ESMTP");
    assert_eq!(name(G::Ehlo, C::Ascii, S::Yes, A::No), "ESMTPS");
    assert_eq!(name(G::Ehlo, C::Ascii, S::Yes, A::Yes), "ESMTPSA");
    assert_eq!(name(G::Ehlo, C::Utf8, S::No, A::No), "UTF8SMTP");
    assert_eq!(name(G::Ehlo, C::Utf8, S::Yes, A::Yes), "UTF8SMTPSA");
}

#[test]
fn a_plain_session_says_so_by_saying_nothing_of_tls() {
    let received = Received {
        client: &ClientName::parse("[192.0.2.1]").unwrap(),
        ip: "192.0.2.1".parse().unwrap(),
        by: &Domain::parse("gw.example.com").unwrap(),
        id: "7",
        protocol: Protocol {
            greeting: Greeting::Ehlo,
            charset: Charset::Ascii,
            tls: Secured::No,
            auth: Authenticated::No,
        },
        tls: None,
        at: UnixTime(0),
    };
    assert_eq!(
        received.to_string(),
        "Received: from [192.0.2.1] ([192.0.2.1])\r\n\tby gw.example.com with ESMTP id 7;\r\n\
         \tThu, 1 Jan 1970 00:00:00 +0000\r\n"
    );
}
