//! From what is written to what it means: defaults, and the checks that look at more than one
//! setting. All faults are collected, so that one run shows them all.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use waxseal_core::{domain::Domain, facts::Peer};

use super::{
    Author, Config, Delivery, Dkim, Dns, Family, Fault, FirstPolicy, HostDemand, Identity, Limits,
    Log, LogFormat, LogLevel, PeerTls, PolicySite, Roots, Route, RouteAuth, Rules, RulesMode,
    SecretRef, SenderDomain, Store, StorePlace, Sts, Timeouts, Tls, Web,
    raw::{
        Raw, RawAuthor, RawDelivery, RawDns, RawDomain, RawLimits, RawRoute, RawSite, RawStore,
        RawSts, RawTimeouts, RawTls, RawWeb,
    },
    values::{Size, Span},
};
use crate::clock::Trust;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Collects faults while the parts are built.
pub(super) struct Build<'a> {
    faults: Vec<Fault>,
    /// Relative paths are relative to the file that names them.
    base: &'a Path,
}

/// Whose hosts are asked.
#[derive(Clone, Copy)]
pub(super) enum Ground {
    /// Those of strangers.
    Internet,
    /// Our own, where `[network] map` leads.
    TestBed,
}

/// What the file means.
///
/// # Errors
/// Everything that does not fit together.
pub(super) fn config(raw: Raw, base: &Path) -> Result<Config, Vec<Fault>> {
    let mut build = Build { faults: Vec::new(), base };
    let data_dir = build.path(raw.data_dir).unwrap_or_else(|| "/var/lib/waxseal".into());
    let network = raw.network.unwrap_or_default().map.unwrap_or_default();
    if !cfg!(feature = "demo") && !network.is_empty() {
        build.fault("network.map", "only builds with the feature `demo` can connect elsewhere");
    }
    let rules = raw.rules.unwrap_or_default();
    let log = raw.log.unwrap_or_default();
    let domains = build.domains(raw.domain.unwrap_or_default());
    let author = build.author(raw.author.unwrap_or_default(), &domains);
    let ground = if network.is_empty() { Ground::Internet } else { Ground::TestBed };
    let whom = (author.postmaster.as_deref(), ground);
    let checks = build.checks(raw.checks.unwrap_or_default(), &domains, whom);
    let listeners = build.listeners(raw.listen.unwrap_or_default());
    build.check_clients(&listeners, &domains);
    build.check_loops(&listeners, &domains, raw.hostname.as_ref());
    let config = Config {
        hostname: raw.hostname,
        clock: raw.clock.unwrap_or(Trust::Guarded),
        domains,
        listeners,
        dns: build.dns(raw.dns.unwrap_or_default()),
        tls: build.tls(raw.tls.unwrap_or_default()),
        delivery: build.delivery(raw.delivery.unwrap_or_default()),
        routes: build.routes(raw.route.unwrap_or_default()),
        sts: build.sts(raw.sts.unwrap_or_default()),
        rules: Rules {
            file: build.path(rules.file),
            mode: rules.mode.unwrap_or(RulesMode::Enforce),
        },
        longest_exception: raw
            .exceptions
            .and_then(|exceptions| exceptions.longest)
            .map_or(Duration::from_secs(90 * DAY), |span| span.0),
        network,
        #[cfg(feature = "demo")]
        honour: waxseal_core::org::Honour::Published,
        store: build.store(raw.store.unwrap_or_default(), &data_dir),
        web: build.web(raw.web.unwrap_or_default()),
        publish: build.publish(raw.publish.unwrap_or_default(), &data_dir),
        log: Log {
            format: log.format.unwrap_or(LogFormat::Human),
            level: log.level.unwrap_or(LogLevel::Info),
        },
        checks,
        author,
        limits: build.limits(raw.limits.unwrap_or_default()),
        data_dir,
    };
    if build.faults.is_empty() { Ok(config) } else { Err(build.faults) }
}

