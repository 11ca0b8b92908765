//! A world to assess, built from the lab, and the surveyor in it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::TrustAnchor;
use waxseal::{
    deliver::Pace,
    dial::{self, Dialler},
    fetch::{self, PolicyFetcher},
    gather::{self, Dns, Forgetful, Gatherer, Own, Witness},
    resolve::{self, Authorities, Resolver, Transport, Upstream},
    survey::{
        Surveyor, Tools,
        probe::{self, Memory, Prober},
    },
};
use waxseal_core::dnssec::Anchors;
use waxseal_lab::{
    attacker::Attacker,
    ca::{Ca, KeyKind, ServerKey, Validity},
    dns::{DnsServer, Tree, Zone},
    mx::{MxServer, StartTls},
    policy_host::PolicyHost,
    sink::Sink,
};

use super::{file::File, openssl};
use crate::scenario::{
    build,
    file::{Host, Tls},
};

/// Everything that runs.
pub(crate) struct World {
    pub(super) surveyor: Surveyor,
    pub(super) roots: Vec<TrustAnchor<'static>>,
    /// For the program itself.
    pub(crate) configuration: PathBuf,
    dns: [Vec<DnsServer>; 2],
    hosts: (Vec<MxServer>, Vec<Attacker>, Vec<PolicyHost>, Vec<openssl::Server>),
    _folder: tempfile::TempDir,
}

/// What is collected while hosts are started.
struct Building {
    ca: Ca,
    zones: BTreeMap<String, Zone>,
    map: HashMap<SocketAddr, SocketAddr>,
    servers: Vec<MxServer>,
    attackers: Vec<Attacker>,
    openssl: Vec<openssl::Server>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(file: &File) -> Self {
        let mut building = Building {
            ca: Ca::new("Lab Public CA").unwrap(),
            zones: build::zones(&file.zone, 3_600),
            map: HashMap::new(),
            servers: Vec::new(),
            attackers: Vec::new(),
            openssl: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        if file.no_domain {
            building.zones.remove(build::DOMAIN);
        }
        for (number, host) in (1_u8..).zip(&file.host) {
            building.host(number, host).await;
        }
        let mut policy = Vec::new();
        if let Some(written) = &file.policy {
            let Building { ca, zones, map, .. } = &mut building;
            policy.push(build::announce(written, ca, zones, map).await);
            policy.extend(build::second_policy_host(written, ca, zones, map).await);
        }
        let Building { ca, zones, mut map, servers, attackers, openssl, folder } = building;
        let tree = Tree::build(zones.into_values().collect()).unwrap();
        let first = DnsServer::start(tree).await.unwrap();
        let second = first.twin().await.unwrap();
        for tampering in file.second_server.iter().map(build::damage) {
            second.tamper(tampering);
        }
        let mut others = Vec::new();
        for _ in 0..file.witnesses {
            // Told apart from its twins by its answers alone.
            let other = first.twin().await.unwrap();
            file.witness_damage.iter().map(build::damage).for_each(|damage| other.tamper(damage));
            others.push(other);
        }
        for tampering in file.damage.iter().map(build::damage) {
            first.tamper(tampering.clone());
            second.tamper(tampering);
        }
        map.insert(([192, 0, 2, 53], 53).into(), first.addr());
        map.insert(([192, 0, 2, 54], 53).into(), second.addr());
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for last in [97, 98] {
            map.insert(([192, 0, 2, last], 53).into(), free);
        }
        let roots = vec![webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()];
        let configuration = configuration(folder.path(), (&first, &others), &map, &ca);
        let surveyor = surveyor((&first, &others), map, &roots, Memory::default());
        let hosts = (servers, attackers, policy, openssl);
        Self {
            surveyor,
            roots,
            configuration,
            dns: [vec![first, second], others],
            hosts,
            _folder: folder,
        }
    }
}

impl World {
    /// How many connections each host has seen that answers, in the order of the file.
    pub(super) fn connections(&self) -> Vec<usize> {
        self.hosts.0.iter().map(|server| server.transcript().sessions()).collect()
    }

    /// How often the resolver's upstream was asked for records of this type.
    pub(super) fn asked(&self, rtype: u16) -> usize {
        let [ours, _] = &self.dns;
        let all = ours.first().map(DnsServer::questions).unwrap_or_default();
        all.iter().filter(|question| question.rtype == rtype).count()
    }

