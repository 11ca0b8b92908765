//! TLS as a client: what is offered, what is checked in the handshake, and what was seen.
//!
//! The certificate *chain* is not judged here. Which names and which issuers count depends on the
//! route: DANE, MTA-STS, a pin, or nobody at all; and that is decided in one place,
//! [`waxseal_core::channel::permit`], also for connections that are used again. What has to
//! happen in the handshake does: the peer proves that it holds the key of the certificate that it
//! showed. Without that check a certificate would be a copy that anybody could show.
//!
//! Sessions are never resumed: a resumed session brings no certificate and no new signature
//! (RFC 8446 §2.2), and connections are kept and used again instead.

use std::{fmt, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, ClientConnection,
    DigitallySignedStruct, Error, NamedGroup, OtherError, PeerIncompatible, PeerMisbehaved,
    ProtocolVersion, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
        verify_tls13_signature, verify_tls13_signature_with_raw_key,
    },
};
use rustls_pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime as PkiTime,
    pem::PemObject,
};
use waxseal_core::{
    assess::KeyKind,
    channel::{Handshake, Legacy, Session, TlsVersion, lists_group, lists_suite},
    domain::Domain,
    pki::Certificate,
    time::UnixTime,
};

/// Which suites and groups a session offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameters {
    /// All that rustls has, `X25519MLKEM768` first.
    All,
    /// Of these only what TR-02102-2 lists: for the floor `qualified`. Otherwise a server that has
    /// X25519 and P-256 takes X25519, which is not listed, and the channel would not qualify.
    Listed,
}

/// The configuration of outgoing SMTP sessions: TLS 1.2 and 1.3, `X25519MLKEM768` offered first,
/// no resumption, chain left to `permit`.
///
/// # Errors
/// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
pub fn smtp_client_config(parameters: Parameters) -> Result<Arc<ClientConfig>, Error> {
    let mut provider = aws_lc_rs::default_provider();
    if parameters == Parameters::Listed {
        provider.kx_groups.retain(|group| lists_group(&group_name(group.name())));
        provider.cipher_suites.retain(|suite| lists_suite(&suite_name(suite.suite())));
    }
    client_config(provider, None)
}

/// The same for an assessment, which asks a host for its certificate with one kind of key: by the
/// signature schemes that are offered (RFC 8446), and in TLS 1.2 by the suites too.
///
/// # Errors
/// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
pub fn smtp_probe_config(key: KeyKind) -> Result<Arc<ClientConfig>, Error> {
    let mut provider = aws_lc_rs::default_provider();
    let mut schemes = provider.signature_verification_algorithms.supported_schemes();
    schemes.retain(|scheme| match key {
        KeyKind::Rsa => format!("{scheme:?}").starts_with("RSA_"),
        KeyKind::Ecdsa => format!("{scheme:?}").starts_with("ECDSA_"),
        KeyKind::Ed25519 => *scheme == SignatureScheme::ED25519,
    });
    let other = match key {
        KeyKind::Rsa => "_ECDHE_ECDSA_",
        // RFC 8422: EdDSA goes by the suites of ECDSA.
        KeyKind::Ecdsa | KeyKind::Ed25519 => "_ECDHE_RSA_",
    };
    provider.cipher_suites.retain(|suite| !suite_name(suite.suite()).contains(other));
    client_config(provider, Some(schemes))
}

