//! How long the facts of a destination take whose answers are all known: 5 signed MX hosts, each with
//! A, AAAA and TLSA, and an MTA-STS policy. Everything is real: the lab's signed DNS, our resolver, a
//! policy that was fetched over HTTPS once and lies in a store on the disk.

use std::{
    collections::HashMap,
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, ensure};
use waxseal::{
    dial::{self, Dialler},
    fetch::{self, PolicyFetcher},
    gather::{Gatherer, Settings},
    resolve::{self, Clock, Resolver, Transport, Upstream},
    secrets::StoreKeys,
    store::{self, Access, Store},
};
use waxseal_bench::{
    gateway::Home,
    report::{Budget, Report, median},
};
use waxseal_core::{
    dns::{Answer, Authenticity},
    dnssec::Anchors,
    domain::Domain,
    facts::{Dane, Facts, Known, StsFact},
};
use waxseal_lab::{
    ca::{Ca, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
    policy_host::{Answer as Served, PolicyHost, PolicyPersonality, policy_text},
};

const HOSTS: u8 = 5;
/// Where the policy host is, as DNS says.
const POLICY_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const ROUNDS: usize = 101;
const GATHERED: u32 = 200;
const BUDGET: Budget = Budget::AtMost(50.0);

pub(crate) fn measure(report: &mut Report, data: &Path) -> anyhow::Result<()> {
    let home = Home::new(data)?;
    crate::runtime()?.block_on(measure_in(report, &home))
}

async fn measure_in(report: &mut Report, home: &Home) -> anyhow::Result<()> {
    let world = World::new().await?;
    let gatherer = world.gatherer(home)?;
    let (destination, now) = (Domain::parse("d.test")?, Clock::system().now());
    gatherer.gather(&destination, None, now).await;
    let facts = gatherer.gather(&destination, None, now).await.facts;
    check(&facts)?;
    let mut kept = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..GATHERED {
            black_box(gatherer.gather(&destination, None, now).await);
        }
        kept.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(GATHERED));
    }
    report.add("facts, 5 MX, DANE and MTA-STS: kept as they are", (median(kept), "us"), BUDGET);
    let mut anew = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..GATHERED / 10 {
            gatherer.forget(&destination);
            black_box(gatherer.gather(&destination, None, now).await);
        }
        anew.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(GATHERED / 10));
    }
    let what = "facts, 5 MX, DANE and MTA-STS: anew from cached answers and the stored policy";
    report.add(what, (median(anew), "us"), BUDGET);
    ensure!(world.host.requests().len() == 1, "the policy was fetched more than once");
    let before = world.dns.questions().len();
    gatherer.forget(&destination);
    gatherer.gather(&destination, None, now).await;
    ensure!(world.dns.questions().len() == before, "DNS was asked again");
    Ok(())
}

/// What is measured has to be the real thing.
fn check(facts: &Facts) -> anyhow::Result<()> {
    ensure!(facts.hosts.len() == usize::from(HOSTS), "{} hosts", facts.hosts.len());
    for host in &facts.hosts {
        let secure = matches!(
            &host.addresses,
            Answer::Found { value, authenticity: Authenticity::Secure, .. } if value.len() == 2
        );
        ensure!(secure, "the addresses of {}: {:?}", host.host, host.addresses);
        ensure!(matches!(host.dane, Dane::Usable { .. }), "{}: {:?}", host.host, host.dane);
    }
    let known = matches!(facts.sts, StsFact::Policy { known: Known::Cached, .. });
    ensure!(known, "MTA-STS: {:?}", facts.sts);
    Ok(())
}

/// A signed zone with five hosts, and its policy host.
struct World {
    dns: DnsServer,
    ca: Ca,
    host: PolicyHost,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        // Long enough that nothing runs out while we measure.
        let mut zone = Zone::new("d.test")
            .signed()
            .ttl(3_600)
            .record("_mta-sts", &Data::txt("v=STSv1; id=1;"))
            .record("mta-sts", &Data::A(POLICY_ADDRESS));
        let mut names = Vec::new();
        for number in 1..=HOSTS {
            let name = format!("mx{number}.d.test");
            zone.add("@", &Data::mx(u16::from(number) * 10, &name));
            let (host, owner) = (format!("mx{number}"), format!("_25._tcp.mx{number}"));
            zone.add(&host, &Data::A(Ipv4Addr::new(192, 0, 2, number)));
            let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number));
            zone.add(&host, &Data::Aaaa(six));
            let data = vec![number; 32];
            zone.add(&owner, &Data::Tlsa { usage: 3, selector: 1, matching: 1, data });
            names.push(name);
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let ca = Ca::new("Public CA")?;
        let identity = ca.issue(&ServerKey::generate()?, &["mta-sts.d.test"], Validity::Current)?;
        let answer = Served::Policy(policy_text("enforce", &names));
        Ok(Self {
            dns: DnsServer::start(Tree::build(vec![Zone::new("test").signed(), zone])?).await?,
            ca,
            host: PolicyHost::start(PolicyPersonality { identity, answer }).await?,
        })
    }

    fn gatherer(&self, home: &Home) -> anyhow::Result<Gatherer> {
        let upstream = Upstream { address: self.dns.addr(), transport: Transport::Udp };
        let mut settings = resolve::Settings::new(vec![upstream]);
        settings.anchors =
            Anchors::parse(&self.dns.root_ds()).map_err(|error| anyhow::anyhow!("{error}"))?;
        let dns = Arc::new(Resolver::new(settings));
        let map = HashMap::from([(SocketAddr::from((POLICY_ADDRESS, 443)), self.host.addr())]);
        let dialler = Dialler::new(dial::Settings { map, ..dial::Settings::default() });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.der().clone())?;
        let fetcher =
            PolicyFetcher::new(fetch::Settings::default(), dns.clone(), dialler, &roots.roots)?;
        let keys = StoreKeys::random().context("a store key")?;
        let store = Store::open(store::Settings::new(home.data_dir()), keys, Access::Serve)?;
        Ok(Gatherer::new(Settings::default(), dns, Arc::new(fetcher), Arc::new(store)))
    }
}
