//! How a domain stands, in a word and in a sentence, and how many stand so.

use std::{collections::BTreeMap, fmt::Write as _};

use waxseal_core::{
    assess::{Assessment, Delivery, Id},
    channel::Level,
};

use super::{
    super::Paint,
    report::{Outcome, Report},
    tone::{Tone, colour, mark},
};

/// How a domain stands; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Cleartext,
    /// Our gateway would keep the mail.
    NotDelivered,
    /// The name does not exist.
    Missing,
    /// The input is no domain name.
    NoDomain,
    /// It could not be found out.
    NotKnown,
    Encrypted,
    Named,
    StsFirst,
    Sts,
    Anchored,
    Dane,
    Pinned,
    /// It says so itself.
    TakesNoMail,
}

impl Standing {
    pub(super) fn of(one: &Assessment) -> Self {
        if one.findings.iter().any(|finding| finding.id == Id::DomainMissing) {
            return Self::Missing;
        }
        match (one.level, one.delivery) {
            (Some(Level::Cleartext), _) => Self::Cleartext,
            (Some(Level::Encrypted), _) => Self::Encrypted,
            (Some(Level::Named), _) => Self::Named,
            (Some(Level::StsFirst), _) => Self::StsFirst,
            (Some(Level::Sts), _) => Self::Sts,
            (Some(Level::Anchored), _) => Self::Anchored,
            (Some(Level::Dane), _) => Self::Dane,
            (Some(Level::Pinned), _) => Self::Pinned,
            (None, Delivery::Refuses) => Self::NotDelivered,
            (None, Delivery::TakesNoMail) => Self::TakesNoMail,
            (None, Delivery::Delivers | Delivery::Unknown) => Self::NotKnown,
        }
    }

    pub(super) fn told(report: &Report) -> Self {
        match &report.outcome {
            Outcome::Assessed(one) => Self::of(&one.assessment),
            Outcome::NoDomain(_) => Self::NoDomain,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::NoDomain => "no domain",
            Self::Missing => "no such domain",
            Self::NotDelivered => "not delivered",
            Self::Cleartext => "cleartext",
            Self::NotKnown => "not known",
            Self::Encrypted => "encrypted",
            Self::Named => "named",
            Self::StsFirst => "sts-first",
            Self::Sts => "sts",
            Self::Anchored => "anchored",
            Self::Dane => "dane",
            Self::Pinned => "pinned",
            Self::TakesNoMail => "takes no mail",
        }
    }

    pub(super) const fn tone(self) -> Tone {
        match self {
            Self::NoDomain | Self::Missing | Self::NotDelivered | Self::Cleartext => Tone::Bad,
            Self::NotKnown => Tone::Unknown,
            Self::Encrypted | Self::Named => Tone::Poor,
            Self::StsFirst | Self::Sts | Self::Anchored | Self::Dane | Self::Pinned => Tone::Good,
            Self::TakesNoMail => Tone::Plain,
        }
    }

    /// For whoever does not know the word; it fits beside it into 80 columns.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::NoDomain => "what was given is not the name of a domain",
            Self::Missing => "DNS has no domain of this name",
            Self::NotDelivered => "our gateway would keep the mail: see the findings",
            Self::Cleartext => "anybody on the way can read the mail",
            Self::NotKnown => "it could not be found out; look again later",
            Self::Encrypted => "safe from who listens, not from who interferes",
            Self::Named => "as encrypted; who can forge DNS can redirect it",
            Self::StsFirst => "safe, unless somebody interferes at first contact",
            Self::Sts => "safe, unless a public CA is deceived",
            Self::Anchored => "safe, unless a public CA is deceived; DNSSEC names hosts",
            Self::Dane => "safe: DNSSEC says which key its mail hosts have",
            Self::Pinned => "safe: the key was agreed with the recipient",
            Self::TakesNoMail => "the domain says so itself",
        }
    }
}

/// How many stand so, the worst first.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(BTreeMap<Standing, usize>);

impl Tally {
    /// Counts one more.
    pub(super) fn add(&mut self, report: &Report) {
        let count = self.0.entry(Standing::told(report)).or_default();
        *count = count.saturating_add(1);
    }

    /// How many stand so, the worst first.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Standing, usize)> {
        self.0.iter().map(|(standing, count)| (*standing, *count))
    }
}

/// The tally for a terminal, one line each.
pub(super) fn lines(tally: &Tally, paint: Paint) -> String {
    let mut text = String::new();
    for (standing, count) in tally.counts() {
        let tone = standing.tone();
        let word = colour(tone, &format!("{:<14}", standing.word()), paint);
        let mark = mark(tone, paint);
        let _ = writeln!(text, "{count:>6} {mark} {word} {}", standing.meaning());
    }
    text
}
