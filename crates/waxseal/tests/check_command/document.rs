//! `docs/check.md` shows what the command says of three worlds: really, and today.
//!
//! After a change of the words: `WRITE_DOCUMENTS=1 cargo test -p waxseal --test main document::`,
//! and read the difference.

use std::{path::PathBuf, process::Command};

use crate::assess::{file::File, world::World};

/// Before a block of output: the command, and the world of `scenarios/check` that it ran in.
const MARK: &str = "<!-- waxseal check receiver.example: ";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_shows_what_the_command_really_says() {
    let file = root().join("docs/check.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let mut parts = document.split(MARK);
    let mut fresh = parts.next().unwrap().to_owned();
    let mut worlds = 0;
    for part in parts {
        let (world, rest) = part.split_once(" -->\n```\n").unwrap();
        let (_, rest) = rest.split_once("```\n").unwrap();
        let said = said_in(world).await;
        fresh.push_str(&format!("{MARK}{world} -->\n```\n{said}```\n{rest}"));
        worlds += 1;
    }
    assert_eq!(worlds, 3);
    if std::env::var_os("WRITE_DOCUMENTS").is_some() {
        std::fs::write(&file, &fresh).unwrap();
    }
    let at = document.lines().zip(fresh.lines()).find(|(old, new)| old != new);
    assert!(
        document == fresh || std::env::var_os("WRITE_DOCUMENTS").is_some(),
        "docs/check.md is old: {at:?}; WRITE_DOCUMENTS=1 writes it anew"
    );
}

/// Attacker: on the path to our resolver, hides the MTA-STS record. A configuration with `[dns] confirm`
/// is enough to hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_only_others_see_is_told() {
    let said = said_in("witness-sees-policy").await;
    assert!(said.contains("DNS-HIDDEN") && !said.contains("STS-MISSING"), "{said}");
}

/// What the program prints there.
async fn said_in(name: &str) -> String {
    let text =
        std::fs::read_to_string(root().join(format!("scenarios/check/{name}.toml"))).unwrap();
    let file: File = toml::from_str(&text).unwrap();
    let world = World::start(&file).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(&world.configuration).args(["check", "receiver.example"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    super::assert_narrow(&said);
    timeless(&said)
}

/// Without what is different each time: the time in a policy's id, and the digest of a key.
fn timeless(said: &str) -> String {
    let mut text = String::new();
    let mut rest = said;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, behind) = rest.split_at(at);
        let end = behind.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(behind.len());
        let (run, behind) = behind.split_at(end);
        text.push_str(before);
        text.push_str(match run.len() {
            64 => "<SHA-256 of the key that it shows>",
            10 if text.ends_with("id=") => "20261122120000",
            _ => run,
        });
        rest = behind;
    }
    text + rest
}
