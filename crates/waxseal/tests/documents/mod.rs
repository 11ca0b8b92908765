//! `docs/rfc.md` and `docs/attacks.md` name tests and RFCs: each name has to lead somewhere.
//!
//! In backticks there: `fn:NAME` is a test function, `scenario:NAME` a file of `scenarios/`,
//! `dialog:client/NAME` or `dialog:server/NAME` a dialogue, `file:PATH` a file of the repository.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DIALOGS: &str = "crates/waxseal-core/src/smtp/dialogs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The text of every file below a folder that has one of these extensions.
fn texts(folder: &Path, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path, extensions));
        } else if extensions.iter().any(|wanted| path.extension().is_some_and(|e| e == *wanted)) {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// The folders `part` of all crates.
fn crates(part: &str) -> Vec<String> {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let folders = crates.map(|entry| entry.unwrap().path().join(part));
    let files = folders.filter(|folder| folder.is_dir()).flat_map(|folder| texts(&folder, &["rs"]));
    files.map(|(_, text)| text).collect()
}

/// Everything that cites: code, tests, dialogues, scenarios, documents.
fn citing() -> Vec<(PathBuf, String)> {
    let below = |folder, extensions: &[&str]| texts(&root().join(folder), extensions);
    let mut found = below("crates", &["rs", "smtp", "txt"]);
    found.extend(below("scenarios", &["toml"]));
    found.extend(below("docs", &["md"]));
    found
}

/// The names of all functions that are run as tests: those behind `#[test]` or `#[tokio::test..]`.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in crates("src").into_iter().chain(crates("tests")) {
        let mut marked = false;
        for line in text.lines().map(str::trim_start) {
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            if let (true, Some((_, behind))) = (marked, line.split_once("fn ")) {
                let end = behind.find(|c: char| !c.is_alphanumeric() && c != '_');
                names.insert(behind[..end.unwrap_or(behind.len())].to_owned());
                marked = false;
            }
        }
    }
    names
}

/// What stands in backticks as `kind:name`.
fn references(text: &str) -> BTreeSet<(String, String)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.split_once(':'))
        .filter(|(kind, name)| {
            matches!(*kind, "fn" | "scenario" | "dialog" | "file") && !name.is_empty()
        })
        .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn every_test_and_file_that_the_documents_name_exists() {
    let tests = tests();
    for name in ["rfc.md", "attacks.md"] {
        let references = references(&document(name));
        assert!(references.len() > 50, "{name} names only {} tests", references.len());
        let missing: Vec<_> = references
            .iter()
            .filter(|(kind, what)| match kind.as_str() {
                "fn" => !tests.contains(what),
                "scenario" => !root().join("scenarios").join(format!("{what}.toml")).is_file(),
                "dialog" => !root().join(DIALOGS).join(format!("{what}.smtp")).is_file(),
                _ => !root().join(what).exists(),
            })
            .collect();
        assert!(missing.is_empty(), "docs/{name} names what is not there: {missing:?}");
    }
}

/// What is written is played: the core lists its dialogues by name, since it reads no folder.
#[test]
fn every_dialogue_of_the_client_is_played() {
    let core = root().join("crates/waxseal-core/src/smtp/client/tests/dialog.rs");
    let text = fs::read_to_string(core).unwrap();
    let (_, listed) = text.rsplit_once("dialogues! {").unwrap();
    let listed: BTreeSet<&str> = listed.split_whitespace().collect();
    let files = texts(&root().join(DIALOGS).join("client"), &["smtp"]);
    assert!(files.len() > 50);
    for (path, _) in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(listed.contains(name), "{name} is played by nobody");
    }
}

/// The numbers behind `RFC ` in a text, those after a comma included (`RFC 6698, 7671`).
fn cited(text: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for behind in text.split("RFC ").skip(1) {
        for word in behind.split([',', ' ']).filter(|word| !word.is_empty()) {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            match digits.parse() {
                Ok(number) if number > 800 => numbers.insert(number),
                Ok(_) | Err(_) => break,
            };
        }
    }
    numbers
}

#[test]
fn every_rfc_that_the_code_cites_is_in_the_index() {
    let index: BTreeSet<u32> = document("rfc.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    let cited: BTreeSet<u32> = citing().iter().flat_map(|(_, text)| cited(text)).collect();
    assert!(cited.len() > 80, "only {} RFCs were found", cited.len());
    let missing: Vec<_> = cited.difference(&index).collect();
    assert!(missing.is_empty(), "not in docs/rfc.md: {missing:?}");
}

/// The sections behind a number in a line: `7672 §2.1.2, §2.2` yields two.
fn sections(line: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rfc = "";
    for word in line.split([' ', '(', ')', ';', '"', '|']) {
        let word = word.trim_end_matches(['.', ',', ':', '`']);
        if let Some(section) = word.strip_prefix('§') {
            if !rfc.is_empty() {
                found.insert(format!("{rfc} §{section}"));
            }
        } else if word.len() >= 3 && word.bytes().all(|b| b.is_ascii_digit()) {
            rfc = word;
        } else if !matches!(word, "and" | "to" | "or" | "") {
            rfc = "";
        }
    }
    found
}

/// Section numbers from memory are wrong now and then. A new one is looked up in the RFC and goes
/// into the list with its title.
#[test]
fn every_section_that_is_cited_was_looked_up() {
    let list = document("rfc-sections.txt");
    let known: BTreeSet<String> = list.lines().flat_map(sections).collect();
    let used: BTreeSet<String> = citing()
        .iter()
        .filter(|(path, _)| !path.ends_with("documents/mod.rs"))
        .flat_map(|(_, text)| text.lines().flat_map(sections).collect::<Vec<_>>())
        .collect();
    assert!(used.len() > 250, "only {} sections were found", used.len());
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "look them up, then add them to docs/rfc-sections.txt: {unknown:?}"
    );
}

/// The checklist is complete: items 1 to 66, each once, with a status and a test or the admission
/// that there is none.
#[test]
fn every_item_of_the_checklist_has_a_status_and_a_test() {
    let text = document("rfc.md");
    let items: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| #"))
        .map(|line| line.split(" | ").map(|cell| cell.trim_matches([' ', '|'])).collect())
        .collect();
    let numbers: Vec<u32> = items.iter().map(|item| item[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=66).collect::<Vec<_>>());
    for item in items {
        let [number, _rfc, _what, status, test] = item[..] else { panic!("{item:?}") };
        assert!(matches!(status, "Yes" | "Partial" | "No" | "Later"), "item {number}: {status}");
        let shown = !references(test).is_empty();
        let admitted = test.starts_with("No test yet") || status == "Later";
        assert!(shown != admitted, "item {number}: {test}");
        assert!(shown || status != "Yes", "item {number} says Yes and shows no test");
    }
}

#[test]
fn decisions_have_numbers_of_their_own() {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/decisions")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let number = name.split('-').next().unwrap_or_default().to_owned();
        assert!(number.len() == 4 && number.parse::<u32>().is_ok(), "{name} has no number");
        assert!(seen.insert(number), "{name} has the number of another decision");
    }
}
