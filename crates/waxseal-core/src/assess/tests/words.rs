//! Names and quotations.

use std::collections::BTreeSet;

use super::{ids, world::World};
use crate::assess::{
    Id, Quoted,
    profile::{Predicate, built_in},
};

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
    // Marks of direction that are easily forgotten, and what is there and not seen.
    for unseen in ['\u{61c}', '\u{ad}', '\u{180e}', '\u{2066}', '\u{3164}', '\u{fe0f}', '\u{e0041}']
    {
        assert!(!Quoted::new(&format!("a{unseen}b")).as_str().contains(unseen), "{unseen:?}");
    }
    assert_eq!(Quoted::new("Müller, 東京, ирина").as_str(), "Müller, 東京, ирина");
}

#[test]
fn a_text_past_the_limit_is_cut_and_shows_it() {
    let quoted = Quoted::new(&"x".repeat(Quoted::MOST + 1));
    assert_eq!(quoted.as_str().chars().count(), Quoted::MOST + 1);
    assert!(quoted.as_str().ends_with('…'));
    assert_eq!(Quoted::octets(&vec![0xff; 100_000]).as_str().chars().count(), Quoted::MOST + 1);
}

/// The row of an id in the book: its cells.
fn row(book: &'static str, id: &str) -> Vec<&'static str> {
    let start = format!("| `{id}` |");
    let line = book.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("{id} is not in the book"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_book_has_a_row_for_each_finding_with_its_severities() {
    let book = include_str!("../../../../../docs/findings.md");
    for id in Id::ALL {
        let cells = row(book, id.as_str());
        assert_eq!(cells.len(), 4, "{id}");
        assert!(cells[2].starts_with(id.meaning()), "{id}: the book says {}", cells[2]);
        assert!(cells[3].len() > 4, "{id}: no fix");
    }
    for (id, spoil) in ids::all() {
        let mut world = World::new();
        spoil(&mut world);
        for finding in world.assess().findings.iter().filter(|finding| finding.id == *id) {
            let severity = finding.severity.as_str();
            let said = row(book, id.as_str())[1];
            assert!(said.contains(severity), "{id} is {severity}, and the book says {said}");
        }
    }
}

#[test]
fn the_book_has_each_profile_its_state_and_each_predicate() {
    let book = include_str!("../../../../../docs/profiles.md");
    for profile in built_in() {
        let cells = row(book, &profile.name);
        let unverified = if profile.unverified { "**yes**" } else { "no" };
        assert_eq!(cells[3], unverified, "{}", profile.name);
        assert!(cells[1].contains(&profile.source), "{}", profile.name);
        for requirement in &profile.requirements {
            let check = serde_json::to_value(requirement.check).unwrap();
            row(book, check.as_str().unwrap());
        }
    }
    assert_eq!(serde_json::to_value(Predicate::Tls13).unwrap(), "tls13");
    // The example of the book is read as it stands.
    let example = book.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(crate::assess::profile::Profile::parse(example).unwrap().name, "suppliers");
}
