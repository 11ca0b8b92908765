//! Downgrade memory: what a destination achieved before. It raises demands, never lowers them
//! (promise P3), and it expires.
//!
//! What disappears with authentication is forgotten at once: a signed denial of TLSA, a signed MX
//! set without the host, a policy that was fetched validly and enforces nothing. What merely is
//! no longer seen may have been hidden by somebody on the path: it raises an alarm and stands.

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    channel::Level,
    dns::{Absence, Authenticity},
    facts::{Dane, Facts, HostFacts, Known, MxFact, NoTlsa, Peer, StsFact},
    sts::Mode,
    time::UnixTime,
    witness::{Missing, Testimony, Witnessed},
};

/// How long an achievement stands after it was confirmed last.
pub const TERM: Duration = Duration::from_hours(30 * 24);

/// What is remembered of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The best level that was achieved and confirmed within the last 30 days.
    pub best: Option<Remembered>,
}

/// One achievement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The level of the channel.
    pub level: Level,
    /// The host that it was achieved with.
    pub host: Peer,
    /// When it was seen last.
    pub confirmed: UnixTime,
}

/// What memory is worth in the light of new facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nothing is remembered.
    Nothing,
    /// It was confirmed more than 30 days ago.
    Expired,
    /// The destination took it back, with authentication.
    Retracted(Retraction),
    /// It binds.
    Stands(&'a Remembered),
}

/// How a destination took back what it offered, so that nobody else can have done it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retraction {
    /// Its signed zone denies TLSA for that host, or holds none that can be used.
    TlsaDenied,
    /// Its signed MX set names other hosts.
    MxChanged,
    /// Its policy host, over HTTPS, serves a policy that enforces nothing; or its signed zone
    /// denies the record (RFC 8461 §8.3).
    PolicyWithdrawn,
}

/// Something that an administrator should look at: a misconfiguration, or an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// There was a channel by DANE, and no host has usable TLSA under a signed MX any more.
    DaneGone {
        /// When it was confirmed last.
        confirmed: UnixTime,
    },
    /// There was a channel by MTA-STS, and no policy enforces any more.
    StsGone {
        /// When it was confirmed last.
        confirmed: UnixTime,
    },
    /// MTA-STS discovery fails and nothing is cached: a policy may be hidden from us.
    PolicyUnknown {
        /// Since when.
        since: UnixTime,
    },
    /// A resolver of another operator sees what ours does not.
    Hidden {
        /// What.
        missing: Missing,
        /// Who sees it.
        witness: String,
    },
    /// A channel was weaker than one before.
    Weaker {
        /// What is remembered.
        remembered: Level,
        /// What it was now.
        seen: Level,
    },
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaneGone { confirmed } => {
                write!(f, "DANE is gone without a signed denial; it held last at {confirmed}")
            }
            Self::StsGone { confirmed } => {
                write!(f, "the MTA-STS policy is gone; it was enforced last at {confirmed}")
            }
            Self::PolicyUnknown { since } => {
                write!(f, "MTA-STS discovery fails since {since}: a policy may be hidden")
            }
            Self::Hidden { missing, witness } => {
                write!(f, "{witness} sees {missing}, our own resolver does not: somebody hides it")
            }
            Self::Weaker { remembered, seen } => {
                write!(f, "the channel was {seen}, and {remembered} before")
            }
        }
    }
}

impl Memory {
    /// Memory after a channel of that level carried mail to a host of the destination. Smarthosts
    /// and `[[route]]`s are not remembered: their level is our own configuration.
    #[must_use]
    pub fn confirm(&self, level: Level, host: &Peer, now: UnixTime) -> Self {
        let standing = self.best.as_ref().filter(|best| best.is_fresh(now));
        let better = standing.is_none_or(|best| rank(level) >= rank(best.level));
        if rank(level) == 0 || !better {
            return Self { best: standing.cloned() };
        }
        Self { best: Some(Remembered { level, host: host.clone(), confirmed: now }) }
    }

    /// Memory after an attempt that decided on these facts and achieved those levels. This is what is
    /// kept now, which others may have raised since the attempt began: that is never lowered
    /// (promise P3), and only facts that are newer take it back.
    #[must_use]
    pub fn after<'a>(
        &self,
        facts: &Facts,
        achieved: impl IntoIterator<Item = (Level, &'a Peer)>,
        now: UnixTime,
    ) -> Self {
        let newer = self.best.as_ref().is_some_and(|best| best.confirmed > facts.at);
        let kept = if newer { self.clone() } else { self.refresh(facts, now) };
        achieved.into_iter().fold(kept, |memory, (level, host)| memory.confirm(level, host, now))
    }

    /// Memory without what has expired or was taken back.
    #[must_use]
    pub fn refresh(&self, facts: &Facts, now: UnixTime) -> Self {
        match self.standing(facts, now) {
            Standing::Stands(best) => Self { best: Some(best.clone()) },
            Standing::Nothing | Standing::Expired | Standing::Retracted(_) => Self::default(),
        }
    }

