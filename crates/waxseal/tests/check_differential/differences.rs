//! `docs/check-differences.md` is the list of the differences that are known, and nothing else is.

use std::collections::BTreeMap;

use super::Said;

const DOCUMENT: &str = include_str!("../../../../docs/check-differences.md");

/// What `tool` and we say of each case that the document lists.
fn known(tool: &str) -> BTreeMap<String, (String, String)> {
    let mut known = BTreeMap::new();
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        // The table of the tools is there too.
        let [of, case, theirs, ours, why] = cells[..] else { continue };
        if of != tool {
            continue;
        }
        assert!(why.len() > 20, "docs/check-differences.md does not say why: {line}");
        let told = (theirs.to_owned(), ours.to_owned());
        let twice = known.insert(case.trim_matches('`').to_owned(), told);
        assert_eq!(twice, None, "docs/check-differences.md lists {tool} {case} twice");
    }
    known
}

/// Every case is said alike, or the document says how and why not.
pub(super) fn compare(tool: &str, theirs: &Said, ours: &Said) {
    let mut known = known(tool);
    let mut wrong = Vec::new();
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (case, it) in theirs {
        let we = &ours[case];
        match known.remove(case) {
            None if it == we => {}
            Some((listed_it, listed_we)) if (&listed_it, &listed_we) == (it, we) && it != we => {}
            None => wrong.push(format!("| {tool} | `{case}` | {it} | {we} | why? |")),
            Some(listed) => {
                wrong.push(format!("{case}: {it}, {we}; listed as {}, {}", listed.0, listed.1));
            }
        }
    }
    wrong.extend(known.keys().map(|case| format!("{case}: listed, and no such case")));
    let same = theirs.iter().filter(|(case, it)| ours.get(*case) == Some(*it)).count();
    println!("{tool}: {same} of {} cases alike", theirs.len());
    assert!(
        wrong.is_empty(),
        "{tool} and we differ otherwise than docs/check-differences.md says:\n{}",
        wrong.join("\n")
    );
}
