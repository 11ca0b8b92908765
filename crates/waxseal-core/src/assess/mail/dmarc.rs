//! DMARC records and the tree walk that finds them (RFC 9989 §4.10).
//!
//! Nothing is looked up here: [`Walk`] says which name it needs and is told.

use crate::domain::Domain;

use super::{
    super::{Published, Quoted},
    Consent, Dmarc, DmarcPolicy, ReportDomain,
    consent::{mailbox, report_domains, uris},
    tags::{self, Tags},
};
use crate::dns::{Answer, Authenticity, LookupFailure};

/// Where a walk that begins with many labels goes on after its first question (RFC 9989 §4.10).
const LONG: usize = 8;

/// The most questions of one walk.
const MOST_QUERIES: usize = LONG;

/// A record as it was found, before anybody asked what it means for one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    at: Domain,
    record: Record,
    text: Quoted,
    authenticity: Authenticity,
    expires: crate::time::UnixTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    policy: DmarcPolicy,
    subdomains: Option<DmarcPolicy>,
    nonexistent: Option<DmarcPolicy>,
    testing: bool,
    percent: Option<u8>,
    rua: Vec<Quoted>,
    rua_unusable: Vec<Quoted>,
    report_domains: Vec<ReportDomain>,
    strict_spf: bool,
    strict_dkim: bool,
    suffix: Suffix,
}

/// `psd=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffix {
    /// `y`: a public suffix, whose organisations are one label below.
    Yes,
    /// `n`: the top of an organisation.
    No,
    /// `u`, or no such tag.
    Unsaid,
}

/// What a walk is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The record that counts: that of the domain itself ends the walk.
    Record,
    /// Whose domain it is: a record of its own does not say that it belongs to nobody above.
    Organisation,
}

/// Walks from a domain towards the root.
#[derive(Clone, Debug)]
pub struct Walk {
    domain: Domain,
    purpose: Purpose,
    next: Option<Domain>,
    asked: usize,
    found: Vec<Found>,
    broken: Option<Published<Dmarc>>,
    /// At the domain itself, what was meant to be a record and is none.
    mistaken: Option<Published<Dmarc>>,
    /// The first one above the domain that cannot be read.
    broken_above: Option<Published<Dmarc>>,
    absent: Option<Published<Dmarc>>,
    failed: Option<LookupFailure>,
}

impl Walk {
    /// Begins at the domain itself, and looks for the record that counts.
    pub fn new(domain: &Domain) -> Self {
        Self::with(domain, Purpose::Record)
    }

    /// Begins at the domain itself, and looks for the organisation that it belongs to (RFC 9989 §4.10.2).
    pub fn to_organisation(domain: &Domain) -> Self {
        Self::with(domain, Purpose::Organisation)
    }

    fn with(domain: &Domain, purpose: Purpose) -> Self {
        Self {
            domain: domain.clone(),
            purpose,
            next: Some(domain.clone()),
            asked: 0,
            found: Vec::new(),
            broken: None,
            mistaken: None,
            broken_above: None,
            absent: None,
            failed: None,
        }
    }

    /// The name whose TXT records are needed next: `_dmarc.` and a domain.
    pub fn needs(&self) -> Option<Domain> {
        self.next.as_ref()?.below("_dmarc").ok()
    }

    /// What came of it. Where the record is looked for, that of the domain itself ends the walk: no
    /// other can count.
    pub fn tell(&mut self, answer: Answer<Vec<Vec<u8>>>) {
        let Some(at) = self.next.take() else { return };
        self.asked += 1;
        match answer {
            Answer::Found { value, authenticity, expires, .. } => {
                self.records(&at, &value, authenticity, expires);
            }
            Answer::Absent { denial, absence, .. } => {
                self.absent.get_or_insert(Published::Absent { denial, absence });
            }
            // What failed might have been the record that counts: nothing above it is one then.
            Answer::Failed(failure) => {
                self.failed = Some(failure);
                return;
            }
        }
        let stops = self.found.last().is_some_and(|found| {
            let own = self.purpose == Purpose::Record && at == self.domain;
            found.at == at && (own || !matches!(found.record.suffix, Suffix::Unsaid))
        });
        if !stops && self.asked < MOST_QUERIES {
            self.next = above(&at);
        }
    }

