//! SASL over SMTP: `PLAIN` (RFC 4616) and `LOGIN`, decoded (RFC 4954).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// A user name or password, octets: more is no password but an attack on the hash.
const MAX_PART: usize = 255;

/// A name and a password that have to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who the client says it is.
    pub user: String,
    /// Wiped when dropped.
    pub password: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The response is not what the mechanism asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// `[authzid] NUL authcid NUL passwd` in base64 (RFC 4616 §2). An authorization identity other
/// than the authenticated one is refused: nobody acts for another here.
///
/// # Errors
/// Not base64, or not these three parts.
pub fn plain(response: &[u8]) -> Result<Credentials, Malformed> {
    let decoded = decode(response)?;
    let mut parts = decoded.split(|b| *b == 0);
    let (Some(authorize), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed);
    };
    if !authorize.is_empty() && authorize != user {
        return Err(Malformed);
    }
    Ok(Credentials { user: name(user)?, password: secret(password)? })
}

/// The first response of `LOGIN`: the user name in base64.
///
/// # Errors
/// Not base64, or no name.
pub fn login_user(response: &[u8]) -> Result<String, Malformed> {
    name(&decode(response)?)
}

/// The second response of `LOGIN`: the password in base64.
///
/// # Errors
/// Not base64, or empty.
pub fn login_password(response: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    secret(&decode(response)?)
}

fn decode(response: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // `=` stands for an empty initial response (RFC 4954 §4).
    if response == b"=" {
        return Ok(Zeroizing::default());
    }
    STANDARD.decode(response).map(Zeroizing::new).map_err(|_| Malformed)
}

fn name(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    let fine = !text.is_empty() && text.len() <= MAX_PART && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned()).ok_or(Malformed)
}

fn secret(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let fine = (1..=MAX_PART).contains(&bytes.len());
    fine.then(|| Zeroizing::new(bytes.to_vec())).ok_or(Malformed)
}

#[cfg(test)]
mod tests;
