//! The configuration: read once, parsed into types, refused as a whole where anything is wrong.
//!
//! Two stages: `raw` is what is written (serde, no other key is known), [`Config`] is what
//! it means. `keys` knows the vocabulary, from the example that we ship.

mod build;
mod checks;
mod keys;
mod listeners;
mod publish;
mod raw;
#[cfg(test)]
mod tests;
mod values;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};
use waxseal_core::{domain::Domain, facts::Peer};

use crate::clock::Trust;
pub use checks::{Checks, MOST_PARTNERS, MailAlerts, Private, Probing, Webhook};
pub use keys::{EXAMPLE, nearest, schema, uncommented};
pub use publish::{DkimKey, DomainPublish, MxKeys, PolicySite, Publish, Update};
pub use raw::{
    Family, ListenKind, ListenTls, LogFormat, LogLevel, PeerTls, RelayProof, RulesMode,
    TsigAlgorithm,
};
pub use values::{
    BadValue, ClientId, Endpoint, KeyPin, Network, RelayClient, Roots, RouteDomain, SecretRef,
    Size, Span, Upstream,
};

/// What the administrator decided, in parsed types. Files that it names are not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Our name; `None` where none was written: `serve` needs one.
    pub hostname: Option<Domain>,
    /// Where queue, evidence and caches lie.
    pub data_dir: PathBuf,
    /// Whether the machine's clock is believed whatever it says.
    pub clock: Trust,
    /// Our sender domains.
    pub domains: Vec<SenderDomain>,
    /// Where mail comes in.
    pub listeners: Vec<Listen>,
    /// How DNS is asked.
    pub dns: Dns,
    /// Certificates: others' and our own.
    pub tls: Tls,
    /// How mail is sent.
    pub delivery: Delivery,
    /// Hosts that the administrator names.
    pub routes: Vec<Route>,
    /// MTA-STS.
    pub sts: Sts,
    /// Our own floors.
    pub rules: Rules,
    /// The longest term of an exception.
    pub longest_exception: Duration,
    /// Test beds: connect elsewhere. Always empty in builds without the feature `demo`.
    pub network: BTreeMap<SocketAddr, SocketAddr>,
    /// Whether what destinations publish counts. No file can say otherwise: `demo` alone does, to
    /// play an ordinary mail server.
    #[cfg(feature = "demo")]
    pub honour: waxseal_core::org::Honour,
    /// Where the store is.
    pub store: Store,
    /// Which pages are served where.
    pub web: Web,
    /// What we publish about ourselves.
    pub publish: Publish,
    /// What is looked at regularly.
    pub checks: Checks,
    /// What is logged, and how.
    pub log: Log,
    /// Mail that we write ourselves.
    pub author: Author,
    /// How much is taken in.
    pub limits: Limits,
}

/// One of our sender domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderDomain {
    /// Its name.
    pub name: Domain,
    /// Where mail to our own people goes.
    pub inside: Endpoint,
    /// What that host has to prove.
    pub tls: HostDemand,
    /// What it publishes.
    pub publish: DomainPublish,
}

/// What a host that the administrator names has to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDemand {
    /// The kind of proof.
    pub tls: PeerTls,
    /// Names for the certificate; the host's own where none was written.
    pub names: Vec<Domain>,
    /// Pinned keys.
    pub pins: Vec<KeyPin>,
    /// PEM file with a pinned CA.
    pub ca: Option<PathBuf>,
}

/// One address that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// What is done about TLS.
    pub tls: ListenTls,
    /// Mail servers, or people's programs.
    pub kind: ListenKind,
    /// Who may relay by address.
    pub relay_from: Vec<IpNet>,
    /// What a peer of these networks has to show beside its address.
    pub proof: RelayProof,
    /// Password file.
    pub auth: Option<PathBuf>,
    /// PEM file with the CA of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Which of its certificates may relay.
    pub clients: Vec<RelayClient>,
    /// Its own certificate and key, or those of `[tls]`.
    pub identity: Option<Identity>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// End entity first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Who fetches for us; empty: those of `/etc/resolv.conf`.
    pub upstream: Vec<Upstream>,
    /// Resolvers of other operators that are asked about an absence that nobody signs; empty:
    /// none is.
    pub confirm: Vec<Upstream>,
    /// Own anchors; `None`: the IANA's.
    pub trust_anchors: Option<PathBuf>,
    /// For one question to one upstream.
    pub timeout: Duration,
    /// RRsets kept.
    pub cache_entries: usize,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Public CAs.
    pub roots: Roots,
    /// Our own certificate.
    pub identity: Option<Identity>,
}

