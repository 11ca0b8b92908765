//! What the world sees of what we publish.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use rustls_pki_types::TrustAnchor;
use tokio::task::JoinSet;
use waxseal_core::{
    assess::{Observed, Unprobed},
    dns::{Answer, LookupFailure},
    dnssec::RecordType,
    domain::Domain,
    facts::StsFailure,
    publish::{
        self, Act, Finding, HostMemory, Memory, Mta, Standing,
        gate::{self, Door, How, Item, Named, PolicyFacts, Seen, ServerView},
        readiness::{self, Readiness, readiness},
        rollout::{self, Certificates},
        shown::{Chain, Held, HostShown, Place},
        texts,
    },
    sts::{self, Mode, Policy},
    time::UnixTime,
};

use super::wanted::{DomainWanted, HostWanted, StsWanted};
use crate::{
    config::Config,
    dial::Dialler,
    fetch::{self, PolicyFetcher},
    gather,
    resolve::{Exchange, Lookup, Mx, Record, Resolver, as_exchangers, as_texts, as_tlsa},
    serve,
    survey::probe::{self, Deliveries, Enough, Prober, Target},
    tls,
};

/// MX hosts of a domain that are looked at.
const MOST_HOSTS: usize = 20;
/// Addresses of one MX host that are asked which keys they show.
const MOST_ADDRESSES: usize = 8;
/// Where mail is taken.
const PORT: u16 = 25;
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
}

/// A zone and what it lacks.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name.
    pub zone: Domain,
    /// How it stands.
    pub readiness: Readiness,
}

/// An MX host as the world sees it.
#[derive(Clone, Debug)]
pub struct HostLook {
    /// Its name.
    pub host: Domain,
    /// When it was looked at.
    pub at: UnixTime,
    /// Whether its keys may change.
    pub doors: Vec<Item>,
    /// Which keys it shows; `None` where nobody asked.
    pub shown: Option<HostShown>,
    /// The same keys, and what the configuration says of each.
    pub places: Vec<(Chain, Place)>,
    /// Its TLSA records, where a key is configured.
    pub tlsa: Option<Finding>,
    /// TLSRPT of its own, where it is wanted.
    pub tlsrpt: Option<Finding>,
    /// What its zone lacks.
    pub zone: Option<Zone>,
}

impl HostLook {
    /// Whether its TLSA records may lack the key in use, for nobody could see which it shows.
    pub fn is_unseen(&self) -> bool {
        self.tlsa.is_some() && self.shown.as_ref().is_some_and(|shown| !shown.unknown.is_empty())
    }

    /// Why its first TLSA records would be published blindly: nobody could see whether they cover the keys
    /// that it shows (port 25 is often closed to such machines). `None` where they are not the first, where
    /// that was seen, or where nobody was to look.
    pub fn blind(&self) -> Option<String> {
        let tlsa = self.tlsa.as_ref().filter(|tlsa| tlsa.is_first())?;
        match self.shown.as_ref()?.holds(&tlsa.tlsa(), self.at)? {
            Held::Unknown(why) => Some(why),
            Held::Shown(_) => None,
        }
    }

