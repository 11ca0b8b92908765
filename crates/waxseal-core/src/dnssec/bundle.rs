//! What is at hand for a validation: RRsets, and which questions were asked already.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use super::{
    Name, Question, RecordType, Response, RrSet,
    response::{Gathered, Truncation},
};
use crate::{dns::FailureKind, time::UnixTime};

/// The largest proof that is read.
const MOST_BYTES: usize = 512 * 1_024;

/// Everything that a validation may look at.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    sets: Vec<Arc<RrSet>>,
    places: HashMap<(Name, RecordType), Vec<usize>>,
    asked: HashMap<Question, Asked>,
    came_with: HashMap<Question, Vec<usize>>,
    more: More,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Answered(u8),
    Failed(FailureKind, String),
}

/// Whether more can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum More {
    /// The network is there.
    #[default]
    Askable,
    /// What is not in the bundle does not exist: a recorded proof.
    Closed,
}

/// Bytes that are not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleError(&'static str);

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DNSSEC proof: {}", self.0)
    }
}

impl std::error::Error for BundleError {}

impl Bundle {
    /// A bundle with nothing in it, to which answers can be added.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what an upstream answered to `question`. The answer to a question replaces what
    /// other answers carried along for the same name and type.
    pub fn add(&mut self, question: &Question, response: &Response) {
        if response.truncation == Truncation::Truncated {
            let detail = "the answer was truncated, over TCP too".to_owned();
            return self.add_failure(question, FailureKind::Malformed, detail);
        }
        self.asked.insert(question.clone(), Asked::Answered(response.rcode));
        let places = response.sets.iter().map(|set| self.add_set(set, question)).collect();
        self.came_with.insert(question.clone(), places);
    }

    /// What came with the answers to these questions: in a recorded proof, everything.
    pub(super) fn came_with(&self, questions: &[&Question]) -> BTreeSet<usize> {
        if self.is_closed() {
            return (0..self.sets.len()).collect();
        }
        questions.iter().filter_map(|one| self.came_with.get(one)).flatten().copied().collect()
    }

    /// Notes that no answer to `question` could be had, and why.
    pub fn add_failure(&mut self, question: &Question, kind: FailureKind, detail: String) {
        self.asked.insert(question.clone(), Asked::Failed(kind, detail));
    }

    fn add_set(&mut self, set: &Arc<RrSet>, question: &Question) -> usize {
        let key = (set.owner.clone(), set.record_type);
        let places = self.places.entry(key).or_default();
        // Denials stay with the answer that brought them, signatures and all.
        let denies = matches!(set.record_type, RecordType::NSEC | RecordType::NSEC3);
        let same = |place: &&usize| {
            !denies
                || self.sets.get(**place).is_some_and(|other| {
                    other.rdata == set.rdata && other.signatures == set.signatures
                })
        };
        let Some(&place) = places.iter().find(same) else {
            places.push(self.sets.len());
            self.sets.push(Arc::clone(set));
            return self.sets.len() - 1;
        };
        let Some(other) = self.sets.get_mut(place) else { return place };
        let is_answer = set.owner == question.name && set.record_type == question.record_type;
        if other.rdata == set.rdata {
            let known = |signature| other.signatures.contains(signature);
            if !set.signatures.iter().all(known) {
                let mut merged = RrSet::clone(other);
                let new = set.signatures.iter().filter(|&one| !known(one)).cloned();
                merged.signatures.extend(new.collect::<Vec<_>>());
                *other = Arc::new(merged);
            }
        } else if is_answer {
            *other = Arc::clone(set);
        }
        place
    }

    /// The one set of a type at a name.
    pub(super) fn find(&self, name: &Name, record_type: RecordType) -> Option<usize> {
        self.places.get(&(name.clone(), record_type))?.first().copied()
    }

