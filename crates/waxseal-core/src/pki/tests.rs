use super::{
    bench::{Holder, NOW, Wish, chain, names},
    *,
};

/// RFC 8461 §4.2: the attacker on the path has a certificate, but for another name, from nobody,
/// or one that has expired.
#[test]
fn a_public_ca_has_to_vouch_for_the_name() {
    let root = Holder::root("root");
    let middle = root.authority("middle");
    let leaf = middle.issue(&Wish::default());
    let anchors = [root.anchor()];
    let wanted = names(&["mx.example.com"]);
    let judge = |chain: &[_], wanted: &[_]| valid_for(chain, &anchors, wanted, NOW).cloned();

    assert_eq!(judge(&chain(&[&leaf, &middle]), &wanted), Ok(wanted[0].clone()));
    let other = names(&["mx.example.org"]);
    let fault = judge(&chain(&[&leaf, &middle]), &other).unwrap_err();
    assert_eq!(fault, Fault::WrongName(vec!["mx.example.com".into()]));
    let fault = judge(&chain(&[&leaf]), &wanted).unwrap_err();
    assert!(matches!(fault, Fault::Untrusted(_)), "{fault:?}");
    let own = Holder::self_signed(&Wish::default());
    let fault = judge(&chain(&[&own]), &wanted).unwrap_err();
    assert!(matches!(fault, Fault::Untrusted(_)), "{fault:?}");
    let old = middle.issue(&Wish { years: (2024, 2025), ..Wish::default() });
    assert_eq!(judge(&chain(&[&old, &middle]), &wanted), Err(Fault::Expired));
    let new = middle.issue(&Wish { years: (2027, 2028), ..Wish::default() });
    assert_eq!(judge(&chain(&[&new, &middle]), &wanted), Err(Fault::NotYetValid));
    assert_eq!(judge(&[], &wanted), Err(Fault::Missing));
}

/// The common name counts with DANE only (RFC 8461 §4.2 wants a subject alternative name).
#[test]
fn a_public_ca_does_not_vouch_for_a_common_name() {
    let root = Holder::root("root");
    let wish = Wish { names: vec![], common_name: "mx.example.com", ..Wish::default() };
    let leaf = root.issue(&wish);
    let wanted = names(&["mx.example.com"]);
    let fault = valid_for(&chain(&[&leaf]), &[root.anchor()], &wanted, NOW).unwrap_err();
    assert_eq!(fault, Fault::WrongName(vec![]));
}

/// A hostile server that sends certificates without end is cut off.
#[test]
fn a_chain_has_a_longest_length() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish::default());
    let long: Vec<_> = std::iter::repeat_n(leaf.der, MAX_CHAIN + 1).collect();
    let wanted = names(&["mx.example.com"]);
    assert_eq!(valid_for(&long, &[root.anchor()], &wanted, NOW), Err(Fault::TooLong));
    assert_eq!(leads_to(&long, &[root.anchor()], NOW), Err(Fault::TooLong));
    assert!(leads_to(&long[1..], &[root.anchor()], NOW).is_ok());
}

/// What `webpki` does not take leads to an anchor all the same, over a proper CA between.
#[test]
fn odd_end_entities_lead_to_an_anchor() {
    let root = Holder::root("root");
    let middle = root.authority("middle");
    let odd = [
        middle.issue(&Wish { authority: true, ..Wish::default() }),
        middle.issue(&Wish::default()).version_1(Some(&middle)),
    ];
    for leaf in &odd {
        let sent = chain(&[leaf, &middle]);
        assert_eq!(leads_to(&sent, &[root.anchor()], NOW), Ok(0));
        let other = Holder::root("root");
        assert!(leads_to(&sent, &[other.anchor()], NOW).is_err());
        assert!(leads_to(&sent[..1], &[root.anchor()], NOW).is_err());
        // Dates count here as well: half a year later all of it has expired.
        let later = UnixTime(NOW.0 + 365 * 86_400);
        assert_eq!(leads_to(&sent, &[root.anchor()], later), Err(Fault::Expired));
    }
}

