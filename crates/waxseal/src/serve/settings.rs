//! From the configuration to the settings of each part.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use waxseal_core::{
    dkim::Signer,
    domain::Domain,
    envelope::Mailbox,
    org::{Families as Order, Mode, Org, Schedule},
    smtp::{client::Credentials, server},
    time::UnixTime,
};

use super::preload;
use crate::{
    author::Author,
    config::{
        self, Config, Dkim, Family, FirstPolicy, Listen, ListenKind, ListenTls, RelayProof, Roots,
        RulesMode,
    },
    deliver,
    deliver::Pace,
    dial,
    gather::{self, Own, Witness},
    listen, queue,
    resolve::{self, Resolver},
    secrets::SecretSource,
    survey::probe,
    tls,
};

/// How DNS is asked.
///
/// # Errors
/// The anchors, `/etc/resolv.conf` or the roots for DNS over TLS cannot be used.
pub fn resolver(config: &Config) -> Result<resolve::Settings, String> {
    resolve::Settings::from_config(&config.dns, &config.tls).map_err(|error| error.to_string())
}

/// How facts are gathered, with the policies that the administrator preloaded.
///
/// # Errors
/// The file of policies or the witnesses cannot be used.
pub(super) fn gathering(
    config: &Config,
    own: Own,
    now: UnixTime,
) -> Result<gather::Settings, String> {
    let preloaded = match &config.sts.preload {
        Some(path) => preload::read(path)?,
        None => BTreeMap::new(),
    };
    Ok(gather::Settings {
        port: config.delivery.port,
        own,
        preloaded,
        loaded_at: now,
        witnesses: witnesses(config)?,
        ..gather::Settings::default()
    })
}

/// Resolvers of other operators, each on its own: none answers for another.
///
/// # Errors
/// The anchors or the roots for DNS over TLS cannot be used.
fn witnesses(config: &Config) -> Result<Vec<Witness>, String> {
    let one = |other: &config::Upstream| {
        let mut alone = config.clone();
        alone.dns.upstream = vec![other.clone()];
        let settings = resolve::Settings { cache_entries: 1_000, ..resolver(&alone)? };
        Ok(Witness { name: other.to_string(), dns: Arc::new(Resolver::new(settings)) })
    };
    config.dns.confirm.iter().map(one).collect()
}

/// Whose certificates count.
pub fn roots(config: &Config) -> tls::Roots {
    match &config.tls.roots {
        Roots::System => tls::Roots::System,
        Roots::File(path) => tls::Roots::File(path.clone()),
    }
}

