//! `waxseal dns` as a script uses it.

use std::process::Command;

use serde_json::Value;
use waxseal_lab::dns::{Act, DnsServer, Tampering, rtype};

use super::world;

struct Said {
    code: i32,
    out: String,
}

async fn dns(server: &DnsServer, words: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("root.ds");
    std::fs::write(&anchors, server.root_ds()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command
        .arg("dns")
        .args(words)
        .arg("--upstream")
        .arg(server.addr().to_string())
        .arg("--trust-anchors")
        .arg(&anchors);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    Said { code: output.status.code().unwrap(), out }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_the_fields_of_the_contract_and_the_exit_code_follows() {
    let server = world().await;
    server.tamper(Tampering::only("mx2.good.test", rtype::A, Act::BreakSignatures));
    server.tamper(Tampering::only("text.good.test", rtype::TXT, Act::Fail(2)));
    for (words, code, status, rcode, records) in [
        (["good.test", "MX"], 0, "secure", "NOERROR", 2),
        (["host.plain.test", "a"], 0, "insecure", "NOERROR", 1),
        (["nothing.good.test", "A"], 1, "secure", "NXDOMAIN", 0),
        (["mx2.good.test", "A"], 2, "bogus", "NOERROR", 0),
        (["text.good.test", "TXT"], 2, "error", "SERVFAIL", 0),
    ] {
        let said = dns(&server, &[words[0], words[1], "--json"]).await;
        let json: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(said.code, code, "{}", said.out);
        assert_eq!((&json["status"], &json["rcode"]), (&status.into(), &rcode.into()), "{json}");
        assert_eq!(json["records"].as_array().unwrap().len(), records, "{json}");
        assert_eq!(json["name"], words[0]);
        assert_eq!(json["type"], words[1].to_uppercase());
        assert!(json["because"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// The root, wildcards and service names are names, too; what is none is a usage error that says
/// why (DESIGN §9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_dns_name_can_be_asked_for_and_what_is_none_is_refused() {
    let server = world().await;
    for (name, record_type, code, status) in [
        (".", "DNSKEY", 0, "secure"),
        (".", "MX", 1, "secure"),
        ("*.good.test", "A", 1, "secure"),
        ("_25._tcp.nothing.good.test", "TLSA", 1, "secure"),
    ] {
        let said = dns(&server, &[name, record_type, "--json"]).await;
        let json: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &json["status"]), (code, &status.into()), "{json}");
        assert_eq!(json["name"], name);
    }
    for name in ["", "a..b", "192.0.2.1", "bob@good.test", "https://good.test/", "two words"] {
        assert_eq!(dns(&server, &[name, "A"]).await.code, 64, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_shows_aliases_records_and_the_reason() {
    let server = world().await;
    let said = dns(&server, &["out.good.test", "A"]).await;
    assert_eq!(
        said.out,
        "out.good.test A  insecure\n  out.good.test -> host.plain.test  (secure)\n  192.0.2.9\n  \
         test delegates plain.test unsigned\n"
    );
    assert_eq!(dns(&server, &["out.good.test", "ANY"]).await.code, 64);
    assert_eq!(dns(&server, &["no..name", "A"]).await.code, 64);
}
