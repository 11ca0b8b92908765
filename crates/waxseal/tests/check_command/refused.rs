//! What the command line, the configuration and the disk can get wrong.

use super::{BEST, UNANSWERED, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_refused_before_anything_is_asked() {
    let world = World::new(&[BEST]).await;
    let best = world.domain(BEST);
    let folder = world.output("");
    let nowhere = world.output("no/such/folder/r.html");
    let both = world.output("both");
    let mut selectors = vec!["check", &best];
    selectors.extend(["--selector", "20230601"].repeat(17));
    for (words, told) in [
        (vec!["check"], "no domain was given"),
        (vec!["check", &best, "--profile", "internet_nl"], "did you mean internet-nl?"),
        (vec!["check", &best, "--profile", "internet"], "did you mean internet-nl?"),
        (vec!["check", &best, "--profile", "zzz"], "built in are internet-nl, bsi-tr-03108"),
        (vec!["check", &best, "-j", "0"], "0 is not in 1..=512"),
        (vec!["check", &best, "-j", "513"], "513 is not in 1..=512"),
        (vec!["check", "--from", &nowhere], "No such file"),
        (vec!["check", "--from", "/dev/null"], "/dev/null: there is no domain in it"),
        (vec!["check", &best, "--html", &nowhere], "r.html: the report cannot be written there"),
        (vec!["check", &best, "--csv", &folder], "Is a directory"),
        (vec!["check", &best, "--internet-nl", &nowhere], "the report cannot be written there"),
        (vec!["check", &best, "--resume", &nowhere], "the report cannot be written there"),
        (vec!["check", &best, "--html", "-"], "has no name; use /dev/stdout"),
        (
            vec!["check", &best, "--html", &both, "--csv", &both],
            "two reports cannot be written to one",
        ),
        (
            vec!["check", &best, "--resume", &both, "--csv", &both],
            "two reports cannot be written to one",
        ),
        (vec!["check", &best, "--hello", "a..b"], "--hello a..b: "),
        (vec!["check", &best, "--selector", "bad sel"], "' ' cannot stand in a domain name"),
        (vec!["check", &best, "--selector", "a..b"], "no DKIM selector: "),
        (selectors, "--selector was given 17 times; at most 16"),
        (vec!["check", &best, "--frm", "x"], "--from"),
    ] {
        let said = world.run(&words).await.with(64);
        assert!(said.err.to_lowercase().contains(&told.to_lowercase()), "{words:?}: {}", said.err);
        assert_eq!(said.out, "", "{words:?}");
    }
    assert_eq!(world.asked(&best), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_told_and_nothing_is_asked() {
    let world = World::new(&[BEST]).await;
    let best = world.domain(BEST);
    let text = world.read("waxseal.toml");
    std::fs::write(world.file(), text.replace("[checks]", "[cheks]")).unwrap();
    let said = world.run(&["check", &best]).await.with(78);
    assert!(said.err.contains("cheks") && said.err.contains("checks"), "{}", said.err);
    let profile = world.output("own.toml");
    std::fs::write(&profile, "name = \"own\"\ncolour = \"red\"\n").unwrap();
    std::fs::write(world.file(), world.read("waxseal.toml").replace("[cheks]", "[checks]"))
        .unwrap();
    let said = world.run(&["check", &best, "--profile", &profile]).await.with(78);
    assert!(said.err.contains("own.toml") && said.err.contains("colour"), "{}", said.err);
    assert_eq!(world.asked(&best), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_nowhere_is_unknown_and_not_bad() {
    let world = World::broken(&[UNANSWERED]).await;
    for (words, told) in [
        (vec!["check", "nowhere.example"], "NXDOMAIN"),
        (vec!["check", "a..b"], "1 to 63 octets"),
        // Beside something that is wrong, too: nothing is known of what was meant.
        (vec!["check", "nowhere.example", "sender.example"], "NXDOMAIN"),
    ] {
        let said = world.run(&words).await.with(2);
        assert!(said.out.contains(told), "{}", said.out);
    }
    // The name servers fail: MX cannot be found out.
    let domain = world.domain(UNANSWERED);
    world.lab.dns().tamper(waxseal_lab::dns::Tampering::all(
        &domain,
        waxseal_lab::dns::Act::Fail(waxseal_lab::dns::rcode::SERVFAIL),
    ));
    let said = world.run(&["check", &domain, "--dns-only"]).await.with(2);
    assert!(said.out.contains("? not known") && said.out.contains("SERVFAIL"), "{}", said.out);
}

/// The disk is full when the report is written: said, not lost in silence, and the other form of
/// the report is written all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_written_in_the_end_is_told() {
    let world = World::new(&[BEST]).await;
    let csv = world.output("r.csv");
    let domain = world.domain(BEST);
    let words = ["check", &domain, "--html", "/dev/full", "--csv", &csv];
    let said = world.run(&words).await.with(2);
    assert!(said.err.contains("/dev/full: the report cannot be written"), "{}", said.err);
    assert!(said.out.contains("✓ dane"), "{}", said.out);
    assert!(world.read("r.csv").contains(&domain));
    let list = world.output("list");
    let names: String = (0..9).map(|n| format!("none{n}.invalid\n")).collect();
    std::fs::write(&list, names).unwrap();
    let said = world.run(&["check", "--from", &list, "--dns-only", "--csv", "/dev/full"]).await;
    assert!(said.out.contains("what should tell all of it could not be written"), "{}", said.out);
}
