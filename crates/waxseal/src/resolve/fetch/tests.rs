use std::net::SocketAddr;

use tokio::net::UdpSocket;
use waxseal_core::dnssec::RecordType;

use super::*;
use crate::resolve::{Transport, Upstream};

fn question() -> Question {
    Question::new("them.example.".parse().unwrap(), RecordType::A)
}

/// A resolver that says REFUSED to everything, at once or when it is told to answer well.
async fn upstream(rcode: u8, pause: Duration) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut octets = [0; 1_500];
        loop {
            let Ok((count, from)) = socket.recv_from(&mut octets).await else { return };
            tokio::time::sleep(pause).await;
            let mut answer = octets[..count].to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x80 | rcode;
            let _ = socket.send_to(&answer, from).await;
        }
    });
    (address, task)
}

fn fetcher(addresses: &[SocketAddr]) -> Fetcher {
    let udp = |address: &SocketAddr| Upstream { address: *address, transport: Transport::Udp };
    let mut settings = Settings::new(addresses.iter().map(udp).collect());
    settings.patience = Duration::from_millis(20);
    Fetcher::new(&settings)
}

/// One upstream refuses fast, the other one is slow and knows: the refusal, however often it is
/// said, speaks for one upstream only, and whoever says it is asked last from then on.
#[tokio::test]
async fn a_fast_refusal_does_not_count_twice() {
    let (fast, _fast) = upstream(5, Duration::ZERO).await;
    let (slow, _slow) = upstream(3, Duration::from_millis(200)).await;
    let fetcher = fetcher(&[fast, slow]);
    let fetched = fetcher.fetch(&question(), Freshness::Kept).await.unwrap();
    assert_eq!(fetched.rcode, 3);
    assert_eq!(fetcher.order(0)[0].line.address, slow);
}

/// Lookups that were given up leave nothing behind.
#[tokio::test]
async fn a_lookup_that_is_given_up_is_forgotten() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let fetcher = fetcher(&[socket.local_addr().unwrap()]);
    let (one, other) = (question(), question());
    let both = async {
        tokio::join!(fetcher.fetch(&one, Freshness::Kept), fetcher.fetch(&other, Freshness::Kept))
    };
    assert!(timeout(Duration::from_millis(50), both).await.is_err());
    assert!(fetcher.under_way.lock().unwrap().is_empty());
}
