//! Certificates for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SigningKey, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, TrustAnchor};

use super::Certificate;
use crate::{domain::Domain, time::UnixTime};

/// 2026-06-01: the certificates of this module are valid from 2026-01-01 to 2026-12-31.
pub(crate) const NOW: UnixTime = UnixTime(1_780_272_000);

/// What a certificate is to be.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) names: Vec<&'static str>,
    pub(crate) common_name: &'static str,
    pub(crate) years: (i32, i32),
    pub(crate) authority: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            names: vec!["mx.example.com"],
            common_name: "a server",
            years: (2026, 2027),
            authority: false,
        }
    }
}

/// A certificate with its key.
pub(crate) struct Holder {
    pub(crate) der: CertificateDer<'static>,
    params: CertificateParams,
    key: KeyPair,
}

fn params(wish: &Wish) -> CertificateParams {
    let names: Vec<String> = wish.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wish.common_name);
    params.not_before = date_time_ymd(wish.years.0, 1, 1);
    params.not_after = date_time_ymd(wish.years.1, 1, 1);
    if wish.authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    }
    params
}

impl Holder {
    pub(crate) fn root(common_name: &'static str) -> Self {
        Self::self_signed(&Wish { names: vec![], common_name, authority: true, ..Wish::default() })
    }

    pub(crate) fn self_signed(wish: &Wish) -> Self {
        let (params, key) = (params(wish), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { der, params, key }
    }

    pub(crate) fn issue(&self, wish: &Wish) -> Self {
        let (params, key) = (params(wish), KeyPair::generate().unwrap());
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Self { der, params, key }
    }

    pub(crate) fn authority(&self, common_name: &'static str) -> Self {
        self.issue(&Wish { names: vec![], common_name, authority: true, ..Wish::default() })
    }

    pub(crate) fn anchor(&self) -> TrustAnchor<'static> {
        webpki::anchor_from_trusted_cert(&self.der).unwrap().to_owned()
    }

    pub(crate) fn read(&self) -> Certificate<'_> {
        Certificate::read(&self.der).unwrap()
    }

    /// The same certificate as X.509 version 1, signed by `issuer`: no version, no extensions.
    pub(crate) fn version_1(mut self, issuer: Option<&Self>) -> Self {
        let read = self.read();
        let serial = vec![0x02, 0x01, 0x05];
        let algorithm = tlv(0x30, read.signature().0);
        let inside = [
            serial,
            algorithm.clone(),
            tlv(0x30, read.issuer()),
            read.validity_der().to_vec(),
            tlv(0x30, read.subject()),
            read.public_key_info().to_vec(),
        ];
        let tbs = tlv(0x30, &inside.concat());
        let signature = issuer.map_or(&self.key, |issuer| &issuer.key).sign(&tbs).unwrap();
        let bits = tlv(0x03, &[vec![0], signature].concat());
        self.der = CertificateDer::from(tlv(0x30, &[tbs, algorithm, bits].concat()));
        self
    }
}

/// One DER element.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match content.len() {
        0..128 => out.push(length[1]),
        128..256 => out.extend([0x81, length[1]]),
        _ => out.extend([0x82, length[0], length[1]]),
    }
    out.extend_from_slice(content);
    out
}

/// A presented chain.
pub(crate) fn chain(holders: &[&Holder]) -> Vec<CertificateDer<'static>> {
    holders.iter().map(|holder| holder.der.clone()).collect()
}

/// Names.
pub(crate) fn names(texts: &[&str]) -> Vec<Domain> {
    texts.iter().map(|text| Domain::parse(text).unwrap()).collect()
}
