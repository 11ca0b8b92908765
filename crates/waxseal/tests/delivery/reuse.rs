//! Connections that are used again.

use std::time::Duration;

use waxseal::deliver::{Connection, Pace, Settings};
use waxseal_core::channel::Level;
use waxseal_lab::mx::{Personality, StartTls};

use super::{Gateway, Host, MX, is_accepted};

#[tokio::test]
async fn the_second_message_finds_the_connection() {
    let host = Host::start().await;
    let gateway = Gateway::new();
    let first = gateway.deliver(vec![host.encrypt()]).await;
    let second = gateway.deliver(vec![host.encrypt()]).await;
    assert!(is_accepted(&first) && is_accepted(&second));
    assert_eq!(first.tries[0].connection, Connection::New);
    assert_eq!(second.tries[0].connection, Connection::Reused);
    assert_eq!(host.server.transcript().sessions(), 1);
}

/// The stored channel is judged with what is known now: TLSA that were not there before raise the
/// level of the same connection.
#[tokio::test]
async fn a_connection_can_turn_out_better_than_was_asked_of_it() {
    let host = Host::start().await;
    let gateway = Gateway::new();
    gateway.deliver(vec![host.encrypt()]).await;
    let delivery = gateway.deliver(vec![host.dane()]).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.tries);
    assert_eq!(delivery.tries[0].connection, Connection::Reused);
    assert_eq!(delivery.tries[0].level(), Some(Level::Dane));
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_not_an_error() {
    let host = Host::start().await;
    let gateway = Gateway::new();
    gateway.deliver(vec![host.encrypt()]).await;
    host.server.become_like(Personality::new(MX, StartTls::Works(host.identity.clone())));
    let delivery = gateway.deliver(vec![host.encrypt()]).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(delivery.tries.last().unwrap().connection, Connection::New);
}

#[tokio::test]
async fn a_connection_carries_so_many_messages_and_no_more() {
    let host = Host::start().await;
    let gateway = Gateway::with(|settings| Settings { messages_per_connection: 2, ..settings });
    for _ in 0..3 {
        assert!(is_accepted(&gateway.deliver(vec![host.encrypt()]).await));
    }
    assert_eq!(host.server.transcript().sessions(), 2);
}

#[tokio::test]
async fn an_unused_connection_is_closed() {
    let host = Host::start().await;
    let idle = Duration::from_millis(50);
    let gateway = Gateway::with(|settings| Settings { idle, ..settings });
    gateway.deliver(vec![host.encrypt()]).await;
    assert_eq!(gateway.deliverer.idle_connections(), 1);
    let left = host.server.transcript().hears("QUIT", Duration::from_secs(30)).await;
    assert!(left, "the connection stays open");
    assert_eq!(gateway.deliverer.idle_connections(), 0);
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let host = Host::start().await;
    let gateway = Gateway::new();
    gateway.deliver(vec![host.encrypt()]).await;
    gateway.deliverer.close().await;
    assert_eq!(gateway.deliverer.idle_connections(), 0);
}

/// Another server name is another connection, also to the same address.
#[tokio::test]
async fn a_connection_is_not_shared_between_server_names() {
    let host = Host::start().await;
    let gateway = Gateway::new();
    gateway.deliver(vec![host.encrypt()]).await;
    let mut other = host.encrypt();
    other.sni = Some(super::domain("mx.other.example"));
    let delivery = gateway.deliver(vec![other]).await;
    assert!(is_accepted(&delivery));
    assert_eq!(delivery.tries[0].connection, Connection::New);
}

/// One at a time means one at a time: ten messages at once share a single connection.
#[tokio::test]
async fn concurrency_per_address_is_kept() {
    let host = Host::start().await;
    let one = Pace { at_once: 1, interval: Duration::ZERO };
    let gateway = Gateway::with(|settings| Settings { per_address: one, ..settings });
    let mut tasks = tokio::task::JoinSet::new();
    let gateway = std::sync::Arc::new(gateway);
    for _ in 0..10 {
        let (gateway, route) = (std::sync::Arc::clone(&gateway), host.encrypt());
        tasks.spawn(async move { is_accepted(&gateway.deliver(vec![route]).await) });
    }
    assert!(tasks.join_all().await.into_iter().all(|accepted| accepted));
    assert_eq!(host.sink.all().len(), 10);
    assert_eq!(host.server.transcript().sessions(), 1);
}

/// A message whose turn does not come goes back to the queue, and nothing of it was said.
#[tokio::test]
async fn a_message_does_not_wait_for_ever() {
    let host = Host::start().await;
    let pace = Pace { at_once: 5, interval: Duration::from_secs(3_600) };
    let gateway = Gateway::with(|settings| Settings {
        per_domain: pace,
        turn: Duration::from_secs(1),
        ..settings
    });
    assert!(is_accepted(&gateway.deliver(vec![host.encrypt()]).await));
    let delivery = gateway.deliver(vec![host.encrypt()]).await;
    assert!(!is_accepted(&delivery) && delivery.tries.is_empty(), "{delivery:?}");
    assert_eq!(host.sink.all().len(), 1);
}
