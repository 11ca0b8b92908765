//! The one dialler: every outgoing TCP connection of Waxseal starts here.
//!
//! Which host and which address is decided before (by a plan, a configuration); the dialler adds
//! only where the connection comes *from*. Builds with the feature `demo` can map addresses, so
//! that a small Internet on loopback stands in for the real one; other builds cannot.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use tokio::net::{TcpSocket, TcpStream};

/// Why nobody connects to an address of a family that is not wanted.
pub(crate) const FAMILY_OFF: &str = "its address family is switched off in [delivery]";

/// Where connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Source address for IPv4; the system chooses without.
    pub source_v4: Option<Ipv4Addr>,
    /// Source address for IPv6; the system chooses without.
    pub source_v6: Option<Ipv6Addr>,
    /// Which kinds of addresses are connected to.
    pub families: Families,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// `[network] map`: connections to the key go to the value.
    #[cfg(feature = "demo")]
    pub map: std::collections::HashMap<SocketAddr, SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source_v4: None,
            source_v6: None,
            families: Families::Both,
            connect_timeout: Duration::from_secs(30),
            #[cfg(feature = "demo")]
            map: std::collections::HashMap::new(),
        }
    }
}

/// Which kinds of addresses are connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// Only IPv4: for a host without IPv6, or whose IPv6 address has no PTR record.
    V4,
    /// Only IPv6.
    V6,
}

impl Families {
    /// Whether an address of this kind may be connected to.
    pub const fn allow(self, address: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// Makes connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dialler {
    settings: Arc<Settings>,
}

impl Dialler {
    /// A dialler with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// The address that connections to `to` come from, where one is configured.
    pub fn source(&self, to: SocketAddr) -> Option<IpAddr> {
        if to.is_ipv4() {
            self.settings.source_v4.map(IpAddr::V4)
        } else {
            self.settings.source_v6.map(IpAddr::V6)
        }
    }

    /// Which kinds of addresses are connected to.
    pub fn families(&self) -> Families {
        self.settings.families
    }

    /// Whether this machine has a way to an address: asked of its own routes, without a packet. What the
    /// network says to a connection may be said by anybody on the path, and must not count as "cannot be
    /// asked".
    ///
    /// # Errors
    /// It has none, in words.
    pub(crate) fn way_to(&self, to: SocketAddr) -> Result<(), String> {
        if !self.families().allow(to.ip()) {
            return Err(FAMILY_OFF.to_owned());
        }
        let to = self.target(to);
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        match UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(to)) {
            Ok(()) => Ok(()),
            Err(error) => Err(format!("no way there from this machine ({error})")),
        }
    }

    /// Connects, with `TCP_NODELAY`: SMTP sends small flights and waits for each.
    ///
    /// # Errors
    /// The address family is switched off, the source address is not ours, nobody answered in
    /// time, or whatever the network says.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        if !self.settings.families.allow(to.ip()) {
            let text = "this address family is switched off in the configuration";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let target = self.target(to);
        let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A mapped connection stays on this machine, where the configured source is no use.
        if let Some(source) = self.source(to).filter(|_| target == to) {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let connecting = socket.connect(target);
        let stream = tokio::time::timeout(self.settings.connect_timeout, connecting)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    #[cfg(feature = "demo")]
    pub(crate) fn target(&self, to: SocketAddr) -> SocketAddr {
        self.settings.map.get(&to).copied().unwrap_or(to)
    }

    #[cfg(not(feature = "demo"))]
    #[expect(clippy::unused_self, reason = "the same signature with and without the map")]
    pub(crate) fn target(&self, to: SocketAddr) -> SocketAddr {
        to
    }
}

#[cfg(test)]
mod tests;
