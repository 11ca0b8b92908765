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
    sts::Policy,
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
        let enforced = promised(before, after).is_some_and(|policy| policy.allows(&host.host));
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
                enforced: if enforced { Enforced::Yes } else { Enforced::No },
            };
            pair.tlsa_match(nothing_matches(after), out);
            pair.certificate(
                leaf(then, ip, key.algorithm).as_ref(),
                leaf(host, ip, key.algorithm).as_ref(),
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

/// The certificate of the end entity.
struct Leaf {
    /// SHA-256 of its key, as a TLSA record has it.
    key: String,
    /// The key and the end, in words.
    words: String,
}

fn leaf(host: &HostSurvey, ip: IpAddr, kind: KeyKind) -> Option<Leaf> {
    let session: &OfferedSession =
        probe(host, ip)?.handshakes.iter().find_map(|one| match &one.tried {
            Tried::Session(session) if one.key == kind => Some(session),
            Tried::Session(_) | Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
        })?;
    let der = session.chain.first()?;
    let certificate = Certificate::read(der).ok()?;
    let until = certificate.dates().map(|(_, until)| until.to_string()).unwrap_or_default();
    let data = certificate.key_digest().to_vec();
    let key = Tlsa { usage: 3, selector: 1, matching: 1, data }.to_string();
    let words = format!("{key}, valid until {until}");
    Some(Leaf { key, words })
}

/// The policy that senders enforce: that of now; where it cannot be had, that of before, which they
/// still keep (RFC 8461 §3.3).
fn promised<'a>(before: Look<'a>, after: Look<'a>) -> Option<&'a Policy> {
    match &after.survey.policy.served {
        Some(Ok(_)) => enforced(after.survey),
        Some(Err(_)) | None => enforced(before.survey),
    }
}

/// Whether no session with any host of the domain matches the TLSA records that its signed zones
/// hold: senders with DANE deliver nothing.
fn nothing_matches(look: Look<'_>) -> bool {
    let addresses = look.assessment.hosts.iter().flat_map(|host| &host.addresses);
    addresses.flat_map(|address| &address.keys).all(|key| matches!(key.dane, Check::Fails(_)))
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

/// Whether the host is listed by a policy that is enforced now (RFC 8461 §5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enforced {
    Yes,
    No,
}

/// One kind of key at one address, before and after.
struct Pair<'a> {
    place: String,
    was: &'a KeyAssessment,
    is: &'a KeyAssessment,
    elsewhere: Elsewhere,
    enforced: Enforced,
}

impl Pair<'_> {
    /// A key that is deployed before its record breaks DANE (RFC 7671 §8.1).
    fn tlsa_match(&self, nothing_matches: bool, out: &mut Changes) {
        // Whoever rolls a key too early still has a certificate of the CA of before.
        let vouched = self.was.pkix == Check::Holds && self.is.pkix != Check::Holds;
        let (before, after, meaning) = match (&self.was.dane, &self.is.dane) {
            (Check::Holds, Check::Fails(why)) if nothing_matches && vouched => (
                "matches",
                why.as_str(),
                (
                    Class::LikelyAttack,
                    "no host matches what the signed zone says, and no CA vouches for the key",
                ),
            ),
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
        if nothing_matches && matches!(self.is.dane, Check::Fails(_)) {
            out.conclusive();
        }
    }

    fn certificate(&self, was: Option<&Leaf>, is: Option<&Leaf>, out: &mut Changes) {
        let (Some(was), Some(is)) = (was, is) else { return };
        let meaning = match (&self.was.pkix, &self.is.pkix) {
            (Check::Fails(_), Check::Holds) => (Class::Repair, "a public CA vouches for it"),
            (Check::Holds, Check::Fails(_)) if self.is.dane == Check::Holds => {
                (Class::Drift, "no public CA vouches for it any more; a TLSA record does")
            }
            // Nobody else has the key: it expired, or was renewed badly.
            (Check::Holds, Check::Fails(_)) if was.key == is.key => {
                (Class::Weakening, "the certificate does not hold any more")
            }
            (Check::Holds, Check::Fails(_)) if self.enforced == Enforced::Yes => {
                let meaning = (
                    Class::LikelyAttack,
                    "another key, for which no CA vouches, under an enforced policy",
                );
                out.add(Kind::Certificate, &self.place, &Was(&was.words, &is.words), meaning);
                return out.conclusive();
            }
            (Check::Holds, Check::Fails(_)) => self.lost(),
            _ if was.words == is.words => return,
            // What was not vouched for by anybody can be anybody's.
            _ if !good(self.is) && self.is.dane == Check::NotApplicable => {
                (Class::Drift, "another certificate, for which nobody vouches, as before")
            }
            _ => (Class::Drift, "another certificate that holds as the one before did"),
        };
        out.add(Kind::Certificate, &self.place, &Was(&was.words, &is.words), meaning);
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
