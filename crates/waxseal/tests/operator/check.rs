//! `waxseal config check`: right means that `serve` would start, and what it prints can be copied
//! into DNS.

use std::fs;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::Ed25519KeyPair,
};
use serde_json::Value;
use waxseal_lab::lab::SENDER_DOMAIN;

use super::{Said, World};

/// A world whose configuration has `more` in it.
async fn world(more: &str) -> World {
    let world = World::new(&[]).await;
    let text = fs::read_to_string(world.file()).unwrap();
    // The lab has this table as well.
    let text = match more.starts_with("[checks]\n") {
        true => text.replacen("[checks]\n", more, 1),
        false => text + more,
    };
    fs::write(world.file(), text).unwrap();
    world
}

fn records(said: &Said) -> Vec<Value> {
    said.json()["records"].as_array().unwrap().clone()
}

/// The attacker is nobody; the hurry of an administrator is.
#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_dkim_record_and_the_names() {
    let keys = [
        (
            "ed25519",
            Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
                .unwrap()
                .as_ref()
                .to_vec(),
        ),
        (
            "rsa",
            AsDer::<Pkcs8V1Der<'_>>::as_der(&KeyPair::generate(KeySize::Rsa2048).unwrap())
                .unwrap()
                .as_ref()
                .to_vec(),
        ),
    ];
    for (kind, key) in keys {
        let world = World::new(&[]).await;
        let file = world.folder.path().join("dkim.key");
        let author = format!(
            "\n[author]\ndkim_selector = \"gw1\"\ndkim_key = \"file:{}\"\n",
            file.display()
        );
        let text = fs::read_to_string(world.file()).unwrap();
        fs::write(world.file(), text + &author).unwrap();
        // Not there yet: `serve` would not start, so it is not right.
        let said = world.run(&["config", "check"]).await.with(78);
        assert!(said.err.contains("dkim.key"), "{}", said.err);
        private(&file, &key);
        let said = world.run(&["config", "check", "--json"]).await.with(0);
        let record = records(&said).pop().unwrap();
        assert_eq!(record["name"], format!("gw1._domainkey.{SENDER_DOMAIN}"));
        let value = record["value"].as_str().unwrap().to_owned();
        assert!(value.starts_with(&format!("v=DKIM1; k={kind}; p=")), "{value}");
        let said = world.run(&["config", "check"]).await.with(0);
        // As a zone file takes it: strings of at most 255 octets that join to the value.
        let line = said.out.lines().find(|line| line.contains("_domainkey")).unwrap();
        let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert!(strings.iter().all(|string| string.len() <= 255));
        assert_eq!(strings.concat(), value);
        assert!(
            said.out.contains(&format!("{SENDER_DOMAIN}. IN TXT \"v=spf1 a:gw.{SENDER_DOMAIN}"))
        );
        assert!(said.out.contains(&format!("  gw.{SENDER_DOMAIN}. IN A ")), "{}", said.out);
        for words in ["from sender", "for mail servers: no TLS; may relay: 127.0.0.0/8", "by MX"] {
            assert!(said.out.contains(words), "{words}: {}", said.out);
        }
    }
}

