//! In which order hosts and addresses are tried.

use std::{
    iter,
    net::{IpAddr, SocketAddr},
};

use crate::{
    dns::{Absence, Answer, Authenticity},
    facts::{Facts, HostFacts, MxFact, Refused},
    org::Families,
};

/// The most hosts that one attempt tries: an MX set without end must not keep a worker busy.
pub const MAX_HOSTS: usize = 16;

/// The most addresses of one host that one attempt tries (RFC 5321 §5.1 asks for two at least).
pub const MAX_ADDRESSES: usize = 8;

/// By preference; hosts of equal preference in an order that the seed decides, so that the load
/// spreads and a record can be decided again. Hosts at or beyond our own preference are cut off,
/// or mail would loop (RFC 5321 §5.1).
pub(super) fn hosts(hosts: &[HostFacts], seed: u64) -> impl Iterator<Item = &HostFacts> {
    let own = own_preference(hosts);
    let mut keyed: Vec<_> = hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| own.is_none_or(|own| host.preference < own))
        .map(|(index, host)| ((host.preference, shuffled(seed, index)), host))
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().take(MAX_HOSTS).map(|(_, host)| host)
}

/// Whether we ourselves are the most preferred host.
pub(super) fn loops(hosts: &[HostFacts]) -> bool {
    own_preference(hosts).is_some_and(|own| hosts.iter().all(|host| host.preference >= own))
}

/// Whether signatures say so: of the MX set, and of the address that is ours.
pub(super) fn we_are_it_for_sure(facts: &Facts) -> bool {
    let signed = |host: &HostFacts| match &host.addresses {
        Answer::Found { authenticity, .. } => *authenticity == Authenticity::Secure,
        Answer::Absent { .. } | Answer::Failed(_) => false,
    };
    let named = match &facts.mx {
        MxFact::Found { authenticity, .. } => *authenticity == Authenticity::Secure,
        // Nobody was asked.
        MxFact::Configured => true,
        MxFact::Implicit { absence, .. } => *absence == Absence::Secure,
        MxFact::Null { .. } | MxFact::NoDomain { .. } | MxFact::Failed(_) => false,
    };
    named && facts.hosts.iter().filter(|host| is_ours(host)).any(signed)
}

fn is_ours(host: &HostFacts) -> bool {
    host.refused.iter().any(|(_, why)| *why == Refused::Own)
}

fn own_preference(hosts: &[HostFacts]) -> Option<u16> {
    hosts.iter().filter(|host| is_ours(host)).map(|host| host.preference).min()
}

/// The families in turn, so that a broken one costs one time-out (RFC 8305 §4).
pub(super) fn addresses(found: &[IpAddr], port: u16, families: Families) -> Vec<SocketAddr> {
    let of = |family: fn(&IpAddr) -> bool| found.iter().filter(move |address| family(address));
    let nobody: fn(&IpAddr) -> bool = |_| false;
    let (mut first, mut second) = match families {
        Families::SixThenFour => (of(IpAddr::is_ipv6), of(IpAddr::is_ipv4)),
        Families::FourThenSix => (of(IpAddr::is_ipv4), of(IpAddr::is_ipv6)),
        Families::OnlySix => (of(IpAddr::is_ipv6), of(nobody)),
        Families::OnlyFour => (of(IpAddr::is_ipv4), of(nobody)),
    };
    let turns = iter::from_fn(|| match [first.next(), second.next()] {
        [None, None] => None,
        turn => Some(turn),
    });
    // Memory is asked for once: a plan has to be made in 2 µs.
    let mut ordered = Vec::with_capacity(found.len().min(MAX_ADDRESSES));
    let turns = turns.flatten().flatten().take(MAX_ADDRESSES);
    ordered.extend(turns.map(|address| SocketAddr::new(*address, port)));
    ordered
}

/// A pseudo-random key for one host: one step of SplitMix64.
const fn shuffled(seed: u64, index: usize) -> u64 {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
