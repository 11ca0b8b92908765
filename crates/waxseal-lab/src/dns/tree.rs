//! A tree of zones, keys made and ready to be asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

use super::{
    Delegation, Denial, EmptyNames, KeyLayout, Name, OptOut, Rr, Zone,
    key::{Flags, Key, base32hex, nsec3_hash},
    record::{RrSet, bitmap, rtype},
};

/// A root and the zones below it. Parents that are missing between a zone and the root are not
/// made up: list the top-level zones too.
pub struct Tree {
    pub(super) zones: BTreeMap<Name, Built>,
    pub(super) root_ds: String,
}

/// A zone with its keys and its denial chain.
pub(super) struct Built {
    pub(super) origin: Name,
    pub(super) nodes: BTreeMap<Name, BTreeMap<u16, RrSet>>,
    keys: Vec<(Flags, Key)>,
    layout: KeyLayout,
    validity: (u32, u32),
    pub(super) denial: Chain,
    empty_names: EmptyNames,
    signatures: Mutex<HashMap<(Name, u16), Vec<Rr>>>,
}

/// The records that deny.
pub(super) enum Chain {
    /// The zone is unsigned.
    None,
    /// Owners in canonical order.
    Nsec(Vec<Name>),
    /// Hashes in order, each with the types at its name.
    Nsec3 { links: Vec<(Vec<u8>, Vec<u16>)>, iterations: u16, salt: Vec<u8>, opt_out: OptOut },
}

/// Zones with their keys, by origin.
type Made = BTreeMap<Name, (Zone, Vec<(Flags, Key)>)>;

impl Tree {
    /// Makes keys, delegations and denial chains. A signed root is added where there is none.
    ///
    /// # Errors
    /// The cryptographic library refuses to make a key.
    pub fn build(mut zones: Vec<Zone>) -> Result<Self> {
        if !zones.iter().any(|zone| zone.origin.is_empty()) {
            zones.push(Zone::new(".").signed());
        }
        let mut made = Made::new();
        for mut zone in zones {
            zone.complete();
            let keys = generate(&zone)?;
            made.insert(zone.origin.clone(), (zone, keys));
        }
        delegate(&mut made);
        let (root, keys) = made.get(&Name::default()).context("a root")?;
        let digest = root.signing.as_ref().map_or(2, |signing| signing.digest);
        let root_ds = keys
            .iter()
            .filter(|(flags, _)| *flags == Flags::Sep)
            .map(|(_, key)| presentation(&key.ds(&Name::default(), digest)))
            .collect();
        let build = |(name, (zone, keys))| Ok((name, Built::new(zone, keys)?));
        let zones = made.into_iter().map(build).collect::<Result<_>>()?;
        Ok(Self { zones, root_ds })
    }

    /// The trust anchor: the DS records of the root, one a line, as in a zone file.
    pub fn root_ds(&self) -> &str {
        &self.root_ds
    }

    /// The zone that answers for `name`: for DS that is the parent (RFC 4035 §3.1.4.1).
    pub(super) fn zone_of(&self, name: &Name, rtype: u16) -> Option<&Built> {
        let start = usize::from(rtype == rtype::DS && !name.is_empty());
        (start..=name.len()).find_map(|skip| self.zones.get(&name.suffix(name.len() - skip)))
    }
}

fn presentation(ds: &[u8]) -> String {
    let (head, digest) = ds.split_at_checked(4).unwrap_or((ds, &[]));
    let [high, low, algorithm, digest_type] = head.try_into().unwrap_or([0; 4]);
    let tag = u16::from_be_bytes([high, low]);
    let hex: String = digest.iter().map(|octet| format!("{octet:02X}")).collect();
    format!(". IN DS {tag} {algorithm} {digest_type} {hex}\n")
}

fn generate(zone: &Zone) -> Result<Vec<(Flags, Key)>> {
    let mut keys = Vec::new();
    let Some(signing) = &zone.signing else { return Ok(keys) };
    for algorithm in &signing.algorithms {
        keys.push((Flags::Sep, Key::generate(*algorithm, Flags::Sep)?));
        if signing.layout == KeyLayout::Split {
            keys.push((Flags::Zone, Key::generate(*algorithm, Flags::Zone)?));
        }
    }
    Ok(keys)
}

/// Writes NS and DS of each zone into its parent.
fn delegate(made: &mut Made) {
    let mut entries = Vec::new();
    for (origin, (zone, keys)) in made.iter() {
        let mut above = origin.parent();
        while let Some(name) = &above {
            if made.contains_key(name) {
                break;
            }
            above = name.parent();
        }
        if let Some(parent) = above {
            entries.push((parent, origin.clone(), ds_records(zone, keys)));
        }
    }
    for (parent, origin, ds) in entries {
        let Some((zone, _)) = made.get_mut(&parent) else { continue };
        zone.insert(origin.clone(), rtype::NS, 300, Name::new("ns.lab.invalid").wire());
        for rdata in ds {
            zone.insert(origin.clone(), rtype::DS, 300, rdata);
        }
    }
}

