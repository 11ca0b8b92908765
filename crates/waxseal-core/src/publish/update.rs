//! Dynamic updates (RFC 2136), signed with a shared key (TSIG, RFC 8945): octets out, octets in.

use std::fmt;

use aws_lc_rs::hmac;

use super::Record;
use crate::{
    dnssec::{Name, RecordType},
    domain::Domain,
    time::UnixTime,
};

/// How far the two clocks may be apart, in seconds (RFC 8945 §10 recommends 300).
const FUDGE: u16 = 300;
/// TCP cannot carry more.
const MOST_OCTETS: usize = 65_535;
/// Shorter keys can be guessed.
const LEAST_KEY: usize = 16;
const CLASS_IN: [u8; 2] = [0, 1];
const CLASS_ANY: [u8; 2] = [0, 255];
const CLASS_NONE: [u8; 2] = [0, 254];
const TYPE_TSIG: u16 = 250;

/// The hash under the signature (RFC 8945 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Mandatory for every server.
    HmacSha256,
    /// Optional.
    HmacSha512,
}

impl Algorithm {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::HmacSha256 => b"\x0bhmac-sha256\0",
            Self::HmacSha512 => b"\x0bhmac-sha512\0",
        }
    }

    const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A shared key.
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    secret: hmac::Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?})", self.name, self.algorithm)
    }
}

impl Key {
    /// A key under the name that the server knows it by.
    ///
    /// # Errors
    /// It is too short to be safe.
    pub fn new(name: &Domain, algorithm: Algorithm, secret: &[u8]) -> Result<Self, UpdateError> {
        if secret.len() < LEAST_KEY {
            return Err(UpdateError::ShortKey);
        }
        let secret = hmac::Key::new(algorithm.hmac(), secret);
        Ok(Self { name: Name::from(name), algorithm, secret })
    }
}

/// One change; all of an update happen together or not at all (RFC 2136 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These records come to what is there; those that are there already change nothing but the TTL.
    Add(Vec<Record>),
    /// These records are all that there is of this type at this name.
    Replace {
        /// The name.
        owner: Domain,
        /// The type.
        record_type: RecordType,
        /// What stands there afterwards; none: nothing.
        records: Vec<Record>,
    },
}

/// What has to stand in the zone for an update to be made at all: whatever changed since we looked is
/// not overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// The name.
    pub owner: Domain,
    /// The type.
    pub record_type: RecordType,
    /// Exactly this, each as RDATA without compression (RFC 2136 §2.4.2); nothing at all where it is
    /// empty (RFC 2136 §2.4.3).
    pub rdata: Vec<Vec<u8>>,
}

/// Why an update was not made, or is not known to have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// Under 16 octets.
    ShortKey,
    /// More than 64 KiB of records.
    TooLong,
    /// Not DNS, or not an answer to this update.
    NotAnAnswer(&'static str),
    /// The answer is not signed, or not with our key: it may be anybody's (RFC 8945 §5.4).
    NotAuthentic(&'static str),
    /// The server refused, and why.
    Refused(String),
    /// The zone is not as it was when we looked: nothing was changed. What stands there now, in words.
    Changed(&'static str),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortKey => write!(f, "the TSIG key has less than {LEAST_KEY} octets"),
            Self::TooLong => f.write_str("more than 64 KiB of records in one update"),
            Self::NotAnAnswer(why) => write!(f, "the answer is none to this update: {why}"),
            Self::NotAuthentic(why) => {
                write!(f, "the answer is not signed with our TSIG key: {why}; look what was done")
            }
            Self::Refused(why) => f.write_str(why),
            Self::Changed(what) => write!(
                f,
                "nothing was changed: somebody else changed the same records since we looked ({what}); \
                 look again"
            ),
        }
    }
}

impl std::error::Error for UpdateError {}

/// An update, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    id: u16,
    mac: Vec<u8>,
    /// The message, without the length that TCP puts in front.
    pub message: Vec<u8>,
}

