//! Peers that read slowly, and peers that stop reading (RFC 5321 §4.5.3.2.5: the time limit is for
//! each block, not for the message).

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{interval, timeout},
};
use waxseal::deliver::{Aside, Pace};
use waxseal_lab::mx::{Fault, Step};

use super::*;

/// Larger than what the kernel takes off our hands on both sides.
const LARGE: usize = 16 << 20;

/// What a peer does once it has said 354.
#[derive(Clone, Copy)]
enum Reads {
    /// So many octets, each time after this pause.
    Steadily(usize, Duration),
    /// Nothing more.
    Nothing,
}

/// A server without STARTTLS whose kernel takes little in advance.
fn server(reads: Reads) -> (SocketAddr, JoinHandle<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 slow\r\n").await.unwrap();
        let mut line = String::new();
        while !line.starts_with("DATA") {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let reply: &[u8] = if line.starts_with("DATA") { b"354 go\r\n" } else { b"250 ok\r\n" };
            stream.write_all(reply).await.unwrap();
        }
        if let Reads::Steadily(octets, pause) = reads {
            let (mut pace, mut piece, mut end) = (interval(pause), vec![0; octets], Vec::new());
            while !end.ends_with(b"\r\n.\r\n") {
                pace.tick().await;
                let mut read = 0;
                while read < octets && !end.ends_with(b"\r\n.\r\n") {
                    let count = stream.read(&mut piece[read..]).await.unwrap();
                    assert!(count > 0, "the gateway left a peer that reads");
                    read += count;
                    end = piece[read.saturating_sub(5)..read].to_vec();
                }
            }
            stream.write_all(b"250 taken\r\n").await.unwrap();
        }
        stream.into_inner()
    });
    (address, task)
}

/// A queue that notes who steps aside, and has room for them or not.
struct Room(Aside, AtomicUsize);

impl Intent for Room {
    async fn before_final_dot(&self) -> Result<(), IntentLost> {
        Ok(())
    }

    fn step_aside(&self) -> Aside {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0
    }
}

/// Hostile recipient domain: each of its addresses takes the whole time of each step, which adds up
/// to more than a day. The attempt has a limit of its own, and a shorter one where too many others
/// are slow already.
#[tokio::test]
async fn a_tarpit_does_not_hold_an_attempt_for_long() {
    for step in [Step::Greeting, Step::Ehlo, Step::Mail, Step::Rcpt, Step::Data] {
        let host = Host::like(|personality| personality.failing(step, Fault::Silence)).await;
        let hosts = || vec![host.encrypt(), host.encrypt(), host.encrypt()];
        let (soon, late) = (Duration::from_millis(300), Duration::from_hours(1));
        for (attempt, slow, room) in [(soon, late, Aside::Stood), (late, soon, Aside::NoRoom)] {
            let gateway = Gateway::with(|settings| Settings { attempt, slow, ..settings });
            let room = Room(room, AtomicUsize::default());
            let bob = [recipient("bob")];
            let run = gateway.run(hosts(), &bob, &room);
            let delivery = timeout(Duration::from_secs(60), run).await.expect("it ends");
            assert_eq!(delivery.tries.len(), 1, "{step:?}");
            assert!(!is_accepted(&delivery), "{step:?}");
            let delivered = matches!(delivery.outcomes[0], Outcome::Unknown { .. });
            assert!(!delivered, "{step:?} {:?}", delivery.outcomes);
            assert_eq!(room.1.load(Ordering::SeqCst), usize::from(slow == soon));
        }
    }
}

/// Hostile recipient domain: it reads the message octet by octet, which RFC 5321 §4.5.3.2.5 alone
/// would allow for days. Where too many others are slow already, it is left, and the message comes
/// back later: nothing was delivered.
#[tokio::test]
async fn a_peer_that_drips_the_message_is_left_where_others_need_the_room() {
    let (address, peer) = server(Reads::Steadily(64, Duration::from_millis(50)));
    let gateway = Gateway::with(|settings| Settings { slow: Duration::from_secs(1), ..settings });
    let room = Room(Aside::NoRoom, AtomicUsize::default());
    let content = vec![b'x'; LARGE];
    let (hosts, bob) = (vec![route(address, Demand::Opportunistic)], [recipient("bob")]);
    let run = gateway.send(hosts, &bob, (&content, &room));
    let delivery = timeout(Duration::from_secs(60), run).await.expect("it ends");
    let [Outcome::Disconnected { detail }] = delivery.outcomes.as_slice() else {
        panic!("{:?}", delivery.outcomes);
    };
    assert!(detail.contains("took too long") && detail.contains("at the content"), "{detail}");
    peer.abort();
}

/// One host keeps all our sessions to it busy: whatever else waits for it stands aside, or comes
/// back soon, and holds up nobody.
#[tokio::test]
async fn who_waits_for_a_busy_host_stands_aside() {
    let host = Host::start().await;
    let pace = Pace { at_once: 5, interval: Duration::from_secs(3_600) };
    let turn = Duration::from_hours(2);
    let gateway = Gateway::with(|settings| Settings { per_address: pace, turn, ..settings });
    assert!(is_accepted(&gateway.deliver(vec![host.encrypt()]).await));
    let room = Room(Aside::NoRoom, AtomicUsize::default());
    let delivery = gateway.run(vec![host.encrypt()], &[recipient("bob")], &room).await;
    assert!(
        matches!(delivery.outcomes[0], Outcome::Deferred { cause: Cause::Busy(_) }),
        "{:?}",
        delivery.outcomes
    );
    assert!(delivery.tries.is_empty());
    assert_eq!(room.1.load(Ordering::SeqCst), 1);
}

async fn send(address: SocketAddr, block: Duration) -> Delivery {
    let gateway = Gateway::with(|settings| {
        let timeouts = Timeouts { block, ..Timeouts::default() };
        Settings { timeouts, ..settings }
    });
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    while content.len() < LARGE {
        content.extend_from_slice(b"The quick brown fox jumps over the lazy dog.\r\n");
    }
    let hosts = vec![route(address, Demand::Opportunistic)];
    gateway.send(hosts, &[recipient("bob")], (&content, &AlreadyDurable)).await
}

#[tokio::test]
async fn a_slow_peer_that_reads_on_gets_the_whole_message() {
    let (block, pause) = (Duration::from_secs(3), Duration::from_millis(120));
    let (address, peer) = server(Reads::Steadily(LARGE / 32, pause));
    let started = std::time::Instant::now();
    let delivery = send(address, block).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    assert!(started.elapsed() > block, "it took longer than one block may");
    peer.await.unwrap();
}

/// An attacker who holds our connections by reading nothing keeps each of them for one block's time.
#[tokio::test]
async fn a_peer_that_stops_reading_is_left_after_the_time_of_one_block() {
    let (address, peer) = server(Reads::Nothing);
    let delivery = send(address, Duration::from_millis(200)).await;
    let [Outcome::Disconnected { detail }] = delivery.outcomes.as_slice() else {
        panic!("{:?}", delivery.outcomes);
    };
    assert!(detail.contains("in time at the content"), "{detail}");
    drop(peer.await.unwrap());
}
