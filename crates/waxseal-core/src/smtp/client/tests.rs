//! What the client promises, whatever a server says.

mod dialog;
mod letter;
mod properties;

use std::net::SocketAddr;

use super::{Client, Hello, HeloFallback, StartTls, Step, Tls, TxStep};
use crate::{
    channel::{
        ChannelProof, Demand, Floor, Handshake, Level, Refusal, Seen, Session, TlsSeen, TlsVersion,
        TrustFirst, permit,
    },
    decide::{HostRoute, RequireTls},
    domain::Domain,
    facts::Peer,
    outcome::Cause,
    time::UnixTime,
};
use dialog::Machine;
use letter::Letter;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a name")
}

fn address() -> SocketAddr {
    "192.0.2.1:25".parse().expect("an address")
}

fn judge(client: &Client, demand: Demand) -> Result<ChannelProof, Refusal> {
    let tls = match client.tls() {
        Tls::Without(seen) => seen.clone(),
        Tls::Secured => TlsSeen::Established(Session {
            version: TlsVersion::V1_3,
            suite: "TLS_AES_256_GCM_SHA384".into(),
            group: Some("X25519MLKEM768".into()),
            chain: vec![vec![0x30, 0].into()],
            sni: None,
            handshake: Handshake::Full,
            at: NOW,
        }),
    };
    let peer = Peer::Name(domain("mx.example.net"));
    let route = HostRoute {
        peer: peer.clone(),
        addresses: vec![address()],
        sni: None,
        demand,
        floor: Floor::None,
        trust_first: TrustFirst::default(),
        level: Level::Encrypted,
        require_tls: RequireTls::No,
        because: Vec::new(),
    };
    permit(&route, &Seen { peer, address: address(), tls }, &[], NOW)
}

fn cleartext_proof() -> ChannelProof {
    let client = Client::new(hello(StartTls::IfOffered));
    judge(&client, Demand::Opportunistic).expect("cleartext is good enough")
}

fn hello(start_tls: StartTls) -> Hello {
    Hello { name: "gw.example.com".into(), start_tls, fallback: HeloFallback::Allowed }
}

/// On the path: plaintext after the 220, to be read as if it came through TLS (CVE-2011-0411).
#[test]
fn octets_after_the_220_are_an_attack() {
    let mut client = Client::new(hello(StartTls::IfOffered));
    client.input(b"220 mx\r\n");
    assert!(matches!(client.step(), Step::Write(_)));
    client.input(b"250-mx\r\n250 STARTTLS\r\n");
    assert_eq!(client.step(), Step::Write(b"STARTTLS\r\n".to_vec()));
    client.input(b"220 go\r\n250 PIPELINING\r\n");
    assert_eq!(client.step(), Step::Judge);
    assert_eq!(client.tls(), &Tls::Without(TlsSeen::Injected));
    judge(&client, Demand::Opportunistic).expect_err("an attack, whatever the demand");
}

/// A driver that mixes up two connections: the proof of an encrypted one opens no clear one.
#[test]
fn a_proof_of_another_channel_is_refused() {
    let clear = cleartext_proof();
    let mut client = Client::new(hello(StartTls::Implicit));
    client.input(b"220 mx\r\n");
    assert!(matches!(client.step(), Step::Write(_)));
    client.input(b"250 mx\r\n");
    assert_eq!(client.step(), Step::Judge);
    assert!(matches!(client.permitted(&clear, None), Err(Cause::Channel(_))));
    let tls = judge(&client, Demand::Encrypt).unwrap();
    client.permitted(&tls, None).unwrap();
    let letter = Letter::parse("");
    assert!(matches!(client.begin(&clear, letter.mail()), Err(Cause::Channel(_))));
    assert!(client.begin(&tls, letter.mail()).is_ok());
}

/// Content of several flights: the intent is asked for once, before the last one, and what
/// arrives is the content with its dots doubled.
#[test]
fn big_content_goes_in_flights() {
    let mut letter = Letter::parse("");
    letter.content = b".abcdefghijklmnopqrstuvwxyz\r\n".repeat(10_000);
    let (proof, mut client) = ready();
    let mut transaction = client.begin(&proof, letter.mail()).unwrap();
    transaction.take().expect("the envelope");
    transaction.input(b"250 ok\r\n250 ok\r\n354 go\r\n");
    let (mut content, mut flights, mut intents) = (Vec::new(), 0, 0);
    loop {
        match transaction.step() {
            TxStep::Write(flight) => {
                content.extend(flight.concat());
                flights += 1;
            }
            TxStep::Intend => {
                assert!(!content.ends_with(b"\r\n.\r\n"));
                intents += 1;
                transaction.intended();
            }
            TxStep::Read => break,
            TxStep::Done => panic!("too early"),
        }
    }
    let mut expected = b"..abcdefghijklmnopqrstuvwxyz\r\n".repeat(10_000);
    expected.extend_from_slice(b".\r\n");
    assert_eq!((content == expected, flights, intents), (true, 5, 1));
}

/// More recipients than fit one window are said in several.
#[test]
fn recipients_go_in_windows() {
    let mut letter = Letter::parse("");
    letter.recipients = vec![letter.recipients[0].clone(); 250];
    let (proof, mut client) = ready();
    let mut transaction = client.begin(&proof, letter.mail()).unwrap();
    let first = transaction.take().unwrap();
    assert_eq!(first.iter().filter(|octet| **octet == b'\n').count(), 100);
    transaction.input(&b"250 ok\r\n".repeat(100));
    let second = transaction.take().unwrap();
    assert_eq!(second.iter().filter(|octet| **octet == b'\n').count(), 100);
    transaction.input(&b"250 ok\r\n".repeat(100));
    let third = String::from_utf8(transaction.take().unwrap()).unwrap();
    assert!(third.ends_with("DATA\r\n"));
    assert_eq!(third.lines().count(), 52);
}

fn ready() -> (ChannelProof, Client) {
    let mut client = Client::new(hello(StartTls::IfOffered));
    client.input(b"220 mx\r\n");
    client.take().expect("EHLO");
    client.input(b"250-mx\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n");
    let proof = judge(&client, Demand::Opportunistic).unwrap();
    client.permitted(&proof, None).unwrap();
    (proof, client)
}
