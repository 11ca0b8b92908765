//! At which names TLSA records are asked for, and what the answers mean (RFC 7672 §2.2).

use super::{MAX_OCTETS, MAX_RECORDS, Tlsa};
use crate::{
    dns::{Absence, Answer, Authenticity, FailureKind, LookupFailure},
    domain::{Domain, DomainError},
    facts::{Dane, NoTlsa},
};

/// How a host name leads to its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not an alias; the state of its address records.
    Direct(Authenticity),
    /// An alias.
    Aliased {
        /// State of the first step, the host's own CNAME.
        first: Authenticity,
        /// Where it ends, if all steps *and* the addresses there are secure.
        expanded: Option<Domain>,
    },
}

/// TLSA base domains in the order to ask, empty where there is nothing to ask
/// (RFC 7672 §2.2.2).
///
/// An insecure host is never asked about: such zones often answer SERVFAIL. A secure alias into
/// an insecure zone is asked about at the alias itself, whose zone is signed.
pub fn bases(host: &Domain, reach: &Reach) -> Vec<Domain> {
    match reach {
        Reach::Direct(Authenticity::Secure) => vec![host.clone()],
        Reach::Direct(Authenticity::Insecure)
        | Reach::Aliased { first: Authenticity::Insecure, .. } => Vec::new(),
        Reach::Aliased { first: Authenticity::Secure, expanded: Some(expanded) } => {
            vec![expanded.clone(), host.clone()]
        }
        Reach::Aliased { first: Authenticity::Secure, expanded: None } => vec![host.clone()],
    }
}

/// Where the records of a base domain stand: `_25._tcp.mx.example.com` (RFC 7672 §2.2.3).
///
/// # Errors
/// The name would be too long; then there are none.
pub fn owner(base: &Domain, port: u16) -> Result<Domain, DomainError> {
    base.below(&format!("_{port}._tcp"))
}

/// What one TLSA answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// None here: the next base domain may have some. The last one's reason counts.
    Next(NoTlsa),
    /// That is it. A failure ends the search too: the other name must not hide it (§2.1.2).
    Is(Dane),
}

/// Reads the answer for one base domain (RFC 7672 §2.2).
pub fn read(base: &Domain, answer: Answer<Vec<Tlsa>>) -> Read {
    match answer {
        Answer::Found { authenticity: Authenticity::Insecure, .. } => {
            Read::Next(NoTlsa::InsecureAnswer)
        }
        Answer::Found { value: records, authenticity: Authenticity::Secure, chain, .. } => {
            let octets: usize = records.iter().map(|record| record.data.len()).sum();
            if records.len() > MAX_RECORDS || octets > MAX_OCTETS {
                let n = records.len();
                let detail = format!(
                    "{n} TLSA records of {octets} octets, of which {MAX_RECORDS} and {MAX_OCTETS} are allowed"
                );
                let failure = LookupFailure { name: base.into(), kind: FailureKind::Limit, detail };
                return Read::Is(Dane::LookupFailed(failure));
            }
            let base = base.clone();
            Read::Is(if records.iter().any(Tlsa::is_usable) {
                Dane::Usable { base, records, chain }
            } else {
                Dane::Unusable { base, records, chain }
            })
        }
        Answer::Absent { absence: Absence::Secure, .. } => Read::Next(NoTlsa::Denied),
        Answer::Absent { absence: Absence::Agreed | Absence::Unconfirmed, .. } => {
            Read::Next(NoTlsa::InsecureAnswer)
        }
        Answer::Failed(failure) => Read::Is(Dane::LookupFailed(failure)),
    }
}
