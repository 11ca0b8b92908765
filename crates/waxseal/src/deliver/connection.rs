//! One connection: a socket, perhaps with TLS, and the state machine that speaks on it.

mod exchange;
mod stream;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use waxseal_core::{
    channel::{ChannelProof, Legacy, Refusal, Seen, TlsSeen, permit},
    decide::HostRoute,
    domain::Domain,
    outcome::{Cause, Outcome},
    smtp::client::{Client, Credentials, Hello, Mail, Purpose, StartTls, Step, Tls},
    time::UnixTime,
};

use self::{
    exchange::{Settled, settle, transact},
    stream::Stream,
};
use super::{Intent, Shared, Timeouts, limit::Limit};
use crate::{
    store::Dsn,
    tls::{self, Parameters},
};

/// Octets that are read at once: replies are small.
const READ: usize = 4_096;
/// How long a judgement may be used again for an equal route.
const FRESH: Duration = Duration::from_secs(10);
/// Why an attempt ended before the message was said.
pub(super) const TOO_LONG: &str = "the attempt took too long before all of the message was said";
/// Recipients that were asked about on one connection and refused: then a new one is made. Servers
/// slow down who collects more errors, and hang up (Postfix from 10 on, Exchange at 5).
const REFUSALS: usize = 4;
/// How long a peer that we leave gets to take our QUIT.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a transaction may take: each command, and all of them up to the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) timeouts: &'a Timeouts,
    pub(super) limit: &'a Limit,
}

/// The time, from the job's and the time since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) start: UnixTime,
    pub(super) since: Instant,
}

impl Clock {
    pub(super) fn now(&self) -> UnixTime {
        self.start + self.since.elapsed()
    }
}

/// What makes two connections exchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) address: SocketAddr,
    pub(crate) sni: Option<Domain>,
    pub(crate) source: Option<IpAddr>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) parameters: Parameters,
}

/// A connection that came as far as to be judged.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    client: Client,
    buffer: Box<[u8]>,
    seen: Arc<Seen>,
    judged: Option<(HostRoute, ChannelProof)>,
    key: Key,
    used: u32,
    refusals: usize,
    born: Instant,
    idle_since: Instant,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) cause: Cause,
    /// Where the TLS handshake failed.
    pub(super) tls: Option<TlsSeen>,
    pub(super) transcript: Vec<String>,
}

impl Failed {
    pub(super) fn new(cause: Cause) -> Self {
        Self { cause, tls: None, transcript: Vec::new() }
    }
}

/// What is dialled, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) host: &'a HostRoute,
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
}

