//! The server's side of a session as a machine without IO (RFC 5321, RFC 2920 pipelining).
//!
//! The shell feeds it what the client sent and does what it answers: write the [output], read more,
//! begin TLS, check credentials, take a message, close. It never waits, reads no clock, and says
//! the same however the bytes were cut into pieces. There is one order of things: whoever may not
//! relay never gets past MAIL, so that no state of the session is an open relay. On a listener for
//! inbound mail, where anybody may say MAIL, nobody gets past RCPT but with recipients of ours.
//!
//! [output]: Server::output

mod commands;
mod lines;
mod message;
mod recipient;
mod settings;
mod sign_in;

use std::{fmt, io::Write, sync::Arc};

pub use settings::{
    Answer, AuthOffer, Certified, Grant, Incoming, Limits, Question, Settings, Standing, StartTls,
    Taken, Verified,
};

use crate::{
    envelope::{Charset, Recipient},
    reply::EnhancedCode,
    smtp::{
        auth::Credentials,
        command::{ClientName, Mail},
        data::{Chunks, Dotted, Sink},
        received::{Greeting, TlsFacts},
    },
};
use lines::{Line, Lines};

/// What the shell has to do next.
#[derive(Debug)]
pub enum Action {
    /// Find out whether mail for this recipient is taken inside, then call [`Server::answered`].
    Ask(Box<Question>),
    /// Write the output and close the connection.
    Close,
    /// Write the output and read more.
    Read,
    /// Write the output, do the handshake, then call [`Server::secured`]. If there is input left,
    /// feed it first: it was written in the clear, and ends the session (CVE-2011-0411).
    StartTls,
    /// Take the message (durably), then call [`Server::taken`].
    Take(Box<Incoming>),
    /// Check them, then call [`Server::verified`].
    Verify(Credentials),
    /// The answer to [`Self::Ask`], [`Self::Take`], [`Self::Verify`] or [`Self::StartTls`] is still
    /// missing.
    Wait,
}

/// How far a step came.
#[derive(Debug)]
pub struct Step {
    /// How many octets of the input were used; the rest has to be fed again.
    pub consumed: usize,
    /// What to do next.
    pub action: Action,
}

/// What the session waits for: each has its own time limit (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// For a command or a response, with nothing of a transaction under way.
    Idle,
    /// For a command or a response.
    Command,
    /// For message text.
    Data,
    /// For the shell.
    Shell,
}

/// One session.
#[derive(Debug)]
pub struct Server {
    settings: Arc<Settings>,
    standing: Standing,
    tls: Option<TlsFacts>,
    client: Option<(Greeting, ClientName)>,
    phase: Phase,
    lines: Lines,
    transaction: Option<Box<Transaction>>,
    output: Vec<u8>,
    counts: Counts,
    stopping: bool,
}

/// What was counted towards the limits of the session.
#[derive(Debug, Default)]
struct Counts {
    commands: u32,
    errors: u32,
    transactions: u32,
    sign_ins: u32,
}

/// What a transaction has so far.
#[derive(Debug)]
struct Transaction {
    mail: Mail,
    recipients: Vec<Recipient>,
    chunks: Option<ChunkState>,
}

/// How the chunks of a transaction stand.
#[derive(Debug)]
enum ChunkState {
    /// Decoding.
    Open(Chunks),
    /// One failed: the rest is read and refused until RSET (RFC 3030 §2).
    Failed,
}

/// What the next octet belongs to.
#[derive(Debug)]
enum Phase {
    Command,
    /// AUTH, and the user name where LOGIN has it already.
    SignIn(sign_in::Expect),
    Data(Dotted),
    Chunk(message::Chunk),
    /// A shell's answer is missing.
    Asking(Box<Recipient>),
    Verifying,
    Taking,
    Handshake,
    Closed,
}

impl Server {
    /// A session that begins: its greeting is in the output. `tls` is given where TLS came first
    /// (RFC 8314 §3.3).
    pub fn new(settings: Arc<Settings>, standing: Standing, tls: Option<TlsFacts>) -> Self {
        let mut server = Self {
            settings,
            standing,
            tls,
            client: None,
            phase: Phase::Command,
            lines: Lines::default(),
            transaction: None,
            output: Vec::new(),
            counts: Counts::default(),
            stopping: false,
        };
        let settings = Arc::clone(&server.settings);
        server.line(format_args!("220 {} ESMTP", settings.hostname));
        server
    }

    /// A session that is refused before it begins (RFC 5321 §3.1, §3.8): 421 and the reason.
    pub fn refused(settings: Arc<Settings>, reason: &str) -> Self {
        let mut server = Self::new(settings, Standing::Stranger, None);
        server.output.clear();
        server.close(EnhancedCode(4, 7, 0), reason);
        server
    }

    /// Replies that wait to be written. The shell writes and clears them.
    pub const fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether replies wait to be written.
    pub const fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What the session waits for.
    pub const fn waiting(&self) -> Waiting {
        match &self.phase {
            Phase::Command if self.transaction.is_none() => Waiting::Idle,
            Phase::Command | Phase::SignIn(_) => Waiting::Command,
            Phase::Data(_) | Phase::Chunk(_) => Waiting::Data,
            Phase::Asking(_)
            | Phase::Verifying
            | Phase::Taking
            | Phase::Handshake
            | Phase::Closed => Waiting::Shell,
        }
    }

    /// Octets of memory that the message takes that is being read.
    pub fn held(&mut self) -> usize {
        self.reading().map_or(0, |sink| sink.held())
    }