/// An update of `zone`, signed: these changes, if all of this holds.
///
/// # Errors
/// It is too long.
pub fn request(
    zone: &Domain,
    (prerequisites, changes): (&[Prerequisite], &[Change]),
    key: &Key,
    id: u16,
    now: UnixTime,
) -> Result<Request, UpdateError> {
    let (mut records, required) = required(prerequisites)?;
    let mut count: usize = 0;
    for change in changes {
        let added = match change {
            Change::Add(added) => added,
            Change::Replace { owner, record_type, records: added } => {
                // RFC 2136 §2.5.2: class ANY, TTL 0, no RDATA.
                records.extend_from_slice(Name::from(owner).as_octets());
                records.extend(record_type.to_int().to_be_bytes());
                records.extend(CLASS_ANY);
                records.extend([0; 6]);
                count += 1;
                added
            }
        };
        for record in added {
            add(&mut records, record)?;
            count += 1;
        }
    }
    let count = u16::try_from(count).map_err(|_| UpdateError::TooLong)?;
    // Opcode UPDATE (RFC 2136 §2.2); one zone.
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0x28, 0, 0, 1]);
    message.extend(required.to_be_bytes());
    message.extend(count.to_be_bytes());
    message.extend([0, 0]);
    message.extend_from_slice(Name::from(zone).as_octets());
    message.extend(RecordType::SOA.to_int().to_be_bytes());
    message.extend(CLASS_IN);
    message.extend(records);
    let times = Times { signed: now.0, fudge: FUDGE, error: 0, other: &[] };
    let tag = hmac::sign(&key.secret, &[message.as_slice(), &variables(key, &times)].concat());
    let mac = tag.as_ref().to_vec();
    append_tsig(&mut message, key, (&mac, id), &times);
    if message.len() > MOST_OCTETS {
        return Err(UpdateError::TooLong);
    }
    Ok(Request { id, mac, message })
}

/// The section of prerequisites, and how many records are in it.
fn required(prerequisites: &[Prerequisite]) -> Result<(Vec<u8>, u16), UpdateError> {
    let (mut records, mut count) = (Vec::new(), 0u16);
    for Prerequisite { owner, record_type, rdata } in prerequisites {
        // Absence is one record of class NONE without RDATA; what is there is named in full. TTL 0.
        let (class, empty) = (if rdata.is_empty() { CLASS_NONE } else { CLASS_IN }, [Vec::new()]);
        let named = if rdata.is_empty() { empty.as_slice() } else { rdata.as_slice() };
        for rdata in named {
            let length = u16::try_from(rdata.len()).map_err(|_| UpdateError::TooLong)?;
            records.extend_from_slice(Name::from(owner).as_octets());
            records.extend(record_type.to_int().to_be_bytes());
            records.extend(class);
            records.extend([0; 4]);
            records.extend(length.to_be_bytes());
            records.extend_from_slice(rdata);
            count = count.checked_add(1).ok_or(UpdateError::TooLong)?;
        }
    }
    Ok((records, count))
}

fn add(message: &mut Vec<u8>, record: &Record) -> Result<(), UpdateError> {
    let rdata = record.rdata();
    let length = u16::try_from(rdata.len()).map_err(|_| UpdateError::TooLong)?;
    message.extend_from_slice(Name::from(&record.owner).as_octets());
    message.extend(record.record_type().to_int().to_be_bytes());
    message.extend(CLASS_IN);
    // RFC 2181 §8: at most 2^31 - 1; ours are at most a day.
    message.extend(u32::try_from(record.ttl.as_secs()).unwrap_or(86_400).to_be_bytes());
    message.extend(length.to_be_bytes());
    message.extend(rdata);
    Ok(())
}

/// The fields of a TSIG record beside names and MAC (RFC 8945 §4.2).
struct Times<'a> {
    signed: u64,
    fudge: u16,
    error: u16,
    other: &'a [u8],
}

/// What is signed beside the message (RFC 8945 §4.3.3).
fn variables(key: &Key, times: &Times<'_>) -> Vec<u8> {
    let mut octets = key.name.as_octets().to_vec();
    octets.extend(CLASS_ANY);
    octets.extend([0; 4]);
    octets.extend_from_slice(key.algorithm.name());
    octets.extend(times.signed.to_be_bytes().iter().skip(2));
    octets.extend(times.fudge.to_be_bytes());
    octets.extend(times.error.to_be_bytes());
    octets.extend(u16::try_from(times.other.len()).unwrap_or(0).to_be_bytes());
    octets.extend_from_slice(times.other);
    octets
}

