//! Reading certificates. Only what is asked for is parsed, so that a DANE-EE match does not
//! depend on dates, names or extensions that nobody looks at (RFC 7672 §3.1.1).

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use x509_cert::{
    certificate::Version,
    der::{Decode, Reader, SliceReader, asn1::BitStringRef},
    ext::{
        Extensions,
        pkix::{BasicConstraints, SubjectAltName, name::GeneralName},
    },
    name::Name,
    time::Validity,
};

use super::Fault;
use crate::time::UnixTime;

/// The parts of a certificate (RFC 5280 §4.1), each as it stands in the encoding. Versions 1 to 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    whole: &'a [u8],
    tbs: &'a [u8],
    version: Version,
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: Option<&'a [u8]>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Finds the parts.
    ///
    /// # Errors
    /// It is not a certificate.
    pub fn read(whole: &'a [u8]) -> Result<Self, Fault> {
        Self::parts(whole).map_err(|error| Fault::Unreadable(error.to_string()))
    }

    fn parts(whole: &'a [u8]) -> x509_cert::der::Result<Self> {
        let mut outer = SliceReader::new(content(whole)?)?;
        let tbs = outer.tlv_bytes()?;
        let algorithm = outer.tlv_bytes()?;
        let signature = BitStringRef::from_der(outer.tlv_bytes()?)?.raw_bytes();
        outer.finish(())?;

        let mut inner = SliceReader::new(content(tbs)?)?;
        let mut part = inner.tlv_bytes()?;
        let mut version = Version::V1;
        if part.first() == Some(&0xa0) {
            version = Version::from_der(content(part)?)?;
            part = inner.tlv_bytes()?;
        }
        // `part` is the serial number, of which nothing is asked.
        let _ = part;
        inner.tlv_bytes()?;
        let issuer = inner.tlv_bytes()?;
        let validity = inner.tlv_bytes()?;
        let subject = inner.tlv_bytes()?;
        let spki = inner.tlv_bytes()?;
        content(issuer).and(content(subject)).and(content(spki))?;
        let mut extensions = None;
        while !inner.is_finished() {
            let part = inner.tlv_bytes()?;
            if part.first() == Some(&0xa3) {
                extensions = Some(content(part)?);
            }
        }
        Ok(Self {
            whole,
            tbs,
            version,
            issuer,
            validity,
            subject,
            spki,
            extensions,
            algorithm,
            signature,
        })
    }

    /// The whole encoding: TLSA selector 0.
    pub const fn der(&self) -> &'a [u8] {
        self.whole
    }

    /// The SubjectPublicKeyInfo: TLSA selector 1.
    pub const fn public_key_info(&self) -> &'a [u8] {
        self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: what a pin names.
    pub fn key_digest(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(digest(&SHA256, self.spki).as_ref()) {
            *to = *from;
        }
        out
    }

    /// What TLSA `selector` and `matching` make of it (RFC 6698 §2.1.2, §2.1.3); `None` for
    /// values that nobody defined.
    pub fn association(&self, selector: u8, matching: u8) -> Option<Vec<u8>> {
        let selected = match selector {
            0 => self.whole,
            1 => self.spki,
            _ => return None,
        };
        match matching {
            0 => Some(selected.to_vec()),
            1 => Some(digest(&SHA256, selected).as_ref().to_vec()),
            2 => Some(digest(&SHA512, selected).as_ref().to_vec()),
            _ => None,
        }
    }

    /// Whether `now` lies between its dates, both included (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// Expired, not yet valid, or dates that cannot be read.
    pub fn in_time(&self, now: UnixTime) -> Result<(), Fault> {
        let (not_before, not_after) = self.dates()?;
        if now < not_before {
            return Err(Fault::NotYetValid);
        }
        if now > not_after {
            return Err(Fault::Expired);
        }
        Ok(())
    }

    /// From when to when it is valid, both included (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// Dates that cannot be read.
    pub fn dates(&self) -> Result<(UnixTime, UnixTime), Fault> {
        let validity = Validity::from_der(self.validity)
            .map_err(|error| Fault::Unreadable(format!("its dates: {error}")))?;
        let seconds = |time: x509_cert::time::Time| UnixTime(time.to_unix_duration().as_secs());
        Ok((seconds(validity.not_before), seconds(validity.not_after)))
    }

    /// Whether it names itself as its issuer: a root, or a certificate that nobody else signed.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Issuer and subject without the header, as a trust anchor holds a name.
    pub(crate) fn issuer(&self) -> &'a [u8] {
        content(self.issuer).unwrap_or_default()
    }

    pub(crate) fn subject(&self) -> &'a [u8] {
        content(self.subject).unwrap_or_default()
    }

    /// The SubjectPublicKeyInfo without the header, as a trust anchor holds it.
    pub(crate) fn public_key_parts(&self) -> &'a [u8] {
        content(self.spki).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) const fn validity_der(&self) -> &'a [u8] {
        self.validity
    }

    pub(crate) const fn signed_part(&self) -> &'a [u8] {
        self.tbs
    }

    /// The signature's AlgorithmIdentifier without the header, and the signature.
    pub(crate) fn signature(&self) -> (&'a [u8], &'a [u8]) {
        (content(self.algorithm).unwrap_or_default(), self.signature)
    }

    /// Its extensions; none in versions 1 and 2.
    pub(crate) fn extensions(&self) -> Result<Extensions, Fault> {
        match self.extensions {
            Some(bytes) if self.version == Version::V3 => Extensions::from_der(bytes)
                .map_err(|error| Fault::Unreadable(format!("its extensions: {error}"))),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// Whether it says of itself that it may issue others (RFC 5280 §4.2.1.9). What cannot be read may
    /// not.
    pub fn is_ca(&self) -> bool {
        self.extensions().unwrap_or_default().iter().any(|extension| {
            extension.extn_id == x509_cert::der::oid::db::rfc5280::ID_CE_BASIC_CONSTRAINTS
                && BasicConstraints::from_der(extension.extn_value.as_bytes())
                    .is_ok_and(|constraints| constraints.ca)
        })
    }

    /// The DNS-IDs of its subjectAltName, in lower case.
    pub fn dns_ids(&self) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        for extension in self.extensions()? {
            if extension.extn_id != x509_cert::der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME {
                continue;
            }
            let alternatives = SubjectAltName::from_der(extension.extn_value.as_bytes())
                .map_err(|error| Fault::Unreadable(format!("its names: {error}")))?;
            for name in alternatives.0 {
                if let GeneralName::DnsName(name) = name {
                    names.push(name.as_str().to_ascii_lowercase());
                }
            }
        }
        Ok(names)
    }

    /// The common names of its subject, in lower case.
    pub(crate) fn common_names(&self) -> Result<Vec<String>, Fault> {
        let subject = Name::from_der(self.subject)
            .map_err(|error| Fault::Unreadable(format!("its subject: {error}")))?;
        let texts = subject
            .0
            .iter()
            .flat_map(|set| set.0.iter())
            .filter(|attribute| attribute.oid == x509_cert::der::oid::db::rfc4519::COMMON_NAME)
            .filter_map(|attribute| std::str::from_utf8(attribute.value.value()).ok())
            .map(str::to_ascii_lowercase);
        Ok(texts.collect())
    }
}