    /// Takes first TLSA records that would be published blindly out of what is to be pasted.
    pub fn hold_first(&mut self) {
        if self.blind().is_none() {
            return;
        }
        let host = &self.host;
        if let Some(tlsa) = self.tlsa.as_mut().filter(|tlsa| tlsa.act == Act::Add) {
            tlsa.act = Act::ByHand;
            tlsa.fix = format!(
                "NOT YET: these would be its first, and without the key that {host} shows all senders with \
                 DANE refuse its mail. Run this on a machine with a way to port 25 of it, or compare on \
                 {host} itself before you publish them"
            );
        }
    }
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
        let dmarc = match &wanted.dmarc {
            Some(record) => Some(self.text(record, "v=DMARC1").await),
            None => None,
        };
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
            self.served(name, wanted.sts.as_ref().map(|sts| &sts.policy)).await
        } else {
            Err(StsFailure::Fetch("no policy is announced".to_owned()))
        };
        PolicyFacts {
            domain: name.clone(),
            wanted: wanted.sts.as_ref().map(|sts| sts.policy.clone()),
            max_age: wanted.max_age,
            served,
            announced,
            mx,
        }
    }

    /// The policy as all addresses of the policy host serve it.
    async fn served(&self, name: &Domain, wanted: Option<&Policy>) -> Result<Policy, StsFailure> {
        let each = self.fetcher.served_each(name).await?.into_iter();
        let read = |fetched: Result<_, _>| fetched.and_then(|file| fetch::policy(name, &file));
        gate::everywhere(wanted, each.map(|(address, file)| (address, read(file))).collect())
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
        let policy = PolicyLook { wanted: wanted.policy.clone(), standing, why };
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

    /// Which keys an MX host of ours shows at each of its addresses.
    pub async fn shown(&self, host: &Domain, now: UnixTime) -> HostShown {
        let addresses = match self.resolver.addresses(host).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => {
                return HostShown::lost(host.clone(), format!("{host} has no address"));
            }
            Answer::Failed(failure) => return HostShown::lost(host.clone(), failure.to_string()),
        };
        let mut shown = HostShown::new(host.clone());
        let mut asking = JoinSet::new();
        for (place, ip) in addresses.into_iter().enumerate() {
            let refused = match gather::hostile(ip) {
                Some(_) => Some(Unprobed::Refused("no public address".to_owned())),
                None => (place >= MOST_ADDRESSES).then_some(Unprobed::OverLimit),
            };
            if let Some(why) = refused {
                shown.add(ip, &Observed::Not(why));
                continue;
            }
            let (prober, address) = (self.prober.clone(), SocketAddr::new(ip, PORT));
            let target = Target { host: host.clone(), sni: host.clone(), address };
            asking.spawn(async move {
                let enough = Enough { oldest: Duration::ZERO, deliveries: Deliveries::DoNotCount };
                (ip, prober.probe(&target, enough, now).await)
            });
        }
        let mut seen = asking.join_all().await;
        seen.sort_by_key(|(ip, _)| *ip);
        seen.iter().for_each(|(ip, observed)| shown.add(*ip, observed));
        shown
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

    /// Whether a host has TLSA records that count.
    async fn dane(&self, host: &Domain) -> Standing {
        let owner = match host.below("_25._tcp") {
            Ok(owner) => owner,
            Err(error) => return Standing::Unknown { why: error.to_string() },
        };
        let answer = self.resolver.tlsa(&owner).await.answer;
        match answer {
            answer if answer.is_secure() => Standing::Live,
            Answer::Found { .. } => {
                Standing::Differs { found: vec!["unsigned records".to_owned()] }
            }
            Answer::Absent { .. } => Standing::Missing,
            Answer::Failed(failure) => Standing::Unknown { why: failure.to_string() },
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

    /// The records of one host. What its servers say is noted in `memory`: the TTL of what stands there
    /// counts for the next change of it.
    pub async fn host(
        &self,
        wanted: &HostWanted,
        depth: Depth,
        memory: &mut HostMemory,
        now: UnixTime,
    ) -> HostLook {
        let host = wanted.keys.host.clone();
        let doors = self.keys(wanted, memory, now).await;
        let shown: Option<HostShown> = match depth {
            Depth::Shown if !wanted.records.is_empty() => Some(self.shown(&host, now).await),
            Depth::Shown | Depth::Published => None,
        };
        let places = shown.iter().flat_map(|shown| shown.places(&wanted.keys, now));
        let places = places.map(|(chain, place)| (chain.clone(), place)).collect();
        let mut tlsa = self.tlsa(&host, wanted.records.clone()).await;
        rash(&mut tlsa, shown.as_ref(), now);
        let tlsa = (!wanted.records.is_empty()).then_some(tlsa);
        let tlsrpt = match &wanted.tlsrpt {
            Some(record) => Some(self.text(record, "v=TLSRPTv1").await),
            None => None,
        };
        let zone = match self.resolver.apex(&host).await {
            Ok(apex) => Some(self.zone(apex.zone).await),
            Err(_) => None,
        };
        HostLook { host, at: now, doors, shown, places, tlsa, tlsrpt, zone }
    }

    async fn tlsa(&self, host: &Domain, records: Vec<publish::Record>) -> Finding {
        match host.below("_25._tcp") {
            Ok(owner) => {
                let lookup = self.resolver.tlsa(&owner).await;
                behind(publish::tlsa(host, records, &lookup.answer), &lookup)
            }
            Err(error) => {
                let kind = waxseal_core::dns::FailureKind::Malformed;
                let (name, detail) = (host.into(), error.to_string());
                publish::tlsa(host, records, &Answer::Failed(LookupFailure { name, kind, detail }))
            }
        }
    }

    /// The doors of one host: every server asked directly.
    pub async fn keys(
        &self,
        wanted: &HostWanted,
        memory: &mut HostMemory,
        now: UnixTime,
    ) -> Vec<Item> {
        let host = &wanted.keys.host;
        let views = match host.below("_25._tcp") {
            Ok(owner) => self.resolver.ask_all(&owner, RecordType::TLSA, &self.dialler).await,
            Err(error) => Err(error.to_string()),
        };
        let views = views.map(as_tlsa).unwrap_or_else(|why| nobody(host, why));
        gate::keys(&wanted.keys, &views, memory, now)
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

/// The first TLSA records of a host are nothing to publish while it shows a key that they do not cover:
/// without any it takes mail from everybody, with these it would be refused at once by all who know them
/// (RFC 7672 §2.2).
fn rash(tlsa: &mut Finding, shown: Option<&HostShown>, now: UnixTime) {
    let held = shown.and_then(|shown| shown.holds(&tlsa.tlsa(), now));
    if let (Some(Held::Shown(why)), true) = (held, tlsa.is_first()) {
        tlsa.act = Act::ByHand;
        tlsa.fix = format!("not yet, for mail would be refused: {why}");
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
