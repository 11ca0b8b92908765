//! DKIM key records (RFC 6376 §3.6.1, RFC 8463).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use x509_cert::{
    der::{Decode, Reader as _, SliceReader, asn1::UintRef},
    spki::{ObjectIdentifier, SubjectPublicKeyInfoRef},
};

use super::{DkimKey, tags::Tags};

/// rsaEncryption
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Reads a key record.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(record: &[u8]) -> Result<DkimKey, String> {
    let text = std::str::from_utf8(record).map_err(|_| "it is not ASCII".to_owned())?;
    let tags = Tags::read(text)?;
    if tags.value("v").is_some_and(|version| version != "DKIM1") {
        return Err("its version is not DKIM1".into());
    }
    let algorithm = tags.value("k").unwrap_or("rsa").to_ascii_lowercase();
    let testing = tags
        .value("t")
        .is_some_and(|flags| flags.split(':').any(|flag| flag.trim().eq_ignore_ascii_case("y")));
    usable(&tags)?;
    let Some(key) = tags.value("p") else { return Err("it has no `p=`, so no key".into()) };
    let key: String = key.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if key.is_empty() {
        return Ok(DkimKey { algorithm, bits: 0, revoked: true, testing, digest: None });
    }
    let key = STANDARD.decode(&key).map_err(|_| "its key is not base64".to_owned())?;
    let (bits, digest) = match algorithm.as_str() {
        "rsa" => rsa(&key).ok_or("its key is no RSA key")?,
        "ed25519" if key.len() == 32 => (256, hexadecimal(&key)),
        "ed25519" => return Err("its key has not the 32 octets of Ed25519".into()),
        _ => return Err("its key is of a kind that nobody defined".into()),
    };
    Ok(DkimKey { algorithm, bits, revoked: false, testing, digest: Some(digest) })
}

/// What makes verifiers pass over the key of a record, whatever it is (RFC 6376 §3.6.1, RFC 8301 §3.1).
fn usable(tags: &Tags<'_>) -> Result<(), String> {
    let lists = |name: &str, wanted: &[&str]| {
        tags.value(name).is_none_or(|list| {
            list.split(':').any(|one| wanted.iter().any(|w| one.trim().eq_ignore_ascii_case(w)))
        })
    };
    if !lists("h", &["sha256"]) {
        return Err("its `h=` does not allow SHA-256, so that no signature counts".into());
    }
    if !lists("s", &["*", "email"]) {
        return Err("its `s=` is not for mail".into());
    }
    Ok(())
}

/// Bits and digest of a SubjectPublicKeyInfo, or, as RFC 6376 §3.6.1 has it in its text, of a bare
/// RSAPublicKey: both are one key.
fn rsa(key: &[u8]) -> Option<(u32, String)> {
    let bare = match SubjectPublicKeyInfoRef::from_der(key) {
        Ok(info) if info.algorithm.oid == RSA => info.subject_public_key.as_bytes()?,
        Ok(_) => return None,
        Err(_) => key,
    };
    let (modulus, exponent) = SliceReader::new(bare)
        .ok()?
        .sequence(|inner| Ok((UintRef::decode(inner)?, UintRef::decode(inner)?)))
        .ok()?;
    let octets = modulus.as_bytes();
    let first = octets.first()?;
    let size = u32::try_from(octets.len().checked_mul(8)?).ok()?;
    let whole = [&size.to_be_bytes(), octets, exponent.as_bytes()].concat();
    Some((size.checked_sub(first.leading_zeros())?, hexadecimal(&whole)))
}

/// SHA-256.
fn hexadecimal(octets: &[u8]) -> String {
    digest(&SHA256, octets).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}
