//! Mail domains below `.lab`, one for each way in which transport security holds or breaks, where
//! other people's tools can reach them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;
use waxseal_core::pki::Certificate;
use waxseal_lab::{
    ca::{Ca, Identity, KeyKind, ServerKey, Validity},
    dns::{Act, Data, DnsServer, Tampering, Tree, Zone, rcode, rtype},
    mx::{MxServer, Personality, StartTls},
    policy_host::{Answer, PolicyHost, PolicyPersonality, policy_text},
    sink::Sink,
};

use super::namespace::{Namespace, forward};
use crate::dnssec_differential::Unbound;

/// One mail domain with one mail host.
struct Site {
    name: &'static str,
    zone: Zone,
    starttls: StartTls,
    chain: Vec<CertificateDer<'static>>,
    policy: Option<Answer>,
    tampering: Vec<Tampering>,
}

/// All of it, running. What is asked of it has to be asked from its namespace.
pub(super) struct World {
    pub(super) namespace: Namespace,
    pub(super) folder: tempfile::TempDir,
    /// Names of the domains.
    pub(super) domains: Vec<String>,
    _dns: DnsServer,
    _unbound: Unbound,
    _mail: Vec<MxServer>,
    _policies: Vec<PolicyHost>,
    _forwarding: JoinSet<()>,
}

/// Last octets of addresses. 192.0.2.1 is what `waxseal` finds its own address with.
const OCTETS: std::ops::RangeInclusive<u8> = 10..=80;

/// In two networks: `waxseal check` looks at a few hosts of one at a time.
fn mx_address(index: u8) -> Ipv4Addr {
    match index % 2 {
        0 => Ipv4Addr::new(192, 0, 2, index),
        _ => Ipv4Addr::new(203, 0, 113, index),
    }
}

fn policy_address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, index)
}

/// The host's file with the chain that a domain's mail host shows.
pub(super) fn chain_file(folder: &Path, domain: &str) -> PathBuf {
    folder.join(format!("{domain}.pem"))
}

impl World {
    /// Runs `test` in a world of its own.
    pub(super) fn with(test: impl FnOnce(&Self) + Send + 'static) {
        let folder = tempfile::Builder::new().prefix("waxseal-oracle-").tempdir().unwrap();
        let addresses: Vec<IpAddr> =
            OCTETS.flat_map(|n| [mx_address(n).into(), policy_address(n).into()]).collect();
        let namespace = Namespace::create(folder.path(), &addresses);
        // A thread can live in another network than the rest of its process.
        let inside = std::thread::spawn(move || {
            namespace.enter();
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.unwrap();
            let world = runtime.block_on(Self::start(namespace, folder));
            test(&world);
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    }

    async fn start(namespace: Namespace, folder: tempfile::TempDir) -> Self {
        let ca = Ca::new("Public CA").unwrap();
        fs::write(folder.path().join("roots.pem"), ca.pem()).unwrap();
        let mut zones = vec![Zone::new("lab").signed()];
        let mut tampering = Vec::new();
        let (mut domains, mut mail, mut policies) = (Vec::new(), Vec::new(), Vec::new());
        let mut forwarding = JoinSet::new();
        for (index, site) in OCTETS.zip(sites(&ca)) {
            let domain = format!("{}.lab", site.name);
            let mut zone = site.zone.record("mx", &Data::A(mx_address(index)));
            let host = Personality::new(&format!("mx.{domain}"), site.starttls);
            let server = MxServer::start(host, Sink::default()).await.unwrap();
            let from = SocketAddr::from((mx_address(index), 25));
            forward(&mut forwarding, from, server.addr()).await;
            mail.push(server);
            if let Some(answer) = site.policy {
                let name = format!("mta-sts.{domain}");
                let key = ServerKey::generate().unwrap();
                let identity = ca.issue(&key, &[&name], Validity::Current).unwrap();
                let host = PolicyHost::start(PolicyPersonality { identity, answer }).await.unwrap();
                let from = SocketAddr::from((policy_address(index), 443));
                forward(&mut forwarding, from, host.addr()).await;
                policies.push(host);
                zone.add("mta-sts", &Data::A(policy_address(index)));
            }
            fs::write(chain_file(folder.path(), &domain), pem(&site.chain)).unwrap();
            zones.push(zone);
            tampering.extend(site.tampering);
            domains.push(domain);
        }
        let dns = DnsServer::start(Tree::build(zones).unwrap()).await.unwrap();
        for rule in tampering {
            dns.tamper(rule);
        }
        fs::write(folder.path().join("root.ds"), dns.root_ds()).unwrap();
        let resolver = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let unbound = Unbound::start_at(resolver, dns.addr(), &dns.root_ds()).await;
        Self {
            namespace,
            folder,
            domains,
            _dns: dns,
            _unbound: unbound,
            _mail: mail,
            _policies: policies,
            _forwarding: forwarding,
        }
    }

    /// A file of this world.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn pem(chain: &[CertificateDer<'static>]) -> String {
    let blocks = chain.iter().map(|der| {
        let body = base64(der);
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    });
    blocks.collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let padded = [group, &[0, 0]].concat();
        let number = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for digit in 0..4_u32 {
            let six = usize::try_from(number >> (18 - 6 * digit) & 63).unwrap();
            let filled = usize::try_from(digit).unwrap() <= group.len();
            text.push(if filled { char::from(DIGITS[six]) } else { '=' });
        }
    }
    text
}

fn association(der: &CertificateDer<'_>, usage: u8, selector: u8, matching: u8) -> Data {
    let data = match matching {
        0 if selector == 0 => der.to_vec(),
        0 => Certificate::read(der).unwrap().public_key_info().to_vec(),
        matching => Certificate::read(der).unwrap().association(selector, matching).unwrap(),
    };
    Data::Tlsa { usage, selector, matching, data }
}

fn another_key(usage: u8) -> Data {
    Data::Tlsa { usage, selector: 1, matching: 1, data: vec![0xa5; 32] }
}

impl Site {
    /// A signed zone, and a host whose certificate of the public CA is good.
    fn signed(name: &'static str, ca: &Ca) -> Self {
        Self::showing(name, good(name, ca))
    }

