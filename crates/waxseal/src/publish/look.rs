//! What the world sees of what we publish.

mod host;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::TrustAnchor;
use waxseal_core::{
    dns::Answer,
    dnssec::RecordType,
    domain::Domain,
    facts::StsFailure,
    publish::{
        self, Act, Finding, Memory, Mta, Standing,
        gate::{self, Door, How, Item, Named, PolicyFacts, Seen, ServerView},
        readiness::{self, Readiness, readiness},
        rollout::{self, Certificates},
        texts,
    },
    sts::{self, Mode, Policy},
    time::UnixTime,
};

pub use self::host::HostLook;
use super::wanted::{DomainWanted, StsWanted};
use crate::{
    config::Config,
    dial::Dialler,
    fetch::{self, Each, PolicyFetcher, Unasked},
    resolve::{Exchange, Lookup, Mx, Record, Resolver, as_exchangers, as_texts},
    serve,
    survey::probe::{self, Prober},
    tls,
};

/// MX hosts of a domain that are looked at.
const MOST_HOSTS: usize = 20;
/// Addresses of our policy host that are asked. Each may serve another file, so that nothing opens where there
/// are more; large hosters have eight.
const MOST_POLICY_ADDRESSES: usize = 16;
/// Where policies are served.
const HTTPS: u16 = 443;
/// How long one connection to our own MX host may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether MX hosts are asked too, or only DNS and the policy host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what is published.
    Published,
    /// Also which certificates are shown.
    Shown,
}

/// What addresses of the policy host serve.
type Served = Vec<(IpAddr, Result<Policy, StsFailure>)>;
/// Addresses that nobody could ask from here, and why.
type Aside = Vec<(IpAddr, String)>;

/// Looks.
#[derive(Debug)]
pub struct Looker {
    /// Validated answers.
    pub resolver: Resolver,
    /// Connections.
    pub dialler: Dialler,
    fetcher: PolicyFetcher,
    prober: Prober,
    roots: Vec<TrustAnchor<'static>>,
}

/// A domain as the world sees it.
#[derive(Clone, Debug)]
pub struct DomainLook {
    /// Its name.
    pub domain: Domain,
    /// TLSRPT, where it is wanted.
    pub tlsrpt: Option<Finding>,
    /// The name of the policy host and the announcement, where they are wanted.
    pub sts: Vec<Finding>,
    /// The policy against what is served, where one is wanted.
    pub policy: Option<PolicyLook>,
    /// Whether changes of the policy may go ahead.
    pub doors: Vec<Item>,
    /// SPF.
    pub spf: Finding,
    /// DKIM, one for each selector.
    pub dkim: Vec<Finding>,
    /// DMARC, where it is wanted.
    pub dmarc: Option<Finding>,
    /// Zones of the domain and its MX hosts.
    pub zones: Vec<Zone>,
    /// The steps of a first roll-out.
    pub plan: Vec<rollout::Stage>,
}

/// A policy as the world sees it.
#[derive(Clone, Debug)]
pub struct PolicyLook {
    /// What is wanted.
    pub wanted: Policy,
    /// How it stands.
    pub standing: Standing,
    /// Why senders have none, where the policy host was reached and gives them none.
    pub why: Option<String>,
    /// Addresses of the policy host that nobody could ask from here, each with the reason.
    pub not_asked: Vec<String>,
}

/// A zone and what it lacks.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name.
    pub zone: Domain,
    /// How it stands.
    pub readiness: Readiness,
}

