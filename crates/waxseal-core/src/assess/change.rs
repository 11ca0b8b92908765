//! What is different from before, and what that means: repaired, moved on, weaker, or likely an
//! attack.
//!
//! The line between the last two is who can have done it. What a domain takes back with
//! authentication (a signed denial, a policy over HTTPS) is its own decision; what merely vanishes
//! or stops holding on the way may be somebody on the path (RFC 8461 §10.2). What
//! could not be seen is no change at all.

mod addresses;
mod dkim;
mod hosts;
mod ours;
mod starttls;
mod watch;

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

pub use self::{
    ours::strangers,
    watch::{Certainty, Event, Open, Watch},
};
use super::{
    Assessment, Contact, Delivery, DmarcPolicy, Observed, Published, Quoted, Signing, SpfAll,
    Survey, judge,
};
use crate::{
    dns::{Absence, Authenticity, FailureKind, LookupFailure},
    domain::Domain,
    facts::{MxFact, StsFailure},
    sts::{Mode, Policy},
};

/// One look at a domain.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What was seen.
    pub survey: &'a Survey,
    /// What it came to.
    pub assessment: &'a Assessment,
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It is better than before.
    Repair,
    /// It is different, as things are: a renewed certificate, another id.
    Drift,
    /// It is weaker, by the domain's own doing as far as can be told.
    Weakening,
    /// Something vanished or stopped holding in a way that somebody on the path can bring about.
    LikelyAttack,
}

impl Class {
    /// As it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Drift => "drift",
            Self::Weakening => "weakening",
            Self::LikelyAttack => "likely-attack",
        }
    }
}

/// How much one look at a change proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// One look can be a fault of the way there.
    #[default]
    Ordinary,
    /// What was seen contradicts what the domain itself says with authentication, wherever one
    /// looks: mail is refused as long as it lasts, whether by an attack or by a mistake.
    Conclusive,
    /// It is no difference from before, but stands by itself: a date that was read, a name that is
    /// not on a list.
    Standing,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The level that an attacker leaves.
    Level,
    /// Whether our gateway would deliver.
    Delivery,
    /// DNSSEC of the domain or of a mail host.
    Dnssec,
    /// The set of mail hosts, or whether it is signed.
    Mx,
    /// The TLSA records of a host.
    Tlsa,
    /// Whether a session matches them.
    TlsaMatch,
    /// The certificate at an address.
    Certificate,
    /// STARTTLS at an address, and the handshakes after it.
    Starttls,
    /// The addresses of a host.
    Addresses,
    /// The MTA-STS record or policy.
    Sts,
    /// The TLSRPT record.
    Tlsrpt,
    /// SPF.
    Spf,
    /// DMARC.
    Dmarc,
    /// The record of a DKIM key of ours.
    Dkim,
    /// Whether looks can be compared at all.
    Comparison,
    /// What was broken when it was looked at first.
    Found,
    /// What ends soon: a certificate, signatures, a policy.
    Expiry,
    /// Whether the gateway can look at other domains at all.
    View,
}

impl Kind {
    /// Whether DNS alone shows it: whoever cannot reach hosts sees it all the same.
    pub const fn is_in_dns(self) -> bool {
        match self {
            Self::Dnssec
            | Self::Mx
            | Self::Tlsa
            | Self::Addresses
            | Self::Tlsrpt
            | Self::Spf
            | Self::Dmarc
            | Self::Dkim => true,
            Self::Level
            | Self::Delivery
            | Self::TlsaMatch
            | Self::Certificate
            | Self::Starttls
            | Self::Sts
            | Self::Comparison
            | Self::Found
            | Self::Expiry
            | Self::View => false,
        }
    }
}

/// One difference between two looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What changed.
    pub kind: Kind,
    /// Where: a domain, a host, `host [address] RSA`.
    pub subject: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
    /// What that means.
    pub class: Class,
    /// Why it is taken to mean that.
    pub because: String,
    /// How much one look at it proves.
    #[serde(default)]
    pub weight: Weight,
}

impl Change {
    /// How many looks in a row have to show it before anybody is alarmed; `None` where nobody is.
    /// One look can be a fault of the way there, and a roll takes a while; what is conclusive is
    /// neither (docs/decisions/0011).
    pub const fn looks_needed(&self) -> Option<u32> {
        match (self.class, self.weight) {
            (Class::Repair, _) | (Class::Drift, Weight::Ordinary | Weight::Conclusive) => None,
            (Class::Drift | Class::Weakening | Class::LikelyAttack, Weight::Standing) => Some(2),
            (Class::Weakening | Class::LikelyAttack, Weight::Conclusive) => Some(1),
            (Class::Weakening, Weight::Ordinary) => Some(3),
            (Class::LikelyAttack, Weight::Ordinary) => Some(2),
        }
    }
}