fn client_config(
    provider: CryptoProvider,
    only: Option<Vec<SignatureScheme>>,
) -> Result<Arc<ClientConfig>, Error> {
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(KeyHolder { algorithms, only });
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The provider of all cryptography of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Checks that the peer holds the key of the certificate that it showed, and nothing else.
#[derive(Debug)]
struct KeyHolder {
    algorithms: WebPkiSupportedAlgorithms,
    /// Only these of them.
    only: Option<Vec<SignatureScheme>>,
}

impl ServerCertVerifier for KeyHolder {
    /// Every chain passes here: `permit` judges it before the first mail command.
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: PkiTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_offered(signed.scheme)?;
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| self.check_bare_key(error, message, certificate, signed))
            .map_err(|error| name_weak_key(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_offered(signed.scheme)?;
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| {
                if !is_about_encoding(&error) {
                    return Err(error);
                }
                let key = bare_key(certificate).ok_or(error)?;
                let key = SubjectPublicKeyInfoDer::from(key);
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
            })
            .map_err(|error| name_weak_key(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.only.clone().unwrap_or_else(|| self.algorithms.supported_schemes())
    }
}

impl KeyHolder {
    /// RFC 8446: a signature is by a scheme that was offered.
    fn check_offered(&self, scheme: SignatureScheme) -> Result<(), Error> {
        match &self.only {
            Some(only) if !only.contains(&scheme) => {
                Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A certificate that `webpki` cannot read, X.509 version 1 for one, may still be what a TLSA
    /// record names (RFC 7672 §3.1.1): its key is enough to check the signature.
    fn check_bare_key(
        &self,
        error: Error,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !is_about_encoding(&error) {
            return Err(error);
        }
        let key = bare_key(certificate).ok_or(error)?;
        let (algorithm, key) = waxseal_core::pki::key_and_algorithm(key)
            .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let mut fitting = known.into_iter().flat_map(|(_, candidates)| candidates.iter());
        let held = fitting.any(|candidate| {
            candidate.public_key_alg_id().as_ref() == algorithm
                && candidate.verify_signature(key, message, signed.signature()).is_ok()
        });
        if held {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadSignature))
        }
    }
}

fn bare_key<'a>(certificate: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    Certificate::read(certificate).ok().map(|read| read.public_key_info())
}

/// Whether the certificate, not the signature, was the trouble.
const fn is_about_encoding(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::BadEncoding
                | CertificateError::UnhandledCriticalExtension
                | CertificateError::Other(_)
        )
    )
}

/// A key that no check of ours accepts because it is too short: the peer is below the minimum of
/// BSI TR-02102-1 §2.3, which is another message than "somebody forged this".
#[derive(Debug)]
struct WeakKey {
    bits: usize,
}

impl fmt::Display for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an RSA key of about {} bits, and 2048 are the least", self.bits)
    }
}

impl std::error::Error for WeakKey {}

fn name_weak_key(error: Error, certificate: &CertificateDer<'_>) -> Error {
    // rsaEncryption, 1.2.840.113549.1.1.1, with its NULL parameters.
    const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let Some((RSA, key)) = bare_key(certificate).and_then(waxseal_core::pki::key_and_algorithm)
    else {
        return error;
    };
    // SEQUENCE { modulus, exponent }: the encoding is 8 to 18 octets longer than the modulus.
    let bits = key.len().saturating_sub(8) * 8;
    if bits < 2_040 {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(WeakKey { bits }))))
    } else {
        error
    }
}

/// Whether a handshake failed because the peer speaks only what we do not (DESIGN §5).
pub fn legacy(error: &Error) -> Legacy {
    let no_common_ground = matches!(
        error,
        Error::PeerIncompatible(_)
            | Error::AlertReceived(
                AlertDescription::ProtocolVersion
                    | AlertDescription::HandshakeFailure
                    | AlertDescription::InsufficientSecurity,
            )
    );
    let weak_key = matches!(
        error,
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) if why.is::<WeakKey>()
    );
    if no_common_ground || weak_key { Legacy::TooOld } else { Legacy::No }
}

/// Why a handshake failed, for an operator.
pub fn explain(error: &Error) -> String {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(why))) = error
        && why.is::<WeakKey>()
    {
        return format!("the peer's certificate has {why}");
    }
    let told = IN_WORDS.iter().find(|(known, _)| known == error);
    told.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