impl Call<'_> {
    /// Connects, greets, starts TLS where it is offered, and stops where mail would begin.
    pub(super) async fn open(self, hello: Hello, key: Key) -> Result<Link, Failed> {
        let timeouts = &self.shared.settings.timeouts;
        let tcp = self.shared.dialler.connect(self.address).await.map_err(|error| {
            Failed::new(Cause::Connection(format!("connecting to {}: {error}", self.address)))
        })?;
        let implicit = hello.start_tls == StartTls::Implicit;
        let parameters = key.parameters;
        let stream =
            if implicit { self.secure(tcp, parameters).await? } else { Stream::Plain(tcp) };
        let mut line =
            Line { stream, client: Client::new(hello), buffer: vec![0; READ].into_boxed_slice() };
        loop {
            match line.settle(timeouts).await {
                Settled::StartTls => line = self.start_tls(line, parameters).await?,
                Settled::Judge | Settled::Ready => return Ok(self.link(line, key)),
                Settled::Closed => return Err(line.failed()),
            }
        }
    }

    async fn start_tls(self, mut line: Line, parameters: Parameters) -> Result<Line, Failed> {
        let Stream::Plain(tcp) = line.stream else { return Err(line.failed()) };
        match self.secure(tcp, parameters).await {
            Ok(stream) => {
                line.client.secured();
                Ok(Line { stream, client: line.client, buffer: line.buffer })
            }
            Err(failed) => {
                let transcript = line.client.take_transcript().into_lines();
                Err(Failed { transcript, ..failed })
            }
        }
    }

    /// The TLS handshake.
    async fn secure(self, tcp: TcpStream, parameters: Parameters) -> Result<Stream, Failed> {
        let fail = |cause: fn(String) -> Cause, legacy, detail: String| Failed {
            cause: cause(format!("TLS handshake with {}: {detail}", self.address)),
            tls: Some(TlsSeen::HandshakeFailed { legacy, detail }),
            transcript: Vec::new(),
        };
        // A connection that dies or goes silent says nothing of the peer, and is no worse in the
        // middle of a handshake than before it (RFC 8689 §4.2.1: such a failure is temporary).
        let (died, refused) = (Cause::Connection, Cause::Channel);
        let name = server_name(self.host.sni.as_ref(), self.address).ok_or_else(|| {
            fail(refused, Legacy::No, "the host's name cannot be a TLS server name".into())
        })?;
        let connector = TlsConnector::from(self.shared.tls.with(parameters));
        let limit = self.shared.settings.timeouts.handshake;
        match timeout(limit, connector.connect(name, tcp)).await {
            Err(_) => Err(fail(died, Legacy::No, "no end of the handshake in time".into())),
            Ok(Err(error)) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(tls) => fail(refused, tls::legacy(tls), tls::explain(tls)),
                None => fail(died, Legacy::No, error.to_string()),
            }),
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        }
    }

    fn link(self, line: Line, key: Key) -> Link {
        let established = |stream: &Stream| match stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => {
                tls::session(tls.get_ref().1, self.host.sni.as_ref(), self.clock.now())
            }
        };
        let tls = match line.client.tls() {
            Tls::Without(seen) => seen.clone(),
            Tls::Secured => established(&line.stream).map_or_else(
                || TlsSeen::HandshakeFailed {
                    legacy: Legacy::No,
                    detail: "the peer showed no certificate".into(),
                },
                TlsSeen::Established,
            ),
        };
        let seen = Arc::new(Seen { peer: self.host.peer.clone(), address: self.address, tls });
        let Line { stream, client, buffer } = line;
        let now = Instant::now();
        let (born, idle_since) = (now, now);
        Link {
            stream,
            client,
            buffer,
            seen,
            judged: None,
            key,
            used: 0,
            refusals: 0,
            born,
            idle_since,
        }
    }
}

/// Without a name no server name is sent: an address cannot be one (RFC 6066 §3).
fn server_name(sni: Option<&Domain>, address: SocketAddr) -> Option<ServerName<'static>> {
    match sni {
        None => Some(ServerName::IpAddress(address.ip().into())),
        Some(name) => ServerName::try_from(name.as_str().to_owned()).ok(),
    }
}

