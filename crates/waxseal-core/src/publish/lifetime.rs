//! How long caches may hold an answer, at most: read from the octets that a server sent.

use std::time::Duration;

use domain::{
    base::{Message, ParsedName, Rtype, record::ParsedRecord},
    rdata::{Rrsig, Soa},
};

use crate::dnssec::{Question, RecordType};

/// No cache holds anything for longer (RFC 8767 §4). A forged TTL of 68 years keeps no door shut for 68
/// years.
pub const LONGEST: Duration = Duration::from_secs(604_800);

/// The longest that caches may hold this answer to `question`: for records their TTL, or the one that was
/// signed where that is longer, for a server may have counted it down (RFC 4034 §3.1.4); for absence the
/// smaller of TTL and MINIMUM of the SOA (RFC 2308 §5), or the TTL of the proof, from which caches may
/// make the answer themselves (RFC 8198 §5.4). What cannot be read counts for nothing: such answers are
/// used by nobody.
pub fn lifetime(message: &[u8], question: &Question) -> Duration {
    let Ok(message) = Message::from_slice(message) else { return Duration::ZERO };
    let (Ok(answer), Ok(authority)) = (message.answer(), message.authority()) else {
        return Duration::ZERO;
    };
    let mut soa = Soas::default();
    let mut longest = 0;
    for record in answer.chain(authority).flatten() {
        let kind = kind(&record);
        let ttl = ttl(&record);
        match kind {
            RecordType::SOA if question.record_type != RecordType::SOA => soa.read(&record),
            // Servers and addresses that stand beside the answer say nothing about it.
            RecordType::NS if question.record_type != RecordType::NS => {}
            _ => longest = longest.max(ttl),
        }
    }
    Duration::from_secs(u64::from(longest.max(soa.absence()))).min(LONGEST)
}

/// The SOA of a denial.
#[derive(Default)]
struct Soas {
    ttl: u32,
    minimum: u32,
}

impl Soas {
    fn read(&mut self, record: &ParsedRecord<'_, [u8]>) {
        self.ttl = self.ttl.max(ttl(record));
        if let Ok(Some(soa)) = record.to_record::<Soa<ParsedName<&[u8]>>>() {
            self.minimum = self.minimum.max(soa.data().minimum().as_secs());
        }
    }

    fn absence(&self) -> u32 {
        self.ttl.min(self.minimum)
    }
}

/// What a record is, or what its signature covers.
fn kind(record: &ParsedRecord<'_, [u8]>) -> Rtype {
    match signature(record) {
        Some(signature) => signature.type_covered(),
        None => record.rtype(),
    }
}

/// The TTL, or the one that was signed.
fn ttl(record: &ParsedRecord<'_, [u8]>) -> u32 {
    let signed = signature(record).map_or(0, |signature| signature.original_ttl().as_secs());
    record.ttl().as_secs().max(signed)
}

fn signature<'a>(record: &ParsedRecord<'a, [u8]>) -> Option<Rrsig<&'a [u8], ParsedName<&'a [u8]>>> {
    let record = record.to_record::<Rrsig<&[u8], ParsedName<&[u8]>>>().ok()??;
    Some(record.into_data())
}