/// An insider with the key of an ordinary server makes himself certificates for others: a server's
/// certificate issues nothing, on either way of checking.
#[test]
fn a_server_certificate_issues_nothing() {
    let root = Holder::root("root");
    let insider = root.issue(&Wish { names: vec!["me.example"], ..Wish::default() });
    for authority in [false, true] {
        let forged = insider.issue(&Wish { authority, ..Wish::default() });
        let sent = chain(&[&forged, &insider]);
        let fault = leads_to(&sent, &[root.anchor()], NOW).unwrap_err();
        assert!(matches!(fault, Fault::Untrusted(_)), "{fault:?}");
    }
}

/// A hostile server sends many CAs of one name, so that each has to be tried.
#[test]
fn a_path_search_ends() {
    let root = Holder::root("root");
    let same = |_| Holder::root("same").authority("same");
    let twins: Vec<_> = (0..MAX_CHAIN - 1).map(same).collect();
    let leaf = twins[0].issue(&Wish { authority: true, ..Wish::default() });
    let mut sent = vec![&leaf];
    sent.extend(&twins);
    assert!(leads_to(&chain(&sent), &[root.anchor()], NOW).is_err());
}

/// Hostile file: every cut and every flipped octet of a certificate is read or refused, quietly.
#[test]
fn damaged_certificates_are_refused_quietly() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish { authority: true, ..Wish::default() });
    let wanted = names(&["mx.example.com"]);
    for end in 0..leaf.der.len() {
        assert!(Certificate::read(&leaf.der[..end]).is_err());
    }
    for place in 0..leaf.der.len() {
        let mut damaged = leaf.der.to_vec();
        damaged[place] ^= 0x41;
        let damaged = vec![CertificateDer::from(damaged)];
        assert!(leads_to(&damaged, &[root.anchor()], NOW).is_err(), "octet {place}");
        let _ = Certificate::read(&damaged[0]).map(|read| presents(&read, &wanted).is_ok());
    }
}

/// How strong a certificate is, for keys and signatures that are in use.
#[test]
fn keys_and_hashes_are_read_from_certificates() {
    use rcgen::{CertificateParams, KeyPair};

    let read = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let certificate = Certificate::read(&der).unwrap();
        assert!(certificate.is_self_issued());
        (certificate.public_key().unwrap(), certificate.signature_hash().unwrap())
    };
    let curve = |name: &str| PublicKey::Ec(name.into());
    assert_eq!(read(&rcgen::PKCS_ECDSA_P256_SHA256), (curve("secp256r1"), Hash::Sha256));
    assert_eq!(read(&rcgen::PKCS_ECDSA_P384_SHA384), (curve("secp384r1"), Hash::Sha384));
    assert_eq!(read(&rcgen::PKCS_ED25519), (PublicKey::Ed25519, Hash::Sha512));
}

/// RSASSA-PSS names its hash in its parameters, and SHA-1 by leaving it out (RFC 4055 §3.1).
#[test]
fn the_hash_of_an_rsa_pss_signature_is_read() {
    let signed = |parameters: &[u8]| {
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
        let algorithm = bench::tlv(0x30, &[&oid, parameters].concat());
        let empty = || bench::tlv(0x30, &[]);
        let inside = [bench::tlv(2, &[1]), algorithm.clone(), empty(), empty(), empty(), empty()];
        let tbs = bench::tlv(0x30, &inside.concat());
        let whole = bench::tlv(0x30, &[tbs, algorithm, bench::tlv(3, &[0, 1])].concat());
        Certificate::read(&whole).unwrap().signature_hash()
    };
    let sha256 = bench::tlv(0x30, &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0]);
    let named = bench::tlv(0x30, &bench::tlv(0xa0, &sha256));
    assert_eq!(signed(&named), Some(Hash::Sha256));
    assert_eq!(signed(&bench::tlv(0x30, &[])), Some(Hash::Sha1));
    assert_eq!(signed(&[]), None);
}
