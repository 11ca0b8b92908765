//! The envelope: who sends, who receives, and what was asked for on the way (RFC 5321, 3461, 6152,
//! 6531, 8689).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Domain;

/// `local-part@domain`. The local part is kept as it was written, quotes included: only the
/// receiving host may interpret it (RFC 5321 §2.3.11). Made by the SMTP command parser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mailbox {
    /// As received, case kept; a quoted string keeps its quotes. At most 64 octets (§4.5.3.1.1).
    pub local: String,
    /// The domain as A-labels. Address literals are refused before this type.
    pub domain: Domain,
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// The MAIL FROM address, or `<>` (RFC 5321 §4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: notifications. Never answered.
    Null,
    /// A mailbox that delivery failures go to.
    Mailbox(Mailbox),
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// `BODY=` of RFC 6152 and 3030.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// Only ASCII was promised.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBit,
}

/// Whether addresses or headers may hold UTF-8 (RFC 6531 §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Charset {
    /// Without `SMTPUTF8`.
    #[default]
    Ascii,
    /// With `SMTPUTF8`.
    Utf8,
}

/// Which way a message goes through us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From somebody who may relay, to anybody: the organisation's rules hold.
    #[default]
    Outbound,
    /// From anybody, to people of ours: it came in by a listener for inbound mail.
    Inbound,
}

/// What the submitter asked of TLS along the whole way (RFC 8689).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsAsk {
    /// Nothing.
    #[default]
    Nothing,
    /// `MAIL FROM:<> REQUIRETLS` (§2); it voids `TLS-Required: No` (§4.1).
    RequireTls,
    /// Header field `TLS-Required: No` (§3): waives published demands, never the organisation's.
    TlsNotRequired,
}

/// `RET=` of RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Return {
    /// `RET=FULL`
    Full,
    /// `RET=HDRS`
    Headers,
}

/// `NOTIFY=` of RFC 3461 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notify {
    /// `NOTIFY=NEVER`
    Never,
    /// Any of the three; all unset cannot be said in SMTP.
    On {
        /// `SUCCESS`
        success: bool,
        /// `FAILURE`
        failure: bool,
        /// `DELAY`
        delay: bool,
    },
}

impl Default for Notify {
    /// What holds where nothing was said: failure and delay, as RFC 3461 §4.1 lets a server choose.
    fn default() -> Self {
        Self::On { success: false, failure: true, delay: true }
    }
}

/// One accepted RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// Where the message goes.
    pub mailbox: Mailbox,
    /// What the sender wants to hear of it, where it was said: saying nothing is not the same as
    /// saying what is then assumed (RFC 3461 §5.2.1). Rows of before this was told apart hold a value.
    pub notify: Option<Notify>,
    /// `ORCPT=` as received, xtext still encoded (RFC 3461 §4.2).
    pub original: Option<String>,
}

impl Recipient {
    /// RCPT TO without parameters.
    pub fn new(mailbox: Mailbox) -> Self {
        Self { mailbox, notify: None, original: None }
    }
}

/// Everything MAIL and RCPT said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in the order given, at least one.
    pub recipients: Vec<Recipient>,
    /// BODY=.
    pub body: Body,
    /// SMTPUTF8.
    pub charset: Charset,
    /// REQUIRETLS or the header field `TLS-Required: No`.
    pub tls: TlsAsk,
    /// RET=.
    pub ret: Option<Return>,
    /// ENVID= as received, xtext still encoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
}

impl Envelope {
    /// MAIL FROM without parameters.
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Self {
        Self {
            reverse_path,
            recipients,
            body: Body::default(),
            charset: Charset::default(),
            tls: TlsAsk::default(),
            ret: None,
            envelope_id: None,
        }
    }
}