fn append_tsig(message: &mut Vec<u8>, key: &Key, (mac, id): (&[u8], u16), times: &Times<'_>) {
    let mut rdata = key.algorithm.name().to_vec();
    rdata.extend(times.signed.to_be_bytes().iter().skip(2));
    rdata.extend(times.fudge.to_be_bytes());
    rdata.extend(u16::try_from(mac.len()).unwrap_or(0).to_be_bytes());
    rdata.extend_from_slice(mac);
    rdata.extend(id.to_be_bytes());
    rdata.extend([0, 0, 0, 0]);
    message.extend_from_slice(key.name.as_octets());
    message.extend(TYPE_TSIG.to_be_bytes());
    message.extend(CLASS_ANY);
    message.extend([0; 4]);
    message.extend(u16::try_from(rdata.len()).unwrap_or(0).to_be_bytes());
    message.extend(rdata);
    // ARCOUNT (RFC 1035 §4.1.1).
    if let Some(count) = message.get_mut(10..12) {
        count.copy_from_slice(&[0, 1]);
    }
}

/// Reads the answer to an update.
///
/// # Errors
/// The server refused, or the answer is not shown to be the server's.
pub fn response(
    request: &Request,
    key: &Key,
    message: &[u8],
    now: UnixTime,
) -> Result<(), UpdateError> {
    let (head, _) =
        message.split_first_chunk::<12>().ok_or(UpdateError::NotAnAnswer("too short for DNS"))?;
    let [i0, i1, f0, f1, ..] = *head;
    if u16::from_be_bytes([i0, i1]) != request.id {
        return Err(UpdateError::NotAnAnswer("another id"));
    }
    if f0 & 0xf8 != 0xa8 {
        return Err(UpdateError::NotAnAnswer("no response to an update"));
    }
    let rcode = f1 & 0x0f;
    let tsig = match last_tsig(message)? {
        Some(tsig) => tsig,
        // RFC 8945 §5.4: an error without a signature proves nothing; it is told all the same.
        None if rcode != 0 => return Err(refusal(rcode)),
        None => return Err(UpdateError::NotAuthentic("it has no TSIG record")),
    };
    if tsig.mac.is_empty() {
        return Err(tsig_refusal(tsig.error, rcode));
    }
    verify(request, key, message, &tsig)?;
    if tsig.error != 0 {
        return Err(tsig_refusal(tsig.error, rcode));
    }
    // RFC 8945 §5.4.3.
    if now.0.abs_diff(tsig.signed) > u64::from(tsig.fudge) {
        return Err(UpdateError::NotAuthentic("it was signed at another time: check the clocks"));
    }
    if rcode == 0 { Ok(()) } else { Err(refusal(rcode)) }
}

/// RFC 8945 §5.4: the MAC of the request, the message before signing, the variables.
fn verify(request: &Request, key: &Key, message: &[u8], tsig: &Tsig) -> Result<(), UpdateError> {
    if tsig.name != key.name || tsig.algorithm != key.algorithm.name() {
        return Err(UpdateError::NotAuthentic("another key"));
    }
    let length = u16::try_from(request.mac.len()).unwrap_or(0);
    let mut signed = [&length.to_be_bytes(), request.mac.as_slice()].concat();
    let start = signed.len();
    signed.extend_from_slice(message.get(..tsig.at).unwrap_or_default());
    if let Some(id) = signed.get_mut(start..start + 2) {
        id.copy_from_slice(&tsig.original_id);
    }
    if let Some([high, low]) = signed.get_mut(start + 10..start + 12) {
        let count = u16::from_be_bytes([*high, *low]).saturating_sub(1);
        [*high, *low] = count.to_be_bytes();
    }
    let times =
        Times { signed: tsig.signed, fudge: tsig.fudge, error: tsig.error, other: &tsig.other };
    signed.extend(variables(key, &times));
    // Whole MACs only: truncation (RFC 8945 §5.2.2.1) is for those who ask for it.
    hmac::verify(&key.secret, &signed, &tsig.mac)
        .map_err(|_| UpdateError::NotAuthentic("the signature does not hold"))
}

/// A TSIG record, and where in the message it begins.
struct Tsig {
    at: usize,
    name: Name,
    algorithm: Vec<u8>,
    signed: u64,
    fudge: u16,
    mac: Vec<u8>,
    original_id: [u8; 2],
    error: u16,
    other: Vec<u8>,
}

/// The most records that an answer to an update may have: it should have none but TSIG.
const MOST_RECORDS: usize = 64;

