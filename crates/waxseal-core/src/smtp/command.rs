//! Commands: one line in, one value out (RFC 5321 §4.1, and the extensions that we offer).
//!
//! The parser knows the line, not the session: whether a parameter may be used here (`REQUIRETLS`
//! without TLS, `AUTH` twice) is the [server](super::server)'s question.

mod parameters;
mod print;

use std::fmt;

use crate::{
    envelope::{Body, Charset, Notify, Return, ReversePath},
    reply::EnhancedCode,
    smtp::address::{self, AddressError, Path},
};

/// A command that the grammar accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `AUTH mechanism [initial-response]` (RFC 4954 §4).
    Auth {
        /// Which mechanism.
        mechanism: Mechanism,
        /// Still in base64; `=` is the empty response.
        initial: Option<String>,
    },
    /// `BDAT size [LAST]` (RFC 3030 §2); that many octets follow.
    Bdat {
        /// Octets in this chunk.
        size: u64,
        /// Whether the message ends here.
        last: Last,
    },
    /// `DATA`
    Data,
    /// `EHLO name`
    Ehlo(ClientName),
    /// `EXPN`: known, never answered.
    Expn,
    /// `HELO name`
    Helo(ClientName),
    /// `HELP [text]`
    Help,
    /// `MAIL FROM:<...> [parameters]`
    Mail(Mail),
    /// `NOOP [text]`
    Noop,
    /// `QUIT`
    Quit,
    /// `RCPT TO:<...> [parameters]`
    Rcpt(Rcpt),
    /// `RSET`
    Rset,
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `VRFY text`
    Vrfy,
}

/// `MAIL FROM`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Where failures go.
    pub reverse_path: ReversePath,
    /// `SIZE=`, octets (RFC 1870 §6).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152 §2).
    pub body: Body,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub charset: Charset,
    /// `REQUIRETLS` (RFC 8689 §2).
    pub require_tls: RequireTls,
    /// `RET=` (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// `ENVID=`, xtext still encoded (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// `AUTH=`, xtext still encoded. Nobody here believes it (RFC 4954 §5), so it goes no further.
    pub auth: Option<String>,
}

impl Mail {
    /// `MAIL FROM:<...>` without parameters.
    pub const fn from(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            size: None,
            body: Body::SevenBit,
            charset: Charset::Ascii,
            require_tls: RequireTls::No,
            ret: None,
            envelope_id: None,
            auth: None,
        }
    }
}

/// Whether `MAIL FROM` had `REQUIRETLS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTls {
    /// It had not.
    No,
    /// It had.
    Yes,
}

/// `RCPT TO`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// Never [`Path::Null`].
    pub to: Path,
    /// `NOTIFY=` (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=`, xtext still encoded (RFC 3461 §4.2).
    pub original: Option<String>,
}

/// Whether a chunk is the last one (RFC 3030 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// More chunks follow.
    No,
    /// `LAST`
    Yes,
}

/// The mechanisms that we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616
    Plain,
    /// Never standardised, but Outlook and many appliances know no other.
    Login,
}

/// What a client calls itself: a name or an address literal. Nothing is believed of it, but no
/// character of it can break the header field that will quote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Box<str>);

