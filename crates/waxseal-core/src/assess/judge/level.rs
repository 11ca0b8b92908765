//! What our gateway would do: the same `plan`, the same `permit`, a floor of `none`.

use std::{net::SocketAddr, time::Duration};

use super::{
    AddressAssessment, Against, Check, Delivery, HostAssessment, KeyAssessment,
    case::{Case, Host, Sight},
};
use crate::{
    assess::{
        AddressSurvey, Contact, Observed, OfferedSession, Quoted, StartTlsSeen, Survey, Tried,
        Unprobed,
    },
    channel::{By, Demand, Floor, Level, Refusal, RefusalKind, Seen, TlsSeen, permit},
    dane::{self, Tlsa, Usage},
    decide::{
        self, Ask, Fallback, FirstSeen, Ground, HostRoute, Obstacle, Origin, Plan, Route, Verdict,
        transport,
    },
    dns::{Authenticity, FailureKind},
    domain::Domain,
    facts::{Dane, Facts, HostFacts, Known, MxFact, Peer, StsFact},
    memory::Memory,
    pki,
    sts::Mode,
    time::UnixTime,
};

/// Why the gateway does not connect to a host.
pub(super) struct Obstructed {
    /// In words.
    pub(super) why: String,
    /// Whether that is a fact or a failure to find out.
    pub(super) sure: Sure,
}

/// Whether something is known or could not be found out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sure {
    Known,
    FoundOutNot,
}

/// From weakest to strongest, for one question only: what is left when an attacker keeps us away
/// from all but the weakest way in. No rule about mail depends on this order.
pub(in crate::assess) const fn strength(level: Level) -> u8 {
    match level {
        Level::Cleartext => 0,
        Level::Encrypted => 1,
        Level::Named => 2,
        Level::StsFirst => 3,
        Level::Sts => 4,
        Level::Anchored => 5,
        Level::Dane => 6,
        Level::Pinned => 7,
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(survey: &'a Survey, against: &'a Against<'a>) -> Self {
        let plan = planned(&survey.facts, against);
        let hosts = survey.facts.hosts.iter().map(|facts| host(survey, against, facts, &plan));
        let hosts = hosts.collect();
        Self { survey, against, hosts }
    }
}

fn verdict() -> Verdict {
    let verdict = Verdict::new(Floor::None, Fallback::Hold, Duration::ZERO);
    Verdict { rule: "assessment".into(), ..verdict }
}

/// The plan of a message that demands nothing, from a gateway that remembers nothing.
pub(super) fn planned(facts: &Facts, against: &Against<'_>) -> Plan {
    let case = decide::Case {
        terms: against.terms,
        ask: &Ask::default(),
        verdict: &verdict(),
        facts,
        memory: &Memory::default(),
        origin: Origin::Person,
        short_since: None,
        first_seen: FirstSeen::default(),
    };
    decide::plan(&case, 0, against.now)
}

fn host<'a>(
    survey: &'a Survey,
    against: &Against<'_>,
    facts: &'a HostFacts,
    plan: &Plan,
) -> Host<'a> {
    let planned = plan.routes.iter().find_map(|route| match route {
        Route::Host(route) if route.peer == facts.host => Some(route.clone()),
        Route::Host(_) | Route::Wait { .. } | Route::Hold { .. } | Route::GiveUp { .. } => None,
    });
    let route = planned.ok_or_else(|| obstructed(survey, against, facts));
    let name = match &facts.host {
        Peer::Name(name) => Some(name),
        Peer::Literal(_) => None,
    };
    let found = survey.hosts.iter().find(|host| Some(&host.host) == name);
    let judge = Judge { survey, against, facts, route: route.as_ref().ok() };
    let mut sights = Vec::new();
    for address in found.map(|host| host.addresses.as_slice()).unwrap_or_default() {
        let Observed::Probed(probe) = &address.observed else { continue };
        for handshake in &probe.handshakes {
            if let Tried::Session(offered) = &handshake.tried {
                sights.push(judge.sight(address, handshake.key, offered));
            }
        }
    }
    Host { facts, survey: found, route, sights }
}

