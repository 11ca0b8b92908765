//! TXT records as they are published.

use waxseal_core::{
    assess::{Published, Quoted, Reachable, ReportTarget},
    dns::{Absence, Answer, Authenticity, Denial},
    domain::Domain,
    sts::{NotAnnounced, announced},
    tlsrpt::{self, NoReports, Record, ReportTo},
};

use super::{
    Surveyor,
    span::{Span, USED_UP},
};
use crate::resolve::{Exchange, Lookup};

/// The most report addresses that are looked at.
const MOST_TARGETS: usize = 8;

impl Surveyor {
    /// `_smtp._tls` TXT (RFC 8460 §3).
    pub(super) async fn tls_reports(&self, domain: &Domain) -> Published<Record> {
        self.published(domain, "_smtp._tls", |records| {
            let ours = records.iter().find(|record| record.starts_with(b"v=TLSRPTv1"));
            let text = ours.map(|record| Quoted::octets(record)).unwrap_or_default();
            match tlsrpt::record(records) {
                Ok((record, text)) => Read::Means(record, text),
                Err(NoReports::None) => Read::Nothing,
                Err(why @ (NoReports::Several(_) | NoReports::Malformed(_))) => {
                    Read::Broken(text, why.to_string())
                }
            }
        })
        .await
    }

    /// Whether reports can go where a record says, as far as DNS tells.
    pub(super) async fn report_targets(
        &self,
        record: &Published<Record>,
        span: &Span,
    ) -> Vec<ReportTarget> {
        let mut targets = Vec::new();
        for to in record.value().map_or(&[][..], |record| &record.rua).iter().take(MOST_TARGETS) {
            let uri = match to {
                ReportTo::Mailto { address, .. } => Quoted::new(&format!("mailto:{address}")),
                ReportTo::Https { uri, .. } => uri.clone(),
            };
            let reachable = span.within("where its reports go", self.reachable(to)).await;
            let reachable = reachable.unwrap_or_else(|| Reachable::Unknown(USED_UP.into()));
            targets.push(ReportTarget { uri, reachable });
        }
        targets
    }

    async fn reachable(&self, to: &ReportTo) -> Reachable {
        match to {
            ReportTo::Mailto { domain, .. } => self.takes_mail(domain).await,
            ReportTo::Https { host: Some(host), .. } => self.has_address(host).await,
            ReportTo::Https { host: None, .. } => {
                Reachable::Unknown("an address instead of a name".into())
            }
        }
    }

    /// RFC 5321 §5.1: MX records, or an address.
    async fn takes_mail(&self, domain: &Domain) -> Reachable {
        match self.resolver().mx(domain).await.answer {
            Answer::Found { value, .. } => {
                if value.iter().any(|mx| matches!(mx.exchange, Exchange::Host(_))) {
                    Reachable::Yes
                } else {
                    Reachable::No(format!("{domain} has a null MX: it takes no mail"))
                }
            }
            Answer::Absent { denial: Denial::NxDomain, .. } => {
                Reachable::No(format!("{domain} does not exist"))
            }
            Answer::Absent { denial: Denial::NoData, .. } => self.has_address(domain).await,
            Answer::Failed(failure) => Reachable::Unknown(failure.detail),
        }
    }

    async fn has_address(&self, host: &Domain) -> Reachable {
        match self.resolver().addresses(host).await.answer {
            Answer::Found { .. } => Reachable::Yes,
            Answer::Absent { .. } => Reachable::No(format!("{host} has no address")),
            Answer::Failed(failure) => Reachable::Unknown(failure.detail),
        }
    }

    /// `_mta-sts` TXT (RFC 8461 §3.1); its value is the id.
    pub(super) async fn policy_record(&self, domain: &Domain) -> Published<Quoted> {
        self.published(domain, "_mta-sts", |records| {
            let ours = records.iter().find(|record| record.starts_with(b"v=STSv1"));
            let text = ours.map(|record| Quoted::octets(record)).unwrap_or_default();
            match announced(records) {
                Ok(id) => Read::Means(Quoted::new(&id), text),
                Err(NotAnnounced::None) => Read::Nothing,
                Err(why @ (NotAnnounced::Several(_) | NotAnnounced::Malformed(_))) => {
                    Read::Broken(text, why.to_string())
                }
            }
        })
        .await
    }

    /// The TXT records at a name below a domain, read.
    pub(super) async fn published<T>(
        &self,
        domain: &Domain,
        below: &str,
        read: impl Fn(&[Vec<u8>]) -> Read<T>,
    ) -> Published<T> {
        // A name that is too long cannot exist, and nobody has to sign that.
        let Ok(name) = domain.below(below) else {
            return Published::Absent { denial: Denial::NxDomain, absence: Absence::Secure };
        };
        judged(self.resolver().txt(&name).await, read)
    }
}

/// What the TXT records at a name are.
pub(super) enum Read<T> {
    /// None of them is meant.
    Nothing,
    /// What it says, and its text.
    Means(T, Quoted),
    /// Its text, and what is wrong.
    Broken(Quoted, String),
}

fn judged<T>(lookup: Lookup<Vec<Vec<u8>>>, read: impl Fn(&[Vec<u8>]) -> Read<T>) -> Published<T> {
    match lookup.answer {
        Answer::Found { value, authenticity, expires, .. } => match read(&value) {
            Read::Nothing => {
                let absence = match authenticity {
                    Authenticity::Secure => Absence::Secure,
                    Authenticity::Insecure => Absence::Unconfirmed,
                };
                Published::Absent { denial: Denial::NoData, absence }
            }
            Read::Means(value, text) => Published::Found { value, text, authenticity, expires },
            Read::Broken(text, why) => Published::Broken { text, why, authenticity },
        },
        Answer::Absent { denial, absence, .. } => Published::Absent { denial, absence },
        Answer::Failed(failure) => Published::Failed(failure),
    }
}
