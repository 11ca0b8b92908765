//! How a zone is signed, read from proofs that were validated: for people who look after the zone.

use std::collections::{BTreeSet, HashMap};

use super::{
    Bundle, Name, RecordType, RrSet, Signature,
    rrset::{Ds, Key},
};
use crate::time::UnixTime;

/// RSA/SHA-1, RSA/SHA-1 with NSEC3, RSA/SHA-256 and RSA/SHA-512 (RFC 8624 §3.1).
const RSA: [u8; 4] = [5, 7, 8, 10];

/// How one zone is signed, as far as its records were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSigning {
    /// The zone.
    pub apex: Name,
    /// Numbers of the algorithms that sign, ascending, each once (RFC 8624 §3.1).
    pub algorithms: Vec<u8>,
    /// The smallest RSA key that signs, in bits.
    pub smallest_rsa: Option<u32>,
    /// When the first RRset runs out of signatures.
    pub first_expiry: UnixTime,
    /// Inception of that signature (RFC 4034 §3.1.5).
    pub signed_at: UnixTime,
    /// Iterations of NSEC3 (RFC 5155 §3.1.3); `None` where no NSEC3 was seen.
    pub nsec3_iterations: Option<u16>,
    /// Digest types of the DS records at its parent (RFC 4034 §5.1.3), ascending, each once.
    pub ds_digests: Vec<u8>,
}

/// The zone that holds `name`, and how it is signed: the deepest zone that signed anything in these
/// proofs and can hold the name. The signatures are believed, so the proofs have to be those of
/// answers that were secure.
///
/// `None` where no such zone is in the proofs.
pub fn signing(name: &Name, proofs: &[&[u8]], now: UnixTime) -> Option<ZoneSigning> {
    let bundles: Vec<Bundle> =
        proofs.iter().filter_map(|proof| Bundle::from_proof(proof).ok()).collect();
    let sets: Vec<&RrSet> = bundles.iter().flat_map(Bundle::sets).collect();
    let apex = sets
        .iter()
        .flat_map(|set| &set.signatures)
        .map(|one| &one.signer)
        .filter(|signer| name.is_within(signer))
        .max_by_key(|signer| signer.label_count())?
        .clone();
    let mut algorithms = BTreeSet::new();
    let mut tags = BTreeSet::new();
    let mut ends: HashMap<(&Name, RecordType), (i32, i32)> = HashMap::new();
    for (set, signature) in signed_by(&apex, &sets) {
        algorithms.insert(signature.algorithm);
        tags.insert((signature.algorithm, signature.key_tag));
        let life = (signature.seconds_left(now), signature.seconds_until_valid(now));
        let last = ends.entry((&set.owner, set.record_type)).or_insert(life);
        // While keys are rolled a set has two signatures; the later one carries it.
        *last = (*last).max(life);
    }
    let (left, since) = ends.values().copied().min()?;
    Some(ZoneSigning {
        algorithms: algorithms.into_iter().collect(),
        smallest_rsa: smallest_rsa(&apex, &sets, &tags),
        first_expiry: shifted(now, left),
        signed_at: shifted(now, since),
        nsec3_iterations: iterations(&apex, &sets),
        ds_digests: ds_digests(&apex, &sets),
        apex,
    })
}

/// The TTL that was signed for a set (RFC 4034 §3.1.4), whatever a cache has made of it.
pub fn signed_ttl(owner: &Name, record_type: RecordType, proof: &[u8]) -> Option<u32> {
    let bundle = Bundle::from_proof(proof).ok()?;
    let mut sets = bundle.sets();
    let set = sets.find(|set| set.owner == *owner && set.record_type == record_type)?;
    set.signatures.iter().map(|one| one.original_ttl).min()
}

fn ds_digests(apex: &Name, sets: &[&RrSet]) -> Vec<u8> {
    let of = |set: &&&RrSet| set.owner == *apex && set.record_type == RecordType::DS;
    let records = sets.iter().filter(of).flat_map(|set| &set.rdata);
    let kinds: BTreeSet<u8> =
        records.filter_map(|rdata| Ds::parse(rdata)).map(|ds| ds.digest_type).collect();
    kinds.into_iter().collect()
}

fn signed_by<'a>(
    apex: &'a Name,
    sets: &'a [&'a RrSet],
) -> impl Iterator<Item = (&'a RrSet, &'a Signature)> {
    sets.iter()
        .flat_map(|set| set.signatures.iter().map(move |one| (*set, one)))
        .filter(move |(_, one)| one.signer == *apex)
}

fn smallest_rsa(apex: &Name, sets: &[&RrSet], signing: &BTreeSet<(u8, u16)>) -> Option<u32> {
    sets.iter()
        .filter(|set| set.owner == *apex && set.record_type == RecordType::DNSKEY)
        .flat_map(|set| &set.rdata)
        .filter_map(|rdata| Key::parse(rdata))
        .filter(|key| RSA.contains(&key.algorithm) && signing.contains(&(key.algorithm, key.tag)))
        .filter_map(|key| rsa_bits(&key.public))
        .min()
}

/// RFC 3110 §2: the length of the exponent in one octet, or in two after a zero; the exponent; the
/// modulus.
fn rsa_bits(public: &[u8]) -> Option<u32> {
    let (&first, rest) = public.split_first()?;
    let (length, rest) = match first {
        0 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*length), rest)
        }
        length => (u16::from(length), rest),
    };
    let modulus = rest.get(usize::from(length)..)?;
    let start = modulus.iter().position(|octet| *octet != 0)?;
    let modulus = modulus.get(start..)?;
    let octets = u32::try_from(modulus.len()).ok()?;
    Some(octets * 8 - modulus.first()?.leading_zeros())
}

fn iterations(apex: &Name, sets: &[&RrSet]) -> Option<u16> {
    signed_by(apex, sets)
        .filter(|(set, _)| matches!(set.record_type, RecordType::NSEC3 | RecordType::NSEC3PARAM))
        .filter_map(|(set, _)| match set.rdata.first()?.as_slice() {
            [_, _, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        })
        .max()
}

fn shifted(now: UnixTime, seconds: i32) -> UnixTime {
    UnixTime(now.0.saturating_add_signed(i64::from(seconds)))
}
