use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    Attack, Lab, Pinning, Protection,
    attacker::careless_client,
    mx::{Fault, MxServer, Personality, StartTls, Step},
    policy_host::{Answer, PolicyPersonality},
    sink::Sink,
};

const LONG: Duration = Duration::from_secs(20);
const FROM: &str = "ann@sender.example";
const BODY: &str = "the quarterly figures";

/// A reply, all lines.
async fn read_reply<S: AsyncRead + AsyncWrite + Unpin>(s: &mut BufStream<S>) -> Result<String> {
    let mut reply = String::new();
    loop {
        let start = reply.len();
        s.read_line(&mut reply).await?;
        let line = &reply[start..];
        ensure!(line.len() > 3, "closed");
        if line.as_bytes()[3] == b' ' {
            return Ok(reply);
        }
    }
}

async fn command<S: AsyncRead + AsyncWrite + Unpin>(
    s: &mut BufStream<S>,
    line: &str,
) -> Result<String> {
    s.write_all(format!("{line}\r\n").as_bytes()).await?;
    s.flush().await?;
    read_reply(s).await
}

async fn transaction<S: AsyncRead + AsyncWrite + Unpin>(
    s: &mut BufStream<S>,
    recipient: &str,
) -> Result<()> {
    for line in [format!("MAIL FROM:<{FROM}>"), format!("RCPT TO:<{recipient}>")] {
        let reply = command(s, &line).await?;
        ensure!(reply.starts_with("250"), "{reply}");
    }
    ensure!(command(s, "DATA").await?.starts_with("354"));
    let reply = command(s, &format!("Subject: x\r\n\r\n..{BODY}\r\n.")).await?;
    ensure!(reply.starts_with("250"), "{reply}");
    command(s, "QUIT").await?;
    Ok(())
}

/// A client as most of the Internet was for long: takes TLS where it is offered, asks nobody for a
/// certificate, and goes on in the clear otherwise.
async fn careless(to: SocketAddr, recipient: &str) -> Result<()> {
    let mut s = BufStream::new(TcpStream::connect(to).await?);
    ensure!(read_reply(&mut s).await?.starts_with("220"));
    let offers = command(&mut s, "EHLO gw.sender.example").await?;
    if !offers.contains("STARTTLS") {
        return transaction(&mut s, recipient).await;
    }
    ensure!(command(&mut s, "STARTTLS").await?.starts_with("220"));
    ensure!(s.read_buffer_is_empty(), "plaintext after the 220");
    let connector = TlsConnector::from(Arc::new(careless_client()?));
    let name = ServerName::try_from("any.example")?;
    let mut s = BufStream::new(connector.connect(name, s.into_inner()).await?);
    ensure!(!command(&mut s, "EHLO gw.sender.example").await?.contains("STARTTLS"));
    transaction(&mut s, recipient).await
}

trait ReadAhead {
    fn read_buffer_is_empty(&mut self) -> bool;
}

impl ReadAhead for BufStream<TcpStream> {
    fn read_buffer_is_empty(&mut self) -> bool {
        use std::{
            pin::Pin,
            task::{Context, Poll, Waker},
        };
        use tokio::io::AsyncBufRead;
        let mut nobody = Context::from_waker(Waker::noop());
        !matches!(Pin::new(self).poll_fill_buf(&mut nobody), Poll::Ready(Ok(b)) if !b.is_empty())
    }
}

/// Attacker on the path: what each one gets from a careless client.
#[tokio::test]
async fn a_careless_client_loses_to_each_attacker_on_the_path() {
    use Attack::{
        Eavesdrop, InjectAfterStartTls, MisissuedCert, Nobody, SelfSigned, StripStartTls,
    };
    // Protection, attack, whether mail arrives, whether the attacker can read it.
    let expected = [
        (Protection::None, Nobody, true, false),
        (Protection::None, Eavesdrop, true, true),
        (Protection::Dane, Eavesdrop, true, false),
        (Protection::Dane, StripStartTls, true, true),
        (Protection::Dane, InjectAfterStartTls, false, false),
        (Protection::StsCold, SelfSigned, true, true),
        (Protection::StsCold, MisissuedCert, true, true),
        (Protection::Opportunistic, Attack::ExpiredCert, true, false),
        (Protection::Opportunistic, Attack::Tls10Only, false, false),
    ];
    let cells: Vec<_> = expected.iter().map(|(p, a, ..)| (*p, *a)).collect();
    let lab = Lab::start(&cells, &["ordinary"]).await.unwrap();
    lab.begin(|_| true);
    for (protection, attack, arrives, read) in expected {
        let site = lab.site(protection, attack).unwrap();
        let recipient = format!("bob@{}", site.domains()[0]);
        let sent = careless(site.attacker().addr(), &recipient).await;
        assert_eq!(sent.is_ok(), arrives, "{attack}/{protection}: {sent:?}");
        assert_eq!(lab.has(&recipient), arrives, "{attack}/{protection}");
        for words in [FROM, recipient.as_str(), BODY] {
            assert_eq!(lab.saw(site, words), read, "{attack}/{protection}: {words}");
        }
    }
}

#[tokio::test]
async fn the_sink_keeps_envelope_bytes_and_session() {
    let lab = Lab::start(&[(Protection::Dane, Attack::Nobody)], &["ordinary"]).await.unwrap();
    let site = &lab.sites()[0];
    let recipient = format!("bob@{}", site.domains()[0]);
    careless(site.attacker().addr(), &recipient).await.unwrap();
    let message = lab.sink().next(LONG).await.unwrap();
    assert_eq!(message.mail, format!("<{FROM}>"));
    assert_eq!(message.recipients, [format!("<{recipient}>")]);
    assert_eq!(message.data, format!("Subject: x\r\n\r\n.{BODY}\r\n").as_bytes(), "unstuffed");
    let tls = message.tls.unwrap();
    assert_eq!((tls.version.as_str(), tls.sni.as_deref()), ("TLSv1_3", Some("any.example")));
    assert!(lab.sink().next(Duration::ZERO).await.is_none(), "one message is taken once");
}

