//! Certificate authorities of the lab, and identities that servers show.

use std::sync::Arc;

use anyhow::Result;
use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority. The lab has a public one that everybody trusts (and that can be
/// fooled), and one that only partners know.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Current,
    /// Ended in 2020.
    Expired,
}

/// A key that outlives the certificates made for it, as TLSA `3 1 1` wants it.
pub struct ServerKey(KeyPair);

/// A key with a chain: what a server shows in the handshake.
#[derive(Clone)]
pub struct Identity {
    /// Leaf first; the authority's own certificate comes along, so that TLSA `2 x x` works
    /// (RFC 7672 §3.1.2).
    pub chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the leaf's SubjectPublicKeyInfo: the data of TLSA `3 1 1`.
    pub spki_sha256: Vec<u8>,
    /// Ready to accept TLS 1.2 and 1.3.
    pub config: Arc<ServerConfig>,
}

impl ServerKey {
    /// A fresh P-256 key.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn generate() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }
}

impl Ca {
    /// A new authority.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The authority's certificate for a trust store.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// A certificate for these names with this key.
    ///
    /// # Errors
    /// A name is not a host name.
    pub fn issue(&self, key: &ServerKey, names: &[&str], validity: Validity) -> Result<Identity> {
        let leaf = leaf(names, validity)?.signed_by(&key.0, &self.issuer)?;
        Identity::new(vec![leaf.der().clone(), self.der().clone()], key)
    }
}

impl Identity {
    /// A certificate that nobody but itself vouches for.
    ///
    /// # Errors
    /// A name is not a host name.
    pub fn self_signed(key: &ServerKey, names: &[&str], validity: Validity) -> Result<Self> {
        let leaf = leaf(names, validity)?.self_signed(&key.0)?;
        Self::new(vec![leaf.der().clone()], key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: &ServerKey) -> Result<Self> {
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.0.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), private)?;
        let spki = digest::digest(&digest::SHA256, &key.0.subject_public_key_info());
        Ok(Self { chain, spki_sha256: spki.as_ref().to_vec(), config: Arc::new(config) })
    }
}

fn leaf(names: &[&str], validity: Validity) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone())?;
    // Common names are short (RFC 5280 appendix A.1: 64); the names that count are in the SAN.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "lab server");
    if validity == Validity::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    Ok(params)
}
