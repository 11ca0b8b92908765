//! Keys and signatures of the lab's zones.

use anyhow::{Context, Result};
use aws_lc_rs::{
    digest,
    encoding::AsDer,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    },
};

use super::{
    Name,
    record::rtype,
    record::{Rr, RrSet},
};

/// DNSSEC signature algorithms that the lab can sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// 8, RSA/SHA-256 with 2048 bits (RFC 5702).
    RsaSha256,
    /// 10, RSA/SHA-512 with 2048 bits (RFC 5702).
    RsaSha512,
    /// 13, ECDSA P-256 with SHA-256 (RFC 6605).
    P256,
    /// 14, ECDSA P-384 with SHA-384 (RFC 6605).
    P384,
    /// 15, Ed25519 (RFC 8080).
    Ed25519,
    /// Any number that a validator does not know; signatures are noise.
    Unknown(u8),
}

impl Algorithm {
    /// Its number in the IANA registry.
    pub const fn number(self) -> u8 {
        match self {
            Self::RsaSha256 => 8,
            Self::RsaSha512 => 10,
            Self::P256 => 13,
            Self::P384 => 14,
            Self::Ed25519 => 15,
            Self::Unknown(number) => number,
        }
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Noise,
}

/// One key of a zone.
pub(super) struct Key {
    algorithm: Algorithm,
    pair: Pair,
    dnskey: Vec<u8>,
}

/// The zone key flag with and without SEP (RFC 4034 §2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    Sep,
    Zone,
}

impl Key {
    pub(super) fn generate(algorithm: Algorithm, flags: Flags) -> Result<Self> {
        let (pair, public) = match algorithm {
            Algorithm::RsaSha256 | Algorithm::RsaSha512 => {
                let pair = RsaKeyPair::generate(rsa::KeySize::Rsa2048)?;
                let public = rsa_public(&pair)?;
                (Pair::Rsa(pair), public)
            }
            Algorithm::P256 | Algorithm::P384 => {
                let curve = if algorithm == Algorithm::P256 {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let pair = EcdsaKeyPair::generate(curve)?;
                // RFC 6605 §4: without the octet that says "uncompressed".
                let public = pair.public_key().as_ref().get(1..).context("a point")?.to_vec();
                (Pair::Ecdsa(pair), public)
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate()?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), public)
            }
            Algorithm::Unknown(_) => (Pair::Noise, vec![0x5a; 57]),
        };
        let flags: u16 = match flags {
            Flags::Sep => 257,
            Flags::Zone => 256,
        };
        let head = [flags.to_be_bytes().as_slice(), &[3, algorithm.number()]].concat();
        Ok(Self { algorithm, pair, dnskey: [head, public].concat() })
    }

    pub(super) fn dnskey(&self) -> &[u8] {
        &self.dnskey
    }

    /// RFC 4034 appendix B.
    pub(super) fn tag(&self) -> u16 {
        key_tag(&self.dnskey)
    }

    /// DS record data (RFC 4034 §5.1.4) with digest type 1, 2 or 4; any other type gets noise.
    pub(super) fn ds(&self, owner: &Name, digest_type: u8) -> Vec<u8> {
        let data = [owner.wire(), self.dnskey.clone()].concat();
        let hash = match digest_type {
            1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            2 => Some(&digest::SHA256),
            4 => Some(&digest::SHA384),
            _ => None,
        };
        let digest = hash
            .map_or_else(|| vec![0xa5; 32], |hash| digest::digest(hash, &data).as_ref().to_vec());
        let mut out = self.tag().to_be_bytes().to_vec();
        out.extend([self.algorithm.number(), digest_type]);
        out.extend(digest);
        out
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Rsa(pair) => {
                let padding = if self.algorithm == Algorithm::RsaSha256 {
                    &RSA_PKCS1_SHA256
                } else {
                    &RSA_PKCS1_SHA512
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, data, &mut signature)?;
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, data)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(data).as_ref().to_vec(),
            Pair::Noise => vec![0x5a; 114],
        })
    }

    /// The RRSIG of `set` at `owner`, a wildcard included (RFC 4034 §3.1).
    pub(super) fn rrsig(
        &self,
        zone: &Name,
        (owner, rtype): (&Name, u16),
        set: &RrSet,
        (inception, expiration): (u32, u32),
    ) -> Result<Rr> {
        let labels = owner.len() - usize::from(owner.is_wildcard());
        let mut rdata = rtype.to_be_bytes().to_vec();
        rdata.extend([self.algorithm.number(), u8::try_from(labels)?]);
        rdata.extend(set.ttl.to_be_bytes());
        rdata.extend(expiration.to_be_bytes());
        rdata.extend(inception.to_be_bytes());
        rdata.extend(self.tag().to_be_bytes());
        rdata.extend(zone.wire());
        let mut data = rdata.clone();
        for rr in set.records(owner, rtype) {
            data.extend(owner.wire());
            data.extend(rtype.to_be_bytes());
            data.extend(1u16.to_be_bytes());
            data.extend(set.ttl.to_be_bytes());
            data.extend(u16::try_from(rr.rdata.len())?.to_be_bytes());
            data.extend(rr.rdata);
        }
        rdata.extend(self.sign(&data)?);
        Ok(Rr { owner: owner.clone(), rtype: rtype::RRSIG, ttl: set.ttl, rdata })
    }
}

/// RFC 4034 appendix B.
pub(super) fn key_tag(dnskey: &[u8]) -> u16 {
    let mut sum = 0u32;
    for (index, octet) in dnskey.iter().enumerate() {
        sum += if index % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) };
    }
    sum += sum >> 16;
    u16::try_from(sum & 0xffff).unwrap_or_default()
}

/// RFC 3110 §2 from the DER of an RSAPublicKey: exponent 65537 and a modulus of 2048 bits.
fn rsa_public(pair: &RsaKeyPair) -> Result<Vec<u8>> {
    let der = AsDer::as_der(pair.public_key())?;
    // SubjectPublicKeyInfo ends with INTEGER modulus, INTEGER 65537 (02 03 01 00 01).
    let modulus_end = der.as_ref().len().checked_sub(5).context("an RSA key")?;
    let modulus = der.as_ref().get(modulus_end - 256..modulus_end).context("an RSA modulus")?;
    Ok([&[3, 1, 0, 1], modulus].concat())
}

/// RFC 5155 §5.
pub(super) fn nsec3_hash(name: &Name, iterations: u16, salt: &[u8]) -> Vec<u8> {
    let sha1 =
        |data: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec();
    let mut hash = sha1(&[name.wire().as_slice(), salt].concat());
    for _ in 0..iterations {
        hash = sha1(&[hash.as_slice(), salt].concat());
    }
    hash
}

/// Base 32 with the extended hex alphabet, without padding (RFC 4648 §7).
pub(super) fn base32hex(bytes: &[u8]) -> String {
    let bit = |n: usize| bytes.get(n / 8).is_some_and(|octet| octet & (0x80 >> (n % 8)) != 0);
    (0..bytes.len() * 8)
        .step_by(5)
        .map(|start| {
            let value = (start..start + 5).fold(0u8, |sum, n| sum * 2 + u8::from(bit(n)));
            char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 })
        })
        .collect()
}
