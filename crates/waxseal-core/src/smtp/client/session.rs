//! From the greeting to a channel that may carry mail.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Extensions, Mail, Transaction, Transcript};
use crate::{
    channel::{ChannelProof, Level, TlsSeen},
    outcome::Cause,
    reply::{Reply, Severity},
    smtp::reply::ReplyReader,
};

/// How the client introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name for EHLO: ours, fully qualified (RFC 5321 §4.1.1.1).
    pub name: String,
    /// What to do about TLS.
    pub start_tls: StartTls,
    /// Whether a server that refuses EHLO gets HELO (RFC 5321 §3.2).
    pub fallback: HeloFallback,
}

/// What to do about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// Use it wherever it is offered (RFC 3207).
    IfOffered,
    /// A handshake with this host failed a moment ago and the demand allows cleartext.
    Skip,
    /// The session stands before the greeting (RFC 8314 §3.3).
    Implicit,
}

/// Whether HELO is good enough. Without EHLO there is no STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeloFallback {
    /// Only where the demand is opportunistic.
    Allowed,
    /// EHLO or nothing.
    Refused,
}

/// Name and password for a smarthost (RFC 4954).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Authentication identity.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read, then call `input` or `disconnected`.
    Read,
    /// Write this.
    Write(Vec<u8>),
    /// Do the TLS handshake, then call `secured`. Nothing that was read before belongs to it.
    StartTls,
    /// Call `permit` with what was seen, then `permitted`; or hang up.
    Judge,
    /// A transaction may begin.
    Ready,
    /// Over; `end` says why.
    Closed,
}

/// What became of TLS as far as the client can tell; the driver knows the session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No session: this goes into `Seen`.
    Without(TlsSeen),
    /// A session stands.
    Secured,
}

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    hello: Hello,
    phase: Phase,
    pub(super) replies: ReplyReader,
    pub(super) out: Vec<u8>,
    pub(super) extensions: Extensions,
    tls: Tls,
    end: Option<Cause>,
    pub(super) transcript: Transcript,
    heard: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Judge,
    /// SASL answers that are still to be given, last one first.
    Auth(Vec<Vec<u8>>),
    Ready,
    /// A transaction reads and writes now.
    Busy,
    Quit,
    Closed,
}

impl Client {
    /// A client that waits for the greeting.
    pub fn new(hello: Hello) -> Self {
        let tls = match hello.start_tls {
            StartTls::Implicit => Tls::Secured,
            StartTls::IfOffered | StartTls::Skip => Tls::Without(TlsSeen::NotOffered),
        };
        Self {
            hello,
            phase: Phase::Greeting,
            replies: ReplyReader::default(),
            out: Vec::new(),
            extensions: Extensions::default(),
            tls,
            end: None,
            transcript: Transcript::default(),
            heard: 0,
        }
    }

    /// What to do now. Asking twice without doing it gives the same again, but for `Write`: its
    /// octets are handed out once.
    pub fn step(&mut self) -> Step {
        if !self.out.is_empty() {
            return Step::Write(std::mem::take(&mut self.out));
        }
        match self.phase {
            Phase::Greeting
            | Phase::Ehlo
            | Phase::Helo
            | Phase::StartTls
            | Phase::Auth(_)
            | Phase::Quit => Step::Read,
            Phase::Handshake => Step::StartTls,
            Phase::Judge => Step::Judge,
            Phase::Ready | Phase::Busy => Step::Ready,
            Phase::Closed => Step::Closed,
        }
    }

    /// Takes what was read.
    pub fn input(&mut self, bytes: &[u8]) {
        self.replies.push(bytes);
        // In these phases nothing is due, so what arrives stays unread until somebody judges it.
        while matches!(
            self.phase,
            Phase::Greeting
                | Phase::Ehlo
                | Phase::Helo
                | Phase::StartTls
                | Phase::Auth(_)
                | Phase::Quit
        ) {
            match self.next_reply() {
                Ok(Some(reply)) => self.hear(reply),
                Ok(None) => return,
                Err(cause) => return self.close(cause),
            }
        }
        // A server that says goodbye while the connection is idle (RFC 5321 §3.8).
        if self.phase == Phase::Ready {
            match self.next_reply() {
                Ok(Some(reply)) => self.close(reply_cause("an idle connection", reply)),
                Ok(None) => {}
                Err(cause) => self.close(cause),
            }
        }
    }

    /// The connection is gone, or the driver lost patience.
    pub fn disconnected(&mut self, why: &str) {
        let step = match self.phase {
            Phase::Greeting => "before the greeting",
            Phase::Ehlo | Phase::Helo => "after EHLO",
            Phase::StartTls => "after STARTTLS",
            Phase::Handshake => "in the TLS handshake",
            Phase::Auth(_) => "after AUTH",
            Phase::Judge | Phase::Ready | Phase::Busy => "while idle",
            Phase::Quit | Phase::Closed => "after QUIT",
        };
        self.close(Cause::Connection(format!("{why} {step}")));
    }

