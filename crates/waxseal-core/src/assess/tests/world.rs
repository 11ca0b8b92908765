//! A domain at its best, to spoil one thing at a time.

use std::{net::IpAddr, sync::LazyLock, time::Duration};

use rustls_pki_types::TrustAnchor;

use crate::{
    assess::{
        AddressSurvey, Against, Assessment, Consent, Contact, Delegation, DkimKey, Dmarc,
        DmarcPolicy, HandshakeTried, HostSurvey, Id, KeyKind, MailRecords, MxSurvey, NameServer,
        NameServers, Observed, OfferedSession, OwnKey, PolicySurvey, Probe, Published, Quoted,
        ReportDomain, Reports, ServerAnswer, ServerName, Servers, Signing, Spf, SpfAll,
        StartTlsSeen, Survey, Tried, Unused, UnusedHost, WeakOffer, ZoneSurvey, assess,
    },
    channel::TlsVersion,
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    facts::{Dane, Facts, HostFacts, Known, MxFact, Peer, StsFact},
    org::Terms,
    pki::{
        Certificate,
        bench::{Holder, NOW, Wish},
    },
    sts::{Mode, MxPattern, Policy},
    time::UnixTime,
    tlsrpt,
};

pub(super) const DAY: Duration = Duration::from_hours(24);
pub(super) const SIX: &str = "2001:db8::1";
pub(super) const FOUR: &str = "192.0.2.1";

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Certificates, made once.
pub(super) struct Certificates {
    pub(super) root: TrustAnchor<'static>,
    /// For `mx.example.net`, from the CA, with the CA's certificate behind it.
    pub(super) good: Vec<Vec<u8>>,
    /// For `mx2.example.net`, likewise.
    pub(super) second: Vec<Vec<u8>>,
    /// For both names, with another key.
    pub(super) other: Vec<Vec<u8>>,
    /// For another name.
    pub(super) elsewhere: Vec<Vec<u8>>,
    /// Signed by nobody.
    pub(super) own: Vec<Vec<u8>>,
    /// Expired a year ago.
    pub(super) old: Vec<Vec<u8>>,
}

pub(super) fn certificates() -> &'static Certificates {
    static MADE: LazyLock<Certificates> = LazyLock::new(|| {
        let root = Holder::root("a public CA");
        let issued = |names: &[&'static str], years| {
            let wish = Wish { names: names.to_vec(), years, ..Wish::default() };
            vec![root.issue(&wish).der.to_vec(), root.der.to_vec()]
        };
        let own = Wish { names: vec!["mx.example.net"], ..Wish::default() };
        Certificates {
            root: root.anchor(),
            good: issued(&["mx.example.net"], (2026, 2027)),
            second: issued(&["mx2.example.net"], (2026, 2027)),
            other: issued(&["mx.example.net", "mx2.example.net"], (2026, 2027)),
            elsewhere: issued(&["mx.example.org"], (2026, 2027)),
            old: issued(&["mx.example.net"], (2024, 2025)),
            own: vec![Holder::self_signed(&own).der.to_vec()],
        }
    });
    &MADE
}

/// `3 1 1` of a chain's end entity.
pub(super) fn tlsa(chain: &[Vec<u8>]) -> Tlsa {
    let data = Certificate::read(&chain[0]).unwrap().key_digest().to_vec();
    Tlsa { usage: 3, selector: 1, matching: 1, data }
}

/// `3 1 1` of a key that nobody has yet.
pub(super) fn spare() -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
}

pub(super) fn found<T>(value: T) -> Published<T> {
    Published::Found {
        value,
        text: "v=as published".into(),
        authenticity: Authenticity::Secure,
        expires: NOW + DAY,
    }
}

pub(super) fn broken<T>() -> Published<T> {
    let (text, why) = ("v=what".into(), "it breaks the grammar".into());
    Published::Broken { text, why, authenticity: Authenticity::Secure }
}

pub(super) fn absent<T>() -> Published<T> {
    Published::Absent { denial: Denial::NoData, absence: Absence::Unconfirmed }
}

pub(super) fn failure(kind: FailureKind) -> LookupFailure {
    LookupFailure {
        name: (&domain("example.com")).into(),
        kind,
        detail: "no answer that holds".into(),
    }
}

