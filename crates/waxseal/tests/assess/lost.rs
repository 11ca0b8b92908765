//! Connections that are lost in the handshake.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use waxseal::resolve::Clock;
use waxseal_core::assess::{KeyKind, Tried};
use waxseal_lab::{
    ca::{self, Ca, ServerKey, Validity},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::names::{ENOUGH, probe, prober, settings, target};

const HOST: &str = "mx.own.example";
const ADDRESS: &str = "192.0.2.1:25";

/// In front of a server: of the connections in `loses`, counted from 0, each is closed when the handshake
/// begins.
async fn losing(server: SocketAddr, loses: &'static [usize]) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for number in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let _ended = pass(client, server, loses.contains(&number)).await;
        }
    });
    (address, tasks)
}

async fn pass(client: TcpStream, server: SocketAddr, loses: bool) -> std::io::Result<()> {
    const HANDSHAKE: u8 = 22;
    let (mut from_server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let forth = async move {
        let mut buffer = [0; 4_096];
        loop {
            let count = from_client.read(&mut buffer).await?;
            if count == 0 || loses && buffer[0] == HANDSHAKE {
                return std::io::Result::Ok(());
            }
            to_server.write_all(&buffer[..count]).await?;
        }
    };
    tokio::select! {
        ended = forth => ended,
        ended = copy(&mut from_server, &mut to_client) => ended.map(drop),
    }
}

/// `publish tlsa --prune` removes the record of a key that no host shows: a connection that is lost once hides
/// none. Who hangs up on each that takes only such keys has none.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_that_is_lost_hides_no_key() {
    let ca = Ca::new("Lab Public CA").unwrap();
    let [first, second] = [ca::KeyKind::Ecdsa, ca::KeyKind::Rsa]
        .map(|kind| ca.issue(&ServerKey::of(kind).unwrap(), &[HOST], Validity::Current).unwrap());
    let both = StartTls::Works(first.or(&second).unwrap());
    let server = MxServer::start(Personality::new(HOST, both), Sink::default()).await.unwrap();
    let now = Clock::system().now();
    // The first connection shows the ECDSA key; those that take only RSA follow.
    for (loses, is_seen) in [(&[1][..], true), (&[1, 2][..], false)] {
        let (door, _tasks) = losing(server.addr(), loses).await;
        let prober = prober(settings(), &[(ADDRESS, door)]);
        let observed = prober.probe(&target(HOST, ADDRESS), ENOUGH, now).await;
        let handshakes = &probe(&observed).handshakes;
        let of = |kind| handshakes.iter().find(|one| one.key == kind).unwrap();
        assert!(matches!(of(KeyKind::Ecdsa).tried, Tried::Session(_)), "{observed:?}");
        let rsa = &of(KeyKind::Rsa).tried;
        match is_seen {
            true => assert!(matches!(rsa, Tried::Session(_)), "{rsa:?}"),
            false => assert_eq!(*rsa, Tried::NoSuchKey),
        }
    }
}