    /// There is no room for that message: it is let go of, and refused at its end with 452, so that
    /// the client tries again later (RFC 5321 §4.2.3).
    pub fn no_room(&mut self) {
        if let Some(sink) = self.reading() {
            sink.no_room();
        }
    }

    /// The message of which a part is here.
    fn reading(&mut self) -> Option<&mut Sink> {
        match &mut self.phase {
            Phase::Data(dotted) => Some(dotted.sink()),
            Phase::Chunk(chunk) => chunk.message().map(Chunks::sink),
            Phase::Command
            | Phase::SignIn(_)
            | Phase::Asking(_)
            | Phase::Verifying
            | Phase::Taking
            | Phase::Handshake
            | Phase::Closed => match self.transaction.as_mut()?.chunks.as_mut()? {
                ChunkState::Open(chunks) => Some(chunks.sink()),
                ChunkState::Failed => None,
            },
        }
    }

    /// Who the client has proven to be so far.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What the client called itself last.
    pub fn client(&self) -> Option<&ClientName> {
        self.client.as_ref().map(|(_, name)| name)
    }

    /// The TLS session, if there is one.
    pub const fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// Goes on with what was read. Call it again with what it left until it asks for more.
    pub fn step(&mut self, input: &[u8]) -> Step {
        let mut consumed = 0;
        loop {
            if self.stopping && matches!(self.waiting(), Waiting::Idle) {
                self.close(EnhancedCode(4, 3, 2), "shutting down, try again in a moment");
            }
            let rest = input.get(consumed..).unwrap_or_default();
            let (used, action) = self.once(rest);
            consumed += used;
            if let Some(action) = action {
                return Step { consumed, action };
            }
        }
    }

    fn once(&mut self, rest: &[u8]) -> (usize, Option<Action>) {
        match &mut self.phase {
            Phase::Closed => (rest.len(), Some(Action::Close)),
            Phase::Handshake if rest.is_empty() => (0, Some(Action::Wait)),
            Phase::Handshake => {
                self.phase = Phase::Closed;
                (rest.len(), Some(Action::Close))
            }
            Phase::Asking(_) | Phase::Verifying | Phase::Taking => (0, Some(Action::Wait)),
            Phase::Command | Phase::SignIn(_) => self.line_phase(rest),
            Phase::Data(_) | Phase::Chunk(_) => self.message_phase(rest),
        }
    }

    fn line_phase(&mut self, rest: &[u8]) -> (usize, Option<Action>) {
        let mut lines = std::mem::take(&mut self.lines);
        let longest = match &self.phase {
            Phase::SignIn(_) => lines::MAX_RESPONSE,
            Phase::Command
            | Phase::Data(_)
            | Phase::Chunk(_)
            | Phase::Asking(_)
            | Phase::Verifying
            | Phase::Taking
            | Phase::Handshake
            | Phase::Closed => lines::MAX_COMMAND,
        };
        let (used, line) = lines.take(rest, longest);
        let action = match line {
            Line::Partial => Some(Action::Read),
            Line::Whole(line) => self.whole_line(&line),
            Line::TooLong => {
                self.phase = Phase::Command;
                self.refuse(format_args!("500 5.5.2 line longer than {longest} octets"));
                None
            }
            Line::BareLf => {
                self.line(format_args!("500 5.5.2 a line has to end with CR and LF"));
                self.close(EnhancedCode(4, 7, 0), "bare line feed");
                None
            }
            Line::Endless => {
                self.close(EnhancedCode(4, 7, 0), "a line without end");
                None
            }
        };
        self.lines = lines;
        (used, action)
    }

    fn whole_line(&mut self, line: &[u8]) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::SignIn(expect) => self.sign_in_response(expect, line),
            Phase::Command
            | Phase::Data(_)
            | Phase::Chunk(_)
            | Phase::Asking(_)
            | Phase::Verifying
            | Phase::Taking
            | Phase::Handshake
            | Phase::Closed => self.command_line(line),
        }
    }

    /// The handshake is done: everything said before it is forgotten (RFC 3207 §4.2). `grant` is
    /// what the client's certificate is good for.
    pub fn secured(&mut self, tls: TlsFacts, grant: Option<Grant>) {
        if !matches!(self.phase, Phase::Handshake) {
            return;
        }
        self.phase = Phase::Command;
        self.client = None;
        self.transaction = None;
        self.tls = Some(tls);
        if let Some(grant) = grant {
            self.standing = Standing::Relay(grant);
        }
    }

    /// The client stayed silent, or was too slow (RFC 5321 §4.5.3.2, §3.8).
    pub fn timed_out(&mut self) {
        self.close(EnhancedCode(4, 4, 2), "timeout");
    }

    /// Ends the session after the transaction that is under way, or now (RFC 5321 §3.8).
    pub const fn stop(&mut self) {
        self.stopping = true;
    }

    fn close(&mut self, enhanced: EnhancedCode, reason: &str) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let settings = Arc::clone(&self.settings);
        self.line(format_args!("421 {enhanced} {} {reason}", settings.hostname));
        self.phase = Phase::Closed;
        self.transaction = None;
    }

    /// A negative reply; too many of them end the session.
    fn refuse(&mut self, reply: fmt::Arguments<'_>) {
        self.line(reply);
        self.counts.errors += 1;
        if self.counts.errors >= self.settings.limits.errors {
            self.close(EnhancedCode(4, 7, 0), "too many errors");
        }
    }

    fn line(&mut self, reply: fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.output.write_fmt(reply);
        self.output.extend_from_slice(b"\r\n");
    }

    fn say(&mut self, reply: &'static str) {
        self.output.extend_from_slice(reply.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn charset(&self) -> Charset {
        self.transaction.as_ref().map(|t| t.mail.charset).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
