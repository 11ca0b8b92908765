//! Names and quotations.

use std::collections::BTreeSet;

use crate::assess::{Id, Quoted};

#[test]
fn every_kind_of_finding_has_its_own_name_and_a_meaning() {
    let names: BTreeSet<_> = Id::ALL.iter().map(|id| id.as_str()).collect();
    assert_eq!(names.len(), Id::ALL.len());
    for id in Id::ALL {
        assert!(id.meaning().len() > 10, "{id} says nothing");
        assert_eq!(serde_json::to_value(id).unwrap(), serde_json::json!(id.as_str()));
    }
}

/// The attacker is a domain owner who writes what our terminal, page or spreadsheet would obey.
#[test]
fn text_from_outside_cannot_steer_a_terminal_or_turn_its_neighbours_round() {
    let hostile = "v=STSv1;\u{1b}]0;owned\u{7}\r\nid\u{202e}=1\u{200f}\u{feff}";
    let quoted = Quoted::new(hostile);
    assert!(quoted.as_str().chars().all(|c| !c.is_control()), "{quoted}");
    assert!(!quoted.as_str().contains(['\u{202e}', '\u{200f}', '\u{feff}']), "{quoted}");
    assert!(quoted.as_str().starts_with("v=STSv1;\\u{1b}"), "{quoted}");
}

#[test]
fn a_text_past_the_limit_is_cut_and_shows_it() {
    let quoted = Quoted::new(&"x".repeat(Quoted::MOST + 1));
    assert_eq!(quoted.as_str().chars().count(), Quoted::MOST + 1);
    assert!(quoted.as_str().ends_with('…'));
    assert_eq!(Quoted::octets(&vec![0xff; 100_000]).as_str().chars().count(), Quoted::MOST + 1);
}
