//! What happens in the TLS handshake, before anything is judged.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use waxseal_core::{
    channel::{Demand, Handshake, Level, TlsSeen, TlsVersion},
    outcome::{Cause, Outcome},
};
use waxseal_lab::{
    ca::Identity,
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::{Ca, Gateway, Host, MX, ServerKey, Validity, dane, impatient, is_accepted, route};

#[tokio::test]
async fn the_session_is_recorded() {
    let host = Host::start().await;
    let delivery = Gateway::new().deliver(vec![host.encrypt()]).await;
    let TlsSeen::Established(session) = delivery.tries[0].seen.as_ref().unwrap().tls.clone() else {
        panic!("no session");
    };
    assert_eq!(session.version, TlsVersion::V1_3);
    assert_eq!(session.suite, "TLS_AES_256_GCM_SHA384");
    assert_eq!(session.group.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(session.chain, host.identity.chain);
    assert_eq!(session.handshake, Handshake::Full);
    assert_eq!(session.sni, Some(super::domain(MX)));
}

/// Attacker on the path: he cuts the connection in the handshake, or keeps it silent. That is no word
/// of the peer, and temporary as any connection that fails (RFC 8689 §4.2.1); nothing is said
/// without TLS, and the judgement is on record, so that patience begins.
#[tokio::test]
async fn a_connection_that_dies_in_the_handshake_is_a_connection_that_failed() {
    for silent in [false, true] {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = nobody.local_addr().unwrap();
        let _cutting = AbortOnDrop(tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = nobody.accept().await {
                if silent {
                    kept.push(stream);
                }
            }
        }));
        let host = Host::like(|p| Personality { starttls: StartTls::Through(at), ..p }).await;
        let gateway = Gateway::with(impatient);
        for route in [host.encrypt(), host.dane()] {
            let delivery = gateway.deliver(vec![route]).await;
            let outcome = &delivery.outcomes[0];
            let died = matches!(outcome, Outcome::Deferred { cause: Cause::Connection(_) });
            assert!(died, "{outcome:?}");
            let seen = delivery.sighting();
            assert!(seen.refused.is_some_and(|words| words.contains("handshake")) && !seen.good);
            assert!(delivery.tries[0].refusal().is_some());
        }
        assert!(!host.server.transcript().saw("MAIL"));
    }
}

/// Attacker on the path: he takes STARTTLS from one host, and the other one cannot be reached. What
/// was seen of the first is not forgotten over the second.
#[tokio::test]
async fn a_dead_host_does_not_hide_what_was_seen_of_another() {
    let weak = Host::clear().await;
    let dead = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let gone = dead.local_addr().unwrap();
    drop(dead);
    let hosts = vec![weak.encrypt(), route(gone, Demand::Encrypt)];
    let delivery = Gateway::new().deliver(hosts).await;
    let outcome = &delivery.outcomes[0];
    assert!(matches!(outcome, Outcome::Deferred { cause: Cause::Connection(_) }), "{outcome:?}");
    let seen = delivery.sighting();
    assert!(seen.refused.is_some_and(|words| words.contains("STARTTLS")) && !seen.good);
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A certificate of a public CA for the MX name is judged by `permit` with the roots given.
#[tokio::test]
async fn a_public_certificate_is_named() {
    let ca = Ca::new("Public CA").unwrap();
    let key = ServerKey::generate().unwrap();
    let identity = ca.issue(&key, &[MX], Validity::Current).unwrap();
    let host = Host::like(|p| Personality { starttls: StartTls::Works(identity), ..p }).await;
    let anchor = webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned();
    let gateway = Gateway::trusting(vec![anchor], |settings| settings);
    let delivery = gateway.deliver(vec![host.encrypt()]).await;
    assert!(is_accepted(&delivery));
    assert_eq!(delivery.tries[0].level(), Some(Level::Named));
}

/// Shows a chain whatever key it signs with.
#[derive(Debug)]
struct Show(Arc<CertifiedKey>);

impl ResolvesServerCert for Show {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

async fn showing(
    chain: Vec<CertificateDer<'static>>,
    key_pem: &str,
    version: &'static SupportedProtocolVersion,
) -> (MxServer, Sink) {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let shown = Arc::new(Show(Arc::new(CertifiedKey::new(chain.clone(), key))));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    let spki = waxseal_core::pki::Certificate::read(&chain[0]).unwrap().key_digest();
    let identity =
        Identity { chain, spki_sha256: spki.to_vec(), config: Arc::new(config), certified: None };
    let sink = Sink::default();
    let personality = Personality::new(MX, StartTls::Works(identity));
    (MxServer::start(personality, sink.clone()).await.unwrap(), sink)
}

fn tlsa(chain: &[CertificateDer<'static>]) -> Demand {
    let spki = waxseal_core::pki::Certificate::read(&chain[0]).unwrap().key_digest();
    let mut identity = super::identity();
    identity.spki_sha256 = spki.to_vec();
    dane(&identity)
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// On the path, with the real certificate and without its key: anybody can copy a certificate.
#[tokio::test]
async fn on_the_path_a_copied_certificate_is_no_use_without_its_key() {
    let chain = Host::start().await.identity.chain;
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for version in VERSIONS {
        let (thief, sink) = showing(chain.clone(), &other, version).await;
        for demand in [tlsa(&chain), Demand::Encrypt] {
            let delivery = Gateway::new().deliver(vec![route(thief.addr(), demand)]).await;
            assert!(!is_accepted(&delivery));
            let seen = &delivery.tries[0].seen.as_ref().unwrap().tls;
            assert!(matches!(seen, TlsSeen::HandshakeFailed { .. }), "{seen:?}");
        }
        assert!(sink.all().is_empty());
        assert!(!thief.transcript().saw("MAIL"));
    }
}

const V1_KEY: &str = include_str!("../data/v1-key.pem");

fn v1_chain() -> Vec<CertificateDer<'static>> {
    let pem = include_str!("../data/v1-cert.pem");
    vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()]
}

/// X.509 version 1 certificates pass DANE-EE like any other (RFC 7672 §3.1.1).
#[tokio::test]
async fn a_version_1_certificate_passes_dane() {
    let chain = v1_chain();
    for version in VERSIONS {
        let (host, sink) = showing(chain.clone(), V1_KEY, version).await;
        let delivery = Gateway::new().deliver(vec![route(host.addr(), tlsa(&chain))]).await;
        assert!(is_accepted(&delivery), "{:?}", delivery.tries);
        assert_eq!(sink.all().len(), 1);
        assert_eq!(delivery.tries[0].level(), Some(Level::Dane));
    }
}

/// The bare-key check is a real one: on the path, a copied version 1 certificate is no use either.
#[tokio::test]
async fn on_the_path_a_copied_version_1_certificate_is_no_use_without_its_key() {
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for version in VERSIONS {
        let (thief, sink) = showing(v1_chain(), &other, version).await;
        let address: SocketAddr = thief.addr();
        let delivery = Gateway::new().deliver(vec![route(address, tlsa(&v1_chain()))]).await;
        assert!(!is_accepted(&delivery));
        assert!(sink.all().is_empty());
    }
}
