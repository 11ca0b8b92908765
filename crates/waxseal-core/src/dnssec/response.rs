//! DNS messages from outside, read into RRsets.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use domain::{
    base::{
        Message, ParsedName,
        iana::{Class, Opcode},
        rdata::ComposeRecordData as _,
        record::ParsedRecord,
    },
    rdata::AllRecordData,
};

use super::{Name, RecordType, RrSet, Signature};
use crate::time::UnixTime;

/// The most records that are read from the answer and authority sections together.
const MOST_RECORDS: usize = 4_096;

/// The most RRsets among them: a name has a few, and a denial is proven by three.
const MOST_SETS: usize = 256;

/// What a set, a record or a signature takes in memory beside its octets, roughly.
const OVERHEAD: usize = 64;

/// No TTL counts for longer than a day.
const LONGEST_TTL: u32 = 86_400;

/// What is asked, always in class IN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub record_type: RecordType,
}

impl Question {
    /// A question for records of a type at a name.
    pub const fn new(name: Name, record_type: RecordType) -> Self {
        Self { name, record_type }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// An answer of an upstream, parsed; nothing in it is validated yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// RCODE of the header: 0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED (RFC 1035 §4.1.1).
    pub rcode: u8,
    /// TC: the answer did not fit; ask again over TCP (RFC 2181 §9).
    pub truncation: Truncation,
    /// Answer and authority sections; the additional section proves nothing and is not read.
    pub sets: Vec<Arc<RrSet>>,
    /// Until when the answer as a whole may be kept: the shortest TTL in it, and for a denial
    /// the SOA minimum (RFC 2308 §5).
    pub expires: UnixTime,
}

/// Whether a response is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// Everything is there.
    Whole,
    /// TC was set.
    Truncated,
}

/// Why bytes are not an answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAnswer(&'static str);

impl fmt::Display for NotAnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAnAnswer {}

impl Response {
    /// Reads `message` as the answer to `question` sent with `id`.
    ///
    /// # Errors
    /// The bytes are not a DNS response, or it belongs to another question (RFC 5452 §9.1).
    pub fn parse(
        message: &[u8],
        id: u16,
        question: &Question,
        now: UnixTime,
    ) -> Result<Self, NotAnAnswer> {
        let parsed = Message::from_slice(message).map_err(|_| NotAnAnswer("too short for DNS"))?;
        let header = parsed.header();
        if header.id() != id {
            return Err(NotAnAnswer("the id is not that of the question"));
        }
        if !header.qr() || header.opcode() != Opcode::QUERY {
            return Err(NotAnAnswer("not a response to a query"));
        }
        let asked = parsed.sole_question().map_err(|_| NotAnAnswer("not exactly one question"))?;
        if Name::from_wire(asked.qname()) != question.name
            || asked.qtype() != question.record_type
            || asked.qclass() != Class::IN
        {
            return Err(NotAnAnswer("it answers another question"));
        }
        let truncation = if header.tc() { Truncation::Truncated } else { Truncation::Whole };
        let rcode = header.rcode().to_int();
        if truncation == Truncation::Truncated {
            return Ok(Self { rcode, truncation, sets: Vec::new(), expires: now });
        }
        let mut gathered = Gathered::default();
        let answer = parsed.answer().map_err(|_| NotAnAnswer("the answer section is broken"))?;
        let authority =
            parsed.authority().map_err(|_| NotAnAnswer("the authority section is broken"))?;
        for record in answer.chain(authority) {
            let record = record.map_err(|_| NotAnAnswer("a record is broken"))?;
            gathered.add(&record, now)?;
            if gathered.order.len() > MOST_SETS {
                return Err(NotAnAnswer("more than 256 RRsets"));
            }
        }
        let sets = gathered.into_sets();
        let expires = whole_expiry(&sets, question, now);
        Ok(Self { rcode, truncation, sets, expires })
    }

    /// What it takes in memory, roughly.
    pub fn octets(&self) -> usize {
        let of_set = |set: &Arc<RrSet>| {
            let records = set.rdata.iter().map(|rdata| rdata.len().saturating_add(OVERHEAD));
            let signatures = set.signatures.iter().map(|one| {
                one.head.len().saturating_add(one.value.len()).saturating_add(2 * OVERHEAD)
            });
            records.chain(signatures).fold(2 * OVERHEAD, usize::saturating_add)
        };
        self.sets.iter().map(of_set).fold(0, usize::saturating_add)
    }