/// All differences, the worst first. What one of the two looks could not see is not compared.
pub fn changes(before: Look<'_>, after: Look<'_>) -> Vec<Change> {
    let mut out = Changes::default();
    dnssec(before, after, &mut out);
    mx(before, after, &mut out);
    hosts::compare(before, after, &mut out);
    sts(before, after, &mut out);
    records(before, after, &mut out);
    level(before, after, &mut out);
    // After the level, of which it says nothing.
    dkim::compare(before, after, &mut out);
    out.0.sort_by(|one, other| {
        (other.class, one.kind, &one.subject).cmp(&(one.class, other.kind, &other.subject))
    });
    // Several hosts in one zone are one change of it: the worst.
    let mut told = HashSet::new();
    out.0.retain(|change| told.insert((change.kind, change.subject.clone())));
    out.0
}

/// What was found so far.
#[derive(Default)]
struct Changes(Vec<Change>);

/// Before and after, in words.
struct Was<'a>(&'a str, &'a str);

impl Changes {
    fn add(&mut self, kind: Kind, subject: &str, was: &Was<'_>, (class, because): (Class, &str)) {
        let harmless = |text: &str| Quoted::new(text).into();
        self.0.push(Change {
            kind,
            subject: harmless(subject),
            before: harmless(was.0),
            after: harmless(was.1),
            class,
            because: because.into(),
            weight: Weight::Ordinary,
        });
    }

    /// The last one needs no second look.
    fn conclusive(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.weight = Weight::Conclusive;
        }
    }
}

fn dnssec(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let (was, is) = (&before.survey.zone, &after.survey.zone);
    zone(was.zone.as_str(), &was.signing, &is.signing, out);
    for host in &after.survey.hosts {
        let Some(then) = before.survey.hosts.iter().find(|then| then.host == host.host) else {
            continue;
        };
        if host.zone.zone != is.zone {
            zone(host.zone.zone.as_str(), &then.zone.signing, &host.zone.signing, out);
        }
    }
}

fn zone(name: &str, was: &Signing, is: &Signing, out: &mut Changes) {
    let words = |signing: &Signing| match signing {
        Signing::Signed { algorithms, .. } => format!("signed with {algorithms:?}"),
        Signing::Unsigned { because } => format!("unsigned: {because}"),
        Signing::Failed(failure) => failure.to_string(),
        Signing::NotAsked => String::new(),
    };
    let meaning = match (was, is) {
        (Signing::NotAsked, _) | (_, Signing::NotAsked) => return,
        (Signing::Signed { algorithms: one, .. }, Signing::Signed { algorithms: other, .. }) => {
            if one == other {
                return;
            }
            (Class::Drift, "the keys were rolled to another algorithm")
        }
        (Signing::Signed { .. }, Signing::Unsigned { .. }) => {
            (Class::Weakening, "the parent zone proves that there is no DS record any more")
        }
        (Signing::Signed { .. } | Signing::Unsigned { .. }, Signing::Failed(failure)) => {
            match forged(failure) {
                Some(meaning) => meaning,
                None => return,
            }
        }
        (Signing::Unsigned { .. }, Signing::Signed { .. }) => (Class::Repair, "it is signed now"),
        (Signing::Unsigned { .. }, Signing::Unsigned { .. }) => return,
        (Signing::Failed(failure), Signing::Signed { .. } | Signing::Unsigned { .. }) => {
            if forged(failure).is_none() {
                return;
            }
            (Class::Repair, "its signatures hold again")
        }
        (Signing::Failed(_), Signing::Failed(_)) => return,
    };
    out.add(Kind::Dnssec, name, &Was(&words(was), &words(is)), meaning);
}

/// A look-up that fails as it does when somebody changes or takes out what was signed; `None`
/// where it merely failed.
const fn forged(failure: &LookupFailure) -> Option<(Class, &'static str)> {
    match failure.kind {
        FailureKind::Bogus => Some((
            Class::LikelyAttack,
            "signatures do not hold: an expired signature, or somebody changes answers on the way",
        )),
        FailureKind::Indeterminate
        | FailureKind::SignaturesStripped
        | FailureKind::Clock
        | FailureKind::ServFail
        | FailureKind::Refused
        | FailureKind::Timeout
        | FailureKind::Unreachable
        | FailureKind::Malformed
        | FailureKind::Limit => None,
    }
}

