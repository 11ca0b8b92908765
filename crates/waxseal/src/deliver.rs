//! Carries out a plan: connects, has the channel judged, sends, and says what happened.
//!
//! There are no choices here. The plan's hosts are tried in its order, each host's addresses in
//! theirs; what a host has to prove stands in the plan, and [`permit`](waxseal_core::channel::permit)
//! judges it, for every message anew, also on a connection that is used again. The peer's replies
//! decide what becomes of each recipient: 2yz and 5yz end the matter, everything else goes to the
//! next host.

mod connection;
mod hindrance;
mod limit;
mod pace;
mod pool;
mod walk;

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use rustls_pki_types::TrustAnchor;
use tokio::time::{Instant, sleep};
use waxseal_core::{
    channel::{ChannelProof, Level, Refusal, Seen},
    decide::{Ask, Plan, Sighting},
    envelope::{Recipient, Return, ReversePath},
    facts::Peer,
    outcome::{Cause, Outcome},
    smtp::client::{Credentials, Purpose},
    time::UnixTime,
};

pub use pace::Pace;
pub(crate) use pace::{Gates, operator};

use self::{limit::Limit, pool::Pool, walk::Walk};
use crate::{
    dial::Dialler,
    store::Remote,
    tls::{Parameters, smtp_client_config},
};

/// How deliveries behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name for EHLO.
    pub hello: String,
    /// Names and passwords of smarthosts.
    pub smarthosts: Vec<Smarthost>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How long a connection may stay unused before it is closed.
    pub idle: Duration,
    /// How many messages a connection carries at most.
    pub messages_per_connection: u32,
    /// How long a connection is used at most.
    pub connection_lifetime: Duration,
    /// How many unused connections are kept, over all hosts.
    pub idle_connections: usize,
    /// How many addresses of one host are tried in one delivery.
    pub addresses_per_host: usize,
    /// At once and per time, for each address of an MX host.
    pub per_address: Pace,
    /// At once and per time, for all MX hosts of one operator.
    pub per_operator: Pace,
    /// At once and per time, for one recipient domain.
    pub per_domain: Pace,
    /// How long a message may wait for its turn before it goes back to the queue.
    pub turn: Duration,
    /// How long an attempt may take until the message itself is said. The times of RFC 5321
    /// §4.5.3.2 are for each command; this one is for all of them at all hosts.
    pub attempt: Duration,
    /// After this an attempt is slow, and lets others go first.
    pub slow: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hello: "localhost".into(),
            smarthosts: Vec::new(),
            timeouts: Timeouts::default(),
            idle: Duration::from_secs(10),
            messages_per_connection: 100,
            connection_lifetime: Duration::from_secs(300),
            idle_connections: 1_000,
            addresses_per_host: 5,
            per_address: Pace { at_once: 20, interval: Duration::ZERO },
            per_operator: Pace { at_once: 60, interval: Duration::ZERO },
            per_domain: Pace { at_once: 20, interval: Duration::ZERO },
            turn: Duration::from_secs(120),
            attempt: Duration::from_mins(30),
            slow: Duration::from_mins(1),
        }
    }
}

/// A smarthost that wants AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    /// The `[[route]]` that it belongs to, by its place. Not by host and port: a stranger's MX may
    /// name our smarthost, and what is demanded there is not what was agreed for the password.
    pub route: usize,
    /// What it gets, once the channel is permitted.
    pub credentials: Credentials,
}

/// How long to wait for what. The defaults are those of RFC 5321 §4.5.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The greeting (§4.5.3.2.1), EHLO, STARTTLS and AUTH.
    pub greeting: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// MAIL and RCPT (§4.5.3.2.2, §4.5.3.2.3).
    pub envelope: Duration,
    /// DATA (§4.5.3.2.4).
    pub data: Duration,
    /// Each block that is written (§4.5.3.2.5).
    pub block: Duration,
    /// The final dot (§4.5.3.2.6).
    pub final_dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(300),
            handshake: Duration::from_secs(60),
            envelope: Duration::from_secs(300),
            data: Duration::from_secs(120),
            block: Duration::from_secs(180),
            final_dot: Duration::from_secs(600),
        }
    }
}

