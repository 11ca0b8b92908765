//! Numbers in the comments are those of the checklist in `docs/rfc.md`.

use proptest::prelude::*;

use super::*;
use crate::{
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    facts::{Dane, NoTlsa},
    pki::{
        Certificate, Fault,
        bench::{Holder, NOW, Wish, chain, names},
    },
    time::UnixTime,
};

const MX: &str = "mx.example.com";

/// The record that names this certificate.
fn record(usage: u8, selector: u8, matching: u8, holder: &Holder) -> Tlsa {
    let data = holder.read().association(selector, matching).unwrap();
    Tlsa { usage, selector, matching, data }
}

fn wrong(mut record: Tlsa) -> Tlsa {
    if let Some(last) = record.data.last_mut() {
        *last ^= 1;
    }
    record
}

fn judge(sent: &[&Holder], records: &[Tlsa]) -> Result<Match, Mismatch> {
    verify(&chain(sent), records, &names(&[MX]), NOW)
}

/// root -> middle -> leaf for `mx.example.com`.
fn world() -> (Holder, Holder, Holder) {
    let root = Holder::root("root");
    let middle = root.authority("middle");
    let leaf = middle.issue(&Wish::default());
    (root, middle, leaf)
}

/// Item 22 (RFC 6698 §2.1): every usage, selector and matching type, right and wrong. With a
/// wrong one the attacker on the path shows a certificate of his own.
#[test]
fn all_kinds_of_records_match_what_they_name_and_nothing_else() {
    let (root, middle, leaf) = world();
    let own = Holder::self_signed(&Wish::default());
    for selector in 0..=1 {
        for matching in 0..=2 {
            let ee = record(3, selector, matching, &leaf);
            let held = judge(&[&leaf, &middle], std::slice::from_ref(&ee)).unwrap();
            assert_eq!(held, Match { record: ee.clone(), how: How::EndEntity });
            assert!(judge(&[&own], std::slice::from_ref(&ee)).is_err(), "{ee}");
            assert!(judge(&[&own, &leaf], std::slice::from_ref(&ee)).is_err(), "{ee}");
            // Full values with a flipped octet may be no certificate at all: unusable.
            assert!(judge(&[&leaf, &middle], &[wrong(ee.clone())]).is_err(), "{ee}");

            for anchor in [&root, &middle] {
                let ta = record(2, selector, matching, anchor);
                let held = judge(&[&leaf, &middle, &root], std::slice::from_ref(&ta)).unwrap();
                assert_eq!(held.record, ta);
                assert_eq!(held.how, How::TrustAnchor { name: Domain::parse(MX).unwrap() });
                assert!(judge(&[&own, &middle, &root], std::slice::from_ref(&ta)).is_err(), "{ta}");
                // The last octet of a full certificate is its signature's, which an anchor needs
                // no more than its name and key need it.
                if (selector, matching) != (0, 0) {
                    assert!(judge(&[&leaf, &middle, &root], &[wrong(ta.clone())]).is_err(), "{ta}");
                }
            }
            // A usage 2 record that names the end entity itself names no anchor.
            assert!(judge(&[&leaf, &middle], &[record(2, selector, matching, &leaf)]).is_err());
        }
    }
}

/// Item 16 (RFC 7672 §3.1.1): names and dates of an end entity that the record names do not count.
#[test]
fn an_end_entity_needs_neither_name_nor_date() {
    let wishes = [
        Wish { names: vec!["other.example"], ..Wish::default() },
        Wish { names: vec![], ..Wish::default() },
        Wish { years: (2001, 2002), ..Wish::default() },
        Wish { years: (2040, 2041), ..Wish::default() },
        Wish { authority: true, ..Wish::default() },
    ];
    for wish in wishes {
        let leaf = Holder::self_signed(&wish);
        assert!(judge(&[&leaf], &[record(3, 1, 1, &leaf)]).is_ok());
    }
    let old = Holder::self_signed(&Wish::default()).version_1(None);
    assert!(judge(&[&old], &[record(3, 1, 1, &old)]).is_ok());
    assert!(judge(&[&old], &[record(3, 0, 2, &old)]).is_ok());
}

