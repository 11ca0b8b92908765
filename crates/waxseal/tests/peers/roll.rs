//! Two changes of keys of an MX host, driven by `waxseal publish gate`, while a Postfix that sends
//! with DANE sends all the time: nothing is refused. The name servers are Knots (one signs and takes
//! updates, one lags behind), the resolver is unbound, all from Debian.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time,
};
use waxseal_core::{
    domain::Domain,
    publish::{
        Record, texts,
        update::{self, Change},
    },
    time::UnixTime,
};

use super::{
    Peer,
    knot::{Server, TSIG, primary, secondary, unbound},
    postfix_sender, postfix_with_changing_keys,
    process::free_port,
};

const ZONE: &str = "receiver.test";

/// An address of loopback that nobody else uses now, for servers whose port is fixed by their
/// clients (DNS of the C library, MX): made of a port that was free.
fn own_address(first: u8) -> Ipv4Addr {
    let [high, low] = free_port().to_be_bytes();
    Ipv4Addr::new(127, first, high, low)
}

/// The name servers, the resolver, the receiver and the sender.
struct World {
    folder: tempfile::TempDir,
    primary: Server,
    secondary: Server,
    _resolver: Server,
    receiver: Peer,
    sender: Arc<Peer>,
}

/// A self-signed certificate with its key, as files `NAME.pem` (both).
fn key(folder: &Path, name: &str) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let names = vec![format!("mx.{ZONE}")];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let path = folder.join(format!("{name}.pem"));
    fs::write(&path, format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
    path
}

impl World {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more records in the zone.
    async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = key(folder.path(), "first");
        let (mx, resolver) = (own_address(81), own_address(82));
        let servers = "ns1 A 192.0.2.53\nns2 A 192.0.2.54\n";
        let records = format!("@ NS ns1\n@ NS ns2\n{servers}@ MX 10 mx\nmx A {mx}\n{more}");
        let glue = format!(
            "{ZONE}. NS ns1.{ZONE}.\n{ZONE}. NS ns2.{ZONE}.\nns1.{ZONE}. A 192.0.2.53\n\
             ns2.{ZONE}. A 192.0.2.54\n"
        );
        let (primary, anchor) = primary(ZONE, &records, &glue).await;
        let secondary = secondary(ZONE, &primary).await;
        let _resolver = unbound(resolver, &[&primary, &secondary], (ZONE, &anchor)).await;
        fs::write(folder.path().join("root.ds"), format!("{anchor}\n")).unwrap();
        let chain = fs::read_to_string(&first).unwrap();
        let receiver = postfix_with_changing_keys(ZONE, SocketAddr::from((mx, 25)), &chain).await;
        let sender = Arc::new(postfix_sender(resolver).await);
        Self { folder, primary, secondary, _resolver, receiver, sender }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of `waxseal publish` with these keys of the MX host.
    fn configure(&self, current: &str, next: &str) {
        let folder = self.folder.path().display();
        let secret = self.path("tsig");
        fs::write(&secret, TSIG.1).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir_all(self.path("data")).unwrap();
        let text = format!(
            "hostname = \"gw.{ZONE}\"\ndata_dir = \"{folder}/data\"\n\
             [dns]\nupstream = [\"{primary}\"]\ntrust_anchors = \"{folder}/root.ds\"\n\
             [tls]\nroots = \"{folder}/roots.pem\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [publish]\nttl = \"3s\"\n\
             [[publish.mx]]\nhost = \"mx.{ZONE}\"\ncurrent = [\"{folder}/{current}.pem\"]\n\
             next = [\"{folder}/{next}.pem\"]\n\
             [publish.update]\nserver = \"{primary}\"\ntsig_name = \"{name}\"\n\
             tsig_key = \"file:{folder}/tsig\"\n\
             [delivery]\nfamilies = [\"ipv4\"]\n[checks]\npace = 60000\n\
             [network.map]\n\"192.0.2.53:53\" = \"{primary}\"\n\"192.0.2.54:53\" = \"{secondary}\"\n",
            primary = self.primary.address,
            secondary = self.secondary.address,
            name = TSIG.0,
        );
        fs::write(self.path("waxseal.toml"), text).unwrap();
        fs::copy(self.path("first.pem"), self.path("roots.pem")).unwrap();
    }

    async fn publish(&self, words: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.arg("publish").args(words).arg("-c").arg(self.path("waxseal.toml"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), said)
    }

    /// Asks until the exit code is `code`.
    async fn until(&self, words: &[&str], code: i32) -> String {
        let mut tick = time::interval(Duration::from_millis(300));
        let mut last = (0, String::new());
        for _ in 0..100 {
            tick.tick().await;
            last = self.publish(words).await;
            if last.0 == code {
                return last.1;
            }
        }
        panic!("publish {words:?} never ended with {code}: {last:?}");
    }

