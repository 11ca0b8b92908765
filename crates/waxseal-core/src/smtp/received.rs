//! The trace field that a relay puts in front of a message (RFC 5321 §4.4), and its date.

use std::{fmt, net::IpAddr};

use crate::{channel::TlsVersion, domain::Domain, smtp::command::ClientName, time::UnixTime};

/// What TLS came to on an incoming session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// 1.2 or 1.3.
    pub version: TlsVersion,
    /// IANA name of the cipher suite.
    pub suite: String,
    /// IANA name of the key exchange group.
    pub group: Option<String>,
}

/// `with` of a trace field (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// HELO or EHLO.
    pub greeting: Greeting,
    /// Whether MAIL FROM said `SMTPUTF8`.
    pub charset: crate::envelope::Charset,
    /// Whether the session is under TLS.
    pub tls: Secured,
    /// Whether AUTH succeeded.
    pub auth: Authenticated,
}

/// Which greeting the client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// RFC 5321 §4.1.1.1
    Ehlo,
    /// RFC 821
    Helo,
}

/// Whether a session is under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secured {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether AUTH succeeded in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// It did.
    Yes,
    /// It did not, or was not tried.
    No,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.charset, self.greeting) {
            (crate::envelope::Charset::Utf8, _) => "UTF8SMTP",
            (crate::envelope::Charset::Ascii, Greeting::Ehlo) => "ESMTP",
            (crate::envelope::Charset::Ascii, Greeting::Helo) => return f.write_str("SMTP"),
        })?;
        f.write_str(match self.tls {
            Secured::Yes => "S",
            Secured::No => "",
        })?;
        f.write_str(match self.auth {
            Authenticated::Yes => "A",
            Authenticated::No => "",
        })
    }
}

/// All that a `Received` field says. The recipients are not in it: a blind copy would show
/// (RFC 5321 §7.2). Nor is the account that authenticated.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub client: &'a ClientName,
    /// Where it connected from.
    pub ip: IpAddr,
    /// Our name.
    pub by: &'a Domain,
    /// Under what the message can be found in our records.
    pub id: &'a str,
    /// `with`.
    pub protocol: Protocol,
    /// The TLS session, if any.
    pub tls: Option<&'a TlsFacts>,
    /// When the message was complete.
    pub at: UnixTime,
}

impl fmt::Display for Received<'_> {
    /// The whole field, folded, with CRLF at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = if self.ip.is_ipv6() { "IPv6:" } else { "" };
        write!(f, "Received: from {} ([{tag}{}])\r\n", self.client, self.ip)?;
        if let Some(tls) = self.tls {
            let version = match tls.version {
                TlsVersion::V1_2 => "TLSv1.2",
                TlsVersion::V1_3 => "TLSv1.3",
            };
            write!(f, "\t(using {version} with cipher {}", tls.suite)?;
            if let Some(group) = &tls.group {
                write!(f, " group {group}")?;
            }
            f.write_str(")\r\n")?;
        }
        write!(f, "\tby {} with {} id {};\r\n", self.by, self.protocol, self.id)?;
        write!(f, "\t{}\r\n", MailDate(self.at))
    }
}

/// A date as RFC 5322 §3.3 writes it, in UTC.
#[derive(Clone, Copy, Debug)]
pub struct MailDate(pub UnixTime);

impl fmt::Display for MailDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, seconds) = (self.0.0 / 86_400, self.0.0 % 86_400);
        let name = |names: &[&'static str], at: u64| {
            usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
        };
        let (year, month, day) = civil(days);
        write!(
            f,
            "{}, {day} {} {year:04} {:02}:{:02}:{:02} +0000",
            name(&DAYS, days % 7),
            name(&MONTHS, month - 1),
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
        )
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar: eras of 400 years that
/// begin in March, so that the leap day is the last of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests;