/// Item 17 (RFC 7672 §3.1.2, §3.2.2): below a trust anchor names and dates count.
#[test]
fn below_a_trust_anchor_names_and_dates_count() {
    let (_, middle, leaf) = world();
    let records = [record(2, 0, 1, &middle)];
    let sent = chain(&[&leaf, &middle]);
    let at = |now| verify(&sent, &records, &names(&["example.com", MX]), now);
    assert!(at(NOW).is_ok());
    assert_eq!(at(UnixTime(1_700_000_000)), Err(Mismatch::Chain(Fault::NotYetValid)));
    assert_eq!(at(UnixTime(1_900_000_000)), Err(Mismatch::Chain(Fault::Expired)));
    let other = verify(&sent, &records, &names(&["example.com", "mx.example.org"]), NOW);
    assert_eq!(other, Err(Mismatch::Chain(Fault::WrongName(vec![MX.into()]))));
    assert!(verify(&sent, &records, &[], NOW).is_err());

    let old = middle.issue(&Wish { years: (2020, 2021), ..Wish::default() });
    assert_eq!(judge(&[&old, &middle], &records), Err(Mismatch::Chain(Fault::Expired)));
}

/// Item 17: an anchor, or a CA between, that has expired vouches for nobody.
#[test]
fn an_expired_anchor_vouches_for_nobody() {
    let ca = Wish { names: vec![], authority: true, years: (2020, 2021), ..Wish::default() };
    let root = Holder::self_signed(&ca);
    let leaf = root.issue(&Wish::default());
    for (selector, matching) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let records = [record(2, selector, matching, &root)];
        assert_eq!(judge(&[&leaf, &root], &records), Err(Mismatch::Chain(Fault::Expired)));
    }
    let good = Holder::root("good");
    let between = good.issue(&ca);
    let leaf = between.issue(&Wish::default());
    assert_eq!(
        judge(&[&leaf, &between, &good], &[record(2, 0, 1, &good)]),
        Err(Mismatch::Chain(Fault::Expired))
    );
}

/// Item 18 (RFC 7671 §5.2.2, §5.2.3): a digest finds its anchor only in the presented chain; a full
/// certificate or key is the anchor without being sent.
#[test]
fn full_anchors_need_not_be_sent() {
    let (root, middle, leaf) = world();
    for (selector, matching) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
        let records = [record(2, selector, matching, &root)];
        assert!(judge(&[&leaf, &middle, &root], &records).is_ok());
        assert_eq!(judge(&[&leaf, &middle], &records), Err(Mismatch::NoneMatches(1)));
    }
    for selector in 0..=1 {
        assert!(judge(&[&leaf, &middle], &[record(2, selector, 0, &root)]).is_ok());
        assert!(judge(&[&leaf], &[record(2, selector, 0, &middle)]).is_ok());
        // Without the CA between there is no way from root to leaf.
        assert!(judge(&[&leaf], &[record(2, selector, 0, &root)]).is_err());
    }
}

/// Attacker on the path: the anchor's certificate is public, so he sends it along with his own.
#[test]
fn a_copied_anchor_vouches_for_nobody() {
    let (root, middle, _) = world();
    let own = Holder::self_signed(&Wish::default());
    let twin = Holder::root("middle").issue(&Wish::default());
    for holder in [&own, &twin] {
        for anchor in [&root, &middle] {
            for matching in 0..=2 {
                for selector in 0..=1 {
                    let records = [record(2, selector, matching, anchor)];
                    assert!(judge(&[holder, &middle, &root], &records).is_err());
                }
            }
        }
    }
}

/// Item 19 (RFC 7672 §3.2.3): a wildcard is a whole first label and stands for one; DNS-IDs come
/// before the common name, which counts only without them.
#[test]
fn names_are_compared_as_rfc_7672_says() {
    let root = Holder::root("root");
    let records = [record(2, 1, 1, &root)];
    let cases = [
        (vec!["*.example.com"], "x", true),
        (vec!["*.com"], "x", false),
        (vec!["*.mx.example.com"], "x", false),
        (vec!["m*.example.com"], "x", false),
        (vec!["MX.Example.COM"], "x", true),
        (vec!["other.example", "mx.example.com"], "x", true),
        (vec![], MX, true),
        (vec![], "*.example.com", true),
        (vec![], "MX.example.com", true),
        (vec!["other.example"], MX, false),
        (vec![], "a server", false),
    ];
    for (names, common_name, expected) in cases {
        let leaf = root.issue(&Wish { names: names.clone(), common_name, ..Wish::default() });
        let judged = judge(&[&leaf, &root], &records);
        assert_eq!(judged.is_ok(), expected, "{names:?} {common_name}: {judged:?}");
    }
}

