//! The plan: ordered routes with the proof that each needs, and no choices left for execution.

mod last;
mod order;
mod why;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::order::{MAX_ADDRESSES, MAX_HOSTS};
use super::{
    Because, FirstSeen, Lack, Origin, Verdict,
    transport::{Chosen, Ground, transport},
};
use crate::{
    channel::{Demand, Floor, Level, TrustFirst},
    dns::{Absence, Authenticity},
    domain::Domain,
    envelope::{Body, Charset, TlsAsk},
    facts::{Facts, Known, MxFact, Peer, StsFact},
    memory::{Memory, Retraction, Standing},
    org::{OnLoss, Reach, Terms},
    reply::EnhancedCode,
    sts::Mode,
    time::UnixTime,
    witness::{Testimony, Witnessed},
};

/// What the message itself asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// REQUIRETLS, or `TLS-Required: No`.
    pub tls: TlsAsk,
    /// 8BITMIME needed.
    pub body: Body,
    /// SMTPUTF8 needed.
    pub charset: Charset,
}

/// All that a plan follows from. Everything in it is recorded, so that the record can be decided
/// again (promise P5).
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What of the organisation's settings bears on this destination.
    pub terms: &'a Terms,
    /// What the message asks for.
    pub ask: &'a Ask,
    /// What the rules say.
    pub verdict: &'a Verdict,
    /// What was observed.
    pub facts: &'a Facts,
    /// What is remembered of the destination.
    pub memory: &'a Memory,
    /// Whether anybody can be told.
    pub origin: Origin,
    /// Since when no channel was good enough for this delivery group: patience begins there, not
    /// when a host was merely down. `None` where that never kept it here.
    pub short_since: Option<UnixTime>,
    /// Since when each kind of what falls short was seen: a bounce needs a second look.
    pub first_seen: FirstSeen,
}

/// What to do for one delivery group now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In order: hosts to try, then one last entry that says what if none took it.
    pub routes: Vec<Route>,
    /// Why.
    pub because: Vec<Because>,
    /// Why no host can reach a higher level than it does; `None` where all reach `dane` or
    /// `pinned`.
    pub why_not_higher: Option<String>,
    /// How far the level speaks for the way of the message.
    pub reach: Reach,
    /// What falls short whoever is reached: patience begins with it.
    #[serde(default, skip_serializing_if = "Lack::is_nothing")]
    pub lack: Lack,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Route {
    /// Try this host.
    Host(HostRoute),
    /// Not now: stay queued.
    Wait {
        /// Not before this, where it is known.
        until: Option<UnixTime>,
        /// For the DSN and the record.
        code: EnhancedCode,
        /// In words.
        reason: String,
    },
    /// The fallback `hold`.
    Hold {
        /// For the DSN, should nobody decide, and the record.
        code: EnhancedCode,
        /// In words.
        reason: String,
    },
    /// Give up: a DSN goes to the sender, or, where nobody may be told, a notice to our postmaster.
    GiveUp {
        /// `5.7.x`, `5.1.x`, ...
        code: EnhancedCode,
        /// In words.
        reason: String,
        /// Until then a channel that fell short is not the end: an attack or a repair looks the
        /// same. What hosts lack over a good channel is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<UnixTime>,
    },
}

/// One MX host, and what to demand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// Whom we mean to reach.
    pub peer: Peer,
    /// Addresses in the order to try them.
    pub addresses: Vec<SocketAddr>,
    /// Server name to send: the TLSA base domain, or the MX name (RFC 7672 §8.1, RFC 8461 §7.1).
    pub sni: Option<Domain>,
    /// Judged by `permit` before the first mail command.
    pub demand: Demand,
    /// The organisation's floor: the level that comes out has to meet it too.
    pub floor: Floor,
    /// Whether a policy of first contact is enough for that floor.
    #[serde(default)]
    pub trust_first: TrustFirst,
    /// What the level will be if the demand is met.
    pub level: Level,
    /// The peer must offer REQUIRETLS, and MAIL carries it (RFC 8689 §4.2.1).
    pub require_tls: RequireTls,
    /// Why this demand here.
    pub because: Vec<Because>,
}

/// Whether the next hop must understand REQUIRETLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequireTls {
    /// The message does not ask for it.
    #[default]
    No,
    /// It does.
    Yes,
}

