//! What receivers will hold against us: looked at once at the start, and only said. Mail is sent
//! all the same.

use std::net::IpAddr;

use waxseal_core::{dns::Answer, dnssec::RecordType, domain::Domain};

use super::parts::Parts;
use crate::gather::Own;

/// One warning for each thing that receivers will not like.
pub(super) async fn look(parts: &Parts, own: &Own) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(own_name(parts, own).await);
    for address in &own.addresses {
        warnings.extend(pointer(parts, *address).await);
    }
    for domain in &parts.config.domains {
        warnings.extend(spf(parts, &domain.name).await);
    }
    warnings
}

/// EHLO: our name should resolve, and to an address that we send from (RFC 5321 §2.3.5).
async fn own_name(parts: &Parts, own: &Own) -> Option<String> {
    let name = &parts.hostname;
    match parts.resolver.addresses(name).await.answer {
        Answer::Found { value, .. } => {
            let ours = value.iter().any(|address| own.addresses.contains(address));
            (!ours).then(|| {
                format!(
                    "{name} (our name in EHLO) does not resolve to an address that we send from"
                )
            })
        }
        Answer::Absent { .. } => Some(format!("{name} (our name in EHLO) has no address record")),
        Answer::Failed(failure) => Some(format!("{name} could not be looked up: {failure}")),
    }
}

/// PTR: large receivers refuse mail from addresses without one.
async fn pointer(parts: &Parts, address: IpAddr) -> Option<String> {
    if crate::gather::hostile(address).is_some() {
        return Some(format!(
            "{address} is not a public address: the PTR record is that of whatever translates it"
        ));
    }
    let name = reverse(address)?;
    let found = parts.resolver.lookup(&name, RecordType::PTR).await;
    match found.answer {
        Answer::Found { .. } => None,
        Answer::Absent { .. } => Some(format!("{address} has no PTR record")),
        Answer::Failed(failure) => Some(format!("the PTR record of {address}: {failure}")),
    }
}

/// `1.2.0.192.in-addr.arpa`, or the nibbles below `ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5).
pub(super) fn reverse(address: IpAddr) -> Option<Domain> {
    let name = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let mut nibbles: Vec<String> = Vec::with_capacity(32);
            for octet in v6.octets() {
                nibbles.push(format!("{:x}", octet >> 4));
                nibbles.push(format!("{:x}", octet & 15));
            }
            nibbles.reverse();
            format!("{}.ip6.arpa", nibbles.join("."))
        }
    };
    Domain::parse(&name).ok()
}

/// SPF: without a record, or with several (RFC 7208 §4.5), our mail looks forged.
async fn spf(parts: &Parts, domain: &Domain) -> Option<String> {
    let texts = match parts.resolver.txt(domain).await.answer {
        Answer::Found { value, .. } => value,
        Answer::Absent { .. } => return Some(format!("{domain} has no SPF record")),
        Answer::Failed(failure) => return Some(format!("the SPF record of {domain}: {failure}")),
    };
    let spf = |text: &&Vec<u8>| {
        text.eq_ignore_ascii_case(b"v=spf1")
            || text.get(..7).is_some_and(|front| front.eq_ignore_ascii_case(b"v=spf1 "))
    };
    match texts.iter().filter(spf).count() {
        0 => Some(format!("{domain} has no SPF record")),
        1 => None,
        count => Some(format!("{domain} has {count} SPF records: none of them counts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_about_backwards() {
        let name = |text: &str| reverse(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let v6 = name("2001:db8::1");
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }
}
