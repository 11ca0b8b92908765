//! Zones for tests, signed with real keys, and the answers that an honest server gives.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, digest},
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    },
};

use super::super::{Name, Question, RecordType, denial::hash, rrset::Key as PublicKey};

/// 2026-11-22.
pub(super) const NOW: u64 = 1_795_305_600;
pub(super) const DAY: u64 = 86_400;

/// A name from text; labels may be `*`.
pub(super) fn name(text: &str) -> Name {
    let labels: Vec<&str> = text.split('.').filter(|label| !label.is_empty()).collect();
    labels.iter().rev().fold(Name::root(), |name, label| name.child(label.as_bytes()).unwrap())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rr {
    pub(super) owner: Name,
    pub(super) record_type: RecordType,
    pub(super) ttl: u32,
    pub(super) rdata: Vec<u8>,
}

impl Rr {
    pub(super) fn new(owner: Name, record_type: RecordType, rdata: Vec<u8>) -> Self {
        Self { owner, record_type, ttl: 300, rdata }
    }

    pub(super) fn a(owner: Name, address: [u8; 4]) -> Self {
        Self::new(owner, RecordType::A, address.to_vec())
    }

    pub(super) fn cname(owner: Name, target: &str) -> Self {
        Self::new(owner, RecordType::CNAME, name(target).as_octets().to_vec())
    }

    /// The type that an RRSIG covers.
    pub(super) fn covered(&self) -> Option<RecordType> {
        (self.record_type == RecordType::RRSIG)
            .then(|| RecordType::from_int(u16::from_be_bytes([self.rdata[0], self.rdata[1]])))
    }

    /// Whether it is NSEC or NSEC3, or the signature of one.
    pub(super) fn denies(&self) -> bool {
        let kind = self.covered().unwrap_or(self.record_type);
        kind == RecordType::NSEC || kind == RecordType::NSEC3
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Unsigned,
    Nsec,
    Nsec3 {
        iterations: u16,
        opt_out: bool,
    },
    /// NSEC, with this algorithm and DS digest type.
    Algorithm {
        number: u8,
        digest: u8,
    },
    /// NSEC, with a key that has these fields.
    Key {
        flags: u16,
        protocol: u8,
    },
    /// NSEC, many keys with one tag, and no signature that holds but that of the keys.
    Trap,
}

type Sets = BTreeMap<Name, BTreeMap<RecordType, Vec<Vec<u8>>>>;

pub(super) struct Zone {
    apex: Name,
    kind: Kind,
    sets: Sets,
}

impl Zone {
    pub(super) fn new(apex: &str, kind: Kind) -> Self {
        let mut zone = Self { apex: name(apex), kind, sets: Sets::new() };
        let server = name("ns.invalid").as_octets().to_vec();
        let mut soa = [server.as_slice(), server.as_slice()].concat();
        soa.extend([1_u32, 1, 1, 1, 300].iter().flat_map(|number| number.to_be_bytes()));
        zone.put(zone.apex.clone(), RecordType::SOA, soa);
        zone.put(zone.apex.clone(), RecordType::NS, server);
        zone
    }

    fn put(&mut self, owner: Name, record_type: RecordType, rdata: Vec<u8>) {
        self.sets.entry(owner).or_default().entry(record_type).or_default().push(rdata);
    }

    fn with(mut self, front: &str, record_type: RecordType, rdata: Vec<u8>) -> Self {
        let labels: Vec<&str> = front.split('.').collect();
        let below = |at: Name, label: &&str| at.child(label.as_bytes()).unwrap();
        let owner = labels.iter().rev().fold(self.apex.clone(), below);
        self.put(owner, record_type, rdata);
        self
    }

    pub(super) fn a(self, front: &str) -> Self {
        self.with(front, RecordType::A, vec![192, 0, 2, 1])
    }

    pub(super) fn cname(self, front: &str, target: &str) -> Self {
        self.with(front, RecordType::CNAME, name(target).as_octets().to_vec())
    }

    pub(super) fn dname(self, front: &str, target: &str) -> Self {
        self.with(front, RecordType::DNAME, name(target).as_octets().to_vec())
    }
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair, u8),
}

struct Signer {
    pair: Pair,
    dnskey: Vec<u8>,
}

impl Signer {
    fn new(kind: Kind) -> Self {
        let (flags, protocol, number) = match kind {
            Kind::Algorithm { number, .. } => (257, 3, number),
            Kind::Key { flags, protocol } => (flags, protocol, 13),
            Kind::Unsigned | Kind::Nsec | Kind::Nsec3 { .. } | Kind::Trap => (257, 3, 13),
        };
        let (pair, public) = match number {
            8 | 10 => {
                let pair = RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
                let der = AsDer::as_der(pair.public_key()).unwrap();
                let end = der.as_ref().len() - 5;
                let public = [&[3, 1, 0, 1], &der.as_ref()[end - 256..end]].concat();
                (Pair::Rsa(pair, number), public)
            }
            14 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
                let public = pair.public_key().as_ref()[1..].to_vec();
                (Pair::Ec(pair), public)
            }
            15 => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let public = pair.public_key().as_ref().to_vec();
                (Pair::Ed(pair), public)
            }
            _ => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let public = pair.public_key().as_ref()[1..].to_vec();
                (Pair::Ec(pair), public)
            }
        };
        let mut dnskey = u16::to_be_bytes(flags).to_vec();
        dnskey.extend([protocol, number]);
        dnskey.extend(public);
        Self { pair, dnskey }
    }

    fn sign(&self, octets: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, octets).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(octets).as_ref().to_vec(),
            Pair::Rsa(pair, number) => {
                let padding = if *number == 8 { &RSA_PKCS1_SHA256 } else { &RSA_PKCS1_SHA512 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, octets, &mut signature).unwrap();
                signature
            }
        }
    }

    fn tag(&self) -> u16 {
        PublicKey::parse(&self.dnskey).unwrap().tag
    }

    fn ds(&self, apex: &Name, digest_type: u8) -> Vec<u8> {
        let octets = [apex.as_octets(), self.dnskey.as_slice()].concat();
        let value = match digest_type {
            1 => digest(&SHA1_FOR_LEGACY_USE_ONLY, &octets).as_ref().to_vec(),
            2 => digest(&SHA256, &octets).as_ref().to_vec(),
            4 => digest(&SHA384, &octets).as_ref().to_vec(),
            _ => vec![0x5a; 20],
        };
        [&self.tag().to_be_bytes(), &[self.dnskey[3], digest_type], value.as_slice()].concat()
    }
}