pub(super) fn zone(name: &str) -> ZoneSurvey {
    let answer = |record_type: &str| ServerAnswer {
        name: domain("_25._tcp.mx.example.net"),
        record_type: record_type.into(),
        digest: Ok("00112233445566".into()),
        signed: true,
        bogus: None,
        records: 2,
        exchanges: Vec::new(),
    };
    let server = |text: &str, address| NameServer {
        name: domain(text),
        address: ip(address),
        answers: vec![answer("TLSA"), answer("A")],
    };
    ZoneSurvey {
        zone: domain(name),
        signing: Signing::Signed {
            algorithms: vec![13],
            smallest_rsa: None,
            first_expiry: NOW + DAY * 10,
            signed_at: Some(NOW.before(DAY * 4)),
            nsec3_iterations: Some(0),
            ds_digests: vec![2],
        },
        servers: Servers::Asked(vec![
            server("ns1.example.net", "192.0.2.53"),
            server("ns2.example.net", "198.51.100.53"),
        ]),
        delegation: Delegation::Compared { above_only: Vec::new(), zone_only: Vec::new() },
    }
}

pub(super) fn server_name(name: &str, ipv6: &str) -> ServerName {
    ServerName { name: domain(name), ipv6: Ok(vec![ipv6.parse().unwrap()]) }
}

/// The servers answer over IPv6, too.
fn with_ipv6(mut zone: ZoneSurvey) -> ZoneSurvey {
    if let Servers::Asked(servers) = &mut zone.servers {
        for number in 0..2 {
            let mut six = servers[number].clone();
            six.address = ip(["2001:db8::53", "2001:db8::54"][number]);
            servers.push(six);
        }
    }
    zone
}

pub(super) fn session(chain: &[Vec<u8>]) -> OfferedSession {
    OfferedSession {
        version: TlsVersion::V1_3,
        suite: "TLS_AES_256_GCM_SHA384".into(),
        group: Some("X25519MLKEM768".into()),
        chain: chain.to_vec(),
        sni: Some(domain("mx.example.net")),
        at: NOW,
    }
}

pub(super) fn address(text: &str, session: OfferedSession) -> AddressSurvey {
    let keywords: Vec<Quoted> = ["STARTTLS", "SIZE 10000000"].map(Quoted::from).to_vec();
    AddressSurvey {
        ip: ip(text),
        observed: Observed::Probed(Box::new(Probe {
            at: NOW,
            contact: Contact::Spoke {
                greeting: "220 mx.example.net".into(),
                keywords,
                starttls: StartTlsSeen::Ready,
            },
            keywords_in_tls: Some(vec!["SIZE 10000000".into(), "REQUIRETLS".into()]),
            handshakes: vec![
                HandshakeTried { key: KeyKind::Rsa, tried: Tried::NoSuchKey },
                HandshakeTried { key: KeyKind::Ecdsa, tried: Tried::Session(session) },
            ],
            legacy: Some(Vec::new()),
            weak: Some(WeakOffer {
                groups: Some(Vec::new()),
                extended_master_secret: Some(true),
                tls12: Some(true),
                ..WeakOffer::default()
            }),
        })),
    }
}

pub(super) fn host_facts(name: &str, preference: u16, records: Vec<Tlsa>) -> HostFacts {
    HostFacts {
        host: Peer::Name(domain(name)),
        preference,
        port: 25,
        addresses: Answer::Found {
            value: vec![ip(SIX), ip(FOUR)],
            authenticity: Authenticity::Secure,
            expires: NOW + DAY,
            chain: None,
        },
        refused: Vec::new(),
        expanded: None,
        dane: Dane::Usable { base: domain(name), records, chain: None },
    }
}

pub(super) fn host_survey(name: &str, chain: &[Vec<u8>]) -> HostSurvey {
    let session = OfferedSession { sni: Some(domain(name)), ..session(chain) };
    HostSurvey {
        host: domain(name),
        alias: None,
        zone: zone("example.net"),
        tlsa_ttl: Some(Duration::from_hours(1)),
        denial_fault: None,
        aaaa_fault: None,
        aaaa_open: None,
        orphans: Vec::new(),
        tlsrpt: found(reports()),
        caa: found(vec!["0 issue ca.example".into()]),
        addresses: vec![address(SIX, session.clone()), address(FOUR, session)],
    }
}

/// A host that the policy lists and no MX record names; it shows this at both of its addresses.
pub(super) fn unused(name: &str, chain: &[Vec<u8>]) -> UnusedHost {
    let HostSurvey { host, addresses, .. } = host_survey(name, chain);
    let facts = host_facts(name, 0, vec![spare()]);
    UnusedHost { host, facts, unregistered: None, addresses }
}

fn reports() -> tlsrpt::Record {
    let (address, domain) = ("tls@example.org".into(), domain("example.org"));
    tlsrpt::Record { rua: vec![tlsrpt::ReportTo::Mailto { address, domain }] }
}

