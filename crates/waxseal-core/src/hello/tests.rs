//! Hellos and answers as octets; real servers are asked in the integration tests.

use super::{
    GOOD_SUITES, Offer, Said, ServerHello, Until, Version, WEAK_SUITES, Words, suite_name,
};
use crate::domain::Domain;

fn answer(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&[kind, 3, 3], length.to_be_bytes().as_slice(), content].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

fn server_hello(version: u16, suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    message(2, &body)
}

#[test]
fn a_hello_is_one_record_with_what_is_offered() {
    let name = Domain::parse("mx.example.net").unwrap();
    let offer = |version| Offer {
        version,
        suites: &[0xc02f, 0x1301],
        groups: &[29],
        name: &name,
        random: [9; 32],
    };
    for version in [Version::Ssl3, Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3] {
        let octets = offer(version).octets();
        assert_eq!(octets[0], 22);
        assert_eq!(usize::from(u16::from_be_bytes([octets[3], octets[4]])), octets.len() - 5);
        let length = u32::from_be_bytes([0, octets[6], octets[7], octets[8]]);
        assert_eq!(usize::try_from(length).unwrap(), octets.len() - 9);
        assert_eq!(octets[9..11], version.min(Version::V1_2).number().to_be_bytes());
        let named = octets.windows(14).any(|window| window == b"mx.example.net");
        assert_eq!(named, version > Version::Ssl3, "SSL 3.0 has no extensions");
        assert_eq!(Version::of(version.number()), Some(version));
    }
}

#[test]
fn answers_are_read_at_every_chunk_size() {
    let whole = answer(22, &server_hello(0x0303, 0xc013, &[0, 23, 0, 0]));
    let hello =
        ServerHello { version: 0x0303, suite: 0xc013, group: None, extended_master_secret: true };
    for size in 1..whole.len() {
        let mut words = Words::new(Until::Hello);
        let mut said = None;
        for chunk in whole.chunks(size) {
            said = said.or(words.push(chunk).unwrap());
        }
        assert_eq!(said, Some(Said::Hello(hello)));
    }
    assert_eq!(Words::new(Until::Hello).push(&answer(21, &[2, 70])), Ok(Some(Said::Alert(70))));
}

#[test]
fn the_curve_of_tls_1_2_is_read_behind_the_certificate() {
    let flight = [
        server_hello(0x0303, 0xc02f, &[]),
        message(11, &[0; 40_000]),
        message(12, &[3, 0, 22, 65]),
    ]
    .concat();
    let mut words = Words::new(Until::Curve);
    let mut said = None;
    for record in flight.chunks(10_000) {
        said = said.or(words.push(&answer(22, record)).unwrap());
    }
    let Some(Said::Hello(hello)) = said else { panic!("{said:?}") };
    assert_eq!(hello.group, Some(22));
}

/// A retry of TLS 1.3 names the group that the server wants.
#[test]
fn a_hello_retry_request_names_its_group() {
    let extensions = [0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 1, 0];
    let mut octets = server_hello(0x0303, 0x1301, &extensions);
    octets[6..38].copy_from_slice(&super::said::RETRY);
    let said = Words::new(Until::Hello).push(&answer(22, &octets)).unwrap();
    let Some(Said::Hello(hello)) = said else { panic!("{said:?}") };
    assert_eq!((hello.version, hello.group), (0x0304, Some(256)));
}

/// Servers from before TLS 1.3 warn of a name that they do not know, and go on with old versions.
#[test]
fn a_warning_is_no_refusal() {
    let hello = answer(22, &server_hello(0x0301, 5, &[]));
    let said = |alert: &[u8]| {
        let mut words = Words::new(Until::Hello);
        words.push(&[answer(21, alert), hello.clone()].concat()).unwrap()
    };
    let Some(Said::Hello(chosen)) = said(&[1, 112]) else { panic!("a warning ended it") };
    assert_eq!((chosen.version, chosen.suite), (0x0301, 5));
    assert_eq!(said(&[2, 112]), Some(Said::Alert(112)));
    assert_eq!(said(&[1, 0]), Some(Said::Alert(0)), "it took its leave");
}

/// The attacker is a mail host that warns without end.
#[test]
fn warnings_without_an_end_are_nonsense() {
    let mut words = Words::new(Until::Hello);
    let warnings = answer(21, &[1, 112]).repeat(1_000);
    let end = (0..100).find(|_| words.push(&warnings).is_err());
    assert_eq!(end, Some(14), "more than 96 KiB");
}

/// The attacker is a mail host that sends without end.
#[test]
fn an_answer_past_the_limits_is_nonsense() {
    let mut words = Words::new(Until::Curve);
    let endless = answer(22, &message(2, &[0; 30]));
    assert!(words.push(&endless).is_err(), "a ServerHello that is none");
    let mut words = Words::new(Until::Curve);
    assert_eq!(words.push(&answer(22, &server_hello(0x0303, 5, &[]))), Ok(None));
    let filler = answer(22, &message(11, &[0; 16_000]));
    let end = (0..10).find(|_| words.push(&filler).is_err());
    assert_eq!(end, Some(6), "more than 96 KiB");
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[22, 3, 3, 255, 255], &[99, 3, 3, 0, 1]]
    {
        assert!(Words::new(Until::Hello).push(nonsense).is_err());
    }
    assert!(Words::new(Until::Hello).push(&answer(22, &[11, 0, 0, 0])).is_err());
}

#[test]
fn weak_suites_have_names_and_none_is_good() {
    for (number, name, _) in WEAK_SUITES {
        assert!(!GOOD_SUITES.contains(number), "{name}");
        assert_eq!(suite_name(*number), *name);
        let same = WEAK_SUITES.iter().filter(|(other, ..)| other == number).count();
        assert_eq!(same, 1, "{name} stands there twice");
    }
}

proptest::proptest! {
    /// A hostile mail host may say anything: it is read, or refused, in bounded steps.
    #[test]
    fn no_answer_panics(octets in proptest::collection::vec(0_u8..=255, 0..600)) {
        for until in [Until::Hello, Until::Curve] {
            let _any = Words::new(until).push(&octets);
            let _any = Words::new(until).push(&answer(22, &octets));
            let _any = Words::new(until).push(&answer(22, &message(2, &octets)));
        }
    }
}
