//! What to demand of one host: the published demands, joined with ours.
//!
//! A demand is first a set of [`Need`]s. Sets are only ever joined, so that whatever is published
//! or remembered can raise a demand and nothing can lower one (promise P3); that a look-up failed
//! is an obstacle and never an empty set (promise P1). `matrix.txt` shows all combinations.

mod obstacle;
mod reason;

pub use obstacle::Obstacle;

use super::{Because, RequireTls};
use crate::{
    channel::{By, Demand, Floor, Level, TrustFirst, Voucher},
    dns::{Absence, Answer, Authenticity},
    domain::Domain,
    envelope::TlsAsk,
    facts::{Dane, Facts, HostFacts, Known, MxFact, Peer, StsFact},
    memory::{Remembered, Standing, denies_dane},
    org::{Honour, OnLoss, RouteTls, Terms},
    sts::Mode,
    time::UnixTime,
};

/// What a channel needs, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Need(u8);

impl Need {
    /// Nothing; TLS is tried.
    pub const NOTHING: Self = Self(0);
    /// TLS.
    pub const TLS: Self = Self(1);
    /// A match with the TLSA records (RFC 7672 §2.2).
    pub const DANE: Self = Self(0b10 | 1);
    /// A public CA for the MX name that the policy lists (RFC 8461 §4.2).
    pub const STS: Self = Self(0b100 | 1);
    /// A public CA for a name that no attacker could choose.
    pub const ANCHOR: Self = Self(0b1000 | 1);
    /// The administrator's pins.
    pub const PIN: Self = Self(0b1_0000 | 1);

    /// What both need.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// How many proofs it asks for beside TLS.
    const fn proofs(self) -> usize {
        (self.0 & !Self::TLS.0).count_ones() as usize
    }

    /// Whether it needs all that `other` needs.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is demanded of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// As a set.
    pub need: Need,
    /// With names and records.
    pub demand: Demand,
    /// What the level will be if the demand is met.
    pub level: Level,
    /// The server name to send.
    pub sni: Option<Domain>,
    /// Why.
    pub because: Vec<Because>,
}

/// Who chose the name of a host: only a name that an attacker could not choose is worth a
/// certificate (RFC 7672 §2.2.1, RFC 8461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// A signed MX set, or a signed denial of one.
    Dnssec,
    /// A `[[route]]`.
    Administrator,
    /// Unsigned DNS: anybody on the path.
    Path,
}

impl NamedBy {
    pub(super) const fn of(mx: &MxFact) -> Self {
        match mx {
            MxFact::Configured => Self::Administrator,
            MxFact::Found { authenticity: Authenticity::Secure, .. }
            | MxFact::Implicit { absence: Absence::Secure, .. } => Self::Dnssec,
            MxFact::Found { authenticity: Authenticity::Insecure, .. }
            | MxFact::Implicit { absence: Absence::Agreed | Absence::Unconfirmed, .. }
            | MxFact::Null { .. }
            | MxFact::NoDomain { .. }
            | MxFact::Failed(_) => Self::Path,
        }
    }
}

/// What MTA-STS comes to for one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sts {
    /// No policy, or one that enforces nothing. `testing` is reported, not enforced; it is no
    /// weaker than no policy (RFC 8461 §5).
    Nothing,
    /// Enforced, and the host is listed.
    Listed(Known),
    /// Enforced, and the host is not listed.
    Unlisted,
    /// It could not be found out.
    Unknown,
}

/// All that bears on one host.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Facts about the destination.
    pub facts: &'a Facts,
    /// The host, one of those in the facts.
    pub host: &'a HostFacts,
    /// Our settings for this destination.
    pub terms: &'a Terms,
    /// The organisation's floor for this message.
    pub floor: Floor,
    /// What the message asks for.
    pub ask: TlsAsk,
    /// What is remembered.
    pub standing: Standing<'a>,
    /// Now.
    pub now: UnixTime,
}

