//! TLS parameters of BSI TR-02102-2, which the floor `qualified` asks for: TLS 1.2 or 1.3 with
//! forward secrecy, its suites and its groups. The lists are those that assessments use:
//! `guideline/bsi-tr-02102-2.toml`.

use super::{Session, TlsVersion};
use crate::guideline::{Grade, bsi};

/// Whether TR-02102-2 lists this suite (IANA name).
pub fn lists_suite(name: &str) -> bool {
    bsi().suite(name) == Grade::Good
}

/// Whether TR-02102-2 lists this key exchange group (IANA name).
pub fn lists_group(name: &str) -> bool {
    bsi().group(name) == Grade::Good
}

/// Whether the session has the parameters that `qualified` asks for.
///
/// # Errors
/// What falls short, in words. A group that was not recorded (a resumed TLS 1.2 session) falls
/// short too: a full handshake tells.
pub fn qualifies(session: &Session) -> Result<(), String> {
    match session.version {
        TlsVersion::V1_2 | TlsVersion::V1_3 => {}
    }
    if !lists_suite(&session.suite) {
        return Err(format!("TR-02102-2 does not list the suite {}", session.suite));
    }
    match &session.group {
        Some(group) if lists_group(group) => Ok(()),
        Some(group) => Err(format!("TR-02102-2 does not list the group {group}")),
        None => Err("the key exchange group is not known".into()),
    }
}
