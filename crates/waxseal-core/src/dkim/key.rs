//! Public keys in DNS (RFC 6376 §3.6.1, RFC 8463 §4).

use aws_lc_rs::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::fault::Fault;

/// The kind of a key; the hash is always SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rsa,
    Ed25519,
}

/// A key record that may be used.
#[derive(Debug)]
pub(super) struct Key {
    algorithm: Algorithm,
    public: Vec<u8>,
    /// `t=s`: the identity has to be in exactly this domain.
    pub(super) strict: Strict,
}

/// Whether subdomains count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    Yes,
    No,
}

/// The tags of a list (§3.2); `None` where a tag stands twice or has no `=`.
pub(super) fn tags(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for tag in text.split(';').filter(|tag| !tag.trim().is_empty()) {
        let (name, value) = tag.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if found.iter().any(|(known, _)| *known == name) || found.len() > 30 {
            return None;
        }
        found.push((name, value));
    }
    Some(found)
}

/// The value of a tag.
pub(super) fn tag<'a>(tags: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    tags.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Base64 with white space in it.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(dense).ok()
}

impl Key {
    pub(super) fn parse(record: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(record).map_err(|_| Fault::Key("is not text"))?;
        let tags = tags(text).ok_or(Fault::Key("is no tag list"))?;
        if tag(&tags, "v").is_some_and(|version| version != "DKIM1") {
            return Err(Fault::Key("has another version"));
        }
        let list = |name: &str| tag(&tags, name).map(|value| value.split(':').map(str::trim));
        if list("h").is_some_and(|mut hashes| !hashes.any(|hash| hash == "sha256")) {
            return Err(Fault::Key("does not allow SHA-256"));
        }
        if list("s").is_some_and(|mut services| !services.any(|s| s == "*" || s == "email")) {
            return Err(Fault::Key("is not for mail"));
        }
        if list("t").is_some_and(|mut flags| flags.any(|flag| flag == "y")) {
            return Err(Fault::Key("is in testing mode"));
        }
        let strict = list("t").is_some_and(|mut flags| flags.any(|flag| flag == "s"));
        let algorithm = match tag(&tags, "k").unwrap_or("rsa") {
            "rsa" => Algorithm::Rsa,
            "ed25519" => Algorithm::Ed25519,
            _ => return Err(Fault::Key("is of an unknown kind")),
        };
        let public = tag(&tags, "p").and_then(base64).ok_or(Fault::Key("has no key in it"))?;
        if public.is_empty() {
            return Err(Fault::Key("was revoked"));
        }
        let strict = if strict { Strict::Yes } else { Strict::No };
        Ok(Self { algorithm, public, strict })
    }

    /// Whether a signature over these octets holds. For Ed25519 the octets are the hash
    /// (RFC 8463 §3).
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match (self.algorithm, algorithm) {
            (Algorithm::Rsa, Algorithm::Rsa) => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public)
                    .verify(signed, signature)
                    .is_ok()
            }
            (Algorithm::Ed25519, Algorithm::Ed25519) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed);
                let key = UnparsedPublicKey::new(&ED25519, &self.public);
                key.verify(hash.as_ref(), signature).is_ok()
            }
            (Algorithm::Rsa, Algorithm::Ed25519) | (Algorithm::Ed25519, Algorithm::Rsa) => false,
        }
    }
}
