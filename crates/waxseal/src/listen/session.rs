//! One session: bytes to the machine, and what it asks for.

use std::{future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use rustls_pki_types::UnixTime as PkiTime;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use waxseal_core::smtp::{
    auth::Credentials,
    received::{Received, TlsFacts},
    server::{
        Action, Answer, Grant, Incoming, Question, Server, Standing, Taken, Verified, Waiting,
    },
};

use super::{
    Accept, Begin, Client, Desk, Kind, Lane, Origin, Proof, Remembered, Settings, Submission,
    limits::Fits, stamp::stamp, stream::Stream, tls,
};
use crate::clock::Clock;

/// The largest output that an idle session keeps room for.
const IDLE_OUTPUT: usize = 512;

/// How long a closed session waits for the client to see it.
const LINGER: Duration = Duration::from_secs(2);
/// How much it reads in that time.
const MAX_DROPPED: usize = 1024 * 1024;

pub(super) struct Session<A> {
    stream: Stream,
    ip: IpAddr,
    settings: Arc<Settings>,
    desk: Arc<Desk<A>>,
    inbox: Vec<u8>,
}

/// Why the session goes on no longer.
enum End {
    /// In order.
    Done,
    /// The client went away, or the connection broke.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// What a wait came to.
enum Woken {
    /// Something was read.
    Input,
    /// A stop is asked for.
    Stop,
    /// Time is up.
    Late,
}

/// The time limits of a session, as moments.
struct Deadlines {
    command: Instant,
    message: Option<Instant>,
    session: Instant,
}

impl<A: Accept> Session<A> {
    pub(super) const fn new(
        socket: TcpStream,
        ip: IpAddr,
        settings: Arc<Settings>,
        desk: Arc<Desk<A>>,
    ) -> Self {
        Self { stream: Stream::Plain(socket), ip, settings, desk, inbox: Vec::new() }
    }

    /// Serves the client until it leaves or is sent away.
    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        if let Ok(machine) = self.greet().await {
            let _ = self.serve(machine, stop).await;
        }
    }

    async fn greet(&mut self) -> Result<Box<Server>, End> {
        let standing = self.standing();
        let smtp = Arc::clone(&self.settings.smtp);
        Ok(Box::new(match self.settings.begin {
            Begin::Greeting => Server::new(smtp, standing, None),
            Begin::Handshake => {
                let (facts, grant) = self.handshake().await?;
                Server::new(smtp, grant.map_or(standing, Standing::Relay), Some(facts))
            }
        }))
    }

    /// What the address alone is good for.
    fn standing(&self) -> Standing {
        match self.settings.kind {
            Kind::Inbound => return Standing::Outside,
            Kind::Relay | Kind::Submission => {}
        }
        if !self.is_near() {
            return Standing::Stranger;
        }
        match self.settings.proof {
            Proof::Address => Standing::Relay(Grant::Network),
            Proof::Dkim => Standing::Shared,
            // The second proof is a first one too: without it such a peer is a stranger.
            Proof::Auth | Proof::ClientCert => Standing::Stranger,
        }
    }

    /// Whether the client is in one of the networks.
    fn is_near(&self) -> bool {
        let ip = self.ip.to_canonical();
        self.settings.relay_from.iter().any(|network| network.contains(&ip))
    }

    /// Whether a password or a certificate is proof enough: where networks are named and one of
    /// these is the second proof, both are asked for.
    fn may_prove(&self) -> bool {
        match self.settings.proof {
            Proof::Auth | Proof::ClientCert => {
                self.settings.relay_from.is_empty() || self.is_near()
            }
            Proof::Address | Proof::Dkim => true,
        }
    }

    async fn serve(
        &mut self,
        mut machine: Box<Server>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<End, End> {
        let mut deadlines = Deadlines::new(&self.settings);
        let mut stopping = false;
        let mut share = self.desk.intake.share(Origin::of(self.ip));
        let bounds = (self.settings.intake, self.settings.intake_per_client);
        loop {
            let step = machine.step(&self.inbox);
            self.forget(step.consumed);
            match step.action {
                Action::Wait => {}
                Action::Ask(question) => {
                    let answer = Box::pin(self.ask(*question)).await;
                    machine.answered(answer);
                }
                Action::Take(incoming) => {
                    let taken = self.boxed_take(incoming).await;
                    machine.taken(taken);
                }
                Action::Verify(credentials) => {
                    let user = credentials.user.clone();
                    let verified = self.verify(credentials).await;
                    machine.verified(user, verified);
                }
                Action::StartTls => self.start_tls(&mut machine).await?,
                Action::Close => {
                    self.flush(&mut machine).await?;
                    let _ = timeout(LINGER, self.linger()).await;
                    return Ok(End::Done);
                }
                Action::Read => {
                    if share.resize(machine.held(), bounds) == Fits::No {
                        tracing::warn!(client = %self.ip, "a message is put off: too much is being read");
                        machine.no_room();
                    }
                    deadlines.turn(&machine, &self.settings);
                    self.flush(&mut machine).await?;
                    let until = deadlines.next(machine.waiting(), &self.settings);
                    match self.wait(until, stopping, &mut stop).await? {
                        Woken::Input => {}
                        Woken::Stop => stopping = true,
                        Woken::Late if deadlines.session_is_over() && !stopping => stopping = true,
                        Woken::Late => machine.timed_out(),
                    }
                    if stopping {
                        machine.stop();
                    }
                }
            }
        }
    }

    /// Waits for input, the stop, or the end of patience.
    async fn wait(
        &mut self,
        until: Instant,
        stopping: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Woken, End> {
        let read = self.stream.read(&mut self.inbox);
        let read = timeout_at(until, read);
        let stop = async {
            // A sender that is gone will not ask for a stop.
            if stopping || stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            read = read => match read {
                Err(_) => Ok(Woken::Late),
                Ok(Ok(0)) => Err(End::Gone),
                Ok(Ok(_)) => Ok(Woken::Input),
                Ok(Err(_)) => Err(End::Gone),
            },
            () = stop => Ok(Woken::Stop),
        }
    }

    /// Says goodbye and reads on for a moment: closing on unread input would reset the connection,
    /// and the client would never see why (RFC 1122 §4.2.2.13).
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut dropped = 0;
        while dropped < MAX_DROPPED {
            self.inbox.clear();
            match self.stream.read(&mut self.inbox).await? {
                0 => break,
                more => dropped += more,
            }
        }
        Ok(())
    }

    /// Drops what was used; an idle session keeps no buffer.
    fn forget(&mut self, consumed: usize) {
        if consumed >= self.inbox.len() {
            if self.inbox.capacity() > IDLE_OUTPUT {
                self.inbox = Vec::new();
            } else {
                self.inbox.clear();
            }
        } else {
            self.inbox.drain(..consumed);
        }
    }

    async fn flush(&mut self, machine: &mut Server) -> Result<(), End> {
        let output = machine.output();
        if output.is_empty() {
            return Ok(());
        }
        // A client that does not read its replies is as slow as one that does not write.
        let written = timeout(self.settings.times.command, self.stream.write(output)).await;
        if output.capacity() > IDLE_OUTPUT {
            *output = Vec::new();
        }
        output.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn start_tls(&mut self, machine: &mut Server) -> Result<(), End> {
        if !self.inbox.is_empty() {
            // Written in the clear behind STARTTLS: whoever did it wants it read as if it had come
            // under TLS (CVE-2011-0411). The machine ends the session.
            tracing::warn!(client = %self.ip, "text behind STARTTLS in the clear: session ended");
            return Ok(());
        }
        self.flush(machine).await?;
        let (facts, grant) = self.handshake().await?;
        machine.secured(facts, grant);
        Ok(())
    }

    async fn handshake(&mut self) -> Result<(TlsFacts, Option<Grant>), End> {
        let server = self.settings.tls.clone().ok_or(End::Gone)?;
        let plain = std::mem::replace(&mut self.stream, Stream::Gone);
        let secured = plain.secure(Arc::clone(&server.config));
        // Boxed: the handshake needs room that the rest of the session does not.
        let secured = timeout(self.settings.times.handshake, Box::pin(secured)).await;
        self.stream = match secured {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(client = %self.ip, %error, "TLS handshake failed");
                return Err(End::Gone);
            }
            Err(_) => return Err(End::Gone),
        };
        let session = self.stream.tls().ok_or(End::Gone)?;
        let facts = tls::facts(session).ok_or(End::Gone)?;
        let now = Duration::from_secs(Clock::system().now().0);
        let grant = match self.settings.kind {
            Kind::Inbound => None,
            Kind::Relay | Kind::Submission => server.grant(session, PkiTime::since_unix_epoch(now)),
        };
        Ok((facts, grant.filter(|_| self.may_prove())))
    }

    async fn verify(&self, credentials: Credentials) -> Verified {
        let origin = Origin::of(self.ip);
        if !self.desk.may_try(origin) {
            return Verified::TooOften;
        }
        let Some(passwords) = &self.settings.passwords else { return Verified::Unavailable };
        if !self.may_prove() {
            tracing::warn!(client = %self.ip, "sign-in from outside the networks of relay_from");
            return Verified::No;
        }
        let verified = passwords.check(credentials, &self.desk.hashing).await;
        if verified == Verified::No {
            tracing::warn!(client = %self.ip, "sign-in failed");
            self.desk.failures.count(origin, std::time::Instant::now());
        }
        verified
    }

    /// Who names too many that do not exist hears only of those who are known already: names are
    /// not found out by trying.
    async fn ask(&self, question: Question) -> Answer {
        let origin = Origin::of(self.ip);
        let now = std::time::Instant::now;
        let recipients = &self.desk.recipients;
        let lane = self.desk.unknown.lane(origin, now());
        let answer = match (recipients.remembered(&question), lane) {
            (Remembered::Answer(answer), _) => answer,
            (Remembered::Nothing, None) => return Answer::TooOften,
            (Remembered::Existence, None) if self.desk.sizes.too_often(origin, now()) => {
                return Answer::TooOften;
            }
            (Remembered::Existence, None) => {
                self.desk.sizes.count(origin, now());
                recipients.ask(question, Lane::Narrow).await
            }
            (Remembered::Existence | Remembered::Nothing, Some(lane)) => {
                recipients.ask(question, lane).await
            }
        };
        match &answer {
            Answer::Refused(_) => self.desk.unknown.count(origin, now()),
            Answer::Later(_) | Answer::Taken | Answer::TooOften => {}
        }
        answer
    }

    /// Boxed, so that an idle session has no room for what only a message needs.
    fn boxed_take(
        &self,
        incoming: Box<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Taken> + Send + '_>> {
        Box::pin(self.take(incoming))
    }

    async fn take(&self, incoming: Box<Incoming>) -> Taken {
        let Incoming { envelope, message, headers, client, protocol, tls, standing } = *incoming;
        match &standing {
            Standing::Outside | Standing::Relay(_) => {}
            Standing::Stranger => return Taken::Internal,
            Standing::Shared => match self.desk.dkim.verify(&message).await {
                Err(_) => return Taken::UnprovenNow,
                Ok(signers) => {
                    let senders = &self.settings.smtp.senders;
                    if !signers.iter().any(|signer| senders.contains(signer)) {
                        tracing::warn!(client = %self.ip, "no DKIM proof from a shared network");
                        return Taken::Unproven;
                    }
                }
            },
        }
        let submitted_at = self.desk.clock.now();
        let trace = uuid::Uuid::now_v7().simple().to_string();
        let received = Received {
            client: &client,
            ip: self.ip.to_canonical(),
            by: &self.settings.smtp.hostname,
            id: &trace,
            protocol,
            tls: tls.as_ref(),
            at: submitted_at,
        };
        let message = stamp(message, headers, &received, self.settings.kind);
        let client = Client { ip: self.ip.to_canonical(), ehlo: client, standing, tls };
        let submission = Submission { envelope, message, client, trace, submitted_at };
        match self.desk.accept.accept(submission).await {
            Ok(id) => Taken::Accepted(id.to_string()),
            Err(error) => {
                tracing::warn!(%error, "a message was put off");
                error.into()
            }
        }
    }
}

impl Deadlines {
    fn new(settings: &Settings) -> Self {
        let now = Instant::now();
        Self { command: now, message: None, session: now + settings.times.session }
    }

    /// Called before each wait. A command has its time from the reply before it; input alone does
    /// not renew it.
    fn turn(&mut self, machine: &Server, settings: &Settings) {
        let now = Instant::now();
        match machine.waiting() {
            Waiting::Data => {
                self.message.get_or_insert(now + settings.times.message);
                self.command = now;
            }
            Waiting::Idle | Waiting::Command | Waiting::Shell => {
                self.message = None;
                if machine.has_output() {
                    self.command = now + settings.times.command;
                }
            }
        }
    }

    fn next(&self, waiting: Waiting, settings: &Settings) -> Instant {
        match waiting {
            Waiting::Data => {
                let block = Instant::now() + settings.times.block;
                self.message.map_or(block, |message| message.min(block))
            }
            Waiting::Idle => self.command.min(self.session),
            // A transaction may be finished, in the time that its message would have.
            Waiting::Command => self.command.min(self.session + settings.times.message),
            Waiting::Shell => self.command,
        }
    }

    fn session_is_over(&self) -> bool {
        Instant::now() >= self.session
    }
}