/// One delivery group's message and what to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// The `[[route]]` that the plan follows, by its place; `None`: by MX.
    pub way: Option<usize>,
    /// The recipients of the group, all of one domain.
    pub recipients: &'a [Recipient],
    /// What the message needs of a peer.
    pub ask: Ask,
    /// RET=.
    pub ret: Option<Return>,
    /// ENVID= in xtext.
    pub envelope_id: Option<&'a str>,
    /// Header and body, CRLF line ends, dots not doubled.
    pub content: &'a [u8],
    /// The time at the start.
    pub now: UnixTime,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Every attempt at an address, in order.
    pub tries: Vec<Try>,
    /// What became of each recipient, in the order of the job.
    pub outcomes: Vec<Outcome>,
    /// The host that each outcome is from, where one was reached.
    pub remotes: Vec<Option<Remote>>,
    /// The plan's last entry, where that came to its turn because no host took the message for
    /// all: index into `plan.routes`.
    pub end: Option<usize>,
}

impl Delivery {
    /// The try that carried the message to the recipient at this index.
    pub fn carried(&self, recipient: usize) -> Option<&Try> {
        self.tries.iter().find(|tried| tried.accepted.contains(&recipient))
    }

    /// The least that can be said of all channels that carried it.
    pub fn level(&self) -> Option<Level> {
        let carrying = self.tries.iter().filter(|tried| !tried.accepted.is_empty());
        carrying.filter_map(Try::level).reduce(Level::lesser)
    }

    /// What was seen of the channels, whichever host the outcomes are from.
    pub fn sighting(&self) -> Sighting {
        let refused = self.tries.iter().find_map(|tried| {
            let words = match (&tried.cause, tried.refusal()) {
                (Some(Cause::Channel(words)), _) => words,
                // The connection died in its handshake.
                (Some(Cause::Connection(words)), Some(_)) => words,
                (_, Some(refusal)) => &refusal.detail,
                (_, None) => return None,
            };
            Some(format!("{}: {words}", tried.peer))
        });
        Sighting { refused, good: self.tries.iter().any(|tried| tried.level().is_some()) }
    }
}

/// One attempt at one address of one host.
#[derive(Clone, Debug)]
pub struct Try {
    /// Index into `plan.routes`.
    pub route: usize,
    /// Whom we meant to reach.
    pub peer: Peer,
    /// Where we connected to.
    pub address: SocketAddr,
    /// What was seen of the channel; `None` where it did not come to a judgement.
    pub seen: Option<Arc<Seen>>,
    /// The judgement.
    pub judgement: Option<Result<ChannelProof, Refusal>>,
    /// Whether the connection was there already.
    pub connection: Connection,
    /// What ended the attempt at this address before the message was said, if anything did.
    pub cause: Option<Cause>,
    /// Who was accepted here: indexes into the recipients of the job.
    pub accepted: Vec<usize>,
    /// What was said, without addresses and content; at most 65 lines.
    pub transcript: Vec<String>,
    /// When it began.
    pub started: UnixTime,
    /// When it ended.
    pub finished: UnixTime,
}

impl Try {
    /// The level of the channel, where it was permitted.
    pub fn level(&self) -> Option<Level> {
        self.judgement.as_ref().and_then(|judged| judged.as_ref().ok()).map(ChannelProof::level)
    }

    /// Why the channel was refused, where it was.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.judgement.as_ref().and_then(|judged| judged.as_ref().err())
    }
}

/// Whether a connection was made for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It was.
    New,
    /// It carried others before.
    Reused,
}

/// Makes the intent to send durable before the final dot is written (promise P4).
pub trait Intent: Sync {
    /// Returns once a crash cannot forget that this message may have been sent.
    ///
    /// # Errors
    /// It could not be stored; the message is not sent then.
    fn before_final_dot(&self) -> impl Future<Output = Result<(), IntentLost>> + Send;

    /// Lets other mail go first: this one waits for its turn at a busy host, or its peer is slow.
    fn step_aside(&self) -> Aside {
        Aside::Stood
    }
}

/// Whether a delivery that holds others up could make room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// It has, and may take its time.
    Stood,
    /// Too many stand there already: it comes back later.
    NoRoom,
}

/// The intent to send could not be stored, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentLost(pub String);

/// For callers that made the intent durable when they claimed the message.
#[derive(Clone, Copy, Debug)]
pub struct AlreadyDurable;

impl Intent for AlreadyDurable {
    async fn before_final_dot(&self) -> Result<(), IntentLost> {
        Ok(())
    }
}

