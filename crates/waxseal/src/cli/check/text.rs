//! For a terminal of 80 columns: what an attacker would obtain first, then where, then what to do.
//! Glyphs and words carry the meaning; colour only repeats it.

use std::fmt::Write as _;

use waxseal_core::assess::{
    AddressAssessment, Check, Finding, HostAssessment, KeyAssessment, Quoted, Severity,
    profile::{ProfileVerdict, Status, Weight},
};

use super::{
    super::Paint,
    profiles,
    report::{Assessed, Outcome, Report},
    standing::Standing,
    tone::{Tone, colour, host_standing, mark, severity_tone, status_tone},
};

/// Columns of a terminal that nobody has made wider.
pub(super) const WIDTH: usize = 80;

/// Columns of a verdict in the list of many domains.
const WORD: usize = 14;

/// Columns before a name in the list of many domains.
const LEFT: usize = "x ".len() + WORD + 1;

/// Columns of a name in the list of many domains.
const NAME: usize = 31;

/// One report.
pub(super) fn page(report: &Report, paint: Paint) -> String {
    let one = match &report.outcome {
        Outcome::Assessed(one) => one,
        Outcome::NoDomain(why) => {
            let input = shown(&report.input);
            let mut text = format!("{}\n  {} ", paint.bold(&input), mark(Tone::Bad, paint));
            hanging(4, why, &mut text);
            return text;
        }
    };
    let assessment = &one.assessment;
    let mut text = paint.bold(assessment.domain.as_str());
    if let Some(read) = assessment.domain.u_labels() {
        let _ = write!(text, " ({read})");
    }
    text.push('\n');
    let standing = Standing::of(assessment);
    let (tone, word) = (standing.tone(), standing.word());
    let _ = writeln!(text, "  {} {}", mark(tone, paint), colour(tone, word, paint));
    wrapped(&assessment.headline, 4, &mut text);
    if let Some(why) = &assessment.why_not_higher {
        wrapped(&format!("Why not higher: {why}"), 4, &mut text);
    }
    if let Some(errors) = report.told_errors() {
        let _ =
            writeln!(text, "  {} {}", mark(Tone::Bad, paint), colour(Tone::Bad, &errors, paint));
    }
    if let Some(elsewhere) = &one.elsewhere {
        wrapped(elsewhere, 4, &mut text);
    }
    if !assessment.hosts.is_empty() {
        text.push('\n');
    }
    for host in &assessment.hosts {
        host_lines(host, paint, &mut text);
    }
    if standing != Standing::Missing {
        published(one, paint, &mut text);
    }
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

/// An input that is no domain, as it may be shown; a line of a list may have thousands of characters.
pub(super) fn shown(input: &str) -> String {
    /// More is cut.
    const MOST: usize = 64;
    let input = Quoted::new(input);
    match input.as_str().char_indices().nth(MOST) {
        Some((end, _)) => format!("{}\u{2026}", input.as_str().get(..end).unwrap_or_default()),
        None => input.to_string(),
    }
}

/// One line, for many domains.
pub(super) fn line(report: &Report, paint: Paint) -> String {
    let standing = Standing::told(report);
    let tone = standing.tone();
    let word = colour(tone, &format!("{:<WORD$}", standing.word()), paint);
    let start = format!("{} {word} ", mark(tone, paint));
    let one = match &report.outcome {
        Outcome::NoDomain(why) => {
            return start + &with_reason(&shown(&report.input), why);
        }
        Outcome::Assessed(one) => one,
    };
    let domain = one.assessment.domain.as_str();
    if let Some(why) = report.unresolved() {
        return start + &with_reason(domain, why);
    }
    let judged = one.profiles.iter();
    let judged: String = judged.map(|p| format!(" {}={}", p.name, p.status)).collect();
    let taken = LEFT + domain.chars().count().max(NAME) + judged.chars().count();
    format!("{start}{domain:<NAME$}{judged}{}\n", worst(&one.assessment.findings, taken))
}

/// A name and why nothing is known of it: in its column, where both fit into the line.
fn with_reason(name: &str, why: &str) -> String {
    let fits = LEFT + name.chars().count().max(NAME) + 1 + why.chars().count() <= WIDTH;
    if fits { format!("{name:<NAME$} {why}\n") } else { format!("{name}: {why}\n") }
}

/// The ids of findings that matter, as many as fit into the line, and how many more there are.
fn worst(findings: &[Finding], taken: usize) -> String {
    /// ` +99`
    const MORE: usize = 4;
    let mut ids: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
        if !ids.contains(&finding.id.as_str()) {
            ids.push(finding.id.as_str());
        }
    }
    let mut column = taken;
    let mut text = String::new();
    for (told, id) in ids.iter().enumerate() {
        let more = if told + 1 == ids.len() { 0 } else { MORE };
        if told > 0 && column + 1 + id.len() + more > WIDTH {
            let _ = write!(text, " +{}", ids.len() - told);
            break;
        }
        column += 1 + id.len();
        let _ = write!(text, " {id}");
    }
    text
}