    fn showing(name: &'static str, identity: Identity) -> Self {
        let domain = format!("{name}.lab");
        let zone = Zone::new(&domain).record("@", &Data::mx(10, &format!("mx.{domain}"))).signed();
        let chain = identity.chain.clone();
        let starttls = StartTls::Works(identity);
        Self { name, zone, starttls, chain, policy: None, tampering: Vec::new() }
    }

    fn unsigned(mut self) -> Self {
        let domain = format!("{}.lab", self.name);
        self.zone = Zone::new(&domain).record("@", &Data::mx(10, &format!("mx.{domain}")));
        self
    }

    fn with(mut self, owner: &str, data: &Data) -> Self {
        self.zone.add(owner, data);
        self
    }

    /// A TLSA record that matches the certificate at this place of the chain.
    fn tlsa(self, place: usize, (usage, selector, matching): (u8, u8, u8)) -> Self {
        let data = association(&self.chain[place], usage, selector, matching);
        self.with("_25._tcp.mx", &data)
    }

    fn policy(mut self, answer: Answer) -> Self {
        self.policy = Some(answer);
        self.with("_mta-sts", &Data::txt("v=STSv1; id=20261122;"))
    }

    fn tampered(mut self, only: Option<u16>, act: Act) -> Self {
        let within = format!("{}.lab", self.name).as_str().into();
        self.tampering.push(Tampering { within, rtype: only, act });
        self
    }

    fn in_the_clear(mut self) -> Self {
        self.starttls = StartTls::Absent;
        self
    }
}

fn good(name: &str, ca: &Ca) -> Identity {
    let host = format!("mx.{name}.lab");
    ca.issue(&ServerKey::generate().unwrap(), &[&host], Validity::Current).unwrap()
}

fn own(name: &str, validity: Validity) -> Identity {
    let host = format!("mx.{name}.lab");
    Identity::self_signed(&ServerKey::generate().unwrap(), &[&host], validity).unwrap()
}

fn sites(ca: &Ca) -> Vec<Site> {
    let elsewhere =
        || ca.issue(&ServerKey::generate().unwrap(), &["mx.elsewhere.lab"], Validity::Current);
    let mut sites = vec![
        Site::signed("match-311", ca).tlsa(0, (3, 1, 1)),
        Site::showing("match-self-signed", own("match-self-signed", Validity::Current))
            .tlsa(0, (3, 1, 1)),
        Site::signed("match-312", ca).tlsa(0, (3, 1, 2)),
        Site::signed("match-310", ca).tlsa(0, (3, 1, 0)),
        Site::signed("match-301", ca).tlsa(0, (3, 0, 1)),
        Site::signed("match-211", ca).tlsa(1, (2, 1, 1)),
        Site::signed("match-201", ca).tlsa(1, (2, 0, 1)),
        Site::signed("mismatch", ca).with("_25._tcp.mx", &another_key(3)),
        Site::signed("mismatch-211", ca).with("_25._tcp.mx", &another_key(2)),
        Site::signed("several-keys", ca).tlsa(0, (3, 1, 1)).with("_25._tcp.mx", &another_key(3)),
        Site::signed("end-or-issuer", ca).tlsa(1, (2, 1, 1)).with("_25._tcp.mx", &another_key(3)),
        Site::showing("expired-311", own("expired-311", Validity::Expired)).tlsa(0, (3, 1, 1)),
        Site::showing(
            "expired-211",
            ca.issue(&ServerKey::generate().unwrap(), &["mx.expired-211.lab"], Validity::Expired)
                .unwrap(),
        )
        .tlsa(1, (2, 1, 1)),
        Site::showing("wrong-name-311", elsewhere().unwrap()).tlsa(0, (3, 1, 1)),
        Site::showing("wrong-name-211", elsewhere().unwrap()).tlsa(1, (2, 1, 1)),
        Site::signed("pkix-usage-111", ca).tlsa(0, (1, 1, 1)),
        Site::signed("pkix-and-dane", ca).tlsa(0, (1, 1, 1)).tlsa(0, (3, 1, 1)),
        Site::signed("unknown-usage", ca).tlsa(0, (9, 1, 1)),
        Site::signed("no-tlsa", ca),
        Site::showing("no-tlsa-self-signed", own("no-tlsa-self-signed", Validity::Current)),
        Site::signed("unsigned", ca).unsigned(),
        Site::signed("orphan", ca).unsigned().tlsa(0, (3, 1, 1)),
        Site::signed("no-starttls", ca).unsigned().in_the_clear(),
        Site::signed("dane-no-starttls", ca).tlsa(0, (3, 1, 1)).in_the_clear(),
        Site::signed("bogus", ca).tlsa(0, (3, 1, 1)).tampered(None, Act::BreakSignatures),
        Site::signed("bogus-tlsa", ca)
            .tlsa(0, (3, 1, 1))
            .tampered(Some(rtype::TLSA), Act::BreakSignatures),
        Site::signed("tlsa-servfail", ca)
            .tlsa(0, (3, 1, 1))
            .tampered(Some(rtype::TLSA), Act::Fail(rcode::SERVFAIL)),
    ];
    sites.extend(two_keys(ca));
    sites.extend(published(ca));
    sites
}

/// Hosts that show an ECDSA certificate to those who take it, and an RSA one to the rest.
fn two_keys(ca: &Ca) -> [Site; 2] {
    let both = |name: &'static str| {
        let host = format!("mx.{name}.lab");
        let of =
            |kind| ca.issue(&ServerKey::of(kind).unwrap(), &[&host], Validity::Current).unwrap();
        let (ecdsa, rsa) = (of(KeyKind::Ecdsa), of(KeyKind::Rsa));
        let of_rsa = association(&rsa.chain[0], 3, 1, 1);
        (Site::showing(name, ecdsa.or(&rsa).unwrap()).tlsa(0, (3, 1, 1)), of_rsa)
    };
    let (published, of_rsa) = both("two-keys-both");
    let (half, _) = both("two-keys-one");
    [published.with("_25._tcp.mx", &of_rsa), half]
}