/// A root and zones below it, served by nobody: questions are answered by a function.
pub(super) struct World {
    zones: BTreeMap<Name, (Zone, Signer)>,
}

impl World {
    pub(super) fn new(zones: Vec<Zone>) -> Self {
        let mut all = BTreeMap::new();
        for zone in zones.into_iter().chain([Zone::new("", Kind::Nsec)]) {
            let signer = Signer::new(zone.kind);
            all.insert(zone.apex.clone(), (zone, signer));
        }
        let mut world = Self { zones: all };
        let apexes: Vec<Name> =
            world.zones.keys().filter(|apex| !apex.is_root()).cloned().collect();
        for apex in apexes {
            let (zone, signer) = &world.zones[&apex];
            let ds = match zone.kind {
                Kind::Unsigned => None,
                Kind::Algorithm { digest, .. } => Some(signer.ds(&apex, digest)),
                Kind::Nsec | Kind::Nsec3 { .. } | Kind::Key { .. } | Kind::Trap => {
                    Some(signer.ds(&apex, 2))
                }
            };
            let above = world.apex_of(&apex.parent().unwrap());
            let (parent, _) = world.zones.get_mut(&above).unwrap();
            parent.put(apex.clone(), RecordType::NS, name("ns.invalid").as_octets().to_vec());
            if let Some(ds) = ds {
                parent.put(apex.clone(), RecordType::DS, ds);
            }
        }
        for (zone, signer) in world.zones.values_mut() {
            let apex = zone.apex.clone();
            if !matches!(zone.kind, Kind::Unsigned) {
                zone.put(apex.clone(), RecordType::DNSKEY, signer.dnskey.clone());
            }
            if matches!(zone.kind, Kind::Trap) {
                for twin in twins(&signer.dnskey) {
                    zone.put(apex.clone(), RecordType::DNSKEY, twin);
                }
            }
        }
        world
    }

    pub(super) fn anchor(&self) -> String {
        self.anchor_of("")
    }

