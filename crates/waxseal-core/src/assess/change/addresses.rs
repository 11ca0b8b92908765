//! What changed in where a mail host is.

use std::net::IpAddr;

use super::{Changes, Class, Kind, Was};
use crate::{dns::Answer, facts::HostFacts};

/// The most addresses that are named.
const MANY: usize = 4;

/// Other addresses than before; at `strange` ones nothing that was seen speaks for the host.
pub(super) fn compare(was: &HostFacts, is: &HostFacts, strange: &[IpAddr], out: &mut Changes) {
    let (Answer::Found { value: then, .. }, Answer::Found { value: now, .. }) =
        (&was.addresses, &is.addresses)
    else {
        return;
    };
    let fresh: Vec<_> = now.iter().filter(|ip| !then.contains(ip)).collect();
    if fresh.is_empty() && then.iter().all(|ip| now.contains(ip)) {
        return;
    }
    let known = |ip: &&IpAddr| then.iter().any(|was| network(*was) == network(**ip));
    let meaning = if is.addresses.is_secure() {
        (Class::Drift, "the new addresses are signed")
    } else if fresh.iter().all(known) {
        (Class::Drift, "in the networks of before")
    } else if fresh.iter().any(|ip| !known(ip) && strange.contains(ip)) {
        (
            Class::Weakening,
            "nothing signs them, and nothing speaks for who answers there: the host moved, or \
             somebody on the path says so",
        )
    } else {
        (Class::Drift, "nothing was seen there that contradicts what the host was")
    };
    let subject = is.host.to_string();
    out.add(Kind::Addresses, &subject, &Was(&listed(then), &listed(now)), meaning);
}

pub(super) fn listed(addresses: &[IpAddr]) -> String {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    let shown: Vec<_> = sorted.iter().take(MANY).map(ToString::to_string).collect();
    let more = sorted.len().saturating_sub(MANY);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The /24 or /48 of an address: the smallest that one operator has from a registry and announces.
fn network(ip: IpAddr) -> [u8; 7] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            [4, a, b, c, 0, 0, 0]
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, ..] = ip.octets();
            [6, a, b, c, d, e, f]
        }
    }
}
