//! What changed at the mail hosts.

use std::net::IpAddr;

use super::{Changes, Class, Kind, Look, Was, enforced, forged};
use crate::{
    assess::{
        Check, Contact, HostSurvey, KeyAssessment, KeyKind, Observed, OfferedSession, Probe,
        StartTlsSeen, Tried,
    },
    dane::Tlsa,
    facts::{Dane, Facts, HostFacts, NoTlsa, Peer},
    pki::Certificate,
};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    for host in &after.survey.hosts {
        let Some(then) = before.survey.hosts.iter().find(|then| then.host == host.host) else {
            continue;
        };
        let of = |facts| facts_of(facts, host);
        if let (Some(was), Some(is)) = (of(&before.survey.facts), of(&after.survey.facts)) {
            tlsa(was, is, out);
        }
        starttls(after, then, host, out);
        for (ip, key) in keys(after, host) {
            let earlier = keys(before, host);
            let Some((_, was)) =
                earlier.iter().find(|(at, was)| *at == ip && was.algorithm == key.algorithm)
            else {
                continue;
            };
            let elsewhere = keys(after, host).iter().any(|(other, key)| *other != ip && good(key));
            let pair = Pair {
                place: format!("{} [{ip}] {}", host.host, key.algorithm.as_str()),
                was,
                is: key,
                elsewhere: if elsewhere { Elsewhere::Holds } else { Elsewhere::Nothing },
            };
            pair.tlsa_match(out);
            pair.certificate(
                leaf(then, ip, key.algorithm).as_deref(),
                leaf(host, ip, key.algorithm).as_deref(),
                out,
            );
        }
    }
}

fn facts_of<'f>(facts: &'f Facts, host: &HostSurvey) -> Option<&'f HostFacts> {
    facts.hosts.iter().find(|facts| facts.host == Peer::Name(host.host.clone()))
}

fn keys<'a>(look: Look<'a>, host: &HostSurvey) -> Vec<(IpAddr, &'a KeyAssessment)> {
    let judged = look.assessment.hosts.iter().filter(|judged| judged.host == host.host);
    judged
        .flat_map(|judged| &judged.addresses)
        .flat_map(|address| address.keys.iter().map(|key| (address.ip, key)))
        .collect()
}

fn probe(host: &HostSurvey, ip: IpAddr) -> Option<&Probe> {
    host.addresses.iter().find(|address| address.ip == ip).and_then(|address| {
        match &address.observed {
            Observed::Probed(probe) => Some(&**probe),
            Observed::Not(_) => None,
        }
    })
}

/// SHA-256 of the key of the end entity, in hexadecimal.
fn leaf(host: &HostSurvey, ip: IpAddr, kind: KeyKind) -> Option<String> {
    let session: &OfferedSession =
        probe(host, ip)?.handshakes.iter().find_map(|one| match &one.tried {
            Tried::Session(session) if one.key == kind => Some(session),
            Tried::Session(_) | Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
        })?;
    let der = session.chain.first()?;
    let certificate = Certificate::read(der).ok()?;
    let until = certificate.dates().map(|(_, until)| until.to_string()).unwrap_or_default();
    let data = certificate.key_digest().to_vec();
    let key = Tlsa { usage: 3, selector: 1, matching: 1, data };
    Some(format!("{key}, valid until {until}"))
}

fn good(key: &KeyAssessment) -> bool {
    key.dane == Check::Holds || (key.dane == Check::NotApplicable && key.pkix == Check::Holds)
}

fn tlsa(was: &HostFacts, is: &HostFacts, out: &mut Changes) {
    let meaning = match (&was.dane, &is.dane) {
        (Dane::LookupFailed(_), Dane::LookupFailed(_))
        | (Dane::Absent(_), Dane::Absent(_) | Dane::Unusable { .. })
        | (Dane::Unusable { .. }, Dane::Absent(_) | Dane::Unusable { .. }) => return,
        (_, Dane::LookupFailed(failure)) => match forged(failure) {
            Some(meaning) => meaning,
            None => return,
        },
        (Dane::LookupFailed(failure), _) if forged(failure).is_none() => return,
        (Dane::LookupFailed(_), _) => (Class::Repair, "the records can be looked up again"),
        (Dane::Usable { records: one, .. }, Dane::Usable { records: other, .. }) => {
            if one.len() == other.len() && one.iter().all(|record| other.contains(record)) {
                return;
            }
            (Class::Drift, "other records: a roll, as far as the sessions still match")
        }
        (Dane::Absent(_) | Dane::Unusable { .. }, Dane::Usable { .. }) => {
            (Class::Repair, "DANE protects the host")
        }
        (Dane::Usable { .. }, Dane::Absent(NoTlsa::Denied)) => {
            (Class::Weakening, "the signed zone denies the records")
        }
        (
            Dane::Usable { .. },
            Dane::Absent(
                NoTlsa::InsecureAddress
                | NoTlsa::InsecureAnswer
                | NoTlsa::Literal
                | NoTlsa::NoAddress,
            ),
        ) => (Class::Weakening, "the zone is provably not signed any more, or the host is gone"),
        (Dane::Usable { .. }, Dane::Unusable { .. }) => {
            (Class::Weakening, "none of the records can be used any more")
        }
    };
    let words = |dane: &Dane| match dane {
        Dane::Usable { records, .. } => format!("{} records", records.len()),
        Dane::Unusable { records, .. } => format!("{} unusable records", records.len()),
        Dane::Absent(why) => format!("none ({why:?})"),
        Dane::LookupFailed(failure) => failure.to_string(),
    };
    let subject = is.host.to_string();
    out.add(Kind::Tlsa, &subject, &Was(&words(&was.dane), &words(&is.dane)), meaning);
}

