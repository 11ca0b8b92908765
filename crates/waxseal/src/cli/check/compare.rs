//! Providers side by side: domains grouped by who runs their mail hosts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use waxseal_core::assess::{Offer, Offers, Quoted};

use super::{
    super::Paint,
    csv,
    report::{Outcome, Report},
    text::wrapped,
    tone::{Tone, colour, mark},
};

/// One operator, and the domains through which it was seen.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Provider {
    pub(super) offers: Offers,
    pub(super) domains: Vec<String>,
    /// What was seen through how many of them, in the order of [`Offers::columns`].
    pub(super) seen: Vec<Seen>,
    /// Domains that have mail hosts of another operator, too; those count in no column.
    pub(super) shared: Vec<String>,
}

/// What was seen of one thing that an operator may offer.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Seen {
    /// As [`Offers::columns`] names it.
    pub(super) what: &'static str,
    /// Domains with it.
    pub(super) yes: Vec<String>,
    /// Domains with something between.
    pub(super) partly: Vec<String>,
    /// Domains without.
    pub(super) no: Vec<String>,
    /// Domains of which it could not be found out.
    pub(super) unknown: Vec<String>,
}

/// Of so many domains at least one that is different from the others is named.
const ENOUGH: usize = 3;

impl Seen {
    fn of(domains: &[(String, Offers)], column: usize) -> Self {
        let mut seen = Self::default();
        for (domain, offers) in domains {
            let columns = offers.columns();
            let Some((what, offer)) = columns.get(column) else { continue };
            seen.what = what;
            let same = match offer {
                Offer::Yes => &mut seen.yes,
                Offer::Partly => &mut seen.partly,
                Offer::No => &mut seen.no,
                Offer::Unknown => &mut seen.unknown,
            };
            same.push(domain.clone());
        }
        seen
    }

    /// Whether the domains differ.
    pub(super) fn is_mixed(&self) -> bool {
        let kinds = [&self.yes, &self.partly, &self.no, &self.unknown];
        kinds.iter().filter(|domains| !domains.is_empty()).count() > 1
    }

    /// How many domains there are.
    pub(super) fn total(&self) -> usize {
        let kinds = [&self.yes, &self.partly, &self.no, &self.unknown];
        kinds.iter().map(|domains| domains.len()).sum()
    }

    /// Whether that they differ says more than the glyph: where hardly anything is unknown, what
    /// nobody offers is offered by nobody.
    fn matters(&self) -> bool {
        !(self.yes.is_empty() && self.partly.is_empty()) || self.unknown.len() >= self.no.len()
    }

    /// `32 (not odd.example)`, `1 (only odd.example)`, `0 (30 partly, 2 not known)`.
    pub(super) fn told(&self) -> String {
        let not: Vec<&String> = self.partly.iter().chain(&self.no).chain(&self.unknown).collect();
        match (&*self.yes, &*not) {
            (many, [odd]) if many.len() + 1 >= ENOUGH && !self.unknown.is_empty() => {
                format!("{} ({odd} not known)", many.len())
            }
            (many, [odd]) if many.len() + 1 >= ENOUGH => format!("{} (not {odd})", many.len()),
            ([odd], many) if many.len() + 1 >= ENOUGH && self.unknown.is_empty() => {
                format!("1 (only {odd})")
            }
            (many, _) => {
                let more = [(self.partly.len(), "partly"), (self.unknown.len(), "not known")];
                let more = more.iter().filter(|(count, _)| *count > 0);
                let more: Vec<_> = more.map(|(count, word)| format!("{count} {word}")).collect();
                match more.is_empty() {
                    true => many.len().to_string(),
                    false => format!("{} ({})", many.len(), more.join(", ")),
                }
            }
        }
    }

    /// `yes at 30, no at 3: a.example, b.example, c.example`; the fewest are named.
    pub(super) fn told_in_full(&self) -> String {
        /// More names than this are a number.
        const NAMES: usize = 8;
        let kinds = [
            ("yes", &self.yes),
            ("partly", &self.partly),
            ("no", &self.no),
            ("not known", &self.unknown),
        ];
        let kinds = kinds.into_iter().filter(|(_, domains)| !domains.is_empty());
        let mut kinds: Vec<_> = kinds.collect();
        kinds.sort_by_key(|(_, domains)| std::cmp::Reverse(domains.len()));
        let counts: Vec<_> =
            kinds.iter().map(|(word, domains)| format!("{word} at {}", domains.len())).collect();
        let fewest = kinds.last().map(|(_, domains)| domains.as_slice()).unwrap_or_default();
        let names: Vec<&str> = fewest.iter().take(NAMES).map(String::as_str).collect();
        let more = match fewest.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}: {}{more}", counts.join(", "), names.join(", "))
    }
}

impl Provider {
    fn of(domains: Vec<(String, Offers)>) -> Option<Self> {
        let offers = domains.iter().map(|(_, offers)| offers.clone());
        let offers = offers.reduce(|all, one| all.and(&one))?;
        let seen = (0..offers.columns().len()).map(|column| Seen::of(&domains, column)).collect();
        let shared = domains.iter().filter(|(_, offers)| !offers.others.is_empty());
        let shared = shared.map(|(domain, _)| domain.clone()).collect();
        Some(Self { offers, seen, shared, domains: domains.into_iter().map(|one| one.0).collect() })
    }

    /// What is not the same at all of its domains.
    fn mixed(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(|seen| seen.is_mixed() && seen.matters())
    }