    /// The handshake is done: everything learned so far is forgotten, and EHLO is said again
    /// (RFC 3207 §4.2).
    pub fn secured(&mut self) {
        if self.phase == Phase::Handshake {
            self.replies = ReplyReader::default();
            self.extensions = Extensions::default();
            self.tls = Tls::Secured;
            self.transcript.noted("TLS");
            self.say_ehlo();
        }
    }

    /// What became of TLS.
    pub const fn tls(&self) -> &Tls {
        &self.tls
    }

    /// What the peer offers now.
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Why the connection ended, once `step` says `Closed`.
    pub const fn end(&self) -> Option<&Cause> {
        self.end.as_ref()
    }

    /// How many replies were heard: a driver restarts its timeout when this grows, so that a
    /// server cannot drip one reply for ever.
    pub const fn heard(&self) -> u64 {
        self.heard
    }

    /// Hands out the transcript so far and starts a new one.
    pub fn take_transcript(&mut self) -> Transcript {
        std::mem::take(&mut self.transcript)
    }

    /// The channel was judged: it may carry mail, and credentials where there are some.
    ///
    /// # Errors
    /// The proof is of another channel, or the credentials cannot be given: never without TLS
    /// (RFC 4954 §4), and only as PLAIN or LOGIN.
    pub fn permitted(
        &mut self,
        proof: &ChannelProof,
        credentials: Option<&Credentials>,
    ) -> Result<(), Cause> {
        if self.phase != Phase::Judge {
            return Err(Cause::Protocol("the connection is not waiting for a judgement".into()));
        }
        self.check(proof)?;
        match credentials {
            None => self.phase = Phase::Ready,
            Some(credentials) => self.authenticate(credentials)?,
        }
        Ok(())
    }

    /// Starts a message. The proof is asked for each one: what was good enough for the message
    /// before may not be for this one.
    ///
    /// # Errors
    /// The connection is not ready, the proof is of another channel, the peer lacks an extension
    /// that the message needs, or the message cannot be said in SMTP.
    pub fn begin<'c, 'm>(
        &'c mut self,
        proof: &ChannelProof,
        mail: Mail<'m>,
    ) -> Result<Transaction<'c, 'm>, Cause> {
        if self.phase != Phase::Ready {
            return Err(Cause::Protocol("the connection is not ready for a message".into()));
        }
        self.check(proof)?;
        if !self.replies.is_empty() {
            let cause = Cause::Protocol("the server replied before it was asked".into());
            self.close(cause.clone());
            return Err(cause);
        }
        mail.is_sayable().and_then(|()| mail.fits(&self.extensions)).map_err(Cause::Capability)?;
        self.phase = Phase::Busy;
        Ok(Transaction::new(self, mail))
    }

    /// Says QUIT, where a server listens.
    pub fn quit(&mut self) {
        match self.phase {
            Phase::Judge | Phase::Ready => {
                self.phase = Phase::Quit;
                self.out.extend_from_slice(b"QUIT\r\n");
            }
            Phase::Greeting
            | Phase::Ehlo
            | Phase::Helo
            | Phase::StartTls
            | Phase::Handshake
            | Phase::Auth(_)
            | Phase::Busy
            | Phase::Quit
            | Phase::Closed => self.phase = Phase::Closed,
        }
    }

    /// A proof that the channel is encrypted is no use on one that is not, and the other way
    /// round: the driver mixed up two connections.
    fn check(&self, proof: &ChannelProof) -> Result<(), Cause> {
        let proven = proof.level() != Level::Cleartext;
        if proven == (self.tls == Tls::Secured) {
            Ok(())
        } else {
            Err(Cause::Channel("the proof belongs to another connection".into()))
        }
    }

    pub(super) fn next_reply(&mut self) -> Result<Option<Reply>, Cause> {
        let reply =
            self.replies.next_reply().map_err(|error| Cause::Protocol(error.to_string()))?;
        self.heard += u64::from(reply.is_some());
        Ok(reply)
    }

    pub(super) fn close(&mut self, cause: Cause) {
        self.out.clear();
        self.phase = Phase::Closed;
        if self.end.is_none() {
            self.end = Some(cause);
        }
    }

    pub(super) fn idle(&mut self) {
        if self.phase == Phase::Busy {
            self.phase = Phase::Ready;
        }
    }

