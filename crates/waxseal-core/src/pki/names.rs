//! Names in certificates as RFC 7672 §3.2.3 compares them.

use super::{Certificate, Fault};
use crate::domain::Domain;

/// The first of `names` that the certificate presents. DNS-IDs count; only where there are none
/// does the common name (RFC 7672 §3.2.3).
///
/// # Errors
/// None of them; what it presents instead.
pub fn presents<'n>(
    certificate: &Certificate<'_>,
    names: &'n [Domain],
) -> Result<&'n Domain, Fault> {
    let mut presented = certificate.dns_ids()?;
    if presented.is_empty() {
        presented = certificate.common_names()?;
    }
    names
        .iter()
        .find(|name| presented.iter().any(|identifier| matches(identifier, name)))
        .ok_or_else(|| {
            presented.truncate(8);
            Fault::WrongName(presented)
        })
}

/// Whether a certificate presents the name of a host as a DNS-ID, whoever issued it (RFC 6125 §6.4).
///
/// # Errors
/// The names that it presents instead, or why they cannot be read.
pub fn is_for(certificate: &Certificate<'_>, name: &Domain) -> Result<(), Fault> {
    let mut presented = certificate.dns_ids()?;
    if presented.iter().any(|identifier| matches(identifier, name)) {
        return Ok(());
    }
    presented.truncate(8);
    Err(Fault::WrongName(presented))
}

/// `*` stands only for a whole first label, and for exactly one (RFC 7672 §3.2.3).
fn matches(identifier: &str, name: &Domain) -> bool {
    let identifier = identifier.strip_suffix('.').unwrap_or(identifier);
    match identifier.strip_prefix("*.") {
        // A wildcard directly below a top-level domain would speak for strangers.
        Some(rest) if rest.contains('.') => {
            name.as_str().split_once('.').is_some_and(|(_, parent)| parent == rest)
        }
        Some(_) => false,
        None => identifier == name.as_str(),
    }
}