    /// Columns in which its domains differ, and how. One domain is often different in many things:
    /// it is named once.
    fn differences(&self, told: impl Fn(&Seen) -> String) -> Vec<(String, String)> {
        let mut groups: Vec<(String, String)> = Vec::new();
        for seen in self.mixed() {
            let told = told(seen);
            match groups.iter_mut().find(|(_, known)| *known == told) {
                Some((columns, _)) => {
                    columns.push_str(", ");
                    columns.push_str(name(seen.what));
                }
                None => groups.push((name(seen.what).to_owned(), told)),
            }
        }
        groups
    }

    /// For a page.
    pub(super) fn differences_in_full(&self) -> Vec<(String, String)> {
        self.differences(Seen::told_in_full)
    }

    /// Whether its domains differ in anything.
    pub(super) fn differs(&self) -> bool {
        self.mixed().next().is_some() || !self.shared.is_empty()
    }

    /// Who else has mail hosts of its domains.
    pub(super) fn with(&self) -> String {
        self.offers.others.join(", ")
    }
}

/// With places in the list, as they came.
type Placed<T> = Vec<(usize, T)>;

/// What a comparison needs of reports.
#[derive(Default)]
pub(super) struct Compared {
    /// By operator.
    groups: BTreeMap<String, Placed<(String, Offers)>>,
    /// What has no mail host that could be compared, and why.
    left_out: Placed<(Quoted, String)>,
}

impl Compared {
    /// One more, whose domain stands at that place in the list.
    pub(super) fn add(&mut self, place: usize, report: &Report) {
        let why = match &report.outcome {
            Outcome::NoDomain(why) => why,
            Outcome::Assessed(one) if one.assessment.hosts.is_empty() => {
                report.unresolved().unwrap_or(&one.assessment.headline)
            }
            Outcome::Assessed(one) => {
                let domain = (one.assessment.domain.to_string(), one.offers.clone());
                let group = self.groups.entry(one.offers.operator.clone()).or_default();
                return group.push((place, domain));
            }
        };
        self.left_out.push((place, (Quoted::new(&report.input), why.to_owned())));
    }

    /// Grouped, the operator with most domains first; and what is left out, and why. Domains are in the
    /// order of the list.
    pub(super) fn providers(self) -> (Vec<Provider>, Vec<(Quoted, String)>) {
        let groups = self.groups.into_values().map(in_order);
        let mut all: Vec<_> = groups.filter_map(Provider::of).collect();
        all.sort_by_key(|provider| std::cmp::Reverse(provider.domains.len()));
        (all, in_order(self.left_out))
    }
}

fn in_order<T>(mut placed: Placed<T>) -> Vec<T> {
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, one)| one).collect()
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
pub(super) fn table(providers: &[Provider], left_out: usize, paint: Paint) -> String {
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
    for provider in providers {
        let Provider { offers, domains, .. } = provider;
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
        differing(provider, &mut text);
    }
    let domains: usize = providers.iter().map(|provider| provider.domains.len()).sum();
    let left_out = match left_out {
        0 => String::new(),
        left_out => format!("; {left_out} more could not be compared"),
    };
    let _ = writeln!(text, "\n{domains} domains at {} operators{left_out}", providers.len());
    text.push_str(
        "✓ wherever it could be seen   ~ partly   ✗ no   ? not known\n\
         Operators are told by the names of mail hosts. PQ: post-quantum key exchange.\n\
         No old TLS: nothing below TLS 1.2, no weak suites or groups. MTA-STS, TLSRPT:\n\
         the domains publish these themselves; `testing` counts as partly.\n",
    );
    text
}

/// Below a row: at how many domains, where not at all of them.
fn differing(provider: &Provider, text: &mut String) {
    let total = provider.domains.len();
    let mut told: Vec<_> = provider
        .differences(Seen::told)
        .into_iter()
        .map(|(columns, told)| format!("{columns} at {told}"))
        .collect();
    if !provider.shared.is_empty() {
        told.push(format!("{} also have hosts at {}", provider.shared.len(), provider.with()));
    }
    if !told.is_empty() {
        wrapped(&format!("of {total}: {}", told.join("; ")), 4, text);
    }
}

/// A column in words.
pub(super) fn name(what: &'static str) -> &'static str {
    if what == "hygiene" { "no old TLS" } else { what }
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
        "operator,domains,DANE,MTA-STS,TLSRPT,TLS 1.3,PQ,IPv6,DNSSEC,REQUIRETLS,hygiene,\
         domains with DANE,domains with MTA-STS,domains with TLSRPT,domains with TLS 1.3,\
         domains with PQ,domains with IPv6,domains with DNSSEC,domains with REQUIRETLS,\
         domains with hygiene,other operators,DANE not known,MTA-STS not known,TLSRPT not known,\
         TLS 1.3 not known,PQ not known,IPv6 not known,DNSSEC not known,REQUIRETLS not known,\
         hygiene not known\r\n"
            .to_owned();
    for provider in providers {
        let Provider { offers, domains, seen, .. } = provider;
        let mut cells = vec![offers.operator.clone(), domains.len().to_string()];
        cells.extend(offers.columns().map(|(_, offer)| offer.as_str().to_owned()));
        cells.extend(seen.iter().map(|seen| seen.yes.len().to_string()));
        cells.push(offers.others.join(" "));
        cells.extend(seen.iter().map(|seen| seen.unknown.len().to_string()));
        text.push_str(&csv::line(cells.into_iter()));
    }
    text
}
