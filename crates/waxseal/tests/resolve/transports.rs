//! Answers that do not fit into a datagram, and upstreams that are asked over TLS.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use waxseal::resolve::{Health, Resolver, Settings, Transport, Upstream};
use waxseal_core::{
    dns::{Answer, FailureKind},
    dnssec::{Anchors, RecordType},
};
use waxseal_lab::dns::{Data, DnsServer, Tree, Zone};

use super::{domain, settings, world};

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_comes_over_tcp() {
    let mut zone = Zone::new("big.test").signed();
    for number in 0..100_u8 {
        zone.add("@", &Data::txt(&format!("{number:03} {}", "x".repeat(200))));
    }
    let tree = Tree::build(vec![Zone::new("test").signed(), zone]).unwrap();
    let server = DnsServer::start(tree).await.unwrap();
    let found = Resolver::new(settings(&server)).txt(&domain("big.test")).await;
    assert!(found.answer.is_secure(), "{}", found.because);
    assert_eq!(found.answer.value().unwrap().len(), 100);
}

/// A TLS server in front of a DNS server, with a certificate for `dns.test`; and its CA.
async fn over_tls(to: SocketAddr) -> (SocketAddr, rustls_pki_types::TrustAnchor<'static>) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["dns.test".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let Ok(mut outside) = TcpStream::connect(to).await else { return };
                let _ended = copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    let anchor = webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned();
    (address, anchor)
}

fn tls_settings(server: &DnsServer, address: SocketAddr, name: &str) -> Settings {
    let transport = Transport::Tls { name: domain(name) };
    let mut settings = Settings::new(vec![Upstream { address, transport }]);
    settings.anchors = Anchors::parse(&server.root_ds()).unwrap();
    settings.question = Duration::from_secs(2);
    settings
}

#[tokio::test]
async fn dns_over_tls_is_asked_under_the_configured_name() {
    let server = world().await;
    let (address, anchor) = over_tls(server.addr()).await;
    let mut settings = tls_settings(&server, address, "dns.test");
    settings.tls_roots = vec![anchor];
    let resolver = Resolver::new(settings);
    for name in ["good.test", "plain.test"] {
        let found = resolver.mx(&domain(name)).await;
        assert!(found.answer.value().is_some(), "{}", found.because);
    }
}

/// Attacker on the path: plays the DNS-over-TLS upstream with a certificate of his own.
#[tokio::test]
async fn an_upstream_with_another_certificate_is_not_asked() {
    let server = world().await;
    let (address, anchor) = over_tls(server.addr()).await;
    let other_name = {
        let mut settings = tls_settings(&server, address, "other.test");
        settings.tls_roots = vec![anchor];
        settings
    };
    let other_ca = tls_settings(&server, address, "dns.test");
    for settings in [other_name, other_ca] {
        let resolver = Resolver::new(settings);
        let health = resolver.probe().await;
        assert!(
            matches!(&health, Health::Broken { kind: FailureKind::Unreachable, line } if line.contains("certificate")),
            "{health:?}"
        );
        let found = resolver.lookup(&domain("plain.test"), RecordType::A).await;
        assert!(matches!(found.answer, Answer::Failed(_)));
        assert!(server.questions().is_empty(), "nothing was asked");
    }
}
