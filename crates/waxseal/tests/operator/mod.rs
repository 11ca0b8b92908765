//! The commands of a person who runs the gateway, as that person runs them: the real program,
//! beside a real gateway, in the lab's little Internet.

mod backup;
mod check;
mod evidence;
mod exceptions;
mod explain;
mod password;
mod queue;
mod replay;
mod store_key;

use std::{
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use waxseal::{config::Config, serve::Gateway};
use waxseal_core::queue_id::QueueId;
use waxseal_lab::{
    lab::{Lab, Pinning, SENDER_DOMAIN, is_for},
    site::{Attack, Protection},
};

const PATIENCE: Duration = Duration::from_secs(30);
const SUBJECT: &str = "the-subject-of-the-merger";
const BODY: &str = "the text of the merger";

const DANE: (Protection, Attack) = (Protection::Dane, Attack::Nobody);
const NOTHING: (Protection, Attack) = (Protection::None, Attack::Nobody);

/// A lab, and a configuration for a gateway in it.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) folder: tempfile::TempDir,
}

/// What a command answered.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The one JSON document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }

    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}\n{}", self.out, self.err);
        self
    }
}

impl World {
    pub(crate) async fn new(cells: &[(Protection, Attack)]) -> Self {
        Self::with_rules(cells, None).await
    }

    /// `rules` is the text of `rules.toml`.
    async fn with_rules(cells: &[(Protection, Attack)], rules: Option<&str>) -> Self {
        let lab = Lab::start(cells, &["plain"]).await.unwrap();
        let world = Self { lab, folder: tempfile::tempdir().unwrap() };
        let mut text = world.lab.configuration(world.folder.path(), Pinning::Known).unwrap();
        text.push_str("\n[web.metrics]\naddress = \"127.0.0.1:0\"\n");
        if let Some(rules) = rules {
            let file = world.folder.path().join("rules.toml");
            std::fs::write(&file, rules).unwrap();
            text.push_str(&format!("\n[rules]\nfile = \"{}\"\n", file.display()));
        }
        std::fs::write(world.file(), text).unwrap();
        world
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("waxseal.toml")
    }

    async fn start(&self) -> Gateway {
        Gateway::start(Config::load(&self.file()).unwrap()).await.unwrap()
    }

    pub(crate) fn domain(&self, (protection, attack): (Protection, Attack)) -> String {
        self.lab.site(protection, attack).unwrap().domains()[0].clone()
    }

    /// Runs `waxseal` with this configuration.
    pub(crate) async fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, "").await
    }

    /// With this on standard input.
    pub(crate) async fn run_with(&self, words: &[&str], input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.arg("--config").arg(self.file()).args(words);
        command.env("USER", "olivia").env_remove("SUDO_USER");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        // The lab and the gateway answer meanwhile.
        let ran = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            // A command that does not read may have ended.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        });
        let output = ran.await.unwrap();
        let said = Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        if std::env::var_os("SHOW_COMMANDS").is_some() {
            eprintln!("$ waxseal {}\n{}{}[{}]\n", words.join(" "), said.out, said.err, said.code);
        }
        said
    }

    /// Sends a message to bob there, and answers its id.
    async fn send(&self, gateway: &Gateway, domain: &str) -> String {
        send(gateway.addresses()[0].1, &format!("bob@{domain}")).await
    }

    async fn arrives(&self, domain: &str) {
        let bob = format!("bob@{domain}");
        let arrived = self.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await;
        assert!(arrived.is_some(), "nothing arrived for {bob}");
    }

    /// What `words` answer with --json, once it fits.
    async fn until(&self, words: &[&str], fits: impl Fn(&Said) -> bool) -> Said {
        let wait = async {
            loop {
                let said = self.run(words).await;
                if fits(&said) {
                    return said;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {words:?}"))
    }

    /// Waits until there is a record of a message.
    async fn recorded(&self, id: &str) -> Said {
        self.until(&["evidence", "show", id, "--json"], |said| said.code == 0).await
    }
}

pub(crate) async fn send(door: SocketAddr, to: &str) -> String {
    send_text(door, to, &format!("{BODY}\r\n")).await
}

/// Whole lines, none of which begins with a dot.
async fn send_text(door: SocketAddr, to: &str, body: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(door).await.unwrap());
    let text = format!(
        "From: <ann@{SENDER_DOMAIN}>\r\nTo: <{to}>\r\nSubject: {SUBJECT}\r\n\
         Date: Sun, 22 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@{SENDER_DOMAIN}>\r\n\
         \r\n{body}."
    );
    let mut reply = String::new();
    for (line, expected) in [
        ("", "220 "),
        ("EHLO client.sender.example", "250 "),
        (&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250 "),
        (&format!("RCPT TO:<{to}>"), "250 "),
        ("DATA", "354 "),
        (&text, "250 "),
    ] {
        if !line.is_empty() {
            stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }
        loop {
            reply.clear();
            stream.read_line(&mut reply).await.unwrap();
            if reply.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        assert!(reply.starts_with(expected), "{reply}");
    }
    let id = reply.split_whitespace().find_map(|word| word.parse::<QueueId>().ok());
    id.unwrap_or_else(|| panic!("no id in {reply}")).to_string()
}

/// Nothing that a reader over the shoulder must not see.
#[track_caller]
fn assert_discreet(said: &Said) {
    for secret in [SUBJECT, BODY] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{}", said.out);
    }
}
