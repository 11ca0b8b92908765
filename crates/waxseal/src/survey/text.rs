//! TXT records as they are published.

use waxseal_core::{
    assess::{Published, Quoted},
    dns::{Absence, Answer, Authenticity, Denial},
    domain::Domain,
    sts::{NotAnnounced, announced},
};

use super::Surveyor;
use crate::resolve::Lookup;

impl Surveyor {
    /// `_smtp._tls` TXT (RFC 8460 §3).
    pub(super) async fn tls_reports(&self, domain: &Domain) -> Published<Quoted> {
        self.published(domain, "_smtp._tls", |records| {
            let mut ours = records.iter().filter(|record| record.starts_with(b"v=TLSRPTv1"));
            match (ours.next(), ours.count()) {
                (None, _) => Read::Nothing,
                (Some(record), 0) => Read::Means(Quoted::octets(record), Quoted::octets(record)),
                (Some(record), others) => {
                    let why =
                        format!("{} records begin with v=TLSRPTv1, so none counts", others + 1);
                    Read::Broken(Quoted::octets(record), why)
                }
            }
        })
        .await
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

    async fn published(
        &self,
        domain: &Domain,
        below: &str,
        read: impl Fn(&[Vec<u8>]) -> Read,
    ) -> Published<Quoted> {
        // A name that is too long cannot exist, and nobody has to sign that.
        let Ok(name) = domain.below(below) else {
            return Published::Absent { denial: Denial::NxDomain, absence: Absence::Secure };
        };
        judged(self.resolver().txt(&name).await, read)
    }
}

/// What the TXT records at a name are.
enum Read {
    /// None of them is meant.
    Nothing,
    /// What it says, and its text.
    Means(Quoted, Quoted),
    /// Its text, and what is wrong.
    Broken(Quoted, String),
}

fn judged(lookup: Lookup<Vec<Vec<u8>>>, read: impl Fn(&[Vec<u8>]) -> Read) -> Published<Quoted> {
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
