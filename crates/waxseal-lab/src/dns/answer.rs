//! What a forwarder that recurses for us would answer (RFC 4035 §3.1, RFC 5155 §7.2).

use super::{
    Name, Rr, Tree,
    record::{RrSet, rtype},
    tree::{Built, Chain},
};

/// RCODE values (RFC 1035 §4.1.1).
pub mod rcode {
    /// There is an answer, or the name exists.
    pub const NOERROR: u8 = 0;
    /// The question could not be read.
    pub const FORMERR: u8 = 1;
    /// The server failed.
    pub const SERVFAIL: u8 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u8 = 3;
    /// The server will not say.
    pub const REFUSED: u8 = 5;
}

/// An answer before it is put into a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// See [`rcode`].
    pub rcode: u8,
    /// Aliases and records, with signatures.
    pub answer: Vec<Rr>,
    /// SOA and proofs of absence.
    pub authority: Vec<Rr>,
}

/// Where a step of an alias chain led.
enum Step {
    Done,
    Alias(Name),
}

const LONGEST_CHAIN: usize = 16;

impl Tree {
    /// The answer to a question with DO set.
    pub fn answer(&self, name: &Name, rtype: u16) -> Reply {
        let mut reply = Reply::default();
        let mut name = name.clone();
        for _ in 0..LONGEST_CHAIN {
            let Some(zone) = self.zone_of(&name, rtype) else {
                return Reply { rcode: rcode::REFUSED, ..Reply::default() };
            };
            match zone.step(&name, rtype, &mut reply) {
                Step::Done => return reply,
                Step::Alias(target) => name = target,
            }
        }
        Reply { rcode: rcode::SERVFAIL, ..Reply::default() }
    }
}

impl Built {
    fn step(&self, name: &Name, rtype: u16, reply: &mut Reply) -> Step {
        if let Some(cut) = self.cut_above(name)
            && !(cut == *name && rtype == rtype::DS)
        {
            // A delegation to servers that nobody runs.
            *reply = Reply { rcode: rcode::SERVFAIL, ..Reply::default() };
            return Step::Done;
        }
        if let Some(step) = self.dname(name, reply) {
            return step;
        }
        if let Some(sets) = self.nodes.get(name) {
            return self.found(name, name, (rtype, sets), reply);
        }
        if self.exists(name) {
            self.deny_type(name, reply);
            return Step::Done;
        }
        let encloser = self.closest_encloser(name);
        let wildcard = encloser.child("*");
        if let Some(sets) = self.nodes.get(&wildcard) {
            let next_closer = name.suffix(encloser.len() + 1);
            let step = self.found(&wildcard, name, (rtype, sets), reply);
            self.deny_expansion(&encloser, &next_closer, name, reply);
            return step;
        }
        reply.rcode = rcode::NXDOMAIN;
        self.deny_name(&encloser, name, reply);
        Step::Done
    }

    /// RFC 6672 §2.2: a DNAME above the name, and the CNAME that follows from it.
    fn dname(&self, name: &Name, reply: &mut Reply) -> Option<Step> {
        let owners = (self.origin.len()..name.len()).map(|count| name.suffix(count));
        let (owner, set) = owners
            .filter_map(|owner| {
                let set = self.nodes.get(&owner)?.get(&rtype::DNAME)?.clone();
                Some((owner, set))
            })
            .next()?;
        let (target, _) = Name::read(set.rdatas.first()?)?;
        reply.answer.extend(self.signed(&owner, &owner, rtype::DNAME, &set));
        let alias = name.substitute(&owner, &target);
        let cname =
            Rr { owner: name.clone(), rtype: rtype::CNAME, ttl: set.ttl, rdata: alias.wire() };
        reply.answer.push(cname);
        Some(Step::Alias(alias))
    }

