//! What the world sees of what we publish.

use std::sync::Arc;

use waxseal_core::{
    dns::{Absence, Answer, LookupFailure},
    dnssec::RecordType,
    domain::Domain,
    facts::StsFailure,
    publish::{
        self, Finding, HostMemory, Memory, Standing,
        gate::{self, Item, PolicyFacts, ServerView},
        readiness::{self, Readiness, readiness},
        rollout,
    },
    sts::{self, Mode, Policy},
    time::UnixTime,
};

use super::wanted::{DomainWanted, HostWanted, StsWanted};
use crate::{
    config::Config,
    dial::Dialler,
    fetch::{self, PolicyFetcher},
    gather::PolicySource,
    resolve::{Exchange, Lookup, Record, Resolver, as_texts, as_tlsa},
    serve, tls,
};

/// MX hosts of a domain that are looked at.
const MOST_HOSTS: usize = 20;

/// Looks.
#[derive(Debug)]
pub struct Looker {
    /// Validated answers.
    pub resolver: Resolver,
    /// Connections.
    pub dialler: Dialler,
    fetcher: PolicyFetcher,
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
    /// The policy against what is served; with what is wanted, where anything is.
    pub policy: Option<(Policy, Standing)>,
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
    /// Its TLSA records, where a key is configured.
    pub tlsa: Option<Finding>,
    /// TLSRPT of its own, where it is wanted.
    pub tlsrpt: Option<Finding>,
    /// What its zone lacks.
    pub zone: Option<Zone>,
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
        Ok(Self { resolver, dialler, fetcher })
    }

    /// Everything about one domain. What was seen is noted in `memory`.
    pub async fn domain(
        &self,
        wanted: &DomainWanted,
        memory: &mut Memory,
        now: UnixTime,
    ) -> DomainLook {
        let name = &wanted.domain;
        let tlsrpt = match &wanted.tlsrpt {
            Some(record) => Some(self.text(record, "v=TLSRPTv1").await),
            None => None,
        };
        let facts = self.policy(wanted, memory).await;
        let _doors =
            gate::policy(&facts, &mut memory.domains.entry(name.clone()).or_default().policy, now);
        let (sts, policy) = match &wanted.sts {
            Some(wanted) => self.sts(wanted, &facts).await,
            None => (Vec::new(), None),
        };
        let spf = &wanted.spf;
        let answer = self.resolver.txt(name).await.answer;
        let spf = publish::spf(spf.0.clone(), &spf.1, &answer);
        let mut dkim = Vec::new();
        for record in &wanted.dkim {
            dkim.push(self.text(record, "").await);
        }
        let dmarc = match &wanted.dmarc {
            Some(record) => Some(self.text(record, "v=DMARC1").await),
            None => None,
        };
        let hosts = hosts(wanted, &facts.mx);
        let zones = self.zones(name, &hosts).await;
        let plan = self.plan(wanted, tlsrpt.as_ref(), (&facts, &hosts), (memory, now)).await;
        let domain = name.clone();
        DomainLook { domain, tlsrpt, sts, policy, spf, dkim, dmarc, zones, plan }
    }

    async fn text(&self, record: &publish::Record, version: &str) -> Finding {
        let answer = self.resolver.txt(&record.owner).await.answer;
        publish::text(record.clone(), version, &answer)
    }

    /// What is announced and served of MTA-STS.
    pub async fn policy(&self, wanted: &DomainWanted, memory: &Memory) -> PolicyFacts {
        let name = &wanted.domain;
        let announced = match name.below("_mta-sts") {
            Ok(owner) => {
                let asked = self.resolver.ask_all(&owner, RecordType::TXT, &self.dialler).await;
                asked.map(as_texts).unwrap_or_else(|why| nobody(name, why))
            }
            Err(error) => nobody(name, error.to_string()),
        };
        let anything = |view: &ServerView<Vec<Vec<u8>>>| match &view.seen {
            gate::Seen::Records { value, .. } => {
                !matches!(sts::announced(value), Err(sts::NotAnnounced::None))
            }
            gate::Seen::Absent { .. } => false,
            gate::Seen::Unusable(_) | gate::Seen::Failed(_) => true,
        };
        let known = memory.domains.get(name).is_some_and(|known| known.policy.served.is_some());
        let served = if wanted.sts.is_some() || known || announced.iter().any(anything) {
            self.fetcher.fetch(name).await.map_err(|failure| match failure {
                StsFailure::Fetch(why)
                | StsFailure::Unreached(why)
                | StsFailure::Invalid(why)
                | StsFailure::Certificate(why) => why,
                StsFailure::Record(failure) => failure.to_string(),
            })
        } else {
            Err("no policy is announced".to_owned())
        };
        let mx = self.resolver.mx(name).await.map(|mx| {
            let host = |exchange| match exchange {
                Exchange::Host(host) => Some(host),
                Exchange::Null | Exchange::Invalid(_) => None,
            };
            mx.into_iter().filter_map(|mx| host(mx.exchange)).collect::<Vec<_>>()
        });
        PolicyFacts {
            domain: name.clone(),
            wanted: wanted.sts.as_ref().map(|sts| sts.policy.clone()),
            served,
            announced,
            mx: mx.answer,
        }
    }

    async fn sts(
        &self,
        wanted: &StsWanted,
        facts: &PolicyFacts,
    ) -> (Vec<Finding>, Option<(Policy, Standing)>) {
        let addresses = self.resolver.addresses(&wanted.host.owner).await.answer;
        let host = publish::policy_host(wanted.host.clone(), &addresses);
        let mut announcement = self.text(&wanted.announcement, "v=STSv1").await;
        let standing = match &facts.served {
            Ok(served) if *served == wanted.policy => Standing::Live,
            Ok(served) => Standing::Differs { found: vec![served.to_string()] },
            Err(why) => Standing::Unknown { why: why.clone() },
        };
        if announcement.standing != Standing::Live && standing != Standing::Live {
            // RFC 8461 §8.1: the file before the id.
            announcement.fix = format!("serve the policy first, then: {}", announcement.fix);
        }
        (vec![host, announcement], Some((wanted.policy.clone(), standing)))
    }

    async fn plan(
        &self,
        wanted: &DomainWanted,
        tlsrpt: Option<&Finding>,
        (facts, hosts): (&PolicyFacts, &[Domain]),
        (memory, now): (&mut Memory, UnixTime),
    ) -> Vec<rollout::Stage> {
        let mut dane = Vec::new();
        for host in hosts {
            dane.push(self.dane(host).await);
        }
        let known = memory.domains.entry(wanted.domain.clone()).or_default();
        let missing = Standing::Missing;
        let tlsrpt = tlsrpt.map_or(&missing, |finding| &finding.standing);
        match tlsrpt {
            Standing::Live => known.tlsrpt_since = known.tlsrpt_since.or(Some(now)),
            Standing::Missing | Standing::Differs { .. } => known.tlsrpt_since = None,
            Standing::Unknown { .. } => {}
        }
        let mode = self.mode(facts).await;
        rollout::plan(&rollout::Facts { tlsrpt, mode, dane: &dane, memory: known, now })
    }

    /// The policy that senders follow.
    async fn mode(&self, facts: &PolicyFacts) -> Result<Option<Mode>, String> {
        let owner = facts.domain.below("_mta-sts").map_err(|error| error.to_string())?;
        match self.resolver.txt(&owner).await.answer {
            Answer::Found { value, .. } if sts::announced(&value).is_ok() => {
                Ok(facts.served.as_ref().ok().map(|policy| policy.mode))
            }
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

    /// The records of one host.
    pub async fn host(&self, wanted: &HostWanted) -> HostLook {
        let host = wanted.keys.host.clone();
        let answer = match host.below("_25._tcp") {
            Ok(owner) => self.resolver.tlsa(&owner).await.answer,
            Err(error) => Answer::Failed(LookupFailure {
                name: (&host).into(),
                kind: waxseal_core::dns::FailureKind::Malformed,
                detail: error.to_string(),
            }),
        };
        let tlsa = publish::tlsa(&host, wanted.records.clone(), &answer);
        let tlsa = (!wanted.records.is_empty()).then_some(tlsa);
        let tlsrpt = match &wanted.tlsrpt {
            Some(record) => Some(self.text(record, "v=TLSRPTv1").await),
            None => None,
        };
        let zone = match self.resolver.apex(&host).await {
            Ok(apex) => Some(self.zone(apex.zone).await),
            Err(_) => None,
        };
        HostLook { host, tlsa, tlsrpt, zone }
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

/// A look that found no server to ask.
fn nobody<T>(name: &Domain, why: String) -> Vec<ServerView<T>> {
    vec![ServerView { server: name.clone(), address: None, seen: gate::Seen::Failed(why) }]
}

fn lost(name: &Domain, why: String) -> Zone {
    let readiness = Readiness { state: readiness::Signed::Unknown, steps: vec![why] };
    Zone { zone: name.clone(), readiness }
}

/// The MX hosts: those of the configuration, or those in DNS.
fn hosts(wanted: &DomainWanted, mx: &Answer<Vec<Domain>>) -> Vec<Domain> {
    if !wanted.mx.is_empty() {
        return wanted.mx.iter().take(MOST_HOSTS).cloned().collect();
    }
    match mx {
        Answer::Found { value, .. } => value.iter().take(MOST_HOSTS).cloned().collect(),
        // RFC 5321 §5.1: the domain itself.
        Answer::Absent {
            absence: Absence::Secure | Absence::Agreed | Absence::Unconfirmed,
            ..
        } => {
            vec![wanted.domain.clone()]
        }
        Answer::Failed(_) => Vec::new(),
    }
}