fn obstructed(survey: &Survey, against: &Against<'_>, facts: &HostFacts) -> Obstructed {
    let memory = Memory::default();
    let ground = Ground {
        facts: &survey.facts,
        host: facts,
        terms: against.terms,
        floor: Floor::None,
        ask: Ask::default().tls,
        standing: memory.standing(&survey.facts, against.now),
        now: against.now,
    };
    match transport(&ground) {
        Ok(_) => Obstructed { why: "there are hosts to try before it".into(), sure: Sure::Known },
        Err(obstacle) => {
            let sure = match &obstacle {
                Obstacle::TlsaFailed(failure) | Obstacle::AddressFailed(failure)
                    if failure.kind == FailureKind::Bogus =>
                {
                    Sure::Known
                }
                Obstacle::AddressFailed(_)
                | Obstacle::TlsaFailed(_)
                | Obstacle::StsUnknown { .. } => Sure::FoundOutNot,
                Obstacle::NoAddress
                | Obstacle::NotListed
                | Obstacle::BelowFloor(_)
                | Obstacle::Remembered(_)
                | Obstacle::RequireTls
                | Obstacle::FirstPolicy => Sure::Known,
            };
            Obstructed { why: obstacle.because(&facts.host).fact.into_owned(), sure }
        }
    }
}

/// What one session is judged by.
struct Judge<'a, 'f> {
    survey: &'a Survey,
    against: &'f Against<'f>,
    facts: &'a HostFacts,
    route: Option<&'f HostRoute>,
}

impl Judge<'_, '_> {
    fn sight(
        &self,
        address: &AddressSurvey,
        key: crate::assess::KeyKind,
        offered: &OfferedSession,
    ) -> Sight {
        let session = offered.session();
        let now = self.against.now;
        let (dane, issuer) = match &self.facts.dane {
            Dane::Usable { base, records, .. } => {
                let names = self.names(base);
                let verify = |records: &[Tlsa]| dane::verify(&session.chain, records, &names, now);
                let issuers = dane::effective(records)
                    .filter(|(usage, _)| *usage == Usage::TrustAnchor)
                    .map(|(_, record)| record.clone());
                let issuers: Vec<_> = issuers.collect();
                (Some(verify(records)), (!issuers.is_empty()).then(|| verify(&issuers)))
            }
            Dane::Unusable { .. } | Dane::Absent(_) | Dane::LookupFailed(_) => (None, None),
        };
        let pkix = match &self.facts.host {
            Peer::Name(name) => {
                let names = std::slice::from_ref(name);
                pki::valid_for(&session.chain, self.against.roots, names, now).map(|_| ())
            }
            Peer::Literal(_) => Err(pki::Fault::WrongName(Vec::new())),
        };
        let seen = TlsSeen::Established(session.clone());
        let permitted =
            self.route.map(|route| permitted(route, address.ip, seen, (self.against.roots, now)));
        Sight { ip: address.ip, key, session, dane, issuer, pkix, permitted }
    }

    /// Reference names for usage 2, as the gateway has them (RFC 7672 §3.2.2).
    fn names(&self, base: &Domain) -> Vec<Domain> {
        let vouched = self.route.and_then(|route| match &route.demand {
            Demand::Authenticate(vouchers) => {
                vouchers.iter().find(|voucher| matches!(voucher.by, By::Dane { .. }))
            }
            Demand::Opportunistic | Demand::Encrypt => None,
        });
        if let Some(voucher) = vouched {
            return voucher.names.clone();
        }
        let mut names = vec![base.clone()];
        if let MxFact::Found { authenticity: Authenticity::Secure, expanded, .. } =
            &self.survey.facts.mx
        {
            names.push(self.survey.facts.destination.clone());
            names.extend(expanded.clone());
        }
        names
    }
}

