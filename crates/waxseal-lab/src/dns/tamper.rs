//! What an attacker on the way to the DNS does, or what is broken there: for one domain only.

use super::{Data, Name, Reply, Rr, answer::rcode, record::rtype};

/// What happens to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// RRSIG, NSEC and NSEC3 are taken out.
    StripSignatures,
    /// One bit of each signature is turned.
    BreakSignatures,
    /// The NSEC and NSEC3 records and their signatures are taken out.
    StripDenial,
    /// The records are replaced; signatures stay as they were, and so do not hold any more.
    Replace(Vec<Data>),
    /// The whole answer is replaced by these records, unsigned.
    Forge(Vec<Data>),
    /// The name is said not to exist, without proof.
    NxDomain,
    /// The type is said not to exist, without proof.
    NoData,
    /// This RCODE and nothing else; see [`rcode`].
    Fail(u8),
    /// No answer at all.
    Drop,
}

/// Which questions are affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// Names at or below this one...
    pub within: Name,
    /// ...of this type, or of all.
    pub rtype: Option<u16>,
    /// What is done.
    pub act: Act,
}

impl Tampering {
    /// All questions at or below `domain`.
    pub fn all(domain: &str, act: Act) -> Self {
        Self { within: Name::new(domain), rtype: None, act }
    }

    /// Questions of one type at or below `domain`.
    pub fn only(domain: &str, rtype: u16, act: Act) -> Self {
        Self { within: Name::new(domain), rtype: Some(rtype), act }
    }

    /// Whether the question is meant.
    pub(super) fn meets(&self, name: &Name, rtype: u16) -> bool {
        name.is_within(&self.within) && self.rtype.is_none_or(|only| only == rtype)
    }

    /// The damaged answer; `None` where nothing is sent.
    pub(super) fn apply(&self, name: &Name, rtype: u16, mut reply: Reply) -> Option<Reply> {
        match &self.act {
            Act::StripSignatures => {
                strip(&mut reply, |rr| {
                    !matches!(rr.rtype, rtype::RRSIG | rtype::NSEC | rtype::NSEC3)
                });
            }
            Act::StripDenial => {
                let denies = |rtype: u16| matches!(rtype, rtype::NSEC | rtype::NSEC3);
                strip(&mut reply, |rr| !denies(rr.rtype) && !rr.covered().is_some_and(denies));
            }
            Act::BreakSignatures => {
                for rr in reply.answer.iter_mut().chain(&mut reply.authority) {
                    if let (rtype::RRSIG, Some(last)) = (rr.rtype, rr.rdata.last_mut()) {
                        *last ^= 1;
                    }
                }
            }
            Act::Replace(records) => {
                let signatures = reply.answer.into_iter().filter(|rr| rr.rtype == rtype::RRSIG);
                reply.answer = forged(name, records).chain(signatures).collect();
            }
            Act::Forge(records) => {
                let of_type = forged(name, records).filter(|rr| rr.rtype == rtype);
                reply = Reply { answer: of_type.collect(), ..Reply::default() };
            }
            Act::NxDomain => reply = Reply { rcode: rcode::NXDOMAIN, ..Reply::default() },
            Act::NoData => reply = Reply::default(),
            Act::Fail(rcode) => reply = Reply { rcode: *rcode, ..Reply::default() },
            Act::Drop => return None,
        }
        Some(reply)
    }
}

fn forged(owner: &Name, records: &[Data]) -> impl Iterator<Item = Rr> {
    records.iter().map(|data| Rr {
        owner: owner.clone(),
        rtype: data.rtype(),
        ttl: 300,
        rdata: data.rdata(),
    })
}

fn strip(reply: &mut Reply, keep: impl Fn(&Rr) -> bool) {
    reply.answer.retain(&keep);
    reply.authority.retain(keep);
}