    fn records(
        &mut self,
        at: &Domain,
        texts: &[Vec<u8>],
        authenticity: Authenticity,
        expires: crate::time::UnixTime,
    ) {
        let ours: Vec<_> = texts.iter().filter_map(|text| tags::dmarc(text)).collect();
        let (first, why) = match ours.as_slice() {
            [] => {
                if *at == self.domain {
                    self.mistaken = mistaken(texts, authenticity);
                }
                return;
            }
            [text] => match record(text) {
                Ok(record) => {
                    let text = Quoted::new(text);
                    let at = at.clone();
                    self.found.push(Found { at, record, text, authenticity, expires });
                    return;
                }
                Err(why) => (text, why),
            },
            [first, ..] => {
                (first, format!("{} DMARC records, so none counts (RFC 9989 §4.10)", ours.len()))
            }
        };
        let text = Quoted::new(first);
        if *at == self.domain {
            self.broken = Some(Published::Broken { text, why, authenticity });
        } else if labels(at) > 1 {
            // A broken record of a top-level domain is no business of those below it.
            let why = format!("the record of {at}, above the domain: {why}");
            self.broken_above.get_or_insert(Published::Broken { text, why, authenticity });
        }
    }

    /// The record that counts for the domain (RFC 9989 §4.10): its own, or else that of the
    /// organisation's domain above it. Where there is none, one above that cannot be read is told.
    pub fn finish(self) -> Published<Dmarc> {
        if let Some(broken) = self.broken {
            return broken;
        }
        let own = self.found.iter().find(|found| found.at == self.domain);
        let chosen = own.or_else(|| organisation(&self.found));
        match (chosen, self.failed) {
            (Some(found), None) => found.clone().published(&self.domain),
            (Some(found), Some(_)) if found.at == self.domain => {
                found.clone().published(&self.domain)
            }
            (_, Some(failure)) => Published::Failed(failure),
            (None, None) => {
                self.mistaken.or(self.broken_above).or(self.absent).unwrap_or(Published::Absent {
                    denial: crate::dns::Denial::NoData,
                    absence: crate::dns::Absence::Unconfirmed,
                })
            }
        }
    }

    /// The domain of the organisation (RFC 9989 §4.10.2): marked `psd=n`, or one label below `psd=y`, or
    /// the highest with a record; without any record the domain itself.
    ///
    /// # Errors
    /// A lookup failed, so that it is not known.
    pub fn organisation(self) -> Result<Domain, LookupFailure> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let below = |suffix: &Domain| {
            let all: Vec<&str> = self.domain.labels().collect();
            let rest = all.get(all.len().checked_sub(labels(suffix) + 1)?..)?;
            Domain::parse(&rest.join(".")).ok()
        };
        // The walk went up: the last has the fewest labels, and what is marked ended it.
        let Some(top) = self.found.last() else { return Ok(self.domain) };
        let organisation = match top.record.suffix {
            Suffix::Yes => below(&top.at),
            Suffix::No | Suffix::Unsaid => None,
        };
        Ok(organisation.unwrap_or_else(|| top.at.clone()))
    }
}

/// A text that is skipped because it does not begin as a DMARC record does (RFC 9989 §4.10), and was
/// meant to be one.
fn mistaken(texts: &[Vec<u8>], authenticity: Authenticity) -> Option<Published<Dmarc>> {
    let text = texts.iter().find_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        text.to_ascii_lowercase().contains("dmarc1").then_some(text)
    })?;
    let why = "it does not begin with `v=DMARC1`, in these letters, so that it counts as none (RFC \
               9989 §4.10)";
    Some(Published::Broken { text: Quoted::new(text), why: why.into(), authenticity })
}

