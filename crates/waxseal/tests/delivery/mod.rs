//! The executor against servers on loopback: honest ones, broken ones, and attackers.

mod attacks;
mod handshake;
mod reuse;
mod routes;
mod slow;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls_pki_types::TrustAnchor;
use waxseal::{
    deliver::{AlreadyDurable, Deliverer, Delivery, Intent, IntentLost, Job, Settings, Timeouts},
    dial::Dialler,
};
use waxseal_core::{
    channel::{By, Demand, Floor, Level, TrustFirst, Voucher},
    dane::Tlsa,
    decide::{Ask, HostRoute, Plan, RequireTls, Route},
    domain::Domain,
    envelope::{Mailbox, Recipient, ReversePath},
    facts::Peer,
    outcome::{Cause, Outcome},
    reply::EnhancedCode,
    time::UnixTime,
};
use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

const MX: &str = "mx.example.net";
const SENDER: &str = "sender-7351@example.com";
const CONTENT: &[u8] = b"Subject: secret-2718\r\n\r\n.hello\r\n";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// The real time: certificates of the lab are valid now.
fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime(since.as_secs())
}

fn recipient(name: &str) -> Recipient {
    let mailbox = Mailbox { local: name.into(), domain: domain("example.net") };
    Recipient::new(mailbox)
}

fn route(address: SocketAddr, demand: Demand) -> HostRoute {
    let floor = match demand {
        Demand::Opportunistic => Floor::None,
        Demand::Encrypt => Floor::Encrypted,
        Demand::Authenticate(_) => Floor::Authenticated,
    };
    let level = match demand {
        Demand::Opportunistic | Demand::Encrypt => Level::Encrypted,
        Demand::Authenticate(_) => Level::Dane,
    };
    HostRoute {
        peer: Peer::Name(domain(MX)),
        addresses: vec![address],
        sni: Some(domain(MX)),
        demand,
        floor,
        trust_first: TrustFirst::default(),
        level,
        require_tls: RequireTls::No,
        because: Vec::new(),
    }
}

/// TLSA `3 1 1` for this identity.
fn dane(identity: &Identity) -> Demand {
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: identity.spki_sha256.clone() };
    let by = By::Dane { records: vec![record] };
    Demand::Authenticate(vec![Voucher { by, names: vec![domain(MX)] }])
}

fn plan(hosts: Vec<HostRoute>) -> Plan {
    let mut routes: Vec<Route> = hosts.into_iter().map(Route::Host).collect();
    let code = EnhancedCode(4, 7, 0);
    routes.push(Route::Wait { until: None, code, reason: "no host took it".into() });
    Plan {
        routes,
        because: Vec::new(),
        why_not_higher: None,
        reach: Default::default(),
        lack: Default::default(),
    }
}

/// A server with an identity of its own.
struct Host {
    server: MxServer,
    sink: Sink,
    identity: Identity,
}

impl Host {
    async fn start() -> Self {
        Self::like(|personality| personality).await
    }

    async fn like(change: impl FnOnce(Personality) -> Personality) -> Self {
        let identity = identity();
        let personality = Personality::new(MX, StartTls::Works(identity.clone()));
        let sink = Sink::default();
        let server = MxServer::start(change(personality), sink.clone()).await.unwrap();
        Self { server, sink, identity }
    }

    fn address(&self) -> SocketAddr {
        self.server.addr()
    }

    fn opportunistic(&self) -> HostRoute {
        route(self.address(), Demand::Opportunistic)
    }

    fn encrypt(&self) -> HostRoute {
        route(self.address(), Demand::Encrypt)
    }

    fn dane(&self) -> HostRoute {
        route(self.address(), dane(&self.identity))
    }

    /// A modern server without STARTTLS.
    async fn clear() -> Self {
        Self::like(|personality| Personality { starttls: StartTls::Absent, ..personality }).await
    }
}

fn identity() -> Identity {
    let key = ServerKey::generate().unwrap();
    Identity::self_signed(&key, &[MX], Validity::Current).unwrap()
}

/// The gateway's side.
struct Gateway {
    deliverer: Deliverer,
    /// The `[[route]]` of its deliveries.
    way: Option<usize>,
}

impl Gateway {
    fn new() -> Self {
        Self::with(|settings| settings)
    }

    fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::trusting(Vec::new(), change)
    }

    fn trusting(
        roots: Vec<TrustAnchor<'static>>,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let settings = change(Settings { hello: "gw.example.com".into(), ..Settings::default() });
        let deliverer = Deliverer::new(settings, Dialler::default(), Arc::new(roots)).unwrap();
        Self { deliverer, way: None }
    }

    async fn deliver(&self, hosts: Vec<HostRoute>) -> Delivery {
        self.deliver_to(hosts, &[recipient("bob-1414")]).await
    }

    async fn deliver_to(&self, hosts: Vec<HostRoute>, recipients: &[Recipient]) -> Delivery {
        self.run(hosts, recipients, &AlreadyDurable).await
    }

    async fn run(
        &self,
        hosts: Vec<HostRoute>,
        recipients: &[Recipient],
        intent: &impl Intent,
    ) -> Delivery {
        self.send(hosts, recipients, (CONTENT, intent)).await
    }

    async fn send(
        &self,
        hosts: Vec<HostRoute>,
        recipients: &[Recipient],
        (content, intent): (&[u8], &impl Intent),
    ) -> Delivery {
        let plan = plan(hosts);
        let reverse_path = ReversePath::Mailbox(Mailbox {
            local: "sender-7351".into(),
            domain: domain("example.com"),
        });
        let job = Job {
            plan: &plan,
            reverse_path: &reverse_path,
            way: self.way,
            recipients,
            ask: Ask::default(),
            ret: None,
            envelope_id: None,
            content,
            now: now(),
        };
        self.deliverer.deliver(job, intent).await
    }
}

