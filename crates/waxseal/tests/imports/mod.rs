//! The house (DESIGN §4), held by what each file imports: core does nothing, only the store has
//! SQL, only the resolver speaks DNS, only the dialler connects.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// All Rust files below a folder of this workspace, with paths relative to it.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut found = Vec::new();
    walk(&root, &mut found);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        (name, fs::read_to_string(&path).unwrap())
    };
    found.into_iter().map(read).collect()
}

/// The code without comments and without what is only compiled for tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("tests/")
}

/// Files of `folder` that use one of `words`, but for those that may.
fn users(folder: &str, words: &[&str], may: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources(folder) {
        if is_test(&name) || may.iter().any(|may| name.starts_with(may)) {
            continue;
        }
        for line in code(&text) {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{name}: {word}: {}", line.trim()));
            }
        }
    }
    found
}

#[track_caller]
fn nobody(found: Vec<String>) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn core_asks_and_does_nothing() {
    let words = [
        "tokio",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::env",
        "std::process",
        "std::thread",
        "Instant::now",
        "SystemTime",
        "SystemRandom",
        "tracing::",
        "println!",
        "eprintln!",
        "rusqlite",
        "waxseal_lab",
    ];
    nobody(users("waxseal-core/src", &words, &[]));
}

#[test]
fn only_the_store_has_sql() {
    nobody(users("waxseal/src", &["rusqlite", "SELECT ", "INSERT INTO "], &["store/"]));
}

#[test]
fn only_the_resolver_speaks_dns() {
    let words = ["use domain::", "UdpSocket::bind"];
    // `serve` asks the routing table for our own addresses, and the dialler whether there is a way to one, with
    // a socket that sends nothing.
    nobody(users("waxseal/src", &words, &["resolve", "serve/settings.rs", "dial.rs"]));
}

#[test]
fn only_the_dialler_and_the_resolver_connect() {
    let words = ["TcpStream::connect", "TcpSocket::new"];
    // The demo plays the mail server that hands mail in.
    nobody(users("waxseal/src", &words, &["dial.rs", "resolve", "cli/demo"]));
}

#[test]
fn only_core_makes_a_proof_of_a_channel() {
    nobody(users("waxseal/src", &["ChannelProof {", "ChannelProof("], &[]));
}

#[test]
fn the_lab_is_only_for_the_demo() {
    nobody(users("waxseal/src", &["waxseal_lab"], &["cli/demo"]));
}

#[test]
fn nobody_exits_the_process_or_prints_past_the_command_line() {
    let words = ["process::exit", "println!", "eprintln!", "dbg!", "print!("];
    nobody(users("waxseal/src", &words, &[]));
}