pub(super) fn policy(mode: Mode, hosts: &[&str]) -> Policy {
    let mx = hosts.iter().map(|host| MxPattern::parse(host).unwrap()).collect();
    Policy { mode, mx, max_age: DAY * 30 }
}

fn records() -> MailRecords {
    MailRecords {
        spf: found(Spf {
            all: SpfAll::Fail,
            lookups: 3,
            void_lookups: 0,
            faults: Vec::new(),
            unknown: Vec::new(),
            ptr: Vec::new(),
            open: Vec::new(),
            unreached: Vec::new(),
        }),
        dmarc: found(Dmarc {
            at: domain("example.com"),
            policy: DmarcPolicy::Reject,
            testing: false,
            percent: None,
            subdomains: None,
            nonexistent: None,
            rua: vec!["mailto:dmarc@example.com".into()],
            rua_unusable: Vec::new(),
            report_domains: vec![report_domain("example.com", Consent::NotNeeded)],
            strict_spf: true,
            strict_dkim: true,
        }),
        dkim: vec![("one".into(), found(dkim()))],
        own: vec![own_key("one", Ok(OUR_KEY))],
        domainkey: absent(),
        bimi: absent(),
        security_txt: found(NOW + DAY * 100),
    }
}

/// A domain that aggregate reports go to.
pub(super) fn report_domain(name: &str, consent: Consent) -> ReportDomain {
    ReportDomain { domain: domain(name), reports: Reports::Aggregate, consent }
}

/// The digest of the DKIM key that signs.
pub(super) const OUR_KEY: &str = "0a";

/// A selector of ours, with the digest of its key or why that cannot be read.
pub(super) fn own_key(selector: &str, digest: Result<&str, &str>) -> OwnKey {
    OwnKey { selector: domain(selector), digest: digest.map(str::to_owned).map_err(str::to_owned) }
}

pub(super) fn dkim() -> DkimKey {
    DkimKey {
        algorithm: "rsa".into(),
        bits: 2048,
        revoked: false,
        testing: false,
        digest: Some(OUR_KEY.into()),
    }
}

/// Everything that an assessment follows from.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) survey: Survey,
    pub(super) before: Option<Survey>,
    pub(super) testing_since: Option<UnixTime>,
    pub(super) now: UnixTime,
    pub(super) terms: Terms,
}

impl World {
    /// One host with two addresses; DANE, MTA-STS from before, reports; all of it in order.
    pub(super) fn new() -> Self {
        let good = &certificates().good;
        let survey = Survey {
            facts: Facts {
                destination: domain("example.com"),
                at: NOW,
                mx: MxFact::Found {
                    authenticity: Authenticity::Secure,
                    expanded: None,
                    chain: None,
                },
                witnesses: Vec::new(),
                hosts: vec![host_facts("mx.example.net", 10, vec![tlsa(good), spare()])],
                sts: StsFact::Policy {
                    policy: policy(Mode::Enforce, &["mx.example.net"]),
                    known: Known::Cached,
                    id: Some("1".into()),
                    fetched_at: NOW.before(DAY),
                    expires: NOW + DAY * 29,
                    refresh_failed: None,
                },
            },
            mx: MxSurvey { records: 1, null: 0, invalid: Vec::new() },
            zone: with_ipv6(zone("example.com")),
            name_servers: NameServers::Found(vec![
                server_name("ns1.example.net", "2001:db8::53"),
                server_name("ns2.example.net", "2001:db8::54"),
            ]),
            hosts: vec![host_survey("mx.example.net", good)],
            policy: PolicySurvey {
                record: found("1".into()),
                served: Some(Ok(policy(Mode::Enforce, &["mx.example.net"]))),
                file: Some("version: STSv1".into()),
                digest: Some("aa".into()),
                media_type: Some("text/plain; charset=utf-8".into()),
                crlf: Some(true),
                max_age: Some(30 * 86_400),
                host_certificate_from: Some(NOW.before(DAY * 30)),
                host_certificate_expires: Some(NOW + DAY * 60),
                address: None,
                elsewhere: Vec::new(),
                absence: None,
                caa: found(vec!["0 issue ca.example".into()]),
                unused: Unused::default(),
            },
            tlsrpt: found(reports()),
            report_targets: Vec::new(),
            unasked: Vec::new(),
            mail: records(),
        };
        let (before, testing_since) = (None, None);
        Self { survey, before, testing_since, now: NOW, terms: Terms::default() }
    }

