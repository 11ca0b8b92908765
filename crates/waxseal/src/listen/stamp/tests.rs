//! What stands in front of a message.

use waxseal_core::{
    channel::TlsVersion,
    domain::Domain,
    envelope::Charset,
    smtp::{
        command::ClientName,
        received::{Authenticated, Greeting, Protocol, Secured, TlsFacts},
    },
    time::UnixTime,
};

use super::*;

fn stamped(message: &str, kind: Kind) -> String {
    let tls = TlsFacts {
        version: TlsVersion::V1_3,
        suite: "TLS_AES_256_GCM_SHA384".into(),
        group: Some("X25519MLKEM768".into()),
    };
    let received = Received {
        client: &ClientName::parse("mail.example.com").unwrap(),
        ip: "2001:db8::1".parse().unwrap(),
        by: &Domain::parse("gw.example.com").unwrap(),
        id: "0abc",
        protocol: Protocol {
            greeting: Greeting::Ehlo,
            charset: Charset::Ascii,
            tls: Secured::Yes,
            auth: Authenticated::Yes,
        },
        tls: Some(&tls),
        at: UnixTime(1_700_000_000),
    };
    let headers = HeaderFacts::scan(message.as_bytes());
    let bytes = stamp(message.as_bytes().to_vec(), headers, &received, kind);
    String::from_utf8(bytes.to_vec()).unwrap()
}

const RECEIVED: &str = "Received: from mail.example.com ([IPv6:2001:db8::1])\r\n\
    \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 group X25519MLKEM768)\r\n\
    \tby gw.example.com with ESMTPSA id 0abc;\r\n\
    \tTue, 14 Nov 2023 22:13:20 +0000\r\n";

#[test]
fn a_relay_adds_the_trace_field_with_the_tls_facts_and_nothing_else() {
    let message = "Subject: x\r\n\r\nhello\r\n";
    assert_eq!(stamped(message, Kind::Relay), format!("{RECEIVED}{message}"));
}

#[test]
fn submission_adds_date_and_message_id_where_they_are_missing() {
    let added = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <0abc@gw.example.com>\r\n";
    let message = "Subject: x\r\n\r\nDate: in the body\r\n";
    assert_eq!(stamped(message, Kind::Submission), format!("{RECEIVED}{added}{message}"));
    let message = "date: today\r\nMESSAGE-ID : <a@b>\r\n\r\n";
    assert_eq!(stamped(message, Kind::Submission), format!("{RECEIVED}{message}"));
}

/// A hostile client: its text does not become part of our trace field.
#[test]
fn a_message_that_begins_with_a_space_does_not_continue_our_field() {
    let message = " by trusted.example.com; forged\r\n";
    assert_eq!(stamped(message, Kind::Relay), format!("{RECEIVED}\r\n{message}"));
}