fn host_lines(host: &HostAssessment, paint: Paint, text: &mut String) {
    let (tone, word) = host_standing(host);
    let name = host.host.as_str();
    let _ = writeln!(text, "  {name:<44} {} {}", mark(tone, paint), colour(tone, &word, paint));
    if let Some(note) = &host.note {
        wrapped(note, 6, text);
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
    for KeyAssessment { algorithm, tls, dane, pkix } in &address.keys {
        // With DANE nobody asks for a public CA (RFC 7672 §3.1.1).
        let without = if *dane == Check::Holds { Tone::Plain } else { Tone::Poor };
        let checks = [("DANE", dane, Tone::Bad), ("public CA", pkix, without)];
        let [dane, pkix] =
            checks.map(|(name, check, failing)| checked(name, check, failing, paint));
        let algorithm = algorithm.as_str();
        let _ = writeln!(text, "    {ip:<24} {algorithm:<8} {dane}   {pkix}");
        for (name, check, _) in checks {
            if let Check::Fails(why) = check {
                wrapped(&format!("{name}: {why}"), 6, text);
            }
        }
        wrapped(tls, 6, text);
        ip.clear();
    }
}

/// `failing` is what a failure is worth.
fn checked(name: &str, check: &Check, failing: Tone, paint: Paint) -> String {
    match check {
        Check::Holds => format!("{} {name}", mark(Tone::Good, paint)),
        Check::Fails(_) => format!("{} {name}", mark(failing, paint)),
        Check::NotApplicable => format!("· no {name}"),
    }
}

fn published(one: &Assessed, paint: Paint, text: &mut String) {
    let told = |state: &str, good: &str| match state {
        "unknown" => Tone::Unknown,
        state if state == good => Tone::Good,
        _ => Tone::Poor,
    };
    let noted =
        |note: &Option<String>| note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
    let sts = &one.sts;
    let age = sts.max_age.map_or_else(String::new, |age| format!(", for {} days", age / 86_400));
    let _ = write!(text, "\n  MTA-STS  {} ", mark(told(&sts.state, "enforce"), paint));
    hanging(13, &format!("{}{age}{}", sts.state, noted(&sts.note)), text);
    let reports = &one.tlsrpt;
    let _ = write!(text, "  TLSRPT   {} ", mark(told(&reports.state, "published"), paint));
    let to: String = reports.rua.iter().map(|to| format!(" {to}")).collect();
    hanging(13, &format!("{}{to}{}", reports.state, noted(&reports.note)), text);
}

fn finding_lines(finding: &Finding, paint: Paint, text: &mut String) {
    let Finding { id, severity, subject, evidence, fix } = finding;
    let tone = severity_tone(*severity);
    let word = colour(tone, &format!("{:<8}", severity.as_str()), paint);
    let _ = write!(text, "  {} {word} {}", mark(tone, paint), paint.bold(id.as_str()));
    let column = "  ! warning  ".len() + id.as_str().len() + 2;
    if column + subject.chars().count() > WIDTH {
        text.push('\n');
        wrapped(subject, 6, text);
    } else {
        let _ = writeln!(text, "  {subject}");
    }
    wrapped(evidence, 6, text);
    if !fix.is_empty() {
        text.push_str("      → ");
        hanging(8, fix, text);
    }
}

fn profile_lines(verdict: &ProfileVerdict, paint: Paint, text: &mut String) {
    let tone = status_tone(verdict.status);
    let _ = writeln!(text, "\n  {} {}", mark(tone, paint), paint.bold(&verdict.name));
    wrapped(&verdict.title, 4, text);
    wrapped(&profiles::summary(verdict), 4, text);
    for one in profiles::open(verdict) {
        let tone = match (one.status, one.severity) {
            (Status::NotMet, Weight::Error) => Tone::Bad,
            (Status::NotMet, Weight::Warning | Weight::Notice | Weight::Info) => Tone::Poor,
            (Status::Met | Status::Unknown | Status::NotApplicable | Status::ByHand, _) => {
                Tone::Unknown
            }
        };
        let word = match one.status {
            Status::Unknown => " (unknown)",
            Status::Met | Status::NotMet | Status::NotApplicable | Status::ByHand => "",
        };
        let _ = writeln!(text, "    {} {}{word}", mark(tone, paint), one.id);
        wrapped(&one.text, 6, text);
        wrapped(&format!("seen: {}", one.evidence), 6, text);
    }
}

/// Lines of running text, all of them indented.
pub(super) fn wrapped(long: &str, indent: usize, text: &mut String) {
    for paragraph in long.lines() {
        let _ = write!(text, "{:indent$}", "");
        hanging(indent, paragraph, text);
    }
}

/// Goes on in a line of which `indent` columns are taken, and indents the next ones. Breaks at
/// spaces, but not between quotation marks: a record has to be copied in one piece.
pub(super) fn hanging(indent: usize, long: &str, text: &mut String) {
    let mut column = indent;
    for word in words(long) {
        let wide = word.chars().count();
        if column > indent {
            if column + 1 + wide > WIDTH {
                let _ = write!(text, "\n{:indent$}", "");
                column = indent;
            } else {
                text.push(' ');
                column += 1;
            }
        }
        text.push_str(word);
        column += wide;
    }
    text.push('\n');
}

fn words(paragraph: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    paragraph.split(move |c| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    })
}
