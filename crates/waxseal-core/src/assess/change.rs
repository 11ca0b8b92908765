//! What is different from before, and what that means: repaired, moved on, weaker, or likely an
//! attack.
//!
//! The line between the last two is who can have done it. What a domain takes back with
//! authentication (a signed denial, a policy over HTTPS) is its own decision; what merely vanishes
//! or stops holding on the way may be somebody on the path (RFC 8461 §10.2). What
//! could not be seen is no change at all.

mod addresses;
mod dkim;
mod dnssec;
mod hosts;
mod keepers;
mod level;
mod mx;
mod ours;
mod records;
mod starttls;
mod sts;
mod watch;

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

pub use self::{
    keepers::Keepers,
    ours::{relocated, strangers},
    watch::{Certainty, Event, Open, Watch},
};
use super::{Assessment, Quoted, Survey};

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
    /// Whether what belongs to an own domain can be seen at all, while others can.
    Unseen,
}

impl Kind {
    /// Whether a dialogue with a mail host shows it, in which that host said something else than before:
    /// whoever cannot look at other domains has seen it all the same.
    pub const fn is_in_dialogue(self) -> bool {
        match self {
            Self::TlsaMatch | Self::Certificate | Self::Starttls => true,
            Self::Level
            | Self::Delivery
            | Self::Dnssec
            | Self::Mx
            | Self::Tlsa
            | Self::Addresses
            | Self::Sts
            | Self::Tlsrpt
            | Self::Spf
            | Self::Dmarc
            | Self::Dkim
            | Self::Comparison
            | Self::Found
            | Self::Expiry
            | Self::View
            | Self::Unseen => false,
        }
    }

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
            | Self::View
            | Self::Unseen => false,
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
    dnssec::compare(before, after, &mut out);
    mx::compare(before, after, &mut out);
    hosts::compare(before, after, &mut out);
    sts::compare(before, after, &mut out);
    records::compare(before, after, &mut out);
    level::compare(before, after, &mut out);
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
