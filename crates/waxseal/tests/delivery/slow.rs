//! Peers that read slowly, and peers that stop reading (RFC 5321 §4.5.3.2.5: the time limit is for
//! each block, not for the message).

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::interval,
};

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
    let (block, pause) = (Duration::from_secs(1), Duration::from_millis(80));
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
