//! The whole gateway, as `waxseal serve` runs it, in the lab's little Internet.

mod clock;
mod inbound;
mod letters;
mod numbers;
mod signals;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use waxseal::{
    config::Config,
    serve::{Gateway, StartError},
    store::{EventKind, EventQuery},
};
use waxseal_lab::{
    lab::{Lab, Pinning, SENDER_DOMAIN, is_for},
    sink::Received,
    site::{Attack, Protection},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A lab, and a configuration for a gateway in it.
struct World {
    lab: Lab,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(cells: &[(Protection, Attack)]) -> Self {
        let lab = Lab::start(cells, &["plain"]).await.unwrap();
        Self { lab, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("waxseal.toml")
    }

    /// The configuration with `more` in front.
    fn config(&self, more: &str) -> Config {
        let text = self.lab.configuration(self.folder.path(), Pinning::Known).unwrap();
        let web = "\n[web.metrics]\naddress = \"127.0.0.1:0\"\n";
        std::fs::write(self.file(), format!("{more}\n{text}{web}")).unwrap();
        Config::load(&self.file()).unwrap()
    }

    async fn start(&self) -> Gateway {
        Gateway::start(self.config("")).await.unwrap()
    }

    fn recipient(&self, protection: Protection, attack: Attack) -> String {
        let site = self.lab.site(protection, attack).unwrap();
        format!("bob@{}", site.domains()[0])
    }
}

/// One session with a server.
struct Session(BufReader<TcpStream>);

impl Session {
    async fn open(address: SocketAddr) -> Self {
        let mut session = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert!(session.reply().await.starts_with("220 "));
        assert!(session.say("EHLO client.sender.example").await.starts_with("250 "));
        session
    }

    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    async fn send(&mut self, to: &str, subject: &str) -> String {
        self.send_with((to, ""), ("", subject)).await
    }

    /// With parameters of RCPT and of MAIL.
    async fn send_with(
        &mut self,
        (to, asked): (&str, &str),
        (parameters, subject): (&str, &str),
    ) -> String {
        let from = self.say(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>{parameters}")).await;
        assert!(from.starts_with("250 "), "{from}");
        let rcpt = self.say(&format!("RCPT TO:<{to}>{asked}")).await;
        assert!(rcpt.starts_with("250 "), "{rcpt}");
        assert!(self.say("DATA").await.starts_with("354 "));
        self.say(&format!(
            "From: <ann@{SENDER_DOMAIN}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
             Date: Sun, 22 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{subject}@{SENDER_DOMAIN}>\r\n\
             \r\nThe text.\r\n."
        ))
        .await
    }
}

fn door(gateway: &Gateway) -> SocketAddr {
    gateway.addresses()[0].1
}

fn text(message: &Received) -> String {
    String::from_utf8_lossy(&message.data).into_owned()
}

async fn page(gateway: &Gateway, path: &str) -> String {
    let address = gateway.page("metrics").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Damages a store so that the queue cannot begin.
fn take_away_intents(folder: &Path) {
    let mut found = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = found.by_ref().filter(|path| path.is_dir()).chain([folder.to_owned()]);
    let database = folders.map(|path| path.join("waxseal.db")).find(|path| path.exists()).unwrap();
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch("ALTER TABLE intent RENAME TO gone").unwrap();
}

/// The key of the root has rolled, and its new anchors are in the same file: a reload takes them.
#[tokio::test]
async fn a_reload_reads_the_trust_anchors_again() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let mut gateway = world.start().await;
    let config = world.config("");
    let file = world.folder.path().join("root.ds");
    let good = std::fs::read_to_string(&file).unwrap();
    let key = good.trim_end().chars().last().unwrap();
    let other =
        format!("{}{}", good.trim_end().trim_end_matches(key), if key == '0' { 1 } else { 0 });
    let other = format!("{other:0<width$}\n", width = good.trim_end().len());
    for (anchors, health) in [(&other, "HTTP/1.1 503 "), (&good, "HTTP/1.1 200 ")] {
        std::fs::write(&file, anchors).unwrap();
        gateway.reload(config.clone()).await.unwrap();
        let said = page(&gateway, "/healthz").await;
        assert!(said.starts_with(health), "{said}");
    }
    gateway.stop().await;
}

/// `[dns] timeout` is for one question to one upstream; a lookup is many of them.
#[test]
fn the_time_for_a_question_is_not_that_of_a_lookup() {
    let text = "hostname = \"gw.example.com\"\n\
                [dns]\nupstream = [\"127.0.0.1:53\"]\ntimeout = \"2s\"\n";
    let config = Config::parse(text, Path::new("waxseal.toml")).unwrap();
    let settings = waxseal::serve::resolver_settings(&config).unwrap();
    assert_eq!(settings.question, Duration::from_secs(2));
    assert_eq!(settings.deadline, Duration::from_secs(20));
}

/// Its queue has ended: whoever looks at `/healthz` sees it at once.
#[tokio::test]
async fn a_queue_that_has_ended_is_a_failing_check() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    world.start().await.stop().await;
    take_away_intents(world.folder.path());
    let gateway = world.start().await;
    let failing =
        async { while !page(&gateway, "/healthz").await.contains("the queue has stopped") {} };
    tokio::time::timeout(PATIENCE, failing).await.unwrap();
    assert!(page(&gateway, "/healthz").await.starts_with("HTTP/1.1 503 "));
    gateway.stop().await;
}

#[tokio::test]
async fn mail_goes_through_with_evidence() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let gateway = world.start().await;
    let bob = world.recipient(Protection::Dane, Attack::Nobody);
    let taken = Session::open(door(&gateway)).await.send(&bob, "through").await;
    assert!(taken.starts_with("250 "), "{taken}");
    let arrived = world.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await.unwrap();
    assert!(text(&arrived).contains("Subject: through\r\n"), "{}", text(&arrived));
    assert!(text(&arrived).starts_with("Received: "), "{}", text(&arrived));
    let health = page(&gateway, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let store = gateway.store().clone();
    gateway.stop().await;
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 10, ..EventQuery::default() };
    let events = store.events(query).await.unwrap();
    assert_eq!(events.len(), 1);
    let body = String::from_utf8_lossy(&events[0].event.body).into_owned();
    assert!(body.contains("dane"), "{body}");
    assert!(!body.contains("bob@") && !body.contains("ann@"), "{body}");
}

/// A destination that does not exist: the sender hears it from the mail server behind us.
#[tokio::test]
async fn what_cannot_be_delivered_comes_back_by_the_inside_way() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let gateway = world.start().await;
    let nowhere = "bob@no-such-domain.example";
    let taken = Session::open(door(&gateway)).await.send(nowhere, "nowhere").await;
    assert!(taken.starts_with("250 "), "{taken}");
    let ann = format!("ann@{SENDER_DOMAIN}");
    let inside = world.lab.inside_sink();
    let report = inside.find(|message| is_for(message, &ann), PATIENCE).await.unwrap();
    let report = text(&report);
    assert!(report.contains("NOT delivered"), "{report}");
    assert!(report.contains("Final-Recipient: rfc822; bob@no-such-domain.example"), "{report}");
    assert!(report.contains("Action: failed"), "{report}");
    gateway.stop().await;
}

