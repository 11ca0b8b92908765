//! All that follows from one configuration and is replaced as a whole by the next one.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls_pki_types::TrustAnchor;
use waxseal_core::{
    domain::Domain,
    evidence::{BlobId, Network},
    org::{Exception, Org},
    time::UnixTime,
};

use super::{known::Known, routes::Routes, settings};
use crate::{
    author::Author,
    config::Config,
    deliver::Deliverer,
    dial::Dialler,
    exceptions::Mark,
    fetch::{self, PolicyFetcher},
    gather::{Dns, Gatherer, Own, PolicyStore},
    resolve::{Authorities, Resolver},
    rules::Ruleset,
    survey::{
        Surveyor, Tools,
        probe::{self, Prober},
    },
    tls,
    watch::{self, TIMEOUT, Webhook},
};

/// What one configuration comes to.
#[derive(Clone)]
pub struct Parts {
    /// The configuration itself.
    pub config: Config,
    /// Our name.
    pub hostname: Domain,
    /// What is this gateway.
    pub own: Own,
    /// What the organisation demands.
    pub org: Arc<Org>,
    /// The digest of that.
    pub digest: Option<BlobId>,
    /// Which state of the exceptions is in [`Self::org`].
    pub mark: Mark,
    /// Ways that the administrator named.
    pub routes: Routes,
    /// Asks DNS.
    pub resolver: Resolver,
    /// Gathers facts.
    pub gatherer: Gatherer,
    /// Carries out plans.
    pub deliverer: Deliverer,
    /// Asks what an assessment needs.
    pub surveyor: Surveyor,
    /// Certificates that count as public CAs.
    pub roots: Arc<Vec<TrustAnchor<'static>>>,
    /// Writes reports and notices.
    pub author: Author,
    /// Where alerts are posted.
    pub webhook: Option<Webhook>,
    /// What inside said of recipients of mail from outside.
    pub(super) known: Arc<Known>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

/// What parts are made from, beside the configuration.
#[derive(Clone)]
pub struct Around {
    /// Where policies survive a restart.
    pub policies: Arc<dyn PolicyStore>,
    /// What is known of mail hosts from assessments, at the start.
    pub probes: probe::Memory,
    /// Exceptions from the rules that hold now.
    pub exceptions: Vec<Exception>,
    /// Which state of the exceptions that is.
    pub mark: Mark,
    /// The time.
    pub now: UnixTime,
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Parts {
    /// Builds everything; reads the files that the configuration names. A resolver that would be
    /// the same as `before` is kept, with its cache; what `before` still delivers counts, and so does
    /// whom it asks.
    ///
    /// # Errors
    /// What cannot be used, in one sentence.
    pub fn build(config: Config, around: Around, before: Option<&Self>) -> Result<Self, String> {
        let hostname = hostname(&config)?;
        let org = organisation(&config, around.exceptions)?;
        let digest = org.digest().ok();
        let routes = Routes::build(&config)?;
        // Compared by what the files say, not by their names: a reload reads them again.
        let asking = settings::resolver(&config)?;
        let resolver = match before.filter(|parts| parts.resolver.is_set_up_like(&asking)) {
            Some(parts) => parts.resolver.clone(),
            None => Resolver::new(asking),
        };
        let roots =
            tls::load_roots(&settings::roots(&config)).map_err(|error| error.to_string())?;
        let roots = Arc::new(roots);
        let dialler = Dialler::new(settings::dialler(&config));
        let own = settings::own(&config);
        let dns: Arc<dyn Dns> = Arc::new(resolver.clone());
        let ours = config.domains.iter().map(|domain| domain.name.clone()).collect();
        let fetch = fetch::Settings { own: own.clone(), ours, ..fetch::Settings::default() };
        let webhook = match &config.checks.webhook {
            Some(webhook) => {
                let (dns, dialler) = (Arc::clone(&dns), dialler.clone());
                let network = watch::Network { dns, dialler, own: own.clone(), timeout: TIMEOUT };
                Some(Webhook::new(webhook, network, &roots)?)
            }
            None => None,
        };
        let fetcher = PolicyFetcher::new(fetch, Arc::clone(&dns), dialler.clone(), &roots)
            .map_err(|error| error.to_string())?;
        let gathering = settings::gathering(&config, own.clone(), around.now)?;
        let gatherer = Gatherer::new(gathering, dns, Arc::new(fetcher.clone()), around.policies);
        let probing = settings::probing(&config, &hostname);
        let prober = match before {
            Some(parts) => parts.surveyor.prober().next(probing, dialler.clone()),
            None => Prober::new(probing, dialler.clone(), around.probes),
        };
        let prober = prober.map_err(|error| error.to_string())?;
        let tools = Tools {
            authorities: Authorities::new(resolver.clone(), dialler.clone(), own.clone()),
            resolver: resolver.clone(),
            gatherer: gatherer.clone(),
            fetcher: fetcher.clone(),
            prober,
        };
        let surveyor = Surveyor::new(tools);
        let delivering = settings::deliverer(&config, &hostname)?;
        let deliverer = match before {
            Some(parts) => parts.deliverer.next(delivering, dialler, Arc::clone(&roots)),
            None => Deliverer::new(delivering, dialler, Arc::clone(&roots)),
        };
        let deliverer = deliverer.map_err(|error| error.to_string())?;
        let author = settings::author(&config, &hostname)?;
        let org = Arc::new(org);
        let mark = around.mark;
        Ok(Self {
            config,
            hostname,
            own,
            org,
            digest,
            mark,
            routes,
            resolver,
            gatherer,
            deliverer,
            surveyor,
            roots,
            author,
            webhook,
            known: Arc::default(),
        })
    }

    /// Where connections really go.
    pub(super) fn network(&self) -> Network {
        if self.config.network.is_empty() { Network::Real } else { Network::Mapped }
    }

    /// The same with other exceptions: connections, caches and files stay as they are.
    pub(super) fn with_exceptions(&self, exceptions: Vec<Exception>, mark: Mark) -> Self {
        let org = Org { exceptions, ..Org::clone(&self.org) };
        Self { digest: org.digest().ok(), org: Arc::new(org), mark, ..self.clone() }
    }
}

/// Our name: a whole one.
pub(super) fn hostname(config: &Config) -> Result<Domain, String> {
    let hostname = config.hostname.clone().ok_or("hostname is missing")?;
    if !hostname.as_str().contains('.') {
        return Err(format!("hostname: {hostname} is no full name, such as gw.example.com"));
    }
    Ok(hostname)
}

/// The rules, and what the configuration adds to them.
pub(super) fn organisation(config: &Config, exceptions: Vec<Exception>) -> Result<Org, String> {
    let mut org = Org::default();
    if let Some(file) = &config.rules.file {
        let ours: Vec<_> = config.domains.iter().map(|domain| domain.name.clone()).collect();
        Ruleset::load(file, &ours).map_err(|refused| refused.to_string())?.apply(&mut org);
    }
    settings::organise(config, &mut org);
    org.exceptions = exceptions;
    Ok(org)
}

/// The parts in force; clones see the same ones.
#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<Arc<Parts>>>);

impl Live {
    /// With these parts in force.
    pub fn new(parts: Arc<Parts>) -> Self {
        Self(Arc::new(RwLock::new(parts)))
    }

    /// The parts in force now.
    pub fn now(&self) -> Arc<Parts> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, these; answers those before.
    pub fn replace(&self, parts: Arc<Parts>) -> Arc<Parts> {
        let mut live = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut live, parts)
    }

    /// From now on, what `change` makes of those in force. Nobody replaces them in between.
    pub(super) fn update(&self, change: impl FnOnce(&Parts) -> Parts) {
        let mut live = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *live = Arc::new(change(&live));
    }
}
