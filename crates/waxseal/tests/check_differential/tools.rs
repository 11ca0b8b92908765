//! The tools, and what they say in the words of the comparison.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::{
    Said,
    world::{World, chain_file},
};
use crate::peers::{package, root};

/// Whatever a command printed.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asks about each domain.
fn each(world: &World, ask: impl Fn(&str) -> &'static str) -> Said {
    world.domains.iter().map(|domain| (domain.clone(), ask(domain).to_owned())).collect()
}

/// The libraries of an unpacked package.
fn libraries(name: &str) -> String {
    let parts = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/postfix"];
    parts.map(|part| package(name).join(part).display().to_string()).join(":")
}

/// Cannot say STARTTLS, so it is handed the certificates that the host shows.
pub(super) fn ldns_dane(world: &World) -> Said {
    let program = package("ldnsutils").join("usr/bin/ldns-dane");
    each(world, |domain| {
        let mut command = world.namespace.command(&program);
        command
            .env("LD_LIBRARY_PATH", libraries("ldnsutils"))
            .arg("-c")
            .arg(chain_file(world.folder.path(), domain))
            .arg("-f")
            .arg(world.file("roots.pem"))
            .args(["verify", &format!("mx.{domain}"), "25"]);
        let text = said(&mut command);
        if text.contains("were bogus") {
            "lookup failed"
        } else if text.contains("No usable TLSA records were found") {
            "no TLSA counts"
        } else if text.contains("did not dane-validate") {
            "does not match"
        } else {
            assert!(text.contains("dane-validated successfully"), "ldns-dane {domain}: {text}");
            "matches"
        }
    })
}

/// Postfix's own TLS client.
pub(super) fn posttls_finger(world: &World) -> Said {
    let program = package("postfix").join("usr/sbin/posttls-finger");
    let etc = world.file("postfix");
    fs::create_dir(&etc).unwrap();
    let main = "compatibility_level = 3.6\ninet_protocols = ipv4\nmyhostname = check.example\n";
    fs::write(etc.join("main.cf"), main).unwrap();
    each(world, |domain| {
        let mut command = world.namespace.command(&program);
        command
            .env("LD_LIBRARY_PATH", libraries("postfix"))
            .env("MAIL_CONFIG", &etc)
            .args(["-l", "dane", "-t", "10", "-T", "10", "-F"])
            .arg(world.file("roots.pem"))
            .arg(domain);
        let text = said(&mut command);
        let established = |word| text.contains(&format!("{word} TLS connection established"));
        if text.contains("TLSA lookup error") || text.contains("address lookup failed") {
            "lookup failed"
        } else if established("Untrusted") {
            "untrusted"
        } else if established("Verified") && text.contains("Matched DANE") {
            "dane"
        } else if established("Verified") {
            "named"
        } else {
            // It talked to the host, and nothing was said of STARTTLS.
            let talked = text.contains("< 250 ") && !text.contains("STARTTLS");
            assert!(talked, "posttls-finger {domain}: {text}");
            "in the clear"
        }
    })
}

/// Reads DNS and the policy; connects to no mail host.
pub(super) fn checkdmarc(world: &World) -> Said {
    let program: PathBuf = root().join("target/checkdmarc/bin/checkdmarc");
    assert!(
        program.exists(),
        "checkdmarc is not installed, so this cannot be tested; run: tests/checkdmarc"
    );
    let mut command = world.namespace.command(&program);
    command.env("REQUESTS_CA_BUNDLE", world.file("roots.pem"));
    let output = command.args(&world.domains).args(["-n", "127.0.0.1"]).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    let reports: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("checkdmarc: {error}\n{complained}"));
    let mut said = Said::new();
    for report in &reports {
        let domain = report["domain"].as_str().unwrap();
        let mut tell = |what: &str, word: &str| {
            said.insert(format!("{domain} {what}"), word.to_owned());
        };
        tell("mx", &hosts(&report["mx"]));
        tell("dnssec", if report["dnssec"] == true { "signed" } else { "unsigned" });
        let tlsa = &report["mx"]["hosts"][0]["tlsa"];
        tell("tlsa", if tlsa.is_array() { "there" } else { "absent" });
        tell("mta-sts", record(&report["mta_sts"]));
        tell("spf", record(&report["spf"]));
        tell("dmarc", record(&report["dmarc"]));
        tell("tlsrpt", record(&report["smtp_tls_reporting"]));
    }
    said
}

fn hosts(mx: &Value) -> String {
    if mx["error"].as_str().is_some_and(|error| error.contains("SERVFAIL")) {
        return "lookup failed".to_owned();
    }
    let one = |host: &Value| {
        let ips = host["addresses"].as_array().unwrap().iter();
        let ips: Vec<&str> = ips.map(|ip| ip.as_str().unwrap()).collect();
        format!("{} {}", host["hostname"].as_str().unwrap(), ips.join(" "))
    };
    mx["hosts"].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join(", ")
}

fn record(value: &Value) -> &'static str {
    match value["error"].as_str() {
        None => "good",
        Some(error) if error.contains("does not exist") => "absent",
        Some(error) if error.contains("SERVFAIL") => "lookup failed",
        Some(_) => "broken",
    }
}
