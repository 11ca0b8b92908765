//! Denial with NSEC3 (RFC 5155 §8), within the limits of RFC 9276.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};

use super::{Denied, NoDs, Proven, Types};
use crate::{
    dns::Denial,
    dnssec::{
        Name, RecordType,
        run::{Held, Keys, Run, Stop},
    },
};

/// More iterations than this and the zone counts as unsigned where it denies (RFC 9276 §3.2).
/// Nobody needs any (§3.1); 100 is what the zones that still have some stay below.
const MOST_ITERATIONS: u16 = 100;
/// How many sets of parameters of one zone are looked at: one, or two while they change.
const MOST_PARAMETERS: usize = 3;

/// How a zone hashes its names (RFC 5155 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parameters {
    iterations: u16,
    salt: Vec<u8>,
}

/// One NSEC3 record, not validated yet.
#[derive(Clone, Debug)]
struct Nsec3 {
    place: usize,
    hash: Vec<u8>,
    next: Vec<u8>,
    opt_out: OptOut,
    types: Types,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptOut {
    No,
    Yes,
}

/// The records of a zone that were made with the same parameters.
struct Group {
    parameters: Parameters,
    records: Vec<Nsec3>,
}

/// A closest encloser proof (RFC 5155 §8.3).
struct Encloser {
    name: Name,
    at: usize,
    cover: Nsec3,
}

/// What is known of the groups that can be used.
enum Usable {
    Groups(Vec<Group>),
    TooCostly(String),
}

impl Nsec3 {
    /// Reads RDATA. Hash algorithms other than SHA-1 (1) and unknown flags make the record
    /// invisible (RFC 5155 §8.1, §8.2).
    fn parse(place: usize, owner: &Name, rdata: &[u8]) -> Option<(Parameters, Self)> {
        let (&[algorithm, flags, i0, i1, salt], rest) = rdata.split_first_chunk::<5>()?;
        if algorithm != 1 || flags & !1 != 0 {
            return None;
        }
        let (salt, rest) = rest.split_at_checked(usize::from(salt))?;
        let (&length, rest) = rest.split_first()?;
        let (next, types) = rest.split_at_checked(usize::from(length))?;
        let hash = base32hex(owner.labels().next()?)?;
        if hash.len() != 20 || next.len() != 20 {
            return None;
        }
        let iterations = u16::from_be_bytes([i0, i1]);
        let opt_out = if flags & 1 == 1 { OptOut::Yes } else { OptOut::No };
        let (types, next) = (Types::parse(types)?, next.to_vec());
        let parameters = Parameters { iterations, salt: salt.to_vec() };
        Some((parameters, Self { place, hash, next, opt_out, types }))
    }

    /// Whether a hash lies between this record's and the next; the last leads to the first.
    fn spans(&self, hash: &[u8]) -> bool {
        let (own, next) = (self.hash.as_slice(), self.next.as_slice());
        if own < next { own < hash && hash < next } else { own < hash || hash < next }
    }
}

impl Run<'_> {
    pub(super) fn has_nsec3(&self, zone: &Keys) -> bool {
        let here = |owner: &Name| owner.parent().is_some_and(|parent| parent == zone.apex);
        self.bundle.of_type(RecordType::NSEC3).any(|(_, set)| here(&set.owner))
    }