    pub(super) fn anchor_of(&self, zone: &str) -> String {
        let apex = name(zone);
        let ds = self.zones[&apex].1.ds(&apex, 2);
        let hex: String = ds[4..].iter().map(|octet| format!("{octet:02x}")).collect();
        let tag = u16::from_be_bytes([ds[0], ds[1]]);
        format!("{apex} IN DS {tag} {} {} {hex}\n", ds[2], ds[3])
    }

    fn apex_of(&self, at: &Name) -> Name {
        (0..=at.label_count())
            .rev()
            .map(|labels| at.ancestor(labels))
            .find(|apex| self.zones.contains_key(apex))
            .unwrap()
    }

    /// A record with its signature by a zone.
    pub(super) fn sign(&self, zone: &str, rr: Rr) -> Vec<Rr> {
        self.sign_as(zone, zone, rr)
    }

    /// A record signed with the key of one zone in the name of another.
    pub(super) fn sign_as(&self, zone: &str, signer: &str, rr: Rr) -> Vec<Rr> {
        let key = &self.zones[&name(zone)].1;
        let rrsig = rrsig(key, &name(signer), &rr.owner, std::slice::from_ref(&rr));
        vec![rr, rrsig]
    }

    /// The NSEC of a zone at a name, with its signature.
    pub(super) fn nsec(&self, zone: &str, at: &str) -> Vec<Rr> {
        self.zones[&name(zone)].0.nsec(&self.zones[&name(zone)].1, &name(at))
    }

    pub(super) fn answer(&self, question: &Question) -> (u8, Vec<Rr>) {
        let mut records = Vec::new();
        let mut at = question.name.clone();
        for _ in 0..16 {
            let from = match question.record_type {
                RecordType::DS => at.parent().unwrap_or_else(Name::root),
                _ => at.clone(),
            };
            let (zone, signer) = &self.zones[&self.apex_of(&from)];
            match zone.step(signer, &at, question.record_type, &mut records) {
                Step::Rcode(rcode) => return (rcode, records),
                Step::Alias(to) => at = to,
            }
        }
        (0, records)
    }
}

enum Step {
    Rcode(u8),
    Alias(Name),
}

impl Zone {
    fn step(
        &self,
        signer: &Signer,
        at: &Name,
        record_type: RecordType,
        records: &mut Vec<Rr>,
    ) -> Step {
        for labels in self.apex.label_count()..at.label_count() {
            let above = at.ancestor(labels);
            let target = self.sets.get(&above).and_then(|sets| sets.get(&RecordType::DNAME));
            if let Some(target) = target {
                let to = at.redirect(&above, &Name::from_octets(&target[0]).unwrap()).unwrap();
                records.extend(self.signed(signer, &above, &above, RecordType::DNAME));
                records.push(Rr::new(at.clone(), RecordType::CNAME, to.as_octets().to_vec()));
                return Step::Alias(to);
            }
        }
        if self.exists(at) {
            return self.found(signer, (at, at), record_type, records);
        }
        let encloser = self.encloser(at);
        let closer = at.ancestor(encloser.label_count() + 1);
        let wildcard = encloser.child(b"*").unwrap();
        if self.sets.contains_key(&wildcard) {
            let step = self.found(signer, (&wildcard, at), record_type, records);
            match self.kind {
                Kind::Nsec3 { .. } => {
                    records.extend(self.nsec3(signer, &encloser));
                    records.extend(self.nsec3(signer, &closer));
                }
                Kind::Unsigned
                | Kind::Nsec
                | Kind::Algorithm { .. }
                | Kind::Key { .. }
                | Kind::Trap => records.extend(self.nsec(signer, at)),
            }
            return step;
        }
        match self.kind {
            Kind::Nsec3 { .. } => {
                for proof in [&encloser, &closer, &wildcard] {
                    records.extend(self.nsec3(signer, proof));
                }
            }
            Kind::Unsigned
            | Kind::Nsec
            | Kind::Algorithm { .. }
            | Kind::Key { .. }
            | Kind::Trap => {
                records.extend(self.nsec(signer, at));
                records.extend(self.nsec(signer, &wildcard));
            }
        }
        records.dedup();
        Step::Rcode(3)
    }