type Judged<'a> = (&'a [rustls_pki_types::TrustAnchor<'static>], UnixTime);

/// What the gateway makes of one connection. Each address is judged by itself: an attacker can
/// keep us away from the others.
fn permitted(
    route: &HostRoute,
    ip: std::net::IpAddr,
    tls: TlsSeen,
    (roots, now): Judged<'_>,
) -> Result<Level, Refusal> {
    let port = route.addresses.first().map_or(25, SocketAddr::port);
    let address = SocketAddr::new(ip, port);
    let mut route = route.clone();
    route.addresses = vec![address];
    let seen = Seen { peer: route.peer.clone(), address, tls };
    permit(&route, &seen, roots, now).map(|proof| proof.level())
}

/// What an address comes to.
enum Outlook {
    /// Mail would go there like this.
    Level(Level),
    /// It would not.
    Refused(String),
    /// It could not be found out.
    Unseen(String),
    /// Nothing follows from it.
    Nothing,
}

impl Outlook {
    /// A session that was made for another name says nothing about this one.
    fn of(refusal: &Refusal) -> Self {
        match refusal.kind {
            RefusalKind::OtherChannel => Self::Unseen(refusal.detail.clone()),
            RefusalKind::NoTls
            | RefusalKind::Injected
            | RefusalKind::Handshake
            | RefusalKind::LegacyTls
            | RefusalKind::TlsaMismatch
            | RefusalKind::TlsaUnusable
            | RefusalKind::NotTrusted
            | RefusalKind::HostMismatch
            | RefusalKind::Expired
            | RefusalKind::PinMismatch
            | RefusalKind::WeakParameters
            | RefusalKind::BelowFloor => Self::Refused(refusal.detail.clone()),
        }
    }
}

impl Case<'_> {
    fn outlook(&self, host: &Host<'_>, address: &AddressSurvey) -> Outlook {
        let Ok(route) = &host.route else { return Outlook::Nothing };
        let probe = match &address.observed {
            Observed::Probed(probe) => probe,
            Observed::Not(Unprobed::DnsOnly) => {
                return Outlook::Unseen("only DNS was asked".into());
            }
            Observed::Not(Unprobed::NoTurn) => {
                return Outlook::Unseen("nobody looked: too many asked its operator".into());
            }
            Observed::Not(Unprobed::OutOfTime) => {
                return Outlook::Unseen(
                    "nobody looked: the time for the domain was used up".into(),
                );
            }
            Observed::Not(Unprobed::TooSlow) => {
                return Outlook::Unseen("nobody looked: its operator's hosts are too slow".into());
            }
            // The gateway does not connect there either.
            Observed::Not(Unprobed::Refused(_) | Unprobed::NoFamily | Unprobed::OverLimit) => {
                return Outlook::Nothing;
            }
        };
        let judge =
            |tls| match permitted(route, address.ip, tls, (self.against.roots, self.against.now)) {
                Ok(level) => Outlook::Level(level),
                Err(refusal) => Outlook::of(&refusal),
            };
        let starttls = match &probe.contact {
            Contact::Unreachable(why) => return Outlook::Unseen(format!("no connection: {why}")),
            Contact::TurnedAway(reply) => {
                return Outlook::Unseen(format!("it turned us away: {reply}"));
            }
            Contact::Misbehaved(why) => return Outlook::Unseen(why.clone()),
            Contact::Spoke { starttls, .. } => starttls,
        };
        match starttls {
            StartTlsSeen::NotOffered => judge(TlsSeen::NotOffered),
            StartTlsSeen::Refused(reply) => judge(TlsSeen::Refused(reply.to_string())),
            StartTlsSeen::Injected => judge(TlsSeen::Injected),
            StartTlsSeen::Ready => {
                let here = host.sights.iter().filter(|sight| sight.ip == address.ip);
                let levels = here.filter_map(|sight| sight.permitted.as_ref());
                weakest(levels.map(|permitted| match permitted {
                    Ok(level) => Outlook::Level(*level),
                    Err(refusal) => Outlook::of(refusal),
                }))
                .unwrap_or_else(|| {
                    probe
                        .handshakes
                        .iter()
                        .find_map(|handshake| match &handshake.tried {
                            Tried::Failed { legacy, detail } => {
                                let (legacy, detail) = (*legacy, detail.clone());
                                Some(judge(TlsSeen::HandshakeFailed { legacy, detail }))
                            }
                            Tried::Unknown(why) => Some(Outlook::Unseen(why.clone())),
                            Tried::Session(_) | Tried::NoSuchKey => None,
                        })
                        .unwrap_or_else(|| Outlook::Unseen("TLS was not tried".into()))
                })
            }
        }
    }

    /// What a host comes to, with its addresses and keys.
    pub(super) fn host(&self, host: &Host<'_>) -> (Outcome, HostAssessment) {
        let outcome = self.outcome(host);
        let addresses = host.addresses().iter().map(|address| AddressAssessment {
            ip: address.ip,
            keys: host
                .sights
                .iter()
                .filter(|sight| sight.ip == address.ip)
                .map(KeyAssessment::of)
                .collect(),
        });
        let name = match &host.facts.host {
            Peer::Name(name) => name.clone(),
            Peer::Literal(_) => self.domain().clone(),
        };
        let (level, note) = match &outcome {
            Outcome::Level(level) => (Some(*level), None),
            Outcome::Refused(why) | Outcome::Silent(why) | Outcome::Unknown(why) => {
                (None, Some(harmless(why)))
            }
        };
        let demanded = host.route.as_ref().ok().map(|route| route.level);
        let addresses = addresses.collect();
        (outcome, HostAssessment { host: name, level, demanded, note, addresses })
    }

    fn outcome(&self, host: &Host<'_>) -> Outcome {
        let demanded = match &host.route {
            Ok(route) => route.level,
            Err(Obstructed { why, sure: Sure::Known }) => return Outcome::Refused(why.clone()),
            Err(Obstructed { why, sure: Sure::FoundOutNot }) => {
                return Outcome::Unknown(why.clone());
            }
        };
        let mut unseen = None;
        let mut seen = Vec::new();
        for address in host.addresses() {
            match self.outlook(host, address) {
                Outlook::Unseen(why) if is_unreachable(address) => {
                    // It counts only where nothing else of the host was seen.
                    seen.push(Outlook::Unseen(why));
                }
                Outlook::Unseen(why) => unseen = unseen.or(Some(why)),
                Outlook::Nothing => {}
                outlook @ (Outlook::Level(_) | Outlook::Refused(_)) => seen.push(outlook),
            }
        }
        match weakest(seen.into_iter()) {
            // Whatever was not seen cannot be worse: the gateway never goes below its demand.
            Some(Outlook::Level(level))
                if unseen.is_none() || strength(level) <= strength(demanded) =>
            {
                Outcome::Level(level)
            }
            Some(Outlook::Refused(why)) if unseen.is_none() => Outcome::Refused(why),
            Some(Outlook::Unseen(why)) => unseen.map_or(Outcome::Silent(why), Outcome::Unknown),
            Some(Outlook::Level(_) | Outlook::Refused(_) | Outlook::Nothing) | None => {
                Outcome::Unknown(unseen.unwrap_or_else(|| "nobody looked at it".into()))
            }
        }
    }

    /// What the domain comes to: the weakest host that an attacker leaves, and which one that is.
    pub(super) fn domain_outcome(&self, outcomes: &[Outcome]) -> (Delivery, Option<Weakest>) {
        match &self.survey.facts.mx {
            MxFact::Null { .. } | MxFact::NoDomain { .. } => return (Delivery::TakesNoMail, None),
            MxFact::Failed(failure) if failure.kind == FailureKind::Bogus => {
                return (Delivery::Refuses, None);
            }
            MxFact::Failed(_) => return (Delivery::Unknown, None),
            MxFact::Found { .. } | MxFact::Implicit { .. } | MxFact::Configured => {}
        }
        let delivers = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Level(_)));
        let levels = self.hosts.iter().zip(outcomes).enumerate();
        let levels = levels.filter_map(|(index, (host, outcome))| {
            let level = match outcome {
                Outcome::Level(level) => *level,
                // When the host is mended, mail goes there like this: that it is broken today
                // makes the domain no stronger.
                Outcome::Refused(_) if delivers => repaired(host.route.as_ref().ok()?.level),
                // No mail goes there today, so that who listens learns nothing by it; who
                // interferes can answer in its place.
                Outcome::Silent(_) if delivers => repaired(host.route.as_ref().ok()?.level),
                Outcome::Refused(_) | Outcome::Silent(_) | Outcome::Unknown(_) => return None,
            };
            Some(Weakest { level, host: index })
        });
        let weakest = levels.min_by_key(|weakest| strength(weakest.level));
        let could_be_worse = |known: Option<Level>| {
            self.hosts.iter().zip(outcomes).any(|(host, outcome)| {
                let unseen = match outcome {
                    Outcome::Unknown(_) => true,
                    Outcome::Silent(_) => !delivers,
                    Outcome::Level(_) | Outcome::Refused(_) => false,
                };
                unseen && known.is_none_or(|known| strength(self.least(host)) < strength(known))
            })
        };
        if could_be_worse(weakest.as_ref().map(|weakest| weakest.level)) {
            return (Delivery::Unknown, None);
        }
        match weakest {
            Some(weakest) => (Delivery::Delivers, Some(weakest)),
            None => (Delivery::Refuses, None),
        }
    }
}

