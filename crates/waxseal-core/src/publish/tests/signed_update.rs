//! Updates that are signed, and what is believed of the answers.

use super::*;

fn tsig() -> update::Key {
    update::Key::new(&name("waxseal.key"), Algorithm::HmacSha256, &[7; 32]).unwrap()
}

fn an_update(key: &update::Key) -> update::Request {
    an_update_if(&[], key)
}

fn an_update_if(required: &[Prerequisite], key: &update::Key) -> update::Request {
    let records = texts::tlsa(&name("mx.example.com"), vec![texts::end_entity([1; 32])], HOUR);
    let change = Change::Replace {
        owner: name("_25._tcp.mx.example.com"),
        record_type: crate::dnssec::RecordType::TLSA,
        records: records.unwrap(),
    };
    update::request(&name("example.com"), (required, &[change]), key, 0x1234, NOW).unwrap()
}

/// A server's answer: the header, signed over the request's MAC.
fn answer(request: &update::Request, rcode: u8, secret: &[u8], now: UnixTime) -> Vec<u8> {
    let mac = &request.message[request.message.len() - 6 - 32..request.message.len() - 6];
    let mut message = vec![0x12, 0x34, 0xa8, rcode, 0, 0, 0, 0, 0, 0, 0, 0];
    let name = b"\x07waxseal\x03key\0";
    let algorithm = b"\x0bhmac-sha256\0";
    let mut signed = [&[0, 32], mac, &message, name, &[0, 255, 0, 0, 0, 0], algorithm].concat();
    let time = &now.0.to_be_bytes()[2..];
    signed.extend([time, &[1, 44, 0, 0, 0, 0]].concat());
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&secret, &signed);
    let rdata =
        [algorithm, time, &[1, 44, 0, 32], tag.as_ref(), &[0x12, 0x34, 0, 0, 0, 0]].concat();
    message[11] = 1;
    let length = u16::try_from(rdata.len()).unwrap().to_be_bytes();
    message.extend([name.as_slice(), &[0, 250, 0, 255, 0, 0, 0, 0], &length, &rdata].concat());
    message
}

#[test]
fn an_update_is_what_rfc_2136_says() {
    let request = an_update(&tsig());
    let message = domain::base::Message::from_slice(&request.message).unwrap();
    assert_eq!(message.header().opcode(), domain::base::iana::Opcode::UPDATE);
    let counts = message.header_counts();
    assert_eq!(
        (counts.qdcount(), counts.ancount(), counts.nscount(), counts.arcount()),
        (1, 0, 2, 1)
    );
    let zone = message.sole_question().unwrap();
    assert_eq!(zone.qname().to_string(), "example.com");
    let records: Vec<_> = message.authority().unwrap().map(|record| record.unwrap()).collect();
    let classes: Vec<_> = records.iter().map(|record| record.class().to_int()).collect();
    assert_eq!(classes, [255, 1], "delete the set, then add");
    let last = message.additional().unwrap().next().unwrap().unwrap();
    assert_eq!(last.rtype(), domain::base::iana::Rtype::TSIG);
}

/// RFC 2136 §2.4.2, §2.4.3
#[test]
fn an_update_says_what_it_expects_to_find() {
    let owner = name("_25._tcp.mx.example.com");
    let record_type = crate::dnssec::RecordType::TLSA;
    let rdata = vec![vec![3, 1, 1, 9], vec![3, 1, 1, 8]];
    for (rdata, classes, last) in
        [(rdata, vec![1, 1], vec![3, 1, 1, 8]), (Vec::new(), vec![254], Vec::new())]
    {
        let required = Prerequisite { owner: owner.clone(), record_type, rdata };
        let request = an_update_if(std::slice::from_ref(&required), &tsig());
        let message = domain::base::Message::from_slice(&request.message).unwrap();
        let records: Vec<_> = message.answer().unwrap().map(|record| record.unwrap()).collect();
        let found: Vec<_> = records.iter().map(|record| record.class().to_int()).collect();
        assert_eq!(found, classes);
        assert!(records.iter().all(|record| record.ttl().as_secs() == 0));
        let named = records.last().unwrap().to_record::<domain::base::UnknownRecordData<&[u8]>>();
        assert_eq!(*named.unwrap().unwrap().data().data(), last.as_slice());
        assert_eq!(message.header_counts().nscount(), 2, "the changes follow");
    }
    let long = vec![vec![0; 70_000]];
    let required = [Prerequisite { owner, record_type, rdata: long }];
    let long = update::request(&name("example.com"), (&required, &[]), &tsig(), 1, NOW);
    assert_eq!(long.unwrap_err(), UpdateError::TooLong);
}

