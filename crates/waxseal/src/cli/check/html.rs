//! One page that needs nothing else and that nobody has to explain.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::BTreeSet,
    io::{self, Write},
};

use askama::Template;
use waxseal_core::assess::{
    Assessment, Check, HostAssessment, Id, Offer, Quoted, Severity, profile::Status,
};

use super::{
    compare::{Provider, Seen, name},
    profiles::summary,
    report::{Outcome, Report},
    standing::{Standing, Tally},
    tone::{Tone, glyph, host_standing, severity_tone, status_tone},
};

/// The style of all our pages.
const STYLE: &str = include_str!("../../../templates/style.css");

#[derive(Template)]
#[template(path = "check.html")]
struct Page<'a> {
    style: &'static str,
    more_style: &'static str,
    version: &'static str,
    reports: Vec<&'a Report>,
    /// Whether standards were asked for.
    judged: bool,
    tally: &'a Tally,
    /// What is missing, where the run was interrupted.
    partial: Option<String>,
    providers: Option<&'a [Provider]>,
    /// When, and for many from when to when.
    when: Option<String>,
    /// Kinds of findings on the page, each once.
    meanings: BTreeSet<Id>,
}

const MORE_STYLE: &str = include_str!("../../../templates/check.css");

/// The page. All text from outside is escaped by the template.
pub(super) fn page(
    mut reports: Vec<&Report>,
    (tally, partial): (&Tally, Option<String>),
    providers: Option<&[Provider]>,
    mut out: &mut dyn Write,
) -> io::Result<()> {
    // Whoever reads on wants to know what is wrong; the sort keeps the order of equals.
    reports.sort_by_cached_key(|report| (Standing::told(report), Reverse(report.errors())));
    let assessed = || {
        reports.iter().filter_map(|report| match &report.outcome {
            Outcome::Assessed(one) => Some(&one.assessment),
            Outcome::NoDomain(_) => None,
        })
    };
    let times = || assessed().map(|one| one.checked_at);
    let when = times().min().zip(times().max()).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    });
    let findings = assessed().flat_map(|one| &one.findings);
    let meanings = findings.map(|finding| finding.id).collect();
    let page = Page {
        when,
        meanings,
        style: STYLE,
        more_style: MORE_STYLE,
        version: env!("CARGO_PKG_VERSION"),
        judged: reports.iter().any(|report| match &report.outcome {
            Outcome::Assessed(one) => !one.profiles.is_empty(),
            Outcome::NoDomain(_) => false,
        }),
        reports,
        tally,
        partial,
        providers,
    };
    page.write_into(&mut out)
}

/// Class and words for a domain's level, or for why there is none.
fn standing_parts(assessment: &Assessment) -> (&'static str, &'static str) {
    let standing = Standing::of(assessment);
    (class(standing.tone()), standing.word())
}

/// Its input as it may be shown.
fn quoted(report: &Report) -> Quoted {
    Quoted::new(&report.input)
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

fn any_differs(providers: &[Provider]) -> bool {
    providers.iter().any(Provider::differs)
}

/// Class, glyph and words for what a provider offers.
fn offer_parts(offer: Offer, seen: &Seen) -> (&'static str, &'static str, String) {
    let (class, glyph, word) = match offer {
        Offer::Yes => ("good", "✓", "yes"),
        Offer::Partly => ("poor", "~", "partly"),
        Offer::No => ("bad", "✗", "no"),
        Offer::Unknown => ("unknown", "?", "not known"),
    };
    let words = match (seen.is_mixed(), seen.yes.len(), seen.unknown.len()) {
        (true, yes @ 1.., 0) => format!("{yes}/{}", seen.total()),
        (true, yes @ 1.., unknown) => format!("{yes}/{}, {unknown}\u{a0}?", seen.total()),
        (true | false, _, _) => word.to_owned(),
    };
    (class, glyph, words)
}

/// What the columns of a comparison mean.
const COLUMNS: [(&str, &str); 9] = [
    ("DANE", "DNSSEC says which keys the mail hosts have, and they have them"),
    ("MTA-STS", "the domain demands authenticated TLS; partly: it only tests"),
    ("TLSRPT", "the domain asks for reports of failures"),
    ("TLS 1.3", "the version without known weaknesses"),
    ("PQ", "key exchange that a quantum computer does not break"),
    ("IPv6", "each mail host has an IPv6 address"),
    ("DNSSEC", "the zones of the mail hosts are signed"),
    ("REQUIRETLS", "a message can demand TLS all the way"),
    ("no old TLS", "nothing below TLS 1.2, no weak suites or groups"),
];
