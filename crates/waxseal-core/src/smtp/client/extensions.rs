//! What the peer's EHLO offers (RFC 5321 §4.1.1.1).

use crate::reply::Reply;

/// The service extensions that matter to a sender. Those learned before STARTTLS are forgotten
/// after it (RFC 3207 §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 6152
    pub eight_bit_mime: bool,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 3461
    pub dsn: bool,
    /// RFC 8689
    pub require_tls: bool,
    /// RFC 3207
    pub start_tls: bool,
    /// RFC 1870: whether SIZE is offered, and the limit where there is one, in octets.
    pub size: Size,
    /// RFC 4954: `AUTH PLAIN`.
    pub auth_plain: bool,
    /// `AUTH LOGIN`, as old smarthosts have it.
    pub auth_login: bool,
}

/// `SIZE` of RFC 1870 §4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// Not offered.
    #[default]
    Unknown,
    /// Offered without a limit.
    Unlimited,
    /// At most so many octets.
    AtMost(u64),
}

impl Extensions {
    /// Reads the lines after the first of a 250 to EHLO.
    pub fn parse(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.text.iter().skip(1) {
            // Some servers write `AUTH=LOGIN`.
            let mut words = line.split(['=', ' ']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit_mime = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.require_tls = true,
                "STARTTLS" => found.start_tls = true,
                "SIZE" => found.size = size(words.next()),
                "AUTH" => {
                    for mechanism in words {
                        found.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        found.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// `SIZE`, `SIZE 0` (no limit, RFC 1870 §4) or `SIZE n`.
fn size(word: Option<&str>) -> Size {
    match word.and_then(|word| word.parse::<u64>().ok()) {
        None | Some(0) => Size::Unlimited,
        Some(limit) => Size::AtMost(limit),
    }
}