    pub(super) fn nsec3_deny(
        &mut self,
        zone: &Keys,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Denied, Stop> {
        let groups = match self.usable(zone)? {
            Usable::Groups(groups) => groups,
            Usable::TooCostly(reason) => return Ok(Denied::Insecure(reason)),
        };
        let mut result = Denied::Not(format!("no usable NSEC3 of {}", zone.apex));
        for group in &groups {
            result = self.group_deny(zone, group, (name, record_type))?;
            if !matches!(result, Denied::Not(_)) {
                break;
            }
        }
        Ok(result)
    }

    fn group_deny(
        &mut self,
        zone: &Keys,
        group: &Group,
        (name, record_type): (&Name, RecordType),
    ) -> Result<Denied, Stop> {
        if let Some(found) = self.nsec3_at(zone, group, name)? {
            return Ok(match found.types.contradicts(name, record_type) {
                Some(reason) => Denied::Not(reason),
                None => {
                    self.cite(found.place);
                    Denied::Secure(Denial::NoData)
                }
            });
        }
        let proof = match self.encloser(zone, group, name)? {
            Ok(proof) => proof,
            Err(reason) => return Ok(Denied::Not(reason)),
        };
        let opted_out = |denial: Denial| match proof.cover.opt_out {
            OptOut::No => Denied::Secure(denial),
            OptOut::Yes => Denied::Insecure(opt_out_reason(name, zone)),
        };
        let Some(wildcard) = proof.name.wildcard() else {
            self.cite_encloser(&proof);
            return Ok(opted_out(Denial::NxDomain));
        };
        if let Some(found) = self.nsec3_at(zone, group, &wildcard)? {
            return Ok(match found.types.contradicts(&wildcard, record_type) {
                Some(reason) => Denied::Not(reason),
                None => {
                    self.cite_encloser(&proof);
                    self.cite(found.place);
                    opted_out(Denial::NoData)
                }
            });
        }
        if let Some(cover) = self.nsec3_over(zone, group, &wildcard)? {
            self.cite_encloser(&proof);
            self.cite(cover.place);
            return Ok(opted_out(Denial::NxDomain));
        }
        Ok(match proof.cover.opt_out {
            // Unsigned delegations in the span may exist, with or without a wildcard (§8.6).
            OptOut::Yes => {
                self.cite_encloser(&proof);
                Denied::Insecure(opt_out_reason(name, zone))
            }
            OptOut::No => Denied::Not(format!("no NSEC3 of {} covers {wildcard}", zone.apex)),
        })
    }

    pub(super) fn nsec3_deny_ds(&mut self, zone: &Keys, name: &Name) -> Result<NoDs, Stop> {
        let groups = match self.usable(zone)? {
            Usable::Groups(groups) => groups,
            Usable::TooCostly(reason) => return Ok(NoDs::TooCostly(reason)),
        };
        let mut reason = format!("no usable NSEC3 of {}", zone.apex);
        for group in &groups {
            if let Some(found) = self.nsec3_at(zone, group, name)? {
                self.cite(found.place);
                return Ok(found.types.delegation(name));
            }
            match self.encloser(zone, group, name)? {
                Ok(proof) => {
                    self.cite_encloser(&proof);
                    return Ok(match proof.cover.opt_out {
                        OptOut::Yes => NoDs::OptOut,
                        OptOut::No => NoDs::Nothing,
                    });
                }
                Err(missing) => reason = missing,
            }
        }
        Ok(NoDs::Unproven(reason))
    }

    pub(super) fn nsec3_deny_closer(
        &mut self,
        zone: &Keys,
        owner: &Name,
        encloser: &Name,
    ) -> Result<Proven, Stop> {
        let groups = match self.usable(zone)? {
            Usable::Groups(groups) => groups,
            Usable::TooCostly(reason) => return Ok(Proven::Insecure(reason)),
        };
        // RFC 5155 §8.8
        let closer = owner.ancestor(encloser.label_count() + 1);
        for group in &groups {
            if let Some(cover) = self.nsec3_over(zone, group, &closer)? {
                self.cite(cover.place);
                return Ok(match cover.opt_out {
                    OptOut::No => Proven::Secure,
                    OptOut::Yes => Proven::Insecure(opt_out_reason(owner, zone)),
                });
            }
        }
        Ok(Proven::Not(format!("no NSEC3 of {} covers {closer}", zone.apex)))
    }

    /// The NSEC3 records at hand for a zone, by their parameters.
    fn usable(&mut self, zone: &Keys) -> Result<Usable, Stop> {
        let mut groups = BTreeMap::<Parameters, Vec<Nsec3>>::new();
        let here = |owner: &Name| owner.parent().is_some_and(|parent| parent == zone.apex);
        let mut costly = None;
        for (place, set) in self.bundle.of_type(RecordType::NSEC3) {
            if !self.in_scope(place)
                || !here(&set.owner)
                || !set.signatures.iter().any(|one| one.signer == zone.apex)
            {
                continue;
            }
            for rdata in &set.rdata {
                let Some((parameters, record)) = Nsec3::parse(place, &set.owner, rdata) else {
                    continue;
                };
                if parameters.iterations > MOST_ITERATIONS {
                    costly = costly.or(Some((place, parameters.iterations)));
                } else {
                    groups.entry(parameters).or_default().push(record);
                }
            }
        }
        // Who says that the zone is too costly has to be the zone.
        if groups.is_empty()
            && let Some((place, iterations)) = costly
            && self.held_as_is(place, &zone.apex, &zone.keys)? == Held::AsIs
        {
            self.cite(place);
            let apex = &zone.apex;
            let reason = format!(
                "{apex} uses NSEC3 with {iterations} iterations; more than {MOST_ITERATIONS} \
                 count as unsigned"
            );
            return Ok(Usable::TooCostly(reason));
        }
        let groups = groups.into_iter().take(MOST_PARAMETERS);
        let groups = groups.map(|(parameters, records)| Group { parameters, records });
        Ok(Usable::Groups(groups.collect()))
    }

    /// Finds the deepest ancestor that exists and the record that covers the name one label
    /// longer (RFC 5155 §8.3).
    fn encloser(
        &mut self,
        zone: &Keys,
        group: &Group,
        name: &Name,
    ) -> Result<Result<Encloser, String>, Stop> {
        for labels in (zone.apex.label_count()..name.label_count()).rev() {
            let ancestor = name.ancestor(labels);
            let Some(found) = self.nsec3_at(zone, group, &ancestor)? else { continue };
            if found.types.hides_below() {
                return Ok(Err(format!("the proof at {ancestor} does not reach below it")));
            }
            let closer = name.ancestor(labels + 1);
            return Ok(match self.nsec3_over(zone, group, &closer)? {
                Some(cover) => Ok(Encloser { name: ancestor, at: found.place, cover }),
                None => Err(format!("no NSEC3 of {} covers {closer}", zone.apex)),
            });
        }
        Ok(Err(format!("no NSEC3 of {} matches an ancestor of {name}", zone.apex)))
    }

    fn cite_encloser(&mut self, proof: &Encloser) {
        self.cite(proof.at);
        self.cite(proof.cover.place);
    }

    fn nsec3_at(&mut self, zone: &Keys, group: &Group, name: &Name) -> Result<Option<Nsec3>, Stop> {
        let hash = self.hash(&group.parameters, name)?;
        self.first_held(zone, group.records.iter().filter(|record| record.hash == hash))
    }

    fn nsec3_over(
        &mut self,
        zone: &Keys,
        group: &Group,
        name: &Name,
    ) -> Result<Option<Nsec3>, Stop> {
        let hash = self.hash(&group.parameters, name)?;
        self.first_held(zone, group.records.iter().filter(|record| record.spans(&hash)))
    }

    fn first_held<'r>(
        &mut self,
        zone: &Keys,
        candidates: impl Iterator<Item = &'r Nsec3>,
    ) -> Result<Option<Nsec3>, Stop> {
        for record in candidates {
            if self.held_as_is(record.place, &zone.apex, &zone.keys)? == Held::AsIs {
                return Ok(Some(record.clone()));
            }
        }
        Ok(None)
    }