fn private(file: &std::path::Path, octets: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, octets).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_would_keep_serve_from_starting() {
    for (more, fault) in [
        (
            "\n[[listen]]\naddress = \"127.0.0.2:0\"\n",
            "the listener 127.0.0.2:0 has no certificate",
        ),
        (
            "\n[[listen]]\naddress = \"127.0.0.2:0\"\ncertificate = \"no.pem\"\nkey = \"no.key\"\n",
            "no.pem",
        ),
        ("\n[rules]\nfile = \"no-rules.toml\"\n", "no-rules.toml"),
        (
            "[checks]\nwebhook = \"https://alerts.example/\"\nwebhook_secret = \"file:/no/hook\"\n",
            "/no/hook",
        ),
        (
            "\n[web.policy]\naddress = \"127.0.0.1:0\"\ncertificate = \"no-site.pem\"\nkey = \"no-site.key\"\n",
            "no-site.pem",
        ),
        ("\n[sts]\npreload = \"no-list.json\"\n", "no-list.json"),
        (
            "\n[[route]]\ndomain = \"a.example\"\nhost = \"mx.a.example\"\ntls = \"pinned\"\nca = \"no-ca.pem\"\n",
            "no-ca.pem",
        ),
        (
            "\n[[route]]\ndomain = \"*\"\nhost = \"relay.example\"\nauth_user = \"we\"\nauth_secret = \"file:/no/secret\"\n",
            "/no/secret",
        ),
    ] {
        let world = world(more).await;
        let said = world.run(&["config", "check"]).await.with(78);
        assert!(said.err.contains(fault) && said.err.contains("waxseal.toml: "), "{}", said.err);
        assert_eq!(said.out, "");
        let said = world.run(&["config", "check", "--json"]).await.with(78).json();
        assert_eq!(said["ok"], false);
        assert!(said["faults"][0].as_str().unwrap().contains(fault), "{said}");
    }
}

/// A certificate that nobody shows yet, a key file that is damaged, or gone while there is a
/// database, and a data directory that is none.
#[tokio::test(flavor = "multi_thread")]
async fn check_finds_files_that_could_not_be_used() {
    let world = world("").await;
    let key = world.folder.path().join("store.key");
    let text = fs::read_to_string(world.file()).unwrap();
    let named = text.lines().find(|line| line.starts_with("key = ")).unwrap();
    let ours = format!("key = \"file:{}\"", key.display());
    fs::write(world.file(), text.replace(named, &ours)).unwrap();
    // No listener shows this certificate, and yet it was named.
    let named = "[tls]\ncertificate = \"no-one.pem\"\nkey = \"no-one.key\"\n";
    let right = fs::read_to_string(world.file()).unwrap();
    fs::write(world.file(), right.replace("[tls]\n", named)).unwrap();
    let said = world.run(&["config", "check"]).await.with(78);
    assert!(said.err.contains("no-one.pem"), "{}", said.err);
    let said = world.run(&["serve"]).await.with(78);
    assert!(said.err.contains("no-one.pem"), "{}", said.err);
    fs::write(world.file(), right).unwrap();
    fs::remove_dir_all(world.folder.path().join("data")).unwrap();
    fs::remove_file(&key).unwrap();
    // The first start makes it.
    world.run(&["config", "check"]).await.with(0);
    assert!(!key.exists(), "check makes nothing");
    private(&key, b"no key\n");
    let said = world.run(&["config", "check"]).await.with(78);
    assert!(said.err.contains("store.key: line 1 is not a store key"), "{}", said.err);
    fs::remove_file(&key).unwrap();
    let data = world.folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("waxseal.db"), "").unwrap();
    let said = world.run(&["config", "check"]).await.with(78);
    assert!(said.err.contains("the store key is missing"), "{}", said.err);
    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "").unwrap();
    let said = world.run(&["config", "check"]).await.with(78);
    assert!(said.err.contains("data_dir") && said.err.contains("cannot be used"), "{}", said.err);
}

/// Outside the service nobody has its credentials: that is said, and no fault.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_which_secrets_it_could_not_look_at() {
    let more = "\n[author]\ndkim_selector = \"gw1\"\ndkim_key = \"credential:dkim\"\n\
        [[route]]\ndomain = \"*\"\nhost = \"relay.example\"\nport = 465\n\
        auth_user = \"we\"\nauth_secret = \"credential:relay\"\n";
    let world = world(more).await;
    let said = world.run(&["config", "check"]).await.with(0);
    for words in [
        "only the service can read it",
        "credential:dkim ([author] dkim_key)",
        "credential:relay ([[route]] auth_secret)",
        "out to everybody else: by relay.example, port 465 (authenticated, signed in)",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(!said.out.contains("is not set"), "{}", said.out);
}
