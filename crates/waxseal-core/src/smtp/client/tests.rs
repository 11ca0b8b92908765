//! Dialogues as text (`../dialogs/client/*.smtp`), each replayed with pieces of 1, 2, 7 and 4096
//! octets, and properties over any octets.
//!
//! ```text
//! S: text            the server says the line          S~ text   the same without CRLF
//! C: text            the client has to say the line
//! TLS                the client has to ask for the handshake; it succeeds
//! JUDGE level        the client has to ask for a judgement; `permit` has to give that level
//! REFUSE kind        the same; `permit` has to refuse
//! READY              the client has to be ready for a message
//! MAIL key=value..   a message begins: from, to (commas), body, demand, utf8, require-tls, ret, envid, notify, orcpt;
//!                    ask: only whether its recipients are taken
//! BEGIN-FAILS text   the message of the line before cannot begin here
//! INTEND             the client has to ask for the intent, which is then durable
//! DROP               the connection dies
//! QUIT               the driver wants to go
//! = text             outcome of the next recipient starts with this
//! END text           the connection is over, and why starts with this
//! ```
//!
//! Escapes: `\r`, `\n`, `\0`, `\x..`, `\\`; `{n*text}` repeats the text.

mod properties;

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    Client, Credentials, Hello, HeloFallback, Mail, Purpose, StartTls, Step, Tls, Transaction,
    TxStep,
};
use crate::{
    channel::{
        ChannelProof, Demand, Floor, Handshake, Level, Refusal, Seen, Session, TlsSeen, TlsVersion,
        TrustFirst, permit,
    },
    decide::{Ask, HostRoute, RequireTls},
    domain::Domain,
    envelope::{Body, Charset, Mailbox, Notify, Recipient, Return, ReversePath, TlsAsk},
    facts::Peer,
    outcome::{Cause, Outcome},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a name")
}

fn address() -> SocketAddr {
    "192.0.2.1:25".parse().expect("an address")
}

fn judge(client: &Client, demand: Demand) -> Result<ChannelProof, Refusal> {
    let tls = match client.tls() {
        Tls::Without(seen) => seen.clone(),
        Tls::Secured => TlsSeen::Established(Session {
            version: TlsVersion::V1_3,
            suite: "TLS_AES_256_GCM_SHA384".into(),
            group: Some("X25519MLKEM768".into()),
            chain: vec![vec![0x30, 0].into()],
            sni: None,
            handshake: Handshake::Full,
            at: NOW,
        }),
    };
    let peer = Peer::Name(domain("mx.example.net"));
    let route = HostRoute {
        peer: peer.clone(),
        addresses: vec![address()],
        sni: None,
        demand,
        floor: Floor::None,
        trust_first: TrustFirst::default(),
        level: Level::Encrypted,
        require_tls: RequireTls::No,
        because: Vec::new(),
    };
    permit(&route, &Seen { peer, address: address(), tls }, &[], NOW)
}

fn cleartext_proof() -> ChannelProof {
    let client = Client::new(hello(StartTls::IfOffered));
    judge(&client, Demand::Opportunistic).expect("cleartext is good enough")
}

fn hello(start_tls: StartTls) -> Hello {
    Hello { name: "gw.example.com".into(), start_tls, fallback: HeloFallback::Allowed }
}

/// A message in a dialogue.
#[derive(Clone, Debug)]
struct Letter {
    purpose: Purpose,
    reverse_path: ReversePath,
    recipients: Vec<Recipient>,
    ask: Ask,
    require_tls: RequireTls,
    ret: Option<Return>,
    envelope_id: Option<String>,
    content: Vec<u8>,
}

fn mailbox(text: &str) -> Mailbox {
    let (local, at) = text.rsplit_once('@').expect("an address");
    Mailbox { local: local.into(), domain: domain(at) }
}