/// Where connections come from.
pub fn dialler(config: &Config) -> dial::Settings {
    let source = |wanted: fn(&IpAddr) -> bool| {
        config.delivery.source_addresses.iter().find(|address| wanted(address)).copied()
    };
    dial::Settings {
        source_v4: source(IpAddr::is_ipv4).and_then(|ip| match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        source_v6: source(IpAddr::is_ipv6).and_then(|ip| match ip {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        }),
        families: match order(config) {
            Order::SixThenFour | Order::FourThenSix => dial::Families::Both,
            Order::OnlySix => dial::Families::V6,
            Order::OnlyFour => dial::Families::V4,
        },
        connect_timeout: config.delivery.timeouts.connect,
        #[cfg(feature = "demo")]
        map: config.network.clone().into_iter().collect(),
    }
}

fn order(config: &Config) -> Order {
    match config.delivery.families.as_slice() {
        [Family::Ipv4] => Order::OnlyFour,
        [Family::Ipv6] => Order::OnlySix,
        [Family::Ipv4, ..] => Order::FourThenSix,
        _ => Order::SixThenFour,
    }
}

/// How mail is delivered. Passwords of smarthosts are read here.
///
/// # Errors
/// A secret that cannot be read.
pub(super) fn deliverer(config: &Config, hello: &Domain) -> Result<deliver::Settings, String> {
    let delivery = &config.delivery;
    let mut smarthosts = Vec::new();
    for (place, route) in config.routes.iter().enumerate() {
        let Some(auth) = &route.auth else { continue };
        let secret = SecretSource::from(&auth.secret).read().map_err(|error| error.to_string())?;
        let password = secret.text().map_err(|error| format!("{}: {error}", auth.secret))?;
        smarthosts.push(deliver::Smarthost {
            route: place,
            credentials: Credentials { user: auth.user.clone(), password: password.to_owned() },
        });
    }
    let pace = |at_once, interval| deliver::Pace { at_once, interval };
    let times = &delivery.timeouts;
    Ok(deliver::Settings {
        hello: hello.as_str().to_owned(),
        smarthosts,
        timeouts: deliver::Timeouts {
            greeting: times.greeting,
            handshake: times.greeting.min(Duration::from_secs(60)),
            envelope: times.command,
            data: times.data,
            block: times.block,
            final_dot: times.end,
        },
        idle: delivery.idle,
        messages_per_connection: u32::try_from(delivery.messages_per_session).unwrap_or(u32::MAX),
        per_address: pace(delivery.per_host, delivery.pace),
        // One operator stands behind several MX addresses.
        per_operator: pace(delivery.per_host.saturating_mul(3), Duration::ZERO),
        per_domain: pace(delivery.per_destination, Duration::ZERO),
        ..deliver::Settings::default()
    })
}

/// How much is sent at the same time.
pub(super) fn queue(config: &Config) -> queue::Settings {
    queue::Settings {
        per_destination: config.delivery.per_destination,
        total: config.delivery.concurrency,
        ..queue::Settings::default()
    }
}

/// What a configuration says of the organisation, on top of its rules.
pub(super) fn organise(config: &Config, org: &mut Org) {
    org.mode = match config.rules.mode {
        RulesMode::Enforce => Mode::Enforce,
        RulesMode::Monitor => Mode::Monitor,
    };
    org.trust.first_policy = match config.sts.first_policy {
        FirstPolicy::Trusted => waxseal_core::channel::TrustFirst::Yes,
        FirstPolicy::Distrusted => waxseal_core::channel::TrustFirst::No,
    };
    org.trust.sts_patience = config.sts.patience;
    org.trust.families = order(config);
    #[cfg(feature = "demo")]
    {
        org.trust.honour = config.honour;
    }
    org.schedule = Schedule {
        retry: config.delivery.retry.clone(),
        lifetime: config.delivery.lifetime,
        delay_notice: config.delivery.delay_notice,
        hold_lifetime: config.delivery.hold_lifetime,
    };
}

/// What is ours: mail that leads back here would loop.
pub(super) fn own(config: &Config) -> Own {
    let listening = config.listeners.iter().map(|listen| listen.address.ip());
    let addresses: BTreeSet<IpAddr> = listening
        .chain(config.delivery.source_addresses.iter().copied())
        .filter(|address| !address.is_unspecified())
        .chain(outward())
        // What a test bed maps elsewhere is not we, whatever this machine is called.
        .filter(|address| !config.network.keys().any(|mapped| mapped.ip() == *address))
        .collect();
    Own { names: config.hostname.iter().cloned().collect(), addresses }
}

/// The addresses that the system sends from when it is left to choose. Nothing is sent: for UDP,
/// connecting only asks the routing table.
fn outward() -> Vec<IpAddr> {
    let towards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let address = |(from, to): (&str, &str)| {
        let socket = std::net::UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
    };
    towards.into_iter().filter_map(address).collect()
}

/// Who writes our own mail.
///
/// # Errors
/// There is no `[[domain]]`, and no address was configured.
pub(super) fn author(config: &Config, hostname: &Domain) -> Result<Author, String> {
    let fallback = || {
        let first = config.domains.first().ok_or("a [[domain]] is missing")?;
        Ok::<_, String>(Mailbox { local: "postmaster".into(), domain: first.name.clone() })
    };
    let mailbox = |text: &Option<String>| match text.as_deref().and_then(|t| t.rsplit_once('@')) {
        Some((local, domain)) => {
            let domain = Domain::parse(domain).map_err(|error| error.to_string())?;
            Ok(Mailbox { local: local.to_owned(), domain })
        }
        None => fallback(),
    };
    let from = mailbox(&config.author.from)?;
    let signer = match &config.author.dkim {
        Some(dkim) => Some(Arc::new(signer(dkim, &from.domain)?)),
        None => None,
    };
    let postmaster = mailbox(&config.author.postmaster)?;
    Ok(Author { hostname: hostname.clone(), from, postmaster, signer })
}

/// The DKIM key, PEM or DER.
///
/// # Errors
/// It cannot be read, or is of a kind that DKIM does not know.
pub fn signer(dkim: &Dkim, domain: &Domain) -> Result<Signer, String> {
    let secret = SecretSource::from(&dkim.key).read().map_err(|error| error.to_string())?;
    let pem = PrivatePkcs8KeyDer::from_pem_slice(secret.bytes());
    let key = match &pem {
        Ok(key) => key.secret_pkcs8_der(),
        Err(_) => secret.bytes(),
    };
    Signer::new(domain.clone(), dkim.selector.clone(), key)
        .map_err(|error| format!("author.dkim_key ({}): {error}", dkim.key))
}

/// Octets of messages that are being read: so many at least.
const INTAKE: usize = 256 << 20;

/// How one listener behaves; certificates and passwords are read here.
///
/// # Errors
/// A file that cannot be used, in one sentence.
pub(super) fn listener(
    config: &Config,
    listen: &Listen,
    hostname: &Domain,
) -> Result<listen::Settings, String> {
    let tls = server_tls(config, listen)?;
    let passwords = match &listen.auth {
        Some(path) => {
            let read = listen::Passwords::load(path).map_err(|error| error.to_string())?;
            Some(Arc::new(read))
        }
        None => None,
    };
    let limits = &config.limits;
    let message = usize::try_from(limits.message).unwrap_or(usize::MAX);
    // Memory grows by doubling: a quarter holds the largest message.
    let intake = INTAKE.max(message.saturating_mul(8));
    let count = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let smtp = server::Settings {
        hostname: hostname.clone(),
        senders: config.domains.iter().map(|domain| domain.name.clone()).collect(),
        postmaster: Some(author(config, hostname)?.postmaster),
        starttls: match listen.tls {
            ListenTls::Required => server::StartTls::Required,
            ListenTls::Starttls => server::StartTls::Offered,
            ListenTls::Implicit | ListenTls::None => server::StartTls::NotOffered,
        },
        // The listener says what it has.
        auth: server::AuthOffer::No,
        limits: server::Limits {
            message,
            recipients: limits.recipients,
            commands: count(limits.commands),
            errors: count(limits.errors),
            hops: limits.hops,
            ..server::Limits::default()
        },
    };
    Ok(listen::Settings {
        smtp: Arc::new(smtp),
        tls,
        begin: match listen.tls {
            ListenTls::Implicit => listen::Begin::Handshake,
            ListenTls::Starttls | ListenTls::Required | ListenTls::None => listen::Begin::Greeting,
        },
        kind: match listen.kind {
            ListenKind::Inbound => listen::Kind::Inbound,
            ListenKind::Relay => listen::Kind::Relay,
            ListenKind::Submission => listen::Kind::Submission,
        },
        relay_from: listen.relay_from.clone(),
        proof: match listen.proof {
            RelayProof::None => listen::Proof::Address,
            RelayProof::Dkim => listen::Proof::Dkim,
            RelayProof::ClientCert => listen::Proof::ClientCert,
            RelayProof::Auth => listen::Proof::Auth,
        },
        passwords,
        times: listen::Times {
            command: limits.session_idle,
            session: limits.session_time,
            ..listen::Times::default()
        },
        sessions: limits.sessions,
        sessions_per_client: limits.sessions_per_client,
        intake,
        intake_per_client: match listen.kind {
            // Strangers: one of them leaves room for others.
            ListenKind::Inbound => intake / 4,
            ListenKind::Relay | ListenKind::Submission => intake,
        },
    })
}

/// The certificate of `[tls]` has to be usable, also where no listener shows it yet.
///
/// # Errors
/// Which file, and why.
pub(super) fn certificate(config: &Config) -> Result<(), String> {
    match &config.tls.identity {
        Some(identity) => {
            let files = listen::TlsFiles {
                certificate: identity.certificate.clone(),
                key: identity.key.clone(),
                client_ca: None,
                clients: Vec::new(),
            };
            listen::ServerTls::load(&files).map(|_| ()).map_err(|error| error.to_string())
        }
        None => Ok(()),
    }
}

fn server_tls(config: &Config, listen: &Listen) -> Result<Option<listen::ServerTls>, String> {
    match listen.tls {
        ListenTls::None => return Ok(None),
        ListenTls::Starttls | ListenTls::Required | ListenTls::Implicit => {}
    }
    let Some(identity) = listen.identity.as_ref().or(config.tls.identity.as_ref()) else {
        return Err(format!(
            "the listener {} has no certificate: name one in [tls], or in its [[listen]]",
            listen.address
        ));
    };
    let files = listen::TlsFiles {
        certificate: identity.certificate.clone(),
        key: identity.key.clone(),
        client_ca: listen.client_ca.clone(),
        clients: listen.clients.clone(),
    };
    listen::ServerTls::load(&files).map(Some).map_err(|error| error.to_string())
}

/// How mail hosts are probed.
pub(super) fn probing(config: &Config, hostname: &Domain) -> probe::Settings {
    let wanted = config.checks.probing;
    probe::Settings {
        connection: wanted.timeout,
        address: wanted.host_timeout,
        pace: probing_pace(config),
        ..probe::Settings::new(hostname.as_str())
    }
}

/// The pace of a polite stranger.
pub(crate) fn probing_pace(config: &Config) -> Pace {
    Pace { at_once: 1, interval: config.checks.probing.interval() }
}
