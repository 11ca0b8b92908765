//! Where mail comes in: sockets, TLS, time limits and sign-in around [`waxseal_core::smtp::server`].
//!
//! A [`Listener`] owns one address. What it shares with the others (the store behind [`Accept`],
//! counts, the workers that hash passwords) is the [`Desk`]. Its [`Control`] replaces the settings,
//! certificates included, for the sessions that begin after that.

mod limits;
mod passwords;
mod session;
mod stamp;
mod stream;
mod submission;
mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
};
use waxseal_core::smtp::server::{self, AuthOffer, StartTls};

pub use passwords::{Passwords, PasswordsError, hash};
pub use submission::{
    Accept, AcceptError, Asked, Client, DkimUnknown, DkimVerifier, Lane, NoDkim, NoRecipients,
    Recipients, Remembered, Submission, Verification,
};
pub use tls::{ClientCa, ServerTls, TlsFiles, TlsFilesError};

use crate::{metrics, resolve::Clock};
use limits::{Crowded, Failures, Intake, MAX_SIGN_INS, MAX_SIZES, MAX_UNKNOWN, Place};
pub(crate) use limits::{Origin, Sessions};

/// How one listener behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names and limits. What is offered follows from the fields below: STARTTLS where there is a
    /// certificate and TLS does not come first (`Required` stays), AUTH where there are passwords.
    pub smtp: Arc<server::Settings>,
    /// The certificate; `None`: no TLS, and so no AUTH.
    pub tls: Option<ServerTls>,
    /// Whether TLS comes first (port 465, RFC 8314 §3.3).
    pub begin: Begin,
    /// Mail from outside, relay for our servers, or submission for our people.
    pub kind: Kind,
    /// Networks that may relay.
    pub relay_from: Vec<IpNet>,
    /// What a peer of these networks has to show beside its address.
    pub proof: Proof,
    /// Who may sign in.
    pub passwords: Option<Arc<Passwords>>,
    /// How long is waited for what.
    pub times: Times,
    /// Sessions at once, over all listeners of a [`Desk`].
    pub sessions: usize,
    /// Sessions at once of one client.
    pub sessions_per_client: usize,
    /// Octets of messages that are being read, over all listeners of a [`Desk`]; those of up to
    /// 64 KiB are not counted.
    pub intake: usize,
    /// The same of one client.
    pub intake_per_client: usize,
}

impl Settings {
    /// Offers what there is, and nothing else.
    fn coherent(mut self) -> Self {
        let smtp = Arc::make_mut(&mut self.smtp);
        smtp.starttls = match (&self.tls, self.begin, smtp.starttls) {
            (None, _, _) | (_, Begin::Handshake, _) => StartTls::NotOffered,
            (Some(_), Begin::Greeting, StartTls::Required) => StartTls::Required,
            (Some(_), Begin::Greeting, StartTls::Offered | StartTls::NotOffered) => {
                StartTls::Offered
            }
        };
        smtp.auth = match (&self.tls, &self.passwords, self.kind) {
            (Some(_), Some(_), Kind::Relay | Kind::Submission) => AuthOffer::Yes,
            // Nobody becomes somebody who may relay where everybody may send.
            (None, _, _) | (_, None, _) | (_, _, Kind::Inbound) => AuthOffer::No,
        };
        self
    }
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With our greeting in the clear.
    Greeting,
    /// With a TLS handshake.
    Handshake,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mail servers of others, with mail for people of ours (an MX host).
    Inbound,
    /// Mail servers: messages stay as they are.
    Relay,
    /// People's programs: missing `Date` and `Message-ID` are added (RFC 6409 §8).
    Submission,
}

/// What a peer of `relay_from` has to show beside its address. Addresses of a cloud are shared:
/// any other tenant comes from there too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the networks are ours alone.
    Address,
    /// AUTH.
    Auth,
    /// A certificate of the configured CA.
    ClientCert,
    /// A valid DKIM signature of one of our sender domains on every message.
    Dkim,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The TLS handshake, all of it.
    pub handshake: Duration,
    /// A whole command, from the reply before it: a client that drips is no faster.
    /// At least 5 minutes between servers (RFC 5321 §4.5.3.2.7).
    pub command: Duration,
    /// The next piece of a message (RFC 5321 §4.5.3.2.5).
    pub block: Duration,
    /// A whole message: a client that drips does not hold a session for ever.
    pub message: Duration,
    /// A session; it ends after the transaction that is under way.
    pub session: Duration,
    /// A graceful stop: then sessions are cut off.
    pub stop: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(60),
            command: Duration::from_secs(300),
            block: Duration::from_secs(180),
            message: Duration::from_secs(1_800),
            session: Duration::from_secs(3_600),
            stop: Duration::from_secs(30),
        }
    }
}