impl Letter {
    fn parse(line: &str) -> Self {
        let mut letter = Self {
            purpose: Purpose::Deliver,
            reverse_path: ReversePath::Mailbox(mailbox("a@example.com")),
            recipients: Vec::new(),
            ask: Ask { tls: TlsAsk::Nothing, body: Body::SevenBit, charset: Charset::Ascii },
            require_tls: RequireTls::No,
            ret: None,
            envelope_id: None,
            content: b"Subject: x\r\n\r\nhello\r\n".to_vec(),
        };
        let (mut notify, mut original) = (None, None);
        let mut to = vec!["b@example.net".to_owned()];
        for word in line.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "from" if value == "<>" => letter.reverse_path = ReversePath::Null,
                "from" => letter.reverse_path = ReversePath::Mailbox(mailbox(value)),
                "to" => to = value.split(',').map(str::to_owned).collect(),
                "body" => letter.content = unescape(value),
                "8bit" => letter.ask.body = Body::EightBit,
                "utf8" => letter.ask.charset = Charset::Utf8,
                "require-tls" => letter.require_tls = RequireTls::Yes,
                "ask" => letter.purpose = Purpose::Ask { octets: value.parse().unwrap_or(0) },
                "ret" if value == "hdrs" => letter.ret = Some(Return::Headers),
                "ret" => letter.ret = Some(Return::Full),
                "envid" => letter.envelope_id = Some(value.into()),
                "orcpt" => original = Some(value.to_owned()),
                "notify" if value == "never" => notify = Some(Notify::Never),
                "notify" => {
                    notify = Some(Notify::On {
                        success: value.contains("success"),
                        failure: value.contains("failure"),
                        delay: value.contains("delay"),
                    });
                }
                other => panic!("no such key: {other}"),
            }
        }
        letter.recipients = to
            .iter()
            .map(|to| Recipient { mailbox: mailbox(to), notify, original: original.clone() })
            .collect();
        letter
    }

    fn mail(&self) -> Mail<'_> {
        Mail {
            purpose: self.purpose,
            reverse_path: &self.reverse_path,
            recipients: &self.recipients,
            ask: self.ask,
            require_tls: self.require_tls,
            ret: self.ret,
            envelope_id: self.envelope_id.as_deref(),
            content: &self.content,
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '{'
            && let Some((inside, tail)) = after.split_once('}')
            && let Some((count, what)) = inside.split_once('*')
            && let Ok(count) = count.parse::<usize>()
        {
            out.extend(unescape(what).repeat(count));
            rest = tail;
        } else if c == '\\' {
            let (octet, used) = match after.as_bytes()[0] {
                b'r' => (b'\r', 1),
                b'n' => (b'\n', 1),
                b'0' => (0, 1),
                b's' => (b' ', 1),
                b'x' => (u8::from_str_radix(&after[1..3], 16).expect("hex"), 3),
                b'\\' => (b'\\', 1),
                other => panic!("no such escape: {other}"),
            };
            out.push(octet);
            rest = &after[used..];
        } else {
            let mut buffer = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            rest = after;
        }
    }
    out
}

/// Something that reads and writes: the client, or a message on it.
trait Machine {
    fn take(&mut self) -> Option<Vec<u8>>;
    fn wants_to_read(&mut self) -> bool;
    fn give(&mut self, bytes: &[u8]);
    fn drop_line(&mut self);
}

impl Machine for Client {
    fn take(&mut self) -> Option<Vec<u8>> {
        match self.step() {
            Step::Write(bytes) => Some(bytes),
            Step::Read | Step::StartTls | Step::Judge | Step::Ready | Step::Closed => None,
        }
    }

    fn wants_to_read(&mut self) -> bool {
        matches!(self.step(), Step::Read | Step::Ready | Step::Closed)
    }

    fn give(&mut self, bytes: &[u8]) {
        self.input(bytes);
    }

    fn drop_line(&mut self) {
        self.disconnected("the connection was closed");
    }
}

impl Machine for Transaction<'_, '_> {
    fn take(&mut self) -> Option<Vec<u8>> {
        match self.step() {
            TxStep::Write(flight) => Some(flight.concat()),
            TxStep::Read | TxStep::Intend | TxStep::Done => None,
        }
    }

