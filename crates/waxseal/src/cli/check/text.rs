//! For a terminal: what an attacker would obtain first, then where, then what to do. Glyphs and
//! words carry the meaning; colour only repeats it.

use std::fmt::Write as _;

use waxseal_core::{
    assess::{
        AddressAssessment, Check, Finding, HostAssessment, KeyAssessment, Severity,
        profile::{ProfileVerdict, Status, Weight},
    },
    channel::Level,
};

use super::{
    super::Paint,
    profiles,
    report::{Assessed, Outcome, Report},
};

/// Columns of running text.
const WIDTH: usize = 96;

/// One report.
pub(super) fn page(report: &Report, paint: Paint) -> String {
    let one = match &report.outcome {
        Outcome::Assessed(one) => one,
        Outcome::NoDomain(why) => {
            return format!("{}\n  {} {why}\n", paint.bold(&report.input), mark(Tone::Bad, paint));
        }
    };
    let assessment = &one.assessment;
    let mut text = format!("{}\n", paint.bold(assessment.domain.as_str()));
    let level = assessment.level.map_or("no level", Level::as_str);
    let tone = tone(assessment.level);
    let _ = writeln!(text, "  {} {}", mark(tone, paint), colour(tone, level, paint));
    wrapped(&assessment.headline, "    ", &mut text);
    if let Some(why) = &assessment.why_not_higher {
        wrapped(&format!("Why not higher: {why}"), "    ", &mut text);
    }
    text.push('\n');
    for host in &assessment.hosts {
        host_lines(host, paint, &mut text);
    }
    published(one, paint, &mut text);
    if assessment.findings.is_empty() {
        let _ = writeln!(text, "\n  {} nothing to repair", mark(Tone::Good, paint));
    } else {
        let _ = writeln!(text, "\n  {}", paint.bold("findings"));
    }
    for finding in &assessment.findings {
        finding_lines(finding, paint, &mut text);
    }
    for verdict in &one.profiles {
        profile_lines(verdict, paint, &mut text);
    }
    text
}

/// One line, for many domains.
pub(super) fn line(report: &Report, paint: Paint) -> String {
    match &report.outcome {
        Outcome::NoDomain(why) => {
            format!("{} {:<40} {why}\n", mark(Tone::Bad, paint), report.input)
        }
        Outcome::Assessed(one) => {
            let assessment = &one.assessment;
            let level = assessment.level.map_or("no level", Level::as_str);
            let tone = tone(assessment.level);
            let worst: Vec<_> = assessment
                .findings
                .iter()
                .filter(|finding| finding.severity >= Severity::Warning)
                .map(|finding| finding.id.as_str())
                .collect();
            let mut told: Vec<&str> = Vec::new();
            for id in worst {
                if !told.contains(&id) {
                    told.push(id);
                }
            }
            let judged = one.profiles.iter();
            let judged: String = judged.map(|p| format!(" {}={}", p.name, p.status)).collect();
            let more = told.len().saturating_sub(4);
            told.truncate(4);
            let more = if more == 0 { String::new() } else { format!(" +{more}") };
            format!(
                "{} {} {:<40} {}{more}{judged}\n",
                mark(tone, paint),
                colour(tone, &format!("{level:<10}"), paint),
                assessment.domain.as_str(),
                told.join(" "),
            )
        }
    }
}

fn host_lines(host: &HostAssessment, paint: Paint, text: &mut String) {
    let level = host.level.map_or("no level", Level::as_str);
    let tone = tone(host.level);
    let name = host.host.as_str();
    let _ = writeln!(text, "  {name:<44} {} {}", mark(tone, paint), colour(tone, level, paint));
    if let Some(note) = &host.note {
        wrapped(note, "      ", text);
    }
    for address in &host.addresses {
        address_lines(address, paint, text);
    }
}

fn address_lines(address: &AddressAssessment, paint: Paint, text: &mut String) {
    let mut ip = address.ip.to_string();
    if address.keys.is_empty() {
        let _ = writeln!(text, "    {ip:<24} {} no session seen", mark(Tone::Unknown, paint));
    }
    for key in &address.keys {
        let KeyAssessment { algorithm, tls, dane, pkix } = key;
        let _ = writeln!(
            text,
            "    {ip:<24} {:<8} {}   {}",
            algorithm.as_str(),
            checked("DANE", dane, Tone::Bad, paint),
            checked(
                "public CA",
                pkix,
                if *dane == Check::Holds { Tone::Plain } else { Tone::Poor },
                paint
            ),
        );
        let _ = writeln!(text, "      {tls}");
        ip.clear();
    }
}

