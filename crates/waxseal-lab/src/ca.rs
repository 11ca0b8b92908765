//! Certificate authorities of the lab, and identities that servers show.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::sign::any_supported_type,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
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
    /// Ends in so many days.
    Days(i64),
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// TLS 1.2 and 1.3, hybrid groups first.
    Everything,
    /// Only TLS 1.2.
    V1_2,
    /// Only TLS 1.3.
    V1_3,
    /// No hybrid post-quantum group.
    Classic,
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
    /// Certificate and key, to be combined with others.
    pub certified: Option<Arc<CertifiedKey>>,
}

impl ServerKey {
    /// A fresh P-256 key.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn generate() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// A fresh key of this kind.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn of(kind: KeyKind) -> Result<Self> {
        let algorithm = match kind {
            KeyKind::Ecdsa => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Rsa => &rcgen::PKCS_RSA_SHA256,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        };
        Ok(Self(KeyPair::generate_for(algorithm)?))
    }

    /// The key in PEM, for servers that read files.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
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
        let signing = any_supported_type(&private)?;
        let certified = Arc::new(CertifiedKey::new(chain.clone(), signing));
        let spki = digest::digest(&digest::SHA256, &key.0.subject_public_key_info());
        let config = config(vec![Arc::clone(&certified)], Speaks::Everything)?;
        Ok(Self { chain, spki_sha256: spki.as_ref().to_vec(), config, certified: Some(certified) })
    }

    /// The same, spoken with less.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn speaking(self, speaks: Speaks) -> Result<Self> {
        let config = config(self.certified.iter().cloned().collect(), speaks)?;
        Ok(Self { config, ..self })
    }

    /// This identity for clients that take its kind of key, the other one for the rest.
    ///
    /// # Errors
    /// The cryptographic library refuses.
    pub fn or(self, other: &Self) -> Result<Self> {
        let both = self.certified.iter().chain(&other.certified).cloned().collect();
        Ok(Self { config: config(both, Speaks::Everything)?, ..self })
    }
}

/// Shows the first certificate whose key the client takes.
#[derive(Debug)]
struct Choice(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let takes =
            |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(takes).cloned()
    }
}

fn config(certified: Vec<Arc<CertifiedKey>>, speaks: Speaks) -> Result<Arc<ServerConfig>> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let versions: &[_] = match speaks {
        Speaks::Everything | Speaks::Classic => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Speaks::V1_2 => &[&rustls::version::TLS12],
        Speaks::V1_3 => &[&rustls::version::TLS13],
    };
    if speaks == Speaks::Classic {
        provider.kx_groups.retain(|group| !format!("{:?}", group.name()).contains("MLKEM"));
    }
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Choice(certified)));
    Ok(Arc::new(config))
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
    if let Validity::Days(days) = validity {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let epoch = date_time_ymd(1970, 1, 1);
        let seconds = i64::try_from(now).unwrap_or(0) + days * 86_400;
        params.not_after = epoch + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    }
    Ok(params)
}
