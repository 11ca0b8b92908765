//! One line a domain, for a spreadsheet.

use std::io::{self, Write};

use waxseal_core::assess::{Assessment, Delivery, Quoted, Severity};

use super::{
    report::{Outcome, Report},
    standing::Standing,
};

const HEADER: [&str; 21] = [
    "domain",
    "checked_at",
    "level",
    "headline",
    "operator",
    "dane",
    "mta_sts",
    "tlsrpt",
    "tls_1_3",
    "pq",
    "ipv6",
    "dnssec",
    "requiretls",
    "hygiene",
    "sts_state",
    "errors",
    "unknown",
    "warnings",
    "findings",
    "profiles",
    "problem",
];

/// All rows, below a header.
pub(super) fn table<'a>(
    rows: impl Iterator<Item = &'a str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = line(HEADER.iter().map(|name| (*name).to_owned()));
    out.write_all(header.as_bytes())?;
    rows.map(str::as_bytes).try_for_each(|row| out.write_all(row))
}

/// What it says of one domain.
pub(super) fn row(report: &Report) -> String {
    let one = match &report.outcome {
        Outcome::Assessed(one) => one,
        Outcome::NoDomain(why) => {
            let input = Quoted::new(&report.input).to_string();
            let first = [input, String::new(), "no-domain".to_owned()];
            let blank = HEADER.len().saturating_sub(first.len() + 1);
            let blank = std::iter::repeat_n(String::new(), blank);
            return line(first.into_iter().chain(blank).chain([why.clone()]));
        }
    };
    let assessment = &one.assessment;
    let count = |severity: Severity| {
        assessment.findings.iter().filter(|f| f.severity == severity).count().to_string()
    };
    let mut ids: Vec<_> = assessment.findings.iter().map(|f| f.id.as_str()).collect();
    ids.dedup();
    let judged = one.profiles.iter();
    let profiles: Vec<_> = judged.map(|p| format!("{}={}", p.name, p.status)).collect();
    let mut cells = vec![
        assessment.domain.to_string(),
        assessment.checked_at.to_string(),
        level(assessment).to_owned(),
        assessment.headline.clone(),
        one.offers.operator.clone(),
    ];
    cells.extend(one.offers.columns().map(|(_, offer)| offer.as_str().to_owned()));
    cells.extend([
        one.sts.state.clone(),
        count(Severity::Error),
        count(Severity::Unknown),
        count(Severity::Warning),
        ids.join(" "),
        profiles.join(" "),
        report.unresolved().unwrap_or_default().to_owned(),
    ]);
    line(cells.into_iter())
}

/// The level, or why there is none: in the words of the JSON, but that a typing error is none of
/// a domain that takes no mail.
fn level(assessment: &Assessment) -> &'static str {
    match (assessment.level, assessment.delivery) {
        (Some(level), _) => level.as_str(),
        (None, _) if Standing::of(assessment) == Standing::Missing => "no-such-domain",
        (None, Delivery::Refuses) => "refuses",
        (None, Delivery::TakesNoMail) => "takes-no-mail",
        (None, Delivery::Delivers | Delivery::Unknown) => "unknown",
    }
}

/// One row: the only place where cells become text, for every table.
pub(super) fn line(cells: impl Iterator<Item = String>) -> String {
    let mut text = cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",");
    text.push_str("\r\n");
    text
}

/// A cell that no spreadsheet takes for a formula, whoever wrote its text, and wherever the spreadsheet
/// thinks that cells end: with German, Dutch or French settings Excel splits a `.csv` at `;`, and others
/// at tabs, whatever stands between quotes of ours. So what begins a formula gets a `'` before it at the
/// beginning and after each mark at which somebody might split.
fn quoted(cell: &str) -> String {
    let (mut safe, mut begins) = (String::with_capacity(cell.len()), true);
    for c in cell.chars() {
        if begins && (begins_formula(c) || matches!(c, '\t' | '\r')) {
            safe.push('\'');
        }
        safe.push(c);
        // A spreadsheet may drop white space before it looks for a formula.
        begins = splits(c) || (begins && c.is_whitespace());
    }
    if safe.contains(splits) || safe.starts_with('\'') {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

/// `=`, `+`, `-` and `@`, and their full-width forms, which Excel takes for the same.
const fn begins_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
}

/// After these another cell may begin.
const fn splits(c: char) -> bool {
    matches!(c, ',' | ';' | '|' | '"' | '\t' | '\r' | '\n')
}
