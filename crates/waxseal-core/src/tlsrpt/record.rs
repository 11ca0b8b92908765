//! The TXT record at `_smtp._tls.` (RFC 8460 §3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{assess::Quoted, domain::Domain};

/// The most addresses of a record that are kept.
const MOST_ADDRESSES: usize = 16;

/// The longest record that is read.
const MOST_OCTETS: usize = 4_096;

/// A record that was valid when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where reports go; at least one.
    pub rua: Vec<ReportTo>,
}

/// One address for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportTo {
    /// `mailto:`, and the domain of the address.
    Mailto {
        /// The address.
        address: Quoted,
        /// What follows its `@`.
        domain: Domain,
    },
    /// `https:`, and its host.
    Https {
        /// The whole URI.
        uri: Quoted,
        /// Its host; `None` for an address literal.
        host: Option<Domain>,
    },
}

/// Why TXT records name no place for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReports {
    /// None of them begins with `v=TLSRPTv1;`.
    None,
    /// More than one does: then none counts.
    Several(usize),
    /// One does and cannot be used.
    Malformed(String),
}

impl fmt::Display for NoReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no TXT record begins with v=TLSRPTv1;"),
            Self::Several(n) => {
                write!(f, "{n} TXT records begin with v=TLSRPTv1;, so none counts (RFC 8460 §3)")
            }
            Self::Malformed(why) => f.write_str(why),
        }
    }
}

/// What these TXT records say, and the text of the one that counts. The strings of each record are
/// already joined; records of others at the same name are skipped.
///
/// # Errors
/// There is not exactly one TLSRPT record, or it cannot be used.
pub fn record<T: AsRef<[u8]>>(texts: &[T]) -> Result<(Record, Quoted), NoReports> {
    let mut ours = texts.iter().filter_map(|text| fields(text.as_ref()).map(|rest| (text, rest)));
    let Some((text, fields)) = ours.next() else { return Err(NoReports::None) };
    match ours.count() {
        0 => {
            let record = parse(fields).map_err(NoReports::Malformed)?;
            Ok((record, Quoted::octets(text.as_ref())))
        }
        others => Err(NoReports::Several(others.saturating_add(1))),
    }
}

/// What follows `v=TLSRPTv1` and its semicolon; `None` for any other record.
fn fields(record: &[u8]) -> Option<&[u8]> {
    record.strip_prefix(b"v=TLSRPTv1")?.trim_ascii_start().strip_prefix(b";")
}

fn parse(fields: &[u8]) -> Result<Record, String> {
    if fields.len() > MOST_OCTETS {
        return Err(format!("the TLSRPT record is longer than {MOST_OCTETS} octets"));
    }
    let text = std::str::from_utf8(fields).map_err(|_| "the TLSRPT record is not ASCII")?;
    let mut rua = Vec::new();
    // Tags that nobody knows are skipped (RFC 8460 §3).
    for value in text.split(';').filter_map(|field| field.trim().strip_prefix("rua")) {
        let Some(uris) = value.trim_start().strip_prefix('=') else { continue };
        for uri in uris.split(',').map(str::trim).take(MOST_ADDRESSES) {
            rua.push(report_to(uri)?);
        }
    }
    if rua.is_empty() {
        return Err("the TLSRPT record names no `rua`".into());
    }
    Ok(Record { rua })
}

fn report_to(uri: &str) -> Result<ReportTo, String> {
    let quoted = Quoted::new(uri);
    let (scheme, rest) =
        uri.split_once(':').ok_or_else(|| format!("`{quoted}` in `rua` is no URI"))?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = rest.split('?').next().unwrap_or(rest);
        let (_, domain) =
            address.rsplit_once('@').ok_or_else(|| format!("`{quoted}` in `rua` has no domain"))?;
        let domain = Domain::parse(domain)
            .map_err(|error| format!("`{quoted}` in `rua` names no domain: {error}"))?;
        return Ok(ReportTo::Mailto { address: Quoted::new(address), domain });
    }
    if scheme.eq_ignore_ascii_case("https") {
        let authority = rest
            .strip_prefix("//")
            .map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(rest))
            .filter(|authority| !authority.is_empty())
            .ok_or_else(|| format!("`{quoted}` in `rua` names no host"))?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.split(':').next().and_then(|host| Domain::parse(host).ok());
        return Ok(ReportTo::Https { uri: quoted, host });
    }
    Err(format!("`{quoted}` in `rua` is neither mailto nor https"))
}
