//! What scripts, spreadsheets and terminals are given.

use waxseal_core::{
    assess::{
        Assessment, Delivery, HostAssessment, Offer, Offers,
        profile::{ProfileVerdict, RequirementVerdict, Status, Weight},
    },
    channel::Level,
    domain::Domain,
    time::UnixTime,
};

use super::{
    Exit,
    compare::Compared,
    csv,
    forms::{Exits, compared},
    html, json, profiles,
    progress::bar,
    report::{Assessed, Compare, Outcome, Report, ReportsTold, StsTold},
    standing::Tally,
    text, work,
};
use crate::{cli::Paint, survey::Depth};

/// What a spreadsheet reads of one cell of ours that splits at this mark: some honour quotes, some do not.
fn parts(cell: &str, mark: char) -> Vec<String> {
    let mut all: Vec<String> = cell.split(mark).map(str::to_owned).collect();
    let (mut part, mut inside) = (String::new(), false);
    for c in cell.chars() {
        match c {
            '"' => inside = !inside,
            c if c == mark && !inside => all.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    all.push(part);
    all
}

/// The attackers are the owner of a domain and the operator of a mail host, whose words end up in a
/// spreadsheet: of any country, so that cells end at `,`, `;`, a tab or `|`.
#[test]
fn no_cell_is_a_formula_wherever_a_spreadsheet_splits() {
    let formulas =
        ["=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(A1)", "＝1+1", "＋1", "－1", "＠SUM(A1)"];
    let before = [
        "",
        "no;",
        "no,",
        "no|",
        "no\t",
        "no\"",
        "no;\"",
        "no; ",
        "no;\u{a0}\"\" ",
        "\t",
        "\r",
        "\n",
    ];
    for (formula, before) in formulas.iter().flat_map(|f| before.map(|before| (f, before))) {
        let row = csv::line([format!("{before}{formula}"), formula.to_string()].into_iter());
        for part in [',', ';', '\t', '|', '\n'].iter().flat_map(|mark| parts(row.trim_end(), *mark))
        {
            let begins = part.trim_start_matches(|c: char| c == '"' || c.is_whitespace());
            let formula = begins.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
            assert!(!formula, "{row:?} has the cell {part:?}");
        }
    }
    let row = |cell: &str| csv::line([cell.to_owned()].into_iter());
    assert_eq!(row("a,\"b\""), "\"a,\"\"b\"\"\"\r\n");
    assert_eq!(row("a;b"), "\"a;b\"\r\n");
    assert_eq!(row("mx-1.example.com: 5.7.1 a=b - c@d"), "mx-1.example.com: 5.7.1 a=b - c@d\r\n");
}

#[test]
fn a_list_skips_comments_and_doubles_and_takes_the_first_cell() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        "# ours\nexample.com # main\n\nExample.com,ignored\nexample.net;x\n\u{fffd}bad\n",
    )
    .unwrap();
    let given = ["example.org".to_owned(), "example.com".to_owned()];
    let list = work::list(&given, Some(file.path())).unwrap();
    assert_eq!(list, ["example.org", "example.com", "example.net", "\u{fffd}bad"]);
}

#[test]
fn a_line_past_the_limit_is_cut_and_does_not_stop_the_others() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("{}\nexample.net\n", "ä".repeat(100_000))).unwrap();
    let list = work::list(&[], Some(file.path())).unwrap();
    assert_eq!(list.len(), 2);
    assert!(list[0].len() <= 4_096);
}

/// Exports of spreadsheets quote their cells.
#[test]
fn a_domain_is_one_however_it_is_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        "EXAMPLE.com.\nexample.com\nb\u{fc}cher.example\nxn--bcher-kva.example\n\
         \"example.net\",\"x\"\nexample.net\n\" example.org \"\n",
    )
    .unwrap();
    let list = work::list(&[], Some(file.path())).unwrap();
    assert_eq!(list, ["EXAMPLE.com.", "b\u{fc}cher.example", "example.net", "example.org"]);
}

/// Editors of spreadsheets write a mark first, and end lines in their own way.
#[test]
fn a_list_with_a_mark_and_crlf_is_read_and_one_in_utf_16_refused() {
    let read = |octets: &[u8]| {
        let mut all = Vec::new();
        work::read(octets, 1_000, |domain| all.push(domain.to_owned())).map(|()| all)
    };
    let marked = b"\xef\xbb\xbf# ours\r\nexample.com\r\n\r\nexample.net\r\n";
    assert_eq!(read(marked).unwrap(), ["example.com", "example.net"]);
    assert_eq!(read(b"\xef\xbb\xbfexample.com").unwrap(), ["example.com"]);
    for octets in [b"\xff\xfee\0x\0", b"\xfe\xff\0e\0x"] {
        let error = read(octets).unwrap_err().to_string();
        assert_eq!(error, "the list is in UTF-16; save it as UTF-8");
    }
}

