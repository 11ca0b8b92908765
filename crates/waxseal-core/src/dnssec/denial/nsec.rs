//! Denial with NSEC (RFC 4034 §4, RFC 4035 §5.4).

use super::{Denied, NoDs, Proven, Types};
use crate::{
    dns::Denial,
    dnssec::{
        Name, RecordType,
        run::{Held, Keys, Run, Stop},
    },
};

/// One validated NSEC record.
struct Nsec {
    place: usize,
    owner: Name,
    next: Name,
    types: Types,
}

impl Nsec {
    fn parse(place: usize, owner: &Name, rdata: &[u8]) -> Option<Self> {
        let (next, types) = Name::split_front(rdata)?;
        Some(Self { place, owner: owner.clone(), next, types: Types::parse(types)? })
    }

    /// Whether `name` lies between owner and next; the last record of a zone leads back to its
    /// apex (RFC 4034 §4.1.1).
    fn spans(&self, name: &Name, apex: &Name) -> bool {
        if !self.next.is_within(apex) || !name.is_within(apex) || *name <= self.owner {
            return false;
        }
        *name < self.next || self.next <= self.owner
    }

    /// Whether it may speak about `name`, which lies in its span.
    fn reaches(&self, name: &Name) -> bool {
        !(self.types.hides_below() && name.is_below(&self.owner))
    }

    /// The deepest ancestor of `name`, which lies in the span, that exists.
    fn encloser_of(&self, name: &Name) -> Name {
        name.ancestor(name.common_labels(&self.owner).max(name.common_labels(&self.next)))
    }
}

impl Run<'_> {
    pub(super) fn nsec_deny(
        &mut self,
        zone: &Keys,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Denied, Stop> {
        if let Some(found) = self.nsec_at(zone, name)? {
            return Ok(match found.types.contradicts(name, record_type) {
                Some(reason) => Denied::Not(reason),
                None => {
                    self.cite(found.place);
                    Denied::Secure(Denial::NoData)
                }
            });
        }
        let Some(cover) = self.nsec_over(zone, name)? else {
            return Ok(Denied::Not(format!("no NSEC of {} covers {name}", zone.apex)));
        };
        if cover.next.is_below(name) {
            // an empty non-terminal (RFC 4592 §2.2.2)
            self.cite(cover.place);
            return Ok(Denied::Secure(Denial::NoData));
        }
        let encloser = cover.encloser_of(name);
        let Some(wildcard) = encloser.wildcard() else {
            self.cite(cover.place);
            return Ok(Denied::Secure(Denial::NxDomain));
        };
        if let Some(found) = self.nsec_at(zone, &wildcard)? {
            return Ok(match found.types.contradicts(&wildcard, record_type) {
                Some(reason) => Denied::Not(reason),
                None => {
                    self.cite(cover.place);
                    self.cite(found.place);
                    Denied::Secure(Denial::NoData)
                }
            });
        }
        let Some(second) = self.nsec_over(zone, &wildcard)? else {
            return Ok(Denied::Not(format!("no NSEC of {} covers {wildcard}", zone.apex)));
        };
        self.cite(cover.place);
        self.cite(second.place);
        if second.next.is_below(&wildcard) {
            return Ok(Denied::Secure(Denial::NoData));
        }
        Ok(Denied::Secure(Denial::NxDomain))
    }

    pub(super) fn nsec_deny_ds(&mut self, zone: &Keys, name: &Name) -> Result<NoDs, Stop> {
        if let Some(found) = self.nsec_at(zone, name)? {
            self.cite(found.place);
            return Ok(found.types.delegation(name));
        }
        let Some(cover) = self.nsec_over(zone, name)? else {
            return Ok(NoDs::Unproven(format!("no NSEC of {} covers it", zone.apex)));
        };
        self.cite(cover.place);
        Ok(if cover.next.is_below(name) { NoDs::NoCut } else { NoDs::Nothing })
    }

    pub(super) fn nsec_deny_closer(
        &mut self,
        zone: &Keys,
        owner: &Name,
        encloser: &Name,
    ) -> Result<Proven, Stop> {
        let Some(cover) = self.nsec_over(zone, owner)? else {
            return Ok(Proven::Not(format!("no NSEC of {} covers {owner}", zone.apex)));
        };
        if cover.next.is_within(owner) || cover.encloser_of(owner) != *encloser {
            let reason = format!("a name closer to {owner} than {encloser} exists");
            return Ok(Proven::Not(reason));
        }
        self.cite(cover.place);
        Ok(Proven::Secure)
    }

    /// The NSEC at a name.
    fn nsec_at(&mut self, zone: &Keys, name: &Name) -> Result<Option<Nsec>, Stop> {
        for &place in self.bundle.find_all(name, RecordType::NSEC) {
            let set = self.set(place)?;
            let parsed = set.rdata.first().and_then(|rdata| Nsec::parse(place, name, rdata));
            if let Some(nsec) = parsed
                && self.in_scope(place)
                && self.held_as_is(place, &zone.apex, &zone.keys)? == Held::AsIs
            {
                return Ok(Some(nsec));
            }
        }
        Ok(None)
    }

    /// An NSEC with `name` in its span.
    fn nsec_over(&mut self, zone: &Keys, name: &Name) -> Result<Option<Nsec>, Stop> {
        let bundle = self.bundle;
        for (place, set) in bundle.of_type(RecordType::NSEC) {
            let parsed = set.rdata.first().and_then(|rdata| Nsec::parse(place, &set.owner, rdata));
            let Some(nsec) = parsed else { continue };
            if self.in_scope(place)
                && nsec.spans(name, &zone.apex)
                && nsec.reaches(name)
                && self.held_as_is(place, &zone.apex, &zone.keys)? == Held::AsIs
            {
                return Ok(Some(nsec));
            }
        }
        Ok(None)
    }
}