impl Looker {
    /// Looks as the configuration says that DNS is asked.
    ///
    /// # Errors
    /// A file that is named cannot be used, in one sentence.
    pub fn new(config: &Config) -> Result<Self, String> {
        let resolver = Resolver::new(serve::resolver_settings(config)?);
        let dialler = Dialler::new(serve::dialler_settings(config));
        let roots = tls::load_roots(&serve::roots_settings(config)).map_err(|e| e.to_string())?;
        // Our own addresses are no mistake here: the policy host is ours.
        let settings = fetch::Settings::default();
        let dns = Arc::new(resolver.clone());
        let fetcher = PolicyFetcher::new(settings, dns, dialler.clone(), &roots)
            .map_err(|error| error.to_string())?;
        let hello =
            config.hostname.as_ref().or_else(|| config.domains.first().map(|one| &one.name));
        let probing = probe::Settings {
            connection: PATIENCE,
            address: PATIENCE * 6,
            pace: serve::probing_pace(config),
            ..probe::Settings::new(hello.map_or("localhost", Domain::as_str))
        };
        let prober = Prober::new(probing, dialler.clone(), probe::Memory::default())
            .map_err(|error| error.to_string())?;
        Ok(Self { resolver, dialler, fetcher, prober, roots })
    }

    /// Everything about one domain. What was seen is noted in `memory`.
    pub async fn domain(
        &self,
        wanted: &DomainWanted,
        depth: Depth,
        memory: &mut Memory,
        now: UnixTime,
    ) -> DomainLook {
        let name = &wanted.domain;
        let tlsrpt = match &wanted.tlsrpt {
            Some(record) => Some(self.text(record, "v=TLSRPTv1").await),
            None => None,
        };
        let facts = self.policy(wanted, memory).await;
        let known = memory.domains.entry(name.clone()).or_default();
        let doors = gate::policy(&facts, &mut known.policy, now);
        let (mut sts, policy) = match &wanted.sts {
            Some(wanted) => self.sts(wanted, &facts).await,
            None => (Vec::new(), None),
        };
        if let Some(announcement) = sts.last_mut() {
            shut(announcement, &doors);
        }
        let spf = &wanted.spf;
        let lookup = self.resolver.txt(name).await;
        let spf = behind(publish::spf(spf.0.clone(), &spf.1, &lookup.answer), &lookup);
        let mut dkim = Vec::new();
        for record in &wanted.dkim {
            dkim.push(self.text(record, "").await);
        }
        let mut dmarc = match &wanted.dmarc {
            Some(record) => Some(self.text(record, "v=DMARC1").await),
            None => None,
        };
        if let Some(dmarc) = &mut dmarc {
            publish::hold_dmarc(dmarc, &spf, &dkim);
        }
        let hosts = hosts(wanted, &facts.mx);
        let zones = self.zones(name, hosts.as_deref().unwrap_or_default()).await;
        let certificates = match depth {
            Depth::Published => Certificates::NotAsked,
            Depth::Shown => match &hosts {
                Ok(hosts) => self.certificates(wanted, hosts, now).await,
                Err(why) => Certificates::Unknown(vec![why.clone()]),
            },
        };
        let seen = (&facts, &hosts, &certificates);
        let plan = self.plan(wanted, tlsrpt.as_ref(), seen, (memory, now)).await;
        let domain = name.clone();
        DomainLook { domain, tlsrpt, sts, policy, doors, spf, dkim, dmarc, zones, plan }
    }

    async fn text(&self, record: &publish::Record, version: &str) -> Finding {
        let lookup = self.resolver.txt(&record.owner).await;
        behind(publish::text(record.clone(), version, &lookup.answer), &lookup)
    }

    /// What is announced and served of MTA-STS.
    pub async fn policy(&self, wanted: &DomainWanted, memory: &Memory) -> PolicyFacts {
        let name = &wanted.domain;
        let (announced, mx) = tokio::join!(self.announced(name), self.exchangers(name));
        let anything = |view: &ServerView<Vec<Vec<u8>>>| match &view.seen {
            Seen::Records { value, .. } => {
                !matches!(sts::announced(value), Err(sts::NotAnnounced::None))
            }
            Seen::Absent { .. } => false,
            Seen::Wrong(_) | Seen::Lost(_) => true,
        };
        let known = memory.domains.get(name).is_some_and(|known| known.policy.served.is_some());
        let served = if wanted.sts.is_some() || known || announced.iter().any(anything) {
            self.served(name).await
        } else {
            Err(StsFailure::Fetch("no policy is announced".to_owned()))
        };
        let (each, unasked, served) = match served {
            Ok((served, unasked)) => {
                let policies = served.iter().filter_map(|(_, policy)| policy.as_ref().ok());
                let each = policies.cloned().collect();
                let wanted = wanted.sts.as_ref().map(|sts| &sts.policy);
                (each, unasked, gate::everywhere(wanted, served))
            }
            Err(failure) => (Vec::new(), Vec::new(), Err(failure)),
        };
        PolicyFacts {
            domain: name.clone(),
            wanted: wanted.sts.as_ref().map(|sts| sts.policy.clone()),
            max_age: wanted.max_age,
            served,
            each,
            unasked,
            announced,
            mx,
        }
    }

