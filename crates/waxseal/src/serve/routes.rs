//! Where mail goes that DNS is not asked about: `[[route]]`, and the way inside for our own
//! domains.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use waxseal_core::{
    channel::Pins,
    domain::Domain,
    facts::Peer,
    org::{Agreement, Reach, RouteTls},
};

use crate::{
    config::{Config, HostDemand, PeerTls, RouteDomain},
    gather::RouteTarget,
};

/// One way, and what was agreed about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The host instead of the MX.
    pub target: RouteTarget,
    /// What it has to prove.
    pub agreement: Agreement,
    /// The place of its `[[route]]`; `None`: the way inside.
    pub route: Option<usize>,
}

/// All ways that the administrator named.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<(RouteDomain, Way)>);

impl Routes {
    /// The ways of a configuration. Our own domains lead inside and never to their MX, which may
    /// lie outside, unless a `[[route]]` says otherwise.
    ///
    /// # Errors
    /// A CA file that cannot be read, in one sentence.
    pub fn build(config: &Config) -> Result<Self, String> {
        let mut ways = Vec::new();
        for (place, route) in config.routes.iter().enumerate() {
            let reach = match route.domain {
                RouteDomain::All => Reach::FirstHopOnly,
                RouteDomain::Exactly(_) | RouteDomain::Within(_) => Reach::Destination,
            };
            let target = RouteTarget { host: route.host.clone(), port: route.port, reach };
            let agreement = agreement(&route.tls, &route.host, reach)?;
            ways.push((route.domain.clone(), Way { target, agreement, route: Some(place) }));
        }
        for domain in &config.domains {
            let (inside, reach) = (&domain.inside, Reach::Destination);
            let target = RouteTarget { host: inside.peer.clone(), port: inside.port, reach };
            let agreement = agreement(&domain.tls, &inside.peer, reach)?;
            let way = Way { target, agreement, route: None };
            ways.push((RouteDomain::Exactly(domain.name.clone()), way));
        }
        Ok(Self(ways))
    }

    /// The way to a destination: the most specific that names it; `None`: by MX.
    pub fn to(&self, destination: &Domain) -> Option<&Way> {
        let fit = |(domain, _): &&(RouteDomain, Way)| match domain {
            RouteDomain::Exactly(name) => (name == destination).then_some(usize::MAX),
            RouteDomain::Within(name) => destination.is_within(name).then(|| name.as_str().len()),
            RouteDomain::All => Some(0),
        };
        let mut best: Option<(usize, &Way)> = None;
        for entry in &self.0 {
            if let Some(fit) = fit(&entry)
                && best.is_none_or(|(other, _)| fit > other)
            {
                best = Some((fit, &entry.1));
            }
        }
        best.map(|(_, way)| way)
    }
}

fn agreement(demand: &HostDemand, host: &Peer, reach: Reach) -> Result<Agreement, String> {
    let names = match (demand.names.as_slice(), host) {
        ([], Peer::Name(name)) => vec![name.clone()],
        ([], Peer::Literal(_)) => Vec::new(),
        (names, _) => names.to_vec(),
    };
    let authorities = match &demand.ca {
        None => Vec::new(),
        Some(path) => {
            let told = |why: String| format!("{}: cannot read a CA: {why}", path.display());
            let found: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| told(error.to_string()))?;
            if found.is_empty() {
                return Err(told("there is no certificate in it".into()));
            }
            found.iter().map(|certificate| certificate.as_ref().to_vec()).collect()
        }
    };
    let keys: Vec<[u8; 32]> = demand.pins.iter().map(|pin| pin.0).collect();
    let pins = (!keys.is_empty() || !authorities.is_empty()).then_some(Pins { keys, authorities });
    let demand = match demand.tls {
        PeerTls::Opportunistic => RouteTls::Opportunistic,
        PeerTls::Encrypted => RouteTls::Encrypted,
        PeerTls::Authenticated | PeerTls::Pinned => RouteTls::Authenticated,
    };
    Ok(Agreement { names, pins, demand, reach })
}
