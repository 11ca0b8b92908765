//! A reason that people and records can follow.

use serde::{Deserialize, Serialize};

/// One step of a decision: what was so, which rule looked at it, where that rule is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// What was observed: `mx1.example.net has 2 usable TLSA records`.
    pub fact: String,
    /// What follows from it: `the certificate must match one of them`.
    pub rule: String,
    /// Where it says so: `RFC 7672 §2.2`, or the name of the organisation's rule.
    pub rfc: String,
}

impl Because {
    /// One reason.
    pub fn new(fact: impl Into<String>, rule: impl Into<String>, rfc: impl Into<String>) -> Self {
        Self { fact: fact.into(), rule: rule.into(), rfc: rfc.into() }
    }
}