/// `[delivery]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// 25.
    pub port: u16,
    /// In the order to try them; at least one.
    pub families: Vec<Family>,
    /// Addresses to send from.
    pub source_addresses: Vec<IpAddr>,
    /// Sessions at once.
    pub concurrency: usize,
    /// Sessions at once to one destination.
    pub per_destination: usize,
    /// Sessions at once to one MX address.
    pub per_host: usize,
    /// Between two messages to one MX address.
    pub pace: Duration,
    /// Then a new session.
    pub messages_per_session: usize,
    /// How long a session waits for another message.
    pub idle: Duration,
    /// Pauses between attempts; the last repeats. At least one.
    pub retry: Vec<Duration>,
    /// Then mail is returned.
    pub lifetime: Duration,
    /// Then held mail is returned.
    pub hold_lifetime: Duration,
    /// Then the sender is told of the delay.
    pub delay_notice: Duration,
    /// Of a session.
    pub timeouts: Timeouts,
}

/// `[delivery.timeouts]`: RFC 5321 §4.5.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP.
    pub connect: Duration,
    /// The first 220, and the TLS handshake.
    pub greeting: Duration,
    /// Commands before DATA.
    pub command: Duration,
    /// The 354.
    pub data: Duration,
    /// A block of the message.
    pub block: Duration,
    /// After the final dot.
    pub end: Duration,
}

/// `[[route]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which destinations.
    pub domain: RouteDomain,
    /// Where to.
    pub host: Peer,
    /// 25.
    pub port: u16,
    /// What has to be proven.
    pub tls: HostDemand,
    /// Who signs in there.
    pub auth: Option<RouteAuth>,
}

/// Credentials for a smarthost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAuth {
    /// The name.
    pub user: String,
    /// Where the password lies.
    pub secret: SecretRef,
}

/// `[sts]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sts {
    /// Policies known beforehand.
    pub preload: Option<PathBuf>,
    /// How long to wait when discovery fails.
    pub patience: Duration,
    /// Whether a policy of this very attempt authenticates.
    pub first_policy: FirstPolicy,
}

/// Whether an MTA-STS policy that was fetched in this attempt counts as authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPolicy {
    /// It does.
    Trusted,
    /// Only from the next attempt on.
    Distrusted,
}

/// `[rules]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The rules; `None`: the default floor for everything.
    pub file: Option<PathBuf>,
    /// Whether they bind.
    pub mode: RulesMode,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What keeps it.
    pub place: StorePlace,
    /// Encrypts at rest.
    pub key: SecretRef,
}

/// `[store] url`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// A SQLite file; an absolute path.
    Sqlite(PathBuf),
}

/// `[web]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// `/metrics` and `/healthz`.
    pub metrics: Option<SocketAddr>,
    /// The status page.
    pub admin: Option<SocketAddr>,
    /// MTA-STS policies of our domains.
    pub policy: Option<PolicySite>,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or machines.
    pub format: LogFormat,
    /// From which level on.
    pub level: LogLevel,
}

/// `[author]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Mailbox in From; `None`: postmaster at the first domain.
    pub from: Option<String>,
    /// Mailbox for notices; `None`: the same.
    pub postmaster: Option<String>,
    /// How our own mail is signed.
    pub dkim: Option<Dkim>,
}

/// A DKIM key (RFC 6376 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// `s=`
    pub selector: Domain,
    /// PKCS #8, Ed25519 or RSA.
    pub key: SecretRef,
}

/// `[limits]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message: u64,
    /// Recipients of a message.
    pub recipients: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Sessions at once from one address.
    pub sessions_per_client: usize,
    /// Commands in a session.
    pub commands: usize,
    /// Refused commands in a session.
    pub errors: usize,
    /// Received lines.
    pub hops: usize,
    /// Waiting for a command.
    pub session_idle: Duration,
    /// A whole session.
    pub session_time: Duration,
    /// Messages in the queue.
    pub queue: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text; `None` where something is missing.
    at: Option<usize>,
    /// Which key: `delivery.port`; empty for the text as a whole.
    key: String,
    /// One sentence.
    what: String,
}