    fn wants_to_read(&mut self) -> bool {
        matches!(self.step(), TxStep::Read | TxStep::Done)
    }

    fn give(&mut self, bytes: &[u8]) {
        self.input(bytes);
    }

    fn drop_line(&mut self) {
        self.disconnected("the connection was closed");
    }
}

/// One replay of one dialogue.
struct Replay<'d> {
    name: &'d str,
    lines: VecDeque<(usize, &'d str)>,
    chunk: usize,
    /// What the client wrote and no `C:` line has asked for yet.
    written: Vec<u8>,
}

impl<'d> Replay<'d> {
    fn new(name: &'d str, text: &'d str, chunk: usize) -> Self {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
        Self { name, lines, chunk, written: Vec::new() }
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line} with pieces of {}", self.name, self.chunk)
    }

    /// `S:` lines that follow each other arrive together, cut into pieces.
    fn serve(&mut self, machine: &mut impl Machine, first: &str, line: usize) {
        let mut bytes = Vec::new();
        let mut next = Some(first);
        while let Some(text) = next {
            match (text.strip_prefix("S: "), text.strip_prefix("S~ ")) {
                (Some(text), _) => {
                    bytes.extend(unescape(text));
                    bytes.extend_from_slice(b"\r\n");
                }
                (None, Some(text)) => bytes.extend(unescape(text)),
                (None, None) => unreachable!("only server lines"),
            }
            next = None;
            if self.lines.front().is_some_and(|(_, next)| is_server(next)) {
                next = self.lines.pop_front().map(|(_, text)| text);
            }
        }
        for piece in bytes.chunks(self.chunk) {
            while let Some(bytes) = machine.take() {
                self.written.extend(bytes);
            }
            assert!(machine.wants_to_read(), "{}: the client does not read", self.at(line));
            machine.give(piece);
        }
    }

    fn expect(&mut self, machine: &mut impl Machine, text: &str, line: usize) {
        while let Some(bytes) = machine.take() {
            self.written.extend(bytes);
        }
        let mut wanted = unescape(text);
        wanted.extend_from_slice(b"\r\n");
        let got = self.written.get(..wanted.len()).unwrap_or(&self.written);
        assert_eq!(
            String::from_utf8_lossy(got),
            String::from_utf8_lossy(&wanted),
            "{}; the client wrote {:?}",
            self.at(line),
            String::from_utf8_lossy(&self.written),
        );
        self.written.drain(..wanted.len());
    }

    fn run(mut self) {
        let mut stage = Stage {
            client: Client::new(hello(StartTls::IfOffered)),
            proof: None,
            credentials: None,
            outcomes: VecDeque::new(),
        };
        while let Some((line, text)) = self.lines.pop_front() {
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            match word {
                "S:" | "S~" => self.serve(&mut stage.client, text, line),
                "C:" => self.expect(&mut stage.client, rest, line),
                "MAIL" => self.mail(&mut stage, rest, line),
                "DROP" => stage.client.drop_line(),
                "QUIT" => stage.client.quit(),
                "END" => {
                    self.take_all(&mut stage.client);
                    assert_eq!(stage.client.step(), Step::Closed, "{}", self.at(line));
                    let end = stage.client.end().map(show_cause).unwrap_or_default();
                    assert!(end.starts_with(rest), "{}: {end}", self.at(line));
                }
                _ => stage.play(word, rest, &self.at(line)),
            }
        }
        self.take_all(&mut stage.client);
        let rest = String::from_utf8_lossy(&self.written);
        assert!(rest.is_empty(), "{}: the client also wrote {rest:?}", self.name);
        assert!(stage.outcomes.is_empty(), "{}: also {:?}", self.name, stage.outcomes);
        for line in stage.client.take_transcript().into_lines() {
            assert!(!line.contains('@') && !line.contains("c2VjcmV0"), "{}: {line}", self.name);
        }
    }

    fn take_all(&mut self, machine: &mut impl Machine) {
        while let Some(bytes) = machine.take() {
            self.written.extend(bytes);
        }
    }

    fn mail(&mut self, stage: &mut Stage, rest: &str, line: usize) {
        let letter = Letter::parse(rest);
        let proof = stage.proof.as_ref().expect("a judgement before");
        match stage.client.begin(proof, letter.mail()) {
            Ok(transaction) => stage.outcomes.extend(self.message(transaction)),
            Err(cause) => {
                let (_, text) = self.lines.pop_front().expect("BEGIN-FAILS");
                let why = text.strip_prefix("BEGIN-FAILS ").expect("BEGIN-FAILS");
                let shown = show_cause(&cause);
                assert!(shown.starts_with(why), "{}: {shown}", self.at(line));
            }
        }
    }

    /// Until the message is done; the lines after that are the client's again.
    fn message(&mut self, mut transaction: Transaction<'_, '_>) -> Vec<Outcome> {
        loop {
            while let Some(bytes) = transaction.take() {
                self.written.extend(bytes);
            }
            let own = |text: &str| {
                is_server(text) || text.starts_with("C: ") || matches!(text, "INTEND" | "DROP")
            };
            let done = transaction.step() == TxStep::Done;
            let Some((line, text)) = self.lines.front().copied() else { break };
            if (done && !text.starts_with("C: ")) || !own(text) {
                break;
            }
            self.lines.pop_front();
            match text {
                "INTEND" => {
                    assert_eq!(transaction.step(), TxStep::Intend, "{}", self.at(line));
                    transaction.intended();
                }
                "DROP" => transaction.drop_line(),
                server if is_server(server) => self.serve(&mut transaction, server, line),
                said => {
                    let said = said.strip_prefix("C: ").unwrap();
                    self.expect(&mut transaction, said, line);
                }
            }
        }
        assert_eq!(transaction.step(), TxStep::Done, "{}: not done", self.name);
        transaction.finish()
    }
}