/// Item 20 (RFC 7671 §8): during a roll several records stand side by side; one match is enough.
#[test]
fn one_of_several_records_is_enough() {
    let (root, middle, leaf) = world();
    let next = Holder::self_signed(&Wish::default());
    let sent = [&leaf, &middle];
    assert!(judge(&sent, &[record(3, 1, 1, &next), record(3, 1, 1, &leaf)]).is_ok());
    assert!(judge(&sent, &[record(2, 0, 1, &root), record(3, 1, 1, &leaf)]).is_ok());
    assert!(judge(&sent, &[record(3, 1, 1, &next), record(2, 0, 1, &middle)]).is_ok());
    assert!(judge(&sent, &[record(3, 1, 1, &next), record(2, 0, 1, &root)]).is_err());
}

/// Item 21 (RFC 7671 §9): beside a SHA-512 record of the same usage and selector the SHA-256 one
/// does not count: an attacker who can forge SHA-256 gains nothing.
#[test]
fn only_the_strongest_digest_counts() {
    let leaf = Holder::self_signed(&Wish::default());
    let weak = record(3, 1, 1, &leaf);
    let strong = record(3, 1, 2, &leaf);
    assert!(judge(&[&leaf], &[weak.clone(), strong.clone()]).is_ok());
    assert!(judge(&[&leaf], &[weak.clone(), wrong(strong.clone())]).is_err());
    // Another selector or usage, a full value, a broken record: none of them outdoes it.
    assert!(judge(&[&leaf], &[weak.clone(), wrong(record(3, 0, 2, &leaf))]).is_ok());
    assert!(judge(&[&leaf], &[weak.clone(), wrong(record(2, 1, 2, &leaf))]).is_ok());
    assert!(judge(&[&leaf], &[record(3, 1, 0, &leaf), wrong(strong.clone())]).is_ok());
    let short = Tlsa { data: vec![1; 63], ..strong };
    assert!(judge(&[&leaf], &[weak, short]).is_ok());
}

/// Item 5 (RFC 7672 §2.2, §3.1.3): what makes a record unusable.
#[test]
fn odd_records_cannot_be_used() {
    let leaf = Holder::self_signed(&Wish::default());
    for usage in 0..=4 {
        for selector in 0..=2 {
            for matching in 0..=3 {
                let named = record(3, selector.min(1), matching.min(2), &leaf);
                let record = Tlsa { usage, selector, matching, data: named.data };
                let usable = (2..=3).contains(&usage) && selector <= 1 && matching <= 2;
                assert_eq!(record.is_usable(), usable, "{record}");
                if !usable {
                    assert_eq!(judge(&[&leaf], &[record]), Err(Mismatch::NothingUsable));
                }
            }
        }
    }
    for (matching, length) in [(1, 31), (1, 33), (2, 63), (2, 65), (1, 0), (0, 0), (0, 40)] {
        for selector in 0..=1 {
            let record = Tlsa { usage: 3, selector, matching, data: vec![7; length] };
            assert!(!record.is_usable(), "{record}");
        }
    }
}

/// An end entity with `CA:TRUE` or of X.509 version 1 below a trust anchor is one all the same.
#[test]
fn odd_end_entities_match_below_a_trust_anchor() {
    let (root, middle, _) = world();
    let authority = middle.issue(&Wish { authority: true, ..Wish::default() });
    assert!(judge(&[&authority, &middle], &[record(2, 0, 1, &middle)]).is_ok());
    assert!(judge(&[&authority, &middle], &[record(2, 1, 0, &root)]).is_ok());
    let first = Wish { names: vec![], common_name: MX, ..Wish::default() };
    let first = middle.issue(&first).version_1(Some(&middle));
    assert!(judge(&[&first, &middle], &[record(2, 0, 1, &middle)]).is_ok());
    // And a root of version 1 is an anchor.
    let old = Holder::root("old").version_1(None);
    let leaf = old.issue(&Wish::default());
    assert!(judge(&[&leaf, &old], &[record(2, 0, 1, &old)]).is_ok());
}

/// Hostile zone, hostile server: more records or certificates than anybody needs are refused.
#[test]
fn records_and_chains_have_limits() {
    let leaf = Holder::self_signed(&Wish::default());
    let right = record(3, 1, 1, &leaf);
    let mut records = vec![right; MAX_RECORDS];
    assert!(judge(&[&leaf], &records).is_ok());
    records.push(records[0].clone());
    assert_eq!(judge(&[&leaf], &records), Err(Mismatch::TooMany(MAX_RECORDS + 1)));
    let many = vec![&leaf; crate::pki::MAX_CHAIN + 1];
    assert_eq!(judge(&many, &records[..1]), Err(Mismatch::Chain(Fault::TooLong)));
    assert_eq!(judge(&[], &records[..1]), Err(Mismatch::Chain(Fault::Missing)));
}

