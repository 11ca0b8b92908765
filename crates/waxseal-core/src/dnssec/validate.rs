//! From a question to a verdict: the alias chain, and what stands at its end.

use std::collections::BTreeSet;

use super::{
    Anchors, Bundle, Memo, Name, Question, RecordType,
    chain::Toward,
    denial::Denied,
    run::{Run, Status, Stop, Zone},
};
use crate::{
    dns::{Denial, FailureKind, Proof},
    time::UnixTime,
};

/// How many aliases are followed, as many as unbound does.
const MOST_ALIASES: usize = 11;

/// What a validation came to so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask these, add the answers to the bundle, and validate again.
    Need(Vec<Question>),
    /// A verdict.
    Done(Box<Validated>),
}

/// The verdict on one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// The weakest state of any step (RFC 4035 §4.3).
    pub proof: Proof,
    /// What was found, to be believed as far as `proof` goes.
    pub finding: Finding,
    /// The steps from the question to the owner of the records, in order.
    pub aliases: Vec<AliasStep>,
    /// The name at the end of the aliases.
    pub last: Name,
    /// Why it is so, in one sentence.
    pub because: String,
    /// What is wrong with the signatures, where the verdict is bogus.
    pub flaw: Option<Flaw>,
    /// What kind of failure it is, where the verdict is bogus or indeterminate.
    pub failure: Option<FailureKind>,
    /// When the first TTL or signature of all that was used runs out.
    pub expires: UnixTime,
    /// All RRsets that were used, as a sequence of RRs in wire format (RFC 9102 §2.3):
    /// [`Bundle::from_proof`] reads it.
    pub proof_bytes: Vec<u8>,
}

/// What a question found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Records, as RDATA in canonical form.
    Records(Vec<Vec<u8>>),
    /// None.
    Denied(Denial),
    /// It could not be found out.
    Nothing,
}

/// One step of an alias chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasStep {
    /// The name that is an alias.
    pub from: Name,
    /// What it stands for.
    pub to: Name,
    /// The state of the CNAME or DNAME.
    pub proof: Proof,
}

/// What is wrong with signatures: reasons are for people, this is for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// They are not there.
    Missing,
    /// Their time is over.
    Expired,
    /// Their time is still to come.
    NotYetValid,
    /// They do not match keys, records or owners.
    Mismatch,
    /// A denial does not prove what it has to.
    Denial,
    /// Checking would go beyond our limits.
    Limit,
}

/// Validates what is in `bundle` as the answer to `question` at the time `now`. A memo spares
/// computing the same signatures again; [`Memo::new`] will do.
pub fn validate(
    question: &Question,
    bundle: &Bundle,
    anchors: &Anchors,
    now: UnixTime,
    memo: &Memo,
) -> Step {
    let mut path = Path {
        run: Run::new(bundle, anchors, now, memo),
        question: question.clone(),
        at: question.name.clone(),
        record_type: question.record_type,
        aliases: Vec::new(),
        proof: Proof::Secure,
        because: None,
    };
    match path.follow() {
        Ok(end) => Step::Done(Box::new(path.verdict(end))),
        Err(Stop::Need(questions)) => Step::Need(questions),
        Err(Stop::Unknown(kind, because)) => Step::Done(Box::new(path.failure(kind, because))),
        Err(Stop::Limit(because)) => {
            let end =
                End { status: Status::Bogus(Flaw::Limit, because), finding: Finding::Nothing };
            Step::Done(Box::new(path.verdict(end)))
        }
    }
}

struct Path<'a> {
    run: Run<'a>,
    question: Question,
    at: Name,
    record_type: RecordType,
    aliases: Vec<AliasStep>,
    /// The weakest state of the aliases so far.
    proof: Proof,
    /// Why it is not secure.
    because: Option<String>,
}

struct End {
    status: Status,
    finding: Finding,
}

