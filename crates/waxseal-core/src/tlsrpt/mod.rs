//! SMTP TLS reporting (RFC 8460): where a domain wants to hear of failures.

mod record;
#[cfg(test)]
mod tests;

pub use self::record::{NoReports, Record, ReportTo, record};