fn starttls(after: Look<'_>, then: &HostSurvey, host: &HostSurvey, out: &mut Changes) {
    let seen = |probe: &Probe| match &probe.contact {
        Contact::Spoke { starttls, .. } => Some(starttls.clone()),
        Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => None,
    };
    let state = |host: &HostSurvey, ip| probe(host, ip).and_then(seen);
    let promised = enforced(after.survey).is_some()
        || facts_of(&after.survey.facts, host)
            .is_some_and(|facts| matches!(facts.dane, Dane::Usable { .. }));
    for address in &host.addresses {
        let ip = address.ip;
        let (Some(was), Some(is)) = (state(then, ip), state(host, ip)) else { continue };
        let elsewhere = host
            .addresses
            .iter()
            .any(|other| other.ip != ip && state(host, other.ip) == Some(StartTlsSeen::Ready));
        let meaning = match (&was, &is) {
            (_, StartTlsSeen::Injected) if was != is => {
                (Class::LikelyAttack, "bytes are injected before the handshake")
            }
            (StartTlsSeen::Ready, StartTlsSeen::NotOffered | StartTlsSeen::Refused(_))
                if elsewhere =>
            {
                (Class::LikelyAttack, "it vanished at this address only")
            }
            (StartTlsSeen::Ready, StartTlsSeen::NotOffered | StartTlsSeen::Refused(_))
                if promised =>
            {
                (Class::LikelyAttack, "it vanished although the domain still promises TLS")
            }
            (StartTlsSeen::Ready, StartTlsSeen::NotOffered | StartTlsSeen::Refused(_)) => {
                (Class::Weakening, "it vanished everywhere; an attack is not excluded")
            }
            (
                StartTlsSeen::NotOffered | StartTlsSeen::Refused(_) | StartTlsSeen::Injected,
                StartTlsSeen::Ready,
            ) => (Class::Repair, "TLS is offered"),
            (
                StartTlsSeen::NotOffered
                | StartTlsSeen::Refused(_)
                | StartTlsSeen::Injected
                | StartTlsSeen::Ready,
                StartTlsSeen::NotOffered
                | StartTlsSeen::Refused(_)
                | StartTlsSeen::Injected
                | StartTlsSeen::Ready,
            ) => continue,
        };
        let words = |seen: &StartTlsSeen| match seen {
            StartTlsSeen::NotOffered => "no STARTTLS".to_owned(),
            StartTlsSeen::Refused(reply) => format!("refused: {reply}"),
            StartTlsSeen::Injected => "injected".to_owned(),
            StartTlsSeen::Ready => "STARTTLS".to_owned(),
        };
        let subject = format!("{} [{ip}]", host.host);
        out.add(Kind::Starttls, &subject, &Was(&words(&was), &words(&is)), meaning);
    }
}

/// Whether other addresses of the host still have what this one lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    Holds,
    Nothing,
}

/// One kind of key at one address, before and after.
struct Pair<'a> {
    place: String,
    was: &'a KeyAssessment,
    is: &'a KeyAssessment,
    elsewhere: Elsewhere,
}

impl Pair<'_> {
    /// A key that is deployed before its record breaks DANE (RFC 7671 §8.1).
    fn tlsa_match(&self, out: &mut Changes) {
        let (before, after, meaning) = match (&self.was.dane, &self.is.dane) {
            (Check::Holds, Check::Fails(why)) => ("matches", why.as_str(), self.lost()),
            (Check::Fails(why), Check::Holds) => {
                (why.as_str(), "matches", (Class::Repair, "a record matches again"))
            }
            (Check::Holds, Check::Holds | Check::NotApplicable)
            | (Check::Fails(_), Check::Fails(_) | Check::NotApplicable)
            | (Check::NotApplicable, Check::Holds | Check::Fails(_) | Check::NotApplicable) => {
                return;
            }
        };
        out.add(Kind::TlsaMatch, &self.place, &Was(before, after), meaning);
    }

    fn certificate(&self, was: Option<&str>, is: Option<&str>, out: &mut Changes) {
        let (Some(was), Some(is)) = (was, is) else { return };
        let meaning = match (&self.was.pkix, &self.is.pkix) {
            (Check::Fails(_), Check::Holds) => (Class::Repair, "a public CA vouches for it"),
            (Check::Holds, Check::Fails(_)) if self.is.dane != Check::Holds => self.lost(),
            _ if was == is => return,
            // What was not vouched for by anybody can be anybody's.
            _ if !good(self.is) && self.is.dane == Check::NotApplicable => {
                (Class::Drift, "another certificate, for which nobody vouches, as before")
            }
            _ => (Class::Drift, "another certificate that holds as the one before did"),
        };
        out.add(Kind::Certificate, &self.place, &Was(was, is), meaning);
    }

    /// A roll reaches all addresses; an attacker often sits before one.
    const fn lost(&self) -> (Class, &'static str) {
        match self.elsewhere {
            Elsewhere::Holds => {
                (Class::LikelyAttack, "another key answers here than at the other addresses")
            }
            Elsewhere::Nothing => (
                Class::Weakening,
                "the key was changed everywhere before its records; an attack is not excluded",
            ),
        }
    }
}
