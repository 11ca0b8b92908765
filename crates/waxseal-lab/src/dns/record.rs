//! Records as data.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Name;

/// Record type numbers (IANA registry).
pub mod rtype {
    /// RFC 1035.
    pub const A: u16 = 1;
    /// RFC 1035.
    pub const NS: u16 = 2;
    /// RFC 1035.
    pub const CNAME: u16 = 5;
    /// RFC 1035.
    pub const SOA: u16 = 6;
    /// RFC 1035.
    pub const MX: u16 = 15;
    /// RFC 1035.
    pub const TXT: u16 = 16;
    /// RFC 3596.
    pub const AAAA: u16 = 28;
    /// RFC 6672.
    pub const DNAME: u16 = 39;
    /// RFC 6891.
    pub const OPT: u16 = 41;
    /// RFC 4034 §5.
    pub const DS: u16 = 43;
    /// RFC 4034 §3.
    pub const RRSIG: u16 = 46;
    /// RFC 4034 §4.
    pub const NSEC: u16 = 47;
    /// RFC 4034 §2.
    pub const DNSKEY: u16 = 48;
    /// RFC 5155 §3.
    pub const NSEC3: u16 = 50;
    /// RFC 5155 §4.
    pub const NSEC3PARAM: u16 = 51;
    /// RFC 6698 §7.1.
    pub const TLSA: u16 = 52;
}

/// What a record says. Names are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name server: with no zone of that name in the tree, a delegation to nowhere.
    Ns(Name),
    /// An alias.
    Cname(Name),
    /// An alias for everything below (RFC 6672).
    Dname(Name),
    /// Preference and host; `.` is the null MX (RFC 7505).
    Mx(u16, Name),
    /// Character strings, each cut at 255 octets.
    Txt(Vec<String>),
    /// RFC 6698 §2.1.
    Tlsa {
        /// 3 is DANE-EE.
        usage: u8,
        /// 1 is the public key.
        selector: u8,
        /// 1 is SHA-256.
        matching: u8,
        /// Digest, certificate or key.
        data: Vec<u8>,
    },
    /// Any other type, as wire format without compression.
    Raw(u16, Vec<u8>),
}

impl Data {
    /// An MX record from text.
    pub fn mx(preference: u16, host: &str) -> Self {
        Self::Mx(preference, Name::new(host))
    }

    /// A TXT record of one string.
    pub fn txt(text: &str) -> Self {
        Self::Txt(vec![text.to_owned()])
    }

    /// The record type.
    pub const fn rtype(&self) -> u16 {
        match self {
            Self::A(_) => rtype::A,
            Self::Aaaa(_) => rtype::AAAA,
            Self::Ns(_) => rtype::NS,
            Self::Cname(_) => rtype::CNAME,
            Self::Dname(_) => rtype::DNAME,
            Self::Mx(..) => rtype::MX,
            Self::Txt(_) => rtype::TXT,
            Self::Tlsa { .. } => rtype::TLSA,
            Self::Raw(rtype, _) => *rtype,
        }
    }

    /// Canonical wire format (RFC 4034 §6.2).
    pub fn rdata(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Aaaa(address) => address.octets().to_vec(),
            Self::Ns(name) | Self::Cname(name) | Self::Dname(name) => name.wire(),
            Self::Mx(preference, host) => [preference.to_be_bytes().to_vec(), host.wire()].concat(),
            Self::Txt(strings) => {
                let mut out = Vec::new();
                for string in strings {
                    let bytes: Vec<u8> = string.bytes().take(255).collect();
                    out.push(u8::try_from(bytes.len()).unwrap_or(255));
                    out.extend(bytes);
                }
                out
            }
            Self::Tlsa { usage, selector, matching, data } => {
                [&[*usage, *selector, *matching], data.as_slice()].concat()
            }
            Self::Raw(_, rdata) => rdata.clone(),
        }
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rr {
    /// Whose record it is.
    pub owner: Name,
    /// Its type.
    pub rtype: u16,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Its value in wire format.
    pub rdata: Vec<u8>,
}

impl Rr {
    /// The type that an RRSIG covers; `None` for another record.
    pub fn covered(&self) -> Option<u16> {
        let high = *self.rdata.first()?;
        let low = *self.rdata.get(1)?;
        (self.rtype == rtype::RRSIG).then(|| u16::from_be_bytes([high, low]))
    }
}

/// The records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RrSet {
    pub(super) ttl: u32,
    pub(super) rdatas: Vec<Vec<u8>>,
}

impl RrSet {
    /// As records of `owner`, in canonical order and without duplicates (RFC 4034 §6.3).
    pub(super) fn records(&self, owner: &Name, rtype: u16) -> Vec<Rr> {
        let mut rdatas = self.rdatas.clone();
        rdatas.sort();
        rdatas.dedup();
        let rr = |rdata| Rr { owner: owner.clone(), rtype, ttl: self.ttl, rdata };
        rdatas.into_iter().map(rr).collect()
    }
}

/// The type bit maps field (RFC 4034 §4.1.2).
pub(super) fn bitmap(types: &[u16]) -> Vec<u8> {
    let mut windows: std::collections::BTreeMap<u8, [u8; 32]> = std::collections::BTreeMap::new();
    for rtype in types {
        let [window, low] = rtype.to_be_bytes();
        let bits = windows.entry(window).or_insert([0; 32]);
        if let Some(octet) = bits.get_mut(usize::from(low / 8)) {
            *octet |= 0x80 >> (low % 8);
        }
    }
    let mut out = Vec::new();
    for (window, bits) in windows {
        let used = bits.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        out.push(window);
        out.push(u8::try_from(used).unwrap_or(32));
        out.extend(bits.iter().take(used));
    }
    out
}
