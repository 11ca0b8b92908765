//! Values as an administrator writes them, each parsed once and with a sentence for what is wrong.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use waxseal_core::{domain::Domain, facts::Peer};

/// What is wrong with a value, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue(String);

impl BadValue {
    /// Says so.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

fn bad<T>(text: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue(text.into()))
}

/// Serde by way of the text form.
macro_rules! by_text {
    ($kind:ty) => {
        impl TryFrom<String> for $kind {
            type Error = BadValue;

            fn try_from(text: String) -> Result<Self, BadValue> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    };
}

/// A span of time: `30s`, `5m`, `4h`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

by_text!(Span);

/// The longest span that a setting can have: a thousand years fit into no schedule.
const LONGEST: u64 = 3_650 * 86_400;

impl FromStr for Span {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits).unwrap_or_default() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return bad(format!("{text:?} is no span of time; write 30s, 5m, 4h or 2d")),
        };
        match digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)) {
            Some(seconds) if seconds <= LONGEST => Ok(Self(Duration::from_secs(seconds))),
            Some(_) => bad(format!("{text:?} is longer than 3650d")),
            None => bad(format!("{text:?} is no span of time; write 30s, 5m, 4h or 2d")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let fits = |unit: u64| seconds != 0 && seconds.is_multiple_of(unit);
        match [(86_400, 'd'), (3_600, 'h'), (60, 'm')].into_iter().find(|(unit, _)| fits(*unit)) {
            Some((unit, letter)) => write!(f, "{}{letter}", seconds / unit),
            None => write!(f, "{seconds}s"),
        }
    }
}

/// A number of octets: `512`, `64 KiB`, `50 MiB`, `2 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

by_text!(Size);

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits).unwrap_or_default() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return bad(format!("{text:?} is no size; write 64 KiB, 50 MiB or 2 GiB")),
        };
        match digits.trim_end().parse::<u64>().ok().and_then(|count| count.checked_mul(unit)) {
            Some(octets) => Ok(Self(octets)),
            None => bad(format!("{text:?} is no size; write 64 KiB, 50 MiB or 2 GiB")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |shift: u32| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| fits(*shift)) {
            Some((shift, name)) => write!(f, "{} {name}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Where a secret lies. The secret itself is never written into a configuration, so that
/// configurations can be shown, recorded and compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// `credential:NAME`: a systemd credential (`LoadCredential=`, `$CREDENTIALS_DIRECTORY`).
    Credential(String),
    /// `file:/path`: a file that only its owner can read.
    File(PathBuf),
}

by_text!(SecretRef);

impl FromStr for SecretRef {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            Some(("credential", name))
                if !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                    && !name.starts_with('.') =>
            {
                Ok(Self::Credential(name.to_owned()))
            }
            Some(("credential", _)) => {
                bad("a credential's name has only letters, digits, '-', '_' and '.'")
            }
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("file", _)) => bad("a secret's file needs an absolute path"),
            // The value is not repeated: it may be the secret itself.
            Some(_) | None => bad(
                "a secret is never written here; say where it lies: credential:NAME or file:/path",
            ),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A host and a port: `mail.example.com:25`, `192.0.2.1:25`, `[2001:db8::1]:25`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The host.
    pub peer: Peer,
    /// 25 where none was written.
    pub port: u16,
}

by_text!(Endpoint);

impl FromStr for Endpoint {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { peer: Peer::Literal(address.ip()), port: address.port() });
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self { peer: Peer::Literal(address), port: 25 });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => match port.parse::<u16>() {
                Ok(port) if port != 0 => (host, port),
                Ok(_) | Err(_) => return bad(format!("{port:?} is no port")),
            },
            None => (text, 25),
        };
        match Domain::parse(host) {
            Ok(name) => Ok(Self { peer: Peer::Name(name), port }),
            Err(error) => bad(format!("{host:?} is no host name: {error}")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Peer::Name(name) => write!(f, "{name}:{}", self.port),
            Peer::Literal(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}

/// A network (`10.0.0.0/8`) or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

by_text!(Network);

impl FromStr for Network {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        match text.parse::<IpNet>() {
            Ok(network) if network.addr() == network.network() => Ok(Self(network)),
            Ok(network) => {
                bad(format!("{text:?} has host bits set; did you mean {}?", network.trunc()))
            }
            Err(_) => bad(format!("{text:?} is no network; write 10.0.0.0/8 or 2001:db8::/32")),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a SubjectPublicKeyInfo: `sha256:` and 64 hexadecimal digits or 44 of base64 (RFC 7469 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPin(pub [u8; 32]);

by_text!(KeyPin);

impl FromStr for KeyPin {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const HOW: &str = "a pin is sha256: and the SHA-256 of the public key in hex or base64";
        let Some(digest) = text.strip_prefix("sha256:") else { return bad(HOW) };
        let octets = if digest.len() == 64 {
            let pair =
                |at: usize| digest.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
            (0..32).map(|i| pair(i * 2)).collect::<Option<Vec<u8>>>()
        } else {
            STANDARD.decode(digest).ok()
        };
        match octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok()) {
            Some(pin) => Ok(Self(pin)),
            None => bad(HOW),
        }
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Whose client certificate may relay, and from which of our domains: `mail.example.com`,
/// `sha256:...`, or `*` for every certificate of the CA; then, where it is not for all of our
/// domains, ` for example.com example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayClient {
    /// Whose certificate.
    pub who: ClientId,
    /// Only mail from these; empty: from all of our domains.
    pub domains: Vec<Domain>,
}

/// How a client certificate is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// Whatever the CA issued.
    Any,
    /// By a DNS name in it (RFC 5280 §4.2.1.6), letter by letter: no wildcards.
    Name(Domain),
    /// By its public key.
    Key(KeyPin),
}

by_text!(RelayClient);

impl FromStr for RelayClient {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const HOW: &str = "a client is the DNS name in its certificate, sha256: and the SHA-256 of its public key, or *; then perhaps: for example.com example.org";
        let (who, domains) = match text.split_once(" for ") {
            Some((who, domains)) => (who.trim(), domains),
            None if text.ends_with(" for") => return bad(HOW),
            None => (text.trim(), ""),
        };
        let who = match who {
            "*" => ClientId::Any,
            key if key.starts_with("sha256:") => ClientId::Key(key.parse()?),
            name => match Domain::parse(name) {
                Ok(name) => ClientId::Name(name),
                Err(_) => return bad(HOW),
            },
        };
        let names = domains.split([' ', ',']).filter(|name| !name.is_empty());
        let domains = names.map(Domain::parse).collect::<Result<Vec<_>, _>>();
        match domains {
            Ok(domains) if !domains.is_empty() || !text.contains(" for ") => {
                Ok(Self { who, domains })
            }
            Ok(_) | Err(_) => bad(HOW),
        }
    }
}

impl fmt::Display for RelayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            ClientId::Any => f.write_str("*"),
            ClientId::Name(name) => name.fmt(f),
            ClientId::Key(key) => key.fmt(f),
        }?;
        if !self.domains.is_empty() {
            f.write_str(" for")?;
        }
        self.domains.iter().try_for_each(|domain| write!(f, " {domain}"))
    }
}

