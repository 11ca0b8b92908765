//! Strangers are asked once, one connection at a time.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls_pki_types::TrustAnchor;
use tokio::task::JoinSet;
use waxseal::{
    gather::Soon,
    resolve::Clock,
    survey::{
        Depth, Scope,
        probe::{Deliveries, Memory, ProbeStore},
    },
};
use waxseal_core::{
    assess::{Observed, Probe, Survey, Tried},
    channel::{Seen, TlsSeen},
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
        surveyor(&self.dns, self.map.clone(), &self.roots, memory)
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

/// A store in memory.
#[derive(Default)]
struct Shelf(Mutex<HashMap<String, (Vec<u8>, UnixTime)>>);

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

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_counts_as_a_look_where_that_is_wanted() {
    let world = World::start(1, 1).await;
    let surveyor = world.surveyor(Memory::default());
    let now = Clock::system().now();
    let mut scope = Scope::new(Depth::Full);
    let first = surveyor.survey(&domain(0), &scope, now).await;
    let mut sessions = probe(&first).handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => Some(session.session()),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    });
    let mut session = sessions.next_back().unwrap();
    let tomorrow = now + Duration::from_secs(86_400);
    session.at = tomorrow;
    surveyor.delivered(&Seen {
        peer: Peer::Name(Domain::parse("mx.operator1.example").unwrap()),
        address: "192.0.2.1:25".parse().unwrap(),
        tls: TlsSeen::Established(session),
    });
    let soon = tomorrow + Duration::from_secs(600);
    scope.deliveries = Deliveries::Count;
    let second = surveyor.survey(&domain(0), &scope, soon).await;
    assert_eq!((probe(&second).at, probe(&second).handshakes.len()), (tomorrow, 1));
    assert_eq!(world.connections(), [CONNECTIONS], "nobody was asked");
    scope.deliveries = Deliveries::DoNotCount;
    let third = surveyor.survey(&domain(0), &scope, soon).await;
    assert_eq!(probe(&third).at, soon);
    assert_eq!(world.connections(), [2 * CONNECTIONS]);
}
