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

use std::collections::VecDeque;

use super::{
    super::{Client, Credentials, HeloFallback, StartTls, Step, Transaction, TxStep},
    hello, judge,
    letter::{Letter, unescape},
};
use crate::{
    channel::{ChannelProof, Demand},
    outcome::{Cause, Outcome},
};

/// Something that reads and writes: the client, or a message on it.
pub(super) trait Machine {
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

pub(super) fn show(outcome: &Outcome) -> String {
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
        $(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../../dialogs/client/", stringify!($name), ".smtp"));
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
