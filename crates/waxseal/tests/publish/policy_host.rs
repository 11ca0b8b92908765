//! The policies that `serve` hosts for our own domains, fetched by strangers and by ourselves.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use waxseal::{config::Config, serve::Gateway};
use waxseal_lab::dns::Data;

use super::{World, own_zone};

const DOMAIN: &str = "mx = [\"mx.own.test\"]\nmta_sts = \"testing\"\n";

/// A public CA, a certificate of it for the policy host, and `[web.policy]`.
fn certificate(world: &World) -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["mta-sts.own.test".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    world.write("policy.pem", &leaf.pem());
    world.write("policy.key", &key.serialize_pem());
    world.write("roots.pem", &issuer.pem());
    issuer
}

fn site(world: &World) -> String {
    let folder = world.folder.path().display();
    format!(
        "[web.policy]\naddress = \"127.0.0.1:0\"\ncertificate = \"{folder}/policy.pem\"\n\
         key = \"{folder}/policy.key\"\n"
    )
}

/// A gateway that hosts the policy of `own.test`, and a map that leads to it.
async fn hosted(domain: &str) -> (World, Gateway, rcgen::CertifiedIssuer<'static, rcgen::KeyPair>) {
    let mut world = World::new(own_zone()).await;
    let issuer = certificate(&world);
    let file = world.configure(domain, &site(&world));
    let gateway = Gateway::start(Config::load(&file).unwrap()).await.unwrap();
    let address = gateway.page("policy").unwrap();
    world.map.push((format!("{}:443", super::POLICY), address));
    world.configure(domain, &site(&world));
    (world, gateway, issuer)
}

struct Client<'a> {
    gateway: &'a Gateway,
    ca: &'a [u8],
}

impl Client<'_> {
    /// One request, closed after it: the whole answer.
    async fn ask(&self, sni: &str, request: &str) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.to_vec().into()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.gateway.page("policy").unwrap()).await.unwrap();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let mut stream = match tls {
            Ok(stream) => stream,
            Err(error) => return format!("no TLS: {error}"),
        };
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str, more: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: mta-sts.own.test\r\nConnection: close\r\n{more}\r\n"
        );
        self.ask("mta-sts.own.test", &request).await
    }
}

const PATH: &str = "/.well-known/mta-sts.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_is_served_as_rfc_8461_says_and_nothing_else_is() {
    let (_world, gateway, issuer) = hosted(DOMAIN).await;
    let client = Client { gateway: &gateway, ca: issuer.der() };
    let answer = client.get(PATH, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; charset=utf-8\r\n"), "{answer}");
    let body = "version: STSv1\r\nmode: testing\r\nmx: mx.own.test\r\nmax_age: 1209600\r\n";
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    let (_, tag) = answer.split_once("etag: ").unwrap();
    let tag = tag.split("\r\n").next().unwrap();
    let same = client.get(PATH, &format!("If-None-Match: {tag}\r\n")).await;
    assert!(same.starts_with("HTTP/1.1 304 "), "{same}");
    for path in ["/", "/.well-known/", "/.well-known/mta-sts.txt/", "/.well-known/mta-sts.txt?x=1"]
    {
        let answer = client.get(path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        assert!(!answer.to_lowercase().contains("location:"), "no redirect: {answer}");
    }
    let request = |text: &str| format!("{text}Connection: close\r\n\r\n");
    let head = request("HEAD /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.own.test\r\n");
    let head = client.ask("mta-sts.own.test", &head).await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    let post =
        "POST /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.own.test\r\nContent-Length: 0\r\n";
    let post = client.ask("mta-sts.own.test", &request(post)).await;
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    gateway.stop().await;
}

/// Attacker: a stranger who asks for names and sizes that are not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_names_and_long_requests_are_refused() {
    let (_world, gateway, issuer) = hosted(DOMAIN).await;
    let client = Client { gateway: &gateway, ca: issuer.der() };
    let ask = |host: &str| format!("GET {PATH} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
    for host in [
        "Host: mta-sts.other.test\r\n",
        "Host: own.test\r\n",
        "Host: mta-sts.own.test\r\nHost: mta-sts.own.test\r\n",
        "Host: \u{1}\r\n",
        "",
    ] {
        let answer = client.ask("mta-sts.own.test", &ask(host)).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        assert!(!answer.contains("STSv1"), "{host}: {answer}");
    }
    let long = format!("X: {}\r\n", "x".repeat(20_000));
    assert!(client.get(PATH, &long).await.starts_with("HTTP/1.1 431 "));
    assert!(client.ask("mta-sts.other.test", &ask("")).await.starts_with("no TLS"));
    gateway.stop().await;
}

/// Attacker: a stranger who opens connections and says nothing. Others still get the policy, and one
/// connection is good for one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stranger_does_not_take_all_connections() {
    let (_world, gateway, issuer) = hosted(DOMAIN).await;
    let client = Client { gateway: &gateway, ca: issuer.der() };
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: mta-sts.own.test\r\n\r\n");
    // Without `Connection: close`: the server closes.
    let answer = client.ask("mta-sts.own.test", &request.repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    let address = gateway.page("policy").unwrap();
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // The seventeenth of one client is closed at once, before TLS.
    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert_eq!(one_more.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    let waits = std::time::Duration::from_millis(300);
    let read = tokio::time::timeout(waits, other.read(&mut [0; 1])).await;
    assert!(read.is_err(), "another client waits for its handshake: {read:?}");
    drop(silent);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_serve_is_what_publish_wants_and_a_change_goes_file_first() {
    let (world, mut gateway, _issuer) = hosted(DOMAIN).await;
    // Another policy was announced before.
    let before = own_zone().record("_mta-sts", &Data::txt("v=STSv1; id=before;"));
    world.dns.replace(super::tree(before));
    world.configure(DOMAIN, &site(&world));
    let json = world.publish(&["mta-sts", "--json"]).await.json();
    assert_eq!(json["domains"][0]["policy"]["standing"], "live", "{json}");
    let id = json["domains"][0]["policy"]["id"].as_str().unwrap().to_owned();
    // Served, so the id may go out; MX records have to wait for it.
    let gate = world.publish(&["gate", "--only", "id"]).await;
    assert_eq!(gate.code, 0, "{}{}", gate.out, gate.err);
    assert_eq!(world.publish(&["gate", "--only", "mx"]).await.code, 1);
    let zone = own_zone().record("_mta-sts", &Data::txt(&format!("v=STSv1; id={id};")));
    world.dns.replace(super::tree(zone));
    world.configure(DOMAIN, &site(&world));
    let said = world.publish(&["mta-sts"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    world.until(&["gate"], 0).await;
    // The configuration asks for more than is served: the gate shuts until `serve` has read it.
    let enforce = DOMAIN.replace("testing", "enforce");
    let file = world.configure(&enforce, &site(&world));
    let said = world.publish(&["gate", "--only", "id"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("serve the new file first"), "{}", said.out);
    gateway.reload(Config::load(&file).unwrap()).await.unwrap();
    let said = world.publish(&["gate", "--only", "id"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_host_without_a_certificate_does_not_start() {
    let world = World::new(own_zone()).await;
    let file = world.configure(DOMAIN, "[web.policy]\naddress = \"127.0.0.1:0\"\n");
    let error = Gateway::start(Config::load(&file).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("mta-sts.own.test has no certificate"), "{error}");
}
