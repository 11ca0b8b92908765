//! What changed at the mail hosts.

use std::net::IpAddr;

use super::{
    Changes, Class, Kind, Look, Was, addresses,
    dnssec::{Life, forged, times},
    starttls,
    sts::enforced,
};
use crate::{
    assess::{Check, HostSurvey, KeyAssessment, KeyKind, Observed, OfferedSession, Probe, Tried},
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
        let (earlier, now) = (keys(before, host), keys(after, host));
        if let (Some(was), Some(is)) = (of(&before.survey.facts), of(&after.survey.facts)) {
            let life = Life::of(&then.zone.signing, times(before, after));
            tlsa(was, is, life, out);
            addresses::compare(was, is, &strange(then, host, (&earlier, &now)), out);
        }
        starttls::compare((before, after), then, host, out);
        for (ip, key) in &now {
            let (ip, kind) = (*ip, key.algorithm);
            let shown = leaf(host, ip, kind);
            let Some((at, was)) = counterpart(then, &earlier, (ip, kind), shown.as_ref()) else {
                continue;
            };
            let here = (at, was.algorithm) == (ip, kind);
            let enforced = promised(before, after).is_some_and(|it| it.allows(&host.host));
            let pair = Pair {
                place: match here {
                    true => format!("{} [{ip}] {}", host.host, kind.as_str()),
                    // Whoever answers at another address each time is one change, not many.
                    false => host.host.to_string(),
                },
                at: if here { String::new() } else { format!("[{ip}] {}: ", kind.as_str()) },
                was,
                is: key,
                others: Others::of(&now, (ip, kind), was.algorithm),
                enforced: if enforced { Enforced::Yes } else { Enforced::No },
            };
            pair.tlsa_match(nothing_matches(after), out);
            pair.certificate(leaf(then, at, was.algorithm).as_ref(), shown.as_ref(), out);
        }
    }
}

/// Addresses at which nothing that was seen speaks for the host: no key that holds, and none that
/// it showed before.
fn strange(
    then: &HostSurvey,
    host: &HostSurvey,
    (earlier, now): (&[Shown<'_>], &[Shown<'_>]),
) -> Vec<IpAddr> {
    let before: Vec<_> =
        earlier.iter().filter_map(|(at, was)| Some(leaf(then, *at, was.algorithm)?.key)).collect();
    let speaks = |(ip, key): &Shown<'_>| {
        good(key) || leaf(host, *ip, key.algorithm).is_some_and(|leaf| before.contains(&leaf.key))
    };
    let known: Vec<_> = now.iter().filter(|shown| speaks(shown)).map(|(ip, _)| *ip).collect();
    now.iter().map(|(ip, _)| *ip).filter(|ip| !known.contains(ip)).collect()
}

/// One kind of key at an address.
type Shown<'a> = (IpAddr, &'a KeyAssessment);

/// What a key that is shown now is compared with: the same kind at the same address; where that was
/// not seen, the same key wherever it was, or the best that the host had. Somebody on the path can
/// answer at an address, and with a kind of key, that the host never had.
fn counterpart<'a>(
    then: &HostSurvey,
    earlier: &[Shown<'a>],
    (ip, kind): (IpAddr, KeyKind),
    shown: Option<&Leaf>,
) -> Option<Shown<'a>> {
    earlier.iter().copied().min_by_key(|(at, was)| {
        let same_key = || {
            let was = leaf(then, *at, was.algorithm);
            was.zip(shown).is_some_and(|(was, is)| was.key == is.key)
        };
        match () {
            () if (*at, was.algorithm) == (ip, kind) => 0,
            () if same_key() => 1,
            () if good(was) => 2,
            () => 3,
        }
    })
}

pub(super) fn facts_of<'f>(facts: &'f Facts, host: &HostSurvey) -> Option<&'f HostFacts> {
    facts.hosts.iter().find(|facts| facts.host == Peer::Name(host.host.clone()))
}

fn keys<'a>(look: Look<'a>, host: &HostSurvey) -> Vec<Shown<'a>> {
    let judged = look.assessment.hosts.iter().filter(|judged| judged.host == host.host);
    judged
        .flat_map(|judged| &judged.addresses)
        .flat_map(|address| address.keys.iter().map(|key| (address.ip, key)))
        .collect()
}

