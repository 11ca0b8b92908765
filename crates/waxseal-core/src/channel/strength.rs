//! TLS parameters of BSI TR-02102-2, which the floor `qualified` asks for: TLS 1.2 or 1.3 with
//! forward secrecy, its suites (§3.3.1, §3.4.4) and its groups (§3.3.2, §3.4.2).

use super::{Session, TlsVersion};

/// Suites with ECDHE or DHE, AES in an AEAD mode or CBC with SHA-2. ChaCha20 is not among them.
const SUITES: [&str; 23] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_CCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_CCM",
    "TLS_DHE_RSA_WITH_AES_256_CCM",
];

/// NIST and Brainpool curves from 256 bits, finite fields from 3000 bits, and hybrids of ML-KEM
/// with an elliptic curve (TR-02102-1 §2.4). X25519 alone is not among them.
const GROUPS: [&str; 14] = [
    "secp256r1",
    "secp384r1",
    "secp521r1",
    "brainpoolP256r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
    "brainpoolP256r1tls13",
    "brainpoolP384r1tls13",
    "brainpoolP512r1tls13",
    "ffdhe3072",
    "ffdhe4096",
    "X25519MLKEM768",
    "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024",
];

/// Whether TR-02102-2 lists this suite (IANA name).
pub fn lists_suite(name: &str) -> bool {
    SUITES.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

/// Whether TR-02102-2 lists this key exchange group (IANA name).
pub fn lists_group(name: &str) -> bool {
    GROUPS.iter().any(|listed| listed.eq_ignore_ascii_case(name))
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
