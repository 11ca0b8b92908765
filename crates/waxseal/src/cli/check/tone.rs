//! How good something is at a glance: a glyph and a word carry the meaning; colour only repeats it.

use std::borrow::Cow;

use waxseal_core::{
    assess::{Assessment, Delivery, HostAssessment, Id, Severity, profile::Status},
    channel::Level,
};

use super::super::Paint;

/// What a profile comes to at a glance.
pub(super) const fn status_tone(status: Status) -> Tone {
    match status {
        Status::Met => Tone::Good,
        Status::NotMet => Tone::Bad,
        Status::Unknown | Status::NotApplicable | Status::ByHand => Tone::Unknown,
    }
}

/// The level of a domain in words, or why there is none.
pub(super) fn standing(one: &Assessment) -> (Tone, &'static str) {
    if one.findings.iter().any(|finding| finding.id == Id::DomainMissing) {
        return (Tone::Bad, "no such domain");
    }
    let word = match (one.level, one.delivery) {
        (Some(level), _) => level.as_str(),
        (None, Delivery::Refuses) => "not delivered",
        (None, Delivery::TakesNoMail) => "takes no mail",
        (None, Delivery::Delivers | Delivery::Unknown) => "not known",
    };
    (tone(one.level, one.delivery), word)
}

/// The level of a host in words: what was seen, else what would be demanded there.
pub(super) fn host_standing(host: &HostAssessment) -> (Tone, Cow<'static, str>) {
    let seen = host.addresses.iter().any(|address| !address.keys.is_empty());
    match (host.level, host.demanded) {
        (Some(level), _) => (tone(Some(level), Delivery::Delivers), level.as_str().into()),
        (None, _) if seen => (Tone::Bad, "no delivery".into()),
        (None, None | Some(Level::Cleartext)) => (Tone::Unknown, "not known".into()),
        (None, Some(demanded)) => (Tone::Unknown, format!("{demanded} or nothing").into()),
    }
}

/// What a finding is worth at a glance.
pub(super) const fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Poor,
        Severity::Unknown => Tone::Unknown,
        Severity::Notice | Severity::Info => Tone::Plain,
    }
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Poor,
    Bad,
    Unknown,
    Plain,
}

/// What a level is worth at a glance; without one, why there is none.
const fn tone(level: Option<Level>, delivery: Delivery) -> Tone {
    match level {
        None => match delivery {
            Delivery::Refuses => Tone::Bad,
            Delivery::TakesNoMail => Tone::Plain,
            Delivery::Delivers | Delivery::Unknown => Tone::Unknown,
        },
        Some(Level::Cleartext) => Tone::Bad,
        Some(Level::Encrypted | Level::Named) => Tone::Poor,
        Some(Level::StsFirst | Level::Sts | Level::Anchored | Level::Dane | Level::Pinned) => {
            Tone::Good
        }
    }
}

/// A glyph that says it without colour.
pub(super) fn mark(tone: Tone, paint: Paint) -> String {
    let glyph = match tone {
        Tone::Good => "✓",
        Tone::Poor => "!",
        Tone::Bad => "✗",
        Tone::Unknown => "?",
        Tone::Plain => "·",
    };
    colour(tone, glyph, paint)
}

/// The same text, coloured where that is wanted.
pub(super) fn colour(tone: Tone, text: &str, paint: Paint) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Poor => 33,
        Tone::Bad => 31,
        Tone::Unknown => 36,
        Tone::Plain => return text.to_owned(),
    };
    match paint {
        Paint::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Paint::Plain => text.to_owned(),
    }
}