    fn hear(&mut self, reply: Reply) {
        self.transcript.heard(&reply);
        // 421 may come at any time and is the end of the connection (RFC 5321 §3.8).
        if reply.code == 421 {
            return self.close(reply_cause(self.verb(), reply));
        }
        match &self.phase {
            Phase::Greeting if reply.severity() == Severity::Completed => self.say_ehlo(),
            Phase::Ehlo => self.hear_ehlo(reply),
            Phase::Helo if reply.severity() == Severity::Completed => self.greeted(),
            Phase::StartTls => self.hear_start_tls(&reply),
            Phase::Auth(_) => self.hear_auth(reply),
            Phase::Quit => self.phase = Phase::Closed,
            Phase::Greeting
            | Phase::Helo
            | Phase::Handshake
            | Phase::Judge
            | Phase::Ready
            | Phase::Busy
            | Phase::Closed => self.close(reply_cause(self.verb(), reply)),
        }
    }

    const fn verb(&self) -> &'static str {
        match self.phase {
            Phase::Greeting => "greeting",
            Phase::Ehlo => "EHLO",
            Phase::Helo => "HELO",
            Phase::StartTls | Phase::Handshake => "STARTTLS",
            Phase::Auth(_) => "AUTH",
            Phase::Judge | Phase::Ready | Phase::Busy => "an idle connection",
            Phase::Quit | Phase::Closed => "QUIT",
        }
    }

    fn say_ehlo(&mut self) {
        self.phase = Phase::Ehlo;
        self.say(&format!("EHLO {}", self.hello.name));
    }

    fn say(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.transcript.said(line);
    }

    fn hear_ehlo(&mut self, reply: Reply) {
        let clear = self.tls != Tls::Secured;
        match (reply.severity(), self.hello.fallback) {
            (Severity::Completed, _) => {
                self.extensions = Extensions::parse(&reply);
                self.greeted();
            }
            // RFC 5321 §3.2: a server that does not know EHLO answers 500 or 502 (or 501, 504).
            (Severity::Permanent, HeloFallback::Allowed) if clear && is_not_known(&reply) => {
                self.phase = Phase::Helo;
                self.say(&format!("HELO {}", self.hello.name));
            }
            (
                Severity::Continue | Severity::Transient | Severity::Permanent | Severity::Invalid,
                _,
            ) => self.close(reply_cause("EHLO", reply)),
        }
    }

    /// EHLO or HELO went well: STARTTLS if that is to be had, else the judgement.
    fn greeted(&mut self) {
        let offered = self.extensions.start_tls && self.tls != Tls::Secured;
        match self.hello.start_tls {
            StartTls::IfOffered if offered => {
                self.phase = Phase::StartTls;
                self.say("STARTTLS");
            }
            StartTls::IfOffered | StartTls::Skip | StartTls::Implicit => self.phase = Phase::Judge,
        }
    }

    fn hear_start_tls(&mut self, reply: &Reply) {
        if reply.code != 220 {
            // 454, 501 or anything else (RFC 3207 §4): the server goes on without TLS.
            self.tls = Tls::Without(TlsSeen::Refused(reply.to_string()));
            self.phase = Phase::Judge;
        } else if self.replies.is_empty() {
            self.phase = Phase::Handshake;
        } else {
            // What was sent ahead would be read as if it came through TLS (CVE-2011-0411).
            self.transcript.noted("octets after the 220 and before the handshake");
            self.tls = Tls::Without(TlsSeen::Injected);
            self.phase = Phase::Judge;
        }
    }

    fn authenticate(&mut self, credentials: &Credentials) -> Result<(), Cause> {
        if self.tls != Tls::Secured {
            return Err(Cause::Channel("credentials are never sent without TLS".into()));
        }
        let Credentials { user, password } = credentials;
        if self.extensions.auth_plain {
            let plain = STANDARD.encode(format!("\0{user}\0{password}"));
            self.out.extend_from_slice(format!("AUTH PLAIN {plain}\r\n").as_bytes());
            self.transcript.said("AUTH PLAIN");
            self.phase = Phase::Auth(Vec::new());
        } else if self.extensions.auth_login {
            let answers = [password, user].map(|text| STANDARD.encode(text).into_bytes());
            self.say("AUTH LOGIN");
            self.phase = Phase::Auth(answers.into());
        } else {
            return Err(Cause::Channel("the smarthost offers neither AUTH PLAIN nor LOGIN".into()));
        }
        Ok(())
    }

    fn hear_auth(&mut self, reply: Reply) {
        let Phase::Auth(answers) = &mut self.phase else { return };
        match (reply.code, answers.pop()) {
            (235, _) => self.phase = Phase::Ready,
            (334, Some(answer)) => {
                self.out.extend_from_slice(&answer);
                self.out.extend_from_slice(b"\r\n");
            }
            (_, _) => self.close(reply_cause("AUTH", reply)),
        }
    }
}

const fn is_not_known(reply: &Reply) -> bool {
    matches!(reply.code, 500 | 501 | 502 | 504)
}

pub(super) fn reply_cause(command: &str, reply: Reply) -> Cause {
    Cause::Reply { command: command.to_owned(), reply }
}