/// Of the records of a walk the one of the organisation: marked `psd=n`, or just below `psd=y`,
/// or with the fewest labels (RFC 9989 §4.10).
fn organisation(found: &[Found]) -> Option<&Found> {
    let marked = found.iter().find(|found| found.record.suffix == Suffix::No);
    let shortest = || {
        found
            .iter()
            .filter(|found| found.record.suffix != Suffix::Yes)
            .min_by_key(|found| labels(&found.at))
    };
    // A public suffix speaks for its organisations only where none of them speaks.
    marked.or_else(shortest).or_else(|| found.last())
}

impl Found {
    fn published(self, domain: &Domain) -> Published<Dmarc> {
        let Self { at, record, text, authenticity, expires } = self;
        let policy = match record.subdomains {
            Some(subdomains) if at != *domain => subdomains,
            Some(_) | None => record.policy,
        };
        let mut report_domains = record.report_domains;
        for own in report_domains.iter_mut().filter(|to| to.domain == at) {
            own.consent = Consent::NotNeeded;
        }
        let Record { subdomains, nonexistent, testing, rua, rua_unusable, .. } = record;
        let Record { percent, strict_spf, strict_dkim, .. } = record;
        let value = Dmarc {
            at,
            policy,
            testing,
            percent,
            subdomains,
            nonexistent,
            rua,
            rua_unusable,
            report_domains,
            strict_spf,
            strict_dkim,
        };
        Published::Found { value, text, authenticity, expires }
    }
}

fn labels(domain: &Domain) -> usize {
    domain.as_str().split('.').count()
}

/// The next name of the walk; `None` at the top.
fn above(domain: &Domain) -> Option<Domain> {
    let labels: Vec<&str> = domain.as_str().split('.').collect();
    let skip = if labels.len() >= LONG { labels.len().saturating_sub(LONG - 1) } else { 1 };
    let rest = labels.get(skip..).filter(|rest| !rest.is_empty())?;
    Domain::parse(&rest.join(".")).ok()
}

fn record(text: &str) -> Result<Record, String> {
    let tags = Tags::read(text)?;
    let policy = |name: &str| match tags.value(name).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("none") => Ok(Some(DmarcPolicy::None)),
        Some("quarantine") => Ok(Some(DmarcPolicy::Quarantine)),
        Some("reject") => Ok(Some(DmarcPolicy::Reject)),
        Some(other) => Err(format!("`{name}={}` is no policy", Quoted::new(other))),
    };
    let (usable, unusable): (Vec<&str>, Vec<&str>) =
        uris(&tags, "rua").partition(|uri| mailbox(uri).is_some());
    let quoted = |all: Vec<&str>| all.into_iter().map(Quoted::new).collect::<Vec<_>>();
    let (rua, rua_unusable) = (quoted(usable), quoted(unusable));
    // A record without `p` counts as `p=none`, so that its reports are sent; without reports it
    // counts for nothing (RFC 9989 §4.10.1).
    let asked = policy("p")?;
    if asked.is_none() && rua.is_empty() {
        return Err("neither `p` nor `rua`: nobody applies it (RFC 9989 §4.10.1)".into());
    }
    let strict = |name: &str| tags.value(name).is_some_and(|value| value.eq_ignore_ascii_case("s"));
    Ok(Record {
        policy: asked.unwrap_or(DmarcPolicy::None),
        subdomains: policy("sp")?,
        // It weighs nothing here but in a comparison; whoever cannot read it goes by `sp`.
        nonexistent: policy("np").ok().flatten(),
        testing: tags.value("t").is_some_and(|value| value.eq_ignore_ascii_case("y")),
        percent: tags
            .value("pct")
            .and_then(|value| value.parse().ok())
            .filter(|percent| *percent < 100),
        rua,
        rua_unusable,
        report_domains: report_domains(&tags),
        strict_spf: strict("aspf"),
        strict_dkim: strict("adkim"),
        suffix: match tags.value("psd").map(str::to_ascii_lowercase).as_deref() {
            Some("y") => Suffix::Yes,
            Some("n") => Suffix::No,
            Some(_) | None => Suffix::Unsaid,
        },
    })
}