    /// The sets of a type at a name; more than one only for NSEC and NSEC3.
    pub(super) fn find_all(&self, name: &Name, record_type: RecordType) -> &[usize] {
        self.places.get(&(name.clone(), record_type)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set(&self, place: usize) -> Option<&Arc<RrSet>> {
        self.sets.get(place)
    }

    /// All sets of a type, wherever they are.
    pub(super) fn of_type(&self, wanted: RecordType) -> impl Iterator<Item = (usize, &Arc<RrSet>)> {
        self.sets.iter().enumerate().filter(move |(_, set)| set.record_type == wanted)
    }

    /// All sets.
    pub(super) fn sets(&self) -> impl Iterator<Item = &RrSet> {
        self.sets.iter().map(Arc::as_ref)
    }

    pub(super) fn asked(&self, question: &Question) -> Option<&Asked> {
        self.asked.get(question)
    }

    /// Whether nothing more can be asked for.
    pub(super) fn is_closed(&self) -> bool {
        self.more == More::Closed
    }

    /// RCODE of the answer to a question, where there was one.
    pub fn rcode(&self, question: &Question) -> Option<u8> {
        match self.asked.get(question)? {
            Asked::Answered(rcode) => Some(*rcode),
            Asked::Failed(..) => None,
        }
    }

    /// The sets at these places, as a proof: a sequence of RRs in wire format, each set followed
    /// by its signatures (RFC 9102 §2.3), in canonical order of owner and type. TTLs are those that
    /// were signed; unsigned records have TTL 0. So the same records give the same bytes.
    pub(super) fn proof_of(&self, places: impl Iterator<Item = usize>) -> Vec<u8> {
        let mut sets: Vec<_> = places.filter_map(|place| self.sets.get(place)).collect();
        sets.sort_by(|a, b| {
            let key = |set: &RrSet| (set.record_type.to_int(), set.rdata.first().cloned());
            a.owner.cmp(&b.owner).then_with(|| key(a).cmp(&key(b)))
        });
        sets.dedup();
        let mut bytes = Vec::new();
        for set in sets {
            let ttl = set.signatures.iter().map(|one| one.original_ttl).min().unwrap_or(0);
            for rdata in &set.rdata {
                compose(&mut bytes, set, set.record_type, (ttl, rdata));
            }
            let mut signatures: Vec<_> = set.signatures.iter().map(Signed::rdata).collect();
            signatures.sort();
            for rdata in &signatures {
                compose(&mut bytes, set, RecordType::RRSIG, (ttl, rdata));
            }
        }
        bytes
    }

    /// Reads a proof that [`Validated::proof_bytes`](super::Validated) holds. Nothing can be
    /// asked for: what is not in it is missing.
    ///
    /// # Errors
    /// The bytes are more than 512 KiB or not a sequence of uncompressed RRs of class IN.
    pub fn from_proof(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MOST_BYTES {
            return Err(BundleError("larger than 512 KiB"));
        }
        let mut gathered = Gathered::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let broken = BundleError("not a sequence of records");
            let (owner, after) = Name::split_front(rest).ok_or(broken)?;
            let (&[t0, t1, c0, c1, _, _, _, _, l0, l1], after) =
                after.split_first_chunk::<10>().ok_or(broken)?;
            if [c0, c1] != [0, 1] {
                return Err(BundleError("a record is not of class IN"));
            }
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let (rdata, after) = after.split_at_checked(length).ok_or(broken)?;
            let record_type = RecordType::from_int(u16::from_be_bytes([t0, t1]));
            gathered
                .push(owner, record_type, rdata.to_vec(), UnixTime(u64::MAX))
                .map_err(|_| broken)?;
            rest = after;
        }
        let mut bundle = Self { more: More::Closed, ..Self::default() };
        for (place, set) in gathered.into_sets().into_iter().enumerate() {
            bundle.places.entry((set.owner.clone(), set.record_type)).or_default().push(place);
            bundle.sets.push(set);
        }
        Ok(bundle)
    }
}

/// One proof out of several, each RRset once; `None` where one of them is not a proof.
pub fn merge_proofs(proofs: &[&[u8]]) -> Option<Vec<u8>> {
    let mut merged = Bundle { more: More::Closed, ..Bundle::default() };
    let nothing = Question::new(Name::root(), RecordType::from_int(0));
    for proof in proofs {
        for set in &Bundle::from_proof(proof).ok()?.sets {
            merged.add_set(set, &nothing);
        }
    }
    Some(merged.proof_of(0..merged.sets.len()))
}

type Signed = super::Signature;

fn compose(bytes: &mut Vec<u8>, set: &RrSet, record_type: RecordType, data: (u32, &[u8])) {
    let (ttl, rdata) = data;
    // RDATA came from a message or a proof, where its length had 16 bits.
    let Ok(length) = u16::try_from(rdata.len()) else { return };
    bytes.extend_from_slice(set.owner.as_octets());
    bytes.extend_from_slice(&record_type.to_int().to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(rdata);
}