/// What all listeners share.
pub struct Desk<A> {
    accept: A,
    dkim: Box<dyn DkimVerifier>,
    recipients: Box<dyn Recipients>,
    clock: Clock,
    sessions: Arc<Sessions>,
    intake: Arc<Intake>,
    failures: Failures,
    unknown: Failures,
    sizes: Failures,
    hashing: Semaphore,
}

impl<A: Accept> Desk<A> {
    /// Messages go to `accept`; shared networks are proven by `dkim`; who of ours exists is known to
    /// `recipients`.
    pub fn new(
        accept: A,
        dkim: Box<dyn DkimVerifier>,
        recipients: Box<dyn Recipients>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            accept,
            dkim,
            recipients,
            clock,
            sessions: Arc::default(),
            intake: Arc::default(),
            failures: Failures::of(MAX_SIGN_INS),
            unknown: Failures::of(MAX_UNKNOWN),
            sizes: Failures::of(MAX_SIZES),
            // One hash is one core; a second one lets the next wait less.
            hashing: Semaphore::new(2),
        })
    }
}

/// One bound address.
pub struct Listener<A> {
    socket: TcpListener,
    address: SocketAddr,
    control: Control,
    desk: Arc<Desk<A>>,
}

/// Changes a listener while it runs.
#[derive(Clone, Debug)]
pub struct Control(Arc<RwLock<Arc<Settings>>>);

impl Control {
    /// New settings, certificates included, for the sessions that begin from now on.
    pub fn replace(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings.coherent());
    }

    fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<A: Accept> Listener<A> {
    /// Takes an address.
    ///
    /// # Errors
    /// What the system says: the address is taken, or the port needs a privilege.
    pub async fn bind(
        address: SocketAddr,
        settings: Settings,
        desk: Arc<Desk<A>>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let control = Control(Arc::new(RwLock::new(Arc::new(settings.coherent()))));
        Ok(Self { socket, address, control, desk })
    }

    /// Where it listens: the port too, where 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle that changes it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `stop` turns true; returns when the last session has ended, or was cut off
    /// after [`Times::stop`].
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        // Each session holds a sender; when all are gone the channel says so.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let (cut, cut_off) = watch::channel(false);
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.begin(socket, peer, (&stop, &cut_off, &alive)),
                Err(error) => {
                    // EMFILE and its kin pass when sessions end; spinning would not help them.
                    tracing::warn!(%error, listener = %self.address, "cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        let Self { socket, control, .. } = self;
        // Or new clients would be connected by the system and greeted by nobody.
        drop(socket);
        drop(alive);
        let patience = control.current().times.stop;
        if tokio::time::timeout(patience, ended.recv()).await.is_err() {
            cut.send_replace(true);
            ended.recv().await;
        }
    }

    fn begin(&self, socket: TcpStream, peer: SocketAddr, signals: Signals<'_>) {
        let (stop, cut_off, alive) = signals;
        let settings = self.control.current();
        let origin = Origin::of(peer.ip());
        let (most, each) = (settings.sessions, settings.sessions_per_client);
        let place = match self.desk.sessions.enter(origin, most, each) {
            Ok(place) => place,
            Err(crowded) => return refuse(&socket, &settings, crowded),
        };
        // Replies are small and each is waited for: Nagle's algorithm would only delay them.
        let _ = socket.set_nodelay(true);
        let counted = metrics::Session::begin(match settings.kind {
            Kind::Inbound => "inbound",
            Kind::Relay => "relay",
            Kind::Submission => "submission",
        });
        let session = session::Session::new(socket, peer.ip(), settings, Arc::clone(&self.desk));
        let (stop, mut cut_off, alive) = (stop.clone(), cut_off.clone(), alive.clone());
        tokio::spawn(async move {
            let _held: (Place, metrics::Session, mpsc::Sender<()>) = (place, counted, alive);
            tokio::select! {
                () = session.run(stop) => {}
                _ = cut_off.wait_for(|cut| *cut) => {}
            }
        });
    }
}

/// Stop, cut off, and the sender that shows who is alive.
type Signals<'a> = (&'a watch::Receiver<bool>, &'a watch::Receiver<bool>, &'a mpsc::Sender<()>);

/// 421 without a session (RFC 5321 §3.8): one write that either fits or does not.
fn refuse(socket: &TcpStream, settings: &Settings, crowded: Crowded) {
    let reason = match crowded {
        Crowded::Total => "too many sessions, try again later",
        Crowded::Client => "too many sessions from your address",
    };
    match settings.begin {
        Begin::Greeting => {
            let mut refused = server::Server::refused(Arc::clone(&settings.smtp), reason);
            let _ = socket.try_write(refused.output());
        }
        // Before the handshake there is no way to say it.
        Begin::Handshake => {}
    }
}

impl<A> Desk<A> {
    fn may_try(&self, origin: Origin) -> bool {
        !self.failures.too_often(origin, Instant::now())
    }
}
