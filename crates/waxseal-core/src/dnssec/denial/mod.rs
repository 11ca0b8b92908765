//! Proofs that something does not exist (RFC 4035 §5.4, RFC 5155 §8, RFC 6840 §4).
//!
//! RCODE is not signed, so it decides nothing here: what the records prove counts.

mod nsec;
mod nsec3;

use domain::rdata::dnssec::RtypeBitmap;

#[cfg(test)]
pub(super) use self::nsec3::hash;

use super::{
    Name, RecordType,
    run::{Keys, Run, Stop},
};
use crate::dns::Denial;

/// What the zone above says about DS records at a name.
pub(super) enum NoDs {
    /// A delegation without DS.
    Delegation,
    /// Maybe an unsigned delegation: the name lies in an opt-out span (RFC 5155 §6).
    OptOut,
    /// The proof would cost too much to check (RFC 9276 §3.2).
    TooCostly(String),
    /// The name is there, or is an empty non-terminal, and is no delegation.
    NoCut,
    /// Neither the name nor anything below it is there.
    Nothing,
    /// Nothing is proven.
    Unproven(String),
}

/// Whether records answer a question with no.
pub(super) enum Denied {
    /// They do.
    Secure(Denial),
    /// They do not have to: opt-out (RFC 5155 §9.2) or too many iterations (RFC 9276 §3.2).
    Insecure(String),
    /// They do not.
    Not(String),
}

/// Whether records prove that no closer name exists than the wildcard's (RFC 4035 §5.3.4).
pub(super) enum Proven {
    Secure,
    Insecure(String),
    Not(String),
}

impl Run<'_> {
    /// Whether `zone` denies records of this type at `name`.
    pub(super) fn deny(
        &mut self,
        zone: &Keys,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Denied, Stop> {
        let nsec = self.nsec_deny(zone, name, record_type)?;
        match (&nsec, self.has_nsec3(zone)) {
            (Denied::Not(_), true) => self.nsec3_deny(zone, name, record_type),
            _ => Ok(nsec),
        }
    }

    /// What `zone` says about DS records at `name`.
    pub(super) fn deny_ds(&mut self, zone: &Keys, name: &Name) -> Result<NoDs, Stop> {
        let nsec = self.nsec_deny_ds(zone, name)?;
        match (&nsec, self.has_nsec3(zone)) {
            (NoDs::Unproven(_), true) => self.nsec3_deny_ds(zone, name),
            _ => Ok(nsec),
        }
    }

    /// Whether `zone` proves that nothing between `owner` and the wildcard's parent `encloser`
    /// exists, so that the wildcard applies.
    pub(super) fn deny_closer(
        &mut self,
        zone: &Keys,
        owner: &Name,
        encloser: &Name,
    ) -> Result<Proven, Stop> {
        let nsec = self.nsec_deny_closer(zone, owner, encloser)?;
        match (&nsec, self.has_nsec3(zone)) {
            (Proven::Not(_), true) => self.nsec3_deny_closer(zone, owner, encloser),
            _ => Ok(nsec),
        }
    }
}

/// The types that an NSEC or NSEC3 record lists (RFC 4034 §4.1.2).
#[derive(Clone, Debug)]
struct Types(RtypeBitmap<Vec<u8>>);

impl Types {
    fn parse(octets: &[u8]) -> Option<Self> {
        RtypeBitmap::from_octets(octets.to_vec()).ok().map(Self)
    }

    fn has(&self, record_type: RecordType) -> bool {
        self.0.contains(record_type)
    }

    /// The parent's side of a zone cut: it knows nothing of the child's records
    /// (RFC 6840 §4.1).
    fn is_delegation(&self) -> bool {
        self.has(RecordType::NS) && !self.has(RecordType::SOA)
    }

    /// Whether names below the owner are out of this record's reach (RFC 6840 §4.1).
    fn hides_below(&self) -> bool {
        self.is_delegation() || self.has(RecordType::DNAME)
    }

    /// Why a record with these types, at the name itself, does not deny `record_type` there.
    fn contradicts(&self, name: &Name, record_type: RecordType) -> Option<String> {
        let is_ds = record_type == RecordType::DS;
        if self.has(record_type) {
            Some(format!("the proof says that {name} {record_type} exists"))
        } else if self.has(RecordType::CNAME) {
            // RFC 6840 §4.3
            Some(format!("the proof says that {name} is an alias"))
        } else if !is_ds && self.is_delegation() {
            Some(format!("the proof for {name} comes from the parent's side of a zone cut"))
        } else if is_ds && self.has(RecordType::SOA) && !name.is_root() {
            // RFC 4035 §5.2, RFC 6840 §4.4: DS is the parent's
            Some(format!("the proof for {name} comes from the child's side of a zone cut"))
        } else {
            None
        }
    }

    /// What these types at a name say about a delegation there.
    fn delegation(&self, name: &Name) -> NoDs {
        match self.contradicts(name, RecordType::DS) {
            Some(_) if self.has(RecordType::CNAME) && !self.has(RecordType::DS) => NoDs::NoCut,
            Some(reason) => NoDs::Unproven(reason),
            None if self.has(RecordType::NS) => NoDs::Delegation,
            None => NoDs::NoCut,
        }
    }
}