/// What to demand of one host, or why it is not tried.
///
/// # Errors
/// The obstacle. None of them ever turns into a weaker channel.
pub fn transport(ground: &Ground<'_>) -> Result<Chosen, Obstacle> {
    reachable(ground.host)?;
    let mut because = Vec::with_capacity(4);
    let mut need = ground.agreed(&mut because);
    if ground.honours() {
        need = need.and(ground.remote(&mut because)?);
        need = ground.remembered(need, &mut because)?;
    }
    need = ground.at_least(need, &mut because)?;
    // Before REQUIRETLS is judged: a policy that is hidden from us could vouch for the host.
    if ground.waits_for_policy(need) {
        return Err(Obstacle::StsUnknown { until: ground.goes_on_at(need) });
    }
    if ground.require_tls() == RequireTls::Yes {
        need = ground.required(need, &mut because)?;
    }
    Ok(Chosen {
        need,
        demand: ground.demand(need),
        level: ground.level(need),
        sni: ground.sni(need),
        because,
    })
}

fn reachable(host: &HostFacts) -> Result<(), Obstacle> {
    match &host.addresses {
        Answer::Found { value, .. } if !value.is_empty() => Ok(()),
        Answer::Found { .. } | Answer::Absent { .. } => Err(Obstacle::NoAddress),
        Answer::Failed(failure) => Err(Obstacle::AddressFailed(failure.clone())),
    }
}

