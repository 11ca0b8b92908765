use std::net::SocketAddr;

use tokio::{net::UdpSocket, sync::Semaphore};
use waxseal_core::dnssec::RecordType;

use super::*;
use crate::resolve::{Transport, Upstream};

fn question() -> Question {
    Question::new("them.example.".parse().unwrap(), RecordType::A)
}

/// A resolver that answers a question once `wanted` other answers were given, and counts its own.
async fn upstream(
    rcode: u8,
    wanted: u32,
    given: &Arc<Semaphore>,
) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, given) = (socket.local_addr().unwrap(), Arc::clone(given));
    let task = tokio::spawn(async move {
        let mut octets = [0; 1_500];
        loop {
            let Ok((count, from)) = socket.recv_from(&mut octets).await else { return };
            given.acquire_many(wanted).await.unwrap().forget();
            let mut answer = octets[..count].to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x80 | rcode;
            let _ = socket.send_to(&answer, from).await;
            given.add_permits(1);
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
    let given = Arc::new(Semaphore::new(0));
    let (fast, _fast) = upstream(5, 0, &given).await;
    let (slow, _slow) = upstream(3, 2, &given).await;
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