/// The TSIG record, which has to be the last one (RFC 8945 §5.1).
fn last_tsig(message: &[u8]) -> Result<Option<Tsig>, UpdateError> {
    let broken = UpdateError::NotAnAnswer("a record is broken");
    let count = |at: usize| {
        let two = message.get(at..at + 2).and_then(|two| <[u8; 2]>::try_from(two).ok());
        usize::from(u16::from_be_bytes(two.unwrap_or_default()))
    };
    let (questions, records) = (count(4), count(6) + count(8) + count(10));
    if questions > 1 || records > MOST_RECORDS {
        return Err(UpdateError::NotAnAnswer("more records than an answer has"));
    }
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(message, at).ok_or_else(|| broken.clone())? + 4;
    }
    for nth in 1..=records {
        let fixed = skip_name(message, at).ok_or_else(|| broken.clone())?;
        let head = message.get(fixed..fixed + 10).ok_or_else(|| broken.clone())?;
        let [t0, t1, class_and_ttl @ .., l0, l1] = head else { return Err(broken) };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let rdata = message.get(fixed + 10..fixed + 10 + length).ok_or_else(|| broken.clone())?;
        if u16::from_be_bytes([*t0, *t1]) == TYPE_TSIG {
            if nth != records || fixed + 10 + length != message.len() {
                return Err(UpdateError::NotAnAnswer("TSIG is not the last record"));
            }
            let name = message.get(at..fixed).and_then(Name::from_octets);
            // RFC 8945 §4.2: class ANY, TTL 0.
            if class_and_ttl != [0, 255, 0, 0, 0, 0] {
                return Err(broken);
            }
            // The name of a key is not compressed by any server we know; a pointer is no match.
            let name = name.ok_or(UpdateError::NotAuthentic("the key's name cannot be read"))?;
            return read_tsig(at, name, rdata).map(Some).ok_or(broken);
        }
        at = fixed + 10 + length;
    }
    Ok(None)
}

fn read_tsig(at: usize, name: Name, rdata: &[u8]) -> Option<Tsig> {
    let (algorithm, rest) = Name::split_front(rdata)?;
    let (&[a, b, c, d, e, f, f0, f1, m0, m1], rest) = rest.split_first_chunk::<10>()?;
    let (mac, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([m0, m1])))?;
    let (&[i0, i1, e0, e1, o0, o1], other) = rest.split_first_chunk::<6>()?;
    let length = usize::from(u16::from_be_bytes([o0, o1]));
    (other.len() == length).then(|| Tsig {
        at,
        name,
        algorithm: algorithm.as_octets().to_vec(),
        signed: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
        fudge: u16::from_be_bytes([f0, f1]),
        mac: mac.to_vec(),
        original_id: [i0, i1],
        error: u16::from_be_bytes([e0, e1]),
        other: other.to_vec(),
    })
}

/// Where a name ends; pointers are not followed (RFC 1035 §4.1.4).
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    // 127 labels fit into a name.
    for _ in 0..=127 {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0..=0xff => return Some(at + 2),
            64..=0xbf => return None,
        }
    }
    None
}

/// RCODE in words (RFC 2136 §2.2, RFC 1035 §4.1.1).
fn refusal(rcode: u8) -> UpdateError {
    let why = match rcode {
        1 => "the server does not understand the update (FORMERR)",
        2 => "the server failed (SERVFAIL): look into its log",
        4 => "the server takes no updates (NOTIMP)",
        5 => {
            "the server refuses this update (REFUSED): may the key change these names, and records of \
             this type?"
        }
        9 => "the server is not the primary of this zone, or does not know our key (NOTAUTH)",
        10 => "a name lies outside the zone (NOTZONE)",
        // What a prerequisite said does not hold.
        3 | 8 => return UpdateError::Changed("what was there is gone or differs: NXRRSET"),
        6 | 7 => return UpdateError::Changed("records stand there that did not before: YXRRSET"),
        other => {
            return UpdateError::Refused(format!("the server refuses the update (RCODE {other})"));
        }
    };
    UpdateError::Refused(why.to_owned())
}

/// TSIG errors in words (RFC 8945).
fn tsig_refusal(error: u16, rcode: u8) -> UpdateError {
    let why = match error {
        16 => "the server holds our signature for wrong: is it the same secret? (BADSIG)",
        17 => "the server does not know our TSIG key, by this name and algorithm (BADKEY)",
        18 => {
            "the server's clock and ours differ by more than five minutes (BADTIME): set both right; \
             nothing was changed"
        }
        22 => "the server wants a longer signature (BADTRUNC)",
        _ => return refusal(rcode),
    };
    UpdateError::Refused(why.to_owned())
}