    /// A change of keys as an administrator's script makes it.
    async fn roll(&self, from: &str, to: &str) {
        key(self.folder.path(), to);
        self.configure(from, to);
        let (code, said) = self.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("sent: 2 records"), "{said}");
        // One server of two has it.
        let (code, said) = self.publish(&["gate"]).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("missing at ns2.receiver.test (192.0.2.54)"), "{said}");
        self.secondary.refresh(ZONE, &self.primary).await;
        let (code, said) = self.publish(&["gate"]).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("on all 2 server addresses"), "{said}");
        self.until(&["gate", "--only", "key"], 0).await;
        self.deploy(to);
    }

    /// From the next session on, the receiver shows another certificate.
    fn deploy(&self, name: &str) {
        let fresh = self.receiver.path("fresh.pem");
        fs::copy(self.path(&format!("{name}.pem")), &fresh).unwrap();
        fs::rename(fresh, self.receiver.path("chain.pem")).unwrap();
    }
}

/// Hands one message to the sending Postfix.
async fn submit(server: SocketAddr, nth: usize) {
    let mut stream = BufReader::new(TcpStream::connect(server).await.unwrap());
    let lines = [
        String::new(),
        "EHLO client.sender.test\r\n".to_owned(),
        "MAIL FROM:<>\r\n".to_owned(),
        format!("RCPT TO:<grace@{ZONE}>\r\n"),
        "DATA\r\n".to_owned(),
        format!("Subject: number {nth}\r\n\r\nThe text.\r\n.\r\n"),
        "QUIT\r\n".to_owned(),
    ];
    for line in lines {
        stream.get_mut().write_all(line.as_bytes()).await.unwrap();
        loop {
            let mut reply = String::new();
            stream.read_line(&mut reply).await.unwrap();
            assert!(reply.starts_with(['2', '3']), "{line}{reply}");
            if reply.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
    }
}

/// Waits until the sender's log has this many lines with `text`.
async fn until_logged(sender: &Peer, text: &str, count: usize) {
    let mut tick = time::interval(Duration::from_millis(100));
    for _ in 0..300 {
        tick.tick().await;
        if sender.log().matches(text).count() >= count {
            return;
        }
    }
    panic!("{count} x {text:?} was not logged:\n{}", sender.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_key_rolls_by_the_gate_refuse_no_mail_of_a_sender_with_dane() {
    let world = World::new().await;
    key(world.folder.path(), "spare");
    world.configure("first", "spare");
    let (code, said) = world.publish(&["gate"]).await;
    assert!(code == 1 && said.contains("no TLSA record is published yet"), "{said}");
    let (code, said) = world.publish(&["tlsa", "--update", "--unseen"]).await;
    assert_eq!(code, 0, "{said}");
    world.secondary.refresh(ZONE, &world.primary).await;
    world.until(&["gate"], 0).await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let sending = {
        let (stop, sent, sender) =
            (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&world.sender));
        tokio::spawn(async move {
            let mut tick = time::interval(Duration::from_millis(250));
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                submit(sender.address, sent.fetch_add(1, Ordering::Relaxed)).await;
            }
        })
    };
    until_logged(&world.sender, "Verified TLS connection established", 2).await;
    world.roll("first", "second").await;
    let before = sent.load(Ordering::Relaxed);
    until_logged(&world.sender, "status=sent", before + 2).await;
    world.roll("second", "third").await;
    let before = sent.load(Ordering::Relaxed);
    until_logged(&world.sender, "status=sent", before + 2).await;
    stop.store(true, Ordering::Relaxed);
    sending.await.unwrap();
    let count = sent.load(Ordering::Relaxed);
    assert_eq!(world.receiver.delivered(count).await.len(), count);
    let log = world.sender.log();
    assert_eq!(log.matches("Verified TLS connection established").count(), count, "{log}");
    for bad in ["status=deferred", "status=bounced", "Untrusted", "not verified", "Anonymous"] {
        assert!(!log.contains(bad), "{bad}:\n{log}");
    }
    // And this is what the gate is for: a key that nobody announced.
    key(world.folder.path(), "rash");
    world.deploy("rash");
    submit(world.sender.address, count).await;
    until_logged(&world.sender, "status=deferred", 1).await;
}

/// Knot behind a door that lets somebody else in first: as soon as an update comes, this one is made before it.
async fn overtaken_by(world: &World, record: Record) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, primary) = (listener.local_addr().unwrap(), world.primary.address);
    let task = tokio::spawn(async move {
        let mut rival = Some(record);
        while let Ok((mut stream, _)) = listener.accept().await {
            let Ok(length) = stream.read_u16().await else { continue };
            let mut message = vec![0; usize::from(length)];
            stream.read_exact(&mut message).await.unwrap();
            let is_update = message[2] & 0x78 == 0x28;
            if let Some(record) = rival.take_if(|_| is_update) {
                let request = rival_update(record, clock());
                let answer = exchange(primary, &request.message).await;
                update::response(&request, &secret(), &answer, clock()).unwrap();
            }
            let answer = exchange(primary, &message).await;
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address, task)
}

fn secret() -> update::Key {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let octets = STANDARD.decode(TSIG.1).unwrap();
    let name = Domain::parse(TSIG.0).unwrap();
    update::Key::new(&name, update::Algorithm::HmacSha256, &octets).unwrap()
}

fn clock() -> UnixTime {
    waxseal::queue::system_clock()()
}

/// Somebody else's update, without any condition.
fn rival_update(record: Record, now: UnixTime) -> update::Request {
    let zone = Domain::parse(ZONE).unwrap();
    update::request(&zone, (&[], &[Change::Add(vec![record])]), &secret(), 7, now).unwrap()
}

async fn exchange(server: SocketAddr, message: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_u16(u16::try_from(message.len()).unwrap()).await.unwrap();
    stream.write_all(message).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

/// Two administrators at once: whoever looked before the other wrote changes nothing, and hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_update_that_was_overtaken_changes_nothing() {
    let world = World::new().await;
    key(world.folder.path(), "spare");
    key(world.folder.path(), "second");
    world.configure("first", "spare");
    let (code, said) = world.publish(&["tlsa", "--update", "--unseen"]).await;
    assert_eq!(code, 0, "{said}");
    // The same again is nothing to send.
    let (code, said) = world.publish(&["tlsa", "--update", "--unseen"]).await;
    assert!(code == 0 && !said.contains("sent:"), "{said}");
    // A roll that would take a record away, while somebody publishes a key of theirs.
    world.configure("first", "second");
    let host = Domain::parse(&format!("mx.{ZONE}")).unwrap();
    let ttl = Duration::from_secs(3);
    let theirs = texts::tlsa(&host, vec![texts::end_entity([9; 32])], ttl).unwrap().remove(0);
    let (door, _task) = overtaken_by(&world, theirs).await;
    let text = fs::read_to_string(world.path("waxseal.toml")).unwrap();
    let server = |to: SocketAddr| {
        let from = format!("server = \"{}\"", world.primary.address);
        text.replace(&from, &format!("server = \"{to}\""))
    };
    fs::write(world.path("waxseal.toml"), server(door)).unwrap();
    let (code, said) = world.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
    assert_eq!(code, 1, "{said}");
    let lost = "NOT SENT: _25._tcp.mx.receiver.test: 127.0.0.1";
    assert!(said.contains(lost) && said.contains("NXRRSET"), "{said}");
    assert!(said.contains("somebody else changed the same records since we looked"), "{said}");
    let (_, said) = world.publish(&["tlsa"]).await;
    assert!(said.contains(&"09".repeat(32)), "theirs is still there: {said}");
    // Where nothing was: two texts would be worse than none.
    let domain = format!(
        "[[domain]]\nname = \"{ZONE}\"\ninside = \"127.0.0.1:1\"\ninside_tls = \"opportunistic\"\n\
         [domain.publish]\ntlsrpt = [\"mailto:ours@{ZONE}\"]\n[publish]\n"
    );
    let zone = Domain::parse(ZONE).unwrap();
    let theirs = texts::tlsrpt(&zone, &["mailto:theirs@example.net".to_owned()], ttl).unwrap();
    let (door, _task) = overtaken_by(&world, theirs).await;
    fs::write(world.path("waxseal.toml"), server(door).replace("[publish]\n", &domain)).unwrap();
    let (code, said) = world.publish(&["tlsrpt", "--update"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("YXRRSET") && said.contains("nothing was changed"), "{said}");
    let (_, said) = world.publish(&["tlsrpt"]).await;
    assert!(said.contains("there is: v=TLSRPTv1; rua=mailto:theirs@example.net"), "{said}");
    // A change at the primary server that DNS does not show yet: nothing is taken away.
    world.secondary.refresh(ZONE, &world.primary).await;
    let theirs = texts::tlsa(&host, vec![texts::end_entity([7; 32])], ttl).unwrap().remove(0);
    let request = rival_update(theirs, clock());
    let answer = exchange(world.primary.address, &request.message).await;
    update::response(&request, &secret(), &answer, clock()).unwrap();
    let upstream = |to: &Server| format!("upstream = [\"{}\"]", to.address);
    let lagging = text.replace(&upstream(&world.primary), &upstream(&world.secondary));
    fs::write(world.path("waxseal.toml"), lagging).unwrap();
    let (code, said) = world.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("somebody changed these records at the primary server"), "{said}");
    // A clock that is a quarter of an hour off.
    let late = UnixTime(clock().0 + 900);
    let request = rival_update(
        texts::tlsa(&host, vec![texts::end_entity([8; 32])], ttl).unwrap().remove(0),
        late,
    );
    let answer = exchange(world.primary.address, &request.message).await;
    let why = update::response(&request, &secret(), &answer, late).unwrap_err().to_string();
    assert!(why.contains("BADTIME") && why.contains("clock"), "{why}");
}

/// A habit of careful administrators: a wildcard that says that nothing below the zone sends mail. It stands at
/// no name below it, so nothing has to be taken away, and a prerequisite sees nothing there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wildcard_is_no_record_of_the_names_below() {
    let world = World::with("* TXT \"v=spf1 -all\"\n").await;
    key(world.folder.path(), "spare");
    world.configure("first", "spare");
    let text = fs::read_to_string(world.path("waxseal.toml")).unwrap();
    let domain = format!(
        "[[domain]]\nname = \"{ZONE}\"\ninside = \"127.0.0.1:1\"\ninside_tls = \"opportunistic\"\n\
         [domain.publish]\ntlsrpt = [\"mailto:ours@{ZONE}\"]\n[publish]\n"
    );
    fs::write(world.path("waxseal.toml"), text.replace("[publish]\n", &domain)).unwrap();
    let (code, said) = world.publish(&["tlsrpt", "--update"]).await;
    assert!(code == 0 && said.contains("sent: 1 record"), "{said}");
    let (code, said) = world.publish(&["tlsrpt"]).await;
    assert_eq!(code, 0, "{said}");
}