fn mx(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let signed = |fact: &MxFact| match fact {
        MxFact::Found { authenticity, .. } | MxFact::Null { authenticity, .. } => {
            Some(*authenticity == Authenticity::Secure)
        }
        MxFact::Implicit { absence, .. } | MxFact::NoDomain { absence, .. } => {
            Some(*absence == Absence::Secure)
        }
        MxFact::Configured | MxFact::Failed(_) => None,
    };
    let (was, is) = (&before.survey.facts, &after.survey.facts);
    if let (MxFact::Failed(failure), Some(_)) = (&is.mx, signed(&was.mx)) {
        if let Some(meaning) = forged(failure) {
            out.add(Kind::Mx, subject, &Was("found", &failure.to_string()), meaning);
        }
        return;
    }
    let (Some(was_signed), Some(is_signed)) = (signed(&was.mx), signed(&is.mx)) else { return };
    match (was_signed, is_signed) {
        (true, false) => out.add(
            Kind::Mx,
            subject,
            &Was("signed", "unsigned"),
            (Class::Weakening, "the zone is provably not signed any more"),
        ),
        (false, true) => out.add(
            Kind::Mx,
            subject,
            &Was("unsigned", "signed"),
            (Class::Repair, "nobody on the way can change the names any more"),
        ),
        (true, true) | (false, false) => {}
    }
    let names = |survey: &Survey| {
        let mut names: Vec<_> =
            survey.facts.hosts.iter().map(|host| host.host.to_string()).collect();
        names.sort_unstable();
        names
    };
    let (then, now) = (names(before.survey), names(after.survey));
    if then == now {
        return;
    }
    let unlisted = enforced(before.survey)
        .is_some_and(|policy| after.survey.hosts.iter().any(|host| !policy.allows(&host.host)));
    let meaning = if is_signed {
        (Class::Drift, "the new set is signed")
    } else if unlisted {
        (Class::LikelyAttack, "the new set is unsigned, and the enforced policy does not list it")
    } else if is_elsewhere(before.survey, after.survey) {
        (
            Class::Weakening,
            "other hosts, and nothing signs that: the domain moved, or somebody on the path says so",
        )
    } else {
        (Class::Drift, "the same operator's hosts; the set is unsigned")
    };
    out.add(Kind::Mx, subject, &Was(&then.join(", "), &now.join(", ")), meaning);
}

/// Whether mail goes to other hosts only, or also to one that lies in no domain of a host before.
/// All being new is enough: whoever forges MX records (RFC 8461 §10.2) may be another customer of
/// the same operator, and has its certificate.
fn is_elsewhere(before: &Survey, after: &Survey) -> bool {
    let of = |survey: &Survey| -> Vec<String> {
        survey.hosts.iter().map(|host| host.host.to_string()).collect()
    };
    let (then, now) = (of(before), of(after));
    // `mx1.example.net` and `mx2.example.net`; a name of two labels shares nothing.
    let parent = |name: &str| match name.split_once('.') {
        Some((_, parent)) if parent.contains('.') => parent.to_owned(),
        Some(_) | None => name.to_owned(),
    };
    let fresh: Vec<_> = now.iter().filter(|name| !then.contains(name)).collect();
    let strange = |name: &&String| !then.iter().any(|was| parent(was) == parent(name));
    !then.is_empty() && !fresh.is_empty() && (fresh.len() == now.len() || fresh.iter().any(strange))
}

fn enforced(survey: &Survey) -> Option<&Policy> {
    match &survey.policy.served {
        Some(Ok(policy)) if policy.mode == Mode::Enforce => Some(policy),
        Some(Ok(_) | Err(_)) | None => None,
    }
}