/// A domain without STARTTLS: nothing of the message is said in the clear, and it stays queued.
#[tokio::test]
async fn mail_below_its_floor_is_not_sent() {
    let cell = (Protection::None, Attack::Nobody);
    let world = World::new(&[cell]).await;
    let gateway = world.start().await;
    let bob = world.recipient(cell.0, cell.1);
    assert!(Session::open(door(&gateway)).await.send(&bob, "kept").await.starts_with("250 "));
    let store = gateway.store().clone();
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 10, ..EventQuery::default() };
    let attempted = async {
        while store.events(query).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, attempted).await.unwrap();
    gateway.stop().await;
    assert!(!world.lab.has(&bob));
    assert_eq!(store.count().await.unwrap().into_iter().sum::<u64>(), 1);
}

/// Attacker: anybody who may send, with mail that cannot be delivered, so that the disk fills. What is
/// queued counts, not what was ever taken in; a reload is heeded at once.
#[tokio::test]
async fn a_full_queue_takes_no_more() {
    let cell = (Protection::None, Attack::Nobody);
    let world = World::new(&[cell, (Protection::Dane, Attack::Nobody)]).await;
    let config = |most| {
        let mut config = world.config("");
        config.limits.queue = most;
        config
    };
    let mut gateway = Gateway::start(config(2)).await.unwrap();
    let (kept, gone) =
        (world.recipient(cell.0, cell.1), world.recipient(Protection::Dane, Attack::Nobody));
    let mut session = Session::open(door(&gateway)).await;
    for subject in ["one", "two", "three"] {
        assert!(session.send(&gone, subject).await.starts_with("250 "), "{subject}");
        let left = async {
            while gateway.store().count().await.unwrap() != [0, 0, 0] {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, left).await.unwrap();
    }
    assert!(session.send(&kept, "four").await.starts_with("250 "));
    assert!(session.send(&kept, "five").await.starts_with("250 "));
    for subject in ["six", "seven"] {
        let refused = session.send(&gone, subject).await;
        assert!(refused.starts_with("451 4.3.2 "), "{refused}");
    }
    gateway.reload(config(3)).await.unwrap();
    assert!(session.send(&kept, "six").await.starts_with("250 "));
    assert!(session.send(&kept, "seven").await.starts_with("451 4.3.2 "));
    gateway.reload(config(1)).await.unwrap();
    assert!(session.send(&kept, "seven").await.starts_with("451 4.3.2 "));
    drop(session);
    gateway.stop().await;
}

/// RFC 8461 §10.2, attacker on the path: at first contact he hides the record of a policy from our
/// resolver and plays the host. `[dns] confirm` names a resolver that he does not control, so he
/// gets nothing, and the evidence says who saw the record.
#[tokio::test]
async fn a_policy_hidden_from_us_is_found_by_asking_others() {
    let cell = (Protection::StsCold, Attack::SuppressSts);
    let (world, elsewhere) = (World::new(&[cell]).await, World::new(&[cell]).await);
    let mut config = world.config("");
    let anchors = world.folder.path().join("both.ds");
    let both = format!("{}\n{}", world.lab.root_anchor(), elsewhere.lab.root_anchor());
    std::fs::write(&anchors, both).unwrap();
    config.dns.trust_anchors = Some(anchors);
    config.dns.confirm = vec![elsewhere.lab.dns_addr().to_string().parse().unwrap()];
    world.lab.begin(|_| true);
    let gateway = Gateway::start(config).await.unwrap();
    let bob = world.recipient(cell.0, cell.1);
    assert!(Session::open(door(&gateway)).await.send(&bob, "hidden").await.starts_with("250 "));
    let store = gateway.store().clone();
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 10, ..EventQuery::default() };
    let attempted = async {
        loop {
            if let Some(event) = store.events(query).await.unwrap().pop() {
                break String::from_utf8(event.event.body).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let evidence = tokio::time::timeout(PATIENCE, attempted).await.unwrap();
    let witness = elsewhere.lab.dns_addr().to_string();
    assert!(evidence.contains("\"hidden\"") && evidence.contains(&witness), "{evidence}");
    gateway.stop().await;
    let site = world.lab.site(cell.0, cell.1).unwrap();
    assert!(!world.lab.saw(site, "The text.") && !world.lab.has(&bob));
    assert_eq!(store.count().await.unwrap().into_iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_reload_loses_no_session_and_a_bad_one_changes_nothing() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let mut gateway = world.start().await;
    let bob = world.recipient(Protection::Dane, Attack::Nobody);
    let mut session = Session::open(door(&gateway)).await;
    let mut bad = world.config("");
    bad.tls.roots = waxseal::config::Roots::File("/no/such/roots.pem".into());
    let refused = gateway.reload(bad).await.unwrap_err();
    assert!(refused.to_string().contains("/no/such/roots.pem"), "{refused}");
    assert!(session.send(&bob, "after-bad").await.starts_with("250 "));
    let mut good = world.config("");
    good.limits.recipients = 100;
    gateway.reload(good).await.unwrap();
    assert!(session.send(&bob, "after-good").await.starts_with("250 "));
    for subject in ["after-bad", "after-good"] {
        let fits = |message: &Received| text(message).contains(&format!("Subject: {subject}\r\n"));
        assert!(world.lab.sink().find(fits, PATIENCE).await.is_some(), "{subject}");
    }
    assert!(Session::open(door(&gateway)).await.send(&bob, "new").await.starts_with("250 "));
    drop(session);
    gateway.stop().await;
}

/// What was begun under the old configuration counts under the new one: a reload a minute is no way
/// to write faster to somebody than they were promised.
#[tokio::test]
async fn the_pace_goes_on_across_a_reload() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let config = || {
        let mut config = world.config("");
        config.delivery.pace = Duration::from_hours(1);
        config
    };
    let mut gateway = Gateway::start(config()).await.unwrap();
    let bob = world.recipient(Protection::Dane, Attack::Nobody);
    let mut session = Session::open(door(&gateway)).await;
    assert!(session.send(&bob, "first").await.starts_with("250 "));
    assert!(world.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await.is_some());
    gateway.reload(config()).await.unwrap();
    let second = session.send(&bob, "second").await;
    assert!(second.starts_with("250 "));
    let waits = async {
        loop {
            let (rows, _) = gateway.store().list(None, 10).await.unwrap();
            let mut notes = rows.iter().filter_map(|row| row.group.as_ref()?.note.as_deref());
            if notes.any(|note| note.contains("busy with our other messages")) {
                break;
            }
            let second = |message: &Received| text(message).contains("Subject: second\r\n");
            assert!(!world.lab.sink().all().iter().any(second), "it went at once");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("the second waits for its turn");
    drop(session);
    gateway.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_start_is_one_sentence() {
    let world = World::new(&[]).await;
    let refused = async |change: fn(&mut Config)| {
        let mut config = world.config("");
        // A store that was just closed may be locked for a moment longer.
        config.data_dir = tempfile::tempdir_in(world.folder.path()).unwrap().keep();
        config.store.place =
            waxseal::config::StorePlace::Sqlite(config.data_dir.join("waxseal.db"));
        change(&mut config);
        match Gateway::start(config).await.unwrap_err() {
            StartError::Config(text) => text,
            StartError::Busy(text) | StartError::Broken(text) => panic!("busy: {text}"),
        }
    };
    let text = refused(|config| config.listeners.clear()).await;
    assert!(text.contains("[[listen]]"), "{text}");
    let text = refused(|config| config.hostname = None).await;
    assert!(text.contains("hostname"), "{text}");
    let text = refused(|config| config.data_dir = "/proc/no".into()).await;
    assert!(text.contains("/proc/no"), "{text}");
    let text = refused(|config| {
        config.listeners[0].tls = waxseal::config::ListenTls::Starttls;
    })
    .await;
    assert!(text.contains("no certificate"), "{text}");
    let text = refused(|config| {
        config.listeners[0].auth = Some(Path::new("/no/such/passwords").to_owned());
    })
    .await;
    assert!(text.contains("/no/such/passwords"), "{text}");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let world = World::new(&[]).await;
    let gateway = world.start().await;
    let busy = Gateway::start(world.config("")).await.unwrap_err();
    assert!(matches!(busy, StartError::Busy(_)), "{busy}");
    gateway.stop().await;
}

/// Everything that a resolver strips is "not now", and `/healthz` says so.
#[tokio::test]
async fn without_validation_nothing_is_sent_and_health_fails() {
    let world = World::new(&[(Protection::Dane, Attack::Nobody)]).await;
    let mut config = world.config("");
    config.dns.trust_anchors = None;
    let gateway = Gateway::start(config).await.unwrap();
    let health = page(&gateway, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert!(health.contains("\"topic\":\"dns\",\"state\":\"failing\""), "{health}");
    gateway.stop().await;
}
