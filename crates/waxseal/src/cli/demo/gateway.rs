//! The gateway in the lab: `serve`'s own, from the text of a configuration, with mail handed in
//! over SMTP and what it says about itself read from its evidence.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    sync::Mutex,
};
use waxseal_core::{channel::Level, decide::Because, org::Honour};

use crate::{
    config::Config,
    serve,
    store::{EventKind, EventQuery},
};

/// How the gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// As in any installation, with floors for tagged subjects.
    Guarded,
    /// For contrast: floor `none`, publications not honoured. No configuration can say this.
    Opportunistic,
}

/// A message to send.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) domain: String,
    pub(super) subject: String,
    /// In the body: whoever can read this has read the message.
    pub(super) secret: String,
}

/// What the gateway says about its first attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) level: Option<Level>,
    pub(super) because: Vec<Because>,
}

/// A running gateway.
pub(super) struct Gateway {
    gateway: serve::Gateway,
    submission: SocketAddr,
    evidence: Mutex<Evidence>,
}

/// What was read from the event log and not asked for yet, by destination.
#[derive(Default)]
struct Evidence {
    after: u64,
    read: Option<Instant>,
    attempts: HashMap<String, Attempt>,
}

/// Between two looks into the event log.
const LOOK: Duration = Duration::from_millis(25);

const GUARDED: &str = r#"
[[rule]]
name = "sensitive"
when = { subject_tag = ["[sensitive]"] }
require = "authenticated"

[[rule]]
name = "critical"
when = { subject_tag = ["[critical]"] }
require = "qualified"
"#;

const OPPORTUNISTIC: &str = "[default]\nrequire = \"none\"\n";

/// All messages come from one address at once, which no mail server behind a gateway does.
const LIMITS: &str = "\n[limits]\nsessions_per_client = 1000\n\n[rules]\nfile = \"rules.toml\"\n\n\
    [web.metrics]\naddress = \"127.0.0.1:0\"\n";

impl Gateway {
    /// Starts it from the text of a configuration.
    pub(super) async fn start(text: &str, folder: &Path, profile: Profile) -> Result<Self> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("waxseal.toml", &format!("{text}{LIMITS}"))?;
        let (rules, honour) = match profile {
            Profile::Guarded => (GUARDED, Honour::Published),
            Profile::Opportunistic => (OPPORTUNISTIC, Honour::Nothing),
        };
        write("rules.toml", rules)?;
        let mut config = Config::load(&folder.join("waxseal.toml"))?;
        config.honour = honour;
        let gateway = serve::Gateway::start(config).await?;
        let addresses = gateway.addresses();
        let (_, submission) = *addresses.first().context("the gateway does not listen")?;
        Ok(Self { gateway, submission, evidence: Mutex::default() })
    }

    /// Where mail is handed in.
    pub(super) const fn submission(&self) -> SocketAddr {
        self.submission
    }

    /// Hands a message in and waits for the evidence of its first attempt.
    pub(super) async fn send(&self, mail: &Mail) -> Result<Attempt> {
        submit(self.submission, mail).await?;
        loop {
            let found = self.evidence.lock().await.take(&self.gateway, &mail.domain).await?;
            if let Some(attempt) = found {
                return Ok(attempt);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops it in an orderly way.
    pub(super) async fn stop(self) {
        self.gateway.stop().await;
    }
}

impl Evidence {
    /// What is there about a destination; reads on, but not all the time.
    async fn take(&mut self, gateway: &serve::Gateway, domain: &str) -> Result<Option<Attempt>> {
        if self.read.is_none_or(|read| read.elapsed() >= LOOK) {
            let kind = Some(EventKind::Delivery);
            let query =
                EventQuery { after: self.after, kind, limit: 1_000, ..EventQuery::default() };
            for stored in gateway.store().events(query).await? {
                self.after = stored.sequence;
                let body: Value = serde_json::from_slice(&stored.event.body)?;
                let decided = body.get("decided").unwrap_or(&body);
                let destination = decided.pointer("/facts/destination").and_then(Value::as_str);
                if let Some(destination) = destination {
                    self.attempts.insert(destination.to_owned(), attempt(&body));
                }
            }
            self.read = Some(Instant::now());
        }
        Ok(self.attempts.remove(domain))
    }
}

fn attempt(body: &Value) -> Attempt {
    let decided = body.get("decided").unwrap_or(body);
    let mut because = reasons(decided.pointer("/plan/because"));
    for route in list(decided.pointer("/plan/routes")) {
        because.extend(reasons(route.pointer("/host/because")));
    }
    let mut level = None;
    for tried in list(body.get("tries")) {
        let found = tried.get("level").and_then(|l| serde_json::from_value(l.clone()).ok());
        level = found.or(level);
        let refusal = tried.get("refusal").map(|refusal| refusal.get("detail").unwrap_or(refusal));
        if let Some(detail) = refusal.and_then(Value::as_str) {
            let rule = "a channel that is less than was demanded carries nothing";
            because.push(Because::new(detail.to_owned(), rule, "DESIGN P2"));
        }
    }
    Attempt { level, because }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn reasons(list: Option<&Value>) -> Vec<Because> {
    list.and_then(|list| serde_json::from_value(list.clone()).ok()).unwrap_or_default()
}

/// Hands a message in as any mail server would.
async fn submit(to: SocketAddr, mail: &Mail) -> Result<()> {
    let mut stream = BufStream::new(TcpStream::connect(to).await?);
    expect(&mut stream, "220").await?;
    let content = format!(
        "From: <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\
         Message-ID: <{}>\r\n\r\nHello,\r\nhere is {}.\r\n.",
        mail.from, mail.to, mail.subject, mail.from, mail.secret
    );
    for (line, code) in [
        ("EHLO mail.sender.example".to_owned(), "250"),
        (format!("MAIL FROM:<{}>", mail.from), "250"),
        (format!("RCPT TO:<{}>", mail.to), "250"),
        ("DATA".to_owned(), "354"),
        (content, "250"),
        ("QUIT".to_owned(), "221"),
    ] {
        stream.write_all(line.as_bytes()).await?;
        stream.write_all(b"\r\n").await?;
        stream.flush().await?;
        expect(&mut stream, code).await?;
    }
    Ok(())
}

async fn expect(stream: &mut BufStream<TcpStream>, code: &str) -> Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        ensure!(line.starts_with(code), "the gateway said {line:?} where {code} was due");
        if line.get(3..4) != Some("-") {
            return Ok(());
        }
    }
}
