//! Strangers are asked once, one connection at a time.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls_pki_types::TrustAnchor;
use tokio::task::JoinSet;
use waxseal::{
    gather::Soon,
    resolve::Clock,
    survey::{
        Depth, Scope,
        probe::{Deliveries, Memory, ProbeStore, is_from_delivery},
    },
};
use waxseal_core::{
    assess::{Observed, Probe, Survey, Tried},
    channel::{Seen, Session, TlsSeen},
    domain::Domain,
    facts::Peer,
    time::UnixTime,
};
use waxseal_lab::{
    ca::{Ca, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::world::surveyor;

/// Connections that one probe of a healthy host makes: three kinds of keys, old versions, weak
/// suites, weak groups of 1.2 and 1.3, and the extended master secret.
const CONNECTIONS: usize = 8;

/// Operators, each with one mail host, and their customers.
struct World {
    servers: Vec<MxServer>,
    map: HashMap<SocketAddr, SocketAddr>,
    dns: DnsServer,
    roots: Vec<TrustAnchor<'static>>,
}

impl World {
    async fn start(operators: u8, domains: usize) -> Self {
        let ca = Ca::new("Lab Public CA").unwrap();
        let mut zone = Zone::new("example").ttl(3_600);
        let (mut servers, mut map) = (Vec::new(), HashMap::new());
        for number in 1..=operators {
            let name = format!("mx.operator{number}.example");
            let key = ServerKey::generate().unwrap();
            let identity = ca.issue(&key, &[&name], Validity::Current).unwrap();
            let personality = Personality::new(&name, StartTls::Works(identity));
            let server = MxServer::start(personality, Sink::default()).await.unwrap();
            let address = Ipv4Addr::new(192, 0, 2, number);
            zone.add(&format!("{name}."), &Data::A(address));
            map.insert(SocketAddr::new(address.into(), 25), server.addr());
            servers.push(server);
        }
        for number in 0..domains {
            let host = format!("mx.operator{}.example", number % usize::from(operators) + 1);
            zone.add(&format!("d{number}"), &Data::mx(10, &host));
        }
        let dns = DnsServer::start(Tree::build(vec![zone]).unwrap()).await.unwrap();
        let roots = vec![webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()];
        Self { servers, map, dns, roots }
    }

    fn surveyor(&self, memory: Memory) -> waxseal::survey::Surveyor {
        surveyor((&self.dns, &[]), self.map.clone(), &self.roots, memory)
    }

    /// How many connections each operator has seen.
    fn connections(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.transcript().sessions()).collect()
    }
}

fn domain(number: usize) -> Domain {
    Domain::parse(&format!("d{number}.example")).unwrap()
}

#[track_caller]
fn probe(survey: &Survey) -> &Probe {
    let Observed::Probed(probe) = &survey.hosts[0].addresses[0].observed else {
        panic!("{survey:?}")
    };
    probe
}

/// A thousand customers of one provider must not look like an attack to that provider.
#[tokio::test(flavor = "multi_thread")]
async fn domains_at_the_same_operators_cost_one_probe_for_each_address() {
    let world = World::start(5, 300).await;
    let surveyor = world.surveyor(Memory::default());
    let now = Clock::system().now();
    let mut surveys = JoinSet::new();
    for number in 0..300 {
        let surveyor = surveyor.clone();
        surveys.spawn(async move {
            surveyor.survey(&domain(number), &Scope::new(Depth::Full), now).await
        });
    }
    let surveys = surveys.join_all().await;
    let seen: BTreeSet<String> =
        surveys.iter().map(|survey| format!("{:?}", probe(survey))).collect();
    assert_eq!(seen.len(), 5);
    assert_eq!(world.connections(), [CONNECTIONS; 5]);
    for server in &world.servers {
        assert!(!server.transcript().saw("MAIL"), "a probe never says MAIL");
    }
}

/// A store in memory, and how often it was written.
#[derive(Default)]
struct Shelf(Mutex<HashMap<String, (Vec<u8>, UnixTime)>>, AtomicUsize);

impl ProbeStore for Shelf {
    fn load<'a>(
        &'a self,
        name: &'a str,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Vec<u8>>, String>> {
        let kept = self.0.lock().unwrap().get(name).filter(|(_, until)| *until > now).cloned();
        Box::pin(async move { Ok(kept.map(|(value, _)| value)) })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: Vec<u8>,
        expires: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        self.0.lock().unwrap().insert(name.to_owned(), (value, expires));
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_survives_a_restart_and_is_asked_again_when_it_is_old() {
    let world = World::start(1, 1).await;
    let shelf = Arc::new(Shelf::default());
    let now = Clock::system().now();
    let scope = Scope::new(Depth::Full);
    let before = world.surveyor(Memory::kept_in(Arc::clone(&shelf) as Arc<dyn ProbeStore>));
    let first = before.survey(&domain(0), &scope, now).await;
    let after = world.surveyor(Memory::kept_in(shelf));
    let later = now + Duration::from_secs(3_600);
    let second = after.survey(&domain(0), &scope, later).await;
    assert_eq!(probe(&first), probe(&second));
    assert_eq!(world.connections(), [CONNECTIONS]);
    let tomorrow = now + Duration::from_secs(86_400);
    let third = after.survey(&domain(0), &scope, tomorrow).await;
    assert_eq!(probe(&third).at, tomorrow);
    assert_eq!(world.connections(), [2 * CONNECTIONS]);
}

/// A session with operator 1, as it was probed, that a delivery saw at another time.
fn delivery(survey: &Survey, at: UnixTime) -> Session {
    let mut sessions = probe(survey).handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session.session()),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    });
    Session { at, ..sessions.next_back().unwrap() }
}

