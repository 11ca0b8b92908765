//! Facts to decide on: a destination with one host, everything else by name.

use std::{net::IpAddr, time::Duration};

use crate::{
    channel::{Floor, Level},
    dane::Tlsa,
    decide::{Ask, Case, Fallback, FirstSeen, Ground, Origin, Plan, Verdict, plan},
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    envelope::TlsAsk,
    facts::{Dane, Facts, HostFacts, Known, MxFact, NoTlsa, Peer, StsFact, StsFailure},
    memory::{Memory, Remembered},
    org::{Terms, Told},
    sts::{Mode, MxPattern, Policy},
    time::UnixTime,
};

pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(super) fn peer(name: &str) -> Peer {
    Peer::Name(domain(name))
}

pub(super) fn failure(kind: FailureKind) -> LookupFailure {
    LookupFailure {
        name: (&domain("mx.example.net")).into(),
        kind,
        detail: "no valid signature".into(),
    }
}

pub(super) fn found<T>(value: T, authenticity: Authenticity) -> Answer<T> {
    Answer::Found { value, authenticity, expires: NOW + HOUR, chain: None }
}

pub(super) fn absent<T>() -> Answer<T> {
    let (denial, absence) = (Denial::NoData, Absence::Unconfirmed);
    Answer::Absent { denial, absence, expires: NOW + HOUR, chain: None }
}

/// Whether MX records are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MxIs {
    Signed,
    Unsigned,
}

pub(super) const MX: [MxIs; 2] = [MxIs::Signed, MxIs::Unsigned];

impl MxIs {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Unsigned => "unsigned",
        }
    }

    pub(super) const fn fact(self) -> MxFact {
        let authenticity = match self {
            Self::Signed => Authenticity::Secure,
            Self::Unsigned => Authenticity::Insecure,
        };
        MxFact::Found { authenticity, expanded: None, chain: None }
    }
}

/// DANE states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DaneIs {
    Denied,
    NoZone,
    Unusable,
    Usable,
    Failed,
}

pub(super) const DANE: [DaneIs; 5] =
    [DaneIs::Denied, DaneIs::NoZone, DaneIs::Unusable, DaneIs::Usable, DaneIs::Failed];

impl DaneIs {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NoZone => "no zone",
            Self::Unusable => "unusable",
            Self::Usable => "usable",
            Self::Failed => "failed",
        }
    }

    pub(super) fn fact(self, host: &str) -> Dane {
        let base = domain(host);
        let tlsa = |usage| Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] };
        match self {
            Self::Denied => Dane::Absent(NoTlsa::Denied),
            Self::NoZone => Dane::Absent(NoTlsa::InsecureAddress),
            Self::Unusable => Dane::Unusable { base, records: vec![tlsa(1)], chain: None },
            Self::Usable => Dane::Usable { base, records: vec![tlsa(3), tlsa(2)], chain: None },
            Self::Failed => Dane::LookupFailed(failure(FailureKind::Bogus)),
        }
    }
}

/// MTA-STS states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StsIs {
    Absent,
    Off,
    Testing,
    First,
    Cached,
    Unlisted,
    UnknownNew,
    UnknownOld,
}

pub(super) const STS: [StsIs; 8] = [
    StsIs::Absent,
    StsIs::Off,
    StsIs::Testing,
    StsIs::First,
    StsIs::Cached,
    StsIs::Unlisted,
    StsIs::UnknownNew,
    StsIs::UnknownOld,
];