pub(super) fn probe(host: &HostSurvey, ip: IpAddr) -> Option<&Probe> {
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

/// Whether a key is shown at this address that the host showed before, wherever that was: only the host
/// has it, be it that somebody passes on what it says.
pub(super) fn shows_old_key(then: &HostSurvey, host: &HostSurvey, ip: IpAddr) -> bool {
    let keys = |host: &HostSurvey, ip| -> Vec<String> {
        let kinds = probe(host, ip).into_iter().flat_map(|probe| &probe.handshakes);
        kinds.filter_map(|one| Some(leaf(host, ip, one.key)?.key)).collect()
    };
    let before: Vec<_> = then.addresses.iter().flat_map(|at| keys(then, at.ip)).collect();
    keys(host, ip).iter().any(|key| before.contains(key))
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
pub(super) fn promised<'a>(before: Look<'a>, after: Look<'a>) -> Option<&'a Policy> {
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

fn tlsa(was: &HostFacts, is: &HostFacts, life: Life, out: &mut Changes) {
    let meaning = match (&was.dane, &is.dane) {
        (Dane::LookupFailed(_), Dane::LookupFailed(_))
        | (Dane::Absent(_), Dane::Absent(_) | Dane::Unusable { .. })
        | (Dane::Unusable { .. }, Dane::Absent(_) | Dane::Unusable { .. }) => return,
        (_, Dane::LookupFailed(failure)) => match forged(failure, life) {
            Some(meaning) => meaning,
            None => return,
        },
        (Dane::LookupFailed(failure), _) if forged(failure, life).is_none() => return,
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

/// What holds at the host beside what does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Another address still has what this one lost.
    Hold,
    /// A kind of key that the address had before still holds there, and this kind is new.
    Beside,
    /// Nothing.
    Nothing,
}

impl Others {
    fn of(now: &[Shown<'_>], (ip, kind): (IpAddr, KeyKind), was: KeyKind) -> Self {
        let hold = |at: &dyn Fn(IpAddr, KeyKind) -> bool| {
            now.iter().any(|(other, key)| at(*other, key.algorithm) && good(key))
        };
        if was != kind && hold(&|other, held| other == ip && held != kind) {
            return Self::Beside;
        }
        if hold(&|other, _| other != ip) { Self::Hold } else { Self::Nothing }
    }
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
    /// Before what is told of it, where the place does not say it: the address and the kind.
    at: String,
    was: &'a KeyAssessment,
    is: &'a KeyAssessment,
    others: Others,
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
        let after = format!("{}{after}", self.at);
        out.add(Kind::TlsaMatch, &self.place, &Was(before, &after), meaning);
        if nothing_matches && matches!(self.is.dane, Check::Fails(_)) {
            out.conclusive();
        }
    }

    fn certificate(&self, was: Option<&Leaf>, is: Option<&Leaf>, out: &mut Changes) {
        let (Some(was), Some(is)) = (was, is) else { return };
        let words = Was(&was.words, &format!("{}{}", self.at, is.words));
        let meaning = match (&self.was.pkix, &self.is.pkix) {
            (Check::Fails(_), Check::Holds) => (Class::Repair, "a public CA vouches for it"),
            (Check::Holds, Check::Fails(_)) if self.is.dane == Check::Holds => {
                (Class::Drift, "no public CA vouches for it any more; a TLSA record does")
            }
            // Nobody else has the key: it expired, or was renewed badly.
            (Check::Holds, Check::Fails(_)) if was.key == is.key => {
                (Class::Weakening, "the certificate does not hold any more")
            }
            (Check::Holds, Check::Fails(_))
                if self.enforced == Enforced::Yes && self.others != Others::Beside =>
            {
                let meaning = (
                    Class::LikelyAttack,
                    "another key, for which no CA vouches, under an enforced policy",
                );
                out.add(Kind::Certificate, &self.place, &words, meaning);
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
        out.add(Kind::Certificate, &self.place, &words, meaning);
    }

    /// A roll reaches all addresses; an attacker often sits before one.
    const fn lost(&self) -> (Class, &'static str) {
        match self.others {
            Others::Hold => {
                (Class::LikelyAttack, "another key answers here than at the other addresses")
            }
            Others::Beside => (
                Class::Weakening,
                "a kind of key that was not there before, for which nothing speaks",
            ),
            Others::Nothing => (
                Class::Weakening,
                "the key was changed everywhere before its records; an attack is not excluded",
            ),
        }
    }
}
