//! The file as it is written: every setting is optional here, and no other key is known. What a
//! setting is for stands in `waxseal.example.toml`, which a test holds complete.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use waxseal_core::{domain::Domain, publish::Mta};

use super::values::{
    Endpoint, KeyPin, Network, RelayClient, Roots, RouteDomain, SecretRef, Size, Span, Upstream,
};
use crate::clock::Trust;

/// A table of the file.
macro_rules! table {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $field: Option<$kind>,)* }
    };
}

/// Words that a setting can have.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }
    };
}

table!(Raw {
    hostname: Domain,
    data_dir: PathBuf,
    clock: Trust,
    domain: Vec<RawDomain>,
    listen: Vec<RawListen>,
    dns: RawDns,
    tls: RawTls,
    delivery: RawDelivery,
    route: Vec<RawRoute>,
    sts: RawSts,
    rules: RawRules,
    exceptions: RawExceptions,
    network: RawNetwork,
    store: RawStore,
    web: RawWeb,
    publish: RawPublish,
    checks: RawChecks,
    log: RawLog,
    author: RawAuthor,
    limits: RawLimits,
});

table!(RawDomain {
    name: Domain,
    inside: Endpoint,
    inside_tls: PeerTls,
    inside_pins: Vec<KeyPin>,
    inside_ca: PathBuf,
    publish: RawDomainPublish,
});

table!(RawDomainPublish {
    mx: Vec<Domain>,
    tlsrpt: Vec<String>,
    mta_sts: Mta,
    mta_sts_max_age: Span,
    mta_sts_certificate: PathBuf,
    mta_sts_key: PathBuf,
    spf: Vec<String>,
    dkim: Vec<String>,
    dkim_retired: Vec<Domain>,
    dmarc: String,
    dmarc_reports: Vec<String>,
});

table!(RawListen {
    address: SocketAddr,
    tls: ListenTls,
    kind: ListenKind,
    relay_from: Vec<Network>,
    proof: RelayProof,
    auth: PathBuf,
    client_ca: PathBuf,
    clients: Vec<RelayClient>,
    certificate: PathBuf,
    key: PathBuf,
});

table!(RawDns {
    upstream: Vec<Upstream>,
    confirm: Vec<Upstream>,
    trust_anchors: PathBuf,
    timeout: Span,
    cache_entries: usize,
});

table!(RawTls { roots: Roots, certificate: PathBuf, key: PathBuf });

table!(RawDelivery {
    port: u16,
    families: Vec<Family>,
    source_addresses: Vec<IpAddr>,
    concurrency: usize,
    per_destination: usize,
    per_host: usize,
    pace: Span,
    messages_per_session: usize,
    idle: Span,
    retry: Vec<Span>,
    lifetime: Span,
    hold_lifetime: Span,
    delay_notice: Span,
    timeouts: RawTimeouts,
});

table!(RawTimeouts {
    connect: Span,
    greeting: Span,
    command: Span,
    data: Span,
    block: Span,
    end: Span,
});

table!(RawRoute {
    domain: RouteDomain,
    host: String,
    port: u16,
    tls: PeerTls,
    names: Vec<Domain>,
    pins: Vec<KeyPin>,
    ca: PathBuf,
    auth_user: String,
    auth_secret: String,
});

table!(RawSts { preload: PathBuf, patience: Span, trust_first_policy: bool });

table!(RawRules { file: PathBuf, mode: RulesMode });

table!(RawExceptions { longest: Span });

table!(RawNetwork { map: BTreeMap<SocketAddr, SocketAddr>, });

table!(RawStore { url: String, key: SecretRef });

table!(RawWeb { metrics: RawSite, admin: RawSite, policy: RawPolicySite, portal: RawSite });

table!(RawSite { address: String });

table!(RawPolicySite { address: String, certificate: PathBuf, key: PathBuf });

table!(RawPublish { ttl: Span, state: PathBuf, mx: Vec<RawPublishMx>, update: RawUpdate });

table!(RawPublishMx {
    host: Domain,
    current: Vec<PathBuf>,
    next: Vec<PathBuf>,
    issuers: Vec<PathBuf>,
});

table!(RawUpdate {
    server: String,
    tsig_name: String,
    tsig_algorithm: TsigAlgorithm,
    tsig_key: String,
});

table!(RawChecks {
    own: Span,
    partners: Span,
    partners_max: usize,
    pace: usize,
    timeout: Span,
    host_timeout: Span,
    domain_timeout: Span,
    repeat: Span,
    mail: bool,
    webhook: String,
    webhook_secret: String,
    webhook_allow_private: bool,
});

table!(RawLog { format: LogFormat, level: LogLevel });

table!(RawAuthor { from: String, postmaster: String, dkim_selector: String, dkim_key: String });

table!(RawLimits {
    message: Size,
    recipients: usize,
    sessions: usize,
    sessions_per_client: usize,
    commands: usize,
    errors: usize,
    hops: usize,
    session_idle: Span,
    session_time: Span,
    queue: usize,
});

words! {
    /// What a listener does about TLS.
    ListenTls {
        /// TLS is offered after EHLO (RFC 3207).
        Starttls,
        /// The same, and no mail is taken before it: not for a public MX host (RFC 3207 §4).
        Required,
        /// The connection begins with TLS (RFC 8314 §3.3).
        Implicit,
        /// None: for loopback only.
        None,
    }
}

words! {
    /// What a listener is for.
    ListenKind {
        /// Mail servers of others: mail for our own domains goes inside.
        Inbound,
        /// Mail servers: messages stay as they are.
        Relay,
        /// People's programs: what a message lacks is added (RFC 6409 §8).
        Submission,
    }
}

words! {
    /// A second proof, beside the network, that a relaying peer is ours.
    RelayProof {
        /// None: the address is proof enough.
        None,
        /// The message carries a valid DKIM signature of one of our domains.
        Dkim,
        /// The peer shows a certificate of `client_ca`.
        ClientCert,
        /// The peer has signed in.
        Auth,
    }
}

words! {
    /// What is demanded of a host that the administrator names.
    PeerTls {
        /// TLS is tried; without it mail goes in the clear.
        Opportunistic,
        /// TLS, whoever it is.
        Encrypted,
        /// A certificate of a public CA for one of the names.
        Authenticated,
        /// One of the pinned keys, or a chain to the pinned CA.
        Pinned,
    }
}

words! {
    /// An address family.
    Family {
        /// Version 6.
        Ipv6,
        /// Version 4.
        Ipv4,
    }
}

words! {
    /// Whether our own floors bind.
    RulesMode {
        /// They do.
        Enforce,
        /// They are evaluated and recorded, and do not bind. DANE and MTA-STS still do.
        Monitor,
    }
}

words! {
    /// How an update is signed (RFC 8945 §6).
    TsigAlgorithm {
        /// The one that every server has.
        HmacSha256,
        /// The longer one.
        HmacSha512,
    }
}

words! {
    /// How a log line looks.
    LogFormat {
        /// For people.
        Human,
        /// One JSON object a line.
        Json,
    }
}

words! {
    /// How much is logged.
    LogLevel {
        /// What needs a person now.
        Error,
        /// What will need one soon.
        Warn,
        /// What happened to each message.
        Info,
        /// Each step, with domains.
        Debug,
    }
}