impl StsIs {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Off => "off",
            Self::Testing => "testing",
            Self::First => "first",
            Self::Cached => "cached",
            Self::Unlisted => "unlisted",
            Self::UnknownNew => "unknown",
            Self::UnknownOld => "unknown 1h",
        }
    }

    pub(super) fn fact(self) -> StsFact {
        let policy = |mode, known, mx: &str| StsFact::Policy {
            policy: Policy {
                mode,
                mx: vec![MxPattern::OneBelow(domain(mx))],
                max_age: Duration::from_hours(24),
            },
            known,
            id: Some("1".into()),
            fetched_at: NOW.before(HOUR * 2),
            expires: NOW + HOUR,
            refresh_failed: None,
        };
        let unknown = |since| StsFact::Unknown {
            failure: StsFailure::Record(failure(FailureKind::ServFail)),
            since,
        };
        match self {
            Self::Absent => StsFact::Absent { absence: Absence::Unconfirmed },
            Self::Off => policy(Mode::None, Known::Cached, "example.net"),
            Self::Testing => policy(Mode::Testing, Known::Cached, "example.net"),
            Self::First => policy(Mode::Enforce, Known::FirstFetch, "example.net"),
            Self::Cached => policy(Mode::Enforce, Known::Cached, "example.net"),
            Self::Unlisted => policy(Mode::Enforce, Known::Cached, "elsewhere.net"),
            Self::UnknownNew => unknown(NOW.before(Duration::from_mins(10))),
            Self::UnknownOld => unknown(NOW.before(HOUR)),
        }
    }
}

pub(super) const FLOORS: [Floor; 5] =
    [Floor::None, Floor::Encrypted, Floor::Authenticated, Floor::Qualified, Floor::Sealed];
pub(super) const ASKS: [TlsAsk; 3] = [TlsAsk::Nothing, TlsAsk::RequireTls, TlsAsk::TlsNotRequired];
pub(super) const MEMORIES: [Option<Level>; 4] =
    [None, Some(Level::Encrypted), Some(Level::Sts), Some(Level::Dane)];

pub(super) fn memory(level: Option<Level>) -> Memory {
    let confirmed = NOW.before(Duration::from_hours(24));
    Memory {
        best: level.map(|level| Remembered { level, host: peer("mx.example.net"), confirmed }),
    }
}

pub(super) fn host(name: &str, preference: u16, dane: DaneIs) -> HostFacts {
    let authenticity = match dane {
        DaneIs::NoZone => Authenticity::Insecure,
        DaneIs::Denied | DaneIs::Unusable | DaneIs::Usable | DaneIs::Failed => Authenticity::Secure,
    };
    let addresses: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    HostFacts {
        host: peer(name),
        preference,
        port: 25,
        addresses: found(addresses, authenticity),
        refused: Vec::new(),
        expanded: None,
        dane: dane.fact(name),
    }
}

pub(super) fn facts(mx: MxIs, dane: DaneIs, sts: StsIs) -> Facts {
    Facts {
        destination: domain("example.com"),
        at: NOW,
        mx: mx.fact(),
        hosts: vec![host("mx.example.net", 10, dane)],
        sts: sts.fact(),
        witnesses: Vec::new(),
    }
}

pub(super) fn verdict_of(floor: Floor) -> Verdict {
    Verdict { notify: vec![Told::Sender], ..Verdict::new(floor, Fallback::Hold, HOUR * 4) }
}

/// Everything that a plan follows from, owned.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) terms: Terms,
    pub(super) ask: Ask,
    pub(super) verdict: Verdict,
    pub(super) facts: Facts,
    pub(super) memory: Memory,
    pub(super) origin: Origin,
    pub(super) short_since: Option<UnixTime>,
    pub(super) first_seen: FirstSeen,
}

impl World {
    pub(super) fn new(floor: Floor, facts: Facts) -> Self {
        Self {
            terms: Terms::default(),
            ask: Ask::default(),
            verdict: verdict_of(floor),
            facts,
            memory: Memory::default(),
            origin: Origin::Person,
            short_since: None,
            first_seen: FirstSeen::default(),
        }
    }

    pub(super) fn case(&self) -> Case<'_> {
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

    /// Connections fall short since then.
    pub(super) fn refuse_since(&mut self, first: UnixTime) {
        self.short_since = Some(first);
        self.first_seen.refused = Some(first);
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.case(), 1, NOW)
    }

    pub(super) fn ground(&self) -> Ground<'_> {
        Ground {
            facts: &self.facts,
            host: &self.facts.hosts[0],
            terms: &self.terms,
            floor: self.verdict.floor,
            ask: self.ask.tls,
            standing: self.memory.standing(&self.facts, NOW),
            now: NOW,
        }
    }
}