#[test]
fn each_refusal_is_said_in_its_own_words() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let said = |rcode| {
        let no = answer(&request, rcode, &[7; 32], NOW);
        update::response(&request, &key, &no, NOW).unwrap_err().to_string()
    };
    let words = [
        (1, "FORMERR"),
        (2, "SERVFAIL"),
        (4, "NOTIMP"),
        (5, "may the key change these names"),
        (6, "somebody else changed the same records since we looked"),
        (7, "records stand there that did not before: YXRRSET"),
        (8, "what was there is gone or differs: NXRRSET"),
        (9, "not the primary of this zone"),
        (10, "outside the zone"),
        (11, "RCODE 11"),
    ];
    for (rcode, words) in words {
        assert!(said(rcode).contains(words), "{rcode}: {}", said(rcode));
    }
    let all: std::collections::BTreeSet<String> =
        words.iter().map(|(rcode, _)| said(*rcode)).collect();
    assert_eq!(all.len(), words.len() - 1, "6 and 7 mean the same");
}

#[test]
fn a_signed_yes_is_a_yes() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let yes = answer(&request, 0, &[7; 32], NOW);
    assert_eq!(update::response(&request, &key, &yes, NOW), Ok(()));
    let no = answer(&request, 5, &[7; 32], NOW);
    let refused = update::response(&request, &key, &no, NOW).unwrap_err().to_string();
    assert!(refused.contains("REFUSED"), "{refused}");
}

/// Attacker on the path to the server: says yes for it, says an old yes again, or changes a no.
#[test]
fn on_the_path_nobody_can_say_yes_for_the_server() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let forged = answer(&request, 0, &[8; 32], NOW);
    let not_authentic = |message: &[u8], now| {
        matches!(
            update::response(&request, &key, message, now),
            Err(UpdateError::NotAuthentic(_) | UpdateError::NotAnAnswer(_))
        )
    };
    assert!(not_authentic(&forged, NOW));
    let yes = answer(&request, 0, &[7; 32], NOW);
    assert!(not_authentic(&yes, later(301)), "too late");
    let unsigned = [&yes[..11], &[0]].concat();
    assert!(not_authentic(&unsigned, NOW));
    let mut changed = answer(&request, 5, &[7; 32], NOW);
    changed[3] = 0;
    assert!(not_authentic(&changed, NOW));
    // The answer to another update.
    let mut other = an_update(&tsig());
    let place = other.message.len() - 20;
    other.message[place] ^= 1;
    assert!(not_authentic(&answer(&other, 0, &[7; 32], NOW), NOW));
    for length in 0..yes.len() {
        assert!(update::response(&request, &key, &yes[..length], NOW).is_err(), "{length}");
    }
    for (place, mask) in (0..yes.len()).flat_map(|place| [(place, 0xff), (place, 1)]) {
        let mut broken = yes.clone();
        broken[place] ^= mask;
        // Flags beside response code and opcode are the server's own affair.
        if place != 2 {
            assert!(update::response(&request, &key, &broken, NOW).is_err(), "{place}");
        }
    }
}

#[test]
fn a_server_that_does_not_know_the_key_is_told_apart() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let rdata = [
        b"\x0bhmac-sha256\0".as_slice(),
        &[0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0x12, 0x34, 0, 17, 0, 0],
    ]
    .concat();
    let mut message = vec![0x12, 0x34, 0xa8, 9, 0, 0, 0, 0, 0, 0, 0, 1];
    let length = u16::try_from(rdata.len()).unwrap().to_be_bytes();
    message.extend(
        [b"\x07waxseal\x03key\0".as_slice(), &[0, 250, 0, 255, 0, 0, 0, 0], &length, &rdata]
            .concat(),
    );
    let why = update::response(&request, &key, &message, NOW).unwrap_err().to_string();
    assert!(why.contains("BADKEY"), "{why}");
    let short = update::Key::new(&name("k"), Algorithm::HmacSha512, &[1; 15]);
    assert_eq!(short.unwrap_err(), UpdateError::ShortKey);
}

#[test]
fn an_update_has_a_longest_length() {
    let record = texts::dkim(&name("example.com"), &name("s"), Some("x".repeat(60_000)), HOUR);
    let changes = [Change::Add(vec![record.unwrap(); 2])];
    let long = update::request(&name("example.com"), (&[], &changes), &tsig(), 1, NOW);
    assert_eq!(long.unwrap_err(), UpdateError::TooLong);
}