/// Delivers. Cheap to clone; the clones share connections and pacing.
#[derive(Clone, Debug)]
pub struct Deliverer {
    shared: Arc<Shared>,
}

/// What all deliveries of one configuration share. A reload makes a new `Deliverer`: connections
/// of the old configuration are not used again (DESIGN §5, configuration generation). Only the gates
/// go on.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) dialler: Dialler,
    pub(crate) tls: Offers,
    pub(crate) roots: Arc<Vec<TrustAnchor<'static>>>,
    pub(crate) pool: Pool,
    /// What goes on at the same time, under whichever configuration it began.
    pub(crate) gates: Arc<Gates>,
}

/// The TLS configurations, one for each set of parameters.
#[derive(Debug)]
pub(crate) struct Offers {
    all: Arc<rustls::ClientConfig>,
    listed: Arc<rustls::ClientConfig>,
}

impl Offers {
    fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            all: smtp_client_config(Parameters::All)?,
            listed: smtp_client_config(Parameters::Listed)?,
        })
    }

    pub(crate) fn with(&self, parameters: Parameters) -> Arc<rustls::ClientConfig> {
        Arc::clone(match parameters {
            Parameters::All => &self.all,
            Parameters::Listed => &self.listed,
        })
    }
}

impl Deliverer {
    /// A deliverer that trusts `roots` where a public CA has to vouch.
    ///
    /// # Errors
    /// The TLS library cannot do TLS 1.2 and 1.3.
    pub fn new(
        settings: Settings,
        dialler: Dialler,
        roots: Arc<Vec<TrustAnchor<'static>>>,
    ) -> Result<Self, rustls::Error> {
        let gates = Arc::new(Gates::new(&settings));
        Self::at_gates(gates, settings, (dialler, roots))
    }

    /// The deliverer of the next configuration: what this one still carries counts there as well.
    /// Its limits hold once it is [in force](Self::take_over).
    ///
    /// # Errors
    /// The TLS library cannot do TLS 1.2 and 1.3.
    pub fn next(
        &self,
        settings: Settings,
        dialler: Dialler,
        roots: Arc<Vec<TrustAnchor<'static>>>,
    ) -> Result<Self, rustls::Error> {
        Self::at_gates(Arc::clone(&self.shared.gates), settings, (dialler, roots))
    }

    fn at_gates(
        gates: Arc<Gates>,
        settings: Settings,
        (dialler, roots): (Dialler, Arc<Vec<TrustAnchor<'static>>>),
    ) -> Result<Self, rustls::Error> {
        let tls = Offers::new()?;
        let pool = Pool::default();
        let shared = Arc::new(Shared { settings, dialler, tls, roots, pool, gates });
        Ok(Self { shared })
    }

    /// From now on the limits of this deliverer hold, also for what others still carry.
    pub fn take_over(&self) {
        self.shared.gates.limit(&self.shared.settings);
    }

    /// Carries out a plan. `intent` is asked before each final dot.
    pub async fn deliver(&self, job: Job<'_>, intent: &impl Intent) -> Delivery {
        let settings = &self.shared.settings;
        let limit = Limit::new(Instant::now() + settings.attempt, job.content.len());
        let mut walk = pin!(Walk::new(&self.shared, job, (Purpose::Deliver, &limit)).run(intent));
        tokio::select! {
            biased;
            delivery = &mut walk => return delivery,
            () = sleep(settings.slow) => {}
        }
        if intent.step_aside() == Aside::NoRoom {
            limit.cut();
        }
        walk.await
    }

    /// Asks whether the recipients of a job would be taken, over a channel that may carry the job
    /// and no other: who exists is nobody else's business either. `Accepted` means taken; nothing
    /// of the content is said. `octets` is how long the message would be, 0 where nobody knows.
    pub async fn ask(&self, job: Job<'_>, octets: u64) -> Delivery {
        let limit = Limit::new(Instant::now() + self.shared.settings.attempt, 0);
        Walk::new(&self.shared, job, (Purpose::Ask { octets }, &limit)).run(&AlreadyDurable).await
    }

    /// How many unused connections are open.
    pub fn idle_connections(&self) -> usize {
        self.shared.pool.len()
    }

    /// Says QUIT on all unused connections and forgets them: for a graceful stop, and after a
    /// reload for the old deliverer.
    pub async fn close(&self) {
        for connection in self.shared.pool.drain() {
            connection.quit().await;
        }
    }
}
