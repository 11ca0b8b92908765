//! Zones as a test writes them.

use std::collections::BTreeMap;

use super::{
    Data, Name,
    key::Algorithm,
    record::{RrSet, rtype},
};

/// How a zone says that something does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// RFC 4034 §4.
    Nsec,
    /// RFC 5155.
    Nsec3 {
        /// Additional hash rounds; RFC 9276 §3.1 asks for 0.
        iterations: u16,
        /// RFC 9276 §3.1 asks for none.
        salt: Vec<u8>,
        /// Whether unsigned delegations are left out (RFC 5155 §6).
        opt_out: OptOut,
    },
}

/// RFC 5155 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptOut {
    /// Every delegation is in the chain.
    No,
    /// Only signed ones are.
    Yes,
}

/// How the keys of a zone are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// One key, with SEP, signs everything.
    Combined,
    /// The SEP key signs the DNSKEY set, another one the rest.
    Split,
}

/// How a zone is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// One key (or pair of keys) for each; every set is signed with each algorithm.
    pub algorithms: Vec<Algorithm>,
    /// NSEC or NSEC3.
    pub denial: Denial,
    /// Inception and expiration of all signatures, in seconds from when the tree is built.
    pub validity: (i64, i64),
    /// One key or two.
    pub layout: KeyLayout,
    /// Digest type of the DS records at the parent.
    pub digest: u8,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::P256],
            denial: Denial::Nsec,
            validity: (-3_600, 7 * 86_400),
            layout: KeyLayout::Combined,
            digest: 2,
        }
    }
}

/// What the parent says about a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delegation {
    /// DS records where the zone is signed, none where it is not.
    #[default]
    Matching,
    /// No DS, also where the zone is signed: an island of security (RFC 4033 §2).
    Insecure,
    /// DS records of the right keys with a wrong digest.
    WrongDigest,
    /// These DS record data and no others.
    Custom(Vec<Vec<u8>>),
    /// Like [`Self::Matching`], and these beside them.
    Also(Vec<Vec<u8>>),
}

/// One zone. SOA, NS, DNSKEY, the delegation at the parent and the denial chain are made when the
/// tree is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub(super) origin: Name,
    pub(super) sets: BTreeMap<(Name, u16), RrSet>,
    pub(super) signing: Option<Signing>,
    pub(super) delegation: Delegation,
    pub(super) ttl: u32,
    pub(super) servers: Vec<Name>,
    pub(super) empty_names: EmptyNames,
}

/// What is said of names that have nothing themselves and something below (RFC 8020 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyNames {
    /// They exist.
    #[default]
    Exist,
    /// They are denied, as servers with a fault do.
    Denied,
}

impl Zone {
    /// An empty, unsigned zone; `.` is the root.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: Name::new(origin),
            sets: BTreeMap::new(),
            signing: None,
            delegation: Delegation::Matching,
            ttl: 300,
            servers: Vec::new(),
            empty_names: EmptyNames::Exist,
        }
    }

    /// Its name servers; without, one that nobody can find.
    #[must_use]
    pub fn servers(mut self, names: &[&str]) -> Self {
        self.servers = names.iter().map(|name| Name::new(name)).collect();
        self
    }

    /// Denies names that are empty but for what is below them.
    #[must_use]
    pub const fn denying_empty_names(mut self) -> Self {
        self.empty_names = EmptyNames::Denied;
        self
    }

    /// Signs it with P-256 and NSEC.
    #[must_use]
    pub fn signed(self) -> Self {
        self.signed_with(Signing::default())
    }

    /// Signs it so.
    #[must_use]
    pub fn signed_with(mut self, signing: Signing) -> Self {
        self.signing = Some(signing);
        self
    }

    /// What the parent says about it.
    #[must_use]
    pub fn delegation(mut self, delegation: Delegation) -> Self {
        self.delegation = delegation;
        self
    }

    /// TTL in seconds of the records that are added from here on (300 before).
    #[must_use]
    pub const fn ttl(mut self, ttl: u32) -> Self {
        self.ttl = ttl;
        self
    }

    /// Adds a record; `owner` as in a zone file (`@`, relative, or absolute with a final dot).
    #[must_use]
    pub fn record(mut self, owner: &str, data: &Data) -> Self {
        self.add(owner, data);
        self
    }

    /// Adds a record; `owner` as in a zone file (`@`, relative, or absolute with a final dot).
    pub fn add(&mut self, owner: &str, data: &Data) {
        let owner = Name::relative(owner, &self.origin);
        self.insert(owner, data.rtype(), self.ttl, data.rdata());
    }

    pub(super) fn insert(&mut self, owner: Name, rtype: u16, ttl: u32, rdata: Vec<u8>) {
        let empty = RrSet { ttl, rdatas: Vec::new() };
        self.sets.entry((owner, rtype)).or_insert(empty).rdatas.push(rdata);
    }

    /// Adds the SOA and NS records that every zone has.
    pub(super) fn complete(&mut self) {
        let server = Name::new("ns.lab.invalid");
        let mut soa = [server.wire(), Name::new("hostmaster.lab.invalid").wire()].concat();
        for number in [1u32, 7_200, 900, 1_209_600, 300] {
            soa.extend(number.to_be_bytes());
        }
        let origin = self.origin.clone();
        self.insert(origin.clone(), rtype::SOA, 300, soa);
        let servers = if self.servers.is_empty() { vec![server] } else { self.servers.clone() };
        for server in servers {
            self.insert(origin.clone(), rtype::NS, 300, server.wire());
        }
    }
}