/// The client of a dialogue, and what its driver would hold.
struct Stage {
    client: Client,
    proof: Option<ChannelProof>,
    credentials: Option<Credentials>,
    outcomes: VecDeque<Outcome>,
}

impl Stage {
    fn play(&mut self, word: &str, rest: &str, at: &str) {
        // Asking hands out what is to be written, which an outcome has no use for.
        let step = if word == "=" { Step::Read } else { self.client.step() };
        match word {
            "HELLO" => {
                let mut hello = hello(StartTls::IfOffered);
                match rest {
                    "skip" => hello.start_tls = StartTls::Skip,
                    "implicit" => hello.start_tls = StartTls::Implicit,
                    "ehlo-only" => hello.fallback = HeloFallback::Refused,
                    other => panic!("{at}: {other}"),
                }
                self.client = Client::new(hello);
            }
            "AUTH" => {
                let (user, password) = ("user".into(), "secret".into());
                self.credentials = Some(Credentials { user, password });
            }
            "TLS" => {
                assert_eq!(step, Step::StartTls, "{at}");
                self.client.secured();
            }
            "JUDGE" => {
                assert_eq!(step, Step::Judge, "{at}");
                let clear = rest == "cleartext";
                let demand = if clear { Demand::Opportunistic } else { Demand::Encrypt };
                let proof = judge(&self.client, demand).expect("permitted");
                assert_eq!(proof.level().as_str(), rest, "{at}");
                if let Err(cause) = self.client.permitted(&proof, self.credentials.as_ref()) {
                    self.client.quit();
                    self.outcomes.push_back(Outcome::Deferred { cause });
                }
                self.proof = Some(proof);
            }
            "REFUSE" => {
                assert_eq!(step, Step::Judge, "{at}");
                let refusal = judge(&self.client, Demand::Encrypt).expect_err("refused");
                let kind = serde_json::to_string(&refusal.kind).unwrap();
                assert_eq!(kind.trim_matches('"'), rest, "{at}");
            }
            "READY" => assert_eq!(step, Step::Ready, "{at}"),
            "=" => {
                let outcome = show(&self.outcomes.pop_front().expect("an outcome"));
                assert!(outcome.starts_with(rest), "{at}: {outcome}");
            }
            other => panic!("{at}: {other}"),
        }
    }
}

