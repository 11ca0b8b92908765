//! Records with a meaning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use waxseal_core::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure, Proof},
    dnssec::Name,
    domain::Domain,
    time::UnixTime,
};

use super::{
    Exchange, Lookup, Mx, Record,
    merged::{Chain, Merged},
};

impl Lookup<Vec<Record>> {
    /// The same with each record read; records that cannot be read are left out, and where none
    /// is left, that is a failure and not an absence.
    pub(super) fn read<T>(self, read: impl Fn(&[u8]) -> Option<T>) -> Lookup<Vec<T>> {
        let (name, record_type) = (self.name.clone(), self.record_type);
        let mut lookup =
            self.map(|records| records.iter().filter_map(|one| read(&one.rdata)).collect());
        let nothing = matches!(&lookup.answer, Answer::Found { value, .. } if Vec::is_empty(value));
        if nothing {
            let detail = format!("no record of {name} {record_type} can be read");
            lookup.because.clone_from(&detail);
            let kind = FailureKind::Malformed;
            lookup.answer = Answer::Failed(LookupFailure { name, kind, detail });
        }
        lookup
    }
}

/// RFC 1035 §3.3.9
pub(crate) fn mx(rdata: &[u8]) -> Option<Mx> {
    let (preference, host) = rdata.split_first_chunk::<2>()?;
    let host = Name::from_octets(host)?;
    let exchange = if host.is_root() {
        Exchange::Null
    } else {
        match host.to_domain() {
            Some(host) => Exchange::Host(host),
            None => Exchange::Invalid(host.to_string()),
        }
    };
    Some(Mx { preference: u16::from_be_bytes(*preference), exchange })
}

/// A record that is a host name: NS (RFC 1035 §3.3.11).
pub(super) fn host(rdata: &[u8]) -> Option<Domain> {
    Name::from_octets(rdata)?.to_domain()
}

pub(super) fn a(rdata: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).into())
}

pub(super) fn aaaa(rdata: &[u8]) -> Option<IpAddr> {
    <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// All character strings of a record, joined (RFC 1035 §3.3.14).
pub(super) fn txt(rdata: &[u8]) -> Option<Vec<u8>> {
    let (mut joined, mut rest) = (Vec::new(), rdata);
    while let Some((&length, after)) = rest.split_first() {
        let (string, after) = after.split_at_checked(usize::from(length))?;
        joined.extend_from_slice(string);
        rest = after;
    }
    Some(joined)
}

/// RFC 6698 §2.1
pub(super) fn tlsa(rdata: &[u8]) -> Option<Tlsa> {
    let (&[usage, selector, matching], data) = rdata.split_first_chunk::<3>()?;
    Some(Tlsa { usage, selector, matching, data: data.to_vec() })
}

/// IPv4 and IPv6 as one answer. A family that failed is left out where the other has addresses;
/// where it has none, the failure counts: the missing half might have been the answer.
pub(super) fn join(
    v4: Lookup<Vec<IpAddr>>,
    v6: Lookup<Vec<IpAddr>>,
    merged: &Merged,
) -> Lookup<Vec<IpAddr>> {
    match (&v4.answer, &v6.answer) {
        (Answer::Found { .. }, Answer::Failed(failure)) => {
            let because = format!("{}; AAAA is left out: {}", v4.because, failure.detail);
            Lookup { because, ..v4 }
        }
        (Answer::Failed(failure), Answer::Found { .. }) => {
            let because = format!("{}; A is left out: {}", v6.because, failure.detail);
            Lookup { because, ..v6 }
        }
        (Answer::Failed(_), Answer::Failed(_) | Answer::Absent { .. }) => v4,
        (Answer::Absent { .. }, Answer::Failed(_)) => v6,
        (
            Answer::Found { .. } | Answer::Absent { .. },
            Answer::Found { .. } | Answer::Absent { .. },
        ) => join_answers(v4, v6, merged),
    }
}

fn join_answers(
    v4: Lookup<Vec<IpAddr>>,
    v6: Lookup<Vec<IpAddr>>,
    merged: &Merged,
) -> Lookup<Vec<IpAddr>> {
    let both = match (chain(&v4), chain(&v6)) {
        (Some(one), Some(two)) => merged.of(&one, &two),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    };
    let (chain, bytes) = both.unzip();
    // What there is decides: that the other family is denied without a signature hides no address
    // that we would use (RFC 7672 §2.2.2 speaks of the address records).
    let found = |lookup: &Lookup<_>| matches!(lookup.answer, Answer::Found { .. });
    let decisive = match (found(&v4), found(&v6)) {
        (true, false) => &v4,
        (false, true) => &v6,
        // Both or none: the weaker one.
        _ if v4.proof == Some(Proof::Secure) => &v6,
        _ => &v4,
    };
    let (proof, because) = (decisive.proof, decisive.because.clone());
    let authenticity = authenticity(&decisive.answer);
    let (first, second) = (parts(&v4.answer), parts(&v6.answer));
    let expires = first.expires.min(second.expires);
    let mut value = first.addresses;
    value.extend(second.addresses);
    let answer = if value.is_empty() {
        let denial = match (first.denial, second.denial) {
            (Denial::NxDomain, Denial::NxDomain) => Denial::NxDomain,
            (Denial::NoData, _) | (_, Denial::NoData) => Denial::NoData,
        };
        let absence = match authenticity {
            Authenticity::Secure => Absence::Secure,
            Authenticity::Insecure => Absence::Unconfirmed,
        };
        Answer::Absent { denial, absence, expires, chain }
    } else {
        Answer::Found { value, authenticity, expires, chain }
    };
    // Both follow the same aliases; the one with records has gone all the way.
    let leader = if matches!(v4.answer, Answer::Found { .. }) { v4 } else { v6 };
    Lookup { answer, proof, because, chain: bytes, ..leader }
}

/// The proof of a lookup, with its name.
fn chain<T>(lookup: &Lookup<T>) -> Option<Chain> {
    let id = match &lookup.answer {
        Answer::Found { chain, .. } | Answer::Absent { chain, .. } => *chain,
        Answer::Failed(_) => None,
    };
    id.zip(lookup.chain.clone())
}

/// A failure vouches for nothing.
const fn authenticity(answer: &Answer<Vec<IpAddr>>) -> Authenticity {
    match answer {
        Answer::Found { authenticity, .. } => *authenticity,
        Answer::Absent { absence: Absence::Secure, .. } => Authenticity::Secure,
        Answer::Absent { absence: Absence::Agreed | Absence::Unconfirmed, .. }
        | Answer::Failed(_) => Authenticity::Insecure,
    }
}

struct Parts {
    addresses: Vec<IpAddr>,
    denial: Denial,
    expires: UnixTime,
}

fn parts(answer: &Answer<Vec<IpAddr>>) -> Parts {
    let (addresses, denial, expires) = match answer {
        Answer::Found { value, expires, .. } => (value.clone(), Denial::NoData, *expires),
        Answer::Absent { denial, expires, .. } => (Vec::new(), *denial, *expires),
        Answer::Failed(_) => (Vec::new(), Denial::NoData, UnixTime(0)),
    };
    Parts { addresses, denial, expires }
}