/// A mistake that nobody can see from here (port 25 is closed to this machine): the record of the last key may be
/// in use still. It stays, and that is said by the exit code though the record of the next key was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removal_that_is_left_for_want_of_knowledge_is_told_beside_what_was_sent() {
    let world = World::new().await;
    key(world.folder.path(), "second");
    key(world.folder.path(), "third");
    world.configure("first", "second");
    let (code, said) = world.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
    assert!(code == 0 && said.contains("sent: 2 records"), "{said}");
    world.configure("second", "third");
    let (code, said) = world.publish(&["tlsa", "--update", "--prune"]).await;
    assert!(said.contains("sent: "), "{said}");
    assert!(said.contains("NOT REMOVED: _25._tcp.mx.receiver.test: which keys"), "{said}");
    assert_eq!(code, 2, "{said}");
    let (code, said) = world.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
    assert!(code == 0 && !said.contains("NOT REMOVED"), "{said}");
}

/// An outsider or a mistake: another secret, another name, records that the key may not change, a
/// policy that nobody serves yet. Each is said with what to do, and nothing counts as sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_name_server_refuses_is_said_with_its_reason() {
    let world = World::new().await;
    key(world.folder.path(), "spare");
    world.configure("first", "spare");
    let good = fs::read_to_string(world.path("waxseal.toml")).unwrap();
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        fs::write(world.path("waxseal.toml"), good.replace(from, to)).unwrap();
    };
    let refused = async |why: &str| {
        let (code, said) = world.publish(&["tlsa", "--update", "--unseen"]).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("NOT SENT") && said.contains(why), "{why}:\n{said}");
    };
    fs::write(world.path("tsig"), "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=").unwrap();
    refused("BADSIG").await;
    fs::write(world.path("tsig"), TSIG.1).unwrap();
    change("waxseal.key", "another.key");
    refused("BADKEY").await;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let primary = format!("server = \"{}\"", world.primary.address);
    change(&primary, &format!("server = \"{nobody}\""));
    refused("Connection refused").await;
    // One that answers, and is no primary.
    change(&primary, &format!("server = \"{}\"", world.secondary.address));
    refused("zone receiver.test").await;
    // A policy is announced only once it is served.
    let domain = format!(
        "[[domain]]\nname = \"{ZONE}\"\ninside = \"127.0.0.1:1\"\ninside_tls = \"opportunistic\"\n\
         [domain.publish]\nmx = [\"mx.{ZONE}\"]\nmta_sts = \"testing\"\n[publish]\n"
    );
    change("[publish]\n", &domain);
    let (code, said) = world.publish(&["mta-sts", "--update"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("NOT SENT: _mta-sts.receiver.test: not yet: ")
            && said.contains("serve it first"),
        "{said}"
    );
}
