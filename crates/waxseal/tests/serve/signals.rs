//! `waxseal serve` as systemd runs it: a process of its own, told by signals what to do, telling by
//! datagrams how far it is. Every wait is for something that it says.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::RootCertStore;
use tokio::{
    net::{TcpStream, UnixDatagram},
    time::timeout,
};
use waxseal_lab::{
    lab::{Lab, Pinning, SENDER_DOMAIN, is_for},
    site::{Attack, Protection},
};

use crate::{process::Process, submission::people::Wire};

const PATIENCE: Duration = Duration::from_secs(60);
const DANE: (Protection, Attack) = (Protection::Dane, Attack::Nobody);

/// The process and the world around it.
struct Daemon {
    lab: Lab,
    folder: tempfile::TempDir,
    systemd: UnixDatagram,
    process: Process,
    /// In the clear, for the networks; and with a certificate.
    doors: [SocketAddr; 2],
}

impl Daemon {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let lab = Lab::start(&[DANE], &["plain"]).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        configure(&lab, &folder, 1_000_000);
        let socket = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&socket).unwrap();
        let told = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
        let process = Process::with(folder.path(), &[&told[..], environment].concat());
        let doors = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)); 2];
        let mut daemon = Self { lab, folder, systemd, process, doors };
        for door in 0..2 {
            let line = daemon.process.logs("mail comes in at ").await;
            let address = line.rsplit(' ').next().unwrap();
            daemon.doors[door] = address.parse().unwrap();
        }
        assert_eq!(daemon.tells().await, "READY=1");
        daemon
    }

    /// The next datagram to systemd.
    async fn tells(&self) -> String {
        let mut octets = [0; 256];
        let told = timeout(PATIENCE, self.systemd.recv(&mut octets)).await;
        let count = told.expect("systemd hears something").unwrap();
        String::from_utf8(octets[..count].to_vec()).unwrap()
    }

    async fn session(&self) -> Wire {
        let mut wire = Wire::connect(Ipv4Addr::LOCALHOST.into(), self.doors[0]).await;
        wire.greeted().await;
        wire
    }

    /// What EHLO is answered, in the clear.
    async fn offers(&self) -> String {
        let mut wire = Wire::connect(Ipv4Addr::LOCALHOST.into(), self.doors[0]).await;
        wire.reply().await;
        wire.write(b"EHLO client.example\r\n").await;
        wire.reply().await
    }

    /// Whether the certificate in force is one of this CA.
    async fn shows(&self, roots: &Arc<RootCertStore>) -> bool {
        let here: IpAddr = Ipv4Addr::LOCALHOST.into();
        let mut wire = Wire::connect(here, self.doors[1]).await;
        wire.greeted().await;
        wire.says("STARTTLS", "220").await;
        wire.try_secure(roots, None).await.is_ok()
    }

    fn bob(&self) -> String {
        format!("bob@{}", self.lab.site(DANE.0, DANE.1).unwrap().domains()[0])
    }

    async fn arrives(&self) {
        let bob = self.bob();
        let found = self.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await;
        assert!(found.is_some(), "nothing arrived for {bob}");
    }
}

/// Writes the file: messages of at most `size`.
fn configure(lab: &Lab, folder: &tempfile::TempDir, size: usize) {
    let here = folder.path();
    let text = lab.configuration(here, Pinning::Known).unwrap();
    let text = text.replacen(&format!("gw.{SENDER_DOMAIN}"), "gw.example.com", 1);
    let more = format!(
        "\n[[listen]]\naddress = \"127.0.0.2:0\"\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n\
         [limits]\nmessage = \"{size}\"\n[web.metrics]\naddress = \"127.0.0.1:0\"\n"
    );
    if !here.join("chain.pem").exists() {
        certify(folder);
    }
    fs::write(here.join("waxseal.toml"), text + &more).unwrap();
}