    /// What DNS was asked so far: names in lower case with a final dot.
    pub(super) fn questions(&self) -> Vec<String> {
        let [ours, _] = &self.dns;
        let all = ours.iter().flat_map(DnsServer::questions);
        all.map(|question| question.name).collect()
    }
}

/// What a person would write who runs the program here.
fn configuration(
    folder: &Path,
    (dns, others): (&DnsServer, &[DnsServer]),
    map: &HashMap<SocketAddr, SocketAddr>,
    ca: &Ca,
) -> PathBuf {
    std::fs::write(folder.join("root.ds"), dns.root_ds()).unwrap();
    std::fs::write(folder.join("roots.pem"), ca.pem()).unwrap();
    let mut text = format!(
        "hostname = \"gw.sender.example\"\n\
         [dns]\nupstream = [\"{}\"]\nconfirm = {:?}\ntrust_anchors = \"root.ds\"\n\
         [tls]\nroots = \"roots.pem\"\n[web.metrics]\naddress = \"127.0.0.1:0\"\n\
         [checks]\npace = 60000\n[network.map]\n",
        dns.addr(),
        others.iter().map(|other| other.addr().to_string()).collect::<Vec<_>>()
    );
    for (from, to) in map {
        text.push_str(&format!("\"{from}\" = \"{to}\"\n"));
    }
    let file = folder.join("waxseal.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A surveyor at the pace of a test.
pub(super) fn surveyor(
    (dns, others): (&DnsServer, &[DnsServer]),
    map: HashMap<SocketAddr, SocketAddr>,
    roots: &[TrustAnchor<'static>],
    memory: Memory,
) -> Surveyor {
    let witnesses = others
        .iter()
        .map(|other| Witness { name: other.addr().to_string(), dns: Arc::new(resolver(other)) });
    let witnesses: Vec<_> = witnesses.collect();
    let resolver = resolver(dns);
    let asks: Arc<dyn Dns> = Arc::new(resolver.clone());
    let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
    let timeout = Duration::from_secs(10);
    let fetching = fetch::Settings { timeout, ..fetch::Settings::default() };
    let fetcher = PolicyFetcher::new(fetching, Arc::clone(&asks), dialler.clone(), roots).unwrap();
    let gatherer = Gatherer::new(
        gather::Settings { witnesses, ..gather::Settings::default() },
        asks,
        Arc::new(fetcher.clone()),
        Arc::new(Forgetful::default()),
    );
    let probing = probe::Settings {
        connection: Duration::from_secs(8),
        pace: Pace { at_once: 1, interval: Duration::ZERO },
        ..probe::Settings::new("gw.sender.example")
    };
    let prober = Prober::new(probing, dialler.clone(), memory).unwrap();
    let authorities = Authorities::new(resolver.clone(), dialler, Own::default());
    Surveyor::new(Tools { resolver, gatherer, fetcher, authorities, prober })
}

fn resolver(dns: &DnsServer) -> Resolver {
    let upstream = Upstream { address: dns.addr(), transport: Transport::Udp };
    let anchors = Anchors::parse(&dns.root_ds()).unwrap();
    Resolver::new(resolve::Settings { anchors, ..resolve::Settings::new(vec![upstream]) })
}

impl Building {
    async fn host(&mut self, number: u8, host: &Host) {
        let at = build::publish(&mut self.zones, host, number);
        if host.tls == Tls::Dead {
            // A port that was free a moment ago: the connection is refused.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            self.map.insert(at, free.local_addr().unwrap());
            return;
        }
        let (identity, others) = build::identity(&self.ca, host);
        build::pin(&mut self.zones, host, (&identity, &others), &self.ca);
        let starttls = match &host.openssl {
            Some(options) => StartTls::Through(self.openssl(host, options)),
            None => build::starttls(host, identity),
        };
        let personality = build::personality(host, starttls);
        let server = MxServer::start(personality, Sink::default()).await.unwrap();
        let method = build::method(host, &self.ca);
        let attacker = Attacker::start(server.addr(), method).await.unwrap();
        self.map.insert(at, attacker.addr());
        self.attackers.push(attacker);
        self.servers.push(server);
    }

    fn openssl(&mut self, host: &Host, options: &[String]) -> SocketAddr {
        let key = ServerKey::of(KeyKind::Rsa).unwrap();
        let identity = self.ca.issue(&key, &[&host.name], Validity::Current).unwrap();
        let pem = |der: &[u8]| {
            let text = STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let chain: String = identity.chain.iter().map(|der| pem(der)).collect();
        let folder = self.folder.path().join(self.openssl.len().to_string());
        std::fs::create_dir(&folder).unwrap();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let server =
            openssl::Server::start(&folder, (&chain, &key.pem()), &options, &host.openssl_config);
        let address = server.address;
        self.openssl.push(server);
        address
    }
}