fn is_server(text: &str) -> bool {
    text.starts_with("S: ") || text.starts_with("S~ ")
}

fn show_cause(cause: &Cause) -> String {
    match cause {
        Cause::Reply { command, reply } => format!("{command}: {reply}"),
        Cause::Capability(text) => format!("capability: {text}"),
        Cause::Channel(text) => format!("channel: {text}"),
        Cause::Connection(text) => format!("connection: {text}"),
        Cause::Busy(text) => format!("busy: {text}"),
        Cause::Plan(text) => format!("plan: {text}"),
        Cause::Protocol(text) => format!("protocol: {text}"),
    }
}

fn show(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { reply } => format!("accepted {reply}"),
        Outcome::Deferred { cause } => format!("deferred {}", show_cause(cause)),
        Outcome::Rejected { cause } => format!("rejected {}", show_cause(cause)),
        Outcome::Unknown { detail } => format!("unknown {detail}"),
        Outcome::Disconnected { detail } => format!("disconnected {detail}"),
    }
}

macro_rules! dialogues {
    ($($name:ident)*) => {
        const DIALOGUES: &[&str] = &[$(stringify!($name)),*];
        $(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../dialogs/client/", stringify!($name), ".smtp"));
            for chunk in [1, 2, 7, 4_096] {
                Replay::new(stringify!($name), text, chunk).run();
            }
        }
    )*};
}

dialogues! {
    address_injection
    all_recipients_refused
    all_refused_one_by_one
    ask
    ask_one_by_one
    auth_login
    auth_login_too_many_questions
    auth_plain
    auth_refused
    auth_without_tls
    bare_line_feed
    codes_change
    data_250
    data_accepted_for_nobody
    data_refused
    disconnected_at_data
    disconnected_at_intent
    disconnected_at_mail
    dot_stuffing
    dsn
    dsn_never
    dsn_not_offered
    dsn_unsaid
    dsn_usual
    ehlo_550
    ehlo_garbage_after_tls
    eight_bit
    eight_bit_missing
    empty_message
    endless_banner
    endless_ehlo
    endless_line
    final_dot_deferred
    final_dot_refused
    goodbye_at_final_dot
    goodbye_at_mail
    goodbye_at_rcpt
    goodbye_while_idle
    greeting_421
    greeting_554
    greeting_dropped
    greeting_multiline
    helo
    helo_refused
    implicit_tls
    mail_354
    mail_refused
    mail_refused_and_data_accepted
    mail_refused_pipelined
    mailbox_full_552
    no_line_end
    not_smtp
    nul_octets
    pipelined
    plain_message
    replies_ahead
    require_tls
    require_tls_missing
    reset_refused
    second_message
    size_parameter
    smtputf8
    smtputf8_missing
    smuggling
    some_recipients_refused
    starttls
    starttls_421
    starttls_454
    starttls_501
    starttls_multiline_220
    starttls_offered_again
    starttls_skipped
    starttls_stripped
    too_large
    too_many_recipients_552
    unknown_after_final_dot
    unknown_garbage_after_final_dot
    unknown_half_reply
    unknown_not_for_the_refused
}

/// What is written is played.
#[test]
fn every_dialogue_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/smtp/dialogs/client");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    let listed: Vec<_> = DIALOGUES.iter().map(|name| format!("{name}.smtp")).collect();
    assert_eq!(names, listed);
}

