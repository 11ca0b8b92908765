//! Addresses that DNS must not talk us into connecting to (DESIGN §5).

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use waxseal_core::{
    domain::Domain,
    facts::{HostFacts, Peer, Refused},
};

/// Names and addresses under which we receive mail ourselves: to send there would be a loop
/// (RFC 5321 §5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Our host names.
    pub names: BTreeSet<Domain>,
    /// Our addresses.
    pub addresses: BTreeSet<IpAddr>,
}

/// Whether whoever asks about a domain may come to ourselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ourselves {
    /// Not with mail: it would be a loop.
    #[default]
    Refused,
    /// To look at a domain of ours, which sends none. Where we are seen at an address inside, nobody knows
    /// what others see.
    LookedAt,
}

impl Own {
    /// Whether it is we who take mail there.
    pub fn is(&self, host: &HostFacts) -> bool {
        let is_named = match &host.host {
            Peer::Name(name) => self.names.contains(name),
            Peer::Literal(_) => false,
        };
        let own = |address: &IpAddr| self.refuses(*address) == Some(Refused::Own);
        is_named
            || host.refused.iter().any(|(_, why)| *why == Refused::Own)
            || host.addresses.value().is_some_and(|found| found.iter().any(own))
    }

    /// Why an address from DNS is not connected to; `None` for a good one.
    pub fn refuses(&self, address: IpAddr) -> Option<Refused> {
        let inner = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => inner(address).map(IpAddr::V4),
        };
        let ours = |address| self.addresses.contains(&address);
        match ours(address) || inner.is_some_and(ours) {
            true => Some(Refused::Own),
            false => hostile(address),
        }
    }
}

/// Why an address is none of the public Internet's; `None` where it may be. Documentation
/// addresses (RFC 5737, RFC 3849) lead nowhere, and the lab lives there.
pub fn hostile(address: IpAddr) -> Option<Refused> {
    match address {
        IpAddr::V4(address) => hostile_v4(address),
        IpAddr::V6(address) => hostile_v6(address),
    }
}

fn hostile_v4(address: Ipv4Addr) -> Option<Refused> {
    let [a, b, c, _] = address.octets();
    // RFC 6890: this network, loopback, link-local, multicast, reserved and broadcast.
    if a == 0 || a >= 224 || address.is_loopback() || address.is_link_local() {
        return Some(Refused::Special);
    }
    // RFC 6890: protocol assignments, such as the far end of a tunnel, and benchmarks.
    if (a, b, c) == (192, 0, 0) || (a, b & 0xfe) == (198, 18) {
        return Some(Refused::Special);
    }
    // RFC 1918, RFC 6598.
    (address.is_private() || (a == 100 && (64..128).contains(&b))).then_some(Refused::Private)
}

fn hostile_v6(address: Ipv6Addr) -> Option<Refused> {
    // An IPv4 address in disguise (RFC 4291 §2.5.5) has no place in an AAAA record.
    let [a, ..] = address.segments();
    if address.to_ipv4().is_some() || address.is_loopback() || address.is_unspecified() {
        return Some(Refused::Special);
    }
    if address.is_multicast() || address.is_unicast_link_local() {
        return Some(Refused::Special);
    }
    if let Some(inner) = inner(address) {
        return hostile_v4(inner);
    }
    // RFC 8215: NAT64 within a network, whose way of translating only that network knows.
    if let [0x0064, 0xff9b, 1, ..] = address.segments() {
        return Some(Refused::Private);
    }
    // RFC 4193, and the site-local addresses before it (RFC 3879).
    (address.is_unique_local() || a & 0xffc0 == 0xfec0).then_some(Refused::Private)
}

/// NAT64 and 6to4 lead to the IPv4 address in them (RFC 6052 §2.1, RFC 3056 §2).
const fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, p, q, r, s]
        | [0x20, 0x02, p, q, r, s, ..] => Some(Ipv4Addr::new(p, q, r, s)),
        _ => None,
    }
}
