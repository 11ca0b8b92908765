//! One validation under way: what it may look at, what it has used, and how much it may still do.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Anchors, Bundle, Flaw, Memo, Name, Question, RecordType, RrSet,
    bundle::Asked,
    canonical::{signed_labels, signed_octets},
    rrset::{Key, Signature},
    verify::Algorithm,
};
use crate::{dns::FailureKind, time::UnixTime};

/// Signature checks in one validation. A chain of ten aliases through deep zones needs about 80
/// (CVE-2023-50387, KeyTrap).
const MOST_CHECKS: u32 = 128;
/// Signature checks that may fail in one validation (CVE-2023-50387).
const MOST_FAILED_CHECKS: u32 = 16;
/// Keys of one zone that may share a key tag and are tried all the same (CVE-2023-50387).
pub(super) const MOST_SAME_TAG: usize = 4;
/// Signatures that are tried for one RRset.
const MOST_SIGNATURES: usize = 8;
/// SHA-1 computations in one validation (CVE-2023-50868): enough for the longest name at the
/// highest number of iterations.
const MOST_HASHES: u32 = 20_000;

/// Why a validation stops before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Records are missing that can be asked for.
    Need(Vec<Question>),
    /// Records are missing that cannot be had.
    Unknown(FailureKind, String),
    /// A bound was reached.
    Limit(String),
}

/// The state of one RRset, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Secure,
    Insecure(String),
    Bogus(Flaw, String),
}

/// What a signature that holds says of the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It was signed as it stands.
    AsIs,
    /// It was made from the wildcard below this name (RFC 4035 §5.3.4).
    FromWildcard(Name),
    /// No signature holds.
    Not(Flaw, String),
}

/// What the walk knows of the zone around a name.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    /// Its keys are known.
    Secure(Arc<Keys>),
    /// It is provably unsigned, or signed only in ways that we cannot check.
    Insecure(String),
    /// The chain to it is broken.
    Bogus(Flaw, String),
    /// No anchor is above it (RFC 4033 §5, indeterminate).
    Unanchored,
}

/// The validated keys of a zone.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) apex: Name,
    pub(super) keys: Vec<Key>,
}

