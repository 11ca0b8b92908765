//! A world to assess, built from the lab, and the surveyor in it.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::TrustAnchor;
use waxseal::{
    deliver::Pace,
    dial::{self, Dialler},
    fetch::{self, PolicyFetcher},
    gather::{self, Dns, Forgetful, Gatherer, Own},
    resolve::{self, Authorities, Resolver, Transport, Upstream},
    survey::{
        Surveyor, Tools,
        probe::{self, Memory, Prober},
    },
};
use waxseal_core::dnssec::Anchors;
use waxseal_lab::{
    attacker::{Attacker, Method},
    ca::{Ca, Identity, KeyKind, ServerKey, Speaks, Validity},
    dns::{Algorithm, Data, Denial, DnsServer, OptOut, Signing, Tree, Zone},
    mx::{Fault, MxServer, Personality, StartTls, Step},
    policy_host::PolicyHost,
    sink::Sink,
};

use super::{
    file::{self, File, Host, Tls},
    openssl,
};
use crate::scenario::world::{DOMAIN, damage, parse, policy_host, put};

/// Everything that runs.
pub(super) struct World {
    pub(super) surveyor: Surveyor,
    pub(super) roots: Vec<TrustAnchor<'static>>,
    _dns: [DnsServer; 2],
    _hosts: (Vec<MxServer>, Vec<Attacker>, Option<PolicyHost>, Vec<openssl::Server>),
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
    pub(super) async fn start(file: &File) -> Self {
        let mut building = Building {
            ca: Ca::new("Lab Public CA").unwrap(),
            zones: zones(file),
            map: HashMap::new(),
            servers: Vec::new(),
            attackers: Vec::new(),
            openssl: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        for (number, host) in (1_u8..).zip(&file.host) {
            building.host(number, host).await;
        }
        let mut policy = None;
        if let Some(written) = &file.policy {
            let address = Ipv4Addr::new(198, 51, 100, 1);
            let record = written.record.as_deref().unwrap_or("v=STSv1; id=1;");
            put(&mut building.zones, &format!("_mta-sts.{DOMAIN}"), &Data::txt(record));
            put(&mut building.zones, &format!("mta-sts.{DOMAIN}"), &Data::A(address));
            let host = PolicyHost::start(policy_host(written, &building.ca)).await.unwrap();
            building.map.insert((address, 443).into(), host.addr());
            policy = Some(host);
        }
        let Building { ca, zones, mut map, servers, attackers, openssl, folder } = building;
        let tree = Tree::build(zones.into_values().collect()).unwrap();
        let first = DnsServer::start(tree).await.unwrap();
        let second = first.twin().await.unwrap();
        for tampering in file.damage.iter().map(damage) {
            first.tamper(tampering.clone());
            second.tamper(tampering);
        }
        for tampering in file.second_server.iter().map(damage) {
            second.tamper(tampering);
        }
        map.insert(([192, 0, 2, 53], 53).into(), first.addr());
        map.insert(([192, 0, 2, 54], 53).into(), second.addr());
        let roots = vec![webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()];
        let surveyor = surveyor(&first, map, &roots, Memory::default());
        let hosts = (servers, attackers, policy, openssl);
        Self { surveyor, roots, _dns: [first, second], _hosts: hosts, _folder: folder }
    }
}

/// A surveyor at the pace of a test.
pub(super) fn surveyor(
    dns: &DnsServer,
    map: HashMap<SocketAddr, SocketAddr>,
    roots: &[TrustAnchor<'static>],
    memory: Memory,
) -> Surveyor {
    let upstream = Upstream { address: dns.addr(), transport: Transport::Udp };
    let anchors = Anchors::parse(&dns.root_ds()).unwrap();
    let settings = resolve::Settings { anchors, ..resolve::Settings::new(vec![upstream]) };
    let resolver = Resolver::new(settings);
    let asks: Arc<dyn Dns> = Arc::new(resolver.clone());
    let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
    let timeout = Duration::from_secs(10);
    let fetching = fetch::Settings { timeout, ..fetch::Settings::default() };
    let fetcher = PolicyFetcher::new(fetching, Arc::clone(&asks), dialler.clone(), roots).unwrap();
    let gatherer = Gatherer::new(
        gather::Settings::default(),
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

impl Building {
    async fn host(&mut self, number: u8, host: &Host) {
        let address = host.address.unwrap_or_else(|| Ipv4Addr::new(192, 0, 2, number).into());
        let data = match address {
            IpAddr::V4(address) => Data::A(address),
            IpAddr::V6(address) => Data::Aaaa(address),
        };
        put(&mut self.zones, &host.name, &data);
        if let Some(preference) = host.mx {
            put(&mut self.zones, DOMAIN, &Data::mx(preference, &host.name));
        }
        let at = SocketAddr::new(address, 25);
        if host.tls == Tls::Dead {
            // A port that was free a moment ago: the connection is refused.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            self.map.insert(at, free.local_addr().unwrap());
            return;
        }
        let (identity, others) = self.identity(host);
        for text in &host.tlsa {
            let data = tlsa(text, &identity, &others, &self.ca);
            put(&mut self.zones, &format!("_25._tcp.{}", host.name), &data);
        }
        let personality = self.personality(host, identity);
        let server = MxServer::start(personality, Sink::default()).await.unwrap();
        let method = match host.attacker.as_deref() {
            None => Method::Absent,
            Some("strip-starttls") => Method::StripStartTls,
            Some("inject-after-starttls") => Method::InjectAfterStartTls,
            Some(other) => panic!("{other}"),
        };
        let attacker = Attacker::start(server.addr(), method).await.unwrap();
        self.map.insert(at, attacker.addr());
        self.attackers.push(attacker);
        self.servers.push(server);
    }

    /// What it shows, and its other identities.
    fn identity(&self, host: &Host) -> (Identity, Vec<Identity>) {
        let kinds = if host.keys.is_empty() { vec!["ecdsa".to_owned()] } else { host.keys.clone() };
        let names = [if host.tls == Tls::WrongName { "elsewhere.example" } else { &*host.name }];
        let validity = match (host.tls, host.days) {
            (Tls::Expired, _) => Validity::Expired,
            (_, Some(days)) => Validity::Days(days),
            (_, None) => Validity::Current,
        };
        let mut all = kinds.iter().map(|kind| {
            let kind = match kind.as_str() {
                "ecdsa" => KeyKind::Ecdsa,
                "rsa" => KeyKind::Rsa,
                "ed25519" => KeyKind::Ed25519,
                other => panic!("{other}"),
            };
            let key = ServerKey::of(kind).unwrap();
            if host.tls == Tls::SelfSigned {
                Identity::self_signed(&key, &names, validity).unwrap()
            } else {
                self.ca.issue(&key, &names, validity).unwrap()
            }
        });
        let mut first = all.next().unwrap();
        let others: Vec<Identity> = all.collect();
        for other in &others {
            first = first.or(other).unwrap();
        }
        let first = match host.speaks.as_deref() {
            None => first,
            Some("1.2") => first.speaking(Speaks::V1_2).unwrap(),
            Some("1.3") => first.speaking(Speaks::V1_3).unwrap(),
            Some("classic") => first.speaking(Speaks::Classic).unwrap(),
            Some(other) => panic!("{other}"),
        };
        (first, others)
    }

    fn personality(&mut self, host: &Host, identity: Identity) -> Personality {
        let starttls = match (&host.openssl, host.tls) {
            (Some(options), _) => StartTls::Through(self.openssl(&host.name, options)),
            (None, Tls::None) => StartTls::Absent,
            (None, Tls::Tls10) => StartTls::Legacy,
            (None, Tls::HugeCertificate) => StartTls::HugeCertificate(1_000_000),
            (None, _) => StartTls::Works(identity),
        };
        let mut personality = Personality::new(&host.name, starttls);
        if host.requiretls {
            personality = personality.requiretls();
        }
        let Some([step, fault]) = &host.fault else { return personality };
        let step = match step.as_str() {
            "greeting" => Step::Greeting,
            "ehlo" => Step::Ehlo,
            "starttls" => Step::StartTls,
            _ => panic!("{step}"),
        };
        let fault = match fault.as_str() {
            "close" => Fault::Close,
            "silence" => Fault::Silence,
            "endless-line" => Fault::EndlessLine,
            "endless-reply" => Fault::EndlessReply(if step == Step::Greeting { 220 } else { 250 }),
            reply => Fault::Reply(reply.to_owned()),
        };
        personality.failing(step, fault)
    }

    fn openssl(&mut self, name: &str, options: &[String]) -> SocketAddr {
        let key = ServerKey::of(KeyKind::Rsa).unwrap();
        let identity = self.ca.issue(&key, &[name], Validity::Current).unwrap();
        let pem = |der: &[u8]| {
            let text = STANDARD.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let chain: String = identity.chain.iter().map(|der| pem(der)).collect();
        let folder = self.folder.path().join(self.openssl.len().to_string());
        std::fs::create_dir(&folder).unwrap();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let server = openssl::Server::start(&folder, &chain, &key.pem(), &options);
        let address = server.address;
        self.openssl.push(server);
        address
    }
}

fn tlsa(text: &str, identity: &Identity, others: &[Identity], ca: &Ca) -> Data {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let data = match words[3] {
        "key" => identity.spki_sha256.clone(),
        "second" => others[0].spki_sha256.clone(),
        "wrong" => vec![0x11; 32],
        "next" => vec![0x22; 32],
        "short" => vec![0x11; 31],
        "ca" => digest(&SHA256, ca.der()).as_ref().to_vec(),
        "cert" => digest(&SHA256, &identity.chain[0]).as_ref().to_vec(),
        other => vec![other.parse().unwrap(); 32],
    };
    Data::Tlsa { usage: number(0), selector: number(1), matching: number(2), data }
}

fn zones(file: &File) -> BTreeMap<String, Zone> {
    let mut zones = BTreeMap::from([("example".to_owned(), Zone::new("example").signed())]);
    let receiver = (DOMAIN, &file::Zone::default());
    let written = file.zone.iter().map(|(name, zone)| (name.as_str(), zone));
    for (name, written) in std::iter::once(receiver).chain(written) {
        zones.insert(name.to_owned(), zone(name, written));
    }
    if file.no_domain {
        zones.remove(DOMAIN);
    }
    zones
}

fn zone(name: &str, written: &file::Zone) -> Zone {
    let mut zone = Zone::new(name).ttl(written.ttl.unwrap_or(3_600));
    if written.signed {
        let mut signing = Signing::default();
        if let Some(iterations) = written.nsec3 {
            signing.denial = Denial::Nsec3 { iterations, salt: Vec::new(), opt_out: OptOut::No };
        }
        if let Some(hours) = written.expires_in {
            signing.validity = (-8 * 86_400, hours * 3_600);
        } else {
            signing.validity = (-86_400, 14 * 86_400);
        }
        if let Some(number) = written.algorithm {
            let algorithm = match number {
                8 => Algorithm::RsaSha256,
                10 => Algorithm::RsaSha512,
                15 => Algorithm::Ed25519,
                other => Algorithm::Unknown(other),
            };
            signing.algorithms = vec![algorithm];
        }
        zone = zone.signed_with(signing);
    }
    if written.servers {
        zone = zone.servers(&[&format!("ns1.{name}"), &format!("ns2.{name}")]);
        zone.add("ns1", &Data::A(Ipv4Addr::new(192, 0, 2, 53)));
        zone.add("ns2", &Data::A(Ipv4Addr::new(192, 0, 2, 54)));
    }
    if written.denies_empty_names {
        zone = zone.denying_empty_names();
    }
    for number in 0..written.mx_records {
        let host = format!("h{number}.{name}");
        zone.add("@", &Data::mx(10, &host));
        zone.add(&format!("h{number}"), &Data::A(Ipv4Addr::LOCALHOST));
    }
    for record in &written.records {
        let (owner, data) = parse(record);
        zone.add(&owner, &data);
    }
    zone
}
