//! Whom DMARC reports are to go to, and whether they have said that they take them (RFC 7489 §7.1,
//! RFC 9990 §4; reports of single failures RFC 9991 §5). Receivers send none to others: anybody could
//! have a victim flooded with reports.

use serde::{Deserialize, Serialize};

use super::tags::{self, Tags};
use crate::domain::{Domain, DomainError};

/// Report addresses of one tag that are kept.
const MOST_ADDRESSES: usize = 8;

/// The most domains that are asked for one record: whoever writes it must not send us to everybody.
pub const MOST_ASKED: usize = 8;

/// A domain that a DMARC record has reports sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDomain {
    /// The domain of the mailbox.
    pub domain: Domain,
    /// Which reports.
    pub reports: Reports,
    /// Whether it takes them.
    pub consent: Consent,
}

/// Kinds of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reports {
    /// Sums of a day (`rua`).
    Aggregate,
    /// Of single failures (`ruf`).
    Failure,
    /// Both.
    Both,
}

impl Reports {
    /// The tags that ask for them.
    pub const fn tags(self) -> &'static str {
        match self {
            Self::Aggregate => "`rua`",
            Self::Failure => "`ruf`",
            Self::Both => "`rua` and `ruf`",
        }
    }
}

/// Whether a domain takes the DMARC reports about another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// It belongs to the same organisation: it need not say so.
    NotNeeded,
    /// It says so.
    Given,
    /// It belongs to somebody else and does not say so; in words what is there instead.
    Missing(String),
    /// It could not be found out, and why.
    Unknown(String),
}

/// Where a domain says that it takes the reports about another: `example.com._report._dmarc.` and its
/// own name. A wildcard there answers for all (RFC 9990 §4).
///
/// # Errors
/// The name would be too long; then nobody can consent (RFC 9990 §4).
pub fn name(about: &Domain, to: &Domain) -> Result<Domain, DomainError> {
    to.below(&format!("{about}._report._dmarc"))
}

/// Reads the TXT records there: given, or in words why it is not. One that counts is enough
/// (RFC 7489 §7.1).
///
/// # Errors
/// None of them is a consent.
pub fn read(to: &Domain, texts: &[Vec<u8>]) -> Result<(), String> {
    let ours = texts.iter().filter_map(|text| tags::dmarc(text));
    let mut records = ours.filter_map(|text| Tags::read(text).ok()).peekable();
    if records.peek().is_none() {
        return Err("no TXT record there is one with v=DMARC1".into());
    }
    if records.any(|tags| ["rua", "ruf"].iter().all(|tag| keeps(to, tags.value(tag)))) {
        return Ok(());
    }
    Err("the record there sends them on to another domain, which nobody follows".into())
}

/// Whether what a consent names instead lies at the same domain: other addresses get nothing
/// (RFC 7489 §7.1).
fn keeps(to: &Domain, instead: Option<&str>) -> bool {
    let uris = instead.into_iter().flat_map(|uris| uris.split(',')).map(str::trim);
    uris.filter(|uri| !uri.is_empty()).all(|uri| mailbox(uri).is_none_or(|at| at == *to))
}

/// The addresses that a tag lists.
pub(super) fn uris<'t>(tags: &Tags<'t>, tag: &str) -> impl Iterator<Item = &'t str> {
    let all = tags.value(tag).into_iter().flat_map(|all| all.split(','));
    all.map(str::trim).filter(|uri| !uri.is_empty()).take(MOST_ADDRESSES)
}

/// Where reports are to go, each domain once.
pub(super) fn report_domains(tags: &Tags<'_>) -> Vec<ReportDomain> {
    let mut all: Vec<ReportDomain> = Vec::new();
    for (tag, reports) in [("rua", Reports::Aggregate), ("ruf", Reports::Failure)] {
        for domain in uris(tags, tag).filter_map(mailbox) {
            match all.iter_mut().find(|known| known.domain == domain) {
                Some(known) if known.reports != reports => known.reports = Reports::Both,
                Some(_) => {}
                None => all.push(ReportDomain { domain, reports, consent: Consent::NotAsked }),
            }
        }
    }
    all
}

/// The domain of a mailbox that reports can be sent to: `mailto:` and an address, perhaps with the
/// largest size (RFC 7489 §6.2). Of other schemes nobody says what would be done with them.
pub(super) fn mailbox(uri: &str) -> Option<Domain> {
    let (scheme, rest) = uri.split_once(':')?;
    let address = rest.split(['!', '?']).next().unwrap_or(rest);
    let (local, domain) = address.rsplit_once('@')?;
    let is_mailbox = scheme.eq_ignore_ascii_case("mailto") && !local.is_empty();
    is_mailbox.then(|| Domain::parse(domain).ok()).flatten()
}
