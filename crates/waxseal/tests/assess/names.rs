//! Names are cheap, and addresses are not: whatever a mail host is called, it is asked one connection
//! at a time, and what is the same under all its names is asked once.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, server::ResolvesServerCertUsingSni};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use waxseal::{
    deliver::Pace,
    dial::{self, Dialler},
    resolve::Clock,
    survey::probe::{Deliveries, Enough, Memory, Prober, Settings, Target},
};
use waxseal_core::{
    assess::{Contact, Observed, OfferedSession, Probe, StartTlsSeen, Tried, Unprobed},
    domain::Domain,
};
use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    mx::{Fault, MxServer, Personality, StartTls, Step},
    sink::Sink,
};

/// Connections that one probe of a healthy host makes.
const WHOLE: usize = 8;

const HOUR: Duration = Duration::from_secs(3_600);

/// In front of a server: lets one connection through after the other, and tells whether somebody
/// else stood at the door while one was inside.
struct Door {
    address: SocketAddr,
    crowd: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Door {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let crowd = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        let seen = Arc::clone(&crowd);
        task.spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut behind = TcpStream::connect(server).await.unwrap();
                let mut buffer = [0; 512];
                let greeting = behind.read(&mut buffer).await.unwrap();
                client.write_all(&buffer[..greeting]).await.unwrap();
                let Ok(hello @ 1..) = client.read(&mut buffer).await else { continue };
                // The client waits for our answer: whoever stands there now is a second one.
                let next = std::future::poll_fn(|context| {
                    let accepting = pin!(listener.accept());
                    Poll::Ready(accepting.poll(context).is_ready())
                });
                seen.fetch_or(next.await, Ordering::Relaxed);
                behind.write_all(&buffer[..hello]).await.unwrap();
                let _ended = copy_bidirectional(&mut client, &mut behind).await;
            }
        });
        Self { address, crowd, _task: task }
    }
}

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn customer(number: usize) -> Target {
    target(&format!("mx.customer{number}.example"), "192.0.2.1:25")
}

pub(super) fn target(host: &str, address: &str) -> Target {
    Target { host: name(host), sni: name(host), address: address.parse().unwrap() }
}

pub(super) const ENOUGH: Enough = Enough { oldest: HOUR, deliveries: Deliveries::DoNotCount };

pub(super) fn settings() -> Settings {
    Settings {
        connection: Duration::from_secs(8),
        pace: Pace { at_once: 1, interval: Duration::ZERO },
        ..Settings::new("gw.sender.example")
    }
}

pub(super) fn prober(settings: Settings, servers: &[(&str, SocketAddr)]) -> Prober {
    let map: HashMap<_, _> =
        servers.iter().map(|(public, at)| (public.parse().unwrap(), *at)).collect();
    let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
    Prober::new(settings, dialler, Memory::default()).unwrap()
}

fn identity(names: &[&str]) -> Identity {
    let ca = Ca::new("Lab Public CA").unwrap();
    ca.issue(&ServerKey::generate().unwrap(), names, Validity::Current).unwrap()
}

async fn server(starttls: StartTls) -> MxServer {
    let personality = Personality::new("mx.provider.example", starttls);
    MxServer::start(personality, Sink::default()).await.unwrap()
}

#[track_caller]
pub(super) fn probe(observed: &Observed) -> &Probe {
    let Observed::Probed(probe) = observed else { panic!("{observed:?}") };
    probe
}

#[track_caller]
fn session(observed: &Observed) -> &OfferedSession {
    let mut sessions = probe(observed).handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    });
    sessions.next().unwrap_or_else(|| panic!("{observed:?}"))
}

