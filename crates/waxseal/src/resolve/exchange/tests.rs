//! What somebody who does not see our questions has to guess.

use std::{collections::BTreeSet, net::Ipv4Addr};

use tokio::task::JoinHandle;
use waxseal_core::dnssec::{Name, RecordType};

use super::*;

/// How many questions are looked at.
const MANY: usize = 64;

async fn server() -> (UdpSocket, Arc<Line>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let upstream = Upstream { address, transport: Transport::Udp };
    let settings = Settings::new(vec![upstream.clone()]);
    (socket, Arc::new(Line::new(&upstream, &settings)))
}

fn ask(line: &Arc<Line>) -> JoinHandle<Result<Response, Failure>> {
    let line = Arc::clone(line);
    let question = Question::new(Name::root(), RecordType::SOA);
    tokio::spawn(async move { line.ask(&question, UnixTime(0)).await })
}

/// An answer without records to a query for the root.
fn answer(query: &[u8], id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0x81, 0x90, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(&query[12..17]);
    message
}

/// How far numbers of one question are from those of the one before; near ones would be a counter.
fn near(numbers: &[u16]) -> usize {
    numbers.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 16).count()
}

/// Off the path (RFC 5452 §9.2): each question comes from another port with another id, and
/// neither follows from those before.
#[tokio::test]
async fn off_the_path_port_and_id_of_each_question_have_to_be_guessed() {
    let (socket, line) = server().await;
    let (mut ports, mut ids) = (Vec::new(), Vec::new());
    let mut buffer = [0; 512];
    for _ in 0..MANY {
        let asking = ask(&line);
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert!(length > 12);
        ports.push(from.port());
        ids.push(u16::from_be_bytes([buffer[0], buffer[1]]));
        asking.abort();
    }
    for numbers in [ports, ids] {
        let distinct: BTreeSet<_> = numbers.iter().copied().collect();
        assert!(distinct.len() > MANY - 8, "{numbers:?}");
        assert!(near(&numbers) < 8, "{numbers:?}");
        let span = distinct.last().unwrap() - distinct.first().unwrap();
        assert!(span > 8_192, "{numbers:?}");
    }
}

/// Off the path: forged answers with a wrong id, for another question or from another port neither
/// count nor end the wait for the real one (RFC 5452 §9.1).
#[tokio::test]
async fn off_the_path_a_wrong_guess_changes_nothing() {
    let (socket, line) = server().await;
    let asking = ask(&line);
    let mut buffer = [0; 512];
    let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
    let query = &buffer[..length];
    let id = u16::from_be_bytes([buffer[0], buffer[1]]);
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    elsewhere.send_to(&answer(query, id), from).await.unwrap();
    let mut refusal = answer(query, id.wrapping_add(1));
    refusal[3] |= 5;
    socket.send_to(&refusal, from).await.unwrap();
    let mut another = answer(query, id);
    another[3] |= 5;
    another[14] ^= 1;
    socket.send_to(&another, from).await.unwrap();
    socket.send_to(&answer(query, id), from).await.unwrap();
    let response = asking.await.unwrap().unwrap();
    assert_eq!(u16::from(response.rcode), 0, "the refusals were forged");
}
