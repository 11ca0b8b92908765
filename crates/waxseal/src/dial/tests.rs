use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpListener;

use super::{Dialler, Families, Settings};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_connection_comes_from_the_configured_address() {
    let (listener, address) = listener().await;
    let source = Ipv4Addr::new(127, 0, 0, 7);
    let dialler = Dialler::new(Settings { source_v4: Some(source), ..Settings::default() });
    let stream = dialler.connect(address).await.unwrap();
    let (_peer, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), source);
    assert!(stream.nodelay().unwrap());
    assert_eq!(dialler.source(address), Some(source.into()));
}

#[tokio::test]
async fn a_family_that_is_switched_off_is_not_dialled() {
    let (_listener, address) = listener().await;
    let dialler = Dialler::new(Settings { families: Families::V6, ..Settings::default() });
    let error = dialler.connect(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(Families::V4.allow(address.ip()) && Families::Both.allow(address.ip()));
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let (listener, address) = listener().await;
    drop(listener);
    assert!(Dialler::default().connect(address).await.is_err());
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn the_map_leads_elsewhere_and_only_where_it_says() {
    let (listener, address) = listener().await;
    let public: SocketAddr = "192.0.2.10:25".parse().unwrap();
    let map = [(public, address)].into();
    // A source that does not exist here: it is left out for mapped connections.
    let source_v4 = Some(Ipv4Addr::new(198, 51, 100, 1));
    let connect_timeout = Duration::from_millis(100);
    let dialler = Dialler::new(Settings { map, source_v4, connect_timeout, ..Settings::default() });
    dialler.connect(public).await.unwrap();
    listener.accept().await.unwrap();
    let other: SocketAddr = "192.0.2.10:465".parse().unwrap();
    assert!(dialler.connect(other).await.is_err());
}