    /// The policy as each address of the policy host serves it, and the addresses that nobody could ask from
    /// here. One past the limit is none of these: it could be asked, and may serve another policy, so that it
    /// is one that says nothing.
    async fn served(&self, name: &Domain) -> Result<(Served, Aside), StsFailure> {
        let Each { asked, unasked } = self.fetcher.served_each(name, MOST_POLICY_ADDRESSES).await?;
        let (mut aside, mut served) = (Aside::new(), Served::new());
        for (address, why) in unasked {
            match why {
                Unasked::NoWay(why) => aside.push((address, why)),
                Unasked::TooMany(why) => served.push((address, Err(StsFailure::Unreached(why)))),
            }
        }
        let mut far = Vec::new();
        for (address, file) in asked {
            let policy = file.and_then(|file| fetch::policy(name, &file));
            let way = self.dialler.way_to(SocketAddr::new(address, HTTPS));
            match (policy, way) {
                (Err(StsFailure::Unreached(failure)), Err(why)) => {
                    far.push((address, failure, why));
                }
                (policy, _) => served.push((address, policy)),
            }
        }
        // Of a host without any other address nothing is known.
        if served.is_empty() {
            let lost = |(address, failure, _)| (address, Err(StsFailure::Unreached(failure)));
            served.extend(far.drain(..).map(lost));
        }
        aside.extend(far.into_iter().map(|(address, _, why)| (address, why)));
        Ok((served, aside))
    }

    /// TXT at `_mta-sts`, as each server of the zone gives it.
    async fn announced(&self, name: &Domain) -> Vec<ServerView<Vec<Vec<u8>>>> {
        let owner = match name.below("_mta-sts") {
            Ok(owner) => owner,
            Err(error) => return nobody(name, error.to_string()),
        };
        let asked = self.resolver.ask_all(&owner, RecordType::TXT, &self.dialler).await;
        asked.map(as_texts).unwrap_or_else(|why| nobody(name, why))
    }

    /// The MX hosts as each server of the zone gives them.
    async fn exchangers(&self, name: &Domain) -> Vec<ServerView<Vec<Domain>>> {
        let asked = self.resolver.ask_all(name, RecordType::MX, &self.dialler).await;
        let views = asked.map(as_exchangers).unwrap_or_else(|why| nobody(name, why));
        let host = |mx: Mx| match mx.exchange {
            Exchange::Host(host) => Some(host),
            // No sender gets as far as a policy with these.
            Exchange::Null | Exchange::Invalid(_) => None,
        };
        let hosts = |view: ServerView<Vec<Mx>>| ServerView {
            server: view.server,
            named: view.named,
            address: view.address,
            seen: view.seen.map(|mx| mx.into_iter().filter_map(host).collect()),
        };
        views.into_iter().map(hosts).collect()
    }

    async fn sts(
        &self,
        wanted: &StsWanted,
        facts: &PolicyFacts,
    ) -> (Vec<Finding>, Option<PolicyLook>) {
        let addresses = self.resolver.addresses(&wanted.host.owner).await;
        let host = publish::policy_host(wanted.host.clone(), &addresses.answer);
        let host = behind(host, &addresses);
        let announcement = self.text(&wanted.announcement, "v=STSv1").await;
        let (standing, why) = match &facts.served {
            Ok(served) if *served == wanted.policy => (Standing::Live, None),
            Ok(served) => (Standing::Differs { found: vec![served.to_string()] }, None),
            Err(failure) => unserved(failure),
        };
        let policy = PolicyLook {
            wanted: wanted.policy.clone(),
            standing,
            why,
            not_asked: facts.not_asked(),
        };
        (vec![host, announcement], Some(policy))
    }

