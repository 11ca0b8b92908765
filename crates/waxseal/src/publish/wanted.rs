//! The records that the configuration asks for.

use std::time::Duration;

use waxseal_core::{
    domain::Domain,
    publish::{
        Record,
        gate::{HostKeys, Key},
        texts,
    },
    sts::Policy,
};

use super::{dkim, keys};
use crate::{
    config::{Config, MxKeys, SenderDomain},
    gather::hostile,
};

/// Everything that we want to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Our domains.
    pub domains: Vec<DomainWanted>,
    /// Our MX hosts.
    pub hosts: Vec<HostWanted>,
}

/// What one domain publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainWanted {
    /// Its name.
    pub domain: Domain,
    /// Its MX hosts, by configuration.
    pub mx: Vec<Domain>,
    /// TLSRPT.
    pub tlsrpt: Option<Record>,
    /// The policy, the record that announces it, and the name of its host.
    pub sts: Option<StsWanted>,
    /// The `max_age` that is written down.
    pub max_age: Option<Duration>,
    /// SPF, and the mechanisms that have to be in it.
    pub spf: (Record, Vec<String>),
    /// DKIM, one record for each selector.
    pub dkim: Vec<Record>,
    /// DMARC.
    pub dmarc: Option<Record>,
}

/// MTA-STS of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsWanted {
    /// What is served.
    pub policy: Policy,
    /// `_mta-sts`
    pub announcement: Record,
    /// `mta-sts`
    pub host: Record,
    /// Who serves it.
    pub served: Served,
}

/// Who serves a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// This gateway, by `[web.policy]`.
    Here,
    /// A web server that the operator looks after.
    Elsewhere,
}

/// What one MX host publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWanted {
    /// Its keys.
    pub keys: HostKeys,
    /// Its TLSA records: keys in use, next keys, issuers.
    pub records: Vec<Record>,
    /// TLSRPT of its own: reports about DANE go to the host's name (RFC 8460 §1.1).
    pub tlsrpt: Option<Record>,
}

impl Wanted {
    /// From a configuration; reads the files with keys.
    ///
    /// # Errors
    /// A file that cannot be used, in one sentence.
    pub fn build(config: &Config) -> Result<Self, String> {
        let domains = config.domains.iter().map(|domain| of_domain(config, domain));
        let hosts = config.publish.mx.iter().map(|mx| of_host(config, mx));
        Ok(Self {
            domains: domains.collect::<Result<_, _>>()?,
            hosts: hosts.collect::<Result<_, _>>()?,
        })
    }
}

/// The SPF record of a domain, and the mechanisms of it that are ours; `host` is what we call
/// ourselves.
pub(crate) fn spf(config: &Config, domain: &SenderDomain, host: &Domain) -> (Record, Vec<String>) {
    // Private addresses are translated on the way out, so receivers see others.
    let sources: Vec<_> = config
        .delivery
        .source_addresses
        .iter()
        .copied()
        .filter(|address| hostile(*address).is_none())
        .collect();
    let own = texts::own_mechanisms(&sources, host);
    let all: Vec<String> = own.iter().chain(&domain.publish.spf).cloned().collect();
    (texts::spf(&domain.name, &all, config.publish.ttl), all)
}

fn of_domain(config: &Config, domain: &SenderDomain) -> Result<DomainWanted, String> {
    let (name, publish, ttl) = (&domain.name, &domain.publish, config.publish.ttl);
    let long = |error: waxseal_core::domain::DomainError| format!("{name}: {error}");
    let tlsrpt = match publish.tlsrpt.as_slice() {
        [] => None,
        rua => Some(texts::tlsrpt(name, rua, ttl).map_err(long)?),
    };
    let host = config.hostname.as_ref().unwrap_or(name);
    let sts = match texts::policy(publish.mta_sts, &publish.mx, publish.max_age) {
        None => None,
        Some(policy) => Some(StsWanted {
            announcement: texts::mta_sts(name, &policy, ttl).map_err(long)?,
            host: texts::policy_host(name, host, ttl).map_err(long)?,
            served: match &config.web.policy {
                Some(_) => Served::Here,
                None => Served::Elsewhere,
            },
            policy,
        }),
    };
    let spf = spf(config, domain, host);
    let dmarc = match &publish.dmarc {
        None => None,
        Some(policy) => {
            Some(texts::dmarc(name, policy, &publish.dmarc_reports, ttl).map_err(long)?)
        }
    };
    let dkim = dkim(config, domain)?;
    let (domain, mx) = (name.clone(), publish.mx.clone());
    let max_age = publish.max_age_said;
    Ok(DomainWanted { domain, mx, tlsrpt, sts, max_age, spf, dkim, dmarc })
}

fn dkim(config: &Config, domain: &SenderDomain) -> Result<Vec<Record>, String> {
    let (name, publish, ttl) = (&domain.name, &domain.publish, config.publish.ttl);
    let mut keys: Vec<(Domain, Option<String>)> = Vec::new();
    for key in dkim::keys(config, domain) {
        let signer = dkim::signer(&key, name)?;
        keys.push((key.dkim.selector, Some(signer.record())));
    }
    keys.extend(publish.dkim_retired.iter().map(|selector| (selector.clone(), None)));
    let record = |(selector, text): (Domain, Option<String>)| {
        texts::dkim(name, &selector, text, ttl).map_err(|error| format!("{selector}: {error}"))
    };
    keys.into_iter().map(record).collect()
}

fn of_host(config: &Config, mx: &MxKeys) -> Result<HostWanted, String> {
    let read = |paths: &[std::path::PathBuf]| -> Result<Vec<Key>, String> {
        paths.iter().map(|path| keys::of_host(path)).collect()
    };
    let (current, next) = (read(&mx.current)?, read(&mx.next)?);
    let mut issuers = Vec::new();
    for path in &mx.issuers {
        issuers.extend(keys::of_issuers(path)?);
    }
    let tlsa = current
        .iter()
        .chain(&next)
        .map(|key| texts::end_entity(key.spki_sha256))
        .chain(issuers.iter().map(|key| texts::issuer(key.spki_sha256)));
    let records = texts::tlsa(&mx.host, tlsa.collect(), config.publish.ttl)
        .map_err(|error| format!("{}: {error}", mx.host))?;
    let host = mx.host.clone();
    let ours = |domain: &&SenderDomain| {
        let publish = &domain.publish;
        !publish.tlsrpt.is_empty() && (publish.mx.contains(&host) || host.is_within(&domain.name))
    };
    let tlsrpt = match config.domains.iter().find(ours) {
        None => None,
        Some(domain) => {
            let record = texts::tlsrpt(&host, &domain.publish.tlsrpt, config.publish.ttl);
            Some(record.map_err(|error| format!("{host}: {error}"))?)
        }
    };
    Ok(HostWanted { keys: HostKeys { host, current, next, issuers }, records, tlsrpt })
}