/// A hostile list on standard input: a line without end takes no memory, and hides nothing behind spaces.
#[test]
fn a_line_without_end_is_passed_over() {
    let zeros = std::io::Read::take(std::io::repeat(0), 8 << 20);
    let text = format!("\nexample.com{}example.net\nexample.org", " ".repeat(10_000));
    let mut all = Vec::new();
    let list = std::io::Read::chain(zeros, text.as_bytes());
    work::read(list, 16 << 20, |domain| all.push(domain.to_owned())).unwrap();
    let [zeros, hidden, last] = &*all else { panic!("{}", all.len()) };
    assert!(zeros.len() < 5_000 && zeros.starts_with('\0'));
    assert_eq!((hidden.as_str(), last.as_str()), ("example.com\u{2026}", "example.org"));
    let endless = std::io::Read::take(std::io::repeat(0), 1 << 30);
    let error = work::read(endless, 1 << 20, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "the list is longer than 1048576 bytes; split it into several");
}

/// A hostile file: `example.com` of a list that is too long must not become `example.co`.
#[test]
fn a_list_past_the_limit_is_refused_and_not_cut() {
    let text = "example.net\nexample.com";
    let most = u64::try_from(text.len()).unwrap();
    let mut all = Vec::new();
    work::read(text.as_bytes(), most, |domain| all.push(domain.to_owned())).unwrap();
    assert_eq!(all, ["example.net", "example.com"]);
    let error = work::read(text.as_bytes(), most - 1, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "the list is longer than 22 bytes; split it into several");
}

#[test]
fn progress_ends_full() {
    assert_eq!(bar(5, 10), "[###############...............] 5 of 10");
    assert!(bar(10, 10).starts_with(&format!("[{}]", "#".repeat(30))));
    assert!(bar(0, 0).ends_with("0 of 0"));
}

fn verdict(reports: &[Report]) -> Exit {
    let mut exits = Exits::default();
    reports.iter().for_each(|report| exits.add(report));
    exits.verdict()
}

#[test]
fn the_worst_of_many_decides_and_no_domain_at_all_leaves_the_run_unknown() {
    let (fine, unknown) = (report(Status::Met), report(Status::Unknown));
    let wrong = report(Status::NotMet);
    let none = Report { input: "a..b".into(), outcome: Outcome::NoDomain("empty label".into()) };
    assert_eq!(verdict(std::slice::from_ref(&fine)), Exit::Ok);
    assert_eq!(verdict(&[fine.clone(), unknown.clone()]), Exit::Unknown);
    assert_eq!(verdict(&[unknown, wrong.clone(), fine.clone()]), Exit::Negative);
    assert_eq!(verdict(&[wrong, none.clone()]), Exit::Unknown);
    assert_eq!(verdict(&[fine, none]), Exit::Unknown);
}

/// Nobody answers for it: whatever else is wrong there, nothing is known of what was meant.
#[test]
fn a_domain_that_nobody_answers_for_leaves_the_run_unknown() {
    let mut unanswered = report(Status::NotMet);
    let Outcome::Assessed(one) = &mut unanswered.outcome else { unreachable!() };
    one.assessment.hosts.clear();
    (one.assessment.level, one.assessment.delivery) = (None, Delivery::Unknown);
    assert_eq!(unanswered.exit(), Exit::Unknown);
    assert_eq!(verdict(&[report(Status::NotMet), unanswered.clone()]), Exit::Unknown);
    let line = text::line(&unanswered, Paint::Plain);
    assert!(line.starts_with("? not known      example.com "), "{line}");
    assert!(line.ends_with(" It could not be found out.\n"), "which, and why: {line}");
    let mut compared = Compared::default();
    compared.add(0, &unanswered);
    let (providers, left_out) = compared.providers();
    assert_eq!((providers.len(), left_out.len()), (0, 1));
}

fn judged(status: Status) -> ProfileVerdict {
    let one = |id: &str, status, severity| RequirementVerdict {
        id: id.to_owned(),
        text: format!("{id} is in order."),
        status,
        severity,
        evidence: "<b>seen</b>".to_owned(),
        source: "the standard".to_owned(),
        unverified: true,
    };
    ProfileVerdict {
        name: "suppliers".to_owned(),
        title: "What we ask".to_owned(),
        status,
        unverified: true,
        requirements: vec![
            one("first", Status::Met, Weight::Error),
            one("second", status, Weight::Error),
            one("third", Status::ByHand, Weight::Error),
        ],
    }
}

