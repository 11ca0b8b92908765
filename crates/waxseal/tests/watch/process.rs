//! `waxseal serve` as a process with regular checks: what survives a restart, a kill and a reload.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tokio::time::timeout;
use waxseal::{
    gather::PolicyStore,
    secrets::{SecretSource, StoreKeys},
    store::{Access, Entry, Settings, Space, Store},
    watch::{Glance, History, Sight, Whose, history},
};
use waxseal_core::{
    assess::Delivery,
    domain::Domain,
    sts::cache::{Kept, Remembered},
    time::UnixTime,
};
use waxseal_lab::{
    lab::{Lab, Pinning, SENDER_DOMAIN, is_for},
    site::{Attack, Protection},
};

use super::webhook::{Server, signed_with};
use crate::{process::Process, submission::people::Wire};

const PATIENCE: Duration = Duration::from_secs(60);

/// With this in `[checks]`.
fn configure(lab: &Lab, folder: &Path, checks: &str, more: &str) {
    let text = lab.configuration(folder, Pinning::Unknown).unwrap();
    let text = text.replacen("[checks]\n", &format!("[checks]\n{checks}"), 1);
    let text = text.replacen(&format!("gw.{SENDER_DOMAIN}"), "gw.example.com", 1);
    let text = format!("{text}\n[web.metrics]\naddress = \"127.0.0.1:0\"\n{more}");
    std::fs::write(folder.join("waxseal.toml"), text).unwrap();
}

fn store(folder: &Path, access: Access) -> Store {
    let config = waxseal::config::Config::load(&folder.join("waxseal.toml")).unwrap();
    let settings = Settings::of(&config);
    let source = SecretSource::from(&config.store.key);
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, access).unwrap()
}

fn now() -> UnixTime {
    waxseal::resolve::Clock::system().now()
}

/// What is kept of a domain once it has been looked at so often.
async fn looked(store: &Store, domain: &Domain, times: usize) -> History {
    let found = async {
        loop {
            let kept = history(store, domain, now()).await.unwrap();
            if let Some(kept) = kept.filter(|kept| kept.looks.len() >= times) {
                return kept;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, found).await.expect("it is looked at")
}

async fn keep(store: &Store, domain: &Domain, kept: &History) {
    let (name, value) = (domain.as_str().to_owned(), serde_json::to_vec(kept).unwrap());
    store.save(Space::Check, Entry { name, value, expires: None }).await.unwrap();
}

/// Attacker: before all mail hosts of one of our domains, with a key of their own, while the
/// webhook is down and the machine loses power. The alert arrives after the next start, as the same
/// one, and signed.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_the_webhook_though_it_was_down_and_the_gateway_was_killed() {
    let lab = Lab::start(&[(Protection::Dane, Attack::SelfSigned)], &["plain"]).await.unwrap();
    let domain = Domain::parse(&lab.sites()[0].domains()[0]).unwrap();
    let receiver = Server::start(&[503, 200]).await;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("hook.key"), "swordfish\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(here.join("hook.key"), mode).unwrap();
    let more = format!("[[domain]]\nname = \"{domain}\"\ninside = \"mail.{SENDER_DOMAIN}:25\"\n");
    let checks = format!(
        "own = \"1m\"\nwebhook = \"https://127.0.0.1:{}/hook\"\n\
         webhook_allow_private = true\nwebhook_secret = \"file:{}\"\n",
        receiver.port,
        here.join("hook.key").display()
    );
    configure(&lab, here, &checks, &more);
    let roots = std::fs::read_to_string(here.join("roots.pem")).unwrap();
    std::fs::write(here.join("roots.pem"), roots + &receiver.authority()).unwrap();

    let mut first = Process::start(here);
    first.logs("mail comes in at ").await;
    let beside = store(here, Access::Visit);
    looked(&beside, &domain, 1).await;
    drop(beside);
    first.ends_by(Signal::TERM).await;
    // As if that had been two hours ago.
    let alone = store(here, Access::Serve);
    let mut kept = history(&alone, &domain, now()).await.unwrap().unwrap();
    kept.looks[0].at = UnixTime(kept.looks[0].at.0 - 7_200);
    keep(&alone, &domain, &kept).await;
    let (probes, _) = alone.entries(Space::Probe, (0, 100), now()).await.unwrap();
    for probe in probes {
        alone.remove(Space::Probe, &probe.unwrap().name).await.unwrap();
    }
    drop(alone);

    lab.begin(|_| true);
    let mut second = Process::start(here);
    second.logs(&format!("event=\"check-alert\" state=\"raised\" domain={domain}")).await;
    second.logs("the webhook did not take an alert, which waits").await;
    second.ends_by(Signal::KILL).await;
    // The other domain of ours has no mail host, which is told as well, in its own time.
    let about_it = || -> Vec<String> {
        let name = format!("\"domain\":\"{domain}\"");
        receiver.requests().into_iter().filter(|request| request.contains(&name)).collect()
    };
    assert_eq!(about_it().len(), 1);

    let _third = Process::start(here);
    let came = async {
        while about_it().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, came).await.expect("the alert comes again");
    let seen = about_it();
    let id = |text: &str| {
        text.lines().find(|line| line.starts_with("waxseal-alert: ")).unwrap().to_owned()
    };
    assert_eq!(id(&seen[0]), id(&seen[1]), "one alert");
    for request in &seen {
        assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
        assert!(signed_with(b"swordfish", request), "{request}");
    }
    let body = seen[1].split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["schema"], "waxseal/alert/1");
    assert_eq!((&body["domain"], &body["own"]), (&domain.as_str().into(), &true.into()));
    let kinds: Vec<_> = body["raised"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&"tlsa-match".into()), "{body}");
}