/// What a host has to prove, as written.
struct Demand {
    tls: Option<PeerTls>,
    names: Option<Vec<Domain>>,
    pins: Option<Vec<super::KeyPin>>,
    ca: Option<PathBuf>,
}

impl Build<'_> {
    pub(super) fn fault(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.faults.push(Fault { at: None, key: key.into(), what: what.into() });
    }

    /// An empty path means none.
    pub(super) fn path(&self, path: Option<PathBuf>) -> Option<PathBuf> {
        path.filter(|path| !path.as_os_str().is_empty()).map(|path| self.base.join(path))
    }

    pub(super) fn span(&mut self, span: Option<Span>, default: u64, key: &str) -> Duration {
        let span = span.map_or(Duration::from_secs(default), |span| span.0);
        if span.is_zero() {
            self.fault(key, "has to be longer than nothing");
        }
        span
    }

    fn count(&mut self, count: Option<usize>, default: usize, key: &str) -> usize {
        let count = count.unwrap_or(default);
        if count == 0 {
            self.fault(key, "has to be at least 1");
        }
        count
    }

    /// Certificate and key: both or none.
    pub(super) fn identity(
        &mut self,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        at: &str,
    ) -> Option<Identity> {
        match (self.path(certificate), self.path(key)) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                self.fault(format!("{at}certificate"), "its `key` is missing");
                None
            }
            (None, Some(_)) => {
                self.fault(format!("{at}key"), "its `certificate` is missing");
                None
            }
        }
    }

    fn demand(&mut self, written: Demand, host: &Peer, at: &str) -> HostDemand {
        let demand = HostDemand {
            tls: written.tls.unwrap_or(PeerTls::Authenticated),
            names: written.names.unwrap_or_default(),
            pins: written.pins.unwrap_or_default(),
            ca: self.path(written.ca),
        };
        let pinned = !demand.pins.is_empty() || demand.ca.is_some();
        let nameless = matches!(host, Peer::Literal(_)) && demand.names.is_empty();
        match demand.tls {
            PeerTls::Pinned if !pinned => {
                self.fault(at, "\"pinned\" needs a key in `pins` or a CA in `ca`");
            }
            PeerTls::Authenticated | PeerTls::Encrypted | PeerTls::Opportunistic if pinned => {
                self.fault(at, "pins are only looked at with \"pinned\"");
            }
            PeerTls::Authenticated if nameless => self.fault(
                at,
                "no public CA vouches for an address: name the host, pin its key, or choose \
                 \"encrypted\"",
            ),
            PeerTls::Pinned if demand.pins.is_empty() && nameless => {
                self.fault(at, "a CA vouches for names, and an address has none: pin the key");
            }
            PeerTls::Pinned
            | PeerTls::Authenticated
            | PeerTls::Encrypted
            | PeerTls::Opportunistic => {}
        }
        demand
    }

    fn domains(&mut self, written: Vec<RawDomain>) -> Vec<SenderDomain> {
        let mut domains: Vec<SenderDomain> = Vec::new();
        for (nth, raw) in written.into_iter().enumerate() {
            let at = format!("domain[{nth}]");
            let (Some(name), Some(inside)) = (raw.name, raw.inside) else {
                self.fault(at, "a [[domain]] needs `name` and `inside`");
                continue;
            };
            if domains.iter().any(|other| other.name == name) {
                self.fault(format!("{at}.name"), format!("{name} is listed twice"));
            }
            let demand = Demand {
                tls: raw.inside_tls,
                names: None,
                pins: raw.inside_pins,
                ca: raw.inside_ca,
            };
            let tls = self.demand(demand, &inside.peer, &format!("{at}.inside_tls"));
            let publish = self.domain_publish(raw.publish.unwrap_or_default(), &at);
            domains.push(SenderDomain { name, inside, tls, publish });
        }
        domains
    }

    fn dns(&mut self, raw: RawDns) -> Dns {
        let upstream = raw.upstream.unwrap_or_default();
        let confirm = raw.confirm.unwrap_or_default();
        for other in &confirm {
            if other.tls.is_none() && !other.address.ip().is_loopback() {
                let what = format!(
                    "{other}: who forges our DNS forges plain DNS of others too; write \
                     \"tls://ADDRESS#NAME\", or a forwarder on this machine that goes another way"
                );
                self.fault("dns.confirm", what);
            }
            if upstream.iter().any(|own| own.address == other.address) {
                self.fault(
                    "dns.confirm",
                    format!("{other} is an upstream: it would confirm itself"),
                );
            }
        }
        Dns {
            upstream,
            confirm,
            trust_anchors: self.path(raw.trust_anchors),
            timeout: self.span(raw.timeout, 5, "dns.timeout"),
            cache_entries: self.count(raw.cache_entries, 100_000, "dns.cache_entries"),
        }
    }

    fn tls(&mut self, raw: RawTls) -> Tls {
        let roots = match raw.roots.unwrap_or(Roots::System) {
            Roots::File(path) => Roots::File(self.base.join(path)),
            Roots::System => Roots::System,
        };
        Tls { roots, identity: self.identity(raw.certificate, raw.key, "tls.") }
    }

    fn delivery(&mut self, raw: RawDelivery) -> Delivery {
        let default = [30 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];
        let retry: Vec<Duration> = match raw.retry {
            Some(spans) => spans.into_iter().map(|span| span.0).collect(),
            None => default.map(Duration::from_secs).to_vec(),
        };
        if retry.is_empty() || retry.iter().any(Duration::is_zero) {
            self.fault("delivery.retry", "needs at least one pause, each longer than nothing");
        }
        let families = raw.families.unwrap_or_else(|| vec![Family::Ipv6, Family::Ipv4]);
        if families.is_empty() {
            self.fault("delivery.families", "at least one address family is needed");
        }
        let sources = raw.source_addresses.unwrap_or_default();
        let several = |v6: bool| sources.iter().filter(|ip| ip.is_ipv6() == v6).count() > 1;
        if several(true) || several(false) {
            self.fault("delivery.source_addresses", "at most one for each address family");
        }
        let port = raw.port.unwrap_or(25);
        if port == 0 {
            self.fault("delivery.port", "0 is no port");
        }
        Delivery {
            port,
            families,
            source_addresses: sources,
            concurrency: self.count(raw.concurrency, 500, "delivery.concurrency"),
            per_destination: self.count(raw.per_destination, 20, "delivery.per_destination"),
            per_host: self.count(raw.per_host, 20, "delivery.per_host"),
            pace: raw.pace.map_or(Duration::ZERO, |span| span.0),
            messages_per_session: self.count(
                raw.messages_per_session,
                100,
                "delivery.messages_per_session",
            ),
            idle: self.span(raw.idle, 5, "delivery.idle"),
            retry,
            lifetime: self.span(raw.lifetime, 5 * DAY, "delivery.lifetime"),
            hold_lifetime: self.span(raw.hold_lifetime, 48 * HOUR, "delivery.hold_lifetime"),
            delay_notice: self.span(raw.delay_notice, 4 * HOUR, "delivery.delay_notice"),
            timeouts: self.timeouts(&raw.timeouts.unwrap_or_default()),
        }
    }

    fn timeouts(&mut self, raw: &RawTimeouts) -> Timeouts {
        Timeouts {
            connect: self.span(raw.connect, 30, "delivery.timeouts.connect"),
            greeting: self.span(raw.greeting, 5 * MINUTE, "delivery.timeouts.greeting"),
            command: self.span(raw.command, 5 * MINUTE, "delivery.timeouts.command"),
            data: self.span(raw.data, 2 * MINUTE, "delivery.timeouts.data"),
            block: self.span(raw.block, 3 * MINUTE, "delivery.timeouts.block"),
            end: self.span(raw.end, 10 * MINUTE, "delivery.timeouts.end"),
        }
    }

    fn routes(&mut self, written: Vec<RawRoute>) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for (nth, raw) in written.into_iter().enumerate() {
            let at = format!("route[{nth}]");
            let (Some(domain), Some(host)) = (raw.domain, raw.host) else {
                self.fault(at, "a [[route]] needs `domain` and `host`");
                continue;
            };
            let Some(host) = self.host(&host, &at) else { continue };
            if routes.iter().any(|other| other.domain == domain) {
                self.fault(format!("{at}.domain"), format!("{domain} has two routes"));
            }
            let port = raw.port.unwrap_or(25);
            if port == 0 {
                self.fault(format!("{at}.port"), "0 is no port");
            }
            let demand = Demand { tls: raw.tls, names: raw.names, pins: raw.pins, ca: raw.ca };
            let tls = self.demand(demand, &host, &format!("{at}.tls"));
            let auth = self.auth(raw.auth_user, raw.auth_secret, (&tls, &at));
            routes.push(Route { domain, host, port, tls, auth });
        }
        routes
    }

    fn host(&mut self, text: &str, at: &str) -> Option<Peer> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Some(Peer::Literal(address));
        }
        match Domain::parse(text) {
            Ok(name) => Some(Peer::Name(name)),
            Err(error) => {
                self.fault(format!("{at}.host"), format!("{text:?} is no host: {error}"));
                None
            }
        }
    }

    fn auth(
        &mut self,
        user: Option<String>,
        secret: Option<String>,
        (tls, at): (&HostDemand, &str),
    ) -> Option<RouteAuth> {
        let user = user.filter(|user| !user.is_empty());
        let secret = self.secret(secret, &format!("{at}.auth_secret"));
        match (user, secret) {
            (Some(user), Some(secret)) => {
                match tls.tls {
                    PeerTls::Opportunistic | PeerTls::Encrypted => self.fault(
                        format!("{at}.tls"),
                        "a password is said only to a host that was authenticated or pinned",
                    ),
                    PeerTls::Authenticated | PeerTls::Pinned => {}
                }
                Some(RouteAuth { user, secret })
            }
            (None, None) => None,
            (Some(_), None) => {
                self.fault(format!("{at}.auth_user"), "its `auth_secret` is missing");
                None
            }
            (None, Some(_)) => {
                self.fault(format!("{at}.auth_secret"), "its `auth_user` is missing");
                None
            }
        }
    }

    /// An empty reference means none.
    pub(super) fn secret(&mut self, text: Option<String>, at: &str) -> Option<SecretRef> {
        let text = text.filter(|text| !text.is_empty())?;
        match text.parse() {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.fault(at, format!("{error}"));
                None
            }
        }
    }

    fn sts(&mut self, raw: RawSts) -> Sts {
        Sts {
            preload: self.path(raw.preload),
            patience: self.span(raw.patience, HOUR, "sts.patience"),
            first_policy: match raw.trust_first_policy.unwrap_or(true) {
                true => FirstPolicy::Trusted,
                false => FirstPolicy::Distrusted,
            },
        }
    }

    fn store(&mut self, raw: RawStore, data_dir: &Path) -> Store {
        let url = raw.url.unwrap_or_else(|| "sqlite:waxseal.db".to_owned());
        let path = match url.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => path,
            Some(_) | None => {
                // The value is not repeated: a database URL may carry a password.
                self.fault("store.url", "this version keeps its store in \"sqlite:FILE\"");
                "waxseal.db"
            }
        };
        let key = raw.key.unwrap_or_else(|| SecretRef::Credential("store-key".to_owned()));
        if let SecretRef::File(file) = &key
            && file.starts_with(data_dir)
        {
            self.fault("store.key", "a key inside data_dir is stolen and backed up with it");
        }
        Store { place: StorePlace::Sqlite(data_dir.join(path)), key }
    }

    fn web(&mut self, raw: RawWeb) -> Web {
        if self.site(raw.portal.as_ref(), "portal").is_some() {
            self.fault("web.portal.address", "this version has no such service");
        }
        let policy = raw.policy.and_then(|raw| {
            let site = RawSite { address: raw.address };
            let identity = self.identity(raw.certificate, raw.key, "web.policy.");
            self.site(Some(&site), "policy").map(|address| PolicySite { address, identity })
        });
        let admin = self.site(raw.admin.as_ref(), "admin");
        if admin.is_some_and(|address| !address.ip().is_loopback()) {
            self.fault("web.admin.address", "without sign-in it may listen on loopback only");
        }
        let metrics = match &raw.metrics {
            Some(RawSite { address: Some(_) }) => self.site(raw.metrics.as_ref(), "metrics"),
            Some(RawSite { address: None }) | None => Some(([127, 0, 0, 1], 9464).into()),
        };
        Web { metrics, admin, policy }
    }

    /// An empty address means no listener.
    fn site(&mut self, site: Option<&RawSite>, name: &str) -> Option<SocketAddr> {
        let text = site?.address.as_deref().filter(|text| !text.is_empty())?;
        text.parse().map_or_else(
            |_| {
                let what = format!("{text:?} is no address and port");
                self.fault(format!("web.{name}.address"), what);
                None
            },
            Some,
        )
    }

    fn author(&mut self, raw: RawAuthor, domains: &[SenderDomain]) -> Author {
        let selector = raw.dkim_selector.filter(|selector| !selector.is_empty());
        let key = self.secret(raw.dkim_key, "author.dkim_key");
        let dkim = match (selector, key) {
            (Some(selector), Some(key)) => match Domain::parse(&selector) {
                Ok(selector) => Some(Dkim { selector, key }),
                Err(error) => {
                    self.fault("author.dkim_selector", error.to_string());
                    None
                }
            },
            (None, None) => None,
            (Some(_), None) => {
                self.fault("author.dkim_selector", "its `dkim_key` is missing");
                None
            }
            (None, Some(_)) => {
                self.fault("author.dkim_key", "its `dkim_selector` is missing");
                None
            }
        };
        let from = self.mailbox(raw.from, "author.from");
        let postmaster = self.mailbox(raw.postmaster, "author.postmaster");
        let domain = postmaster.as_deref().and_then(|text| text.rsplit_once('@')).map(|at| at.1);
        let domain = domain.and_then(|domain| Domain::parse(domain).ok());
        if domain.is_some_and(|domain| domains.iter().all(|own| own.name != domain)) {
            // Our letters go the way inside, never by MX.
            let what = "its domain is no [[domain]]: notices never leave the organisation";
            self.fault("author.postmaster", what);
        }
        Author { from, postmaster, dkim }
    }

    fn mailbox(&mut self, text: Option<String>, at: &str) -> Option<String> {
        let text = text.filter(|text| !text.is_empty())?;
        let fine = text.rsplit_once('@').is_some_and(|(local, domain)| {
            let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
            !local.is_empty() && local.chars().all(atom) && Domain::parse(domain).is_ok()
        });
        if !fine {
            self.fault(at, "not a mail address");
        }
        Some(text)
    }

    fn limits(&mut self, raw: RawLimits) -> Limits {
        let message = raw.message.unwrap_or(Size(50 << 20)).0;
        if message < 65_536 {
            // RFC 5321 §4.5.3.1.7
            self.fault("limits.message", "at least 64 KiB have to be taken");
        }
        Limits {
            message,
            recipients: self.count(raw.recipients, 1_000, "limits.recipients"),
            sessions: self.count(raw.sessions, 10_000, "limits.sessions"),
            sessions_per_client: self.count(
                raw.sessions_per_client,
                100,
                "limits.sessions_per_client",
            ),
            commands: self.count(raw.commands, 10_000, "limits.commands"),
            errors: self.count(raw.errors, 20, "limits.errors"),
            hops: self.count(raw.hops, 100, "limits.hops"),
            session_idle: self.span(raw.session_idle, 5 * MINUTE, "limits.session_idle"),
            session_time: self.span(raw.session_time, 2 * HOUR, "limits.session_time"),
            queue: self.count(raw.queue, 1_000_000, "limits.queue"),
        }
    }
}