/// The record came, went, or became unusable: before, after, and what that means. A second record
/// takes the first one away (RFC 8461 §3.1), and anybody on the path can add one to an answer that
/// nobody signs.
fn announced<'a>(
    before: &'a Survey,
    after: &'a Survey,
) -> Option<(&'a str, &'a str, (Class, &'static str))> {
    let enforces = enforced(before).is_some();
    match (&before.policy.record, &after.policy.record) {
        (Published::Found { .. }, Published::Absent { absence, .. }) => {
            let meaning = match absence {
                Absence::Secure => (Class::Weakening, "the signed zone denies the record"),
                Absence::Agreed => {
                    (Class::Weakening, "independent resolvers agree that it is gone")
                }
                Absence::Unconfirmed if enforces => (
                    Class::LikelyAttack,
                    "the record of an enforced policy is not seen any more, and nothing signs that",
                ),
                Absence::Unconfirmed => (Class::Weakening, "the record is not seen any more"),
            };
            Some(("published", "no record", meaning))
        }
        (Published::Found { .. }, Published::Broken { why, authenticity, .. }) => {
            let meaning = match authenticity {
                Authenticity::Secure => (Class::Weakening, "the signed zone has no usable record"),
                Authenticity::Insecure if enforces => (
                    Class::LikelyAttack,
                    "the record of an enforced policy became unusable, and nothing signs that",
                ),
                Authenticity::Insecure => (Class::Weakening, "the record cannot be used any more"),
            };
            Some(("published", why, meaning))
        }
        (Published::Absent { .. }, Published::Found { .. }) => {
            Some(("no record", "published", (Class::Repair, "a policy is published")))
        }
        (Published::Broken { why, .. }, Published::Found { .. }) => {
            Some((why, "published", (Class::Repair, "a policy is published")))
        }
        (
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::Failed(_)
            | Published::NotAsked,
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::Failed(_)
            | Published::NotAsked,
        ) => None,
    }
}

fn sts(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (&before.survey.policy, &after.survey.policy);
    if let Some((then, now, meaning)) = announced(before.survey, after.survey) {
        return out.add(Kind::Sts, subject, &Was(then, now), meaning);
    }
    let (Some(then), Some(now)) = (&was.served, &is.served) else { return };
    match (then, now) {
        (Ok(then), Ok(now)) if then.mode != now.mode => {
            let rank = |mode| match mode {
                Mode::None => 0,
                Mode::Testing => 1,
                Mode::Enforce => 2,
            };
            let meaning = if rank(now.mode) > rank(then.mode) {
                (Class::Repair, "the policy asks for more")
            } else {
                (Class::Weakening, "its own policy host says so over HTTPS")
            };
            let (then, now) = (then.mode.to_string(), now.mode.to_string());
            out.add(Kind::Sts, subject, &Was(&then, &now), meaning);
        }
        (Ok(then), Ok(now)) if then != now || was.record.value() != is.record.value() => {
            let words = |policy: &Policy, id: &Published<Quoted>| {
                let id = id.value().map(Quoted::as_str).unwrap_or_default();
                format!("id {id}: {}", policy.to_string().replace("\r\n", "; "))
            };
            let (then, now) = (words(then, &was.record), words(now, &is.record));
            out.add(Kind::Sts, subject, &Was(&then, &now), (Class::Drift, "another policy or id"));
        }
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(_), Err(failure)) => {
            let meaning = match failure {
                StsFailure::Record(failure) => match forged(failure) {
                    Some(meaning) => meaning,
                    None => return,
                },
                StsFailure::Certificate(_) => (
                    Class::LikelyAttack,
                    "somebody else, or an expired certificate, answers for the policy host",
                ),
                StsFailure::Fetch(_) | StsFailure::Unreached(_) | StsFailure::Invalid(_) => {
                    (Class::Weakening, "the policy cannot be had; an attack is not excluded")
                }
            };
            out.add(Kind::Sts, subject, &Was("served", &format!("{failure:?}")), meaning);
        }
        (Err(failure), Ok(now)) => {
            let (then, now) = (format!("{failure:?}"), now.mode.to_string());
            out.add(Kind::Sts, subject, &Was(&then, &now), (Class::Repair, "it is served again"));
        }
    }
}

fn records(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (before.survey, after.survey);
    published(Kind::Tlsrpt, subject, (&was.tlsrpt, &is.tlsrpt), |_| Some(1), out);
    let spf = |spf: &super::Spf| match spf.all {
        SpfAll::Pass => Some(1),
        SpfAll::Neutral => Some(2),
        SpfAll::SoftFail => Some(3),
        SpfAll::Fail => Some(4),
        SpfAll::Unknown => None,
    };
    published(Kind::Spf, subject, (&was.mail.spf, &is.mail.spf), spf, out);
    let dmarc = |dmarc: &super::Dmarc| match (dmarc.policy, dmarc.testing) {
        (DmarcPolicy::None, _) => Some(1),
        (DmarcPolicy::Quarantine, true) => Some(2),
        (DmarcPolicy::Quarantine, false) | (DmarcPolicy::Reject, true) => Some(3),
        (DmarcPolicy::Reject, false) => Some(4),
    };
    published(Kind::Dmarc, subject, (&was.mail.dmarc, &is.mail.dmarc), dmarc, out);
}

