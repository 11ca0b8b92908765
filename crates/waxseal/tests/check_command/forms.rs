//! What one domain is told as: text, JSON, a page, a table, Internet.nl's shape.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
};

use serde_json::Value;

use waxseal_lab::site::{Attack, Protection};

use super::{BEST, PLAINTEXT, POLICY, SELF_SIGNED, UNANSWERED, World, assert_narrow};

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_has(value: &Value, wanted: &[&str]) {
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    assert!(wanted.is_subset(&keys(value)), "{wanted:?}: {value}");
}

/// A good level says that mail from us is safe; that others cannot deliver is said right under it.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_counted_under_a_good_level() {
    let cell = (Protection::DaneAndSts, Attack::ExpiredCert);
    let world = World::broken(&[cell]).await;
    let (domain, html) = (world.domain(cell), world.output("r.html"));
    let said = world.run(&["check", &domain, "--html", &html]).await.with(1);
    let start: Vec<_> = said.out.lines().take(6).collect();
    assert!(start[1].contains("✓ dane"), "{start:?}");
    assert!(
        start.iter().any(|line| line.contains("✗") && line.contains(" below: mail fails")),
        "{start:?}"
    );
    assert!(world.read("r.html").contains(" below: mail fails for some senders"));
}

/// Mail hosts to which this gateway sends nothing are told of, and where it does send is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_ours_is_said_where_mail_hosts_are_told() {
    let world = World::new(&[PLAINTEXT, SELF_SIGNED]).await;
    let (routed, plain) = (world.domain(SELF_SIGNED), world.domain(PLAINTEXT));
    let text = std::fs::read_to_string(world.file()).unwrap();
    let route = format!(
        "\n[[route]]\ndomain = \"{routed}\"\nhost = \"relay.partner.example\"\nport = 2525\n"
    );
    std::fs::write(world.file(), format!("{text}{route}")).unwrap();
    let said = world.run(&["check", &routed]).await;
    assert!(said.out.contains("This gateway does not send there"), "{}", said.out);
    assert_narrow(&said.out);
    let told = world.run(&["check", &routed, "--json"]).await.json();
    let elsewhere = told["elsewhere"].as_str().unwrap();
    assert!(elsewhere.contains("relay.partner.example, port 2525"), "{elsewhere}");
    let told = world.run(&["check", &plain, "--json"]).await.json();
    assert!(told["elsewhere"].is_null(), "{told}");
}

/// Scripts rely on these keys (DESIGN §9).
#[tokio::test(flavor = "multi_thread")]
async fn the_json_of_a_domain_keeps_its_contract() {
    let world = World::new(&[BEST]).await;
    let domain = world.domain(BEST);
    let words = ["check", "--json", &domain, "--profile", "internet-nl", "--profile", "dsk-high"];
    let told = world.run(&words).await.with(1).json();
    assert_has(
        &told,
        &["domain", "checked_at", "level", "mx", "sts", "tlsrpt", "findings", "profiles"],
    );
    assert_eq!(told["domain"], domain);
    assert_eq!(told["level"], "dane");
    assert_eq!(told["delivery"], "delivers");
    let at = told["checked_at"].as_str().unwrap();
    assert!(at.len() == 20 && at.ends_with('Z') && at.contains('T'), "{at}");
    assert_has(&told["mx"][0], &["host", "addresses"]);
    let addresses = told["mx"][0]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "IPv4 and IPv6: {told}");
    for address in addresses {
        assert_has(address, &["ip", "keys"]);
        let key = &address["keys"][0];
        assert_has(key, &["algorithm", "tls", "dane", "pkix"]);
        assert_eq!(
            (&key["algorithm"], &key["dane"], &key["pkix"]),
            (&"ECDSA".into(), &"ok".into(), &"ok".into())
        );
        assert!(key["tls"].as_str().unwrap().starts_with("TLSv1.3"), "{key}");
    }
    assert_eq!(told["sts"]["state"], "enforce");
    assert_eq!(told["tlsrpt"]["state"], "absent");
    let findings = told["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        assert_has(finding, &["id", "severity", "subject", "evidence", "fix"]);
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "a repair for each: {finding}");
    }
    let profiles = &told["profiles"];
    assert_eq!(keys(profiles), BTreeSet::from(["internet-nl", "dsk-high"]));
    let requirement = &profiles["internet-nl"]["requirements"][0];
    assert_has(
        requirement,
        &["id", "text", "status", "severity", "evidence", "source", "unverified"],
    );
    assert!(!told.to_string().contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_text_says_what_an_attacker_obtains_before_anything_else() {
    let cells = [BEST, POLICY, SELF_SIGNED, PLAINTEXT];
    let world = World::new(&cells).await;
    for (cell, code, words) in [
        (BEST, 0, ["✓ dane", "Neither who listens nor who interferes learns anything"]),
        (POLICY, 0, ["✓ sts-first", "Whoever only listens learns nothing"]),
        (SELF_SIGNED, 0, ["! encrypted", "whoever interferes"]),
        (PLAINTEXT, 1, ["✗ cleartext", "Whoever listens on the way reads"]),
    ] {
        let domain = world.domain(cell);
        let said = world.run(&["check", &domain]).await;
        let text = &said.out;
        let top = text.lines().take(5).map(str::trim).collect::<Vec<_>>().join(" ");
        assert!(top.starts_with(&domain) && words.iter().all(|word| top.contains(word)), "{text}");
        assert_eq!(said.code, code, "{text}");
        assert!(text.contains("RPT-MISSING") && text.contains("→ _smtp._tls."), "{text}");
        assert!(!text.contains('\u{1b}'), "no terminal, no colours");
        assert_eq!(said.err, "", "nothing to complain about");
        assert_narrow(text);
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text:?}");
    }
}

