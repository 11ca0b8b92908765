//! How good something is at a glance: a glyph and a word carry the meaning; colour only repeats it.

use std::borrow::Cow;

use waxseal_core::{
    assess::{HostAssessment, Severity, profile::Status},
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

/// The level of a host in words: what was seen, else what would be demanded there.
pub(super) fn host_standing(host: &HostAssessment) -> (Tone, Cow<'static, str>) {
    let seen = host.addresses.iter().any(|address| !address.keys.is_empty());
    match (host.level, host.demanded) {
        (Some(level), _) => (tone(level), level.as_str().into()),
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

/// What a level is worth at a glance.
const fn tone(level: Level) -> Tone {
    match level {
        Level::Cleartext => Tone::Bad,
        Level::Encrypted | Level::Named => Tone::Poor,
        Level::StsFirst | Level::Sts | Level::Anchored | Level::Dane | Level::Pinned => Tone::Good,
    }
}

/// A glyph that says it without colour.
pub(super) const fn glyph(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Poor => "!",
        Tone::Bad => "✗",
        Tone::Unknown => "?",
        Tone::Plain => "·",
    }
}

/// The glyph, coloured where that is wanted.
pub(super) fn mark(tone: Tone, paint: Paint) -> String {
    colour(tone, glyph(tone), paint)
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
