//! What a record says of the decision: all that it followed from, and what followed.

use serde::{Deserialize, Serialize};

use crate::{
    decide::{Ask, Case, FirstSeen, Origin, Plan, Verdict},
    domain::Domain,
    facts::Facts,
    memory::Memory,
    org::Terms,
    time::UnixTime,
};

/// What was decided, with all that it followed from: enough to decide it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// [`crate::decide::DECIDER`] of the program that decided.
    pub decider: u32,
    /// When.
    pub at: UnixTime,
    /// What ordered hosts of equal preference.
    pub seed: u64,
    /// Our settings for this destination.
    pub terms: Terms,
    /// What the message asked for.
    pub ask: Ask,
    /// What the rules said, without the addresses of those who are told.
    pub verdict: Verdict,
    /// What was observed.
    pub facts: Facts,
    /// What was remembered.
    pub memory: Memory,
    /// Whether anybody could be told.
    pub origin: Origin,
    /// Since when no channel was good enough for the group; before decider 3, since its first attempt.
    #[serde(alias = "first_tried")]
    pub short_since: Option<UnixTime>,
    /// Since when each kind of what falls short was seen; before decider 4, nothing.
    #[serde(default, skip_serializing_if = "FirstSeen::is_nothing")]
    pub first_seen: FirstSeen,
    /// What followed.
    pub plan: Plan,
}

impl Decided {
    /// A decision as it was made.
    pub fn new(case: &Case<'_>, plan: Plan, seed: u64, at: UnixTime) -> Self {
        let verdict = Verdict { notify: Vec::new(), ..case.verdict.clone() };
        Self {
            decider: crate::decide::DECIDER,
            at,
            seed,
            terms: case.terms.clone(),
            ask: *case.ask,
            verdict,
            facts: case.facts.clone(),
            memory: case.memory.clone(),
            origin: case.origin,
            short_since: case.short_since,
            first_seen: case.first_seen,
            plan,
        }
    }

    /// The case that was decided.
    pub const fn case(&self) -> Case<'_> {
        Case {
            terms: &self.terms,
            ask: &self.ask,
            verdict: &self.verdict,
            facts: &self.facts,
            memory: &self.memory,
            origin: self.origin,
            short_since: self.short_since,
            first_seen: self.first_seen,
        }
    }
}

/// What is known of an attempt that ended with the process. Facts and plan were in memory only;
/// the message may have been sent (RFC 1047).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    /// When the final dot was about to be sent.
    pub at: UnixTime,
    /// To which domain.
    pub destination: Domain,
    /// What the message asked for.
    pub ask: Ask,
    /// What the rules said, without the addresses of those who are told.
    pub verdict: Verdict,
    /// Whether anybody could be told.
    pub origin: Origin,
    /// Since when no channel was good enough for the group; before decider 3, since its first attempt.
    #[serde(alias = "first_tried")]
    pub short_since: Option<UnixTime>,
}
