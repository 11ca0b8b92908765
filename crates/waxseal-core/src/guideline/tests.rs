//! The files that are built in, and what they say.

use super::*;

/// A file that cannot be read would silently refuse every `qualified` channel.
#[test]
fn every_guideline_that_is_built_in_can_be_read() {
    for text in [NCSC_NL, BSI] {
        let read = Guideline::parse(text).unwrap();
        assert!(!read.title.is_empty() && !read.source.is_empty());
        for lists in [&read.versions, &read.suites, &read.groups, &read.curves, &read.hashes] {
            assert!(lists.contains_key(&Grade::Good), "{}", read.title);
        }
        assert!(read.rsa.contains_key(&Grade::Good));
    }
    assert!(bsi().unverified, "nobody has held the lists of the BSI against its text yet");
}

#[test]
fn parameters_have_the_grades_of_the_guidelines() {
    let (nl, de) = (ncsc_nl(), bsi());
    for (name, grades) in [
        ("TLS_AES_256_GCM_SHA384", (Grade::Good, Grade::Good)),
        ("TLS_CHACHA20_POLY1305_SHA256", (Grade::Good, Grade::Insufficient)),
        ("TLS_AES_128_GCM_SHA256", (Grade::Sufficient, Grade::Good)),
        ("tls_ecdhe_rsa_with_aes_128_cbc_sha256", (Grade::PhaseOut, Grade::Good)),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", (Grade::Insufficient, Grade::Insufficient)),
        ("TLS_AES_128_CCM_8_SHA256", (Grade::Insufficient, Grade::Insufficient)),
    ] {
        assert_eq!((nl.suite(name), de.suite(name)), grades, "{name}");
    }
    assert_eq!((nl.group("X25519"), de.group("X25519")), (Grade::Good, Grade::Insufficient));
    assert_eq!(
        (nl.group("ffdhe2048"), de.group("ffdhe2048")),
        (Grade::Insufficient, Grade::Insufficient)
    );
    assert_eq!(
        (nl.version("TLSv1.2"), nl.version("TLSv1.1")),
        (Grade::Sufficient, Grade::Insufficient)
    );
    assert_eq!(nl.hash(Hash::Sha224), Grade::PhaseOut);
    assert_eq!(nl.hash(Hash::Sha1), Grade::Insufficient);
    let rsa = |bits| (nl.key(&PublicKey::Rsa(bits)), de.key(&PublicKey::Rsa(bits)));
    assert_eq!(rsa(4096), (Grade::Good, Grade::Good));
    assert_eq!(rsa(2048), (Grade::PhaseOut, Grade::Insufficient));
    assert_eq!(rsa(2047), (Grade::Insufficient, Grade::Insufficient));
    assert_eq!(nl.key(&PublicKey::Ec("secp256r1".into())), Grade::Good);
}

/// A key of the file that nobody reads would be a rule that nobody applies.
#[test]
fn a_guideline_with_unknown_words_is_refused() {
    let text = format!("{NCSC_NL}\n[cyphers]\ngood = []\n");
    assert!(Guideline::parse(&text).is_err());
    let text = NCSC_NL.replace("phase-out = 2048", "fine = 2048");
    assert!(Guideline::parse(&text).is_err());
}