    async fn plan(
        &self,
        wanted: &DomainWanted,
        tlsrpt: Option<&Finding>,
        (facts, hosts, certificates): (&PolicyFacts, &Result<Vec<Domain>, String>, &Certificates),
        (memory, now): (&mut Memory, UnixTime),
    ) -> Vec<rollout::Stage> {
        let mut dane = Vec::new();
        for host in hosts.iter().flatten() {
            dane.push(self.dane(host).await);
        }
        dane.extend(hosts.as_ref().err().map(|why| Standing::Unknown { why: why.clone() }));
        let known = memory.domains.entry(wanted.domain.clone()).or_default();
        let missing = Standing::Missing;
        let tlsrpt = tlsrpt.map_or(&missing, |finding| &finding.standing);
        match tlsrpt {
            Standing::Live => known.tlsrpt_since = known.tlsrpt_since.or(Some(now)),
            Standing::Missing | Standing::Differs { .. } => known.tlsrpt_since = None,
            Standing::Unknown { .. } => {}
        }
        let mode = self.mode(facts).await;
        let dane = dane.as_slice();
        rollout::plan(&rollout::Facts { tlsrpt, mode, dane, certificates, memory: known, now })
    }

    /// Whether what our MX hosts show would pass a policy that binds.
    async fn certificates(
        &self,
        wanted: &DomainWanted,
        hosts: &[Domain],
        now: UnixTime,
    ) -> Certificates {
        // Without `mx` there is no policy to fail, but chains, dates and names can be looked at.
        let mx = if wanted.mx.is_empty() { hosts } else { wanted.mx.as_slice() };
        let Some(policy) = texts::policy(Mta::Enforce, mx, Duration::ZERO) else {
            return Certificates::NotAsked;
        };
        let (mut failing, mut unknown) = (Vec::new(), Vec::new());
        for host in hosts {
            let shown = self.shown(host, now).await;
            failing.extend(shown.failing(&policy, &self.roots, now));
            unknown.extend(shown.unknown);
        }
        match (failing.is_empty(), unknown.is_empty() && !hosts.is_empty()) {
            (false, _) => Certificates::Fail(failing),
            (true, true) => Certificates::Pass,
            (true, false) if hosts.is_empty() => {
                Certificates::Unknown(vec!["there is no MX host".to_owned()])
            }
            (true, false) => Certificates::Unknown(unknown),
        }
    }

    /// The policy that senders follow.
    async fn mode(&self, facts: &PolicyFacts) -> Result<Option<Mode>, String> {
        let owner = facts.domain.below("_mta-sts").map_err(|error| error.to_string())?;
        match self.resolver.txt(&owner).await.answer {
            Answer::Found { value, .. } if sts::announced(&value).is_ok() => match &facts.served {
                Ok(policy) => Ok(Some(policy.mode)),
                // Announced and not there: nobody has it.
                Err(StsFailure::Fetch(_) | StsFailure::Certificate(_) | StsFailure::Invalid(_)) => {
                    Ok(None)
                }
                Err(StsFailure::Unreached(why)) => Err(why.clone()),
                Err(StsFailure::Record(failure)) => Err(failure.to_string()),
            },
            Answer::Found { .. } | Answer::Absent { .. } => Ok(None),
            Answer::Failed(failure) => Err(failure.to_string()),
        }
    }

    async fn zones(&self, domain: &Domain, hosts: &[Domain]) -> Vec<Zone> {
        let mut zones: Vec<Zone> = Vec::new();
        for name in [domain].into_iter().chain(hosts) {
            match self.resolver.apex(name).await {
                Ok(apex) if zones.iter().any(|zone| zone.zone == apex.zone) => {}
                Ok(apex) => zones.push(self.zone(apex.zone).await),
                Err(why) => zones.push(lost(name, why)),
            }
        }
        zones
    }