    fn found(
        &self,
        signer: &Signer,
        (source, owner): (&Name, &Name),
        record_type: RecordType,
        records: &mut Vec<Rr>,
    ) -> Step {
        let empty = BTreeMap::new();
        let sets = self.sets.get(source).unwrap_or(&empty);
        if sets.contains_key(&record_type) {
            records.extend(self.signed(signer, source, owner, record_type));
            return Step::Rcode(0);
        }
        if let Some(target) = sets.get(&RecordType::CNAME) {
            records.extend(self.signed(signer, source, owner, RecordType::CNAME));
            return Step::Alias(Name::from_octets(&target[0]).unwrap());
        }
        match self.kind {
            Kind::Nsec3 { .. } => {
                let mut encloser = source.clone();
                while !self.hashed().contains(&encloser) {
                    encloser = encloser.parent().unwrap();
                }
                records.extend(self.nsec3(signer, &encloser));
                if encloser != *source {
                    let closer = source.ancestor(encloser.label_count() + 1);
                    records.extend(self.nsec3(signer, &closer));
                }
            }
            Kind::Unsigned
            | Kind::Nsec
            | Kind::Algorithm { .. }
            | Kind::Key { .. }
            | Kind::Trap => records.extend(self.nsec(signer, source)),
        }
        Step::Rcode(0)
    }

    fn exists(&self, at: &Name) -> bool {
        self.sets.keys().any(|owner| owner.is_within(at))
    }

    fn encloser(&self, at: &Name) -> Name {
        let mut above = at.clone();
        while !self.exists(&above) {
            above = above.parent().unwrap();
        }
        above
    }

    fn signed(&self, signer: &Signer, source: &Name, owner: &Name, of: RecordType) -> Vec<Rr> {
        let rdata = &self.sets[source][&of];
        let set: Vec<Rr> =
            rdata.iter().map(|one| Rr::new(owner.clone(), of, one.clone())).collect();
        self.with_signature(signer, source, set)
    }

    fn with_signature(&self, signer: &Signer, source: &Name, mut set: Vec<Rr>) -> Vec<Rr> {
        set.sort_by(|a, b| a.rdata.cmp(&b.rdata));
        let of = set[0].record_type;
        let cut = *source != self.apex
            && self.sets.get(source).is_some_and(|sets| sets.contains_key(&RecordType::NS));
        let ours = !cut || of == RecordType::DS || of == RecordType::NSEC;
        if ours && !matches!(self.kind, Kind::Unsigned) {
            let mut rrsig = rrsig(signer, &self.apex, source, &set);
            rrsig.owner = set[0].owner.clone();
            if matches!(self.kind, Kind::Trap) && of != RecordType::DNSKEY {
                *rrsig.rdata.last_mut().unwrap() ^= 1;
            }
            set.push(rrsig);
        }
        set
    }

    fn bitmap(&self, at: &Name, own: RecordType) -> Vec<u8> {
        let mut types: BTreeSet<u16> = BTreeSet::new();
        if let Some(sets) = self.sets.get(at) {
            types.extend(sets.keys().map(|one| one.to_int()));
        }
        if own == RecordType::NSEC {
            types.extend([RecordType::NSEC.to_int(), RecordType::RRSIG.to_int()]);
        }
        let mut octets = [0_u8; 32];
        let mut more = Vec::new();
        for number in types {
            let [window, low] = number.to_be_bytes();
            if window == 0 {
                octets[usize::from(low / 8)] |= 0x80 >> (low % 8);
            } else {
                more.extend([window, low / 8 + 1]);
                more.extend(vec![0; usize::from(low / 8)]);
                more.push(0x80 >> (low % 8));
            }
        }
        let used = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        if used == 0 {
            return more;
        }
        [&[0, u8::try_from(used).unwrap()], &octets[..used], &more].concat()
    }

    fn nsec(&self, signer: &Signer, at: &Name) -> Vec<Rr> {
        if matches!(self.kind, Kind::Unsigned) {
            return Vec::new();
        }
        let owner = self.sets.range(..=at.clone()).next_back().unwrap().0.clone();
        let after = self.sets.keys().find(|one| **one > owner).unwrap_or(&self.apex);
        let rdata = [after.as_octets(), &self.bitmap(&owner, RecordType::NSEC)].concat();
        let rr = Rr::new(owner.clone(), RecordType::NSEC, rdata);
        self.with_signature(signer, &owner, vec![rr])
    }

    /// The names that have an NSEC3 record.
    fn hashed(&self) -> BTreeSet<Name> {
        let Kind::Nsec3 { opt_out, .. } = self.kind else { return BTreeSet::new() };
        let mut names = BTreeSet::new();
        for (owner, sets) in &self.sets {
            let bare = *owner != self.apex
                && sets.contains_key(&RecordType::NS)
                && !sets.contains_key(&RecordType::DS);
            if !(opt_out && bare) {
                let up = self.apex.label_count()..=owner.label_count();
                names.extend(up.map(|labels| owner.ancestor(labels)));
            }
        }
        names
    }

