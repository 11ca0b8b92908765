//! The world of a scenario, built from the lab.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::TrustAnchor;
use waxseal::{
    deliver::Deliverer,
    dial::{self, Dialler},
    fetch::{self, PolicyFetcher},
    gather::{self, Dns, Forgetful, Gatherer, Witness},
    resolve::{self, Resolver, Transport, Upstream},
};
use waxseal_core::dnssec::Anchors;
use waxseal_lab::{
    attacker::{Attacker, Method},
    ca::{Ca, Identity, ServerKey, Validity},
    dns::{Act, Data, DnsServer, Name, Tampering, Tree, Zone, rcode, rtype},
    mx::{Fault, MxServer, Personality, StartTls, Step},
    policy_host::{Answer, PolicyHost, PolicyPersonality},
    sink::Sink,
};

use super::file::{File, Host, Policy, Tls};

pub(crate) const DOMAIN: &str = "receiver.example";

/// Everything that runs.
pub(super) struct World {
    pub(super) dns: DnsServer,
    pub(super) sink: Sink,
    pub(super) gatherer: Gatherer,
    pub(super) deliverer: Deliverer,
    damage: Vec<Tampering>,
    attackers: Vec<(Attacker, Method)>,
    _others: Vec<DnsServer>,
    _servers: Vec<MxServer>,
    _policy: Option<PolicyHost>,
}

impl World {
    pub(super) async fn start(file: &File) -> Self {
        let ca = Ca::new("Scenario CA").unwrap();
        let sink = Sink::default();
        let mut zones = zones(file);
        let (mut map, mut servers, mut attackers) = (HashMap::new(), Vec::new(), Vec::new());
        for (number, host) in (1u8..).zip(&file.host) {
            let address = Ipv4Addr::new(192, 0, 2, number);
            let key = ServerKey::generate().unwrap();
            let identity = identity(&ca, &key, host);
            put(&mut zones, &host.name, &Data::A(address));
            if let Some(preference) = host.mx {
                put(&mut zones, DOMAIN, &Data::mx(preference, &host.name));
            }
            for text in &host.tlsa {
                put(&mut zones, &format!("_25._tcp.{}", host.name), &tlsa(text, &identity, &ca));
            }
            let server = MxServer::start(personality(host, &identity), sink.clone()).await.unwrap();
            let attacker = Attacker::start(server.addr(), Method::Absent).await.unwrap();
            map.insert(SocketAddr::new(address.into(), 25), attacker.addr());
            attackers.push((attacker, method(host, &ca)));
            servers.push(server);
        }
        let mut policy = None;
        if let Some(written) = &file.policy {
            let address = Ipv4Addr::new(198, 51, 100, 1);
            let record = written.record.as_deref().unwrap_or("v=STSv1; id=1;");
            put(&mut zones, &format!("_mta-sts.{DOMAIN}"), &Data::txt(record));
            put(&mut zones, &format!("mta-sts.{DOMAIN}"), &Data::A(address));
            let host = PolicyHost::start(policy_host(written, &ca)).await.unwrap();
            map.insert(SocketAddr::new(address.into(), 443), host.addr());
            policy = Some(host);
        }
        let zones: Vec<Zone> = zones.into_values().collect();
        let start = || async { DnsServer::start(Tree::build(zones.clone()).unwrap()).await };
        let dns = start().await.unwrap();
        let (mut others, mut witnesses) = (Vec::new(), Vec::new());
        for number in 1..=file.witnesses {
            let other = start().await.unwrap();
            let name = format!("tls://192.0.2.{number}#dns.other.example");
            witnesses.push(Witness { name, dns: resolver(&other) });
            others.push(other);
        }
        let (gatherer, deliverer) = gateway(&dns, witnesses, map, &ca);
        let damage = file.damage.iter().map(damage).collect();
        Self {
            dns,
            sink,
            gatherer,
            deliverer,
            damage,
            attackers,
            _others: others,
            _servers: servers,
            _policy: policy,
        }
    }

    /// Damage and attacks begin.
    pub(super) fn begin(&self) {
        for tampering in &self.damage {
            self.dns.tamper(tampering.clone());
        }
        for (attacker, method) in &self.attackers {
            attacker.begin(method.clone());
        }
    }

