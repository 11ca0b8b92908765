//! Domain names as mail and DNS use them: parsed once, compared as A-labels.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A host or domain name in A-label form, lower case, without the trailing dot.
///
/// Letters, digits, hyphen and underscore (service labels such as `_25._tcp`); labels of 1 to 63
/// octets, 253 octets in all (RFC 1035 §2.3.4). U-labels are converted on the way in (RFC 5891).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(Box<str>);

/// Why a text is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainError {
    /// Nothing, or only a dot.
    Empty,
    /// More than 253 octets as A-labels.
    TooLong,
    /// A label that is empty or longer than 63 octets.
    Label,
    /// A character that no host name has.
    Character(char),
    /// U-labels that IDNA refuses.
    Idna,
    /// An address where a name has to be.
    Address,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a domain name is missing"),
            Self::TooLong => f.write_str("a domain name has at most 253 octets"),
            Self::Label => f.write_str("each label of a domain name has 1 to 63 octets"),
            Self::Character(c) => write!(f, "{c:?} cannot stand in a domain name"),
            Self::Idna => f.write_str("not a valid internationalised domain name"),
            Self::Address => f.write_str("an IP address where a domain name has to be"),
        }
    }
}

impl std::error::Error for DomainError {}

impl Domain {
    /// Parses a name typed by a person or read from a protocol; one trailing dot is dropped.
    ///
    /// # Errors
    /// Says what is wrong with the name. A dotted-quad address is not a name.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > 1_000 {
            return Err(DomainError::TooLong);
        }
        let ascii = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Idna)?
        };
        if ascii.len() > 253 {
            return Err(DomainError::TooLong);
        }
        for label in ascii.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(DomainError::Label);
            }
            let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            if let Some(c) = label.chars().find(odd) {
                return Err(DomainError::Character(c));
            }
        }
        let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
        if ascii.rsplit('.').next().is_some_and(numeric) {
            return Err(DomainError::Address);
        }
        Ok(Self(ascii.into()))
    }

    /// The A-label form, lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What people read where this name stands: the U-labels of a name with A-labels (RFC 5891), to be shown
    /// beside it and never in its place, for many letters look like others. `None` where there are none, or
    /// where they hold more than letters and digits that are written from left to right: what steers a
    /// terminal, or turns the direction of what stands around it, does not come out of here.
    pub fn u_labels(&self) -> Option<String> {
        let (text, valid) = idna::domain_to_unicode(self.as_str());
        let is_plain =
            |c: char| matches!(c, '.' | '-') || (c.is_alphanumeric() && !is_right_to_left(c));
        let shown = valid.is_ok() && !text.is_ascii() && text.chars().all(is_plain);
        (shown && Self::parse(&text).as_ref() == Ok(self)).then_some(text)
    }

    /// Who probably runs a host of this name: the name from the registered domain on. Without the
    /// public suffix list that is a guess: good enough to be polite and to group by, and nothing
    /// is decided by it.
    pub fn operator(&self) -> String {
        let mut labels = self.labels().rev();
        let (Some(top), Some(second)) = (labels.next(), labels.next()) else {
            return self.to_string();
        };
        let registry = top.len() == 2 && is_registry(second, top);
        match labels.next() {
            Some(third) if registry => format!("{third}.{second}.{top}"),
            Some(_) | None => format!("{second}.{top}"),
        }
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its first label; `None` for a top-level name.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// The name below this one, as in `_mta-sts` + `example.com`.
    ///
    /// # Errors
    /// The joined name is too long, or `labels` is not made of labels.
    pub fn below(&self, labels: &str) -> Result<Self, DomainError> {
        Self::parse(&format!("{labels}.{}", self.0))
    }

    /// Whether this name is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0
            .strip_suffix(other.as_str())
            .is_some_and(|front| front.is_empty() || front.ends_with('.'))
    }
}

/// The blocks of scripts that are written from right to left, assigned or not yet.
const fn is_right_to_left(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{feff}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}'
    )
}

/// Below country codes, what stands for a kind of registrant and belongs to nobody of them: each registry
/// chooses, and most chose the names of the first generic domains, short (`co`, `ac`, `or`, `ne`, `go` as
/// in `co.jp`) or as they were (`com.au`), or in their own language (`gv.at`, `gob.mx`, `gouv.fr`,
/// `nom.br`). Any other short label below a country code is a name like
/// others: `t2.nl` is one registrant.
const REGISTRIES: [&str; 15] = [
    "ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "gv", "mil", "ne", "net", "nom", "or",
    "org",
];

/// What means that under one country code and is a name under others, where mail is hosted in numbers: as
/// the registries of these countries list them (public suffix list, section "ICANN domains").
const NATIONAL: [(&str, &[&str]); 12] = [
    ("au", &["asn", "id"]),
    ("br", &["adv", "art", "eco", "eng", "ind", "inf", "jus", "leg", "srv"]),
    ("id", &["biz", "desa", "my", "sch", "web"]),
    ("il", &["idf", "k12", "muni"]),
    ("in", &["firm", "gen", "ind", "nic", "res"]),
    ("jp", &["ad", "ed", "gr", "lg"]),
    ("kr", &["es", "hs", "kg", "ms", "pe", "re", "sc"]),
    ("nz", &["cri", "geek", "gen", "govt", "iwi", "kiwi", "maori", "school"]),
    ("th", &["in", "mi"]),
    ("tr", &["av", "bel", "biz", "dr", "gen", "info", "k12", "name", "pol", "tel", "tv", "web"]),
    ("uk", &["ltd", "me", "nhs", "plc", "police", "sch"]),
    ("za", &["law", "school", "web"]),
];

/// Whether names are registered below `second.top`.
fn is_registry(second: &str, top: &str) -> bool {
    let national = NATIONAL.iter().find(|(country, _)| *country == top);
    REGISTRIES.contains(&second) || national.is_some_and(|(_, own)| own.contains(&second))
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        Self::parse(&text)
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0.into()
    }
}

#[cfg(test)]
mod tests;
