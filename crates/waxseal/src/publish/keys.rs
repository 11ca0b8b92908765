//! Keys in PEM files: of certificates, public keys, or private keys whose public half is meant.

use std::{fs::File, io::Read, path::Path};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use waxseal_core::{
    pki::{self, Certificate},
    publish::gate::Key,
};

/// No chain of certificates is larger.
const LARGEST: u64 = 256 * 1024;

/// The key of a host: of the first certificate, or a public or private key.
pub(super) fn of_host(path: &Path) -> Result<Key, String> {
    let pem = read(path)?;
    let wrong = |why: &str| format!("{}: {why}", path.display());
    if let Some(first) = CertificateDer::pem_slice_iter(&pem).next() {
        let certificate = first.map_err(|error| wrong(&format!("no PEM: {error}")))?;
        let certificate =
            Certificate::read(&certificate).map_err(|error| wrong(&error.to_string()))?;
        return Ok(key(certificate.public_key_info()));
    }
    if let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(&pem) {
        if pki::is_public_key(&public) {
            return Ok(key(&public));
        }
        return Err(wrong("what calls itself a public key is none"));
    }
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong("neither a certificate nor a key in PEM is in it"))?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| wrong(&format!("its private key cannot be used: {error}")))?;
    let public = signer.public_key().ok_or_else(|| wrong("its public key cannot be found out"))?;
    Ok(key(&public))
}

/// The keys of all CA certificates in a file: a chain may begin with an end entity.
pub(super) fn of_issuers(path: &Path) -> Result<Vec<Key>, String> {
    let pem = read(path)?;
    let wrong = |why: String| format!("{}: {why}", path.display());
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("no PEM: {error}")))?;
        let read = Certificate::read(&certificate).map_err(|error| wrong(error.to_string()))?;
        if read.is_ca() {
            found.push(key(read.public_key_info()));
        }
    }
    if found.is_empty() {
        return Err(wrong("no certificate of a CA is in it".to_owned()));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut pem = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(LARGEST + 1).read_to_end(&mut pem).map_err(wrong)?;
    if pem.len() as u64 > LARGEST {
        return Err(format!("{}: larger than 256 KiB", path.display()));
    }
    Ok(pem)
}

fn key(spki: &[u8]) -> Key {
    Key::of(pki::key_kind(spki).to_owned(), spki)
}