    /// Whether an attacker could read these words.
    pub(super) fn saw(&self, words: &str) -> bool {
        self.attackers.iter().any(|(attacker, _)| attacker.transcript().saw(words))
    }
}

fn resolver(dns: &DnsServer) -> Arc<dyn Dns> {
    let upstream = Upstream { address: dns.addr(), transport: Transport::Udp };
    let anchors = Anchors::parse(&dns.root_ds()).unwrap();
    let settings = resolve::Settings { anchors, ..resolve::Settings::new(vec![upstream]) };
    Arc::new(Resolver::new(settings))
}

fn gateway(
    dns: &DnsServer,
    witnesses: Vec<Witness>,
    map: HashMap<SocketAddr, SocketAddr>,
    ca: &Ca,
) -> (Gatherer, Deliverer) {
    let resolver = resolver(dns);
    let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
    let roots: Vec<TrustAnchor<'static>> =
        vec![webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()];
    let fetcher = PolicyFetcher::new(
        fetch::Settings::default(),
        Arc::clone(&resolver),
        dialler.clone(),
        &roots,
    );
    let gatherer = Gatherer::new(
        gather::Settings { witnesses, ..gather::Settings::default() },
        resolver,
        Arc::new(fetcher.unwrap()),
        Arc::new(Forgetful::default()),
    );
    let settings = waxseal::deliver::Settings {
        hello: "gw.sender.example".to_owned(),
        ..waxseal::deliver::Settings::default()
    };
    (gatherer, Deliverer::new(settings, dialler, Arc::new(roots)).unwrap())
}

fn zones(file: &File) -> BTreeMap<String, Zone> {
    let mut zones = BTreeMap::from([("example".to_owned(), Zone::new("example").signed())]);
    let receiver = (DOMAIN, &super::file::Zone::default());
    let written = file.zone.iter().map(|(name, zone)| (name.as_str(), zone));
    for (name, written) in std::iter::once(receiver).chain(written) {
        // What was known before must not come from a cache.
        let mut zone = Zone::new(name).ttl(0);
        if written.signed {
            zone = zone.signed();
        }
        for record in &written.records {
            let (owner, data) = parse(record);
            zone.add(&owner, &data);
        }
        zones.insert(name.to_owned(), zone);
    }
    zones
}

/// Into the zone that holds the name.
pub(crate) fn put(zones: &mut BTreeMap<String, Zone>, name: &str, data: &Data) {
    let within = |zone: &String| Name::new(name).is_within(&Name::new(zone));
    let zone = zones.keys().filter(|zone| within(zone)).max_by_key(|zone| zone.len());
    let zone = zone.unwrap_or_else(|| panic!("no zone for {name}")).clone();
    zones.get_mut(&zone).unwrap().add(&format!("{name}."), data);
}

pub(crate) fn parse(record: &str) -> (String, Data) {
    let (owner, rest) = record.split_once(' ').unwrap();
    let (rtype, data) = rest.split_once(' ').unwrap();
    let data = match rtype {
        "A" => Data::A(data.parse().unwrap()),
        "AAAA" => Data::Aaaa(data.parse().unwrap()),
        "CNAME" => Data::Cname(data.into()),
        "DNAME" => Data::Dname(data.into()),
        "TXT" => Data::txt(data),
        "MX" => {
            let (preference, host) = data.split_once(' ').unwrap();
            Data::mx(preference.parse().unwrap(), host)
        }
        _ => panic!("{record}"),
    };
    (owner.to_owned(), data)
}

fn number(rtype: &str) -> u16 {
    match rtype {
        "A" => rtype::A,
        "AAAA" => rtype::AAAA,
        "MX" => rtype::MX,
        "TXT" => rtype::TXT,
        "TLSA" => rtype::TLSA,
        _ => panic!("{rtype}"),
    }
}

/// `name TYPE`, as questions are recorded.
pub(super) fn question(text: &str) -> waxseal_lab::dns::Question {
    let (name, rtype) = text.split_once(' ').unwrap();
    waxseal_lab::dns::Question { name: format!("{name}."), rtype: number(rtype) }
}