/// A provider with a name for each customer must not take our assessment of them for an attack.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_names_at_one_address_are_asked_one_after_the_other() {
    const NAMES: usize = 200;
    let server = server(StartTls::Works(identity(&["*.example"]))).await;
    let door = Door::of(server.addr()).await;
    let interval = Duration::from_millis(5);
    let polite = Settings { pace: Pace { at_once: 1, interval }, ..settings() };
    let prober = prober(polite, &[("192.0.2.1:25", door.address)]);
    let (now, began) = (Clock::system().now(), Instant::now());
    let mut asking = JoinSet::new();
    for number in 0..NAMES {
        let prober = prober.clone();
        asking.spawn(async move {
            let target = customer(number);
            (target.sni.clone(), prober.probe(&target, ENOUGH, now).await)
        });
    }
    let seen = asking.join_all().await;
    let connections = server.transcript().sessions();
    assert_eq!(connections, WHOLE + NAMES - 1, "each name costs one handshake, and no more");
    assert!(!door.crowd.load(Ordering::Relaxed), "two at once");
    let pauses = u32::try_from(connections - 1).unwrap();
    assert!(began.elapsed() >= interval * pauses, "{:?}", began.elapsed());
    let (_, first) = &seen[0];
    for (name, observed) in &seen {
        assert_eq!(session(observed).sni.as_ref(), Some(name), "seen under its own name");
        assert_eq!(probe(observed).weak, probe(first).weak);
        assert_eq!(probe(observed).legacy, Some(Vec::new()));
        assert_eq!(probe(observed).handshakes.len(), 3);
    }
    // All that is known now.
    for number in 0..NAMES {
        prober.probe(&customer(number), ENOUGH, now + HOUR / 2).await;
    }
    assert_eq!(server.transcript().sessions(), connections);
}

/// A hostile zone that points thousands of names at somebody else's mail host brings us there no
/// oftener than this in an hour.
#[tokio::test(flavor = "multi_thread")]
async fn names_past_the_limit_of_an_hour_are_not_asked() {
    let server = server(StartTls::Works(identity(&["mx.provider.example"]))).await;
    let few = Settings { names: 5, ..settings() };
    let prober = prober(few, &[("192.0.2.1:25", server.addr())]);
    let now = Clock::system().now();
    for number in 0..200 {
        let observed = prober.probe(&customer(number), ENOUGH, now).await;
        assert_eq!(observed == Observed::Not(Unprobed::NoTurn), number >= 5, "{observed:?}");
    }
    assert_eq!(server.transcript().sessions(), WHOLE + 4);
    let later = prober.probe(&customer(7), ENOUGH, now + HOUR).await;
    assert_eq!(session(&later).sni, Some(customer(7).sni), "the next hour");
}

/// The same across reloads, and with many looks under way at each: a new configuration is no way to come
/// more often, or two at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_makes_us_no_less_polite() {
    let server = server(StartTls::Works(identity(&["*.example"]))).await;
    let door = Door::of(server.addr()).await;
    let few = Settings { names: 5, ..settings() };
    let map: HashMap<_, _> = [("192.0.2.1:25".parse().unwrap(), door.address)].into();
    let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
    let now = Clock::system().now();
    let mut prober = Prober::new(few.clone(), dialler.clone(), Memory::default()).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..50 {
        let asks = prober.clone();
        asking.spawn(async move { asks.probe(&customer(number), ENOUGH, now).await });
        prober = prober.next(few.clone(), dialler.clone()).unwrap();
    }
    let seen = asking.join_all().await;
    let asked = seen.iter().filter(|one| matches!(one, Observed::Probed(_)));
    assert_eq!(asked.count(), 5);
    assert_eq!(server.transcript().sessions(), WHOLE + 4);
    assert!(!door.crowd.load(Ordering::Relaxed), "two at once");
}