/// What a `[[route]]` is for: one domain, one with everything below it, or all mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RouteDomain {
    /// `example.net`
    Exactly(Domain),
    /// `.example.net`: the domain and all names below it.
    Within(Domain),
    /// `*`: everything that no other route names (a smarthost).
    All,
}

by_text!(RouteDomain);

impl FromStr for RouteDomain {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "*" {
            return Ok(Self::All);
        }
        let parse = |name: &str| match Domain::parse(name) {
            Ok(domain) => Ok(domain),
            Err(error) => bad(format!("{name:?} is no domain: {error}")),
        };
        match text.strip_prefix('.') {
            Some(rest) => parse(rest).map(Self::Within),
            None => parse(text).map(Self::Exactly),
        }
    }
}

impl fmt::Display for RouteDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(domain) => domain.fmt(f),
            Self::Within(domain) => write!(f, ".{domain}"),
            Self::All => f.write_str("*"),
        }
    }
}

/// An upstream resolver: `192.0.2.53:53`, or `tls://192.0.2.53:853#dns.example`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name in its certificate: DNS over TLS (RFC 8310 §5); `None`: plain UDP and TCP.
    pub tls: Option<Domain>,
}

by_text!(Upstream);

impl FromStr for Upstream {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const HOW: &str =
            "an upstream is 192.0.2.53, 192.0.2.53:53 or tls://192.0.2.53#dns.example";
        let address = |text: &str, port: u16| {
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
            let alone = bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
            alone.or_else(|| text.parse().ok()).ok_or_else(|| BadValue(HOW.to_owned()))
        };
        let Some(rest) = text.strip_prefix("tls://") else {
            return Ok(Self { address: address(text, 53)?, tls: None });
        };
        let Some((front, name)) = rest.split_once('#') else {
            return bad(format!("{text:?} lacks the name in the certificate; {HOW}"));
        };
        match Domain::parse(name) {
            Ok(name) => Ok(Self { address: address(front, 853)?, tls: Some(name) }),
            Err(error) => bad(format!("{name:?} is no host name: {error}")),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tls {
            Some(name) => write!(f, "tls://{}#{name}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Whose certificates count as public CAs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Roots {
    /// The operating system's store.
    System,
    /// A PEM file.
    File(PathBuf),
}

by_text!(Roots);

impl FromStr for Roots {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "system" => Ok(Self::System),
            path if path.contains('/') || path.ends_with(".pem") => Ok(Self::File(path.into())),
            _ => bad(format!("{text:?} is neither \"system\" nor a PEM file")),
        }
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