    /// Whether any record in it is signed.
    pub fn has_signatures(&self) -> bool {
        self.sets.iter().any(|set| !set.signatures.is_empty())
    }
}

/// A denial lives no longer than the SOA minimum; an answer without any record is kept briefly.
fn whole_expiry(sets: &[Arc<RrSet>], question: &Question, now: UnixTime) -> UnixTime {
    let mut expires = now + Duration::from_secs(u64::from(LONGEST_TTL));
    for set in sets {
        expires = expires.min(set.expires);
        if set.record_type == RecordType::SOA && question.record_type != RecordType::SOA {
            let minimum = set.rdata.first().and_then(|rdata| rdata.last_chunk::<4>());
            let minimum = minimum.map_or(0, |octets| u32::from_be_bytes(*octets));
            expires = expires.min(now + Duration::from_secs(u64::from(minimum)));
        }
    }
    if sets.is_empty() { now + Duration::from_secs(5) } else { expires }
}

/// Records on the way to becoming RRsets, in the order of their first appearance.
#[derive(Default)]
pub(super) struct Gathered {
    order: Vec<(Name, RecordType, usize)>,
    sets: HashMap<(Name, RecordType, usize), RrSet>,
    signatures: HashMap<(Name, RecordType), Vec<Signature>>,
    nsecs: HashMap<Name, usize>,
    count: usize,
}

impl Gathered {
    fn add(&mut self, record: &ParsedRecord<'_, [u8]>, now: UnixTime) -> Result<(), NotAnAnswer> {
        if record.class() != Class::IN {
            return Ok(());
        }
        let owner = Name::from_wire(&record.owner());
        let mut rdata = Vec::new();
        record
            .to_any_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()
            .map_err(|_| NotAnAnswer("the data of a record is broken"))?
            .data()
            .compose_canonical_rdata(&mut rdata)
            .map_err(|_| NotAnAnswer("the data of a record is too long"))?;
        let ttl = record.ttl().as_secs().min(LONGEST_TTL);
        let expires = now + Duration::from_secs(u64::from(ttl));
        self.push(owner, record.rtype(), rdata, expires)
    }

    /// One record with canonical RDATA.
    pub(super) fn push(
        &mut self,
        owner: Name,
        record_type: RecordType,
        rdata: Vec<u8>,
        expires: UnixTime,
    ) -> Result<(), NotAnAnswer> {
        self.count += 1;
        if self.count > MOST_RECORDS {
            return Err(NotAnAnswer("more than 4096 records"));
        }
        if record_type == RecordType::RRSIG {
            let signature =
                Signature::parse(&rdata).ok_or(NotAnAnswer("the data of an RRSIG is broken"))?;
            self.signatures.entry((owner, signature.covered)).or_default().push(signature);
            return Ok(());
        }
        // Parent and child of a zone cut have an NSEC each at the same name; they are no set.
        let variant = if record_type == RecordType::NSEC {
            let seen = self.nsecs.entry(owner.clone()).or_default();
            *seen += 1;
            *seen
        } else {
            0
        };
        let key = (owner, record_type, variant);
        if let Some(set) = self.sets.get_mut(&key) {
            set.expires = set.expires.min(expires);
            if let Err(place) = set.rdata.binary_search(&rdata) {
                set.rdata.insert(place, rdata);
            }
            return Ok(());
        }
        let (owner, rdata) = (key.0.clone(), vec![rdata]);
        let set = RrSet { owner, record_type, rdata, signatures: Vec::new(), expires };
        self.order.push(key.clone());
        self.sets.insert(key, set);
        Ok(())
    }

    pub(super) fn into_sets(mut self) -> Vec<Arc<RrSet>> {
        let mut sets = Vec::with_capacity(self.order.len());
        for key in self.order {
            if let Some(mut set) = self.sets.remove(&key) {
                let covering = self.signatures.get(&(key.0, key.1));
                set.signatures = covering.cloned().unwrap_or_default();
                sets.push(Arc::new(set));
            }
        }
        sets
    }
}
