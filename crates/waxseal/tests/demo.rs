//! `waxseal demo` as a newcomer runs it: the program, no privileges, no Internet.

use std::process::Command;

use serde_json::Value;

/// Every attacker of DESIGN §8, against every protection, with every message.
#[test]
fn the_demo_goes_as_expected_and_leaks_nothing() {
    let program = env!("CARGO_BIN_EXE_waxseal");
    let output = Command::new(program).args(["demo", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{said}"));
    let surprises: Vec<String> = document["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|scenario| scenario["outcome"] != scenario["expected"])
        .map(ToString::to_string)
        .collect();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    let summary = &document["summary"];
    assert_eq!(summary["total"], 368);
    assert_eq!(summary["as_expected"], 368);
    assert_eq!(summary["leaked"], 0);
    assert_eq!(output.status.code(), Some(0));
}