impl Path<'_> {
    fn follow(&mut self) -> Result<End, Stop> {
        loop {
            if self.aliases.is_empty() {
                // What other answers carried along is no answer to what was not asked.
                self.run.must_be_asked(Question::new(self.at.clone(), self.record_type))?;
            }
            if let Some(place) = self.run.bundle.find(&self.at, self.record_type) {
                let status = self.run.status(place)?;
                let finding = Finding::Records(self.run.set(place)?.rdata.clone());
                return Ok(End { status, finding });
            }
            let Some((place, to)) = self.alias()? else {
                self.run.must_be_asked(Question::new(self.at.clone(), self.record_type))?;
                return self.denial();
            };
            let status = self.run.status(place)?;
            let from = std::mem::replace(&mut self.at, to.clone());
            let proof = match &status {
                Status::Secure => Proof::Secure,
                Status::Insecure(because) => {
                    self.proof = Proof::Insecure;
                    self.because.get_or_insert_with(|| because.clone());
                    Proof::Insecure
                }
                Status::Bogus(..) => {
                    self.at = from;
                    return Ok(End { status, finding: Finding::Nothing });
                }
            };
            let looped = to == from || self.aliases.iter().any(|step| step.from == to);
            self.aliases.push(AliasStep { from, to, proof });
            if looped {
                return Err(Stop::Unknown(
                    FailureKind::Limit,
                    "the aliases lead in a circle".into(),
                ));
            }
            if self.aliases.len() > MOST_ALIASES {
                let because = format!("more than {MOST_ALIASES} aliases");
                return Err(Stop::Unknown(FailureKind::Limit, because));
            }
        }
    }

    /// The CNAME or DNAME that applies to the name, and where it leads.
    fn alias(&self) -> Result<Option<(usize, Name)>, Stop> {
        if self.record_type == RecordType::CNAME {
            return Ok(None);
        }
        let cname = self.run.bundle.find(&self.at, RecordType::CNAME);
        if let Some(place) = cname
            && !self.run.set(place)?.signatures.is_empty()
        {
            return self.target(place).map(Some);
        }
        // A CNAME beside a DNAME is synthesised and never signed (RFC 6672 §5.3.1).
        let mut above = self.at.parent();
        while let Some(owner) = above {
            if let Some(place) = self.run.bundle.find(&owner, RecordType::DNAME) {
                let (_, target) = self.target(place)?;
                let Some(to) = self.at.redirect(&owner, &target) else {
                    let because = format!("{owner} DNAME makes a name that is too long");
                    return Err(Stop::Unknown(FailureKind::Malformed, because));
                };
                return Ok(Some((place, to)));
            }
            above = owner.parent();
        }
        cname.map(|place| self.target(place)).transpose()
    }

    fn target(&self, place: usize) -> Result<(usize, Name), Stop> {
        let set = self.run.set(place)?;
        match set.rdata.as_slice() {
            [rdata] => Name::from_octets(rdata),
            _ => None,
        }
        .map(|to| (place, to))
        .ok_or_else(|| {
            let because = format!("{} does not lead to exactly one name", set.title());
            Stop::Unknown(FailureKind::Malformed, because)
        })
    }

    /// Nothing is at the name: is that proven?
    fn denial(&mut self) -> Result<End, Stop> {
        let mut unproven = None;
        let scope = self.scope();
        if let Some(signer) = self.denier(&scope) {
            match self.run.walk(Toward::Signer(&signer))? {
                Zone::Secure(keys) if keys.apex == signer => {
                    self.run.scope = Some(scope);
                    let denied = self.run.deny(&keys, &self.at, self.record_type);
                    self.run.scope = None;
                    match denied? {
                        Denied::Secure(denial) => {
                            let finding = Finding::Denied(denial);
                            return Ok(End { status: Status::Secure, finding });
                        }
                        Denied::Insecure(because) => {
                            return Ok(self.unsigned(Status::Insecure(because)));
                        }
                        Denied::Not(because) => unproven = Some(because),
                    }
                }
                Zone::Secure(_) => unproven = Some(format!("{signer} is no zone")),
                other @ (Zone::Insecure(_) | Zone::Bogus(..) | Zone::Unanchored) => {
                    return Ok(self.unsigned(other.into_status(&self.at)?));
                }
            }
        }
        let inside = if self.record_type == RecordType::DS {
            self.at.parent().unwrap_or_else(Name::root)
        } else {
            self.at.clone()
        };
        Ok(match self.run.walk(Toward::Every(&inside))? {
            Zone::Secure(keys) => {
                let why = unproven.unwrap_or_else(|| "there is no signed NSEC or NSEC3".into());
                let because = format!(
                    "{} does not prove that {} {} is absent: {why}",
                    keys.apex, self.at, self.record_type
                );
                End { status: Status::Bogus(Flaw::Denial, because), finding: Finding::Nothing }
            }
            other @ (Zone::Insecure(_) | Zone::Bogus(..) | Zone::Unanchored) => {
                self.unsigned(other.into_status(&self.at)?)
            }
        })
    }

    /// A denial without proof: RCODE says which, and nobody vouches for it.
    fn unsigned(&self, status: Status) -> End {
        let finding = match &status {
            Status::Secure | Status::Bogus(..) => Finding::Nothing,
            Status::Insecure(_) => {
                let question = Question::new(self.at.clone(), self.record_type);
                let denial = match self.run.bundle.rcode(&question) {
                    Some(3) => Denial::NxDomain,
                    _ => Denial::NoData,
                };
                Finding::Denied(denial)
            }
        };
        End { status, finding }
    }

    /// What came with the answer about the name, or with the answer that led to it.
    fn scope(&self) -> BTreeSet<usize> {
        let here = Question::new(self.at.clone(), self.record_type);
        self.run.bundle.came_with(&[&here, &self.question])
    }

    /// The deepest zone that signed NSEC or NSEC3 records and can hold the name. DS belongs to
    /// the parent (RFC 4035 §2.4).
    fn denier(&self, scope: &BTreeSet<usize>) -> Option<Name> {
        let is_ds = self.record_type == RecordType::DS && !self.at.is_root();
        let can_hold = |signer: &Name| {
            if is_ds { self.at.is_below(signer) } else { self.at.is_within(signer) }
        };
        [RecordType::NSEC, RecordType::NSEC3]
            .into_iter()
            .flat_map(|kind| self.run.bundle.of_type(kind))
            .filter(|(place, _)| scope.contains(place))
            .flat_map(|(_, set)| set.signatures.iter().map(|one| &one.signer))
            .filter(|signer| can_hold(signer))
            .max_by_key(|signer| signer.label_count())
            .cloned()
    }

    fn verdict(self, end: End) -> Validated {
        let (proof, because, flaw, failure) = match end.status {
            Status::Secure if self.proof == Proof::Secure => {
                let because = format!("validated from {} down", self.top());
                (Proof::Secure, because, None, None)
            }
            Status::Secure => (self.proof, self.because.clone().unwrap_or_default(), None, None),
            Status::Insecure(because) => {
                (Proof::Insecure, self.because.clone().unwrap_or(because), None, None)
            }
            Status::Bogus(Flaw::Limit, because) => {
                (Proof::Bogus, because, Some(Flaw::Limit), Some(FailureKind::Limit))
            }
            Status::Bogus(flaw, because) => {
                (Proof::Bogus, because, Some(flaw), Some(FailureKind::Bogus))
            }
        };
        let (proof_bytes, expires) = self.run.proof();
        Validated {
            proof,
            finding: end.finding,
            aliases: self.aliases,
            last: self.at,
            because,
            flaw,
            failure,
            expires,
            proof_bytes,
        }
    }

    fn failure(self, kind: FailureKind, because: String) -> Validated {
        let (proof_bytes, expires) = self.run.proof();
        Validated {
            proof: Proof::Indeterminate,
            finding: Finding::Nothing,
            aliases: self.aliases,
            last: self.at,
            because,
            flaw: None,
            failure: Some(kind),
            expires,
            proof_bytes,
        }
    }

    fn top(&self) -> String {
        let anchor = self.run.anchors.closest(&self.at);
        match anchor {
            Some((zone, _)) if zone.is_root() => "the root".into(),
            Some((zone, _)) => zone.to_string(),
            None => "nowhere".into(),
        }
    }
}
