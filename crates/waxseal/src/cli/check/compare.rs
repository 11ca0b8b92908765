//! Providers side by side: domains grouped by who runs their mail hosts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use waxseal_core::assess::{Offer, Offers, Quoted};

use super::{
    super::Paint,
    csv::quoted,
    report::{Outcome, Report},
    tone::{Tone, colour, mark},
};

/// One operator, and the domains through which it was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Provider {
    pub(super) offers: Offers,
    pub(super) domains: Vec<String>,
}

/// What has no mail host that could be compared, and why.
pub(super) fn left_out(reports: &[Report]) -> impl Iterator<Item = (Quoted, &str)> {
    reports.iter().filter_map(|report| match &report.outcome {
        Outcome::NoDomain(why) => Some((Quoted::new(&report.input), why.as_str())),
        Outcome::Assessed(one) if one.assessment.hosts.is_empty() => {
            let headline = one.assessment.headline.as_str();
            Some((Quoted::new(&report.input), report.unresolved().unwrap_or(headline)))
        }
        Outcome::Assessed(_) => None,
    })
}

/// Grouped, the operator with most domains first; without those that [`left_out`] tells.
pub(super) fn providers(reports: &[Report]) -> Vec<Provider> {
    let mut groups: BTreeMap<String, Provider> = BTreeMap::new();
    for report in reports {
        let Outcome::Assessed(one) = &report.outcome else { continue };
        if one.assessment.hosts.is_empty() {
            continue;
        }
        let (offers, domain) = (&one.offers, one.assessment.domain.to_string());
        groups
            .entry(offers.operator.clone())
            .and_modify(|provider| {
                provider.offers = provider.offers.clone().and(offers);
                provider.domains.push(domain.clone());
            })
            .or_insert_with(|| Provider { offers: offers.clone(), domains: vec![domain] });
    }
    let mut all: Vec<_> = groups.into_values().collect();
    all.sort_by_key(|provider| std::cmp::Reverse(provider.domains.len()));
    all
}

/// The columns of a terminal, each of at most two words above each other, so that the table has
/// room for the operators in 80 columns: in the order of [`Offers::columns`].
const HEADS: [[&str; 2]; 9] = [
    ["", "DANE"],
    ["MTA-", "STS"],
    ["TLS", "RPT"],
    ["TLS", "1.3"],
    ["", "PQ"],
    ["", "IPv6"],
    ["DNS-", "SEC"],
    ["REQ.", "TLS"],
    ["no old", "TLS"],
];

/// Columns that a name may take; a longer one has a line of its own.
const NAME: usize = 28;

/// For a terminal.
pub(super) fn table(providers: &[Provider], paint: Paint) -> String {
    if providers.is_empty() {
        return "no domain could be looked at\n".to_owned();
    }
    let mut text = String::new();
    for (row, [operator, count]) in [["", ""], ["operator", "domains"]].iter().enumerate() {
        let mut head = format!("{operator:<NAME$} {count:>7}");
        for column in &HEADS {
            let word = column.get(row).copied().unwrap_or_default();
            let _ = write!(head, " {word:^0$}", wide(column));
        }
        let _ = writeln!(text, "{}", paint.bold(head.trim_end()));
    }
    for Provider { offers, domains } in providers {
        let mut name = offers.operator.as_str();
        if name.chars().count() > NAME {
            let _ = writeln!(text, "{name}");
            name = "";
        }
        let _ = write!(text, "{name:<NAME$} {:>7}", domains.len());
        for (column, (_, offer)) in HEADS.iter().zip(offers.columns()) {
            let _ = write!(text, " {}", centred(offer, wide(column), paint));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(
        "✓ everywhere   ~ partly   ✗ no   ? not known\n\
         Operators are told by the names of mail hosts. PQ: post-quantum key exchange.\n\
         No old TLS: nothing below TLS 1.2, no weak suites or groups.\n",
    );
    text
}

fn wide(column: &[&str; 2]) -> usize {
    column.iter().map(|word| word.chars().count()).max().unwrap_or_default()
}

fn centred(offer: Offer, column: usize, paint: Paint) -> String {
    let tone = match offer {
        Offer::Yes => Tone::Good,
        Offer::Partly => Tone::Poor,
        Offer::No => Tone::Bad,
        Offer::Unknown => Tone::Unknown,
    };
    // Something in between is no warning: it has a glyph of its own.
    let glyph = match offer {
        Offer::Partly => colour(tone, "~", paint),
        Offer::Yes | Offer::No | Offer::Unknown => mark(tone, paint),
    };
    let left = column.saturating_sub(1) / 2;
    let right = column.saturating_sub(1).saturating_sub(left);
    format!("{}{glyph}{}", " ".repeat(left), " ".repeat(right))
}

/// For a spreadsheet.
pub(super) fn csv(providers: &[Provider]) -> String {
    let mut text =
        "operator,domains,DANE,MTA-STS,TLSRPT,TLS 1.3,PQ,IPv6,DNSSEC,REQUIRETLS,hygiene\r\n"
            .to_owned();
    for Provider { offers, domains } in providers {
        let mut cells = vec![quoted(&offers.operator), domains.len().to_string()];
        cells.extend(offers.columns().map(|(_, offer)| offer.as_str().to_owned()));
        let _ = write!(text, "{}\r\n", cells.join(","));
    }
    text
}