/// What a host shows under one name is no evidence of what it shows under another, also where the
/// certificate is good for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_believed_only_under_the_name_that_was_asked() {
    let [one, other] = ["mx.customer1.example", "mx.customer2.example"];
    let (good, stale) = (identity(&[one, other]), identity(&[other]));
    let mut by_name = ResolvesServerCertUsingSni::new();
    for (name, identity) in [(one, &good), (other, &stale)] {
        let certified = identity.certified.as_ref().unwrap();
        by_name.add(name, (**certified).clone()).unwrap();
    }
    let config = ServerConfig::builder_with_provider(waxseal::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    let both = Identity { config: Arc::new(config), ..good.clone() };
    let server = server(StartTls::Works(both)).await;
    let prober = prober(settings(), &[("192.0.2.1:25", server.addr())]);
    let now = Clock::system().now();
    for (host, identity) in [(one, &good), (other, &stale)] {
        let observed = prober.probe(&target(host, "192.0.2.1:25"), ENOUGH, now).await;
        assert_eq!(session(&observed).chain[0], identity.chain[0].as_ref(), "{host}");
    }
    assert_eq!(server.transcript().sessions(), WHOLE + 3, "another certificate: each kind of key");
}

/// What a host does before it hears a name, it does under all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_starttls_is_asked_once_whatever_it_is_called() {
    let server = server(StartTls::Absent).await;
    let prober = prober(settings(), &[("192.0.2.1:25", server.addr())]);
    let now = Clock::system().now();
    for number in 0..50 {
        let observed = prober.probe(&customer(number), ENOUGH, now).await;
        let Contact::Spoke { starttls, .. } = &probe(&observed).contact else {
            panic!("{observed:?}")
        };
        assert_eq!(*starttls, StartTlsSeen::NotOffered);
    }
    assert_eq!(server.transcript().sessions(), 1);
}

/// An operator with an address for each name, all silent, must not keep those waiting who ask for
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_tarpits_is_left_alone_for_a_while() {
    let silent = Personality::new("mx.tarpit.example", StartTls::Absent)
        .failing(Step::Greeting, Fault::Silence);
    let tarpit = MxServer::start(silent, Sink::default()).await.unwrap();
    let honest = server(StartTls::Absent).await;
    let publics: Vec<String> = (1..=20).map(|last| format!("198.51.100.{last}:25")).collect();
    let mut servers: Vec<_> = publics.iter().map(|at| (at.as_str(), tarpit.addr())).collect();
    servers.push(("192.0.2.1:25", honest.addr()));
    let patience = Duration::from_secs(2);
    let impatient = Settings { connection: patience, address: patience, ..settings() };
    let prober = prober(impatient, &servers);
    let now = Clock::system().now();
    let mut asking = JoinSet::new();
    for (number, public) in publics.iter().enumerate() {
        let (prober, target) =
            (prober.clone(), target(&format!("m{number}.tarpit.example"), public));
        asking.spawn(async move { prober.probe(&target, ENOUGH, now).await });
    }
    let seen = asking.join_all().await;
    let asked = seen.iter().filter(|one| matches!(one, Observed::Probed(_))).count();
    assert!((1..=3).contains(&asked), "three of them take all the time that there is: {asked}");
    let alone = seen.iter().filter(|one| **one == Observed::Not(Unprobed::TooSlow)).count();
    assert_eq!(alone, publics.len() - asked);
    assert_eq!(tarpit.transcript().sessions(), asked);
    let other = prober.probe(&customer(1), ENOUGH, now).await;
    assert!(matches!(other, Observed::Probed(_)), "{other:?}");
}

/// A hostile host that sends session tickets without an end after the handshake, megabytes of them.
#[tokio::test(flavor = "multi_thread")]
async fn tickets_without_an_end_are_not_read_to_the_end() {
    let identity = identity(&["mx.customer1.example"]);
    let tickets = |count: usize| {
        let mut config = ServerConfig::clone(&identity.config);
        config.send_tls13_tickets = count;
        StartTls::Works(Identity { config: Arc::new(config), ..identity.clone() })
    };
    let now = Clock::system().now();
    for (count, is_read) in [(4, true), (20_000, false)] {
        let server = server(tickets(count)).await;
        let prober = prober(settings(), &[("192.0.2.1:25", server.addr())]);
        let observed = prober.probe(&customer(1), ENOUGH, now).await;
        assert_eq!(probe(&observed).keywords_in_tls.is_some(), is_read, "{count} tickets");
        assert_eq!(session(&observed).sni, Some(customer(1).sni), "the session is seen");
    }
}
