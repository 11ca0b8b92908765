//! Alerts over HTTPS, to a real server.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use waxseal::{
    config::{self, Private, SecretRef},
    dial::{Dialler, Families},
    gather::Own,
    resolve::Clock,
    watch::{Failure, Network, Webhook},
};
use waxseal_lab::{
    ca::{Ca, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
};

/// An HTTPS server that answers with these codes, the last one again and again.
pub(super) struct Server {
    pub(super) port: u16,
    /// Those of its name.
    addresses: Vec<Ipv4Addr>,
    ca: Ca,
    requests: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0_u8; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        text.extend_from_slice(&buffer[..read]);
        let seen = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = seen.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if read == 0 || body.len() >= length.unwrap_or("0").parse::<usize>().unwrap() {
            return seen;
        }
    }
}

impl Server {
    pub(super) async fn start(codes: &'static [u16]) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), codes)
    }

    fn at(listener: TcpListener, codes: &'static [u16]) -> Self {
        let ca = Ca::new("Hook CA").unwrap();
        let key = ServerKey::generate().unwrap();
        let names = ["127.0.0.1", "hook.example"];
        let identity = ca.issue(&key, &names, Validity::Current).unwrap();
        let acceptor = TlsAcceptor::from(identity.config);
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&requests);
        let mut task = JoinSet::new();
        task.spawn(async move {
            for nth in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let seen = request(&mut tls).await;
                kept.lock().unwrap().push(seen);
                let code = codes.get(nth).or(codes.last()).unwrap();
                let answer = format!(
                    "HTTP/1.1 {code} Word\r\nLocation: https://127.0.0.1:1/\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n"
                );
                tls.write_all(answer.as_bytes()).await.unwrap();
                let _ = tls.shutdown().await;
            }
        });
        Self { port, addresses: vec![Ipv4Addr::LOCALHOST], ca, requests, _task: task }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Who signed its certificate.
    pub(super) fn authority(&self) -> String {
        self.ca.pem()
    }
}

/// A webhook at that server under this name, and the DNS that says where the name is.
async fn webhook(server: &Server, host: &str, private: Private) -> (Webhook, DnsServer) {
    hasty(server, (host, private), waxseal::watch::TIMEOUT).await
}

async fn hasty(
    server: &Server,
    (host, private): (&str, Private),
    timeout: Duration,
) -> (Webhook, DnsServer) {
    let mut zone = Zone::new("hook.example");
    for address in &server.addresses {
        zone.add("hook.example.", &Data::A(*address));
    }
    let tree = Tree::build(vec![Zone::new("example"), zone]).unwrap();
    let dns = DnsServer::start(tree).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("root.ds");
    std::fs::write(&anchor, dns.root_ds()).unwrap();
    let text = format!(
        "[dns]\nupstream = [\"{}\"]\ntrust_anchors = \"{}\"\n",
        dns.addr(),
        anchor.display()
    );
    let parsed = config::Config::parse(&text, "waxseal.toml".as_ref()).unwrap();
    let resolver =
        waxseal::resolve::Resolver::new(waxseal::serve::resolver_settings(&parsed).unwrap());
    let dialler = Dialler::new(waxseal::serve::dialler_settings(&parsed));
    assert_eq!(dialler.families(), Families::Both);
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "swordfish\n").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = config::Webhook {
        host: host.to_owned(),
        port: server.port,
        path: "/alerts?to=us".into(),
        secret: Some(SecretRef::File(secret)),
        private,
    };
    let own = Own::default();
    let network = Network { dns: Arc::new(resolver), dialler, own, timeout };
    let root = webpki::anchor_from_trusted_cert(server.ca.der()).unwrap().to_owned();
    (Webhook::new(&settings, network, &[root]).unwrap(), dns)
}