impl ClientName {
    /// Takes letters, digits and `-._:[]`, 1 to 255 octets. More than RFC 5321 §4.1.1.1 allows
    /// (real clients send underscores), and no more than a `Received` field can carry.
    ///
    /// # Errors
    /// Empty, too long, or another character.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if text.is_empty() || text.len() > address::MAX_DOMAIN || !text.bytes().all(fine) {
            return Err(CommandError::ClientName);
        }
        Ok(Self(text.into()))
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No command that we know.
    Unknown,
    /// A control character, or octets that are not UTF-8.
    Characters,
    /// EHLO or HELO without a usable name.
    ClientName,
    /// Arguments where none may be, or none where some have to be, or in the wrong form.
    Arguments(&'static str),
    /// `MAIL FROM:` with a bad address.
    Sender(AddressError),
    /// `RCPT TO:` with a bad address.
    Recipient(AddressError),
    /// A parameter that we did not offer (RFC 5321 §4.1.1.11).
    UnknownParameter,
    /// A parameter that we offer, with a bad value or twice.
    Parameter(&'static str),
    /// `BODY=BINARYMIME` (RFC 3030 §3): not offered.
    Binary,
    /// An AUTH mechanism that we do not offer.
    Mechanism,
}

impl CommandError {
    /// The reply code (RFC 5321 §4.2.3).
    pub const fn code(&self) -> u16 {
        match self {
            Self::Unknown | Self::Characters => 500,
            Self::ClientName | Self::Arguments(_) | Self::Parameter(_) => 501,
            Self::Sender(error) | Self::Recipient(error) => match error {
                AddressError::Literal | AddressError::NeedsUtf8 => 553,
                AddressError::Syntax
                | AddressError::NoDomain
                | AddressError::Local
                | AddressError::Domain
                | AddressError::TooLong => 501,
            },
            Self::UnknownParameter | Self::Binary => 555,
            Self::Mechanism => 504,
        }
    }

    /// The enhanced code (RFC 3463; 5.6.7 of RFC 6531 §3.5).
    pub const fn enhanced(&self) -> EnhancedCode {
        match self {
            Self::Unknown => EnhancedCode(5, 5, 1),
            Self::Characters => EnhancedCode(5, 5, 2),
            Self::ClientName
            | Self::Arguments(_)
            | Self::Parameter(_)
            | Self::UnknownParameter
            | Self::Mechanism => EnhancedCode(5, 5, 4),
            Self::Sender(AddressError::NeedsUtf8) | Self::Recipient(AddressError::NeedsUtf8) => {
                EnhancedCode(5, 6, 7)
            }
            Self::Sender(_) => EnhancedCode(5, 1, 7),
            Self::Recipient(AddressError::Literal) => EnhancedCode(5, 1, 2),
            Self::Recipient(_) => EnhancedCode(5, 1, 3),
            Self::Binary => EnhancedCode(5, 6, 1),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("command not recognised"),
            Self::Characters => f.write_str("control characters or broken UTF-8 in a command"),
            Self::ClientName => f.write_str("EHLO needs a host name or an address literal"),
            Self::Arguments(what) | Self::Parameter(what) => f.write_str(what),
            Self::Sender(error) | Self::Recipient(error) => error.fmt(f),
            Self::UnknownParameter => f.write_str("a parameter that was not offered"),
            Self::Binary => f.write_str("BINARYMIME is not offered; use 8BITMIME or base64"),
            Self::Mechanism => f.write_str("mechanism not offered; use PLAIN or LOGIN"),
        }
    }
}

impl std::error::Error for CommandError {}

/// Parses one line without its CRLF. `charset` is what MAIL FROM declared, for RCPT.
///
/// # Errors
/// Says what is wrong, with the reply code that belongs to it.
pub fn parse(line: &[u8], charset: Charset) -> Result<Command, CommandError> {
    let line = std::str::from_utf8(line).map_err(|_| CommandError::Characters)?;
    if line.chars().any(char::is_control) {
        return Err(CommandError::Characters);
    }
    // Trailing white space is to be tolerated (RFC 5321 §4.1.1).
    let line = line.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').map_or((line, None), |(verb, rest)| (verb, Some(rest)));
    let bare = |command| match rest {
        None => Ok(command),
        Some(_) => Err(CommandError::Arguments("this command takes no arguments")),
    };
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    if is("MAIL") {
        return mail(rest.unwrap_or_default()).map(Command::Mail);
    }
    if is("RCPT") {
        return rcpt(rest.unwrap_or_default(), charset).map(Command::Rcpt);
    }
    match verb.to_ascii_uppercase().as_str() {
        "AUTH" => auth(rest.unwrap_or_default()),
        "BDAT" => bdat(rest.unwrap_or_default()),
        "DATA" => bare(Command::Data),
        "EHLO" => ClientName::parse(rest.unwrap_or_default()).map(Command::Ehlo),
        "EXPN" => Ok(Command::Expn),
        "HELO" => ClientName::parse(rest.unwrap_or_default()).map(Command::Helo),
        "HELP" => Ok(Command::Help),
        "NOOP" => Ok(Command::Noop),
        "QUIT" => bare(Command::Quit),
        "RSET" => bare(Command::Rset),
        "STARTTLS" => bare(Command::StartTls),
        "VRFY" => Ok(Command::Vrfy),
        _ => Err(CommandError::Unknown),
    }
}

/// Takes `FROM:` or `TO:` from the front. No space may follow the colon (RFC 5321 §3.3).
fn keyword<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let (front, rest) = rest.split_at_checked(word.len())?;
    front.eq_ignore_ascii_case(word).then_some(rest)
}

