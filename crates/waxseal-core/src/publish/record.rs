//! One record that we want in DNS.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    dane::Tlsa,
    dnssec::{Name, RecordType},
    domain::Domain,
};

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Reports about TLS (RFC 8460).
    Tlsrpt,
    /// The announcement of a policy, and the name of its host (RFC 8461).
    MtaSts,
    /// Keys of an MX host (RFC 7672).
    Tlsa,
    /// Who may send (RFC 7208).
    Spf,
    /// Keys of signatures (RFC 6376).
    Dkim,
    /// What to do with mail that fails both (DMARC).
    Dmarc,
}

impl Protocol {
    /// As people write it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Tlsrpt => "TLSRPT",
            Self::MtaSts => "MTA-STS",
            Self::Tlsa => "DANE",
            Self::Spf => "SPF",
            Self::Dkim => "DKIM",
            Self::Dmarc => "DMARC",
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Text, cut into strings of at most 255 octets where it is written (RFC 1035 §3.3).
    Txt(String),
    /// RFC 6698 §2.1
    Tlsa(Tlsa),
    /// Another name for.
    Cname(Domain),
}

/// A record: whose, how long it may be kept, what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is for.
    pub protocol: Protocol,
    /// Whose it is.
    pub owner: Domain,
    /// How long others may keep it.
    pub ttl: Duration,
    /// What it says.
    pub data: Data,
}

/// The strings of a TXT record: at most 255 octets each (RFC 1035 §3.3).
pub fn strings(text: &str) -> Vec<&[u8]> {
    let mut strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
    if strings.is_empty() {
        strings.push(&[]);
    }
    strings
}

impl Record {
    /// The same record with another text.
    pub(super) fn saying(self, text: String) -> Self {
        Self { data: Data::Txt(text), ..self }
    }

    /// The type of the record.
    pub const fn record_type(&self) -> RecordType {
        match self.data {
            Data::Txt(_) => RecordType::TXT,
            Data::Tlsa(_) => RecordType::TLSA,
            Data::Cname(_) => RecordType::CNAME,
        }
    }

    /// RDATA without compression.
    pub fn rdata(&self) -> Vec<u8> {
        match &self.data {
            Data::Txt(text) => {
                let mut rdata = Vec::new();
                for string in strings(text) {
                    rdata.push(u8::try_from(string.len()).unwrap_or(u8::MAX));
                    rdata.extend_from_slice(string);
                }
                rdata
            }
            Data::Tlsa(tlsa) => {
                [&[tlsa.usage, tlsa.selector, tlsa.matching], tlsa.data.as_slice()].concat()
            }
            Data::Cname(target) => Name::from(target).as_octets().to_vec(),
        }
    }

    /// What stands behind the type in a zone file (RFC 1035 §5.1).
    pub fn value(&self) -> String {
        match &self.data {
            Data::Txt(text) => {
                let quoted = strings(text).into_iter().map(quoted).collect::<Vec<_>>();
                quoted.join(" ")
            }
            Data::Tlsa(tlsa) => {
                let hex: String = tlsa.data.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("{} {} {} {hex}", tlsa.usage, tlsa.selector, tlsa.matching)
            }
            Data::Cname(target) => format!("{target}."),
        }
    }
}

/// A line of a zone file with absolute names, so that it can be pasted anywhere in it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ttl = self.ttl.as_secs();
        write!(f, "{}. {ttl} IN {} {}", self.owner, self.record_type(), self.value())
    }
}

/// A character string in quotes; what is not printable as `\DDD` (RFC 1035 §5.1).
fn quoted(string: &[u8]) -> String {
    let mut text = String::from("\"");
    for &octet in string {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(octet)]),
            b' '..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text.push('"');
    text
}
