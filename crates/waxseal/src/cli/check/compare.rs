//! Providers side by side: domains grouped by who runs their mail hosts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use waxseal_core::assess::{Offer, Offers};

use super::{
    super::Paint,
    csv::quoted,
    report::{Outcome, Report},
};

/// One operator, and the domains through which it was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Provider {
    pub(super) offers: Offers,
    pub(super) domains: Vec<String>,
}

/// Grouped, the operator with most domains first.
pub(super) fn providers(reports: &[Report]) -> Vec<Provider> {
    let mut groups: BTreeMap<String, Provider> = BTreeMap::new();
    for report in reports {
        let Outcome::Assessed(one) = &report.outcome else { continue };
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

/// For a terminal.
pub(super) fn table(providers: &[Provider], paint: Paint) -> String {
    let mut text = String::new();
    let wide = providers.iter().map(|p| p.offers.operator.chars().count()).max().unwrap_or(0);
    let wide = wide.max("operator".len());
    let mut head = format!("{:<wide$}  domains", "operator");
    if let Some(first) = providers.first() {
        for (name, _) in first.offers.columns() {
            let _ = write!(head, "  {name}");
        }
    }
    let _ = writeln!(text, "{}", paint.bold(&head));
    for Provider { offers, domains } in providers {
        let _ = write!(text, "{:<wide$}  {:>7}", offers.operator, domains.len());
        for (name, offer) in offers.columns() {
            let column = name.len();
            let _ = write!(text, "  {}", centred(offer, column, paint));
        }
        text.push('\n');
    }
    text.push_str("✓ everywhere   ~ partly   ✗ no   ? not known\n");
    text
}

fn centred(offer: Offer, column: usize, paint: Paint) -> String {
    let (glyph, code) = match offer {
        Offer::Yes => ("✓", 32),
        Offer::Partly => ("~", 33),
        Offer::No => ("✗", 31),
        Offer::Unknown => ("?", 36),
    };
    let left = column.saturating_sub(1) / 2;
    let right = column.saturating_sub(1).saturating_sub(left);
    let glyph = match paint {
        Paint::Colour => format!("\u{1b}[{code}m{glyph}\u{1b}[0m"),
        Paint::Plain => glyph.to_owned(),
    };
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
