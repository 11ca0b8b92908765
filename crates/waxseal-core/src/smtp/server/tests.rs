//! The dialogues of `smtp/dialogs/server`, in memory, cut into pieces of every kind.

use std::{collections::VecDeque, path::Path};

use proptest::prelude::*;

use super::*;
use crate::{
    channel::TlsVersion,
    domain::Domain,
    envelope::{Body, Envelope, Notify, Return, TlsAsk},
    reply::{EnhancedCode, Reply},
    smtp::address,
};
use script::{Script, Step as Line, answer, describe, limit};

#[path = "../dialogs/script.rs"]
mod script;

fn tls_facts() -> TlsFacts {
    TlsFacts { version: TlsVersion::V1_3, suite: "TLS_AES_256_GCM_SHA384".into(), group: None }
}

fn settings(script: &Script) -> Settings {
    let word = |name: &str| script.settings.get(name).map(String::as_str);
    let default = Limits::default();
    Settings {
        hostname: Domain::parse("gw.example.com").unwrap(),
        senders: [Domain::parse("example.com").unwrap()].into(),
        postmaster: word("postmaster").map(|m| address::mailbox(m, Charset::Ascii).unwrap()),
        starttls: match word("starttls") {
            None => StartTls::NotOffered,
            Some("offered") => StartTls::Offered,
            Some("required") => StartTls::Required,
            Some(other) => panic!("{other}"),
        },
        auth: if word("auth").is_some() { AuthOffer::Yes } else { AuthOffer::No },
        limits: Limits {
            message: 10_000,
            recipients: limit(script, "recipients", default.recipients),
            commands: limit(script, "commands", default.commands),
            errors: limit(script, "errors", default.errors),
            transactions: limit(script, "transactions", default.transactions),
            sign_ins: limit(script, "sign_ins", default.sign_ins),
            hops: default.hops,
        },
    }
}

/// A session without a network: the machine, and what the shell would hold.
struct Memory {
    machine: Server,
    inbox: Vec<u8>,
    said: VecDeque<String>,
    decisions: VecDeque<Taken>,
    answers: VecDeque<Answer>,
    asked: Vec<String>,
    taken: VecDeque<Incoming>,
    closed: bool,
}

