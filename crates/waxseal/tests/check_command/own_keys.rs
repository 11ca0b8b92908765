//! `waxseal check` of a domain of our own knows our DKIM selectors, and which keys belong there.

use std::{fs, process::Command};

use serde_json::Value;

use crate::watch::dkim::{Key, Ours};

/// Exit code, and the DKIM findings: id, selector, evidence.
async fn check(ours: &Ours, keys: &[(&str, &Key)], words: &[&str]) -> (i32, Vec<[String; 3]>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(ours.configure(keys, ""));
    command.args(["check", "--dns-only", "--json"]).args(words);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, said) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr));
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{said:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = document["findings"].as_array().unwrap().iter();
    let found = findings
        .filter(|one| text(&one["id"]).starts_with("DKIM-"))
        .map(|one| {
            let subject = text(&one["subject"]);
            let selector = subject.split_once("._domainkey.").unwrap().0.to_owned();
            [text(&one["id"]), selector, text(&one["evidence"])]
        })
        .collect();
    (ran.status.code().unwrap(), found)
}

/// The ids and where.
fn short(found: &[[String; 3]]) -> Vec<(&str, &str)> {
    found.iter().map(|[id, selector, _]| (id.as_str(), selector.as_str())).collect()
}

/// Attacker: somebody with access to the zone puts in a key of his own. Whoever checks the domain with
/// the gateway's configuration is told without naming a selector.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_at_our_selector_is_an_error() {
    let ours = Ours::start().await;
    let (mine, next, strange) = (ours.key("mine.pem"), ours.key("next.pem"), ours.key("x.pem"));
    let keys = [("s1", &mine), ("s2", &next)];
    ours.publish(&[("s1", &mine.record), ("s2", &next.record), ("s9", &strange.record)]);
    let (_, found) = check(&ours, &keys, &["own.test"]).await;
    assert_eq!(short(&found), []);
    ours.publish(&[("s1", &strange.record), ("s9", &strange.record)]);
    let (code, found) = check(&ours, &keys, &["own.test"]).await;
    assert_eq!(code, 1, "{found:?}");
    assert_eq!(short(&found), [("DKIM-OTHER-KEY", "s1"), ("DKIM-KEY", "s2")]);
    assert!(found[0][2].contains("a key that is not ours, ed25519 of 256 bits"), "{found:?}");
    // What was asked for is looked at besides, and is nobody's that we know; one of ours is told once.
    let words = ["own.test", "--selector", "s8", "--selector", "s9", "--selector", "S1"];
    let (_, found) = check(&ours, &keys, &words).await;
    let expected = [("DKIM-OTHER-KEY", "s1"), ("DKIM-KEY", "s2"), ("DKIM-KEY", "s8")];
    assert_eq!(short(&found), expected);
    // The selectors are ours: another domain is not asked for them.
    let (_, found) = check(&ours, &keys, &["test"]).await;
    assert_eq!(short(&found), []);
}

/// What stands there cannot be compared where our own key cannot be read; the reason is said, and the
/// rest of the check goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_ours_that_cannot_be_read_is_unknown() {
    let ours = Ours::start().await;
    let mine = ours.key("mine.pem");
    ours.publish(&[("s1", &mine.record)]);
    fs::remove_file(&mine.file).unwrap();
    let (code, found) = check(&ours, &[("s1", &mine)], &["own.test"]).await;
    assert_eq!(short(&found), [("DKIM-KEY-UNKNOWN", "s1")]);
    assert!(found[0][2].contains("mine.pem"), "{found:?}");
    assert_eq!(code, 2);
}