/// A record whose worth is a number, where that is known; none or a broken one is worth nothing.
fn published<T>(
    kind: Kind,
    subject: &str,
    (was, is): (&Published<T>, &Published<T>),
    worth: impl Fn(&T) -> Option<u8>,
    out: &mut Changes,
) {
    let value = |record: &Published<T>| match record {
        Published::Found { value, text, .. } => Some((worth(value)?, text.to_string())),
        Published::Broken { text, .. } => Some((0, text.to_string())),
        Published::Absent { .. } => Some((0, "no record".into())),
        Published::Failed(_) | Published::NotAsked => None,
    };
    let (Some((then, was)), Some((now, is))) = (value(was), value(is)) else { return };
    let meaning = match now.cmp(&then) {
        std::cmp::Ordering::Less => (Class::Weakening, "the record asks for less"),
        std::cmp::Ordering::Greater => (Class::Repair, "the record asks for more"),
        std::cmp::Ordering::Equal if was == is => return,
        std::cmp::Ordering::Equal => (Class::Drift, "the record is another one"),
    };
    out.add(kind, subject, &Was(&was, &is), meaning);
}

/// Hosts of which no address answered.
fn silent(survey: &Survey) -> Vec<&Domain> {
    let is_silent = |address: &super::AddressSurvey| match &address.observed {
        Observed::Probed(probe) => matches!(probe.contact, Contact::Unreachable(_)),
        Observed::Not(_) => false,
    };
    let mut silent: Vec<_> = survey
        .hosts
        .iter()
        .filter(|host| host.addresses.iter().any(is_silent))
        .filter(|host| {
            let probed = |one: &&super::AddressSurvey| matches!(one.observed, Observed::Probed(_));
            host.addresses.iter().filter(probed).all(is_silent)
        })
        .map(|host| &host.host)
        .collect();
    silent.sort_unstable();
    silent
}

/// The sum of it. As bad and as sure as the worst cause, so that a level which falls because of an
/// attack is not called a weakening.
fn level(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (before.assessment, after.assessment);
    let attacked = out.0.iter().any(|change| change.class == Class::LikelyAttack);
    let conclusive = out.0.iter().any(|change| change.weight == Weight::Conclusive);
    let worse = if attacked {
        (Class::LikelyAttack, "it follows from the other changes")
    } else {
        (Class::Weakening, "less is left when an attacker does what he can")
    };
    // A host that one of the looks did not reach counts for less there, and nobody made it weaker.
    let comparable = silent(before.survey) == silent(after.survey);
    if let (Some(then), Some(now)) = (was.level, is.level)
        && then != now
        && comparable
    {
        let meaning = if judge::strength(now) > judge::strength(then) {
            (Class::Repair, "more is left when an attacker does what he can")
        } else {
            worse
        };
        out.add(Kind::Level, subject, &Was(then.as_str(), now.as_str()), meaning);
        if conclusive {
            out.conclusive();
        }
    }
    let meaning = match (was.delivery, is.delivery) {
        (Delivery::Unknown, _) | (_, Delivery::Unknown) => return,
        (then, now) if then == now => return,
        (_, Delivery::Delivers) => (Class::Repair, "mail would go there now"),
        (_, Delivery::Refuses) if attacked => worse,
        (_, Delivery::Refuses) => (Class::Weakening, "no mail would go there now"),
        (_, Delivery::TakesNoMail) => match &after.survey.facts.mx {
            MxFact::NoDomain { absence: Absence::Secure | Absence::Agreed, .. } => {
                (Class::Weakening, "the domain does not exist any more: no mail would go there")
            }
            MxFact::NoDomain { absence: Absence::Unconfirmed, .. } => (
                Class::Weakening,
                "the domain is not seen any more, and nothing signs that; an attack is not excluded",
            ),
            MxFact::Null { .. }
            | MxFact::Found { .. }
            | MxFact::Implicit { .. }
            | MxFact::Configured
            | MxFact::Failed(_) => (Class::Drift, "the domain says that it takes no mail"),
        },
    };
    let words = |delivery| match delivery {
        Delivery::Delivers => "delivers",
        Delivery::Refuses => "refuses",
        Delivery::TakesNoMail => "takes no mail",
        Delivery::Unknown => "unknown",
    };
    out.add(Kind::Delivery, subject, &Was(words(was.delivery), words(is.delivery)), meaning);
    if conclusive {
        out.conclusive();
    }
}
