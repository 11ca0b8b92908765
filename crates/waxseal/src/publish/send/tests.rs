//! What an update sends: nothing that is not wanted, and nothing that was decided on for another state of the zone.

use std::time::Duration;

use waxseal_core::{
    dane::Tlsa,
    dns::{Answer, Authenticity},
    publish::texts,
};

use super::*;

const PRUNING: Consent = Consent { surplus: There::Remove, differing: There::Keep };
const ADDING: Consent = Consent { surplus: There::Keep, differing: There::Keep };

/// A host that wants the records of keys 1 and 2, and has those of `live`.
fn finding(live: &[u8], authenticity: Authenticity) -> Finding {
    let host = Domain::parse("mx.example.com").unwrap();
    let of = |digest: &u8| texts::end_entity([*digest; 32]);
    let wanted = texts::tlsa(&host, vec![of(&1), of(&2)], Duration::from_secs(300)).unwrap();
    let value: Vec<Tlsa> = live.iter().map(of).collect();
    let answer = Answer::Found { value, authenticity, expires: UnixTime(9), chain: None };
    publish::tlsa(&host, wanted, &answer)
}

fn rdata(tlsa: &Tlsa) -> Vec<u8> {
    [&[tlsa.usage, tlsa.selector, tlsa.matching], tlsa.data.as_slice()].concat()
}

fn has(digests: &[u8]) -> Stands {
    Stands::Own(digests.iter().map(|one| rdata(&texts::end_entity([*one; 32]))).collect())
}

#[test]
fn only_records_that_nobody_wants_are_removed() {
    for authenticity in [Authenticity::Secure, Authenticity::Insecure] {
        let all = finding(&[1, 2], authenticity);
        assert_eq!(change(&all, PRUNING), Ok(None), "nothing is there too many");
        let lacking = finding(&[1], authenticity);
        assert!(matches!(change(&lacking, PRUNING), Ok(Some(Change::Add(_)))));
        let more = finding(&[1, 2, 3], authenticity);
        assert!(matches!(change(&more, PRUNING), Ok(Some(Change::Replace { .. }))));
        assert_eq!(change(&more, ADDING), Ok(None));
    }
}

/// Two administrators: one takes all records away while the other adds one. What comes to others turns nobody away,
/// and the first that count do (RFC 7672 §2.2).
#[test]
fn records_that_would_now_be_the_first_are_not_added() {
    let beside = finding(&[7], Authenticity::Secure);
    let add = change(&beside, ADDING).unwrap().unwrap();
    assert!(matches!(done(&beside, &add, &has(&[7])), Left::Change));
    assert!(matches!(done(&beside, &add, &has(&[8])), Left::Change));
    let unusable = Stands::Own(vec![rdata(&Tlsa { usage: 1, ..texts::end_entity([7; 32]) })]);
    for gone in [has(&[]), unusable] {
        let left = done(&beside, &add, &gone);
        assert!(matches!(left, Left::Refused(Reason::Changed, why) if why.contains("the first")));
    }
    // Those that were the first when they were decided on stay so.
    let first = finding(&[7], Authenticity::Insecure);
    assert!(matches!(done(&first, &add, &has(&[])), Left::Change));
}