/// Whether these bytes are one SubjectPublicKeyInfo: an algorithm and a bit string
/// (RFC 5280 §4.1.2.7).
pub fn is_public_key(spki: &[u8]) -> bool {
    let parse = || {
        let mut parts = SliceReader::new(content(spki)?)?;
        content(parts.tlv_bytes()?)?;
        BitStringRef::from_der(parts.tlv_bytes()?)?;
        parts.finish(())
    };
    parse().is_ok()
}

/// A SubjectPublicKeyInfo without its header, as a trust anchor holds it.
pub(crate) fn key_parts(spki: &[u8]) -> Option<&[u8]> {
    is_public_key(spki).then(|| content(spki).ok()).flatten()
}

/// The AlgorithmIdentifier of a SubjectPublicKeyInfo without its header, and the key: what a
/// signature check needs (RFC 5280 §4.1.2.7).
pub fn key_and_algorithm(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = SliceReader::new(content(spki).ok()?).ok()?;
    let algorithm = content(parts.tlv_bytes().ok()?).ok()?;
    let key = BitStringRef::from_der(parts.tlv_bytes().ok()?).ok()?.raw_bytes();
    parts.is_finished().then_some((algorithm, key))
}

/// The kind of key in a SubjectPublicKeyInfo, for people: `ECDSA P-256`. Kinds that we do not know
/// are "unknown".
pub fn key_kind(spki: &[u8]) -> &'static str {
    let Some((algorithm, _)) = key_and_algorithm(spki) else { return "unknown" };
    // Object identifiers with their tags (RFC 8017, RFC 5480, RFC 8410, RFC 9881).
    let known: [(&[u8], &str); 8] = [
        (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", "RSA"),
        (b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", "ECDSA P-256"),
        (b"\x06\x05\x2b\x81\x04\x00\x22", "ECDSA P-384"),
        (b"\x06\x05\x2b\x81\x04\x00\x23", "ECDSA P-521"),
        (b"\x06\x03\x2b\x65\x70", "Ed25519"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11", "ML-DSA-44"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12", "ML-DSA-65"),
        (b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13", "ML-DSA-87"),
    ];
    let named = |oid: &[u8]| algorithm.windows(oid.len()).any(|part| part == oid);
    known.into_iter().find(|(oid, _)| named(oid)).map_or("unknown", |(_, name)| name)
}

/// What is inside the one SEQUENCE or context tag that `outer` has to be.
pub(crate) fn content(outer: &[u8]) -> x509_cert::der::Result<&[u8]> {
    let mut reader = SliceReader::new(outer)?;
    let header = x509_cert::der::Header::decode(&mut reader)?;
    if !header.tag.is_constructed() {
        return Err(header.tag.value_error());
    }
    let inside = reader.read_slice(header.length)?;
    reader.finish(inside)
}