/// Items 9 to 12 (RFC 7672 §2.2.2): at which names TLSA records are asked for.
#[test]
fn records_are_asked_for_where_the_zone_is_signed() {
    let host = Domain::parse("mx.example.com").unwrap();
    let target = Domain::parse("mx.provider.example").unwrap();
    let (secure, insecure) = (Authenticity::Secure, Authenticity::Insecure);
    let aliased =
        |first, expanded: Option<&Domain>| Reach::Aliased { first, expanded: expanded.cloned() };
    let cases = [
        ("item 9: a signed host", Reach::Direct(secure), vec![&host]),
        ("item 9: an unsigned host", Reach::Direct(insecure), vec![]),
        (
            "item 10: a secure alias, all the way",
            aliased(secure, Some(&target)),
            vec![&target, &host],
        ),
        ("item 11: a secure alias into an unsigned zone", aliased(secure, None), vec![&host]),
        ("item 12: an insecure alias", aliased(insecure, None), vec![]),
        (
            "item 12: an insecure alias taints what follows",
            aliased(insecure, Some(&target)),
            vec![],
        ),
    ];
    for (what, reach, expected) in cases {
        assert_eq!(bases(&host, &reach).iter().collect::<Vec<_>>(), expected, "{what}");
    }
    // Item 14: another port, another owner (§2.2.3).
    assert_eq!(owner(&host, 25).unwrap().as_str(), "_25._tcp.mx.example.com");
    assert_eq!(owner(&host, 587).unwrap().as_str(), "_587._tcp.mx.example.com");
}

/// Items 2, 3, 5, 6 (RFC 7672 §2.2): the four outcomes of a TLSA lookup stay apart.
#[test]
fn four_outcomes_stay_apart() {
    let base = Domain::parse(MX).unwrap();
    let good = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1; 32] };
    let odd = Tlsa { usage: 1, ..good.clone() };
    let found = |value: Vec<Tlsa>, authenticity| Answer::Found {
        value,
        authenticity,
        expires: NOW,
        chain: None,
    };
    let absent =
        |absence| Answer::Absent { denial: Denial::NxDomain, absence, expires: NOW, chain: None };
    let records = vec![odd.clone(), good];
    let (base2, chain) = (base.clone(), None);
    assert_eq!(
        read(&base, found(records.clone(), Authenticity::Secure)),
        Read::Is(Dane::Usable { base: base2.clone(), records: records.clone(), chain })
    );
    assert_eq!(
        read(&base, found(vec![odd.clone()], Authenticity::Secure)),
        Read::Is(Dane::Unusable { base: base2, records: vec![odd], chain })
    );
    let insecure = found(records.clone(), Authenticity::Insecure);
    assert_eq!(read(&base, insecure), Read::Next(NoTlsa::InsecureAnswer));
    assert_eq!(read(&base, absent(Absence::Secure)), Read::Next(NoTlsa::Denied));
    assert_eq!(read(&base, absent(Absence::Unconfirmed)), Read::Next(NoTlsa::InsecureAnswer));
    for kind in [FailureKind::Bogus, FailureKind::Indeterminate, FailureKind::ServFail] {
        let failure = LookupFailure { name: (&base).into(), kind, detail: "so".into() };
        let answer = Answer::Failed(failure.clone());
        assert_eq!(read(&base, answer), Read::Is(Dane::LookupFailed(failure)));
    }
    let flood = found(vec![records[1].clone(); MAX_RECORDS + 1], Authenticity::Secure);
    let Read::Is(Dane::LookupFailed(failure)) = read(&base, flood) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Limit);
    // Few, but so large that no record of the attempt could be kept.
    let large = Tlsa { usage: 3, selector: 0, matching: 0, data: vec![0; MAX_OCTETS / 4 + 1] };
    let flood = found(vec![large; 4], Authenticity::Secure);
    let Read::Is(Dane::LookupFailed(failure)) = read(&base, flood) else { panic!() };
    assert_eq!(failure.kind, FailureKind::Limit);
}

proptest! {
    /// Hostile zone: no record makes matching panic, and none that is made up matches.
    #[test]
    fn made_up_records_never_match(
        usage in 0..5_u8,
        selector in 0..3_u8,
        matching in 0..4_u8,
        data in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        thread_local! {
            static LEAF: Holder = Holder::self_signed(&Wish::default());
        }
        LEAF.with(|leaf| {
            let record = Tlsa { usage, selector, matching, data };
            assert!(judge(&[leaf], &[record]).is_err());
        });
    }

    /// Hostile server: no octets make the reader of certificates panic.
    #[test]
    fn made_up_certificates_are_refused(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Certificate::read(&octets).is_err());
    }
}