fn mail(rest: &str) -> Result<Mail, CommandError> {
    let text =
        keyword(rest, "FROM:").ok_or(CommandError::Arguments("the form is MAIL FROM:<address>"))?;
    // The parameter that allows UTF-8 in the address stands behind it, so the address is read
    // generously first and judged when the parameters are known.
    let (path, rest) = address::path(text, Charset::Utf8).map_err(CommandError::Sender)?;
    let ascii = text.get(..text.len() - rest.len()).is_some_and(str::is_ascii);
    let reverse_path = match path {
        Path::Null => ReversePath::Null,
        Path::Mailbox(mailbox) => ReversePath::Mailbox(mailbox),
        Path::Postmaster => return Err(CommandError::Sender(AddressError::Domain)),
    };
    let mut mail = Mail::from(reverse_path);
    parameters::mail(rest, &mut mail)?;
    if !ascii && mail.charset == Charset::Ascii {
        return Err(CommandError::Sender(AddressError::NeedsUtf8));
    }
    Ok(mail)
}

fn rcpt(rest: &str, charset: Charset) -> Result<Rcpt, CommandError> {
    let text =
        keyword(rest, "TO:").ok_or(CommandError::Arguments("the form is RCPT TO:<address>"))?;
    let (to, rest) = address::path(text, charset).map_err(CommandError::Recipient)?;
    if to == Path::Null {
        return Err(CommandError::Recipient(AddressError::Syntax));
    }
    let mut rcpt = Rcpt { to, notify: None, original: None };
    parameters::rcpt(rest, charset, &mut rcpt)?;
    Ok(rcpt)
}

fn auth(rest: &str) -> Result<Command, CommandError> {
    let (name, initial) =
        rest.split_once(' ').map_or((rest, None), |(name, initial)| (name, Some(initial)));
    let mechanism = match name.to_ascii_uppercase().as_str() {
        "PLAIN" => Mechanism::Plain,
        "LOGIN" => Mechanism::Login,
        "" => return Err(CommandError::Arguments("AUTH needs a mechanism")),
        _ => return Err(CommandError::Mechanism),
    };
    if initial.is_some_and(|text| text.is_empty() || text.contains(' ')) {
        return Err(CommandError::Arguments("AUTH takes a mechanism and one initial response"));
    }
    Ok(Command::Auth { mechanism, initial: initial.map(str::to_owned) })
}

fn bdat(rest: &str) -> Result<Command, CommandError> {
    let malformed = CommandError::Arguments("the form is BDAT size [LAST]");
    let (size, last) = match rest.split_once(' ') {
        None => (rest, Last::No),
        Some((size, word)) if word.eq_ignore_ascii_case("LAST") => (size, Last::Yes),
        Some(_) => return Err(malformed),
    };
    let size = parameters::number(size).ok_or(malformed)?;
    Ok(Command::Bdat { size, last })
}

#[cfg(test)]
mod tests;