/// `failing` is what a failure is worth: with DANE nobody asks for a public CA (RFC 7672 §3.1.1).
fn checked(name: &str, check: &Check, failing: Tone, paint: Paint) -> String {
    match check {
        Check::Holds => format!("{} {name}", mark(Tone::Good, paint)),
        Check::Fails(why) => format!("{} {name}: {why}", mark(failing, paint)),
        Check::NotApplicable => format!("· no {name}"),
    }
}

fn published(one: &Assessed, paint: Paint, text: &mut String) {
    let sts = &one.sts;
    let tone = match sts.state.as_str() {
        "enforce" => Tone::Good,
        "unknown" => Tone::Unknown,
        _ => Tone::Poor,
    };
    let age = sts.max_age.map_or_else(String::new, |age| format!(", for {} days", age / 86_400));
    let note = sts.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let _ = writeln!(text, "\n  MTA-STS  {} {}{age}{note}", mark(tone, paint), sts.state);
    let reports = &one.tlsrpt;
    let tone = match reports.state.as_str() {
        "published" => Tone::Good,
        "unknown" => Tone::Unknown,
        _ => Tone::Poor,
    };
    let to = reports.rua.join(", ");
    let note = reports.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let _ = writeln!(text, "  TLSRPT   {} {} {to}{note}", mark(tone, paint), reports.state);
}

fn finding_lines(finding: &Finding, paint: Paint, text: &mut String) {
    let Finding { id, severity, subject, evidence, fix } = finding;
    let tone = match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Poor,
        Severity::Unknown => Tone::Unknown,
        Severity::Notice | Severity::Info => Tone::Plain,
    };
    let word = colour(tone, &format!("{severity:<8}"), paint);
    let _ = writeln!(text, "  {} {word} {}  {subject}", mark(tone, paint), paint.bold(id.as_str()));
    wrapped(evidence, "      ", text);
    if !fix.is_empty() {
        wrapped(&format!("→ {fix}"), "      ", text);
    }
}

fn profile_lines(verdict: &ProfileVerdict, paint: Paint, text: &mut String) {
    let name = paint.bold(&verdict.name);
    let tone = status_tone(verdict.status);
    let _ = writeln!(text, "\n  {} {name}  {}", mark(tone, paint), profiles::summary(verdict));
    wrapped(&verdict.title, "      ", text);
    for one in profiles::open(verdict) {
        let tone = match (one.status, one.severity) {
            (Status::NotMet, Weight::Error) => Tone::Bad,
            (Status::NotMet, Weight::Warning | Weight::Notice | Weight::Info) => Tone::Poor,
            (Status::Met | Status::Unknown | Status::NotApplicable | Status::ByHand, _) => {
                Tone::Unknown
            }
        };
        let _ = writeln!(text, "    {} {}", mark(tone, paint), one.id);
        wrapped(&one.text, "      ", text);
        wrapped(&format!("seen: {}", one.evidence), "      ", text);
    }
}

/// What a profile comes to at a glance.
pub(super) const fn status_tone(status: Status) -> Tone {
    match status {
        Status::Met => Tone::Good,
        Status::NotMet => Tone::Bad,
        Status::Unknown | Status::NotApplicable | Status::ByHand => Tone::Unknown,
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
pub(super) const fn tone(level: Option<Level>) -> Tone {
    match level {
        None => Tone::Unknown,
        Some(Level::Cleartext) => Tone::Bad,
        Some(Level::Encrypted | Level::Named) => Tone::Poor,
        Some(Level::StsFirst | Level::Sts | Level::Anchored | Level::Dane | Level::Pinned) => {
            Tone::Good
        }
    }
}

fn mark(tone: Tone, paint: Paint) -> String {
    let glyph = match tone {
        Tone::Good => "✓",
        Tone::Poor => "!",
        Tone::Bad => "✗",
        Tone::Unknown => "?",
        Tone::Plain => "·",
    };
    colour(tone, glyph, paint)
}

fn colour(tone: Tone, text: &str, paint: Paint) -> String {
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

/// Breaks at spaces, but not between quotation marks: a record has to be copied in one piece.
fn wrapped(long: &str, indent: &str, text: &mut String) {
    for paragraph in long.lines() {
        let mut column = 0;
        for word in words(paragraph) {
            let wide = word.chars().count();
            if column > 0 && column + 1 + wide > WIDTH.saturating_sub(indent.len()) {
                text.push('\n');
                column = 0;
            }
            if column == 0 {
                text.push_str(indent);
            } else {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += wide;
        }
        text.push('\n');
    }
}

fn words(paragraph: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    paragraph.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
}