/// On the path: plaintext after the 220, to be read as if it came through TLS (CVE-2011-0411).
#[test]
fn octets_after_the_220_are_an_attack() {
    let mut client = Client::new(hello(StartTls::IfOffered));
    client.input(b"220 mx\r\n");
    assert!(matches!(client.step(), Step::Write(_)));
    client.input(b"250-mx\r\n250 STARTTLS\r\n");
    assert_eq!(client.step(), Step::Write(b"STARTTLS\r\n".to_vec()));
    client.input(b"220 go\r\n250 PIPELINING\r\n");
    assert_eq!(client.step(), Step::Judge);
    assert_eq!(client.tls(), &Tls::Without(TlsSeen::Injected));
    judge(&client, Demand::Opportunistic).expect_err("an attack, whatever the demand");
}

/// A driver that mixes up two connections: the proof of an encrypted one opens no clear one.
#[test]
fn a_proof_of_another_channel_is_refused() {
    let clear = cleartext_proof();
    let mut client = Client::new(hello(StartTls::Implicit));
    client.input(b"220 mx\r\n");
    assert!(matches!(client.step(), Step::Write(_)));
    client.input(b"250 mx\r\n");
    assert_eq!(client.step(), Step::Judge);
    assert!(matches!(client.permitted(&clear, None), Err(Cause::Channel(_))));
    let tls = judge(&client, Demand::Encrypt).unwrap();
    client.permitted(&tls, None).unwrap();
    let letter = Letter::parse("");
    assert!(matches!(client.begin(&clear, letter.mail()), Err(Cause::Channel(_))));
    assert!(client.begin(&tls, letter.mail()).is_ok());
}

/// Content of several flights: the intent is asked for once, before the last one, and what
/// arrives is the content with its dots doubled.
#[test]
fn big_content_goes_in_flights() {
    let mut letter = Letter::parse("");
    letter.content = b".abcdefghijklmnopqrstuvwxyz\r\n".repeat(10_000);
    let (proof, mut client) = ready();
    let mut transaction = client.begin(&proof, letter.mail()).unwrap();
    transaction.take().expect("the envelope");
    transaction.input(b"250 ok\r\n250 ok\r\n354 go\r\n");
    let (mut content, mut flights, mut intents) = (Vec::new(), 0, 0);
    loop {
        match transaction.step() {
            TxStep::Write(flight) => {
                content.extend(flight.concat());
                flights += 1;
            }
            TxStep::Intend => {
                assert!(!content.ends_with(b"\r\n.\r\n"));
                intents += 1;
                transaction.intended();
            }
            TxStep::Read => break,
            TxStep::Done => panic!("too early"),
        }
    }
    let mut expected = b"..abcdefghijklmnopqrstuvwxyz\r\n".repeat(10_000);
    expected.extend_from_slice(b".\r\n");
    assert_eq!((content == expected, flights, intents), (true, 5, 1));
}

/// More recipients than fit one window are said in several.
#[test]
fn recipients_go_in_windows() {
    let mut letter = Letter::parse("");
    letter.recipients = vec![letter.recipients[0].clone(); 250];
    let (proof, mut client) = ready();
    let mut transaction = client.begin(&proof, letter.mail()).unwrap();
    let first = transaction.take().unwrap();
    assert_eq!(first.iter().filter(|octet| **octet == b'\n').count(), 100);
    transaction.input(&b"250 ok\r\n".repeat(100));
    let second = transaction.take().unwrap();
    assert_eq!(second.iter().filter(|octet| **octet == b'\n').count(), 100);
    transaction.input(&b"250 ok\r\n".repeat(100));
    let third = String::from_utf8(transaction.take().unwrap()).unwrap();
    assert!(third.ends_with("DATA\r\n"));
    assert_eq!(third.lines().count(), 52);
}

fn ready() -> (ChannelProof, Client) {
    let mut client = Client::new(hello(StartTls::IfOffered));
    client.input(b"220 mx\r\n");
    client.take().expect("EHLO");
    client.input(b"250-mx\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n");
    let proof = judge(&client, Demand::Opportunistic).unwrap();
    client.permitted(&proof, None).unwrap();
    (proof, client)
}