impl Memory {
    fn new(script: &Script) -> Self {
        let word = |name: &str| script.settings.get(name).map(String::as_str);
        let standing = match word("standing") {
            None => Standing::Relay(Grant::Network),
            Some("stranger") => Standing::Stranger,
            Some("shared") => Standing::Shared,
            Some("outside") => Standing::Outside,
            Some(other) => panic!("{other}"),
        };
        let tls = word("tls").map(|_| tls_facts());
        let machine = Server::new(Arc::new(settings(script)), standing, tls);
        Self {
            machine,
            inbox: Vec::new(),
            said: VecDeque::new(),
            decisions: VecDeque::new(),
            answers: VecDeque::new(),
            asked: Vec::new(),
            taken: VecDeque::new(),
            closed: false,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        self.inbox.extend_from_slice(piece);
        while !self.closed {
            let Step { consumed, action } = self.machine.step(&self.inbox);
            self.inbox.drain(..consumed);
            match action {
                Action::Read => break,
                Action::Wait if self.inbox.is_empty() => break,
                Action::Wait | Action::StartTls => {}
                Action::Close => self.closed = true,
                Action::Take(incoming) => {
                    self.taken.push_back(*incoming);
                    let accepted = || Taken::Accepted("one".into());
                    self.machine.taken(self.decisions.pop_front().unwrap_or_else(accepted));
                }
                Action::Ask(question) => {
                    self.asked.push(question.mailbox.to_string());
                    self.machine.answered(self.answers.pop_front().unwrap_or(Answer::Taken));
                }
                Action::Verify(credentials) => {
                    let right = credentials.user == "anna" && *credentials.password == b"hunter2";
                    let verified = if right { Verified::Yes } else { Verified::No };
                    self.machine.verified(credentials.user, verified);
                }
            }
        }
        let output = std::mem::take(self.machine.output());
        let output = String::from_utf8(output).unwrap();
        self.said.extend(output.split_terminator("\r\n").map(str::to_owned));
    }

    fn line(&mut self, line: &Line, size: usize) -> Result<(), String> {
        match line {
            Line::Client(octets) => {
                if let Some(reply) = self.said.front() {
                    return Err(format!("nobody expected {reply:?}"));
                }
                octets.chunks(size).for_each(|piece| self.feed(piece));
            }
            Line::Server(begin) => {
                let reply = self.said.pop_front().unwrap_or_default();
                if !reply.starts_with(begin.as_str()) {
                    return Err(format!("{begin:?} was expected, and {reply:?} came"));
                }
            }
            Line::ServerUpTo(begin) => {
                let last = self.said.iter().position(|reply| reply.starts_with(begin.as_str()));
                let last = last.ok_or_else(|| format!("no {begin:?} in {:?}", self.said))?;
                self.said.drain(..=last);
            }
            Line::Tls => self.machine.secured(tls_facts(), None),
            Line::Closed if !self.closed => return Err("it should be closed".into()),
            Line::Closed => {}
            Line::Stop => {
                self.machine.stop();
                self.feed(b"");
            }
            Line::Timeout => {
                self.machine.timed_out();
                self.feed(b"");
            }
            Line::Decide(word) => self.decisions.push_back(match word.as_str() {
                "accepted" => Taken::Accepted("one".into()),
                "full" => Taken::Full,
                "internal" => Taken::Internal,
                "too-many" => Taken::TooMany,
                "unproven" => Taken::Unproven,
                "unproven-now" => Taken::UnprovenNow,
                other => panic!("{other}"),
            }),
            Line::Recipient(text) => self.answers.push_back(answer(text)),
            Line::Envelope(text) => {
                let found = self.taken.back().map(|incoming| describe(&incoming.envelope));
                if found.as_ref() != Some(text) {
                    return Err(format!("{text} was expected, and {found:?} came"));
                }
            }
            Line::Message(octets) => {
                let found = self.taken.back().map(|incoming| &incoming.message);
                if found != Some(octets) {
                    return Err(format!("{octets:?} was expected, and {found:?} came"));
                }
            }
        }
        Ok(())
    }
}

fn scripts() -> Vec<Script> {
    script::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/smtp/dialogs/server"))
}

/// Anybody who can connect: strangers, smugglers, guessers, and clients that are merely odd.
#[test]
fn every_dialogue_goes_as_written_however_its_bytes_arrive() {
    let scripts = scripts();
    assert!(scripts.len() >= 35);
    for script in &scripts {
        for size in [1, 2, 7, 4_096] {
            let mut memory = Memory::new(script);
            memory.feed(b"");
            for (nth, line) in script.steps.iter().enumerate() {
                let name = &script.name;
                memory
                    .line(line, size)
                    .unwrap_or_else(|why| panic!("{name} in pieces of {size}, step {nth}: {why}"));
            }
            assert!(memory.said.is_empty(), "{}: {:?}", script.name, memory.said);
        }
    }
}

/// All that a session did, for comparison.
fn session(octets: &[u8], size: usize, standing: Standing) -> (Vec<String>, Vec<String>, bool) {
    let script = Script { name: String::new(), settings: [].into(), steps: Vec::new() };
    let mut memory = Memory::new(&script);
    memory.machine.standing = standing;
    for piece in octets.chunks(size) {
        memory.feed(piece);
    }
    let taken = memory.taken.iter().map(|incoming| format!("{incoming:?}")).collect();
    (memory.said.into(), taken, memory.closed)
}

fn commands() -> impl Strategy<Value = Vec<u8>> {
    let pieces: &[&[u8]] = &[
        b"EHLO c\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"MAIL FROM:<a@example.net>\r\n",
        b"RCPT TO:<b@example.net>\r\n",
        b"RCPT TO:<b@example.com>\r\n",
        b"RCPT TO:<b%example.net@example.com>\r\n",
        b"RCPT TO:<example.net!b@example.com>\r\n",
        b"RCPT TO:<\"b@example.net\"@example.com>\r\n",
        b"DATA\r\n",
        b"text\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"BDAT 5\r\n",
        b"BDAT 7 LAST\r\n",
        b"RSET\r\n",
        b"NOOP",
        b"\r",
        b"\n",
        b"\0",
        b"\r\n",
        b"AUTH PLAIN\r\n",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|pieces| [b"EHLO c\r\n", &pieces.concat()[..]].concat())
}

proptest! {
    /// A client cannot make two readings of one stream by where it cuts it.
    #[test]
    fn pieces_do_not_matter(octets in commands(), size in 1_usize..12) {
        let relay = || Standing::Relay(Grant::Network);
        prop_assert_eq!(session(&octets, size, relay()), session(&octets, 65_536, relay()));
    }

    /// A stranger gets no message in, whatever they say (promise: never an open relay).
    #[test]
    fn a_stranger_hands_in_nothing(octets in commands(), size in 1_usize..12) {
        prop_assert!(session(&octets, size, Standing::Stranger).1.is_empty());
    }

    /// Attacker: somebody who looks for an open relay. Whatever is said on a listener for inbound
    /// mail, nothing of it goes anywhere but to mailboxes of domains of ours.
    #[test]
    fn somebody_outside_hands_in_nothing_for_others(octets in commands(), size in 1_usize..12) {
        let script = Script { name: String::new(), settings: [].into(), steps: Vec::new() };
        let mut memory = Memory::new(&script);
        memory.machine.standing = Standing::Outside;
        octets.chunks(size).for_each(|piece| memory.feed(piece));
        for incoming in &memory.taken {
            for recipient in &incoming.envelope.recipients {
                let mailbox = recipient.mailbox.to_string();
                prop_assert!(mailbox == "b@example.com", "{}", mailbox);
            }
        }
        prop_assert!(memory.asked.iter().all(|mailbox| mailbox == "b@example.com"));
    }
}
