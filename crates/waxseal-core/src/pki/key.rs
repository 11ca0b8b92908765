//! How strong a certificate's key and signature are (RFC 3279, RFC 4055, RFC 5480, RFC 8410).

use std::fmt;

use x509_cert::{
    der::{
        Decode, Reader, SliceReader,
        asn1::{ObjectIdentifier, UintRef},
    },
    spki::AlgorithmIdentifierRef,
};

use super::{
    Certificate, Fault,
    read::{content, key_and_algorithm},
};

/// The key of a certificate, as far as its strength goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA with a modulus of so many bits (RFC 3279).
    Rsa(u32),
    /// A named curve, by its TLS name where it has one (RFC 5480).
    Ec(String),
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Another algorithm, by its object identifier.
    Other(String),
}

/// The hash below a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// MD2 or MD5: forged certificates exist.
    Md5,
    /// SHA-1: collisions can be bought.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, also the one inside Ed25519 (RFC 8032).
    Sha512,
}

impl Hash {
    /// As guidelines write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA with {bits} bits"),
            Self::Ec(curve) => write!(f, "ECDSA on {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(oid) => write!(f, "an unknown algorithm ({oid})"),
        }
    }
}

const CURVES: [(&str, &str); 9] = [
    ("1.2.840.10045.3.1.7", "secp256r1"),
    ("1.3.132.0.34", "secp384r1"),
    ("1.3.132.0.35", "secp521r1"),
    ("1.3.132.0.33", "secp224r1"),
    ("1.2.840.10045.3.1.1", "secp192r1"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
];

const SIGNATURES: [(&str, Hash); 13] = [
    ("1.2.840.113549.1.1.2", Hash::Md5),
    ("1.2.840.113549.1.1.4", Hash::Md5),
    ("1.2.840.113549.1.1.5", Hash::Sha1),
    ("1.2.840.113549.1.1.14", Hash::Sha224),
    ("1.2.840.113549.1.1.11", Hash::Sha256),
    ("1.2.840.113549.1.1.12", Hash::Sha384),
    ("1.2.840.113549.1.1.13", Hash::Sha512),
    ("1.2.840.10045.4.1", Hash::Sha1),
    ("1.2.840.10045.4.3.1", Hash::Sha224),
    ("1.2.840.10045.4.3.2", Hash::Sha256),
    ("1.2.840.10045.4.3.3", Hash::Sha384),
    ("1.2.840.10045.4.3.4", Hash::Sha512),
    ("1.3.101.112", Hash::Sha512),
];

/// Hashes by themselves, as RSASSA-PSS names them in its parameters (RFC 4055 §3.1).
const HASHES: [(&str, Hash); 5] = [
    ("1.3.14.3.2.26", Hash::Sha1),
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224),
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
];

const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";

impl Certificate<'_> {
    /// Its key.
    ///
    /// # Errors
    /// A key that cannot be read.
    pub fn public_key(&self) -> Result<PublicKey, Fault> {
        let odd = || Fault::Unreadable("its public key".into());
        let (algorithm, key) = key_and_algorithm(self.public_key_info()).ok_or_else(odd)?;
        let mut parts = SliceReader::new(algorithm).map_err(|_| odd())?;
        let oid = ObjectIdentifier::decode(&mut parts).map_err(|_| odd())?.to_string();
        match oid.as_str() {
            RSA | RSA_PSS => bits(key).map(PublicKey::Rsa).ok_or_else(odd),
            EC => {
                let curve = ObjectIdentifier::decode(&mut parts).map_err(|_| odd())?.to_string();
                let named = CURVES.iter().find(|(oid, _)| *oid == curve);
                Ok(PublicKey::Ec(named.map_or(curve, |(_, name)| (*name).to_owned())))
            }
            ED25519 => Ok(PublicKey::Ed25519),
            _ => Ok(PublicKey::Other(oid)),
        }
    }

    /// The hash that its issuer signed; `None` for algorithms that we do not know.
    pub fn signature_hash(&self) -> Option<Hash> {
        let mut parts = SliceReader::new(self.signature().0).ok()?;
        let oid = ObjectIdentifier::decode(&mut parts).ok()?.to_string();
        if oid == RSA_PSS {
            return pss_hash(&mut parts);
        }
        SIGNATURES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
    }
}

/// Bits of the modulus in an RSAPublicKey (RFC 8017).
fn bits(key: &[u8]) -> Option<u32> {
    let mut parts = SliceReader::new(content(key).ok()?).ok()?;
    let modulus = UintRef::decode(&mut parts).ok()?;
    let bytes = modulus.as_bytes();
    let first = bytes.first()?;
    u32::try_from(bytes.len()).ok()?.checked_mul(8)?.checked_sub(first.leading_zeros())
}

/// The hash in RSASSA-PSS-params; SHA-1 where it is left out (RFC 4055 §3.1).
fn pss_hash(parts: &mut SliceReader<'_>) -> Option<Hash> {
    let mut inside = SliceReader::new(content(parts.tlv_bytes().ok()?).ok()?).ok()?;
    if inside.is_finished() {
        return Some(Hash::Sha1);
    }
    let first = inside.tlv_bytes().ok()?;
    if first.first() != Some(&0xa0) {
        return Some(Hash::Sha1);
    }
    let oid = AlgorithmIdentifierRef::from_der(content(first).ok()?).ok()?.oid.to_string();
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}