/// Failures that the library tells by its own names, for people: they stand in letters and pages.
static IN_WORDS: [(Error, &str); 9] = [
    (
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        "it speaks no TLS newer than 1.1",
    ),
    (
        Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig),
        "it speaks no TLS newer than 1.1",
    ),
    (
        Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired),
        "it speaks TLS 1.2 without the extended master secret (RFC 7627)",
    ),
    (
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        "it has no cipher suite that we have",
    ),
    (
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
        "it has no key exchange group that we have",
    ),
    (
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon),
        "it has no signature scheme that we have",
    ),
    (
        Error::AlertReceived(AlertDescription::ProtocolVersion),
        "it takes no version of TLS that we have (alert protocol_version)",
    ),
    (
        Error::AlertReceived(AlertDescription::HandshakeFailure),
        "it found nothing in what we offer that it takes (alert handshake_failure)",
    ),
    (
        Error::AlertReceived(AlertDescription::InsufficientSecurity),
        "it demands other cipher suites than we have (alert insufficient_security)",
    ),
];

/// The facts of a session after its handshake; `None` before, or without a certificate.
pub fn session(tls: &ClientConnection, sni: Option<&Domain>, now: UnixTime) -> Option<Session> {
    // The configuration offers these two and no other.
    let version = if tls.protocol_version()? == ProtocolVersion::TLSv1_3 {
        TlsVersion::V1_3
    } else {
        TlsVersion::V1_2
    };
    let chain: Vec<CertificateDer<'static>> =
        tls.peer_certificates()?.iter().map(|c| c.clone().into_owned()).collect();
    let handshake = match tls.handshake_kind()? {
        rustls::HandshakeKind::Resumed => Handshake::Resumed,
        rustls::HandshakeKind::Full | rustls::HandshakeKind::FullWithHelloRetryRequest => {
            Handshake::Full
        }
    };
    Some(Session {
        version,
        suite: suite_name(tls.negotiated_cipher_suite()?.suite()),
        group: tls.negotiated_key_exchange_group().map(|group| group_name(group.name())),
        chain,
        sni: sni.cloned(),
        handshake,
        at: now,
    })
}

/// The name in IANA's registry of TLS cipher suites: rustls writes `TLS13_AES_128_GCM_SHA256` for
/// what is called `TLS_AES_128_GCM_SHA256` there.
pub(crate) fn suite_name(suite: CipherSuite) -> String {
    let name = format!("{suite:?}");
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

/// The name in IANA's registry of TLS supported groups.
pub(crate) fn group_name(group: NamedGroup) -> String {
    if group == NamedGroup::X25519 { "x25519".into() } else { format!("{group:?}") }
}

/// Where trusted roots come from: `[tls] roots`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those of the operating system.
    System,
    /// A PEM file.
    File(std::path::PathBuf),
}

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The system has none.
    #[error(
        "the system has no trusted root certificates; install ca-certificates, or name a PEM file in `[tls] roots`"
    )]
    NoSystemRoots,
    /// The file cannot be read or holds something else.
    #[error("{path}: cannot read trusted root certificates: {why}")]
    File {
        /// Which file.
        path: String,
        /// What happened.
        why: String,
    },
}

/// Loads the roots that `permit` trusts.
///
/// # Errors
/// There are none, or the file is not PEM.
pub fn load_roots(roots: &Roots) -> Result<Vec<TrustAnchor<'static>>, RootsError> {
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            // A single odd certificate in the system's folder is no reason to trust none.
            let anchors = anchors(&found.certs);
            if anchors.is_empty() { Err(RootsError::NoSystemRoots) } else { Ok(anchors) }
        }
        Roots::File(path) => {
            let fail = |why: String| RootsError::File { path: path.display().to_string(), why };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| fail(error.to_string()))?;
            let anchors = anchors(&certificates);
            if anchors.is_empty() {
                return Err(fail("no usable certificate in it".into()));
            }
            Ok(anchors)
        }
    }
}

fn anchors(certificates: &[CertificateDer<'static>]) -> Vec<TrustAnchor<'static>> {
    let anchor = |c| webpki::anchor_from_trusted_cert(c).ok().map(|anchor| anchor.to_owned());
    certificates.iter().filter_map(anchor).collect()
}

#[cfg(test)]
mod tests;
