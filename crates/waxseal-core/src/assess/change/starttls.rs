//! What changed in how a mail host begins TLS.

use std::net::IpAddr;

use super::{
    Changes, Class, Kind, Look, Was,
    hosts::{facts_of, probe, promised},
};
use crate::{
    assess::{Contact, HostSurvey, Probe, Quoted, StartTlsSeen, Tried},
    facts::Dane,
};

/// What came of STARTTLS, and of the handshakes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tls {
    NotOffered,
    Refused(Quoted),
    Injected,
    /// It was offered, and no handshake came to an end.
    Broken(String),
    Ready,
}

impl Tls {
    fn of(probe: &Probe) -> Option<Self> {
        let starttls = match &probe.contact {
            Contact::Spoke { starttls, .. } => starttls,
            Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => {
                return None;
            }
        };
        Some(match starttls {
            StartTlsSeen::NotOffered => Self::NotOffered,
            StartTlsSeen::Refused(reply) => Self::Refused(reply.clone()),
            StartTlsSeen::Injected => Self::Injected,
            StartTlsSeen::Ready => broken(probe).map_or(Self::Ready, Self::Broken),
        })
    }

    fn words(&self) -> String {
        match self {
            Self::NotOffered => "no STARTTLS".to_owned(),
            Self::Refused(reply) => format!("refused: {reply}"),
            Self::Injected => "injected".to_owned(),
            Self::Broken(why) => format!("no handshake: {why}"),
            Self::Ready => "STARTTLS".to_owned(),
        }
    }
}

/// Why every handshake failed; `None` where one did not, or where that is not known.
fn broken(probe: &Probe) -> Option<String> {
    let mut why = None;
    for handshake in &probe.handshakes {
        match &handshake.tried {
            Tried::Session(_) | Tried::Unknown(_) => return None,
            Tried::Failed { detail, .. } => why = Some(detail.clone()),
            Tried::NoSuchKey => {}
        }
    }
    why
}

pub(super) fn compare(
    (before, after): (Look<'_>, Look<'_>),
    then: &HostSurvey,
    host: &HostSurvey,
    out: &mut Changes,
) {
    let state = |host: &HostSurvey, ip| probe(host, ip).and_then(Tls::of);
    let had = then.addresses.iter().any(|address| state(then, address.ip) == Some(Tls::Ready));
    let promised = promised(before, after).is_some_and(|policy| policy.allows(&host.host))
        || has_tlsa(before, after, host);
    for address in &host.addresses {
        let ip = address.ip;
        let Some(is) = state(host, ip) else { continue };
        let others = host.addresses.iter().filter(|other| other.ip != ip);
        let elsewhere = others.map(|other| state(host, other.ip)).any(|it| it == Some(Tls::Ready));
        let here = state(then, ip);
        // An address that was not seen before is held to what the host had: somebody on the path
        // can answer at any (RFC 8461 §10.2).
        let Some(was) = here.clone().or(had.then_some(Tls::Ready)) else { continue };
        let lost = Lost {
            elsewhere: if elsewhere { Elsewhere::Holds } else { Elsewhere::Nothing },
            promised: if promised { Promised::Yes } else { Promised::No },
        };
        let meaning = match (&was, &is) {
            (_, Tls::Injected) if was != is => {
                (Class::LikelyAttack, "bytes are injected before the handshake")
            }
            (Tls::Ready, Tls::NotOffered | Tls::Refused(_)) => lost.offer(),
            (Tls::Ready, Tls::Broken(_)) => lost.handshake(),
            (Tls::NotOffered | Tls::Refused(_) | Tls::Injected | Tls::Broken(_), Tls::Ready) => {
                (Class::Repair, "TLS is offered")
            }
            (
                Tls::NotOffered | Tls::Refused(_) | Tls::Injected | Tls::Broken(_) | Tls::Ready,
                Tls::NotOffered | Tls::Refused(_) | Tls::Injected | Tls::Broken(_) | Tls::Ready,
            ) => continue,
        };
        told(host, ip, (here.as_ref(), &was, &is), meaning, out);
    }
}

/// Whether DANE promises TLS with the host: by the records of now; where these cannot be looked up,
/// by those of before, for whoever takes STARTTLS out can lose their answers, too.
fn has_tlsa(before: Look<'_>, after: Look<'_>, host: &HostSurvey) -> bool {
    let dane = |look: Look<'_>| {
        let facts = facts_of(&look.survey.facts, host);
        facts.map(|facts| match &facts.dane {
            Dane::Usable { .. } => Some(true),
            Dane::Absent(_) | Dane::Unusable { .. } => Some(false),
            Dane::LookupFailed(_) => None,
        })
    };
    let (was, is) = (dane(before).flatten(), dane(after).flatten());
    is.or(was).unwrap_or(false)
}

fn told(
    host: &HostSurvey,
    ip: IpAddr,
    (here, was, is): (Option<&Tls>, &Tls, &Tls),
    meaning: (Class, &'static str),
    out: &mut Changes,
) {
    let (subject, now) = match here {
        Some(_) => (format!("{} [{ip}]", host.host), is.words()),
        None => (host.host.to_string(), format!("[{ip}]: {}", is.words())),
    };
    out.add(Kind::Starttls, &subject, &Was(&was.words(), &now), meaning);
}

/// Whether another address of the host still has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    Holds,
    Nothing,
}

/// Whether the domain promises TLS with the host: by DANE, or by a policy that senders enforce, be it
/// that whoever takes STARTTLS out also keeps them from its host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promised {
    Yes,
    No,
}

/// What the loss of TLS at one address is judged by.
struct Lost {
    elsewhere: Elsewhere,
    promised: Promised,
}

impl Lost {
    const fn offer(&self) -> (Class, &'static str) {
        match (self.elsewhere, self.promised) {
            (Elsewhere::Holds, _) => (Class::LikelyAttack, "it vanished at this address only"),
            (Elsewhere::Nothing, Promised::Yes) => {
                (Class::LikelyAttack, "it vanished although the domain still promises TLS")
            }
            (Elsewhere::Nothing, Promised::No) => {
                (Class::Weakening, "it vanished everywhere; an attack is not excluded")
            }
        }
    }

    /// Whoever breaks handshakes gains delay where TLS is promised, and mail in the clear where it
    /// is not (RFC 7435 §3).
    const fn handshake(&self) -> (Class, &'static str) {
        match (self.elsewhere, self.promised) {
            (Elsewhere::Holds, Promised::No) => (
                Class::LikelyAttack,
                "handshakes break at this address only, and some senders go on in the clear",
            ),
            (Elsewhere::Nothing, Promised::No) => (
                Class::Weakening,
                "handshakes break everywhere, and some senders go on in the clear",
            ),
            (Elsewhere::Holds | Elsewhere::Nothing, Promised::Yes) => {
                (Class::Weakening, "mail waits: the promised TLS does not begin")
            }
        }
    }
}
