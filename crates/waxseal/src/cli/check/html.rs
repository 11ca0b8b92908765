//! One page that needs nothing else and that nobody has to explain.

use std::borrow::Cow;

use askama::Template;
use waxseal_core::assess::{Assessment, Check, HostAssessment, Offer, Severity, profile::Status};

use super::{
    compare::Provider,
    profiles::summary,
    report::{Outcome, Report},
    tone::{Tone, host_standing, severity_tone, standing, status_tone},
};

/// The style of all our pages.
const STYLE: &str = include_str!("../../../templates/style.css");

#[derive(Template)]
#[template(path = "check.html")]
struct Page<'a> {
    style: &'static str,
    more_style: &'static str,
    version: &'static str,
    reports: &'a [Report],
    providers: Option<&'a [Provider]>,
}

const MORE_STYLE: &str = include_str!("../../../templates/check.css");

/// The page. All text from outside is escaped by the template.
pub(super) fn page(reports: &[Report], providers: Option<&[Provider]>) -> anyhow::Result<String> {
    let page = Page {
        style: STYLE,
        more_style: MORE_STYLE,
        version: env!("CARGO_PKG_VERSION"),
        reports,
        providers,
    };
    Ok(page.render()?)
}

/// Whether standards were asked for.
fn judged(reports: &[Report]) -> bool {
    reports.iter().any(|report| match &report.outcome {
        Outcome::Assessed(one) => !one.profiles.is_empty(),
        Outcome::NoDomain(_) => false,
    })
}

/// Class and words for a domain's level, or for why there is none.
fn standing_parts(assessment: &Assessment) -> (&'static str, &'static str) {
    let (tone, word) = standing(assessment);
    (class(tone), word)
}

/// Class and words for a host's level.
fn host_parts(host: &HostAssessment) -> (&'static str, Cow<'static, str>) {
    let (tone, word) = host_standing(host);
    (class(tone), word)
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Poor => "poor",
        Tone::Bad => "bad",
        Tone::Unknown => "unknown",
        Tone::Plain => "plain",
    }
}

/// Class and glyph for what a profile or a requirement comes to.
const fn status_parts(status: Status) -> (&'static str, &'static str) {
    let glyph = match status {
        Status::Met => "✓",
        Status::NotMet => "✗",
        Status::Unknown => "?",
        Status::NotApplicable | Status::ByHand => "·",
    };
    (class(status_tone(status)), glyph)
}

/// A status in words.
const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Met => "met",
        Status::NotMet => "not met",
        Status::Unknown => "unknown",
        Status::NotApplicable => "does not apply",
        Status::ByHand => "by hand",
    }
}

const fn severity_class(severity: Severity) -> &'static str {
    class(severity_tone(severity))
}

/// Class, glyph and words for a check of a certificate.
fn check_parts(check: &Check) -> (&'static str, &'static str, &str) {
    match check {
        Check::Holds => ("good", "✓", "holds"),
        Check::Fails(why) => ("bad", "✗", why),
        Check::NotApplicable => ("plain", "·", "none"),
    }
}

const fn offer_parts(offer: Offer) -> (&'static str, &'static str, &'static str) {
    match offer {
        Offer::Yes => ("good", "✓", "yes"),
        Offer::Partly => ("poor", "~", "partly"),
        Offer::No => ("bad", "✗", "no"),
        Offer::Unknown => ("unknown", "?", "not known"),
    }
}
