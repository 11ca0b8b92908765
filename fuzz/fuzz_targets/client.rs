//! Hostile servers: before the judgement nothing personal is said, and whatever they answer to a
//! message, nobody is told "accepted" unless the final dot was written. The first octet says how
//! the rest is cut into pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::{
    channel::{ChannelProof, Demand, Floor, Level, Seen, TlsSeen, TrustFirst, permit},
    decide::{Ask, HostRoute, RequireTls},
    domain::Domain,
    envelope::{Mailbox, Recipient, ReversePath},
    facts::Peer,
    outcome::Outcome,
    smtp::client::{
        Client, Hello, HeloFallback, Mail, Purpose, StartTls, Step, Transaction, TxStep,
    },
    time::UnixTime,
};

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a name")
}

fn cleartext() -> ChannelProof {
    let peer = Peer::Name(domain("mx.example.net"));
    let address = "192.0.2.1:25".parse().expect("an address");
    let route = HostRoute {
        peer: peer.clone(),
        addresses: vec![address],
        sni: None,
        demand: Demand::Opportunistic,
        floor: Floor::None,
        trust_first: TrustFirst::default(),
        level: Level::Cleartext,
        require_tls: RequireTls::No,
        because: Vec::new(),
    };
    let seen = Seen { peer, address, tls: TlsSeen::NotOffered };
    permit(&route, &seen, &[], UnixTime(1_800_000_000)).expect("cleartext is good enough")
}

fn converse(mut transaction: Transaction<'_, '_>, pieces: &mut std::slice::Chunks<'_, u8>) {
    let mut said = Vec::new();
    loop {
        match transaction.step() {
            TxStep::Write(flight) => said.extend(flight.concat()),
            TxStep::Intend => transaction.intended(),
            TxStep::Read => match pieces.next() {
                Some(piece) => transaction.input(piece),
                None => transaction.disconnected("gone"),
            },
            TxStep::Done => break,
        }
    }
    let outcomes = transaction.finish();
    assert_eq!(outcomes.len(), 2);
    let dots = said.windows(5).filter(|window| window == b"\r\n.\r\n").count();
    assert!(dots <= 1);
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Accepted { .. })) {
        assert!(said.ends_with(b"\r\n.\r\n"));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, replies)) = data.split_first() else { return };
    let mut pieces = replies.chunks(usize::from(*first).max(1));
    let name = "gw.example.com".to_owned();
    let (start_tls, fallback) = (StartTls::Skip, HeloFallback::Allowed);
    let mut client = Client::new(Hello { name, start_tls, fallback });
    loop {
        match client.step() {
            Step::Write(said) => {
                let fine = [&b"EHLO gw.example.com\r\n"[..], b"HELO gw.example.com\r\n"];
                assert!(fine.contains(&said.as_slice()));
            }
            Step::Read => match pieces.next() {
                Some(piece) => client.input(piece),
                None => client.disconnected("gone"),
            },
            Step::StartTls => unreachable!("it is told to skip it"),
            Step::Judge => client.permitted(&cleartext(), None).expect("a proof of this channel"),
            Step::Ready | Step::Closed => break,
        }
    }
    let mailbox = |local: &str| Mailbox { local: local.into(), domain: domain("example.net") };
    let reverse_path = ReversePath::Mailbox(mailbox("sender"));
    let recipient =
        |local| Recipient::new(mailbox(local));
    let recipients = [recipient("a"), recipient("b")];
    let mail = Mail {
        purpose: Purpose::Deliver,
        reverse_path: &reverse_path,
        recipients: &recipients,
        ask: Ask::default(),
        require_tls: RequireTls::No,
        ret: None,
        envelope_id: None,
        content: b"Subject: x\r\n\r\n.hello\r\n",
    };
    if let Ok(transaction) = client.begin(&cleartext(), mail) {
        converse(transaction, &mut pieces);
    }
});