impl Ground<'_> {
    /// Whether published and remembered demands count for this message. `TLS-Required: No` waives
    /// them (RFC 8689 §4.2.2); our own floor stays.
    fn honours(&self) -> bool {
        self.ask != TlsAsk::TlsNotRequired && self.terms.trust.honour == Honour::Published
    }

    /// Whether REQUIRETLS goes with the message.
    pub(super) fn require_tls(&self) -> RequireTls {
        match self.ask {
            TlsAsk::RequireTls => RequireTls::Yes,
            TlsAsk::Nothing | TlsAsk::TlsNotRequired => RequireTls::No,
        }
    }

    fn named_by(&self) -> NamedBy {
        NamedBy::of(&self.facts.mx)
    }

    fn sts(&self) -> Sts {
        match &self.facts.sts {
            StsFact::Absent { .. } | StsFact::NotAsked => Sts::Nothing,
            StsFact::Unknown { .. } => Sts::Unknown,
            // Facts that are older than the policy in them say nothing about the policy of now.
            StsFact::Policy { expires, .. } if *expires <= self.now => Sts::Unknown,
            StsFact::Policy { policy, known, .. } => match policy.mode {
                Mode::None | Mode::Testing => Sts::Nothing,
                Mode::Enforce => match &self.host.host {
                    Peer::Name(host) if policy.allows(host) => Sts::Listed(*known),
                    Peer::Name(_) | Peer::Literal(_) => Sts::Unlisted,
                },
            },
        }
    }

    /// What was agreed out of band.
    fn agreed(&self, because: &mut Vec<Because>) -> Need {
        let Some(agreement) = &self.terms.agreement else { return Need::NOTHING };
        let (need, rule) = match (agreement.demand, &agreement.pins) {
            (_, Some(_)) => (Need::PIN, "the key or the CA must be a pinned one"),
            (RouteTls::Authenticated, None) => {
                (Need::ANCHOR, "a public CA must vouch for a name that was agreed")
            }
            (RouteTls::Encrypted, None) => (Need::TLS, "TLS is mandatory"),
            (RouteTls::Opportunistic, None) => (Need::NOTHING, "TLS is tried"),
        };
        because.push(Because::new("the administrator configured this route", rule, "route"));
        need
    }

    /// What the destination publishes.
    fn remote(&self, because: &mut Vec<Because>) -> Result<Need, Obstacle> {
        let (sts, by) = (self.sts(), self.named_by());
        if let Sts::Listed(_) = sts {
            because.push(match &self.host.dane {
                Dane::Absent(why) => reason::absent(*why).clone(),
                Dane::Unusable { .. } => reason::UNUSABLE.clone(),
                Dane::Usable { .. } | Dane::LookupFailed(_) => reason::STS_FILTERS.clone(),
            });
        }
        let (need, why) = match (&self.host.dane, by, sts) {
            // RFC 8461 §4.1: not a host of this domain, whatever else vouches for it.
            (_, _, Sts::Unlisted) => return Err(Obstacle::NotListed),
            // RFC 7672 §2.1.2, §2.2: not this host now; the next one may do.
            (Dane::LookupFailed(failure), _, _) => {
                return Err(Obstacle::TlsaFailed(failure.clone()));
            }
            // RFC 7672 §2.2; RFC 8461 §2: MTA-STS never overrides DANE, it filtered the hosts.
            (Dane::Usable { .. }, NamedBy::Dnssec | NamedBy::Administrator, _) => {
                (Need::DANE, &reason::DANE)
            }
            // RFC 7672 §2.2.1: enforced, and worth no more than `named`; so the policy counts too.
            (Dane::Usable { .. }, NamedBy::Path, Sts::Listed(_)) => {
                (Need::DANE.and(Need::STS), &reason::DANE_AND_STS)
            }
            (Dane::Usable { .. }, NamedBy::Path, Sts::Nothing | Sts::Unknown) => {
                (Need::DANE, &reason::DANE_UNSIGNED_MX)
            }
            // RFC 8461 §4.2, §5.
            (Dane::Unusable { .. } | Dane::Absent(_), _, Sts::Listed(_)) => {
                (Need::STS, &reason::STS)
            }
            // RFC 7672 §2.2: TLS was promised; nobody vouches.
            (Dane::Unusable { .. }, _, Sts::Nothing | Sts::Unknown) => {
                (Need::TLS, &reason::UNUSABLE)
            }
            // RFC 7672 §2.2: pre-DANE policy applies.
            (Dane::Absent(why), _, Sts::Nothing | Sts::Unknown) => {
                (Need::NOTHING, reason::absent(*why))
            }
        };
        because.push(why.clone());
        Ok(need)
    }

    /// Raises a need to what was achieved before.
    fn remembered(&self, need: Need, because: &mut Vec<Because>) -> Result<Need, Obstacle> {
        let Standing::Stands(Remembered { level, .. }) = self.standing else { return Ok(need) };
        if self.terms.trust.on_loss == OnLoss::Alarm {
            return Ok(need);
        }
        let raised = match level {
            Level::Cleartext | Level::Pinned => need,
            Level::Encrypted | Level::Named => need.and(Need::TLS),
            Level::StsFirst | Level::Sts | Level::Anchored => {
                self.raise(need, Floor::Authenticated).ok_or(Obstacle::Remembered(*level))?
            }
            Level::Dane if matches!(self.level(need), Level::Dane | Level::Pinned) => need,
            // This host's own signed zone says so; another host achieved it.
            Level::Dane if self.named_by() == NamedBy::Dnssec && denies_dane(self.host) => need,
            Level::Dane => return Err(Obstacle::Remembered(*level)),
        };
        if raised != need {
            because.push(reason::REMEMBERED.clone());
        }
        Ok(raised)
    }

    /// Raises a need to the organisation's floor.
    fn at_least(&self, need: Need, because: &mut Vec<Because>) -> Result<Need, Obstacle> {
        let raised = self.raise(need, self.floor).ok_or_else(|| match &self.host.dane {
            // A waived demand is still the means to our own floor, and may come back.
            Dane::LookupFailed(failure) if self.floor == Floor::Qualified => {
                Obstacle::TlsaFailed(failure.clone())
            }
            Dane::LookupFailed(_)
            | Dane::Absent(_)
            | Dane::Unusable { .. }
            | Dane::Usable { .. } => Obstacle::BelowFloor(self.floor),
        })?;
        if raised != need {
            because.push(reason::floor(self.floor).clone());
        }
        Ok(raised)
    }

    /// The least that contains `need` and meets `floor`; `None` where nothing does.
    fn raise(&self, need: Need, floor: Floor) -> Option<Need> {
        let need = match floor {
            Floor::None => return Some(need),
            Floor::Encrypted => return Some(need.and(Need::TLS)),
            Floor::Sealed => return None,
            Floor::Authenticated | Floor::Qualified => need.and(Need::TLS),
        };
        self.means()
            .into_iter()
            .flatten()
            .map(|means| need.and(means))
            .find(|raised| self.level(*raised).meets(floor, self.terms.trust.first_policy))
    }

    /// What REQUIRETLS asks for: authenticated TLS to a host whose name DNSSEC, MTA-STS or the
    /// administrator vouches for (RFC 8689 §4.2.1).
    fn required(&self, need: Need, because: &mut Vec<Because>) -> Result<Need, Obstacle> {
        let first = self.terms.trust.first_policy;
        let raised = match self.named_by() {
            NamedBy::Dnssec | NamedBy::Administrator => {
                self.raise(need, Floor::Authenticated).ok_or(Obstacle::RequireTls)?
            }
            NamedBy::Path if need.covers(Need::PIN) => need,
            // A certificate for the recipient's domain says nothing about the name of the host:
            // whatever else the floor or memory made the host prove, the policy has to be one
            // that counts.
            NamedBy::Path => match self.sts() {
                Sts::Listed(Known::FirstFetch) if first == TrustFirst::No => {
                    return Err(Obstacle::FirstPolicy);
                }
                Sts::Listed(_) => need.and(Need::STS),
                Sts::Nothing | Sts::Unlisted | Sts::Unknown => return Err(Obstacle::RequireTls),
            },
        };
        because.push(reason::REQUIRED.clone());
        Ok(raised)
    }

    /// What can be asked of this host at all, the least first.
    fn means(&self) -> [Option<Need>; 5] {
        let dane = matches!(self.host.dane, Dane::Usable { .. }).then_some(Need::DANE);
        let sts = matches!(self.sts(), Sts::Listed(_)).then_some(Need::STS);
        let pins = self.terms.agreement.as_ref().is_some_and(|agreed| agreed.pins.is_some());
        let anchor = self.can_anchor().then_some(Need::ANCHOR);
        [Some(Need::TLS), pins.then_some(Need::PIN), dane, sts, anchor]
    }

    /// Whether mail waits because a policy may be hidden. A host with usable TLSA under a signed
    /// MX does not wait, since MTA-STS could not override DANE; nor does a pinned one.
    fn waits_for_policy(&self, need: Need) -> bool {
        if !self.honours() || self.sts() != Sts::Unknown {
            return false;
        }
        if matches!(self.level(need), Level::Dane | Level::Pinned) {
            return false;
        }
        // A smarthost: all that its policy could demand is a public CA for its name (RFC 8461
        // §4.2), and the administrator demands that already.
        if self.named_by() == NamedBy::Administrator && need.covers(Need::ANCHOR) {
            return false;
        }
        self.goes_on_at(need).is_none_or(|at| self.now < at)
    }

    /// When mail goes on as if there were no policy: for the floors `none` and `encrypted` only
    /// (promise P1, RFC 8461 §3.3).
    fn goes_on_at(&self, need: Need) -> Option<UnixTime> {
        let StsFact::Unknown { since, .. } = &self.facts.sts else { return None };
        let free = matches!(self.floor, Floor::None | Floor::Encrypted)
            && !need.covers(Need::ANCHOR)
            && self.require_tls() == RequireTls::No;
        free.then(|| *since + self.terms.trust.sts_patience)
    }

    /// The level of a channel that brings all of a need (DESIGN §2).
    fn level(&self, need: Need) -> Level {
        let known = match &self.facts.sts {
            StsFact::Policy { known, .. } => *known,
            StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => {
                Known::FirstFetch
            }
        };
        let signed = self.named_by() != NamedBy::Path;
        if need.covers(Need::PIN) {
            Level::Pinned
        } else if need.covers(Need::DANE) && signed {
            Level::Dane
        } else if need.covers(Need::STS) && known != Known::FirstFetch {
            Level::Sts
        } else if need.covers(Need::ANCHOR) {
            Level::Anchored
        } else if need.covers(Need::STS) {
            Level::StsFirst
        } else if need.covers(Need::DANE) {
            Level::Named
        } else if need.covers(Need::TLS) {
            Level::Encrypted
        } else {
            Level::Cleartext
        }
    }

    /// Whether there is a name that no attacker could choose.
    fn can_anchor(&self) -> bool {
        let agreed = self.terms.agreement.as_ref().is_some_and(|agreed| !agreed.names.is_empty());
        agreed
            || match self.named_by() {
                NamedBy::Dnssec | NamedBy::Path => true,
                NamedBy::Administrator => matches!(self.host.host, Peer::Name(_)),
            }
    }

    /// Names that no attacker could choose.
    fn vouched(&self) -> Vec<Domain> {
        let agreed = self.terms.agreement.iter().flat_map(|agreed| agreed.names.iter());
        let mut names: Vec<Domain> = agreed.cloned().collect();
        let by = self.named_by();
        let host = match (&self.host.host, by) {
            (Peer::Name(host), NamedBy::Dnssec) => Some(host),
            (Peer::Name(host), NamedBy::Administrator) if names.is_empty() => Some(host),
            (Peer::Name(_), NamedBy::Administrator | NamedBy::Path) | (Peer::Literal(_), _) => None,
        };
        let destination = (by != NamedBy::Administrator).then_some(&self.facts.destination);
        for name in host.into_iter().chain(destination) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// The need with its records and names.
    fn demand(&self, need: Need) -> Demand {
        if need == Need::NOTHING {
            return Demand::Opportunistic;
        }
        let mut vouchers = Vec::with_capacity(need.proofs());
        let agreement = self.terms.agreement.as_ref();
        if let Some(pins) = agreement.and_then(|agreed| agreed.pins.as_ref())
            && need.covers(Need::PIN)
        {
            let names = match (agreement, &self.host.host) {
                (Some(agreed), _) if !agreed.names.is_empty() => agreed.names.clone(),
                (_, Peer::Name(host)) => vec![host.clone()],
                (_, Peer::Literal(_)) => Vec::new(),
            };
            vouchers.push(Voucher { by: By::Pin(pins.clone()), names });
        }
        if let Dane::Usable { base, records, .. } = &self.host.dane
            && need.covers(Need::DANE)
        {
            let by = By::Dane { records: records.clone() };
            vouchers.push(Voucher { by, names: self.dane_names(base) });
        }
        if let Peer::Name(host) = &self.host.host
            && need.covers(Need::STS)
        {
            vouchers.push(Voucher { by: By::Sts, names: vec![host.clone()] });
        }
        if need.covers(Need::ANCHOR) {
            vouchers.push(Voucher { by: By::Anchor, names: self.vouched() });
        }
        if vouchers.is_empty() { Demand::Encrypt } else { Demand::Authenticate(vouchers) }
    }

    /// Reference names for usage 2 (RFC 7672 §3.2.2): with an unsigned MX, the host's own only; where
    /// no MX was used, the name that an alias led away from, too.
    fn dane_names(&self, base: &Domain) -> Vec<Domain> {
        let mut names = Vec::with_capacity(3);
        names.push(base.clone());
        let original = match &self.host.host {
            Peer::Name(host) => Some(host),
            Peer::Literal(_) => None,
        };
        let also: [Option<&Domain>; 2] = match &self.facts.mx {
            MxFact::Found { authenticity: Authenticity::Secure, expanded, .. } => {
                [Some(&self.facts.destination), expanded.as_ref()]
            }
            MxFact::Implicit { .. } | MxFact::Configured => [original, None],
            MxFact::Found { authenticity: Authenticity::Insecure, .. }
            | MxFact::Null { .. }
            | MxFact::NoDomain { .. }
            | MxFact::Failed(_) => [None, None],
        };
        for name in also.into_iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// RFC 7672 §8.1: the TLSA base domain. RFC 8461 §7.1: the MX name.
    fn sni(&self, need: Need) -> Option<Domain> {
        match (&self.host.dane, &self.host.host) {
            (Dane::Usable { base, .. }, _) if need.covers(Need::DANE) => Some(base.clone()),
            (_, Peer::Name(host)) => Some(host.clone()),
            (_, Peer::Literal(_)) => {
                self.terms.agreement.as_ref().and_then(|agreed| agreed.names.first().cloned())
            }
        }
    }
}