    /// RFC 5155 §5
    fn hash(&mut self, parameters: &Parameters, name: &Name) -> Result<Vec<u8>, Stop> {
        let key = (name.clone(), parameters.iterations, parameters.salt.clone());
        if let Some(known) = self.hashed.get(&key) {
            return Ok(known.clone());
        }
        self.count_hashes(u32::from(parameters.iterations) + 1)?;
        let hash = hash(name, parameters.iterations, &parameters.salt);
        self.hashed.insert(key, hash.clone());
        Ok(hash)
    }
}

fn opt_out_reason(name: &Name, zone: &Keys) -> String {
    format!("{name} lies in an opt-out span of {}: it may be an unsigned delegation", zone.apex)
}

/// The hash of a name (RFC 5155 §5).
pub(in crate::dnssec) fn hash(name: &Name, iterations: u16, salt: &[u8]) -> Vec<u8> {
    let once = |octets: &[u8]| {
        let mut context = digest::Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(octets);
        context.update(salt);
        context.finish().as_ref().to_vec()
    };
    (0..iterations).fold(once(name.as_octets()), |hash, _| once(&hash))
}

/// Base32 with the extended hex alphabet, lower case, without padding (RFC 4648 §7).
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(20);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for &digit in label {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'v' => digit - b'a' + 10,
            _ => return None,
        };
        buffer = (buffer << 5 | u32::from(value)) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            let [.., octet] = (buffer >> bits).to_be_bytes();
            octets.push(octet);
        }
    }
    Some(octets)
}