/// Attacker on the path: a session from before the attack does not survive its beginning.
#[tokio::test]
async fn the_attack_cuts_connections_from_before() {
    let cell = (Protection::StsCached, Attack::SelfSigned);
    let lab = Lab::start(&[cell], &["ordinary"]).await.unwrap();
    let mut s = BufStream::new(TcpStream::connect(lab.sites()[0].attacker().addr()).await.unwrap());
    read_reply(&mut s).await.unwrap();
    command(&mut s, "EHLO gw.sender.example").await.unwrap();
    lab.begin(|_| true);
    let mut rest = Vec::new();
    let _cut = s.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn servers_fail_where_they_are_told_to() {
    for (step, fault, stored) in [
        (Step::Greeting, Fault::Reply("554 5.3.2 closed".to_owned()), false),
        (Step::Ehlo, Fault::Close, false),
        (Step::Mail, Fault::Reply("451 4.3.0 later".to_owned()), false),
        (Step::Rcpt, Fault::Reply("550 5.1.1 nobody".to_owned()), false),
        (Step::Data, Fault::Reply("554 5.6.0 no".to_owned()), false),
        (Step::Dot, Fault::Reply("452 4.2.2 full".to_owned()), false),
        (Step::Dot, Fault::Close, true),
    ] {
        let sink = Sink::default();
        let personality = Personality::new("mx.failing.example", StartTls::Absent);
        let personality = personality.failing(step, fault.clone());
        let server = MxServer::start(personality, sink.clone()).await.unwrap();
        let sent = careless(server.addr(), "bob@failing.example").await;
        assert!(sent.is_err(), "{step:?} {fault:?}");
        assert_eq!(sink.all().len(), usize::from(stored), "{step:?} {fault:?}");
    }
}

#[tokio::test]
async fn keywords_are_offered_as_the_personality_says() {
    let personality = Personality::new("mx.x.example", StartTls::Absent).without("8BITMIME");
    let server = MxServer::start(personality.requiretls(), Sink::default()).await.unwrap();
    let mut s = BufStream::new(TcpStream::connect(server.addr()).await.unwrap());
    read_reply(&mut s).await.unwrap();
    let offers = command(&mut s, "EHLO me").await.unwrap();
    assert!(offers.contains("SMTPUTF8") && !offers.contains("8BITMIME"));
    // RFC 8689 §2: only under TLS.
    assert!(!offers.contains("REQUIRETLS"));
}

async fn get(to: SocketAddr, host: &str) -> Result<String> {
    let connector = TlsConnector::from(Arc::new(careless_client()?));
    let name = ServerName::try_from(host.to_owned())?;
    let mut s = connector.connect(name, TcpStream::connect(to).await?).await?;
    let request = format!(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    s.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    s.read_to_end(&mut response).await?;
    String::from_utf8(response).context("text")
}

#[tokio::test]
async fn policy_hosts_answer_over_https_as_their_personality_says() {
    let cell = (Protection::StsCold, Attack::BlockPolicyHost);
    let lab = Lab::start(&[cell], &["ordinary"]).await.unwrap();
    let site = &lab.sites()[0];
    let policy = site.policy_host().unwrap();
    let host = format!("mta-sts.{}", site.domains()[0]);
    let fine = get(policy.addr(), &host).await.unwrap();
    assert!(fine.starts_with("HTTP/1.1 200") && fine.contains("text/plain"));
    assert!(fine.contains(&format!("mode: enforce\r\nmx: {}\r\n", site.host())), "{fine}");
    assert_eq!(policy.requests(), [format!("{host}/.well-known/mta-sts.txt")]);
    let identity = site.identity().clone();
    for (answer, status) in [
        (Answer::Redirect("https://elsewhere.example/".to_owned()), "HTTP/1.1 301"),
        (Answer::NotFound, "HTTP/1.1 404"),
        (Answer::Huge(100_000), "HTTP/1.1 200"),
    ] {
        policy.become_like(PolicyPersonality { identity: identity.clone(), answer });
        let response = get(policy.addr(), &host).await.unwrap();
        assert!(response.starts_with(status), "{response}");
    }
    assert!(get(policy.addr(), &host).await.unwrap().len() > 100_000);
    site.begin(lab.dns());
    assert!(get(policy.addr(), &host).await.is_err(), "blocked");
}

#[tokio::test]
async fn a_gateway_is_told_where_everything_is() {
    let cells =
        [(Protection::Pinned, Attack::Nobody), (Protection::StsCold, Attack::PolicyWrongCert)];
    let lab = Lab::start(&cells, &["ordinary", "sensitive"]).await.unwrap();
    let folder = std::env::temp_dir().join(format!("waxseal-lab-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = lab.configuration(&folder, Pinning::Known).unwrap();
    let anchor = std::fs::read_to_string(folder.join("root.ds")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(anchor.starts_with(". IN DS ") && anchor.contains(" 13 2 "));
    assert!(text.contains("domain = \".nobody.pinned.example\""));
    assert!(text.contains("\"192.0.2.1:25\"") && text.contains("\"[2001:db8::1]:25\""));
    assert!(text.contains("\"198.51.100.2:443\""), "the policy host of the second site");
    assert!(!lab.configuration(&std::env::temp_dir(), Pinning::Unknown).unwrap().contains("route"));
}
