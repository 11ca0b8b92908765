//! A reason that people and records can follow.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One step of a decision: what was so, which rule looked at it, where that rule is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Because {
    /// What was observed: `mx1.example.net has 2 usable TLSA records`.
    pub fact: Cow<'static, str>,
    /// What follows from it: `the certificate must match one of them`.
    pub rule: Cow<'static, str>,
    /// Where it says so: `RFC 7672 §2.2`, or the name of the organisation's rule.
    pub rfc: Cow<'static, str>,
}

impl Because {
    /// One reason. Words that are always the same cost nothing: a plan has to be made in 2 µs.
    pub fn new(
        fact: impl Into<Cow<'static, str>>,
        rule: impl Into<Cow<'static, str>>,
        rfc: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { fact: fact.into(), rule: rule.into(), rfc: rfc.into() }
    }
}
