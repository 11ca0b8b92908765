//! Whatever a server says, and however its octets are cut.

use proptest::prelude::*;

use super::{dialog::show, *};
use crate::outcome::Outcome;

/// What the client writes before it was permitted: never an address.
fn said_without_proof(replies: &[u8], chunk: usize) -> Vec<u8> {
    let mut client = Client::new(hello(StartTls::IfOffered));
    let mut said = Vec::new();
    for piece in replies.chunks(chunk) {
        match client.step() {
            Step::Write(bytes) => said.extend(bytes),
            Step::StartTls => client.secured(),
            Step::Read | Step::Judge | Step::Ready | Step::Closed => {}
        }
        client.input(piece);
    }
    while let Step::Write(bytes) = client.step() {
        said.extend(bytes);
    }
    said
}

/// A server that answers in the middle of the content: a refusal is one, an acceptance is not,
/// and the connection is over either way.
#[test]
fn a_reply_in_the_middle_of_the_content() {
    for (early, expected) in [
        (&b"552 5.3.4 too big\r\n"[..], "rejected content: 552 5.3.4 too big"),
        (b"421 4.3.2 bye\r\n", "deferred content: 421 4.3.2 bye"),
        (b"250 ok\r\n", "deferred protocol: 250 before the final dot"),
    ] {
        let mut letter = Letter::parse("");
        letter.content = b"abc\r\n".repeat(30_000);
        let (proof, mut client) = ready();
        let mut transaction = client.begin(&proof, letter.mail()).unwrap();
        transaction.take().expect("the envelope");
        transaction.input(b"250 ok\r\n250 ok\r\n354 go\r\n");
        transaction.take().expect("the first flight of content");
        transaction.input(early);
        assert_eq!(transaction.step(), TxStep::Done);
        assert_eq!(show(&transaction.finish()[0]), expected);
        assert_eq!(client.step(), Step::Closed);
    }
}

/// Runs a message against whatever the server says in reply to each flight; the outcomes and
/// what was written.
fn against(flights: &[Vec<u8>], chunk: usize, content: &[u8]) -> (Vec<Outcome>, Vec<u8>) {
    let mut letter = Letter::parse("to=b@example.net,c@example.net");
    letter.content = content.to_vec();
    let (proof, mut client) = ready();
    let mut transaction = match client.begin(&proof, letter.mail()) {
        Ok(transaction) => transaction,
        Err(_) => return (Vec::new(), Vec::new()),
    };
    let mut said = Vec::new();
    let mut pieces = flights.iter().flat_map(|flight| flight.chunks(chunk));
    loop {
        match transaction.step() {
            TxStep::Write(flight) => said.extend(flight.concat()),
            TxStep::Intend => transaction.intended(),
            TxStep::Read => match pieces.next() {
                Some(piece) => transaction.input(piece),
                None => transaction.disconnected("gone"),
            },
            TxStep::Done => return (transaction.finish(), said),
        }
    }
}

fn reply(codes: &[&'static str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let codes = codes.to_vec();
    prop::sample::select(codes).prop_map(|code| format!("{code}-x\r\n{code} y\r\n").into_bytes())
}

/// Replies to the envelope, to the final dot or RSET, and to a RSET after that.
fn any_flights() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let envelope = (
        reply(&["250", "550", "451"]),
        reply(&["250", "251", "550", "452", "421"]),
        reply(&["250", "550", "452"]),
        reply(&["354", "354", "354", "554", "451", "421"]),
    );
    let envelope = envelope.prop_map(|(a, b, c, d)| [a, b, c, d].concat());
    (envelope, reply(&["250", "550", "451", "354"])).prop_map(|(a, b)| vec![a, b])
}

fn any_replies() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("250 2.1.0 ok\r\n"),
        Just("250-more\r\n"),
        Just("354 go\r\n"),
        Just("550 5.1.1 no\r\n"),
        Just("451 4.3.0 later\r\n"),
        Just("421 bye\r\n"),
        Just("220 go\r\n"),
        Just("250-STARTTLS\r\n"),
        Just("250 STARTTLS\r\n"),
        Just("rubbish\r\n"),
        Just("\0\n"),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat().into_bytes())
}

proptest! {
    /// Promise P2, whatever an attacker on the path answers: without a proof only EHLO, HELO and
    /// STARTTLS are said.
    #[test]
    fn nothing_personal_without_proof(replies in any_replies(), chunk in 1_usize..30) {
        let said = String::from_utf8(said_without_proof(&replies, chunk)).unwrap();
        for line in said.lines() {
            let fine = ["EHLO gw.example.com", "HELO gw.example.com", "STARTTLS"].contains(&line);
            prop_assert!(fine, "{line}");
        }
    }

    /// Replies cut into pieces of any size give the same outcomes and the same commands.
    #[test]
    fn pieces_make_no_difference(flights in any_flights(), chunk in 1_usize..30) {
        let content = b"Subject: x\r\n\r\n.hello\r\n";
        let (outcomes, said) = against(&flights, chunk, content);
        prop_assert_eq!(outcomes.len(), 2);
        prop_assert_eq!((outcomes, said), against(&flights, 4_096, content));
    }

    /// Nobody is told "accepted" unless the final dot was written, and the content always ends
    /// in exactly one final dot.
    #[test]
    fn accepted_only_after_the_final_dot(
        replies in any_replies(),
        content in "([.a\u{e4}]{0,4}\r\n){0,5}[.a]{0,3}",
    ) {
        let (outcomes, said) = against(&[replies], 6, content.as_bytes());
        let dots = said.windows(5).filter(|window| *window == b"\r\n.\r\n").count();
        prop_assert!(dots <= 1);
        let accepted = |outcome: &Outcome| matches!(outcome, Outcome::Accepted { .. });
        if outcomes.iter().any(accepted) {
            prop_assert_eq!(dots, 1);
        }
    }

    #[test]
    fn any_octets_are_survived(replies in prop::collection::vec(any::<u8>(), 0..300)) {
        against(std::slice::from_ref(&replies), 7, b"x\r\n");
        said_without_proof(&replies, 7);
    }
}