pub(super) struct Run<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) anchors: &'a Anchors,
    pub(super) now: UnixTime,
    memo: &'a Memo,
    checks: u32,
    failed_checks: u32,
    hashes: u32,
    used: BTreeSet<usize>,
    expires: UnixTime,
    pub(super) zones: HashMap<Name, Zone>,
    held: HashMap<(usize, Name), Held>,
    pub(super) hashed: HashMap<(Name, u16, Vec<u8>), Vec<u8>>,
    /// The sets that a denial may use; `None` for all. An answer has to bring its own proof, as
    /// with other validators: that of another answer may be true and still not be what was said.
    pub(super) scope: Option<BTreeSet<usize>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        bundle: &'a Bundle,
        anchors: &'a Anchors,
        now: UnixTime,
        memo: &'a Memo,
    ) -> Self {
        Self {
            bundle,
            anchors,
            now,
            memo,
            checks: 0,
            failed_checks: 0,
            hashes: 0,
            used: BTreeSet::new(),
            expires: UnixTime(u64::MAX),
            zones: HashMap::new(),
            held: HashMap::new(),
            hashed: HashMap::new(),
            scope: None,
        }
    }

    pub(super) fn set(&self, place: usize) -> Result<&'a Arc<RrSet>, Stop> {
        // Places come from the bundle itself.
        self.bundle.set(place).ok_or_else(|| Stop::Limit("an RRset is gone".into()))
    }

    /// Whether a denial may use a set.
    pub(super) fn in_scope(&self, place: usize) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.contains(&place))
    }

    /// Notes that a set is part of the answer or its proof.
    pub(super) fn cite(&mut self, place: usize) {
        if let Some(set) = self.bundle.set(place)
            && self.used.insert(place)
        {
            self.expires = self.expires.min(set.expires);
        }
    }

    /// The sets that were cited, as proof, and the moment when the first of them runs out.
    pub(super) fn proof(&self) -> (Vec<u8>, UnixTime) {
        (self.bundle.proof_of(self.used.iter().copied()), self.expires)
    }

    /// To be called where the records of `question` are not in the bundle: fine if they were
    /// asked for and are not there.
    pub(super) fn must_be_asked(&self, question: Question) -> Result<(), Stop> {
        match self.bundle.asked(&question) {
            None if self.bundle.is_closed() => Ok(()),
            None => Err(Stop::Need(vec![question])),
            Some(Asked::Failed(kind, detail)) => {
                Err(Stop::Unknown(*kind, format!("{question}: {detail}")))
            }
            // NOERROR, NXDOMAIN, and YXDOMAIN of RFC 6672 §2.2
            Some(Asked::Answered(0 | 3 | 6)) => Ok(()),
            Some(Asked::Answered(2)) => {
                Err(Stop::Unknown(FailureKind::ServFail, format!("{question}: SERVFAIL")))
            }
            Some(Asked::Answered(rcode)) => {
                let detail = format!("{question}: the answer is RCODE {rcode}");
                Err(Stop::Unknown(FailureKind::Refused, detail))
            }
        }
    }

    /// Counts towards the bound on NSEC3 hashing.
    pub(super) fn count_hashes(&mut self, count: u32) -> Result<(), Stop> {
        self.hashes = self.hashes.saturating_add(count);
        if self.hashes > MOST_HASHES {
            return Err(Stop::Limit(format!("more than {MOST_HASHES} NSEC3 hash computations")));
        }
        Ok(())
    }

    /// Whether a signature by `apex` over the set holds under one of `keys` (RFC 4035 §5.3).
    pub(super) fn held(&mut self, place: usize, apex: &Name, keys: &[Key]) -> Result<Held, Stop> {
        let id = (place, apex.clone());
        if let Some(known) = self.held.get(&id) {
            return Ok(known.clone());
        }
        let result = self.check(place, apex, keys)?;
        self.held.insert(id, result.clone());
        Ok(result)
    }

    /// Like [`held`](Self::held), for sets that no wildcard can make (NSEC, NSEC3, DS, DNSKEY).
    pub(super) fn held_as_is(
        &mut self,
        place: usize,
        apex: &Name,
        keys: &[Key],
    ) -> Result<Held, Stop> {
        Ok(match self.held(place, apex, keys)? {
            Held::FromWildcard(_) => {
                let title = self.set(place)?.title();
                Held::Not(Flaw::Mismatch, format!("{title} was made from a wildcard"))
            }
            held @ (Held::AsIs | Held::Not(..)) => held,
        })
    }

    fn check(&mut self, place: usize, apex: &Name, keys: &[Key]) -> Result<Held, Stop> {
        let set = self.set(place)?;
        let title = set.title();
        if !set.owner.is_within(apex) {
            return Ok(Held::Not(Flaw::Mismatch, format!("{title} does not lie within {apex}")));
        }
        let ours = set.signatures.iter().filter(|one| one.signer == *apex);
        let mut flaw = (Flaw::Missing, format!("{title} has no RRSIG by {apex}"));
        for signature in ours.take(MOST_SIGNATURES) {
            match self.check_one(set, signature, keys)? {
                Ok(()) => {
                    let left = u64::try_from(signature.seconds_left(self.now)).unwrap_or(0);
                    let life = left.min(u64::from(signature.original_ttl));
                    self.expires = self.expires.min(UnixTime(self.now.0.saturating_add(life)));
                    let labels = usize::from(signature.labels);
                    if labels < signed_labels(&set.owner) {
                        return Ok(Held::FromWildcard(set.owner.ancestor(labels)));
                    }
                    return Ok(Held::AsIs);
                }
                Err(found) => flaw = found,
            }
        }
        Ok(Held::Not(flaw.0, flaw.1))
    }

    fn check_one(
        &mut self,
        set: &RrSet,
        signature: &Signature,
        keys: &[Key],
    ) -> Result<Result<(), (Flaw, String)>, Stop> {
        let title = set.title();
        let left = signature.seconds_left(self.now);
        let to_come = signature.seconds_until_valid(self.now);
        if left < 0 {
            let since = span(left.unsigned_abs());
            return Ok(Err((Flaw::Expired, format!("RRSIG of {title} expired {since} ago"))));
        }
        if to_come > 0 {
            let then = span(to_come.unsigned_abs());
            let text = format!("RRSIG of {title} becomes valid only in {then}");
            return Ok(Err((Flaw::NotYetValid, text)));
        }
        let Some(algorithm) = Algorithm::of(signature.algorithm) else {
            let number = signature.algorithm;
            let text = format!("RRSIG of {title} uses algorithm {number}, which is not supported");
            return Ok(Err((Flaw::Mismatch, text)));
        };
        let Some(octets) = signed_octets(set, signature) else {
            let text = format!("RRSIG of {title} has more labels than its owner");
            return Ok(Err((Flaw::Mismatch, text)));
        };
        let (tag, number) = (signature.key_tag, signature.algorithm);
        let fits = |key: &&Key| key.tag == tag && key.algorithm == number && key.signs_zones();
        let mut tried = 0;
        for key in keys.iter().filter(fits) {
            tried += 1;
            if tried > MOST_SAME_TAG {
                let text =
                    format!("more than {MOST_SAME_TAG} keys of {} share tag {tag}", set.owner);
                return Err(Stop::Limit(text));
            }
            self.count_check()?;
            let how = (number, algorithm);
            if self.memo.holds(how, &key.public, &octets, &signature.value) {
                return Ok(Ok(()));
            }
            self.failed_checks += 1;
        }
        Ok(Err(match tried {
            0 => {
                let signer = &signature.signer;
                let text =
                    format!("RRSIG of {title} is by key {tag}, which {signer} does not have");
                (Flaw::Mismatch, text)
            }
            _ => (Flaw::Mismatch, format!("RRSIG of {title} does not match its records")),
        }))
    }

    fn count_check(&mut self) -> Result<(), Stop> {
        self.checks += 1;
        if self.checks > MOST_CHECKS {
            return Err(Stop::Limit(format!("more than {MOST_CHECKS} signature checks")));
        }
        if self.failed_checks >= MOST_FAILED_CHECKS {
            let text = format!("{MOST_FAILED_CHECKS} signature checks failed");
            return Err(Stop::Limit(text));
        }
        Ok(())
    }
}

/// A span of time as people say it.
fn span(seconds: u32) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// The question for the DS records of a zone.
pub(super) fn ds_of(zone: &Name) -> Question {
    Question::new(zone.clone(), RecordType::DS)
}

/// The question for the keys of a zone.
pub(super) fn keys_of(zone: &Name) -> Question {
    Question::new(zone.clone(), RecordType::DNSKEY)
}
