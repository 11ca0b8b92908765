//! Many domains: from files, side by side, broken off and gone on with.

use std::{
    io::BufRead as _,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use waxseal_lab::dns::{Act, Tampering};

use super::{BEST, Cell, PLAINTEXT, POLICY, SELF_SIGNED, World, assert_narrow};
use crate::operator::Said;

const ALL: [Cell; 4] = [BEST, POLICY, SELF_SIGNED, PLAINTEXT];

/// Whoever wrote the list may be hostile: a line with an escape sequence does not reach a terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_bad_lines_is_worked_off_to_the_end() {
    let world = World::new(&ALL).await;
    let domains = ALL.map(|cell| world.domain(cell));
    let list = world.output("list.csv");
    let [one, two, three, four] = &domains;
    let hostile = "\u{1b}[31mred.example";
    let text = format!(
        "# customers\n{one},Ann\n\n{two}  # second\na..b\n{hostile}\n{}\n{}\nnowhere.example\n",
        one.to_uppercase(),
        "x".repeat(10_000),
    );
    std::fs::write(&list, text).unwrap();
    for from in [&*list, "-"] {
        let words = ["check", three, four, "--from", from, "--dns-only", "-j", "2"];
        let input = if from == "-" { world.read("list.csv") } else { String::new() };
        let said = world.run_with(&words, &input).await.with(2);
        for domain in &domains {
            let lines = said.out.lines().filter(|line| line.contains(domain.as_str()));
            assert_eq!(lines.count(), 1, "each once: {}", said.out);
        }
        let line = |words: &str| {
            let found = said.out.lines().find(|line| line.contains(words));
            found.unwrap_or_else(|| panic!("{words}: {}", said.out))
        };
        assert!(line("a..b").starts_with("✗ no domain"), "{}", said.out);
        assert!(line("a..b").contains("1 to 63 octets"), "{}", said.out);
        assert!(line("red.example").contains("\\u{1b}[31mred"), "{}", said.out);
        assert!(line("nowhere.example").contains("NXDOMAIN"), "{}", said.out);
        assert!(!said.out.contains('\u{1b}') && said.out.len() < 5_000, "{}", said.out);
        assert!(line("8 domains").contains("--html or --csv"), "{}", said.out);
        let (_, tally) = said.out.split_once("8 domains").unwrap();
        let counts = tally.lines().skip(1).map(|line| line[..6].trim().parse::<u32>().unwrap());
        assert_eq!(counts.sum::<u32>(), 8, "each is counted: {tally}");
        assert!(tally.contains("1 ✗ no such domain DNS has no domain of this name"), "{tally}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_many_is_one_object_a_line_the_bad_ones_included() {
    let world = World::new(&[BEST]).await;
    let best = world.domain(BEST);
    let words = ["check", "--json", &best, "a..b", "nowhere.example"];
    let said = world.run(&words).await.with(2);
    let told: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let one = |domain: &str| told.iter().find(|one| one["domain"] == domain).unwrap();
    assert_eq!(told.len(), 3);
    assert!(one("a..b")["error"].as_str().unwrap().contains("63 octets"));
    assert_eq!(one("nowhere.example")["findings"][0]["id"], "DOMAIN-MISSING");
    assert_eq!(one(&best)["level"], "dane");
}

/// What was done before a crash is not asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_goes_on_where_it_was() {
    let world = World::new(&ALL).await;
    let domains = ALL.map(|cell| world.domain(cell));
    let journal = world.output("done.jsonl");
    let mut words = vec!["check", "-j", "1", "--json", "--resume", &journal];
    words.extend(domains.iter().map(String::as_str));
    let killed = tokio::task::spawn_blocking({
        let mut command = command(&world, &words);
        move || {
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
            let done = [lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()];
            child.kill().unwrap();
            child.wait().unwrap();
            done
        }
    });
    let done = killed.await.unwrap().map(|line| {
        let told: Value = serde_json::from_str(&line).unwrap();
        told["domain"].as_str().unwrap().to_owned()
    });
    let asked: Vec<usize> = done.iter().map(|domain| world.asked(domain)).collect();
    // A crash in the middle of a line.
    let text = world.read("done.jsonl") + "{\"input\":\"half";
    std::fs::write(&journal, text).unwrap();

    let (html, list) = (world.output("r.html"), &mut words);
    list.extend(["--html", &html]);
    let said = world.run(list).await.with(1);
    for (domain, before) in done.iter().zip(asked) {
        assert_eq!(world.asked(domain), before, "asked again: {domain}");
    }
    // One run tells all of it: what is kept in the order of the list, and then what was still open.
    let told = |said: &Said| -> Vec<String> {
        let objects = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.map(|told| told["domain"].as_str().unwrap().to_owned()).collect()
    };
    let kept: Vec<_> = domains.iter().filter(|domain| done.contains(domain)).cloned().collect();
    assert_eq!(told(&said)[..2], kept, "{}", said.out);
    assert_eq!(sorted(told(&said)), sorted(domains.to_vec()), "{}", said.out);
    let page = world.read("r.html");
    assert!(domains.iter().all(|domain| page.contains(domain.as_str())), "all of them, in the end");
    assert_eq!(world.read("done.jsonl").lines().count(), 1 + domains.len(), "after the header");
    // Where nothing is open nobody is asked, and it is told all the same: for people, too.
    let asked: Vec<_> = domains.iter().map(|domain| world.asked(domain)).collect();
    let said = world.run(&words).await.with(1);
    assert_eq!(told(&said), domains);
    let plain: Vec<&str> = words.iter().copied().filter(|word| *word != "--json").collect();
    let said = world.run(&plain).await.with(1);
    let places = domains.each_ref().map(|domain| said.out.find(domain.as_str()).unwrap());
    assert!(places.is_sorted() && said.out.contains("4 domains; "), "{}", said.out);
    assert_eq!(domains.iter().map(|domain| world.asked(domain)).collect::<Vec<_>>(), asked);
    // Other profiles judge anew: old verdicts are not mixed with new ones.
    let said = world.run(&[&words[..], &["--profile", "dsk-normal"]].concat()).await;
    assert!(said.out.lines().count() == domains.len(), "{}", said.out);
}

/// Ctrl-C keeps what is done, writes the reports so far, and says how to go on. Nobody answers about
/// the last domain, so that the run cannot come to its end before the signal.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_says_how_to_go_on() {
    let world = World::new(&ALL).await;
    let (journal, csv) = (world.output("done.jsonl"), world.output("r.csv"));
    let html = world.output("r.html");
    let domains = ALL.map(|cell| world.domain(cell));
    let [.., last] = &domains;
    world.lab.dns().tamper(Tampering::all(last, Act::Drop));
    let mut words = vec!["check", "-j", "1", "--json", "--resume", &journal, "--csv", &csv];
    words.extend(["--html", &html]);
    words.extend(domains.iter().map(String::as_str));
    let mut command = command(&world, &words);
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        (0..3).for_each(|_| drop(lines.next().unwrap().unwrap()));
        kill_process(pid(&child), Signal::INT).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(lines.count(), 0, "nothing is told of what was broken off");
        ended
    });
    let ended = ended.await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    let advice =
        format!("3 of 4 are done and kept; the same command with --resume {journal} goes on");
    assert!(said.contains(&advice), "{said}");
    assert_eq!(world.read("r.csv").lines().count(), 1 + 3, "what is done is in the table");
    let page = world.read("r.html");
    assert!(
        page.contains("not complete") && page.contains("3 of 4 domains were looked at"),
        "{page}"
    );
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn command(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.arg("--config").arg(world.file()).args(words).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_kind_is_no_journal() {
    let world = World::new(&[]).await;
    let path = world.output("notes.txt");
    std::fs::write(&path, "buy milk\n").unwrap();
    let said = world.run(&["check", "a.example", "--resume", &path]).await.with(64);
    assert!(said.err.contains("was not written by `waxseal check --resume`"), "{}", said.err);
    assert_eq!(world.read("notes.txt"), "buy milk\n", "nothing of it is lost");
}

/// Two runs would write over each other's lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_another_run_holds_is_left_to_it() {
    let world = World::new(&[]).await;
    let path = world.output("done.jsonl");
    let other = std::fs::File::create(&path).unwrap();
    other.lock().unwrap();
    let said = world.run(&["check", "nowhere.example", "--resume", &path]).await.with(75);
    assert!(said.err.contains("another `waxseal check --resume` is at work on it"), "{}", said.err);
    assert_eq!(world.read("done.jsonl"), "", "nothing was written");
    drop(other);
    world.run(&["check", "nowhere.example", "--resume", &path]).await.with(2);
    assert_eq!(world.read("done.jsonl").lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_compared_in_a_table_a_page_and_a_spreadsheet() {
    let world = World::new(&ALL).await;
    let domains = ALL.map(|cell| world.domain(cell));
    let (html, csv) = (world.output("r.html"), world.output("r.csv"));
    let mut words = vec!["check", "--compare", "--html", &html, "--csv", &csv, "a..b"];
    words.extend(domains.iter().map(String::as_str));
    words.push("nowhere.example");
    let said = world.run(&words).await.with(2);
    assert_narrow(&said.out);
    let row = |operator: &str| {
        let line = said.out.lines().find(|line| line.starts_with(operator));
        line.unwrap_or_else(|| panic!("{operator}: {}", said.out))
    };
    let glyphs = |operator: &str| row(operator).split_whitespace().skip(2).collect::<String>();
    // DANE, MTA-STS, TLSRPT, TLS 1.3, PQ, IPv6, DNSSEC, REQUIRETLS, hygiene
    assert_eq!(glyphs("dane-and-sts.example"), "✓✓✗✓✓✓✓✗✓");
    assert_eq!(glyphs("sts-cold.example"), "✗✓✗✓✓✓✗✗✓");
    // No STARTTLS: nothing that hangs on TLS.
    assert_eq!(glyphs("none.example"), "✗✗✗✗✗✓✗✗✗");
    // What could not be compared is not dropped in silence.
    assert!(said.err.contains("not compared: a..b: "), "{}", said.err);
    assert!(said.err.contains("not compared: nowhere.example: NXDOMAIN"), "{}", said.err);
    let table = world.read("r.csv");
    assert!(
        table.contains(
            "dane-and-sts.example,1,yes,yes,no,yes,yes,yes,yes,no,yes,1,1,0,1,1,1,1,0,1,,\
             0,0,0,0,0,0,0,0,0\r\n"
        ),
        "{table}"
    );
    assert!(said.out.contains("4 domains at 4 operators; 2 more could not"), "{}", said.out);
    let page = world.read("r.html");
    assert!(page.contains("Providers side by side") && page.contains("not known"), "{page}");
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "a..b").collect();
    let told = world.run(&[&words[..], &["--json", "--dns-only"]].concat()).await.json();
    assert_eq!(told["schema"], "waxseal/check-compare/1");
    assert_eq!(told["providers"].as_array().unwrap().len(), ALL.len(), "{told}");
    assert_eq!(told["left_out"][0]["domain"], "nowhere.example", "{told}");
}