    /// The name, or the wildcard for it, has records.
    fn found(
        &self,
        source: &Name,
        owner: &Name,
        (rtype, sets): (u16, &std::collections::BTreeMap<u16, RrSet>),
        reply: &mut Reply,
    ) -> Step {
        if let Some(set) = sets.get(&rtype) {
            reply.answer.extend(self.signed(source, owner, rtype, set));
            return Step::Done;
        }
        if let Some(set) = sets.get(&rtype::CNAME) {
            reply.answer.extend(self.signed(source, owner, rtype::CNAME, set));
            let target = set.rdatas.first().and_then(|rdata| Name::read(rdata));
            return target.map_or(Step::Done, |(target, _)| Step::Alias(target));
        }
        self.deny_type(source, reply);
        Step::Done
    }

    fn closest_encloser(&self, name: &Name) -> Name {
        let up = (self.origin.len()..name.len()).rev().map(|count| name.suffix(count));
        up.into_iter().find(|above| self.exists(above)).unwrap_or_else(|| self.origin.clone())
    }

    fn soa(&self, reply: &mut Reply) {
        if let Some(set) = self.nodes.get(&self.origin).and_then(|sets| sets.get(&rtype::SOA)) {
            let records = self.signed(&self.origin, &self.origin, rtype::SOA, set);
            add(&mut reply.authority, records);
        }
    }

    /// NODATA (RFC 4035 §3.1.3.1, RFC 5155 §7.2.3 and §7.2.4).
    fn deny_type(&self, name: &Name, reply: &mut Reply) {
        self.soa(reply);
        match &self.denial {
            Chain::None => {}
            Chain::Nsec(_) => add(&mut reply.authority, self.nsec(name)),
            Chain::Nsec3 { .. } => {
                if self.has_nsec3(name) {
                    add(&mut reply.authority, self.nsec3(name));
                } else {
                    let mut encloser = name.clone();
                    let mut next_closer = name.clone();
                    while !self.has_nsec3(&encloser) {
                        next_closer = encloser.clone();
                        let Some(above) = encloser.parent() else { break };
                        encloser = above;
                    }
                    add(&mut reply.authority, self.nsec3(&encloser));
                    add(&mut reply.authority, self.nsec3(&next_closer));
                }
            }
        }
    }

    /// A wildcard stands for the name only where the name itself is not there (RFC 4035 §3.1.3.3,
    /// RFC 5155 §7.2.5 and §7.2.6).
    fn deny_expansion(&self, encloser: &Name, next_closer: &Name, name: &Name, reply: &mut Reply) {
        let negative = reply.authority.iter().any(|rr| rr.rtype == rtype::SOA);
        match &self.denial {
            Chain::None => {}
            Chain::Nsec(_) => add(&mut reply.authority, self.nsec(name)),
            Chain::Nsec3 { .. } => {
                if negative {
                    add(&mut reply.authority, self.nsec3(encloser));
                }
                add(&mut reply.authority, self.nsec3(next_closer));
            }
        }
    }

    /// NXDOMAIN (RFC 4035 §3.1.3.2, RFC 5155 §7.2.2).
    fn deny_name(&self, encloser: &Name, name: &Name, reply: &mut Reply) {
        self.soa(reply);
        let wildcard = encloser.child("*");
        match &self.denial {
            Chain::None => {}
            Chain::Nsec(_) => {
                add(&mut reply.authority, self.nsec(name));
                add(&mut reply.authority, self.nsec(&wildcard));
            }
            Chain::Nsec3 { .. } => {
                add(&mut reply.authority, self.nsec3(encloser));
                add(&mut reply.authority, self.nsec3(&name.suffix(encloser.len() + 1)));
                add(&mut reply.authority, self.nsec3(&wildcard));
            }
        }
    }
}

/// Appends what is not there yet.
fn add(section: &mut Vec<Rr>, records: Vec<Rr>) {
    for record in records {
        if !section.contains(&record) {
            section.push(record);
        }
    }
}