/// What to do now: MX order, what to demand of each host, and what if none takes it.
///
/// `seed` only orders hosts of equal preference (RFC 5321 §5.1). The same arguments give the same
/// plan.
pub fn plan(case: &Case<'_>, seed: u64, now: UnixTime) -> Plan {
    let reach = case.terms.agreement.as_ref().map(|agreed| agreed.reach).unwrap_or_default();
    let mut because = Vec::with_capacity(4);
    if let Err(last) = mx(case, &mut because, now) {
        let lack = last::lack_of_hosts(case.facts);
        let (routes, why_not_higher) = (vec![last], why::no_route(case));
        return Plan { routes, because, why_not_higher, reach, lack };
    }
    sts(&case.facts.sts, &mut because);
    witnesses(&case.facts.witnesses, &mut because);
    let standing = case.memory.standing(case.facts, now);
    asked(case, &standing, &mut because);
    let mut routes = Vec::with_capacity(case.facts.hosts.len().saturating_add(1));
    let mut obstacles = Vec::new();
    for host in order::hosts(&case.facts.hosts, seed) {
        let ground = Ground {
            facts: case.facts,
            host,
            terms: case.terms,
            floor: case.verdict.floor,
            ask: case.ask.tls,
            standing,
            now,
        };
        match transport(&ground) {
            Ok(chosen) => routes.push(Route::Host(host_route(&ground, chosen))),
            Err(obstacle) => {
                because.push(obstacle.because(&host.host));
                obstacles.push((&host.host, obstacle));
            }
        }
    }
    let why_not_higher = why::not_higher(case, &routes);
    let (last, lack) = (last::word(case, &routes, &obstacles, now), last::lack(&obstacles));
    routes.push(last);
    Plan { routes, because, why_not_higher, reach, lack }
}

/// What the MX lookup says; `Err` where that is already the end.
fn mx(case: &Case<'_>, because: &mut Vec<Because>, now: UnixTime) -> Result<(), Route> {
    let to = &case.facts.destination;
    match &case.facts.mx {
        MxFact::Found { authenticity: Authenticity::Secure, .. } => {
            because.push(Because::new(
                "DNSSEC secures the MX records",
                "the names of the hosts can be trusted",
                "RFC 7672 §2.2.1",
            ));
        }
        MxFact::Found { authenticity: Authenticity::Insecure, .. } => {
            because.push(Because::new(
                "the MX records are unsigned",
                "somebody on the path may have chosen the names of the hosts",
                "RFC 7672 §2.2.1",
            ));
        }
        MxFact::Implicit { .. } => because.push(Because::new(
            "there is no MX record",
            "the domain itself is the host",
            "RFC 5321 §5.1",
        )),
        MxFact::Configured => because.push(Because::new(
            "the administrator named the hosts",
            "DNS was not asked for them",
            "route",
        )),
        MxFact::Null { authenticity, .. } => {
            return Err(last::null_mx(case, *authenticity, now));
        }
        MxFact::NoDomain { absence, .. } => {
            return Err(last::no_domain(case, *absence, now));
        }
        MxFact::Failed(failure) => {
            let reason = format!("the MX records of {to} could not be found out: {failure}");
            because.push(Because::new(
                reason.clone(),
                "nothing is sent before they are known",
                "RFC 7672 §2.1.2",
            ));
            return Err(Route::Wait { until: None, code: EnhancedCode(4, 4, 3), reason });
        }
    }
    if case.facts.hosts.is_empty() {
        let reason = format!("the MX records of {to} name no host that can be used");
        return Err(Route::Wait { until: None, code: EnhancedCode(4, 4, 4), reason });
    }
    if order::loops(&case.facts.hosts) {
        return Err(last::loops(case, now));
    }
    Ok(())
}

fn sts(fact: &StsFact, because: &mut Vec<Because>) {
    because.push(match fact {
        StsFact::NotAsked => return,
        StsFact::Absent { absence: Absence::Secure } => {
            Because::new("DNSSEC denies an MTA-STS record", "no policy", "RFC 8461 §3.1")
        }
        StsFact::Absent { absence: Absence::Agreed } => Because::new(
            "independent resolvers agree that there is no MTA-STS record",
            "no policy",
            "RFC 8461 §3.1",
        ),
        StsFact::Absent { absence: Absence::Unconfirmed } => Because::new(
            "no MTA-STS record was seen; somebody on the path could hide one",
            "no policy",
            "RFC 8461 §10.2",
        ),
        StsFact::Policy { policy, known, refresh_failed, .. } => policy_because(
            policy.mode,
            *known,
            match refresh_failed {
                Some(_) => Refreshed::Failed,
                None => Refreshed::Fine,
            },
        ),
        StsFact::Unknown { since, .. } => Because::new(
            format!("MTA-STS discovery fails since {since}, and no policy is known from before"),
            "alarm: a policy may be hidden from us",
            "RFC 8461 §3.3",
        ),
    });
}