/// Whether a request bears the signature that this secret makes of it.
pub(super) fn signed_with(secret: &[u8], request: &str) -> bool {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let line = head.lines().find_map(|line| line.strip_prefix("waxseal-signature: t=")).unwrap();
    let (time, tag) = line.split_once(",v1=").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let good = aws_lc_rs::hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let good: String = good.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    good == tag
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_posted_once_and_signed() {
    let server = Server::start(&[204]).await;
    let (webhook, _dns) = webhook(&server, "hook.example", Private::Allowed).await;
    let now = Clock::system().now();
    webhook.post("7", b"{\"a\":1}", now).await.unwrap();
    let [seen] = &server.requests()[..] else { panic!("one request") };
    assert!(seen.starts_with("POST /alerts?to=us HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: hook.example:{}\r\n", server.port)), "{seen}");
    assert!(seen.contains("content-type: application/json\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n{\"a\":1}"), "{seen}");
    assert!(seen.contains(&format!("waxseal-signature: t={},v1=", now.0)), "{seen}");
    assert!(signed_with(b"swordfish", seen), "{seen}");
    assert!(seen.contains("waxseal-alert: 7\r\n"), "{seen}");
}

/// Somebody who rules the DNS of the service aims it at a machine inside: no connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_unless_allowed() {
    let server = Server::start(&[200]).await;
    for host in ["hook.example", "127.0.0.1"] {
        let (webhook, _dns) = webhook(&server, host, Private::Refused).await;
        let error = webhook.post("7", b"{}", Clock::system().now()).await.unwrap_err();
        assert!(matches!(&error, Failure::Never(why) if why.contains("no public address")));
    }
    assert!(server.requests().is_empty());
    assert!(Own::default().refuses(IpAddr::from([127, 0, 0, 1])).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_may_pass() {
    let down = Server::start(&[500]).await;
    let (hook, _dns) = webhook(&down, "127.0.0.1", Private::Allowed).await;
    let error = hook.post("7", b"{}", Clock::system().now()).await.unwrap_err();
    assert!(matches!(&error, Failure::Later(why) if why.contains("500")), "{error}");
    assert!(!error.to_string().contains("/alerts"), "the path may be a password: {error}");
}

/// A hostile or moved service: no redirect is followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_or_a_refusal_does_not_pass_by_itself() {
    for codes in [&[302][..], &[403][..]] {
        let server = Server::start(codes).await;
        let (webhook, _dns) = webhook(&server, "127.0.0.1", Private::Allowed).await;
        let error = webhook.post("7", b"{}", Clock::system().now()).await.unwrap_err();
        assert!(matches!(error, Failure::Never(_)), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

/// A server that takes the connection and says nothing is given up on after the time limit.
#[tokio::test]
async fn a_silent_server_does_not_hold_an_alert_for_ever() {
    let server = Server::start(&[200]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let moved = Server { port, ..server };
    let at = ("127.0.0.1", Private::Allowed);
    let (webhook, _dns) = hasty(&moved, at, Duration::from_millis(200)).await;
    let now = Clock::system().now();
    let error = webhook.post("7", b"{}", now).await.unwrap_err();
    assert!(error.to_string().contains("did not answer within"), "{error}");
}

/// Attacker: on the path to one address of the service that takes our alerts, or that address is down: it
/// says nothing, or hangs up. Another address of the service takes the alert at the same attempt.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_down_holds_up_no_alert() {
    for hangs_up in [true, false] {
        // The other address has the same port, which somebody may have.
        let (dead, alive) = loop {
            let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = dead.local_addr().unwrap().port();
            if let Ok(alive) = TcpListener::bind(("127.0.0.2", port)).await {
                break (dead, alive);
            }
        };
        let mut server = Server::at(alive, &[204]);
        server.addresses = vec![Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
        let mut held = JoinSet::new();
        held.spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (tcp, _) = dead.accept().await.unwrap();
                if !hangs_up {
                    silent.push(tcp);
                }
            }
        });
        let timeout = Duration::from_secs(30);
        let (hook, _dns) = hasty(&server, ("hook.example", Private::Allowed), timeout).await;
        assert_eq!(hook.post("one", b"{}", Clock::system().now()).await, Ok(()));
        assert_eq!(server.requests().len(), 1);
    }
}