/// Timeouts for servers that never answer.
fn impatient(settings: Settings) -> Settings {
    let short = Duration::from_millis(150);
    let timeouts =
        Timeouts { greeting: short, envelope: short, data: short, ..Timeouts::default() };
    let timeouts = Timeouts { handshake: short, final_dot: short, ..timeouts };
    Settings { timeouts, ..settings }
}

fn is_accepted(delivery: &Delivery) -> bool {
    delivery.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. }))
}

fn is_refused_channel(delivery: &Delivery) -> bool {
    delivery
        .outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Deferred { cause: Cause::Channel(_) }))
}

/// Notes what had arrived when the intent was asked for.
struct Watch {
    sink: Sink,
    arrived_before: Mutex<Vec<usize>>,
    answer: Result<(), IntentLost>,
}

impl Intent for Watch {
    async fn before_final_dot(&self) -> Result<(), IntentLost> {
        self.arrived_before.lock().unwrap().push(self.sink.all().len());
        self.answer.clone()
    }
}

#[tokio::test]
async fn a_message_arrives_unchanged_over_tls() {
    let host = Host::start().await;
    let delivery = Gateway::new().deliver(vec![host.encrypt()]).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(delivery.end, None);
    let received = &host.sink.all()[0];
    assert_eq!(received.data, CONTENT);
    assert!(received.mail.starts_with(&format!("<{SENDER}>")), "{}", received.mail);
    assert_eq!(received.recipients, ["<bob-1414@example.net>"]);
    assert_eq!(received.tls.as_ref().unwrap().sni.as_deref(), Some(MX));
    assert_eq!(delivery.tries[0].level(), Some(Level::Encrypted));
}

#[tokio::test]
async fn opportunistic_mail_goes_in_the_clear_where_nothing_else_is_to_be_had() {
    let host = Host::clear().await;
    let delivery = Gateway::new().deliver(vec![host.opportunistic()]).await;
    assert!(is_accepted(&delivery));
    assert_eq!(delivery.tries[0].level(), Some(Level::Cleartext));
}

/// Promise P4: the intent is durable before the final dot.
#[tokio::test]
async fn the_intent_is_asked_for_before_the_message_can_arrive() {
    let host = Host::start().await;
    let watch = Watch { sink: host.sink.clone(), arrived_before: Mutex::default(), answer: Ok(()) };
    let delivery = Gateway::new().run(vec![host.encrypt()], &[recipient("bob")], &watch).await;
    assert!(is_accepted(&delivery));
    assert_eq!(*watch.arrived_before.lock().unwrap(), [0]);
}

/// Promise P4: a full disk stops the message before the peer can have it.
#[tokio::test]
async fn without_a_durable_intent_nothing_is_sent() {
    let host = Host::start().await;
    let watch = Watch {
        sink: host.sink.clone(),
        arrived_before: Mutex::default(),
        answer: Err(IntentLost("disk full".into())),
    };
    let delivery = Gateway::new().run(vec![host.encrypt()], &[recipient("bob")], &watch).await;
    assert!(
        matches!(&delivery.outcomes[0], Outcome::Disconnected { detail } if detail.contains("disk full")),
        "{:?}",
        delivery.outcomes
    );
    assert!(host.sink.all().is_empty());
}

/// Promise P9: what is kept of the conversation holds no address and no content.
#[tokio::test]
async fn the_transcript_is_impersonal() {
    let host = Host::start().await;
    let delivery = Gateway::new().deliver(vec![host.encrypt()]).await;
    let transcript = delivery.tries[0].transcript.join("\n");
    assert!(transcript.contains("> EHLO gw.example.com"), "{transcript}");
    assert!(transcript.contains("> RCPT"), "{transcript}");
    for secret in ["bob-1414", "sender-7351", "secret-2718"] {
        assert!(!transcript.contains(secret), "{transcript}");
    }
}

/// Item 64 (RFC 5321 §4.5.3.2): nobody is given up earlier than the RFC allows.
#[test]
fn the_default_timeouts_are_those_of_the_rfc() {
    let (out, minutes) = (Timeouts::default(), Duration::from_mins);
    assert_eq!((out.greeting, out.envelope), (minutes(5), minutes(5)));
    assert_eq!((out.data, out.block, out.final_dot), (minutes(2), minutes(3), minutes(10)));
    let within = waxseal::listen::Times::default();
    assert_eq!(within.command, minutes(5));
}