    /// What it is worth in the light of new facts.
    pub fn standing(&self, facts: &Facts, now: UnixTime) -> Standing<'_> {
        let Some(best) = &self.best else { return Standing::Nothing };
        if rank(best.level) == 0 {
            return Standing::Nothing;
        }
        if !best.is_fresh(now) {
            return Standing::Expired;
        }
        match best.retraction(facts) {
            Some(retraction) => Standing::Retracted(retraction),
            None => Standing::Stands(best),
        }
    }

    /// What somebody should look at before mail is sent.
    pub fn alarms(&self, facts: &Facts, now: UnixTime) -> Vec<Alarm> {
        let contradicting = |one: &&Witnessed| matches!(one.said, Testimony::Contradicts);
        let hidden =
            |one: &Witnessed| Alarm::Hidden { missing: one.missing, witness: one.witness.clone() };
        let mut alarms: Vec<_> = facts.witnesses.iter().filter(contradicting).map(hidden).collect();
        if let StsFact::Unknown { since, .. } = &facts.sts {
            alarms.push(Alarm::PolicyUnknown { since: *since });
        }
        let Standing::Stands(best) = self.standing(facts, now) else { return alarms };
        let confirmed = best.confirmed;
        match best.level {
            Level::Dane if !offers_dane(facts) => alarms.push(Alarm::DaneGone { confirmed }),
            Level::Sts | Level::StsFirst if !enforces(&facts.sts) => {
                alarms.push(Alarm::StsGone { confirmed });
            }
            Level::Cleartext
            | Level::Encrypted
            | Level::Named
            | Level::StsFirst
            | Level::Sts
            | Level::Anchored
            | Level::Dane
            | Level::Pinned => {}
        }
        alarms
    }

    /// The alarm for a channel that was weaker than one before.
    pub fn weaker(&self, seen: Level, now: UnixTime) -> Option<Alarm> {
        let best = self.best.as_ref().filter(|best| best.is_fresh(now))?;
        let weaker = rank(seen) < rank(best.level) && seen != Level::Pinned;
        weaker.then_some(Alarm::Weaker { remembered: best.level, seen })
    }
}

impl Remembered {
    fn is_fresh(&self, now: UnixTime) -> bool {
        now < self.confirmed + TERM
    }

    fn retraction(&self, facts: &Facts) -> Option<Retraction> {
        if is_signed(&facts.mx) {
            let Some(host) = facts.hosts.iter().find(|facts| facts.host == self.host) else {
                return Some(Retraction::MxChanged);
            };
            if self.level == Level::Dane && denies_dane(host) {
                return Some(Retraction::TlsaDenied);
            }
        }
        let by_policy = matches!(self.level, Level::Sts | Level::StsFirst);
        (by_policy && withdrawn(&facts.sts)).then_some(Retraction::PolicyWithdrawn)
    }
}

/// How much an achievement is worth against another. `pinned` is our own configuration, so that
/// there is nothing to remember; cleartext is no achievement.
const fn rank(level: Level) -> u8 {
    match level {
        Level::Cleartext | Level::Pinned => 0,
        Level::Encrypted | Level::Named => 1,
        Level::StsFirst | Level::Sts | Level::Anchored => 2,
        Level::Dane => 3,
    }
}

const fn is_signed(mx: &MxFact) -> bool {
    match mx {
        MxFact::Found { authenticity, .. } => matches!(authenticity, Authenticity::Secure),
        MxFact::Implicit { absence, .. } => matches!(absence, Absence::Secure),
        MxFact::Null { .. } | MxFact::NoDomain { .. } | MxFact::Configured | MxFact::Failed(_) => {
            false
        }
    }
}

/// Whether the signed zone of a host says that there is nothing to match (RFC 7672 §2.2).
pub(crate) const fn denies_dane(host: &HostFacts) -> bool {
    matches!(host.dane, Dane::Absent(NoTlsa::Denied) | Dane::Unusable { .. })
}

fn offers_dane(facts: &Facts) -> bool {
    is_signed(&facts.mx) && facts.hosts.iter().any(|host| matches!(host.dane, Dane::Usable { .. }))
}

const fn enforces(sts: &StsFact) -> bool {
    match sts {
        StsFact::Policy { policy, .. } => matches!(policy.mode, Mode::Enforce),
        StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => false,
    }
}

/// A policy that enforces nothing takes back one that did, if it came over HTTPS: whoever could
/// forge `testing` could forge `none`. A preloaded one says nothing about today.
const fn withdrawn(sts: &StsFact) -> bool {
    match sts {
        StsFact::Policy { policy, known, .. } => {
            !matches!(policy.mode, Mode::Enforce) && !matches!(known, Known::Preloaded)
        }
        StsFact::Absent { absence } => matches!(absence, Absence::Secure),
        StsFact::Unknown { .. } | StsFact::NotAsked => false,
    }
}