impl Link {
    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) const fn idle_since(&self) -> Instant {
        self.idle_since
    }

    pub(super) const fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Whether the peer goes on reporting (RFC 3461 §5.2.1, §5.2.2).
    pub(super) const fn dsn(&self) -> Dsn {
        if self.client.extensions().dsn { Dsn::Offered } else { Dsn::Missing }
    }

    pub(super) fn take_transcript(&mut self) -> Vec<String> {
        self.client.take_transcript().into_lines()
    }

    /// For a connection without TLS after a handshake that failed: that is what was seen.
    pub(super) fn remember(&mut self, tls: TlsSeen) {
        self.seen =
            Arc::new(Seen { peer: self.seen.peer.clone(), address: self.seen.address, tls });
    }

    /// Asks `permit` about this connection and this route. A judgement of an equal route is used
    /// again for a few seconds, since it would be the same: the rest of the input is the same too.
    pub(super) fn judge(
        &mut self,
        shared: &Shared,
        route: &HostRoute,
        now: UnixTime,
    ) -> Result<ChannelProof, Refusal> {
        if self.seen.peer != route.peer {
            let Seen { address, tls, .. } = Seen::clone(&self.seen);
            self.seen = Arc::new(Seen { peer: route.peer.clone(), address, tls });
        }
        if let Some((judged, proof)) = &self.judged
            && judged == route
            && now >= proof.at()
            && now.since(proof.at()) < FRESH
        {
            return Ok(proof.clone());
        }
        let proof = permit(route, &self.seen, &shared.roots, now)?;
        self.judged = Some((route.clone(), proof.clone()));
        Ok(proof)
    }

    /// Gives credentials, where there are some, and stands ready.
    pub(super) async fn permitted(
        &mut self,
        proof: &ChannelProof,
        timeouts: &Timeouts,
    ) -> Result<(), Cause> {
        self.client.permitted(proof, self.key.credentials.as_ref())?;
        let (stream, client, buffer) = (&mut self.stream, &mut self.client, &mut self.buffer);
        match settle(stream, client, buffer, timeouts).await {
            Settled::Ready => Ok(()),
            Settled::StartTls | Settled::Judge | Settled::Closed => Err(end_of(&self.client)),
        }
    }

    /// Whether the peer still waits for us: an idle connection may have been closed, or got a 421.
    pub(super) async fn is_alive(&mut self) -> bool {
        match self.stream.read_now(&mut self.buffer).await {
            None => true,
            Some(Ok(count)) if count > 0 => {
                self.client.input(self.buffer.get(..count).unwrap_or_default());
                self.client.step() == Step::Ready
            }
            Some(Ok(_) | Err(_)) => false,
        }
    }

    /// Sends one message.
    pub(super) async fn send(
        &mut self,
        proof: &ChannelProof,
        mail: Mail<'_>,
        intent: &impl Intent,
        bounds: Bounds<'_>,
    ) -> Result<Vec<Outcome>, Cause> {
        self.used += 1;
        let transaction = self.client.begin(proof, mail)?;
        let outcomes =
            transact(&mut self.stream, &mut self.buffer, transaction, intent, bounds).await;
        if let Purpose::Ask { .. } = mail.purpose {
            self.refusals += outcomes.iter().filter(|outcome| is_refusal(outcome)).count();
        }
        self.idle_since = Instant::now();
        Ok(outcomes)
    }

    /// Whether another message may follow.
    pub(super) fn may_go_on(&mut self, shared: &Shared) -> bool {
        self.client.step() == Step::Ready
            && self.used < shared.settings.messages_per_connection
            && self.refusals < REFUSALS
            && self.born.elapsed() < shared.settings.connection_lifetime
    }

    /// Says QUIT and hangs up; the reply would tell nothing.
    pub(crate) async fn quit(mut self) {
        self.client.quit();
        if let Step::Write(bytes) = self.client.step() {
            let farewell = async {
                self.stream.write(&[Cow::Owned(bytes)]).await?;
                self.stream.shutdown().await
            };
            // Whether the peer takes it makes no difference to any message.
            drop(timeout(FAREWELL, farewell).await);
        }
    }
}

fn is_refusal(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Rejected { cause } | Outcome::Deferred { cause } => {
            matches!(cause, Cause::Reply { .. })
        }
        Outcome::Accepted { .. } | Outcome::Unknown { .. } | Outcome::Disconnected { .. } => false,
    }
}

/// A connection on its way to be judged.
#[derive(Debug)]
struct Line {
    stream: Stream,
    client: Client,
    buffer: Box<[u8]>,
}

impl Line {
    async fn settle(&mut self, timeouts: &Timeouts) -> Settled {
        settle(&mut self.stream, &mut self.client, &mut self.buffer, timeouts).await
    }

    fn failed(mut self) -> Failed {
        let transcript = self.client.take_transcript().into_lines();
        Failed { cause: end_of(&self.client), tls: None, transcript }
    }
}

fn end_of(client: &Client) -> Cause {
    client.end().cloned().unwrap_or_else(|| Cause::Protocol("the connection ended".into()))
}