/// Domains that differ in what they publish beside DANE.
fn published(ca: &Ca) -> Vec<Site> {
    let policy = |name: &str| Answer::Policy(policy_text("enforce", &[&format!("mx.{name}.lab")]));
    let none = |name: &'static str| Site::signed(name, ca).unsigned();
    let txt = |text: &str| Data::txt(text);
    vec![
        none("sts-only").policy(policy("sts-only")),
        none("sts-other-host").policy(policy("elsewhere")),
        none("sts-not-found").policy(Answer::NotFound),
        none("sts-html").policy(Answer::MediaType(
            "text/html".into(),
            policy_text("enforce", &["mx.sts-html.lab"]),
        )),
        none("sts-redirect").policy(Answer::Redirect(
            "https://mta-sts.sts-only.lab/.well-known/mta-sts.txt".into(),
        )),
        none("sts-two-records")
            .policy(policy("sts-two-records"))
            .with("_mta-sts", &txt("v=STSv1; id=2;")),
        none("sts-no-id").with("_mta-sts", &txt("v=STSv1;")),
        none("mail-good")
            .with("@", &txt("v=spf1 mx -all"))
            .with("_dmarc", &txt("v=DMARC1; p=reject; rua=mailto:dmarc@mail-good.lab"))
            .with("_smtp._tls", &txt("v=TLSRPTv1; rua=mailto:tls@mail-good.lab")),
        none("spf-two").with("@", &txt("v=spf1 mx -all")).with("@", &txt("v=spf1 ~all")),
        none("spf-syntax").with("@", &txt("v=spf1 mx ip4:192.0.2.300 -all")),
        none("spf-lookups").with("@", &txt(&format!("v=spf1 {}-all", "mx ".repeat(11)))),
        none("spf-void").with("@", &txt("v=spf1 a:a.lab a:b.lab a:c.lab -all")),
        none("spf-all").with("@", &txt("v=spf1 +all")),
        none("dmarc-syntax").with("_dmarc", &txt("v=DMARC1; p=perhaps")),
        none("dmarc-two")
            .with("_dmarc", &txt("v=DMARC1; p=reject"))
            .with("_dmarc", &txt("v=DMARC1; p=none")),
        none("dmarc-none").with("_dmarc", &txt("v=DMARC1; p=none; rua=mailto:d@dmarc-none.lab")),
        none("tlsrpt-no-rua").with("_smtp._tls", &txt("v=TLSRPTv1;")),
        none("tlsrpt-two")
            .with("_smtp._tls", &txt("v=TLSRPTv1; rua=mailto:a@tlsrpt-two.lab"))
            .with("_smtp._tls", &txt("v=TLSRPTv1; rua=mailto:b@tlsrpt-two.lab")),
        none("tlsrpt-http").with("_smtp._tls", &txt("v=TLSRPTv1; rua=http://tlsrpt-http.lab/")),
    ]
}
