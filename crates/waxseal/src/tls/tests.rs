use std::io::Write;

use rustls::{
    AlertDescription, CertificateError, Error, NamedGroup, PeerIncompatible, ProtocolVersion,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use waxseal_core::channel::Legacy;

use super::{
    Parameters, Roots, RootsError, explain, legacy, load_roots, name_weak_key, provider,
    smtp_client_config,
};

#[test]
fn the_hybrid_group_is_offered_first() {
    assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
    let config = smtp_client_config(Parameters::All).unwrap();
    assert_eq!(config.crypto_provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_qualified_session_offers_only_what_tr_02102_2_lists() {
    let config = smtp_client_config(Parameters::Listed).unwrap();
    let groups: Vec<_> = config.crypto_provider().kx_groups.iter().map(|g| g.name()).collect();
    assert_eq!(groups[0], NamedGroup::X25519MLKEM768);
    assert!(groups.contains(&NamedGroup::secp256r1) && !groups.contains(&NamedGroup::X25519));
    for suite in &config.crypto_provider().cipher_suites {
        assert!(!format!("{suite:?}").contains("CHACHA20"), "{suite:?}");
    }
}

#[test]
fn nothing_older_than_tls_1_2_is_offered() {
    let old = [ProtocolVersion::SSLv3, ProtocolVersion::TLSv1_0, ProtocolVersion::TLSv1_1];
    for suite in &smtp_client_config(Parameters::All).unwrap().crypto_provider().cipher_suites {
        assert!(!old.contains(&suite.version().version));
    }
}

#[test]
fn peers_that_are_too_old_are_told_from_others() {
    for error in [
        Error::AlertReceived(AlertDescription::ProtocolVersion),
        Error::AlertReceived(AlertDescription::HandshakeFailure),
        Error::AlertReceived(AlertDescription::InsufficientSecurity),
        Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
        Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon),
    ] {
        assert_eq!(legacy(&error), Legacy::TooOld, "{error}");
        // It stands in letters and pages: no names of a library.
        let words = explain(&error);
        assert!(words.starts_with("it ") && words != error.to_string(), "{words}");
    }
    for error in [
        Error::AlertReceived(AlertDescription::InternalError),
        Error::InvalidCertificate(CertificateError::BadSignature),
        Error::DecryptError,
    ] {
        assert_eq!(legacy(&error), Legacy::No, "{error}");
    }
}

/// A key that is too short looks like a forged signature to the library; the operator has to hear
/// the difference.
#[test]
fn a_short_key_counts_as_too_old() {
    let pem = include_bytes!("../../tests/data/rsa1024-cert.pem");
    let certificate = CertificateDer::from_pem_slice(pem).unwrap();
    let forged = || Error::InvalidCertificate(CertificateError::BadSignature);
    let named = name_weak_key(forged(), &certificate);
    assert_eq!(legacy(&named), Legacy::TooOld);
    assert!(explain(&named).contains("an RSA key of about 1"), "{}", explain(&named));

    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["mx.example.net".to_owned()]).unwrap();
    let other = params.self_signed(&key).unwrap();
    assert_eq!(legacy(&name_weak_key(forged(), other.der())), Legacy::No);
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn roots_come_from_a_file() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let file = file(root.pem().as_bytes());
    assert_eq!(load_roots(&Roots::File(file.path().into())).unwrap().len(), 1);
}

/// A wrong file is one sentence with its name.
#[test]
fn a_file_without_roots_is_an_error_that_names_it() {
    let bad = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    for content in [&b""[..], b"no certificate here\n", bad.as_bytes()] {
        let file = file(content);
        let error = load_roots(&Roots::File(file.path().into())).unwrap_err();
        assert!(matches!(error, RootsError::File { .. }));
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
    let missing = load_roots(&Roots::File("/nonexistent/roots.pem".into())).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/roots.pem: "), "{missing}");
}