/// A new configuration takes effect at a hangup: a domain that was not watched is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn checks_that_are_switched_on_by_a_reload_begin() {
    let lab = Lab::start(&[(Protection::Dane, Attack::Nobody)], &["plain"]).await.unwrap();
    let domain = Domain::parse(SENDER_DOMAIN).unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure(&lab, folder.path(), "own = \"0s\"\n", "");
    let mut process = Process::start(folder.path());
    process.logs("mail comes in at ").await;
    let beside = store(folder.path(), Access::Visit);
    configure(&lab, folder.path(), "own = \"1m\"\n", "");
    assert!(history(&beside, &domain, now()).await.unwrap().is_none(), "it was switched off");
    process.signal(Signal::HUP);
    process.logs("the new configuration is in force").await;
    let kept = looked(&beside, &domain, 1).await;
    assert_eq!(kept.whose, Whose::Own);
}

/// A domain that mail went to is a partner from then on, and is looked at when its day comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_we_sent_to_is_checked_again() {
    let lab = Lab::start(&[(Protection::Dane, Attack::Nobody)], &["plain"]).await.unwrap();
    let name = lab.sites()[0].domains()[0].clone();
    let domain = Domain::parse(&name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure(&lab, folder.path(), "", "");
    let mut first = Process::start(folder.path());
    let line = first.logs("mail comes in at ").await;
    let door: SocketAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
    let mut wire = Wire::connect(Ipv4Addr::LOCALHOST.into(), door).await;
    wire.greeted().await;
    let bob = format!("bob@{name}");
    wire.says(&format!("MAIL FROM:<ann@{SENDER_DOMAIN}>"), "250").await;
    wire.says(&format!("RCPT TO:<{bob}>"), "250").await;
    wire.says("DATA", "354").await;
    wire.says("Subject: partner\r\n\r\nx\r\n.", "250 2.0.0").await;
    assert!(lab.sink().find(|message| is_for(message, &bob), PATIENCE).await.is_some());
    let beside = store(folder.path(), Access::Visit);
    // Accepted there is one thing, recorded here another.
    let settled = async {
        while beside.count().await.unwrap() != [0, 0, 0] {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, settled).await.expect("the message is settled");
    drop(beside);
    first.ends_by(Signal::TERM).await;
    // As if it had been looked at yesterday.
    let alone = store(folder.path(), Access::Serve);
    let mut kept = History::new(Whose::Partner);
    kept.looks.push_back(Glance {
        at: UnixTime(now().0 - 25 * 3_600),
        level: None,
        delivery: Delivery::Unknown,
        findings: Vec::new(),
        certainty: Sight::Partial,
    });
    keep(&alone, &domain, &kept).await;
    drop(alone);

    let mut second = Process::start(folder.path());
    second.logs("mail comes in at ").await;
    let beside = store(folder.path(), Access::Visit);
    let kept = looked(&beside, &domain, 2).await;
    assert_eq!(kept.whose, Whose::Partner);
    assert_eq!(kept.looks[1].level, Some(waxseal_core::channel::Level::Dane));
}

/// What a check finds of a domain, by id, and what it says on standard error.
async fn check(folder: &Path, words: &[&str]) -> (Vec<String>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("-c").arg(folder.join("waxseal.toml")).args(["check", "--json"]).args(words);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, said) = (String::from_utf8(ran.stdout), String::from_utf8(ran.stderr).unwrap());
    let document: serde_json::Value =
        serde_json::from_str(&out.unwrap()).unwrap_or_else(|error| panic!("{error}: {said}"));
    let ids = document["findings"].as_array().unwrap().iter();
    (ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect(), said)
}