fn delivered(surveyor: &waxseal::survey::Surveyor, session: Session) {
    surveyor.delivered(&Seen {
        peer: Peer::Name(Domain::parse("mx.operator1.example").unwrap()),
        address: "192.0.2.1:25".parse().unwrap(),
        tls: TlsSeen::Established(session),
    });
}

/// Waits until the store holds a sight of this time; yields all that it holds of the one address.
async fn noted(shelf: &Shelf, at: UnixTime) -> Vec<serde_json::Value> {
    let kept = async {
        loop {
            let json = shelf.0.lock().unwrap().values().next().map(|(json, _)| json.clone());
            let sights: Vec<serde_json::Value> =
                json.map(|json| serde_json::from_slice(&json).unwrap()).unwrap_or_default();
            if sights.iter().any(|one| one["at"] == at.0) {
                return sights;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_counts_as_a_look_where_that_is_wanted() {
    let world = World::start(1, 1).await;
    let now = Clock::system().now();
    let mut scope = Scope::new(Depth::Full);
    let first = world.surveyor(Memory::default()).survey(&domain(0), &scope, now).await;
    let gateway = world.surveyor(Memory::default());
    delivered(&gateway, delivery(&first, now));
    let soon = now + Duration::from_secs(600);
    scope.deliveries = Deliveries::Count;
    let second = gateway.survey(&domain(0), &scope, soon).await;
    assert_eq!((probe(&second).at, probe(&second).handshakes.len()), (now, 1));
    assert!(is_from_delivery(probe(&second)) && !is_from_delivery(probe(&first)));
    assert_eq!(world.connections(), [CONNECTIONS], "nobody was asked");
    for (done, deliveries) in [Deliveries::Refresh, Deliveries::DoNotCount].into_iter().enumerate()
    {
        let gateway = world.surveyor(Memory::default());
        delivered(&gateway, delivery(&first, now));
        scope.deliveries = deliveries;
        let third = gateway.survey(&domain(0), &scope, soon).await;
        assert_eq!(probe(&third).at, soon, "{deliveries:?}");
        assert_eq!(world.connections(), [(2 + done) * CONNECTIONS]);
    }
}

/// A partner that we write to: what the delivery saw is kept for other processes, and brings the last
/// probe up to date without a connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_brings_a_probe_of_last_week_up_to_date() {
    let world = World::start(1, 1).await;
    let shelf = Arc::new(Shelf::default());
    let gateway = world.surveyor(Memory::kept_in(Arc::clone(&shelf) as Arc<dyn ProbeStore>));
    let now = Clock::system().now();
    let mut scope = Scope { deliveries: Deliveries::Refresh, ..Scope::new(Depth::Full) };
    let first = gateway.survey(&domain(0), &scope, now).await;
    let tomorrow = now + Duration::from_secs(86_400);
    delivered(&gateway, delivery(&first, tomorrow));
    noted(&shelf, tomorrow).await;
    let other = world.surveyor(Memory::kept_in(shelf));
    let soon = tomorrow + Duration::from_secs(600);
    scope.oldest_probe = Duration::from_secs(3_600);
    let second = other.survey(&domain(0), &scope, soon).await;
    assert_eq!(probe(&second).at, tomorrow);
    assert_eq!(probe(&second).handshakes.len(), probe(&first).handshakes.len());
    assert_eq!(world.connections(), [CONNECTIONS], "nobody was asked");
    // After a week the whole host is looked at again, whatever deliveries see.
    let late = now + Duration::from_secs(8 * 86_400);
    delivered(&other, delivery(&first, late));
    let soon = late + Duration::from_secs(600);
    let third = other.survey(&domain(0), &scope, soon).await;
    assert_eq!(probe(&third).at, soon);
    assert_eq!(world.connections(), [2 * CONNECTIONS]);
}

/// A provider with a name for each customer, whose host nobody probes: what is kept of it stays
/// small, and its mail does not cost a write each.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_to_a_thousand_names_at_one_address_are_kept_in_bounds() {
    let world = World::start(1, 1).await;
    let now = Clock::system().now();
    let first = world.surveyor(Memory::default());
    let first = first.survey(&domain(0), &Scope::new(Depth::Full), now).await;
    let shelf = Arc::new(Shelf::default());
    let gateway = world.surveyor(Memory::kept_in(Arc::clone(&shelf) as Arc<dyn ProbeStore>));
    let deliver = |customer: u32, at: UnixTime| {
        let name = Domain::parse(&format!("customer{customer}.operator1.example")).unwrap();
        delivered(&gateway, Session { sni: Some(name), ..delivery(&first, at) });
    };
    for round in 0..12 {
        let at = now + Duration::from_secs(3_600) * round;
        deliver(round % 2, at);
        let sights = noted(&shelf, at).await;
        assert_eq!(sights.len(), if round == 0 { 1 } else { 2 }, "each name once");
    }
    let at = now + Duration::from_hours(24);
    deliver(0, at);
    noted(&shelf, at).await;
    let writes = shelf.1.load(Ordering::Relaxed);
    (2..1_000).for_each(|customer| deliver(customer, at + Duration::from_secs(1)));
    let later = at + Duration::from_secs(61);
    deliver(1_000, later);
    let sights = noted(&shelf, later).await;
    assert_eq!(shelf.1.load(Ordering::Relaxed), writes + 1);
    assert!(sights.len() <= 8, "{}", sights.len());
}
