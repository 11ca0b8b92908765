use std::collections::BTreeMap;

use waxseal_lab::{Attack, Protection};

use super::{
    Shown, json, picture, summary,
    table::{Message, Outcome, scenarios},
};
use crate::cli::Paint;

/// Everything as expected.
fn perfect() -> Vec<Shown> {
    let shown = |scenario: super::Scenario| Shown {
        scenario,
        outcome: scenario.expected,
        level: None,
        because: Vec::new(),
        read: Vec::new(),
    };
    scenarios().unwrap().into_iter().map(shown).collect()
}

#[test]
fn the_table_has_each_message_for_each_pair_that_makes_sense() {
    let scenarios = scenarios().unwrap();
    let mut pairs: BTreeMap<(Attack, Protection), Vec<Message>> = BTreeMap::new();
    for scenario in &scenarios {
        let pair = pairs.entry((scenario.attack, scenario.protection)).or_default();
        pair.push(scenario.message);
    }
    assert!(pairs.values().all(|messages| *messages == Message::ALL));
    assert_eq!((pairs.len(), scenarios.len()), (92, 368));
    // DESIGN §8: cells that make no sense are left out.
    let has = |attack, protection| pairs.contains_key(&(attack, protection));
    assert!(!has(Attack::SelfSigned, Protection::None));
    assert!(!has(Attack::MisissuedCert, Protection::None));
    assert!(!has(Attack::StripRrsig, Protection::StsCold));
    assert!(has(Attack::StripRrsig, Protection::Dane));
}

/// A higher floor never lets the attacker read more: a mistake in the table would show here.
#[test]
fn the_expected_column_never_gets_worse_with_a_higher_floor() {
    let mut worst: BTreeMap<(Attack, Protection), bool> = BTreeMap::new();
    for scenario in scenarios().unwrap() {
        let intercepted = scenario.expected == Outcome::Intercepted;
        let before = worst.insert((scenario.attack, scenario.protection), intercepted);
        if before == Some(false) {
            assert!(!intercepted, "{}", scenario.id());
        }
    }
}

#[test]
fn each_row_has_a_reason_with_a_source() {
    for scenario in scenarios().unwrap() {
        assert!(scenario.reason.len() > 10, "{}", scenario.id());
        assert_ne!(scenario.reason, "as above", "{}", scenario.id());
    }
}

#[test]
fn the_picture_fits_100_columns_and_marks_surprises() {
    let mut results = perfect();
    let plain = picture::draw(&results, Paint::Plain);
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
    assert!(!plain.contains('\x1b') && !plain.contains('!'));
    assert!(picture::draw(&results, Paint::Colour).contains("\x1b[1;31m✗"));
    assert!(summary(&results, 0, 0).starts_with("\n368 scenarios, 368 as expected, 0 leaked."));
    let strong = results.iter_mut().find(|s| s.scenario.expected == Outcome::Held).unwrap();
    strong.outcome = Outcome::Intercepted;
    assert!(strong.leaked());
    let surprised = picture::draw(&results, Paint::Plain);
    assert!(surprised.contains("✗!") && surprised.contains("1 came out otherwise"));
}

#[test]
fn the_json_is_the_contract() {
    let document: serde_json::Value = serde_json::from_str(&json(&perfect()).unwrap()).unwrap();
    let summary = &document["summary"];
    assert_eq!(*summary, serde_json::json!({"total": 368, "as_expected": 368, "leaked": 0}));
    let first = &document["scenarios"][0];
    assert_eq!(first["id"], "nobody/none/unprotected");
    for key in
        ["attack", "protection", "message", "expected", "outcome", "level", "because", "leaked"]
    {
        assert!(first.get(key).is_some(), "{key}");
    }
}
