//! How the resolver is set up.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use rustls_pki_types::TrustAnchor;
use waxseal_core::{
    dnssec::{AnchorError, Anchors},
    domain::Domain,
};

use crate::{clock::Clock, config, tls};

/// Where the system's resolvers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The largest file of anchors or resolvers that is read.
const LARGEST: u64 = 1_024 * 1_024;

/// How an upstream is talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP, and TCP where an answer is truncated (RFC 7766 §5).
    Udp,
    /// DNS over TLS (RFC 7858), strict profile of RFC 8310 §5.
    Tls {
        /// The name that the certificate has to match.
        name: Domain,
    },
}

/// A recursive resolver that we ask. It is not trusted: it only has to pass signatures on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is talked to.
    pub transport: Transport,
}

/// How the resolver is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Asked in turn; one that stalls does not hold up the others.
    pub upstreams: Vec<Upstream>,
    /// Where chains of trust begin.
    pub anchors: Anchors,
    /// CAs for DNS over TLS.
    pub tls_roots: Vec<TrustAnchor<'static>>,
    /// How long one upstream may take for one question before the next is asked as well.
    pub patience: Duration,
    /// How long one question may take over all upstreams.
    pub question: Duration,
    /// How long a whole lookup may take, validation included.
    pub deadline: Duration,
    /// How many answers are kept.
    pub cache_entries: usize,
    /// What time it is.
    pub clock: Clock,
}

impl Settings {
    /// The defaults, with these upstreams.
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self {
            upstreams,
            anchors: Anchors::iana(),
            tls_roots: Vec::new(),
            patience: Duration::from_millis(800),
            question: Duration::from_secs(5),
            deadline: Duration::from_secs(20),
            cache_entries: 100_000,
            clock: Clock::system(),
        }
    }

    /// Whether these ask the same and believe the same, whatever time it is.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.upstreams == other.upstreams
            && self.anchors == other.anchors
            && self.tls_roots == other.tls_roots
            && self.patience == other.patience
            && (self.question, self.deadline) == (other.question, other.deadline)
            && self.cache_entries == other.cache_entries
    }
}

/// Why the resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("{path}: {why}")]
    File {
        /// Which one.
        path: String,
        /// What happened.
        why: String,
    },
    /// The file of trust anchors holds something else.
    #[error("{path}: {why}")]
    Anchors {
        /// Which one.
        path: String,
        /// What is wrong with it.
        why: AnchorError,
    },
    /// Nobody can be asked.
    #[error("{RESOLV_CONF} names no resolver; set `[dns] upstream`")]
    NoUpstream,
    /// DNS over TLS has no CA to trust.
    #[error(transparent)]
    Roots(#[from] tls::RootsError),
}

impl Settings {
    /// From `[dns]` and `[tls]`: files are read, defaults filled in.
    ///
    /// # Errors
    /// A file that is named cannot be used, or there is no upstream.
    pub fn from_config(dns: &config::Dns, tls: &config::Tls) -> Result<Self, SettingsError> {
        let configured: Vec<Upstream> = dns.upstream.iter().map(Upstream::from).collect();
        let upstreams = if configured.is_empty() {
            upstreams_of(&read(Path::new(RESOLV_CONF))?)
        } else {
            configured
        };
        if upstreams.is_empty() {
            return Err(SettingsError::NoUpstream);
        }
        let mut settings = Self::new(upstreams);
        if let Some(path) = &dns.trust_anchors {
            settings.anchors = read_anchors(path)?;
        }
        let is_tls = |upstream: &Upstream| matches!(upstream.transport, Transport::Tls { .. });
        if settings.upstreams.iter().any(is_tls) {
            let roots = match &tls.roots {
                config::Roots::System => tls::Roots::System,
                config::Roots::File(path) => tls::Roots::File(path.clone()),
            };
            settings.tls_roots = tls::load_roots(&roots)?;
        }
        settings.question = dns.timeout;
        settings.deadline = settings.deadline.max(dns.timeout);
        settings.cache_entries = dns.cache_entries;
        Ok(settings)
    }
}

/// Reads trust anchors from a file with DS or DNSKEY records ([`Anchors::parse`]).
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn read_anchors(path: &Path) -> Result<Anchors, SettingsError> {
    Anchors::parse(&read(path)?)
        .map_err(|why| SettingsError::Anchors { path: path.display().to_string(), why })
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let fail = |why: String| SettingsError::File { path: path.display().to_string(), why };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > LARGEST {
        return Err(fail("larger than 1 MiB".into()));
    }
    std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))
}

impl From<&config::Upstream> for Upstream {
    fn from(configured: &config::Upstream) -> Self {
        let transport = match &configured.tls {
            None => Transport::Udp,
            Some(name) => Transport::Tls { name: name.clone() },
        };
        Self { address: configured.address, transport }
    }
}

/// The upstreams that `/etc/resolv.conf` names, in order; lines that are not understood are
/// skipped, as the C library does.
pub fn upstreams_of(resolv_conf: &str) -> Vec<Upstream> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            // A zone index (`fe80::1%eth0`) says nothing to us.
            let address = words.next()?.split('%').next()?.parse::<IpAddr>().ok()?;
            let address = SocketAddr::new(address, 53);
            Some(Upstream { address, transport: Transport::Udp })
        })
        .collect()
}
