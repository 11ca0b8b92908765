use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::Ed25519KeyPair,
};

use super::*;
use crate::{domain::Domain, time::UnixTime};

const NOW: UnixTime = UnixTime(1_795_327_200);

/// Signed with dkimpy 1.1.8, an independent implementation.
const RSA: &[u8] = include_bytes!("testdata/rsa.txt");
const ED25519: &[u8] = include_bytes!("testdata/ed25519.txt");
const SIGNED: [(&[u8], &[u8]); 4] = [
    (include_bytes!("testdata/rsa-relaxed.eml"), RSA),
    (include_bytes!("testdata/rsa-simple.eml"), RSA),
    (include_bytes!("testdata/ed25519-relaxed.eml"), ED25519),
    (include_bytes!("testdata/ed25519-mixed.eml"), ED25519),
];

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn check(message: &[u8], record: &[u8]) -> Result<(), Fault> {
    claims(message)[0].check(message, record, NOW)
}

#[test]
fn what_another_implementation_signed_holds() {
    for (message, record) in SIGNED {
        let claims = claims(message);
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].domain, domain("example.com"));
        assert_eq!(check(message, record), Ok(()), "{}", String::from_utf8_lossy(message));
    }
}

/// Another tenant of the same cloud changes what our people signed.
#[test]
fn a_changed_message_does_not_hold() {
    for (message, record) in SIGNED {
        let body = replaced(message, "Hello", "Hallo");
        assert_eq!(check(&body, record), Err(Fault::Body));
        let more = [message, b"and more\r\n"].concat();
        assert_eq!(check(&more, record), Err(Fault::Body));
        let header = replaced(message, "bob@", "eve@");
        assert_eq!(check(&header, record), Err(Fault::Signature));
        let second = replaced(message, "To: ", "From: eve@example.com\r\nTo: ");
        assert_eq!(check(&second, record), Err(Fault::From));
        let other = if record == RSA { ED25519 } else { RSA };
        assert_eq!(check(message, other), Err(Fault::Signature));
    }
}

#[test]
fn white_space_may_change_where_it_was_allowed_to() {
    let (relaxed, simple) = (SIGNED[0].0, SIGNED[1].0);
    let spaced = |message| replaced(message, "Subject:  A   folded", "Subject: A folded");
    assert_eq!(check(&spaced(relaxed), RSA), Ok(()));
    assert_eq!(check(&spaced(simple), RSA), Err(Fault::Signature));
    let body = |message| replaced(message, "Hello,  \t there ", "Hello, there");
    assert_eq!(check(&body(relaxed), RSA), Ok(()));
    assert_eq!(check(&body(simple), RSA), Err(Fault::Body));
}

/// A stranger sends a signature that covers only a part, or that he made himself.
#[test]
fn signatures_that_cannot_vouch_are_no_claims() {
    assert!(claims(include_bytes!("testdata/length.eml")).is_empty());
    let good = SIGNED[0].0;
    for (from, to) in [
        ("v=1;", "v=2;"),
        ("a=rsa-sha256", "a=rsa-sha1"),
        ("h=from : to", "h=x : to"),
        ("d=example.com", "d=example"),
        ("bh=", "bx="),
        ("s=rsa;", "s=r sa;"),
        ("c=relaxed/relaxed", "c=relaxed/loose"),
        ("v=1;", "v=1; i=@example.net;"),
        ("v=1;", "v=1; v=1;"),
    ] {
        let changed = replaced(good, from, to);
        let holds = claims(&changed).iter().any(|claim| claim.check(&changed, RSA, NOW).is_ok());
        assert!(!holds, "{from} -> {to}");
    }
    let ended = replaced(good, "v=1;", "v=1; x=1700000000;");
    assert_eq!(check(&ended, RSA), Err(Fault::Expired));
}

#[test]
fn keys_that_must_not_be_used_are_refused() {
    let text = String::from_utf8(RSA.to_vec()).unwrap();
    for (from, to) in [
        ("v=DKIM1; ", "v=DKIM2; "),
        ("k=rsa;", "k=rsa; t=y;"),
        ("k=rsa;", "k=rsa; h=sha1;"),
        ("k=rsa;", "k=rsa; s=other;"),
        ("k=rsa;", "k=dsa;"),
    ] {
        let record = text.replacen(from, to, 1);
        assert!(matches!(check(SIGNED[0].0, record.as_bytes()), Err(Fault::Key(_))), "{to}");
    }
    for record in ["v=DKIM1; p=", "", "garbage", "v=DKIM1; p=!!!"] {
        assert!(matches!(check(SIGNED[0].0, record.as_bytes()), Err(Fault::Key(_))), "{record}");
    }
    assert_eq!(check(SIGNED[0].0, b"v=DKIM1; p=AAAA"), Err(Fault::Signature));
}

/// A hostile message: many signatures, long tags, no body, no colon.
#[test]
fn hostile_messages_are_bounded() {
    let signature = String::from_utf8_lossy(SIGNED[0].0).into_owned();
    let (head, _) = signature.split_once("From:").unwrap();
    let many = head.repeat(1_000);
    assert_eq!(claims(many.as_bytes()).len(), MOST_SIGNATURES);
    let long = format!("DKIM-Signature: v=1; a={}\r\n\r\n", "x".repeat(1_000_000));
    assert!(claims(long.as_bytes()).is_empty());
    let tags = format!("DKIM-Signature: {}\r\n\r\n", "a=b;".repeat(4_000));
    assert!(claims(tags.as_bytes()).is_empty());
    for text in ["", "\r\n", "DKIM-Signature", "DKIM-Signature:", "DKIM-Signature: ;;;=;\r\n"] {
        assert!(claims(text.as_bytes()).is_empty(), "{text:?}");
    }
}

#[test]
fn our_own_signature_holds_with_both_kinds_of_keys() {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let message = b"From: postmaster@example.com\r\nTo: ann@example.com\r\nSubject: Not delivered\r\n\r\nText.\r\n";
    for pkcs8 in [rsa.as_ref(), ed25519.as_ref()] {
        let signer = Signer::new(domain("example.com"), domain("s1"), pkcs8).unwrap();
        let signed = signer.sign(message, NOW, &SystemRandom::new()).unwrap();
        let claim = &claims(&signed)[0];
        assert_eq!(claim.key_name, domain("s1._domainkey.example.com"));
        assert_eq!(*signer.name(), claim.key_name);
        assert_eq!(claim.check(&signed, signer.record().as_bytes(), NOW), Ok(()));
        // With RSA the form that `openssl rsa -pubout` writes: other verifiers read no other.
        let (rsa, spki) = (signer.record().contains("k=rsa;"), "p=MIIBIjANBgkqhkiG9w0BAQEFAA");
        assert_eq!(signer.record().contains(spki), rsa, "{}", signer.record());
        // From is signed twice: none can be added above it.
        assert!(String::from_utf8_lossy(&signed).contains("h=from:from:to:subject;"));
    }
    assert!(matches!(
        Signer::new(domain("a.example"), domain("s"), b"no key"),
        Err(SignerError::Kind)
    ));
}