fn ds_records(zone: &Zone, keys: &[(Flags, Key)]) -> Vec<Vec<u8>> {
    let digest = zone.signing.as_ref().map_or(2, |signing| signing.digest);
    let sep = keys.iter().filter(|(flags, _)| *flags == Flags::Sep);
    let matching: Vec<Vec<u8>> = sep.map(|(_, key)| key.ds(&zone.origin, digest)).collect();
    match &zone.delegation {
        Delegation::Matching => matching,
        Delegation::Insecure => Vec::new(),
        Delegation::WrongDigest => {
            let flip = |mut ds: Vec<u8>| {
                if let Some(last) = ds.last_mut() {
                    *last ^= 0xff;
                }
                ds
            };
            matching.into_iter().map(flip).collect()
        }
        Delegation::Custom(records) => records.clone(),
        Delegation::Also(records) => [matching, records.clone()].concat(),
    }
}

impl Built {
    fn new(zone: Zone, keys: Vec<(Flags, Key)>) -> Result<Self> {
        let origin = zone.origin;
        let mut nodes: BTreeMap<Name, BTreeMap<u16, RrSet>> = BTreeMap::new();
        for ((owner, rtype), set) in zone.sets {
            nodes.entry(owner).or_default().insert(rtype, set);
        }
        let apex = nodes.entry(origin.clone()).or_default();
        let signing = zone.signing.clone().unwrap_or_default();
        if zone.signing.is_some() {
            let rdatas = keys.iter().map(|(_, key)| key.dnskey().to_vec()).collect();
            apex.insert(rtype::DNSKEY, RrSet { ttl: 300, rdatas });
            if let Denial::Nsec3 { iterations, salt, .. } = &signing.denial {
                let rdata = nsec3_params(0, *iterations, salt);
                apex.insert(rtype::NSEC3PARAM, RrSet { ttl: 0, rdatas: vec![rdata] });
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let at = |offset: i64| u32::try_from(now.saturating_add_signed(offset)).unwrap_or(u32::MAX);
        let mut built = Self {
            origin,
            nodes,
            keys,
            layout: signing.layout,
            validity: (at(signing.validity.0), at(signing.validity.1)),
            denial: Chain::None,
            empty_names: zone.empty_names,
            signatures: Mutex::default(),
        };
        if zone.signing.is_some() {
            built.denial = built.chain(&signing.denial);
        }
        Ok(built)
    }

    /// Whether `name` is a delegation of this zone.
    pub(super) fn is_cut(&self, name: &Name) -> bool {
        *name != self.origin
            && self.nodes.get(name).is_some_and(|types| types.contains_key(&rtype::NS))
    }

    /// The delegation at or above `name` within this zone.
    pub(super) fn cut_above(&self, name: &Name) -> Option<Name> {
        let depth = self.origin.len() + 1..=name.len();
        depth.map(|count| name.suffix(count)).find(|above| self.is_cut(above))
    }

    /// Whether the name is there, with records or as an empty non-terminal.
    pub(super) fn exists(&self, name: &Name) -> bool {
        if self.empty_names == EmptyNames::Denied && *name != self.origin {
            return self.nodes.contains_key(name);
        }
        self.nodes.range(name.clone()..).next().is_some_and(|(next, _)| next.is_within(name))
    }

    fn types_at(&self, name: &Name, denial: u16) -> Vec<u16> {
        let mut types: Vec<u16> =
            self.nodes.get(name).map(|sets| sets.keys().copied().collect()).unwrap_or_default();
        let cut = self.is_cut(name);
        if cut {
            types.retain(|rtype| matches!(*rtype, rtype::NS | rtype::DS));
        }
        if !types.is_empty() && (!cut || types.contains(&rtype::DS)) {
            types.push(rtype::RRSIG);
        }
        if denial == rtype::NSEC {
            types.extend([rtype::NSEC, rtype::RRSIG]);
        }
        types.sort_unstable();
        types.dedup();
        types
    }

    fn chain(&self, denial: &Denial) -> Chain {
        let below_cut = |name: &&Name| self.cut_above(name).is_none_or(|cut| cut == **name);
        let owners: Vec<Name> = self.nodes.keys().filter(below_cut).cloned().collect();
        match denial {
            Denial::Nsec => Chain::Nsec(owners),
            Denial::Nsec3 { iterations, salt, opt_out } => {
                let mut names = std::collections::BTreeSet::new();
                for owner in owners {
                    let types = self.types_at(&owner, rtype::NSEC3);
                    let insecure = self.is_cut(&owner) && !types.contains(&rtype::DS);
                    if insecure && *opt_out == OptOut::Yes {
                        continue;
                    }
                    if self.empty_names == EmptyNames::Denied {
                        names.insert(owner);
                        continue;
                    }
                    // Empty non-terminals have a link too (RFC 5155 §7.1).
                    for count in self.origin.len()..=owner.len() {
                        names.insert(owner.suffix(count));
                    }
                }
                let link = |name: &Name| {
                    (nsec3_hash(name, *iterations, salt), self.types_at(name, rtype::NSEC3))
                };
                let mut links: Vec<_> = names.iter().map(link).collect();
                links.sort();
                Chain::Nsec3 {
                    links,
                    iterations: *iterations,
                    salt: salt.clone(),
                    opt_out: *opt_out,
                }
            }
        }
    }

    /// A set with its signatures; `owner` may be a name that a wildcard stands for.
    pub(super) fn signed(&self, source: &Name, owner: &Name, rtype: u16, set: &RrSet) -> Vec<Rr> {
        let mut records = set.records(owner, rtype);
        for mut rrsig in self.signatures(source, rtype, set) {
            rrsig.owner = owner.clone();
            records.push(rrsig);
        }
        records
    }

    fn signatures(&self, owner: &Name, rtype: u16, set: &RrSet) -> Vec<Rr> {
        // Delegations and glue are not ours to sign (RFC 4035 §2.2).
        if self.is_cut(owner) && !matches!(rtype, rtype::DS | rtype::NSEC) {
            return Vec::new();
        }
        let Ok(mut cache) = self.signatures.lock() else { return Vec::new() };
        let make = || {
            let signs = |flags: Flags| {
                self.layout == KeyLayout::Combined
                    || (flags == Flags::Sep) == (rtype == rtype::DNSKEY)
            };
            self.keys
                .iter()
                .filter(|(flags, _)| signs(*flags))
                .filter_map(|(_, key)| {
                    key.rrsig(&self.origin, (owner, rtype), set, self.validity).ok()
                })
                .collect()
        };
        cache.entry((owner.clone(), rtype)).or_insert_with(make).clone()
    }

    /// The NSEC at or before `name`.
    pub(super) fn nsec(&self, name: &Name) -> Vec<Rr> {
        let Chain::Nsec(owners) = &self.denial else { return Vec::new() };
        let after = owners.partition_point(|owner| owner <= name);
        let Some(owner) = after.checked_sub(1).and_then(|at| owners.get(at)) else {
            return Vec::new();
        };
        let next = owners.get(after).unwrap_or(&self.origin);
        let rdata = [next.wire(), bitmap(&self.types_at(owner, rtype::NSEC))].concat();
        self.signed(owner, owner, rtype::NSEC, &RrSet { ttl: 300, rdatas: vec![rdata] })
    }

    /// The NSEC3 whose hash matches `name`, or the one that covers it.
    pub(super) fn nsec3(&self, name: &Name) -> Vec<Rr> {
        let Chain::Nsec3 { links, iterations, salt, opt_out } = &self.denial else {
            return Vec::new();
        };
        let hash = nsec3_hash(name, *iterations, salt);
        let after = links.partition_point(|(link, _)| *link <= hash);
        let at = after.checked_sub(1).unwrap_or(links.len().saturating_sub(1));
        let (Some((link, types)), Some((next, _))) =
            (links.get(at), links.get(after % links.len().max(1)))
        else {
            return Vec::new();
        };
        let mut rdata = nsec3_params(u8::from(*opt_out == OptOut::Yes), *iterations, salt);
        rdata.push(u8::try_from(next.len()).unwrap_or(20));
        rdata.extend(next);
        rdata.extend(bitmap(types));
        let owner = self.origin.child(&base32hex(link));
        self.signed(&owner, &owner, rtype::NSEC3, &RrSet { ttl: 300, rdatas: vec![rdata] })
    }

    /// Whether the chain has a link for `name` itself.
    pub(super) fn has_nsec3(&self, name: &Name) -> bool {
        let Chain::Nsec3 { links, iterations, salt, .. } = &self.denial else { return false };
        let hash = nsec3_hash(name, *iterations, salt);
        links.iter().any(|(link, _)| *link == hash)
    }
}

fn nsec3_params(flags: u8, iterations: u16, salt: &[u8]) -> Vec<u8> {
    let mut rdata = vec![1, flags];
    rdata.extend(iterations.to_be_bytes());
    rdata.push(u8::try_from(salt.len()).unwrap_or(255));
    rdata.extend(salt);
    rdata
}