/// What is not known is neither good nor bad, in every form.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_an_answer_of_its_own_in_every_form() {
    let world = World::new(&[UNANSWERED]).await;
    let domain = world.domain(UNANSWERED);
    let profile = world.output("own.toml");
    let text = "name = \"own\"\ntitle = \"Ours\"\nsource = \"we\"\ndate = \"2026\"\n\
                [[requirement]]\nid = \"one\"\ntext = \"TLSA is there.\"\ncheck = \"tlsa-present\"\n\
                severity = \"error\"\nsection = \"1\"\n";
    std::fs::write(&profile, text).unwrap();
    world.lab.begin(|_| true);
    let (html, csv) = (world.output("r.html"), world.output("r.csv"));
    let words = ["check", &domain, "--dns-only", "--profile", &profile, "--html", &html];
    let said = world.run(&[&words[..], &["--csv", &csv]].concat()).await;
    assert!(said.out.contains("? not known"), "{}", said.out);
    assert!(said.out.contains("? own\n    Ours\n    unknown (0 of 1 requirements"), "{}", said.out);
    assert!(said.out.contains("? one (unknown)"), "{}", said.out);
    let page = world.read("r.html");
    assert!(page.contains("class=\"unknown\">? unknown"), "{page}");
    let table = world.read("r.csv");
    assert!(table.lines().nth(1).unwrap().contains("own=unknown"), "{table}");
    let level = table.lines().nth(1).unwrap().split(',').nth(2).unwrap();
    assert_eq!(level, "unknown");
    let words = ["check", "--json", &domain, "--dns-only", "--profile", &profile];
    let told = world.run(&words).await.json();
    assert_eq!(told["level"], Value::Null);
    assert_eq!(told["delivery"], "unknown");
    assert_eq!(told["profiles"]["own"]["status"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_writes_every_form_of_the_same_result() {
    let cells = [BEST, PLAINTEXT];
    let world = World::new(&cells).await;
    let [best, plaintext] = cells.map(|cell| world.domain(cell));
    let files = ["r.html", "r.csv", "r.json"].map(|name| world.output(name));
    let [html, csv, shape] = &files;
    let words = ["check", &best, &plaintext, "--html", html, "--csv", csv, "--internet-nl", shape];
    let said = world.run(&words).await.with(1);
    assert!(said.out.contains("✓ dane") && said.out.contains("✗ cleartext"), "{}", said.out);

    let page = world.read("r.html");
    for words in [&*best, &*plaintext, "TLS-MISSING", "Whoever listens on the way", "lang=\"en\""] {
        assert!(page.contains(words), "{words}");
    }
    // One file that can be forwarded: it loads nothing and runs nothing.
    assert!(page.contains("default-src 'none'"));
    for words in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url("] {
        assert!(!page.contains(words), "{words}");
    }

    let table = world.read("r.csv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0][..3], ["domain", "checked_at", "level"]);
    let mut levels: Vec<_> = rows[1..].iter().map(|row| (row[0], row[2])).collect();
    levels.sort_unstable();
    let mut wanted = [(&*best, "dane"), (&*plaintext, "cleartext")];
    wanted.sort_unstable();
    assert_eq!(levels, wanted);

    let shape: Value = serde_json::from_str(&world.read("r.json")).unwrap();
    let results = |domain: &String| &shape["domains"][domain.as_str()]["results"];
    for domain in [&best, &plaintext] {
        has_the_shape(&shape, domain);
    }
    assert_eq!(results(&best)["tests"]["mail_starttls_dane_valid"]["status"], "passed");
    assert_eq!(results(&plaintext)["tests"]["mail_starttls_tls_available"]["status"], "failed");
    assert_eq!(results(&best)["categories"]["mail_dnssec"]["status"], "passed");
    // The name servers of this world have IPv4 alone.
    let address = &results(&best)["tests"]["mail_ipv6_ns_address"];
    assert_eq!(*address, serde_json::json!({ "status": "failed", "verdict": "bad" }));
    assert_eq!(results(&best)["tests"]["mail_ipv6_ns_reach"]["status"], "not_tested");
    assert_eq!(results(&best)["categories"]["mail_ipv6"]["status"], "failed");
    assert_eq!(results(&best)["tests"]["mail_dnssec_mailto_valid"]["verdict"], "good");
    assert_eq!(results(&best)["custom"]["mail_servers_testable_status"], "ok");
    assert_eq!(results(&best)["custom"]["tls_1_3_support"], "yes");
    assert_eq!(results(&plaintext)["custom"]["tls_1_3_support"], "no");
    assert_eq!(results(&plaintext)["tests"]["mail_starttls_dane_exist"]["status"], "not_tested");
    let score =
        |domain: &String| shape["domains"][domain.as_str()]["scoring"]["percentage"].as_u64();
    assert!(score(&best) > score(&plaintext), "{:?} {:?}", score(&best), score(&plaintext));
}

/// What its specification lets these be.
const WORDS: &str = r#"{
    "categories": [
        "failed",
        "info",
        "passed",
        "warning",
        "error"
    ],
    "tests": [
        "passed",
        "failed",
        "info",
        "warning",
        "not_tested",
        "error"
    ],
    "verdicts": [
        "good",
        "bad",
        "other",
        "other-2",
        "not-tested",
        "could-not-test",
        "phase-out",
        "policy",
        "all",
        "no-email",
        "null-mx",
        "no-mailservers",
        "unknown",
        "na-no-tls-1-2",
        "insufficient",
        "syntax-error"
    ],
    "mail_servers_testable_status": [
        "no_mx",
        "unreachable",
        "untestable",
        "ok"
    ],
    "tls_1_3_support": [
        "yes",
        "no",
        "undetermined"
    ]
}"#;

/// `data/internet-nl-mail.json` has the keys of a stored result of Internet.nl's batch API 2, and the
/// words of its specification. A reader of theirs fails at a key that is not there.
fn has_the_shape(file: &Value, domain: &str) {
    let real: Value = serde_json::from_str(include_str!("../data/internet-nl-mail.json")).unwrap();
    let same = |ours: &Value, theirs: &Value| {
        for key in theirs.as_object().unwrap().keys() {
            assert!(ours.get(key).is_some(), "{domain}: no {key} in {ours}");
        }
    };
    same(file, &real);
    same(&file["request"], &real["request"]);
    let id = file["request"]["request_id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    let (ours, theirs) = (&file["domains"][domain], &real["domains"]["example.nl"]);
    same(ours, theirs);
    assert!(ours["report"]["url"].is_string() && ours["scoring"]["percentage"].is_u64(), "{ours}");
    let (ours, theirs) = (&ours["results"], &theirs["results"]);
    same(ours, theirs);
    same(&ours["custom"], &theirs["custom"]);
    let words: Value = serde_json::from_str(WORDS).unwrap();
    let word = |of: &str, word: &Value| words[of].as_array().unwrap().contains(word);
    for part in ["categories", "tests"] {
        let keys =
            |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(keys(&ours[part]), keys(&theirs[part]), "{part}");
        for (name, told) in ours[part].as_object().unwrap() {
            assert!(word(part, &told["status"]), "{domain}: {name}: {told}");
            assert!(part == "categories" || word("verdicts", &told["verdict"]), "{name}: {told}");
        }
    }
    for name in ["mail_servers_testable_status", "tls_1_3_support"] {
        assert!(word(name, &ours["custom"][name]), "{}", ours["custom"]);
    }
    assert!(ours["custom"]["mail_non_sending_domain"].is_boolean());
}

/// Accident: a report is made anew each night by another user (root, from cron) than the one who reads it.
/// Whoever could read the old one can read the new one, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_takes_owner_and_mode_of_the_one_it_replaces() {
    const OWNER: (u32, u32) = (12_345, 12_346);
    let world = World::new(&[BEST]).await;
    let (domain, html) = (world.domain(BEST), world.output("r.html"));
    fs::write(&html, "of yesterday").unwrap();
    fs::set_permissions(&html, fs::Permissions::from_mode(0o640)).unwrap();
    let owned = chown(&html, Some(OWNER.0), Some(OWNER.1));
    let old = fs::metadata(&html).unwrap();
    world.run(&["check", &domain, "--html", &html]).await.with(0);
    let new = fs::metadata(&html).unwrap();
    assert!(world.read("r.html").contains(&domain));
    assert_ne!(new.ino(), old.ino(), "another file took its place");
    assert_eq!(new.mode() & 0o7777, 0o640);
    assert_eq!((new.uid(), new.gid()), (old.uid(), old.gid()));
    match owned {
        Ok(()) => assert_eq!((new.uid(), new.gid()), OWNER),
        // Past what keeps the words of a test that passes to itself.
        Err(why) => writeln!(
            io::stderr(),
            "\nNOT LOOKED AT: whether a report keeps its owner: this is not root ({why})\n"
        )
        .unwrap(),
    }
}