    /// Two hosts, each with its own certificate.
    pub(super) fn two() -> Self {
        let mut world = Self::new();
        let second = &certificates().second;
        let facts = host_facts("mx2.example.net", 20, vec![tlsa(second), spare()]);
        world.survey.facts.hosts.push(facts);
        world.survey.hosts.push(host_survey("mx2.example.net", second));
        world.policy(policy(Mode::Enforce, &["mx.example.net", "mx2.example.net"]));
        world
    }

    pub(super) fn assess(&self) -> Assessment {
        let roots = std::slice::from_ref(&certificates().root);
        let against = Against {
            roots,
            terms: &self.terms,
            before: self.before.as_ref(),
            testing_since: self.testing_since,
            now: self.now,
        };
        assess(&self.survey, &against)
    }

    pub(super) fn ids(&self) -> Vec<Id> {
        self.assess().findings.iter().map(|finding| finding.id).collect()
    }

    pub(super) fn facts(&mut self, host: usize) -> &mut HostFacts {
        &mut self.survey.facts.hosts[host]
    }

    pub(super) fn host(&mut self, host: usize) -> &mut HostSurvey {
        &mut self.survey.hosts[host]
    }

    pub(super) fn probe(&mut self, host: usize, address: usize) -> &mut Probe {
        match &mut self.survey.hosts[host].addresses[address].observed {
            Observed::Probed(probe) => probe,
            Observed::Not(_) => panic!("nobody looked there"),
        }
    }

    pub(super) fn probes(&mut self) -> impl Iterator<Item = &mut Probe> {
        let addresses = self.survey.hosts.iter_mut().flat_map(|host| &mut host.addresses);
        addresses.filter_map(|address| match &mut address.observed {
            Observed::Probed(probe) => Some(&mut **probe),
            Observed::Not(_) => None,
        })
    }

    pub(super) fn sessions(&mut self) -> impl Iterator<Item = &mut OfferedSession> {
        self.probes().flat_map(|probe| &mut probe.handshakes).filter_map(|one| {
            match &mut one.tried {
                Tried::Session(session) => Some(session),
                Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
            }
        })
    }

    pub(super) fn contact(&mut self, contact: &Contact) {
        self.probes().for_each(|probe| probe.contact = contact.clone());
    }

    pub(super) fn starttls(&mut self, seen: &StartTlsSeen) {
        for probe in self.probes() {
            stripped(probe, seen);
        }
    }

    pub(super) fn chain(&mut self, chain: &[Vec<u8>]) {
        self.sessions().for_each(|session| session.chain = chain.to_vec());
    }

    pub(super) fn records(&mut self, host: usize) -> &mut Vec<Tlsa> {
        match &mut self.survey.facts.hosts[host].dane {
            Dane::Usable { records, .. } | Dane::Unusable { records, .. } => records,
            Dane::Absent(_) | Dane::LookupFailed(_) => panic!("no records"),
        }
    }

    /// Another policy, as it is remembered and as it is served.
    pub(super) fn policy(&mut self, policy: Policy) {
        if let StsFact::Policy { policy: kept, .. } = &mut self.survey.facts.sts {
            *kept = policy.clone();
        }
        self.survey.policy.served = Some(Ok(policy));
    }

    /// The policy lists this host, too.
    pub(super) fn lists(&mut self, host: UnusedHost) -> &mut UnusedHost {
        let hosts = &mut self.survey.policy.unused.hosts;
        hosts.push(host);
        hosts.last_mut().unwrap()
    }

    pub(super) fn without_sts(&mut self) {
        self.survey.facts.sts = StsFact::Absent { absence: Absence::Unconfirmed };
        self.survey.policy = PolicySurvey { record: absent(), ..PolicySurvey::default() };
    }

    pub(super) fn without_dane(&mut self) {
        for host in &mut self.survey.facts.hosts {
            host.dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        }
    }

    pub(super) fn unsigned(&mut self) {
        if let MxFact::Found { authenticity, .. } = &mut self.survey.facts.mx {
            *authenticity = Authenticity::Insecure;
        }
        self.survey.zone.signing = Signing::Unsigned { because: "com has no DS for it".into() };
    }

    /// Nothing but STARTTLS.
    pub(super) fn plain() -> Self {
        let mut world = Self::new();
        world.without_sts();
        world.without_dane();
        world.unsigned();
        world.chain(&certificates().own);
        world
    }
}

/// One change for the worse, or for the better.
pub(super) type Spoil = fn(&mut World);

/// What a probe sees where STARTTLS does not come about.
pub(super) fn stripped(probe: &mut Probe, seen: &StartTlsSeen) {
    if let Contact::Spoke { starttls, .. } = &mut probe.contact {
        *starttls = seen.clone();
    }
    probe.handshakes.clear();
    probe.keywords_in_tls = None;
    probe.weak = None;
}
