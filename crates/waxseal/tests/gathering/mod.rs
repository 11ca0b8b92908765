//! What is gathered about destinations, against the lab's signed DNS and real policy hosts.
//! Numbers in the comments are those of the checklist in `docs/rfc.md`.

mod hosts;
mod oracle;
mod policies;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use waxseal::{
    dial::{self, Dialler},
    fetch::{self, PolicyFetcher},
    gather::{
        Forgetful, Gathered, Gatherer, Own, PolicySource, PolicyStore, RouteTarget, Settings, Soon,
    },
    resolve::{self, Clock, Resolver, Transport, Upstream},
};
use waxseal_core::{
    dnssec::Anchors,
    domain::Domain,
    facts::{HostFacts, Peer, StsFailure},
    org::Reach,
    sts::Policy,
    time::UnixTime,
};
use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    dns::{Data, DnsServer, Tampering, Tree, Zone},
    policy_host::{Answer as Served, PolicyHost, PolicyPersonality},
};

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn now() -> UnixTime {
    Clock::system().now()
}

fn a(last: u8) -> Data {
    Data::A(Ipv4Addr::new(192, 0, 2, last))
}

fn tlsa(usage: u8) -> Data {
    Data::Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] }
}

/// Where the policy host of every world is, as DNS says.
const POLICY_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// A DNS, a policy host, and what outlives a gatherer.
struct World {
    dns: DnsServer,
    ca: Ca,
    host: PolicyHost,
    store: Arc<Forgetful>,
}

impl World {
    async fn new(zones: Vec<Zone>) -> Self {
        let ca = Ca::new("Public CA").unwrap();
        let identity = certified(&ca, "mta-sts.d.test");
        let personality = PolicyPersonality { identity, answer: Served::NotFound };
        Self {
            dns: DnsServer::start(Tree::build(zones).unwrap()).await.unwrap(),
            ca,
            host: PolicyHost::start(personality).await.unwrap(),
            store: Arc::default(),
        }
    }

    fn serve(&self, answer: Served) {
        let identity = certified(&self.ca, "mta-sts.d.test");
        self.host.become_like(PolicyPersonality { identity, answer });
    }

    fn resolver(&self) -> Resolver {
        let upstream = Upstream { address: self.dns.addr(), transport: Transport::Udp };
        let mut settings = resolve::Settings::new(vec![upstream]);
        settings.anchors = Anchors::parse(&self.dns.root_ds()).unwrap();
        settings.patience = Duration::from_millis(200);
        settings.deadline = Duration::from_secs(5);
        Resolver::new(settings)
    }

    fn fetcher(&self, settings: fetch::Settings) -> PolicyFetcher {
        let policy_host = SocketAddr::from((POLICY_ADDRESS, 443));
        let map = HashMap::from([(policy_host, self.host.addr())]);
        let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
        let roots = [webpki_anchor(&self.ca)];
        PolicyFetcher::new(settings, Arc::new(self.resolver()), dialler, &roots).unwrap()
    }

    /// A gatherer after a restart: nothing in memory, only what the store kept.
    fn gatherer(&self) -> Gatherer {
        self.gatherer_with(Settings::default())
    }

    fn gatherer_with(&self, settings: Settings) -> Gatherer {
        let source = Arc::new(self.fetcher(fetch::Settings::default()));
        let store: Arc<dyn PolicyStore> = Arc::clone(&self.store) as _;
        Gatherer::new(settings, Arc::new(self.resolver()), source, store)
    }

    async fn gather(&self, destination: &str) -> Gathered {
        self.gatherer().gather(&domain(destination), None, now()).await
    }

    /// How often a name was asked for.
    fn asked(&self, name: &str) -> usize {
        self.dns.questions().iter().filter(|question| question.name == format!("{name}.")).count()
    }

    fn tamper(&self, tampering: Tampering) {
        self.dns.restore();
        self.dns.tamper(tampering);
    }
}

fn certified(ca: &Ca, name: &str) -> Identity {
    ca.issue(&ServerKey::generate().unwrap(), &[name], Validity::Current).unwrap()
}

fn webpki_anchor(ca: &Ca) -> rustls_pki_types::TrustAnchor<'static> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    roots.roots.remove(0)
}

fn names(hosts: &[HostFacts]) -> Vec<String> {
    hosts.iter().map(|host| host.host.to_string()).collect()
}

/// A source that is never to be asked.
struct Nobody;

impl PolicySource for Nobody {
    fn fetch<'a>(&'a self, destination: &'a Domain) -> Soon<'a, Result<Policy, StsFailure>> {
        panic!("a policy of {destination} was fetched")
    }
}
