//! In which order hosts and addresses are tried.

use std::net::{IpAddr, SocketAddr};

use crate::{
    facts::{HostFacts, Refused},
    org::Families,
};

/// The most hosts that one attempt tries: an MX set without end must not keep a worker busy.
pub const MAX_HOSTS: usize = 16;

/// The most addresses of one host that one attempt tries (RFC 5321 §5.1 asks for two at least).
pub const MAX_ADDRESSES: usize = 8;

/// By preference; hosts of equal preference in an order that the seed decides, so that the load
/// spreads and a record can be decided again. Hosts at or beyond our own preference are cut off,
/// or mail would loop (RFC 5321 §5.1).
pub(super) fn hosts(hosts: &[HostFacts], seed: u64) -> Vec<&HostFacts> {
    let own = own_preference(hosts);
    let mut keyed: Vec<_> = hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| own.is_none_or(|own| host.preference < own))
        .map(|(index, host)| ((host.preference, shuffled(seed, index)), host))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().take(MAX_HOSTS).map(|(_, host)| host).collect()
}

/// Whether we ourselves are the most preferred host.
pub(super) fn loops(hosts: &[HostFacts]) -> bool {
    own_preference(hosts).is_some_and(|own| hosts.iter().all(|host| host.preference >= own))
}

fn own_preference(hosts: &[HostFacts]) -> Option<u16> {
    let ours = |host: &&HostFacts| host.refused.iter().any(|(_, why)| *why == Refused::Own);
    hosts.iter().filter(ours).map(|host| host.preference).min()
}

/// The families in turn, so that a broken one costs one time-out (RFC 8305 §4).
pub(super) fn addresses(found: &[IpAddr], port: u16, families: Families) -> Vec<SocketAddr> {
    let six = found.iter().filter(|address| address.is_ipv6());
    let four = found.iter().filter(|address| address.is_ipv4());
    let (first, second): (Vec<_>, Vec<_>) = match families {
        Families::SixThenFour => (six.collect(), four.collect()),
        Families::FourThenSix => (four.collect(), six.collect()),
        Families::OnlySix => (six.collect(), Vec::new()),
        Families::OnlyFour => (four.collect(), Vec::new()),
    };
    let turns = first.len().max(second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    (0..turns)
        .flat_map(|_| [first.next(), second.next()])
        .flatten()
        .take(MAX_ADDRESSES)
        .map(|address| SocketAddr::new(*address, port))
        .collect()
}

/// A pseudo-random key for one host: one step of SplitMix64.
const fn shuffled(seed: u64, index: usize) -> u64 {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
