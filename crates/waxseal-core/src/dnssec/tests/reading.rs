//! What is read before anything is judged: anchors, names, hashes, messages.

use super::*;

#[test]
fn anchors_are_read_from_ds_and_dnskey_lines() {
    let iana = Anchors::iana();
    assert_eq!(iana.zones().collect::<Vec<_>>(), [&Name::root()]);
    assert_eq!(iana.closest(&name("example.com")).unwrap().1.len(), 2);
    let text = "; the lab\nexample.com. 3600 IN DNSKEY 257 3 13 (AAAA)\n";
    assert_eq!(
        Anchors::parse(text).unwrap_err().to_string(),
        "trust anchors, line 2: the key is not base64"
    );
    assert!(Anchors::parse("example.com DNSKEY 257 3 13 AAAA BBBB\n").is_ok());
    assert_eq!(
        Anchors::parse("\n; none\n").unwrap_err().to_string(),
        "trust anchors: there is none"
    );
    assert!(Anchors::parse(". IN A 192.0.2.1\n").is_err());
    let many = ". DS 1 13 2 AA\n".repeat(65);
    assert_eq!(Anchors::parse(&many).unwrap_err().line, 65);
}

#[test]
fn names_order_as_in_rfc_4034() {
    // RFC 4034 §6.1, the example
    let texts = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "z.a.example",
        "zabc.a.example",
        "z.example",
    ];
    let names: Vec<Name> = texts.iter().map(|text| name(text)).collect();
    assert!(names.is_sorted());
    assert!(name("example") < name("example").child(&[1]).unwrap());
}

#[test]
fn nsec3_hashes_match_rfc_5155() {
    // RFC 5155 Appendix A: salt aabbccdd, 12 iterations
    let hash = denial::hash(&name("example"), 12, &[0xaa, 0xbb, 0xcc, 0xdd]);
    assert_eq!(signer::base32hex(&hash), "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
}

#[test]
fn answers_to_other_questions_are_not_taken() {
    let question = Question::new(name("www.good.com"), A);
    let message = signer::message(&question, 0, &[]);
    let now = UnixTime(NOW);
    assert!(Response::parse(&message, 7, &question, now).is_ok());
    let says = |message: &[u8], id, question| {
        Response::parse(message, id, question, now).unwrap_err().to_string()
    };
    assert_eq!(says(&message, 8, &question), "the id is not that of the question");
    let other = Question::new(name("www.good.com"), MX);
    assert_eq!(says(&message, 7, &other), "it answers another question");
    let mut query = message.clone();
    query[2] &= 0x7f;
    assert_eq!(says(&query, 7, &question), "not a response to a query");
    assert_eq!(says(&message[..11], 7, &question), "too short for DNS");
    let many: Vec<Rr> = (0..4_097_u16)
        .map(|n| Rr::a(question.name.clone(), [10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]))
        .collect();
    assert_eq!(says(&signer::message(&question, 0, &many), 7, &question), "more than 4096 records");
    // A hostile server: each set costs memory, whatever little is in it.
    let many: Vec<Rr> =
        (0..257).map(|n| Rr::a(name(&format!("h{n}.good.com")), [10, 0, 0, 1])).collect();
    assert_eq!(says(&signer::message(&question, 0, &many), 7, &question), "more than 256 RRsets");
    let fewer = Response::parse(&signer::message(&question, 0, &many[..256]), 7, &question, now);
    assert!(fewer.unwrap().octets() > 256 * 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Hostile bytes: neither a message nor a proof makes the validator fall over.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&bytes);
    }

    /// On the path: one octet anywhere in any answer about a signed name is changed. The answer
    /// may be refused; it is never another one.
    #[test]
    fn no_single_octet_can_be_changed(place in 0_usize..2_000, change in 1_u8..=255) {
        thread_local! {
            static WORLD: World = world();
        }
        WORLD.with(|world| {
            let question = Question::new(name("www.good.com"), A);
            let found = look(world, ("www.good.com", A), |asked, records| {
                if *asked != question {
                    return;
                }
                let mut at = place % records.iter().map(|rr| rr.rdata.len()).sum::<usize>();
                for rr in records {
                    if at < rr.rdata.len() {
                        rr.rdata[at] ^= change;
                        return;
                    }
                    at -= rr.rdata.len();
                }
            });
            let same = found.finding == Finding::Records(vec![vec![192, 0, 2, 1]]);
            let sound = found.proof != Proof::Insecure && (found.proof != Proof::Secure || same);
            prop_assert!(sound, "{found:?}");
            Ok::<(), TestCaseError>(())
        })?;
    }
}