/// Whoever runs this in a script must not take "could not be found out" for "fine".
#[test]
fn a_delivery_that_could_not_be_judged_is_no_success_unless_only_dns_was_asked() {
    let with = |delivery, depth| {
        let mut report = report(Status::Met);
        let Outcome::Assessed(one) = &mut report.outcome else { panic!("it is assessed") };
        (one.assessment.delivery, one.depth) = (delivery, depth);
        report
    };
    let unknown = with(Delivery::Unknown, Depth::Full);
    assert_eq!(unknown.exit(), Exit::Unknown);
    assert_eq!(json::contract(&unknown)["delivery"], "unknown");
    assert_eq!(with(Delivery::Unknown, Depth::DnsOnly).exit(), Exit::Ok);
    assert_eq!(with(Delivery::Delivers, Depth::Full).exit(), Exit::Ok);
}

fn report(status: Status) -> Report {
    let offer = Offer::Unknown;
    let assessed = Assessed {
        depth: Depth::Full,
        by_delivery: false,
        assessment: Assessment {
            domain: Domain::parse("example.com").unwrap(),
            checked_at: UnixTime(1_800_000_000),
            level: Some(Level::Dane),
            delivery: Delivery::Delivers,
            headline: "It could not be found out.".to_owned(),
            why_not_higher: None,
            hosts: vec![HostAssessment {
                host: Domain::parse("mx.example.net").unwrap(),
                level: Some(Level::Dane),
                demanded: Some(Level::Dane),
                note: None,
                addresses: Vec::new(),
            }],
            findings: Vec::new(),
        },
        offers: Offers {
            operator: "example.net".to_owned(),
            others: Vec::new(),
            dane: offer,
            sts: offer,
            tlsrpt: offer,
            tls13: offer,
            post_quantum: offer,
            ipv6: offer,
            dnssec: offer,
            require_tls: offer,
            hygiene: offer,
        },
        sts: StsTold {
            state: "absent".to_owned(),
            id: None,
            max_age: None,
            mx: Vec::new(),
            note: None,
        },
        tlsrpt: ReportsTold { state: "absent".to_owned(), rua: Vec::new(), note: None },
        judged_by: Vec::new(),
        profiles: vec![judged(status)],
        internet_nl: None,
        elsewhere: None,
    };
    Report { input: "example.com".to_owned(), outcome: Outcome::Assessed(Box::new(assessed)) }
}

/// That `--fresh` would look is said where it would help, and only there.
#[test]
fn what_a_delivery_leaves_open_is_told_apart() {
    let lacks = |by_delivery, status, offer, compared| {
        let mut report = report(status);
        let Outcome::Assessed(one) = &mut report.outcome else { panic!("it is assessed") };
        one.by_delivery = by_delivery;
        (one.offers.require_tls, one.offers.hygiene) = (offer, offer);
        report.lacks_a_probe(compared)
    };
    let (met, open) = (Status::Met, Status::Unknown);
    assert!(lacks(true, met, Offer::Unknown, Compare::Yes));
    assert!(!lacks(true, met, Offer::Unknown, Compare::No), "nobody asked for it");
    assert!(!lacks(true, met, Offer::Yes, Compare::Yes), "nothing is open");
    assert!(lacks(true, open, Offer::Yes, Compare::No), "a requirement is");
    assert!(!lacks(false, open, Offer::Unknown, Compare::Yes), "--fresh would not help");
}

/// A profile that was asked for and is not met is something wrong; one that could not be judged is
/// something that could not be found out.
#[test]
fn a_profile_decides_the_exit_code() {
    assert_eq!(report(Status::Met).exit(), Exit::Ok);
    assert_eq!(report(Status::NotMet).exit(), Exit::Negative);
    assert_eq!(report(Status::Unknown).exit(), Exit::Unknown);
}

#[test]
fn a_profile_is_told_in_every_form() {
    let report = report(Status::NotMet);
    let page = text::page(&report, Paint::Plain);
    assert!(
        page.contains(
            "✗ suppliers\n    What we ask\n    not met (1 of 2 requirements met; 1 more to look at by hand"
        )
    );
    assert!(page.contains("✗ second") && !page.contains("✗ first"), "{page}");
    assert!(text::line(&report, Paint::Plain).ends_with(" suppliers=not-met\n"));
    assert!(csv::row(&report).contains("suppliers=not-met"));
    let contract = json::contract(&report);
    assert_eq!(contract["profiles"]["suppliers"]["status"], "not-met");
    assert_eq!(contract["schema"], "waxseal/check/1");
    documented(&contract);
    assert_eq!(contract["profiles"]["suppliers"]["requirements"][1]["id"], "second");
    // The attacker is the owner of a domain whose words end up in a page.
    let mut page = Vec::new();
    html::page(vec![&report], (&Tally::default(), None), None, &mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("What we ask") && page.contains("second is in order."), "{page}");
    assert!(!page.contains("<b>seen"), "{page}");
}

