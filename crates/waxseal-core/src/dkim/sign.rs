//! Our own signature under reports and notices (RFC 6376 §5, RFC 8463 §3).

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer, PublicKeyX509Der},
    rand::SecureRandom,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::canon::{self, Form};
use crate::{domain::Domain, time::UnixTime};

/// Fields that are signed where they are there; From twice, so that none can be added (§8.15).
const SIGNED: [&str; 10] = [
    "from",
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "auto-submitted",
    "tls-required",
];

/// A key and the name under which its public half is in DNS.
pub struct Signer {
    domain: Domain,
    selector: Domain,
    /// `selector._domainkey.domain`
    name: Domain,
    key: SigningKey,
}

enum SigningKey {
    Rsa { pair: Box<RsaKeyPair>, public: PublicKeyX509Der<'static> },
    Ed25519(Box<Ed25519KeyPair>),
}

/// Why a key cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerError {
    /// Neither Ed25519 nor RSA of at least 2048 bits, in PKCS #8.
    Kind,
    /// Selector and domain make a name that is too long for DNS.
    Name,
    /// The library refused.
    Failed,
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "not an Ed25519 key, nor an RSA key of 2048 bits or more, in PKCS #8",
            Self::Name => "selector and domain make a name that is too long",
            Self::Failed => "the message could not be signed",
        })
    }
}

impl std::error::Error for SignerError {}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

impl Signer {
    /// From a key in PKCS #8 (DER).
    ///
    /// # Errors
    /// It is of another kind.
    pub fn new(domain: Domain, selector: Domain, pkcs8: &[u8]) -> Result<Self, SignerError> {
        let name =
            domain.below(&format!("{selector}._domainkey")).map_err(|_| SignerError::Name)?;
        let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Box::new);
        let key = match ed25519 {
            Ok(key) => SigningKey::Ed25519(key),
            Err(_) => match RsaKeyPair::from_pkcs8(pkcs8) {
                Ok(pair) if pair.public_modulus_len() >= 256 => SigningKey::Rsa {
                    public: pair.public_key().as_der().map_err(|_| SignerError::Failed)?,
                    pair: Box::new(pair),
                },
                Ok(_) | Err(_) => return Err(SignerError::Kind),
            },
        };
        Ok(Self { domain, selector, name, key })
    }

    /// Where [`Self::record`] has to stand: `selector._domainkey.domain` (RFC 6376 §3.6.2.1).
    pub const fn name(&self) -> &Domain {
        &self.name
    }

    /// The TXT record for DNS. RSA keys as SubjectPublicKeyInfo, which every verifier reads, though
    /// RFC 6376 §3.6.1 speaks of RSAPublicKey; Ed25519 keys bare (RFC 8463 §4).
    pub fn record(&self) -> String {
        let (kind, public) = match &self.key {
            SigningKey::Ed25519(key) => ("ed25519", STANDARD.encode(key.public_key())),
            SigningKey::Rsa { public, .. } => ("rsa", STANDARD.encode(public.as_ref())),
        };
        format!("v=DKIM1; k={kind}; p={public}")
    }

    /// The message with our signature in front. `random` only blinds RSA.
    ///
    /// # Errors
    /// The library refused.
    pub fn sign(
        &self,
        message: &[u8],
        now: UnixTime,
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, SignerError> {
        let (fields, body) = canon::split(message);
        let hash = digest(&SHA256, &canon::body(body, Form::Relaxed));
        let name = |field: &&[u8]| canon::name_and_value(field).map(|(name, _)| name);
        let names: Vec<_> = fields.iter().map(name).collect();
        let has = |wanted: &&&str| names.iter().any(|name| name.as_deref() == Some(**wanted));
        let signed: Vec<&str> = SIGNED.iter().filter(has).copied().collect();
        let algorithm = match &self.key {
            SigningKey::Ed25519(_) => "ed25519-sha256",
            SigningKey::Rsa { .. } => "rsa-sha256",
        };
        let head = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed; d={}; s={}; t={};\r\n \
             h={};\r\n bh={};\r\n b=",
            self.domain,
            self.selector,
            now.0,
            signed.join(":"),
            STANDARD.encode(hash)
        );
        let mut octets = Vec::new();
        let mut taken: Vec<&str> = Vec::new();
        for wanted in signed {
            let before = taken.iter().filter(|other| **other == wanted).count();
            taken.push(wanted);
            let mut same =
                fields.iter().rev().filter(|field| name(field).as_deref() == Some(wanted));
            if let Some(field) = same.nth(before) {
                octets.extend(canon::header(field, Form::Relaxed));
            }
        }
        let own = canon::header(head.as_bytes(), Form::Relaxed);
        octets.extend(own.strip_suffix(b"\r\n").unwrap_or(&own));
        let signature = self.signature(&octets, random)?;
        let mut whole = head.into_bytes();
        for (nth, line) in STANDARD.encode(signature).as_bytes().chunks(72).enumerate() {
            whole.extend_from_slice(if nth == 0 { b"" } else { b"\r\n " });
            whole.extend_from_slice(line);
        }
        whole.extend(b"\r\n");
        whole.extend_from_slice(message);
        Ok(whole)
    }

    fn signature(&self, octets: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, SignerError> {
        match &self.key {
            SigningKey::Ed25519(key) => {
                Ok(key.sign(digest(&SHA256, octets).as_ref()).as_ref().to_vec())
            }
            SigningKey::Rsa { pair: key, .. } => {
                let mut signature = vec![0; key.public_modulus_len()];
                // PKCS #1 v1.5 is deterministic: the source of randomness is only blinding.
                key.sign(&RSA_PKCS1_SHA256, random, octets, &mut signature)
                    .map_err(|_| SignerError::Failed)?;
                Ok(signature)
            }
        }
    }
}
