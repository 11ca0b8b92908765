//! RRsets with their signatures, data in canonical form (RFC 4034 §6.2, §6.3).

use super::{Name, RecordType};
use crate::time::UnixTime;

/// All records of one type at one name, with the signatures over them (RFC 2181 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrSet {
    /// Where they are.
    pub owner: Name,
    /// What they are.
    pub record_type: RecordType,
    /// RDATA in canonical form, in canonical order, without duplicates; at least one.
    pub rdata: Vec<Vec<u8>>,
    /// The RRSIG records that cover the set.
    pub signatures: Vec<Signature>,
    /// When the TTL runs out. Sets read from a proof have no end of their own.
    pub expires: UnixTime,
}

impl RrSet {
    /// `example.net MX`, as reasons call it.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.owner, self.record_type)
    }
}

/// One RRSIG record (RFC 4034 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The type of the records that it covers.
    pub covered: RecordType,
    /// Number of the algorithm.
    pub algorithm: u8,
    /// Labels of the owner as it was signed: fewer than the owner has mean a wildcard (§3.1.3).
    pub labels: u8,
    /// The TTL that was signed, in seconds (§3.1.4).
    pub original_ttl: u32,
    /// Not after; seconds modulo 2^32 (§3.1.5).
    pub expiration: u32,
    /// Not before; seconds modulo 2^32 (§3.1.5).
    pub inception: u32,
    /// Which key, roughly (Appendix B).
    pub key_tag: u16,
    /// The zone that signed.
    pub signer: Name,
    /// The RDATA up to and including the signer, signer in lower case: what is signed (§3.1.8.1).
    pub(super) head: Vec<u8>,
    /// The signature itself.
    pub(super) value: Vec<u8>,
}

impl Signature {
    /// Reads RDATA without compression; `None` where it is too short.
    pub(super) fn parse(rdata: &[u8]) -> Option<Self> {
        let (fixed, rest) = rdata.split_first_chunk::<18>()?;
        let (signer, value) = Name::split_front(rest)?;
        let [c0, c1, algorithm, labels, t0, t1, t2, t3, e0, e1, e2, e3, i0, i1, i2, i3, k0, k1] =
            *fixed;
        let mut head = fixed.to_vec();
        head.extend_from_slice(signer.as_octets());
        Some(Self {
            covered: RecordType::from_int(u16::from_be_bytes([c0, c1])),
            algorithm,
            labels,
            original_ttl: u32::from_be_bytes([t0, t1, t2, t3]),
            expiration: u32::from_be_bytes([e0, e1, e2, e3]),
            inception: u32::from_be_bytes([i0, i1, i2, i3]),
            key_tag: u16::from_be_bytes([k0, k1]),
            signer,
            head,
            value: value.to_vec(),
        })
    }

    /// The RDATA again.
    pub(super) fn rdata(&self) -> Vec<u8> {
        [self.head.as_slice(), self.value.as_slice()].concat()
    }

    /// Seconds from `now` to the end of validity; negative where it is over. Serial number
    /// arithmetic (RFC 4034 §3.1.5, RFC 1982 §3.2).
    pub(super) fn seconds_left(&self, now: UnixTime) -> i32 {
        serial_distance(now, self.expiration)
    }

    /// Seconds from `now` to the beginning of validity; positive where it is still to come.
    pub(super) fn seconds_until_valid(&self, now: UnixTime) -> i32 {
        serial_distance(now, self.inception)
    }
}

fn serial_distance(now: UnixTime, then: u32) -> i32 {
    let [.., a, b, c, d] = now.0.to_be_bytes();
    then.wrapping_sub(u32::from_be_bytes([a, b, c, d])).cast_signed()
}

/// One DNSKEY record (RFC 4034 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) flags: u16,
    pub(super) protocol: u8,
    pub(super) algorithm: u8,
    pub(super) public: Vec<u8>,
    pub(super) tag: u16,
    pub(super) rdata: Vec<u8>,
}

impl Key {
    /// Reads RDATA; `None` where it is too short.
    pub(super) fn parse(rdata: &[u8]) -> Option<Self> {
        let (&[f0, f1, protocol, algorithm], public) = rdata.split_first_chunk::<4>()?;
        let flags = u16::from_be_bytes([f0, f1]);
        let (rdata, public) = (rdata.to_vec(), public.to_vec());
        Some(Self { flags, protocol, algorithm, public, tag: key_tag(&rdata), rdata })
    }

    /// Whether it may sign zone data: zone key flag (RFC 4034 §2.1.1), protocol 3 (§2.1.2), and
    /// not revoked (RFC 5011 §2.1).
    pub(super) const fn signs_zones(&self) -> bool {
        self.flags & 0x0100 != 0 && self.flags & 0x0080 == 0 && self.protocol == 3
    }
}

/// RFC 4034 Appendix B; algorithm 1 is not supported, so its own rule is not needed.
fn key_tag(rdata: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for (place, &octet) in rdata.iter().enumerate() {
        let part = if place % 2 == 0 { u32::from(octet) << 8 } else { u32::from(octet) };
        sum = sum.wrapping_add(part);
    }
    sum = sum.wrapping_add((sum >> 16) & 0xffff);
    let [.., high, low] = sum.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// One DS record (RFC 4034 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ds {
    pub(super) tag: u16,
    pub(super) algorithm: u8,
    pub(super) digest_type: u8,
    pub(super) digest: Vec<u8>,
}

impl Ds {
    /// Reads RDATA; `None` where it is too short.
    pub(super) fn parse(rdata: &[u8]) -> Option<Self> {
        let (&[t0, t1, algorithm, digest_type], digest) = rdata.split_first_chunk::<4>()?;
        let tag = u16::from_be_bytes([t0, t1]);
        Some(Self { tag, algorithm, digest_type, digest: digest.to_vec() })
    }
}