/// Attacker: the owner of a name whose letters look like those of another. The name in DNS comes first, and the
/// forms that programs read have it alone.
#[test]
fn a_name_in_other_letters_is_told_beside_the_one_in_dns() {
    let mut report = report(Status::Met);
    let Outcome::Assessed(one) = &mut report.outcome else { panic!("it is assessed") };
    one.assessment.domain = Domain::parse("ex\u{430}mple.com").unwrap();
    let both = "xn--exmple-4nf.com (ex\u{430}mple.com)";
    assert!(text::page(&report, Paint::Plain).starts_with(&format!("{both}\n")));
    let mut page = Vec::new();
    html::page(vec![&report], (&Tally::default(), None), None, &mut page).unwrap();
    assert!(String::from_utf8(page).unwrap().contains(&format!(">{both}</h2>")));
    for form in [csv::row(&report), json::contract(&report).to_string()] {
        assert!(form.contains("xn--exmple-4nf.com") && !form.contains('\u{430}'), "{form}");
    }
}

/// `docs/check.md` lists the keys.
#[track_caller]
fn documented(contract: &serde_json::Value) {
    let document = include_str!("../../../../../docs/check.md");
    for key in contract.as_object().unwrap().keys() {
        assert!(document.contains(&format!("\n| `{key}` |")), "docs/check.md lists {key}");
    }
}

/// Lists are laid beside what comes of them: reports come in any order, and are told in that of the list.
#[test]
fn a_comparison_is_an_object_with_a_schema_in_the_order_of_the_list() {
    let mut all = Compared::default();
    let none = Report { input: "a..b".into(), outcome: Outcome::NoDomain("empty label".into()) };
    all.add(2, &none);
    for (place, name) in [(3, "last.example"), (0, "first.example")] {
        let mut report = report(Status::Met);
        let Outcome::Assessed(one) = &mut report.outcome else { unreachable!() };
        one.assessment.domain = Domain::parse(name).unwrap();
        all.add(place, &report);
    }
    let (providers, left_out) = all.providers();
    let told = compared(&providers, &left_out);
    documented(&told);
    assert_eq!(told["schema"], "waxseal/check-compare/1");
    let provider = &told["providers"][0];
    documented(provider);
    assert_eq!(provider["domains"], serde_json::json!(["first.example", "last.example"]));
    assert_eq!(told["left_out"][0], serde_json::json!({ "domain": "a..b", "why": "empty label" }));
}

#[test]
fn profiles_are_built_in_or_files_and_nothing_else() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let loaded = profiles::load(&names(&["internet-nl", "dsk-high"])).unwrap();
    assert_eq!(loaded.len(), 2);
    let error = profiles::load(&names(&["internet"])).unwrap_err().to_string();
    assert!(error.contains("Built in are internet-nl, bsi-tr-03108"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "name = \"x\"\ncolour = 1\n").unwrap();
    let path = file.path().to_string_lossy().into_owned();
    let error = profiles::load(&[path]).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("colour"), "{error}");
}

fn header(depth: Depth, selectors: &[&str]) -> work::Header {
    let selectors = selectors.iter().map(|name| (*name).to_owned()).collect();
    let scope = crate::survey::Scope { selectors, ..crate::survey::Scope::new(depth) };
    work::Header::new(&scope, None)
}

