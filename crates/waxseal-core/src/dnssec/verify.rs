//! The cryptography: digests of keys, and signatures. Everything else in this folder is logic.

use std::{collections::HashSet, sync::Mutex};

use aws_lc_rs::{
    digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519,
        RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY as RSA_SHA256,
        RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY as RSA_SHA512, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey,
    },
};

/// How many signatures that held are remembered (40 octets each).
const MOST_REMEMBERED: usize = 65_536;

/// The signature algorithms that we can check. Zones that are signed with others only count as
/// unsigned (RFC 4035 §5.2). SHA-1 is among these others: operators have to treat RSASHA1 and
/// RSASHA1-NSEC3-SHA1 as unsupported (RFC 9905 §2). So is Ed448 (16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// 8, RFC 5702 §3.1
    RsaSha256,
    /// 10, RFC 5702 §3.2
    RsaSha512,
    /// 13, RFC 6605 §4
    P256,
    /// 14, RFC 6605 §4
    P384,
    /// 15, RFC 8080 §4
    Ed25519,
}

impl Algorithm {
    /// By its number in the registry of RFC 8624 §3.1.
    pub(super) const fn of(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::RsaSha256),
            10 => Some(Self::RsaSha512),
            13 => Some(Self::P256),
            14 => Some(Self::P384),
            15 => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// Whether `signature` over `octets` holds under the public key of a DNSKEY record.
    pub(super) fn holds(self, public: &[u8], octets: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::RsaSha256 => rsa_holds(&RSA_SHA256, public, octets, signature),
            Self::RsaSha512 => rsa_holds(&RSA_SHA512, public, octets, signature),
            Self::P256 => {
                public.len() == 64 && {
                    let point = uncompressed(public);
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                        .verify(octets, signature)
                        .is_ok()
                }
            }
            Self::P384 => {
                public.len() == 96 && {
                    let point = uncompressed(public);
                    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                        .verify(octets, signature)
                        .is_ok()
                }
            }
            Self::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, public).verify(octets, signature).is_ok()
            }
        }
    }
}

/// DNSKEY holds the bare coordinates (RFC 6605 §4).
fn uncompressed(coordinates: &[u8]) -> Vec<u8> {
    [&[4], coordinates].concat()
}

/// RFC 3110 §2: exponent length in one octet, or zero and two octets; exponent; modulus.
fn rsa_holds(how: &'static RsaParameters, public: &[u8], octets: &[u8], signature: &[u8]) -> bool {
    let parts = || {
        let (&first, rest) = public.split_first()?;
        let (length, rest) = if first == 0 {
            let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes([high, low])), rest)
        } else {
            (usize::from(first), rest)
        };
        let (exponent, modulus) = rest.split_at_checked(length)?;
        // Leading zeros are forbidden in both; the library is strict, we are not.
        Some((trim_zeros(exponent), trim_zeros(modulus)))
    };
    let Some((e, n)) = parts() else { return false };
    if e.is_empty() || n.is_empty() {
        return false;
    }
    RsaPublicKeyComponents { n, e }.verify(how, octets, signature).is_ok()
}

fn trim_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|&octet| octet != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

/// The digest type that counts only where there is no better one (RFC 4509 §3).
pub(super) const DS_SHA1: u8 = 1;

/// The digest of a DS record's type over `octets`; `None` for types that we do not take, such as
/// GOST (3, RFC 8624 §3.3). SHA-1 is for validators only (RFC 9905 §5): whoever could use it against a
/// zone needs a second preimage, not a collision.
pub(super) fn ds_digest(digest_type: u8, octets: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match digest_type {
        DS_SHA1 => &SHA1_FOR_LEGACY_USE_ONLY,
        2 => &SHA256,
        4 => &SHA384,
        _ => return None,
    };
    Some(digest::digest(algorithm, octets).as_ref().to_vec())
}

/// Signatures that held once, so that the same chain is not computed again for the next name.
/// Only successes are kept, under a digest of all that went into them; a memo changes how long
/// a validation takes, never what it says.
#[derive(Debug, Default)]
pub struct Memo(Mutex<HashSet<[u8; 32]>>);

impl Memo {
    /// A memo that remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Like [`Algorithm::holds`].
    pub(super) fn holds(
        &self,
        (number, algorithm): (u8, Algorithm),
        public: &[u8],
        octets: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = fingerprint(number, [public, octets, signature]);
        if self.0.lock().is_ok_and(|seen| seen.contains(&key)) {
            return true;
        }
        let holds = algorithm.holds(public, octets, signature);
        if holds && let Ok(mut seen) = self.0.lock() {
            if seen.len() >= MOST_REMEMBERED {
                seen.clear();
            }
            seen.insert(key);
        }
        holds
    }
}

fn fingerprint(number: u8, parts: [&[u8]; 3]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    context.update(&[number]);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    key
}