impl Case<'_> {
    /// What is demanded of a host at least, also where the plan does not know enough to go there.
    fn least(&self, host: &Host<'_>) -> Level {
        match (&host.route, &self.survey.facts.sts) {
            (Ok(route), _) => route.level,
            (Err(_), StsFact::Policy { policy, known, .. })
                if policy.mode == Mode::Enforce
                    && host.name().is_some_and(|name| policy.allows(name)) =>
            {
                match known {
                    Known::FirstFetch => Level::StsFirst,
                    Known::Cached | Known::Preloaded => Level::Sts,
                }
            }
            (
                Err(_),
                StsFact::Policy { .. }
                | StsFact::Absent { .. }
                | StsFact::Unknown { .. }
                | StsFact::NotAsked,
            ) => Level::Cleartext,
        }
    }
}

/// What a host comes to.
pub(super) enum Outcome {
    Level(Level),
    Refused(String),
    /// No connection to any of its addresses comes about: our gateway passes it by.
    Silent(String),
    Unknown(String),
}

/// The weakest host, by its place among the hosts.
pub(super) struct Weakest {
    pub(super) level: Level,
    pub(super) host: usize,
}

/// What a host comes to at least that gets no mail today: refused means that there is STARTTLS,
/// and nobody reads along with what is not sent.
const fn repaired(demanded: Level) -> Level {
    match demanded {
        Level::Cleartext => Level::Encrypted,
        Level::Encrypted
        | Level::Named
        | Level::StsFirst
        | Level::Sts
        | Level::Anchored
        | Level::Dane
        | Level::Pinned => demanded,
    }
}

