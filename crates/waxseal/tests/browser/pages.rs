//! Reports of `waxseal check` as they are looked at.

use serde_json::Value;
use waxseal_lab::site::{Attack, Protection};

use super::{
    chromium::{Browser, Scheme},
    look_everywhere,
    recorded::{overlong, population},
};
use crate::operator::World;

/// Everything that a report can be: good, poor, bad, refused, unknown.
const CELLS: [(Protection, Attack); 7] = [
    (Protection::DaneAndSts, Attack::Nobody),
    (Protection::StsCold, Attack::Nobody),
    (Protection::Opportunistic, Attack::Nobody),
    (Protection::None, Attack::Nobody),
    (Protection::Dane, Attack::ForgedTlsa),
    (Protection::DaneAndSts, Attack::TlsaServfail),
    (Protection::StsCold, Attack::ExpiredCert),
];

/// What a real run in the lab keeps.
async fn looked_at(world: &World) -> Vec<Value> {
    world.lab.begin(|_| true);
    let journal = path(world, "looked-at.jsonl");
    let mut words = vec!["check", "--resume", &journal, "--profile", "internet-nl"];
    let domains: Vec<String> = CELLS.iter().map(|cell| world.domain(*cell)).collect();
    words.extend(domains.iter().map(String::as_str));
    words.extend(["nowhere.example", "a..b"]);
    world.run(&words).await.with(2);
    let text = std::fs::read_to_string(&journal).unwrap();
    // The first line says what was asked.
    let mut reports: Vec<Value> =
        text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    reports.sort_by_key(|report| words.iter().position(|word| report["input"] == *word));
    reports
}

fn path(world: &World, name: &str) -> String {
    world.folder.path().join(name).to_string_lossy().into_owned()
}

/// The page that the command writes of these reports; nobody is asked for them again.
async fn page(world: &World, name: &str, reports: &[Value], more: &[&str]) -> String {
    let [journal, list, html] =
        ["jsonl", "txt", "html"].map(|end| path(world, &format!("{name}.{end}")));
    let kept = std::fs::read_to_string(path(world, "looked-at.jsonl")).unwrap();
    let header = kept.lines().next().unwrap();
    let lines: String = reports.iter().map(|report| format!("{report}\n")).collect();
    std::fs::write(&journal, format!("{header}\n{lines}")).unwrap();
    let inputs: String =
        reports.iter().map(|report| format!("{}\n", report["input"].as_str().unwrap())).collect();
    std::fs::write(&list, inputs).unwrap();
    let words = [
        "check",
        "--resume",
        &journal,
        "--from",
        &list,
        "--html",
        &html,
        "--profile",
        "internet-nl",
    ];
    let said = world.run(&[&words[..], more].concat()).await;
    assert!(said.code <= 2 && !said.err.contains("waxseal:"), "{}", said.err);
    if !said.out.is_empty() {
        std::fs::write(path(world, &format!("{name}.out")), said.out).unwrap();
    }
    html
}

/// Whoever reads it with a telephone, in the dark, or with a screen reader can read it.
#[tokio::test(flavor = "multi_thread")]
async fn reports_have_no_barriers_on_a_telephone_a_desk_in_light_and_dark() {
    let world = World::new(&CELLS).await;
    let all = looked_at(&world).await;
    let mut pages = Vec::new();
    for (name, reports, more) in [
        ("good", vec![all[0].clone()], &[][..]),
        ("refused", vec![all[4].clone()], &[]),
        ("unknown", vec![all[5].clone()], &[]),
        ("overlong", vec![overlong(&all[6])], &[]),
        ("several", population(&all, 50, 12), &[]),
        ("compared", population(&all, 200, 20), &["--compare"]),
    ] {
        pages.push((name, page(&world, name, &reports, more).await));
    }
    let looked = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        let mut wrong = String::new();
        for (name, file) in pages {
            let (url, view) = (format!("file://{file}"), format!("check-{name}"));
            wrong.push_str(&look_everywhere(&mut browser, &url, &view));
        }
        wrong
    });
    let wrong = looked.await.unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Five hundred domains are a page that still opens and fits.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_five_hundred_domains_opens() {
    let world = World::new(&CELLS).await;
    let all = looked_at(&world).await;
    let file = page(&world, "many", &population(&all, 500, 20), &[]).await;
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < 20 << 20, "{size} bytes to forward");
    let looked = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        browser.look_like(320, Scheme::Light);
        browser.open(&format!("file://{file}"));
        assert!(browser.overflow() <= 1);
        let links = "document.querySelectorAll('table a').length";
        assert_eq!(browser.ask(links), 500, "one can get to each");
        let dead = "[...document.querySelectorAll('a')].filter(a => \
                    !document.getElementById(a.hash.slice(1))).length";
        assert_eq!(browser.ask(dead), 0);
        let (colours, _) = browser.picture("check-many-320-light");
        assert!(colours >= 8);
    });
    looked.await.unwrap();
}