    async fn zone(&self, zone: Domain) -> Zone {
        let (ds, dnskey, cds) = tokio::join!(
            self.resolver.lookup(&zone, RecordType::DS),
            self.resolver.lookup(&zone, RecordType::DNSKEY),
            self.resolver.lookup(&zone, RecordType::CDS),
        );
        let rdata = |lookup: Lookup<Vec<Record>>| {
            lookup.map(|records| records.into_iter().map(|one| one.rdata).collect()).answer
        };
        let facts = readiness::Facts {
            zone: zone.clone(),
            ds: rdata(ds),
            dnskey: rdata(dnskey),
            cds: rdata(cds),
        };
        Zone { readiness: readiness(&facts), zone }
    }
}

/// An announcement is nothing to paste before its door is open: the file comes before the id, with all MX
/// hosts in it (RFC 8461 §8.1).
fn shut(announcement: &mut Finding, doors: &[Item]) {
    let door = doors.iter().find(|door| door.door == Door::Id && !door.is_open());
    if let Some(door) = door.filter(|_| announcement.standing != Standing::Live) {
        announcement.act = Act::ByHand;
        announcement.fix = format!("not yet: {}", door.reason());
    }
}

/// A finding whose name is an alias is not changed there.
fn behind<T>(finding: Finding, lookup: &Lookup<T>) -> Finding {
    match lookup.aliases.last() {
        Some(alias) => finding.behind(&alias.to),
        None => finding,
    }
}

/// A look that found no server to ask.
fn nobody<T>(name: &Domain, why: String) -> Vec<ServerView<T>> {
    let server = name.clone();
    vec![ServerView {
        server,
        named: Named::Zone,
        address: None,
        seen: Seen::lost(How::Unfound, why),
    }]
}

fn lost(name: &Domain, why: String) -> Zone {
    let readiness = Readiness { state: readiness::Signed::Unknown, steps: vec![why] };
    Zone { zone: name.clone(), readiness }
}

/// A policy that is not served, or nobody knows.
fn unserved(failure: &StsFailure) -> (Standing, Option<String>) {
    match failure {
        StsFailure::Fetch(why) => (Standing::Missing, Some(why.clone())),
        StsFailure::Certificate(why) | StsFailure::Invalid(why) => {
            (Standing::Differs { found: Vec::new() }, Some(why.clone()))
        }
        StsFailure::Unreached(why) => (Standing::Unknown { why: why.clone() }, None),
        StsFailure::Record(failure) => (Standing::Unknown { why: failure.to_string() }, None),
    }
}

/// The MX hosts: those of the configuration, or those in DNS.
///
/// # Errors
/// No server told, in one sentence.
fn hosts(wanted: &DomainWanted, mx: &[ServerView<Vec<Domain>>]) -> Result<Vec<Domain>, String> {
    if !wanted.mx.is_empty() {
        return Ok(wanted.mx.iter().take(MOST_HOSTS).cloned().collect());
    }
    let (mut hosts, mut absent, mut lost) = (BTreeSet::new(), false, None);
    for view in mx {
        match &view.seen {
            Seen::Records { value, .. } => hosts.extend(value.iter().cloned()),
            Seen::Absent { .. } => absent = true,
            Seen::Wrong(why) => lost = lost.or(Some((view, why))),
            Seen::Lost(loss) => lost = lost.or(Some((view, &loss.why))),
        }
    }
    match (hosts.is_empty(), absent, lost) {
        // RFC 5321 §5.1: the domain itself.
        (true, true, _) => Ok(vec![wanted.domain.clone()]),
        (true, false, Some((view, why))) => {
            Err(format!("the MX records of {}: {}: {why}", wanted.domain, view.server))
        }
        (true, false, None) | (false, _, _) => Ok(hosts.into_iter().take(MOST_HOSTS).collect()),
    }
}
