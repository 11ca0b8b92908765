//! `keyword=value` behind the address (RFC 5321 §4.1.2 `esmtp-param`).

use crate::{
    envelope::{Body, Charset, Notify, Return},
    smtp::address,
};

use super::{CommandError, Mail, Rcpt, RequireTls};

/// `ENVID=`, characters (RFC 3461 §4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// `ORCPT=`, characters (RFC 3461 §4.2).
const MAX_ORIGINAL: usize = 500;
/// More than we know of are not parameters but an attack on the parser.
const MAX_PARAMETERS: usize = 16;

/// Splits at spaces; the first token has to be empty, because a space follows the path.
fn split(rest: &str) -> Result<impl Iterator<Item = (&str, Option<&str>)>, CommandError> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(CommandError::Arguments("a space has to follow the address"));
    }
    let words = || rest.split(' ').filter(|word| !word.is_empty());
    if words().count() > MAX_PARAMETERS {
        return Err(CommandError::Parameter("too many parameters"));
    }
    Ok(words().map(|word| match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    }))
}

/// Puts a value into its place, once.
fn once<T>(
    place: &mut Option<T>,
    value: Option<T>,
    what: &'static str,
) -> Result<(), CommandError> {
    let value = value.ok_or(CommandError::Parameter(what))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CommandError::Parameter("a parameter stands there twice")),
    }
}

fn flag(value: Option<&str>) -> Option<()> {
    value.is_none().then_some(())
}

pub(super) fn mail(rest: &str, mail: &mut Mail) -> Result<(), CommandError> {
    let (mut body, mut utf8, mut require_tls) = (None, None, None);
    for (name, value) in split(rest)? {
        let text = value.unwrap_or_default();
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => once(&mut mail.size, number(text), "SIZE= takes a number of octets")?,
            "BODY" if text.eq_ignore_ascii_case("BINARYMIME") => return Err(CommandError::Binary),
            "BODY" => once(&mut body, body_kind(text), "BODY= takes 7BIT or 8BITMIME")?,
            "SMTPUTF8" => once(&mut utf8, flag(value), "SMTPUTF8 takes no value")?,
            "REQUIRETLS" => once(&mut require_tls, flag(value), "REQUIRETLS takes no value")?,
            "RET" => once(&mut mail.ret, ret(text), "RET= takes FULL or HDRS")?,
            "ENVID" => {
                let id = xtext(text, MAX_ENVELOPE_ID).map(str::to_owned);
                once(&mut mail.envelope_id, id, "ENVID= takes up to 100 characters of xtext")?;
            }
            "AUTH" => once(&mut mail.auth, identity(text), "AUTH= takes an address or <>")?,
            _ => return Err(CommandError::UnknownParameter),
        }
    }
    mail.body = body.unwrap_or_default();
    mail.charset = if utf8.is_some() { Charset::Utf8 } else { Charset::Ascii };
    mail.require_tls = if require_tls.is_some() { RequireTls::Yes } else { RequireTls::No };
    Ok(())
}

pub(super) fn rcpt(rest: &str, charset: Charset, rcpt: &mut Rcpt) -> Result<(), CommandError> {
    for (name, value) in split(rest)? {
        let text = value.unwrap_or_default();
        match name.to_ascii_uppercase().as_str() {
            "NOTIFY" => {
                let what = "NOTIFY= takes NEVER, or SUCCESS, FAILURE and DELAY";
                once(&mut rcpt.notify, notify(text), what)?;
            }
            "ORCPT" => {
                let original = original(text, charset).map(str::to_owned);
                once(&mut rcpt.original, original, "ORCPT= takes type;address in xtext")?;
            }
            _ => return Err(CommandError::UnknownParameter),
        }
    }
    Ok(())
}

/// 1 to 20 digits (RFC 1870 §4; the same for BDAT, RFC 3030 §2).
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn body_kind(text: &str) -> Option<Body> {
    match text.to_ascii_uppercase().as_str() {
        "7BIT" => Some(Body::SevenBit),
        "8BITMIME" => Some(Body::EightBit),
        _ => None,
    }
}

fn ret(text: &str) -> Option<Return> {
    match text.to_ascii_uppercase().as_str() {
        "FULL" => Some(Return::Full),
        "HDRS" => Some(Return::Headers),
        _ => None,
    }
}

/// RFC 3461 §4.1: `NEVER` alone, or a list without doubles.
fn notify(text: &str) -> Option<Notify> {
    if text.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in text.split(',') {
        let place = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut success,
            "FAILURE" => &mut failure,
            "DELAY" => &mut delay,
            _ => return None,
        };
        if std::mem::replace(place, true) {
            return None;
        }
    }
    Some(Notify::On { success, failure, delay })
}

/// `addr-type ";" xtext` (RFC 3461 §4.2); with SMTPUTF8 also the UTF-8 forms of RFC 6533 §3.
fn original(text: &str, charset: Charset) -> Option<&str> {
    let (kind, address) = text.split_once(';')?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if kind.is_empty() || !kind.bytes().all(atom) || text.len() > MAX_ORIGINAL {
        return None;
    }
    let utf8 = kind.eq_ignore_ascii_case("utf-8");
    if utf8 && charset == Charset::Utf8 && !address.is_ascii() {
        let fine = |c: char| c != '+' && c != '=' && c != ' ' && !c.is_control();
        return address.chars().all(fine).then_some(text);
    }
    (!address.is_empty() && xtext(address, MAX_ORIGINAL).is_some()).then_some(text)
}

/// `AUTH=` of MAIL FROM (RFC 4954 §5): `<>`, or an address in xtext.
fn identity(text: &str) -> Option<String> {
    if text == "<>" {
        return Some(text.to_owned());
    }
    let decoded = decode_xtext(text, address::MAX_PATH)?;
    address::mailbox(&decoded, Charset::Ascii).ok()?;
    Some(text.to_owned())
}

/// `xtext` (RFC 3461 §4): printable ASCII but `+` and `=`, or `+` and two upper-case hex digits.
/// What it encodes has to be printable too: it ends in reports that people and programs read.
fn xtext(text: &str, longest: usize) -> Option<&str> {
    decode_xtext(text, longest).map(|_| text)
}

fn decode_xtext(text: &str, longest: usize) -> Option<String> {
    if text.is_empty() || text.len() > longest {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    let mut decoded = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => digit(bytes.next()?)? * 16 + digit(bytes.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        };
        if !matches!(byte, b' '..=b'~') {
            return None;
        }
        decoded.push(char::from(byte));
    }
    Some(decoded)
}