fn is_unreachable(address: &AddressSurvey) -> bool {
    match &address.observed {
        Observed::Probed(probe) => matches!(probe.contact, Contact::Unreachable(_)),
        Observed::Not(_) => false,
    }
}

/// The weakest level; a refusal where there is no level, and what was not seen last.
fn weakest(outlooks: impl Iterator<Item = Outlook>) -> Option<Outlook> {
    outlooks.min_by_key(|outlook| match outlook {
        Outlook::Level(level) => strength(*level),
        Outlook::Refused(_) => 100,
        Outlook::Unseen(_) => 101,
        Outlook::Nothing => 102,
    })
}

pub(super) fn harmless(text: &str) -> String {
    Quoted::new(text).into()
}

impl KeyAssessment {
    fn of(sight: &Sight) -> Self {
        let version = match sight.session.version {
            crate::channel::TlsVersion::V1_2 => "TLSv1.2",
            crate::channel::TlsVersion::V1_3 => "TLSv1.3",
        };
        let group = sight.session.group.as_deref().unwrap_or("unknown group");
        Self {
            algorithm: sight.key,
            tls: harmless(&format!("{version} {} {group}", sight.session.suite)),
            dane: match &sight.dane {
                None => Check::NotApplicable,
                Some(Ok(_)) => Check::Holds,
                Some(Err(mismatch)) => Check::Fails(harmless(&mismatch.to_string())),
            },
            pkix: match &sight.pkix {
                Ok(()) => Check::Holds,
                Err(fault) => Check::Fails(harmless(&fault.to_string())),
            },
        }
    }
}
