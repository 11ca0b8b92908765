//! The world of a scenario, built from the lab.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

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
    ca::Ca,
    dns::{DnsServer, Tampering, Tree, Zone},
    mx::MxServer,
    policy_host::PolicyHost,
    sink::Sink,
};

use super::{
    build,
    file::{File, Tls},
};

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
        // What was known before must not come from a cache.
        let mut zones = build::zones(&file.zone, 0);
        let (mut map, mut servers, mut attackers) = (HashMap::new(), Vec::new(), Vec::new());
        for (number, host) in (1u8..).zip(&file.host) {
            assert!(host.openssl.is_none() && host.tls != Tls::Dead, "for assessments only");
            let at = build::publish(&mut zones, host, number);
            let (identity, others) = build::identity(&ca, host);
            build::pin(&mut zones, host, (&identity, &others), &ca);
            let personality = build::personality(host, build::starttls(host, identity));
            let server = MxServer::start(personality, sink.clone()).await.unwrap();
            let attacker = Attacker::start(server.addr(), Method::Absent).await.unwrap();
            map.insert(at, attacker.addr());
            attackers.push((attacker, build::method(host, &ca)));
            servers.push(server);
        }
        let mut policy = None;
        if let Some(written) = &file.policy {
            policy = Some(build::announce(written, &ca, &mut zones, &mut map).await);
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
        let damage = file.damage.iter().map(build::damage).collect();
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

/// `name TYPE`, as questions are recorded.
pub(super) fn question(text: &str) -> waxseal_lab::dns::Question {
    let (name, rtype) = text.split_once(' ').unwrap();
    waxseal_lab::dns::Question { name: format!("{name}."), rtype: build::number(rtype) }
}