/// All files and directories in a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .flat_map(|path| {
            let within = if path.is_dir() { files(&path) } else { Vec::new() };
            std::iter::once(path).chain(within)
        })
        .collect();
    all.sort();
    all
}

/// The gateway has known the policy for long: `check` says what is wrong with it now, beside the
/// server, and nothing is written. Without a gateway the same command knows nothing of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_uses_what_the_gateway_knows_and_leaves_it_as_it_is() {
    let cells = [(Protection::StsTesting, Attack::Nobody), (Protection::StsCold, Attack::Nobody)];
    let lab = Lab::start(&cells, &["plain"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure(&lab, folder.path(), "", "");
    let names: Vec<_> = lab.sites().iter().map(|site| site.domains()[0].clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let folder = folder.path();
    let has = |ids: &[String], id: &str| ids.iter().any(|one| one == id);
    let there = files(folder);
    let (before, said) = check(folder, &[names[0]]).await;
    assert!(has(&before, "STS-TESTING") && !has(&before, "STS-TESTING-TOO-LONG"), "{before:?}");
    assert!(!has(&check(folder, &[names[1]]).await.0, "STS-ID-STALE"));
    assert_eq!(said, "", "that there is no gateway here is no news");
    assert_eq!(files(folder), there, "a check makes no store and no key");

    let server = store(folder, Access::Serve);
    let policy = |mode: &str| {
        let text =
            format!("version: STSv1\r\nmode: {mode}\r\nmx: mx.old.example\r\nmax_age: 604800\r\n");
        waxseal_core::sts::Policy::parse(text.as_bytes()).unwrap()
    };
    let kept = |mode: &str| Remembered {
        policy: Some(Kept {
            policy: policy(mode),
            id: Some("20261122".into()),
            fetched_at: now(),
            mode_since: Some(UnixTime(now().0 - 90 * 86_400)),
        }),
        ..Remembered::default()
    };
    for (name, mode) in names.iter().zip(["testing", "enforce"]) {
        let domain = Domain::parse(name).unwrap();
        PolicyStore::save(&server, &domain, Some(&kept(mode)), now()).await.unwrap();
    }
    for (name, id) in names.iter().zip(["STS-TESTING-TOO-LONG", "STS-ID-STALE"]) {
        let (known, said) = check(folder, &[name]).await;
        assert!(has(&known, id), "{known:?}");
        assert_eq!(said, "");
        let (fresh, _) = check(folder, &["--fresh", name]).await;
        assert!(!has(&fresh, id), "{fresh:?}");
    }
    for (name, mode) in names.iter().zip(["testing", "enforce"]) {
        let domain = Domain::parse(name).unwrap();
        let known = PolicyStore::load(&server, &domain, now()).await.unwrap().unwrap();
        assert_eq!(known.policy.unwrap().policy, policy(mode), "a check writes nothing");
    }
}

/// What a check says of domains on standard output and on standard error.
async fn said(folder: &Path, words: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("-c").arg(folder.join("waxseal.toml")).arg("check").args(words);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
}

/// A delivery of the gateway stands in for a probe where many domains are compared or judged: what it
/// does not show is unknown, and the check says what would show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_says_that_fresh_would_look_where_a_delivery_was_enough() {
    let cells =
        [Protection::Opportunistic, Protection::StsCold, Protection::DaneAndSts, Protection::None];
    let cells = cells.map(|protection| (protection, Attack::Nobody));
    let lab = Lab::start(&cells, &["plain"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure(&lab, folder.path(), "", "");
    let folder = folder.path();
    let names: Vec<_> = lab.sites().iter().map(|site| site.domains()[0].clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (first, _) = said(folder, &["--json", names[0]]).await;
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let host = &first["mx"][0];
    let server = store(folder, Access::Serve);
    let at = now().0;
    for address in host["addresses"].as_array().unwrap() {
        let ip: std::net::IpAddr = address["ip"].as_str().unwrap().parse().unwrap();
        let sight = serde_json::json!([{
            "sni": host["host"], "at": at, "whole": at, "source": "delivery",
            "observed": { "probed": {
                "at": at,
                "contact": {
                    "spoke": { "greeting": "", "keywords": ["STARTTLS"], "starttls": "ready" }
                },
                "handshakes": [{ "key": "ecdsa", "tried": { "session": {
                    "version": "TLSv1.3", "suite": "TLS_AES_256_GCM_SHA384",
                    "group": "X25519MLKEM768", "chain": [], "sni": host["host"], "at": at,
                } } }],
                "weak": null,
            } },
        }]);
        let value = serde_json::to_vec(&sight).unwrap();
        let name = SocketAddr::new(ip, 25).to_string();
        let entry = Entry { name, value, expires: Some(UnixTime(at + 86_400)) };
        server.save(Space::Probe, entry).await.unwrap();
    }
    let told = "not probed: of 1 of 4 domains hosts were seen by recent deliveries alone; ";
    let line = |out: &str| {
        let row = out.lines().find(|line| line.starts_with("opportunistic.example"));
        row.unwrap_or_else(|| panic!("{out}")).split_whitespace().skip(2).collect::<String>()
    };
    // DANE, MTA-STS, TLSRPT, TLS 1.3, PQ, IPv6, DNSSEC, REQUIRETLS, hygiene
    for (words, glyphs, lines) in
        [(&["--compare"][..], "??", 1), (&["--compare", "--fresh"], "✗✓", 0)]
    {
        let (out, err) = said(folder, &[words, &names[..]].concat()).await;
        assert!(line(&out).ends_with(glyphs), "{out}");
        assert_eq!(err.lines().filter(|line| line.contains(told)).count(), lines, "{err}");
        assert_eq!(err.contains("--fresh looks"), lines > 0, "{err}");
    }
    let (_, err) = said(folder, &[&["--profile", "uk-gov"][..], &names[..]].concat()).await;
    assert!(err.contains(told), "{err}");
    let (_, err) = said(folder, &names).await;
    assert!(!err.contains("not probed"), "nobody asked for what is open: {err}");
    // A few are probed, whatever deliveries saw.
    let (_, err) = said(folder, &["--compare", names[0]]).await;
    assert!(!err.contains("not probed"), "{err}");
}

/// A check goes on without a store that it cannot use, and says so in one sentence: a newer version
/// wrote it, or its key is away. An empty file is no store, and stays empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_does_without_a_store_that_it_cannot_read() {
    let cells = [(Protection::StsTesting, Attack::Nobody)];
    let lab = Lab::start(&cells, &["plain"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    configure(&lab, folder.path(), "", "");
    let folder = folder.path();
    let name = lab.sites()[0].domains()[0].clone();
    drop(store(folder, Access::Serve));
    let config = waxseal::config::Config::load(&folder.join("waxseal.toml")).unwrap();
    let database = Settings::of(&config).database;
    let set_version = |version: i64| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    };
    let lines = async |words: &str| {
        let (ids, said) = check(folder, &[&name]).await;
        assert!(ids.iter().any(|id| id == "STS-TESTING"), "{ids:?} {said}");
        assert_eq!(said.lines().count(), usize::from(!words.is_empty()), "{said}");
        assert!(said.contains(words), "{said}");
    };
    lines("").await;
    set_version(99);
    lines("checking without what the gateway knows: the store has schema version 99").await;
    set_version(1);
    let SecretSource::File(key) = SecretSource::from(&config.store.key) else { panic!("a file") };
    let away = folder.join("away");
    std::fs::rename(&key, &away).unwrap();
    lines("the store key is missing").await;
    assert!(!key.exists(), "no new one is made");
    std::fs::rename(&away, &key).unwrap();
    std::fs::write(&database, "").unwrap();
    lines("").await;
    assert_eq!(database.metadata().unwrap().len(), 0);
}