/// What others say about an absence that nobody signs; that they agree is said with the absence.
fn witnesses(all: &[Witnessed], because: &mut Vec<Because>) {
    for Witnessed { missing, witness, said } in all {
        let (fact, rule) = match said {
            Testimony::Agrees => continue,
            Testimony::Contradicts => (
                format!("{witness} sees {missing}, and our own resolver does not"),
                "alarm: somebody hides it from us; it counts as published",
            ),
            Testimony::Failed(why) => (
                format!("{witness} could not say whether it sees {missing}: {why}"),
                "the absence stays unconfirmed",
            ),
        };
        because.push(Because::new(fact, rule, "RFC 8461 §10.2"));
    }
}

/// Whether the last refresh of a policy worked.
#[derive(Clone, Copy)]
enum Refreshed {
    Fine,
    Failed,
}

fn policy_because(mode: Mode, known: Known, refreshed: Refreshed) -> Because {
    let (fact, rule) = match (mode, known, refreshed) {
        (Mode::Enforce, Known::FirstFetch, _) => (
            "an MTA-STS policy is enforced; it was fetched for the first time",
            "it filters the hosts and demands their certificates",
        ),
        (Mode::Enforce, Known::Cached, Refreshed::Fine) => (
            "an MTA-STS policy is enforced; it was known from before",
            "it filters the hosts and demands their certificates",
        ),
        (Mode::Enforce, Known::Cached, Refreshed::Failed) => (
            "an MTA-STS policy is enforced; it could not be refreshed",
            "it holds until it expires",
        ),
        (Mode::Enforce, Known::Preloaded, _) => (
            "an MTA-STS policy is enforced; the administrator preloaded it",
            "it filters the hosts and demands their certificates",
        ),
        (Mode::Testing, _, _) => (
            "the MTA-STS policy is in testing",
            "failures are reported; our own rules stay as they are",
        ),
        (Mode::None, _, _) => ("the MTA-STS policy is withdrawn", "as if there were none"),
    };
    Because::new(fact, rule, "RFC 8461 §5")
}

/// What the message asks for, and what is remembered.
fn asked(case: &Case<'_>, standing: &Standing<'_>, because: &mut Vec<Because>) {
    match case.ask.tls {
        TlsAsk::Nothing => {}
        TlsAsk::RequireTls => because.push(Because::new(
            "the message asks for REQUIRETLS",
            "only to authenticated hosts that understand it",
            "RFC 8689 §4.2.1",
        )),
        TlsAsk::TlsNotRequired => because.push(Because::new(
            "the message says TLS-Required: No",
            "DANE, MTA-STS and memory are waived; our own floor stays",
            "RFC 8689 §4.2.2",
        )),
    }
    match standing {
        Standing::Nothing | Standing::Expired => {}
        Standing::Stands(best) => because.push(Because::new(
            format!("{} was achieved with {} at {}", best.level, best.host, best.confirmed),
            match case.terms.trust.on_loss {
                OnLoss::Hold => "no less for 30 days, unless it is taken back with authentication",
                OnLoss::Alarm => "less raises an alarm",
            },
            "downgrade memory",
        )),
        Standing::Retracted(how) => because.push(Because::new(
            match how {
                Retraction::TlsaDenied => "the signed zone of the remembered host denies TLSA",
                Retraction::MxChanged => "the signed MX set no longer names the remembered host",
                Retraction::PolicyWithdrawn => "the remembered MTA-STS policy was withdrawn",
            },
            "what was achieved before no longer binds",
            "downgrade memory",
        )),
    }
}

fn host_route(ground: &Ground<'_>, chosen: Chosen) -> HostRoute {
    let addresses = ground.host.addresses.value().map(Vec::as_slice).unwrap_or_default();
    HostRoute {
        peer: ground.host.host.clone(),
        addresses: order::addresses(addresses, ground.host.port, ground.terms.trust.families),
        sni: chosen.sni,
        demand: chosen.demand,
        floor: ground.floor,
        trust_first: ground.terms.trust.first_policy,
        level: chosen.level,
        require_tls: ground.require_tls(),
        because: chosen.because,
    }
}