    fn nsec3(&self, signer: &Signer, at: &Name) -> Vec<Rr> {
        let Kind::Nsec3 { iterations, opt_out } = self.kind else { return Vec::new() };
        let names = self.hashed();
        let links: BTreeMap<Vec<u8>, Name> =
            names.into_iter().map(|one| (hash(&one, iterations, b"salt"), one)).collect();
        let wanted = hash(at, iterations, b"salt");
        let found = links.range(..=wanted).next_back().or_else(|| links.last_key_value());
        let (link, of) = found.unwrap();
        let after = links.range(link.clone()..).nth(1).or_else(|| links.first_key_value());
        let mut rdata = vec![1, u8::from(opt_out)];
        rdata.extend(iterations.to_be_bytes());
        rdata.extend(b"\x04salt\x14");
        rdata.extend(after.unwrap().0);
        rdata.extend(self.bitmap(of, RecordType::NSEC3));
        let owner = self.apex.child(base32hex(link).as_bytes()).unwrap();
        let rr = Rr::new(owner.clone(), RecordType::NSEC3, rdata);
        self.with_signature(signer, &owner, vec![rr])
    }
}

fn rrsig(key: &Signer, signer: &Name, source: &Name, set: &[Rr]) -> Rr {
    let labels = source.label_count() - usize::from(source.is_wildcard());
    let mut head = set[0].record_type.to_int().to_be_bytes().to_vec();
    head.extend([key.dnskey[3], u8::try_from(labels).unwrap()]);
    head.extend(300_u32.to_be_bytes());
    head.extend(u32::try_from(NOW + 30 * DAY).unwrap().to_be_bytes());
    head.extend(u32::try_from(NOW - DAY).unwrap().to_be_bytes());
    head.extend(key.tag().to_be_bytes());
    head.extend(signer.as_octets());
    let mut octets = head.clone();
    for rr in set {
        octets.extend(source.as_octets());
        octets.extend(rr.record_type.to_int().to_be_bytes());
        octets.extend([0, 1]);
        octets.extend(300_u32.to_be_bytes());
        octets.extend(u16::try_from(rr.rdata.len()).unwrap().to_be_bytes());
        octets.extend(&rr.rdata);
    }
    head.extend(key.sign(&octets));
    Rr::new(source.clone(), RecordType::RRSIG, head)
}

/// Keys with the same tag that sort after this one: 16-bit words may change places.
fn twins(dnskey: &[u8]) -> Vec<Vec<u8>> {
    let mut twins = BTreeSet::new();
    for one in (4..dnskey.len()).step_by(2) {
        for two in (one + 2..dnskey.len()).step_by(2) {
            let mut twin = dnskey.to_vec();
            twin.swap(one, two);
            twin.swap(one + 1, two + 1);
            if twin.as_slice() > dnskey {
                twins.insert(twin);
            }
        }
    }
    twins.into_iter().take(8).collect()
}

/// A response with id 7.
pub(super) fn message(question: &Question, rcode: u8, records: &[Rr]) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x90 | rcode, 0, 1];
    message.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    message.extend([0, 0, 0, 0]);
    message.extend(question.name.as_octets());
    message.extend(question.record_type.to_int().to_be_bytes());
    message.extend([0, 1]);
    for rr in records {
        message.extend(rr.owner.as_octets());
        message.extend(rr.record_type.to_int().to_be_bytes());
        message.extend([0, 1]);
        message.extend(rr.ttl.to_be_bytes());
        message.extend(u16::try_from(rr.rdata.len()).unwrap().to_be_bytes());
        message.extend(&rr.rdata);
    }
    message
}

/// RFC 4648 §7, lower case, without padding.
pub(super) fn base32hex(octets: &[u8]) -> String {
    let bit = |at: usize| octets.get(at / 8).is_some_and(|octet| octet & (0x80 >> (at % 8)) != 0);
    (0..octets.len() * 8)
        .step_by(5)
        .map(|start| {
            let value = (start..start + 5).fold(0_u8, |sum, at| sum * 2 + u8::from(bit(at)));
            char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 })
        })
        .collect()
}
