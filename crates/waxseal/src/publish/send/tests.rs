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