/// `--resume domains.txt` instead of `--from domains.txt` happens, and must not cost the list.
#[test]
fn a_file_that_is_no_journal_is_left_as_it_is() {
    for text in ["example.com", "example.com\n", "{}\n", "{\"input\":\"a\"", "\n"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let error =
            work::Journal::open(file.path(), &header(Depth::Full, &[]), |_, _| {}).err().unwrap();
        assert!(error.to_string().contains("name another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn a_journal_goes_on_with_the_same_question_only() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let full = header(Depth::Full, &["s1"]);
    let none = |_, report: Report| panic!("{} is kept", report.input);
    let mut journal = work::Journal::open(file.path(), &full, none).unwrap();
    journal.add(&report(Status::Met)).unwrap();
    drop(journal);
    // A crash in the middle of a line.
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&whole[..], b"{\"input\":\"exa"].concat()).unwrap();
    let mut done = Vec::new();
    let each = |at, report: Report| done.push((at, report.input));
    let mut journal = work::Journal::open(file.path(), &full, each).unwrap();
    let [(at, input)] = &*done else { panic!("{done:?}") };
    assert_eq!((&**input, journal.read(*at).unwrap().input), ("example.com", input.clone()));
    drop(journal);
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    for other in [header(Depth::DnsOnly, &["s1"]), header(Depth::Full, &[])] {
        let error = work::Journal::open(file.path(), &other, |_, _| {}).err().unwrap().to_string();
        assert!(error.contains("other --dns-only, --selector"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
}

/// The attacker wrote the list that is piped in.
#[test]
fn a_line_that_is_no_domain_cannot_steer_the_terminal() {
    let input = "x\u{1b}[2J\u{9b}31m\u{202e}".to_owned();
    let report = Report { input, outcome: Outcome::NoDomain("no domain name".into()) };
    let mut long = report.clone();
    long.input = "\u{e4}".repeat(4_000);
    for text in [text::page(&long, Paint::Plain), text::line(&long, Paint::Plain)] {
        assert!(text.len() < 300 && text.contains("\u{e4}\u{2026}"), "{text}");
    }
    for text in [text::page(&report, Paint::Plain), text::line(&report, Paint::Plain)] {
        assert!(text.contains("x\\u{1b}[2J"), "{text}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}

/// A run that goes on with other profiles looks again: old verdicts are not mixed with new ones. A
/// file of one's own keeps its name when what it asks is edited.
#[test]
fn a_report_counts_as_done_for_what_judged_it_and_not_for_a_file_that_was_edited_since() {
    let text = "name = \"suppliers\"\ntitle = \"x\"\nsource = \"x\"\ndate = \"2026\"\n[[requirement]]\n\
                id = \"1\"\ntext = \"x\"\ncheck = \"spf\"\nseverity = \"error\"\nsection = \"1\"\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    let digests = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let loaded = profiles::load(&[file.path().to_string_lossy().into_owned()]).unwrap();
        loaded.iter().map(profiles::digest).collect::<Vec<_>>()
    };
    let mut judged = report(Status::Met);
    let Outcome::Assessed(one) = &mut judged.outcome else { panic!("it is assessed") };
    one.judged_by = digests(text);
    assert!(judged.is_judged_by(&digests(text)));
    for edited in [text.replace("spf", "spf-strict"), text.replace("\"error\"", "\"notice\"")] {
        assert!(!judged.is_judged_by(&digests(&edited)), "{edited}");
    }
    assert!(!judged.is_judged_by(&[]));
}

/// What could not be found out is asked again, and so is what is a week old; DNS alone is not asked
/// again for what it cannot tell.
#[test]
fn a_report_that_is_open_or_old_is_not_done() {
    let at = UnixTime(1_800_000_000);
    let day = std::time::Duration::from_secs(86_400);
    assert!(report(Status::Met).is_settled(at + day * 7));
    assert!(report(Status::NotMet).is_settled(at));
    assert!(!report(Status::Met).is_settled(at + day * 7 + day), "too old");
    assert!(!report(Status::Unknown).is_settled(at), "open");
    let mut shallow = report(Status::Unknown);
    let Outcome::Assessed(one) = &mut shallow.outcome else { panic!("it is assessed") };
    (one.depth, one.assessment.delivery) = (Depth::DnsOnly, Delivery::Unknown);
    assert!(shallow.is_settled(at));
    let none = Report { input: "a..b".into(), outcome: Outcome::NoDomain("empty label".into()) };
    assert!(none.is_settled(at + day * 100), "it will never be one");
}

/// A full disk at night takes the report of the day before from nobody, leaves nothing half done, and
/// whoever could not read the old one cannot read the new one.
#[test]
fn a_report_is_replaced_by_a_whole_one_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("report.html"), folder.path().join("link"));
    std::fs::write(&file, "of yesterday").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let full = |out: &mut dyn std::io::Write| {
        out.write_all(&[b'x'; 100_000])?;
        Err(std::io::ErrorKind::StorageFull.into())
    };
    let read = || std::fs::read_to_string(&file).unwrap();
    for path in [&file, &link] {
        let error = super::forms::write(path, full).unwrap_err();
        assert!(error.to_string().contains("the report cannot be written"), "{error:#}");
        assert_eq!(read(), "of yesterday");
    }
    super::forms::write(&link, |out| out.write_all(b"of today")).unwrap();
    assert_eq!(read(), "of today");
    assert!(link.is_symlink());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
}