/// A configuration that was refused: everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// One line each: file, line, key, what is wrong.
    pub lines: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Refused {}

/// Larger than any sane configuration, small enough to refuse a disk image.
const LARGEST: u64 = 4 << 20;

impl Config {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// It cannot be read, or all that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, Refused> {
        let refuse = |why: &str| Refused { lines: vec![format!("{}: {why}", file.display())] };
        match std::fs::metadata(file) {
            Ok(found) if found.len() > LARGEST => return Err(refuse("larger than 4 MiB")),
            Ok(_) => {}
            Err(error) => return Err(refuse(&error.to_string())),
        }
        let text = std::fs::read_to_string(file).map_err(|error| refuse(&error.to_string()))?;
        Self::parse(&text, file)
    }

    /// Parses a text; `file` is what the errors call it, and what paths in it are relative to.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Refused> {
        let base = file.parent().unwrap_or(Path::new(""));
        parse(text, base).map_err(|mut faults| {
            faults.sort_by_key(|fault| fault.at);
            let name = file.display().to_string();
            Refused { lines: faults.iter().map(|fault| fault.line(text, &name)).collect() }
        })
    }
}

impl Fault {
    /// `waxseal.toml:12: dns.upstrem: there is no such key; did you mean "upstream"?`
    fn line(&self, text: &str, name: &str) -> String {
        let place = match self.at.and_then(|at| text.get(..at)) {
            Some(before) => format!("{name}:{}", before.matches('\n').count() + 1),
            None => name.to_owned(),
        };
        match self.key.as_str() {
            "" => format!("{place}: {}", self.what),
            key => format!("{place}: {key}: {}", self.what),
        }
    }
}

fn parse(text: &str, base: &Path) -> Result<Config, Vec<Fault>> {
    let whole = |error: &toml::de::Error| {
        let at = error.span().map(|span| span.start);
        vec![Fault { at, key: String::new(), what: error.message().replace('\n', ", ") }]
    };
    let tree = DeTable::parse(text).map_err(|error| whole(&error))?;
    let known = keys::vocabulary().map_err(|error| whole(&error))?;
    let unknown = keys::unknown(tree.get_ref(), &known, &known);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let raw: raw::Raw = toml::from_str(text).map_err(|error| {
        let at = error.span().map(|span| span.start);
        let key = at.and_then(|at| key_at(tree.get_ref(), at)).unwrap_or_default();
        vec![Fault { at, key, what: error.message().replace('\n', ", ") }]
    })?;
    build::config(raw, base).map_err(|missing| {
        let place = |fault: Fault| Fault { at: offset(tree.get_ref(), &fault.key), ..fault };
        missing.into_iter().map(place).collect()
    })
}

/// The key whose value stands at this offset: `listen[1].address`.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    let inside = |(key, value): (_, &toml::Spanned<DeValue<'_>>)| {
        let key: &toml::Spanned<std::borrow::Cow<'_, str>> = key;
        let name = key.get_ref().as_ref();
        let below = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at).map(|rest| format!("{name}.{rest}")),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(nth, item)| {
                let rest = key_at(item.get_ref().as_table()?, at)?;
                Some(format!("{name}[{nth}].{rest}"))
            }),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        below.or_else(|| value.span().contains(&at).then(|| name.to_owned()))
    };
    table.iter().find_map(inside)
}

/// Where `listen[1].address` stands; or else its table.
fn offset(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(f, r)| (f, Some(r)));
    let (name, nth) = match first.split_once('[') {
        Some((name, nth)) => (name, nth.trim_end_matches(']').parse::<usize>().ok()),
        None => (first, None),
    };
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == name)?;
    let (here, inner) = match (nth, value.get_ref()) {
        (Some(nth), DeValue::Array(items)) => {
            let item = items.get(nth)?;
            (item.span().start, item.get_ref().as_table())
        }
        (_, value) => (key.span().start, value.as_table()),
    };
    rest.and_then(|rest| offset(inner?, rest)).or(Some(here))
}