/// A new certificate of a new CA; answers who trusts it.
fn certify(folder: &tempfile::TempDir) -> Arc<RootCertStore> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["gw.example.com".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    fs::write(folder.path().join("chain.pem"), leaf.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    Arc::new(roots)
}

#[tokio::test]
async fn a_hangup_brings_the_new_file_and_certificate_into_force_and_loses_no_session() {
    let mut daemon = Daemon::start().await;
    assert!(daemon.offers().await.contains("250-SIZE 1000000\n"));
    let mut session = daemon.session().await;
    session.says(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250").await;
    let roots = certify(&daemon.folder);
    assert!(!daemon.shows(&roots).await, "the file alone changes nothing");
    configure(&daemon.lab, &daemon.folder, 2_000_000);
    daemon.process.signal(Signal::HUP);
    let begun = daemon.tells().await;
    assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
    assert_eq!(daemon.tells().await, "READY=1");
    daemon.process.logs("the new configuration is in force").await;
    assert!(daemon.offers().await.contains("250-SIZE 2000000\n"));
    assert!(daemon.shows(&roots).await);
    session.says(&format!("RCPT TO:<{}>", daemon.bob()), "250").await;
    session.says("DATA", "354").await;
    session.says("Subject: across\r\n\r\nx\r\n.", "250 2.0.0").await;
    daemon.arrives().await;
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.tells().await, "STOPPING=1");
    assert_eq!(daemon.process.ends().await.code(), Some(0));
}

/// Whatever is wrong with the new file, or with one that it names: one line says so, with the
/// place, and mail goes on under the old one.
#[tokio::test]
async fn a_hangup_with_a_bad_file_keeps_the_old_one_and_says_so() {
    let mut daemon = Daemon::start().await;
    let file = daemon.folder.path().join("waxseal.toml");
    let good = fs::read_to_string(&file).unwrap();
    let chain = fs::read_to_string(daemon.folder.path().join("chain.pem")).unwrap();
    for (text, chain, said) in [
        (format!("hostnam = \"x\"\n{good}"), chain.as_str(), "waxseal.toml:1: hostnam: "),
        (good.replace("SIZE", "").replace("1000000", "1"), &chain, "limits.message"),
        (good.clone(), "no certificate", "chain.pem"),
        (good.replace("roots.pem", "gone.pem"), &chain, "gone.pem"),
    ] {
        fs::write(&file, text).unwrap();
        fs::write(daemon.folder.path().join("chain.pem"), chain).unwrap();
        daemon.process.signal(Signal::HUP);
        assert!(daemon.tells().await.starts_with("RELOADING=1\n"));
        assert_eq!(daemon.tells().await, "READY=1");
        let line = daemon.process.logs("the old one is in force").await;
        assert!(line.contains(said), "{line}");
        assert!(daemon.offers().await.contains("250-SIZE 1000000\n"));
    }
    let mut session = daemon.session().await;
    session.says(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250").await;
}

#[tokio::test]
async fn a_termination_ends_idle_sessions_lets_a_transaction_finish_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start().await;
        let (mut idle, mut busy) = (daemon.session().await, daemon.session().await);
        busy.says(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250").await;
        daemon.process.signal(signal);
        assert_eq!(daemon.tells().await, "STOPPING=1");
        assert!(idle.rest().await.starts_with("421 4.3.2"));
        // No new session, though one still goes on: refused, so that the client tries elsewhere.
        let refused = async { while TcpStream::connect(daemon.doors[0]).await.is_ok() {} };
        timeout(PATIENCE, refused).await.expect("the door is shut while a session goes on");
        busy.says(&format!("RCPT TO:<{}>", daemon.bob()), "250").await;
        busy.says("DATA", "354").await;
        busy.says("Subject: last\r\n\r\nx\r\n.", "250 2.0.0").await;
        assert!(busy.rest().await.starts_with("421 4.3.2"));
        assert_eq!(daemon.process.ends().await.code(), Some(0));
    }
}

/// Whoever is in a hurry: the second signal does not wait for the session that is still open, and
/// what was accepted is delivered after the next start.
#[tokio::test]
async fn a_second_termination_ends_it_at_once() {
    let mut daemon = Daemon::start().await;
    let mut busy = daemon.session().await;
    busy.says(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250").await;
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.tells().await, "STOPPING=1");
    daemon.process.logs("a second signal ends it at once").await;
    busy.says("NOOP", "250").await;
    daemon.process.signal(Signal::TERM);
    daemon.process.logs("told twice").await;
    assert_eq!(busy.rest().await, "");
    assert_eq!(daemon.process.ends().await.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_hears_that_we_are_alive_for_as_long_as_it_listens() {
    let mut daemon = Daemon::with(&[("WATCHDOG_USEC", "200000")]).await;
    for _ in 0..3 {
        assert_eq!(daemon.tells().await, "WATCHDOG=1");
    }
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.ends().await.code(), Some(0));
}

/// The queue cannot run, here because the disk has damaged a table: a process that goes on saying
/// 250 would fool everybody. It ends, with an error, so that systemd starts it again.
#[tokio::test]
async fn a_gateway_whose_queue_has_ended_ends_with_an_error() {
    let mut daemon = Daemon::start().await;
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.ends().await.code(), Some(0));
    super::take_away_intents(daemon.folder.path());
    daemon.process = Process::start(daemon.folder.path());
    daemon.process.logs("the queue has stopped: ").await;
    assert_eq!(daemon.process.ends().await.code(), Some(75));
}