pub(crate) fn damage([name, rtype, act]: &[String; 3]) -> Tampering {
    let act = match act.as_str() {
        "servfail" => Act::Fail(rcode::SERVFAIL),
        "refused" => Act::Fail(rcode::REFUSED),
        "nxdomain" => Act::NxDomain,
        "no-data" => Act::NoData,
        "silence" => Act::Drop,
        "strip-signatures" => Act::StripSignatures,
        "break-signatures" => Act::BreakSignatures,
        "forged-mx" => Act::Replace(vec![Data::mx(10, "mx.attacker.example")]),
        _ => panic!("{act}"),
    };
    match rtype.as_str() {
        "*" => Tampering::all(name, act),
        rtype => Tampering::only(name, number(rtype), act),
    }
}

fn identity(ca: &Ca, key: &ServerKey, host: &Host) -> Identity {
    let name = host.name.as_str();
    let identity = match host.tls {
        Tls::SelfSigned => Identity::self_signed(key, &[name], Validity::Current),
        Tls::Expired => ca.issue(key, &[name], Validity::Expired),
        Tls::WrongName => ca.issue(key, &["elsewhere.example"], Validity::Current),
        Tls::Public | Tls::None | Tls::Tls10 => ca.issue(key, &[name], Validity::Current),
    };
    identity.unwrap()
}

fn personality(host: &Host, identity: &Identity) -> Personality {
    let starttls = match host.tls {
        Tls::None => StartTls::Absent,
        Tls::Tls10 => StartTls::Legacy,
        Tls::SelfSigned | Tls::Public | Tls::Expired | Tls::WrongName => {
            StartTls::Works(identity.clone())
        }
    };
    let mut personality = Personality::new(&host.name, starttls);
    if host.requiretls {
        personality = personality.requiretls();
    }
    if let Some([step, fault]) = &host.fault {
        let step = match step.as_str() {
            "greeting" => Step::Greeting,
            "starttls" => Step::StartTls,
            "mail" => Step::Mail,
            "rcpt" => Step::Rcpt,
            "data" => Step::Data,
            "dot" => Step::Dot,
            _ => panic!("{step}"),
        };
        let fault = match fault.as_str() {
            "close" => Fault::Close,
            reply => Fault::Reply(reply.to_owned()),
        };
        personality = personality.failing(step, fault);
    }
    personality
}

fn method(host: &Host, ca: &Ca) -> Method {
    let key = ServerKey::generate().unwrap();
    let name = host.name.as_str();
    match host.attacker.as_deref() {
        None => Method::Absent,
        Some("eavesdrop") => Method::Eavesdrop,
        Some("strip-starttls") => Method::StripStartTls,
        Some("inject-after-starttls") => Method::InjectAfterStartTls,
        Some("self-signed") => {
            Method::Impersonate(Identity::self_signed(&key, &[name], Validity::Current).unwrap())
        }
        Some("misissued-cert") => {
            Method::Impersonate(ca.issue(&key, &[name], Validity::Current).unwrap())
        }
        Some(other) => panic!("{other}"),
    }
}

pub(crate) fn policy_host(written: &Policy, ca: &Ca) -> PolicyPersonality {
    let key = ServerKey::generate().unwrap();
    let name = format!("mta-sts.{DOMAIN}");
    let wrong = written.answer.as_deref() == Some("wrong-certificate");
    let identity = if wrong {
        Identity::self_signed(&key, &[&name], Validity::Current)
    } else {
        ca.issue(&key, &[&name], Validity::Current)
    };
    let text = written.text.clone();
    let answer = match written.answer.as_deref() {
        None | Some("policy" | "wrong-certificate") => Answer::Policy(text),
        Some("not-found") => Answer::NotFound,
        Some("redirect") => Answer::Redirect(format!("https://{name}/elsewhere")),
        Some("html") => Answer::MediaType("text/html".to_owned(), text),
        Some("huge") => Answer::Huge(200_000),
        Some("blocked") => Answer::Blocked,
        Some(other) => panic!("{other}"),
    };
    PolicyPersonality { identity: identity.unwrap(), answer }
}

fn tlsa(text: &str, identity: &Identity, ca: &Ca) -> Data {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let data = match words[3] {
        "key" => identity.spki_sha256.clone(),
        "wrong" => vec![0x11; 32],
        "short" => vec![0x11; 31],
        "ca" => digest(&SHA256, ca.der()).as_ref().to_vec(),
        other => panic!("{other}"),
    };
    Data::Tlsa { usage: number(0), selector: number(1), matching: number(2), data }
}
