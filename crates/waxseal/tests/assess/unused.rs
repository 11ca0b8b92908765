//! Hosts that the policy lists and no MX record names: few are asked, politely, after the mail hosts, and
//! never inside.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use waxseal::{
    resolve::Clock,
    survey::{Depth, Scope},
};
use waxseal_core::{
    assess::{Against, Assessment, Id, MOST_UNUSED, Observed, Severity, Survey, Unprobed, assess},
    channel::Level,
    domain::Domain,
    org::Terms,
};

use super::{file::File, world::World};

/// Connections that one probe of a healthy host makes.
const WHOLE: usize = 8;

/// One mail host, and a policy with these lines beside it.
fn file(zone: &str, hosts: &str, lines: &str) -> File {
    let text = format!(
        "about = \"hosts beside the mail hosts\"\n\
         [zone.\"receiver.example\"]\nrecords = [{zone}]\n\
         [[host]]\nname = \"mx1.receiver.example\"\nmx = 10\n{hosts}\n\
         [policy]\ntext = \"version: STSv1\\nmode: enforce\\nmx: mx1.receiver.example\\n{lines}\
         max_age: 2592000\\n\"\n\
         [expect]\nlevel = \"none\"\nfindings = []\n"
    );
    toml::from_str(&text).unwrap()
}

async fn survey(world: &World, scope: &Scope) -> (Survey, Assessment) {
    let domain = Domain::parse("receiver.example").unwrap();
    let now = Clock::system().now();
    let survey = world.surveyor.survey(&domain, scope, now).await;
    let terms = Terms::default();
    let against =
        Against { roots: &world.roots, terms: &terms, before: None, testing_since: None, now };
    let assessment = assess(&survey, &against);
    (survey, assessment)
}

/// Attacker: a hostile domain that lists a thousand names and a thousand patterns, to send whoever checks
/// it to others.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_names_in_a_policy_a_few_are_asked() {
    let numbers = || 0..1_000;
    let zone: Vec<_> = numbers().map(|number| format!("\"n{number} A 192.0.2.2\"")).collect();
    let names = numbers().map(|number| format!("mx: n{number}.receiver.example\\n"));
    let patterns = numbers().map(|number| format!("mx: *.p{number}.receiver.example\\n"));
    let lines: String = names.chain(patterns).collect();
    let other = "[[host]]\nname = \"other.receiver.example\"\n";
    let world = World::start(&file(&zone.join(", "), other, &lines)).await;
    let (survey, assessment) = survey(&world, &Scope::new(Depth::Full)).await;
    let unused = &survey.policy.unused;
    assert_eq!((unused.hosts.len(), unused.more_hosts), (MOST_UNUSED, 992));
    assert_eq!((unused.patterns.len(), unused.more_patterns), (MOST_UNUSED, 992));
    let listed: Vec<_> = unused.hosts.iter().map(|host| host.host.to_string()).collect();
    assert_eq!(listed[..2], ["n0.receiver.example", "n1.receiver.example"]);
    // One address: all of it once, and one handshake for each further name.
    assert_eq!(world.connections(), [WHOLE, WHOLE + MOST_UNUSED - 1]);
    let told = |id| assessment.findings.iter().filter(|one| one.id == id).count();
    assert_eq!(told(Id::StsMxUnused), MOST_UNUSED + 2, "{:?}", assessment.findings);
    assert_eq!(told(Id::StsMxUnready), MOST_UNUSED, "the certificate is for another name");
    assert_eq!(survey.hosts.len(), 1, "none of them is a mail host");
    let stored = serde_json::to_string(unused).unwrap();
    assert!(stored.len() < 64 * 1_024, "{}", stored.len());
}

/// Attacker: lists `mx: localhost.receiver.example` in a policy, to have us speak to hosts inside.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_a_policy_that_leads_inside_is_not_connected_to() {
    let inside = [
        ("localhost", "127.0.0.1"),
        ("inside", "10.0.0.25"),
        ("metadata", "169.254.169.254"),
        ("mapped", "::ffff:10.0.0.25"),
    ];
    let host = |(name, address): (&str, &str)| {
        format!("[[host]]\nname = \"{name}.receiver.example\"\naddress = \"{address}\"\n")
    };
    let line = |(name, _): (&str, &str)| format!("mx: {name}.receiver.example\\n");
    let hosts: String = inside.into_iter().map(host).collect();
    let lines: String = inside.into_iter().map(line).collect();
    let world = World::start(&file("", &hosts, &lines)).await;
    let (survey, assessment) = survey(&world, &Scope::new(Depth::Full)).await;
    assert_eq!(world.connections(), [WHOLE, 0, 0, 0, 0]);
    assert_eq!(survey.policy.unused.hosts.len(), inside.len());
    for host in &survey.policy.unused.hosts {
        let [address] = &host.addresses[..] else { panic!("{host:?}") };
        let refused = matches!(address.observed, Observed::Not(Unprobed::Refused(_)));
        assert!(refused, "{host:?}");
    }
    assert_eq!(assessment.worst(), Some(Severity::Warning), "{:?}", assessment.findings);
}

/// Attacker: a hostile domain lists hosts that take every connection and never greet. What is known of
/// its mail hosts is the same as without, and what was not seen of the others is no gap.
#[tokio::test(flavor = "multi_thread")]
async fn tarpits_in_a_policy_take_no_time_from_the_mail_hosts() {
    let host = |number: u8| {
        format!(
            "[[host]]\nname = \"t{number}.receiver.example\"\nfault = [\"greeting\", \"silence\"]\n"
        )
    };
    let hosts: String = (1..=4).map(host).collect();
    let lines: String =
        (1..=4).map(|number| format!("mx: t{number}.receiver.example\\n")).collect();
    let zone = "\"plain MX 10 mx1.receiver.example\"";
    let world = World::start(&file(zone, &hosts, &lines)).await;
    // The mail host is known by then, so that the time is for DNS and the tarpits, whoever else is busy.
    let plain = Domain::parse("plain.receiver.example").unwrap();
    let now = Clock::system().now();
    world.surveyor.survey(&plain, &Scope::new(Depth::Full), now).await;
    // One connection alone may take 8 s here, and all tarpits are of one operator.
    let scope = Scope { patience: Duration::from_secs(10), ..Scope::new(Depth::Full) };
    let began = Instant::now();
    let (survey, assessment) = survey(&world, &scope).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(survey.unasked, [""; 0]);
    assert_eq!(assessment.level, Some(Level::StsFirst));
    let late = Observed::Not(Unprobed::OutOfTime);
    // Whichever is first in the line, there is time for one.
    let hosts = &survey.policy.unused.hosts;
    let late = hosts.iter().filter(|host| host.addresses[0].observed == late).count();
    assert!((hosts.len() - 1..=hosts.len()).contains(&late), "{hosts:?}");
    assert_eq!(hosts.len(), 4);
    assert!(assessment.worst() < Some(Severity::Unknown), "{:?}", assessment.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_dns_is_asked_no_listed_host_is_connected_to() {
    let other = "[[host]]\nname = \"mx2.receiver.example\"\n";
    let world = World::start(&file("", other, "mx: mx2.receiver.example\\n")).await;
    let (survey, assessment) = survey(&world, &Scope::new(Depth::DnsOnly)).await;
    assert_eq!(world.connections(), [0, 0]);
    let [host] = &survey.policy.unused.hosts[..] else { panic!("{:?}", survey.policy) };
    assert_eq!(host.addresses[0].observed, Observed::Not(Unprobed::DnsOnly));
    let told = assessment.findings.iter().find(|one| one.id == Id::StsMxUnused).unwrap();
    assert!(told.evidence.ends_with("was not seen: only DNS was asked"), "{told:?}");
}

/// The hosts are no mail hosts: in every form that the command writes, nothing but the findings, and the
/// lines of the policy, is different.
#[tokio::test(flavor = "multi_thread")]
async fn no_report_takes_a_listed_host_for_a_mail_host() {
    let hosts = "[[host]]\nname = \"mx2.receiver.example\"\ntls = \"wrong-name\"\n\
                 [[host]]\nname = \"mx.elsewhere.example\"\ntls = \"none\"\n";
    let lines = "mx: mx2.receiver.example\\nmx: mx.elsewhere.example\\n";
    let (with, without) = (Told::of(hosts, lines).await, Told::of(hosts, "").await);
    let added = ["STS-MX-UNREADY", "STS-MX-UNUSED"];
    assert_eq!(with.ids.difference(&without.ids).collect::<Vec<_>>(), added);
    assert!(without.ids.is_subset(&with.ids));
    assert_eq!(with.code, without.code);
    assert_eq!(with.json, without.json);
    assert_eq!(with.internet_nl, without.internet_nl);
    assert_eq!(with.providers, without.providers);
    assert_eq!(with.row, without.row);
    assert_eq!(with.hosts, without.hosts, "the page");
}

/// What the command says, without what has to be different.
struct Told {
    code: i32,
    ids: BTreeSet<String>,
    json: Value,
    internet_nl: Value,
    providers: String,
    row: Vec<(String, String)>,
    hosts: Vec<String>,
}

impl Told {
    async fn of(hosts: &str, lines: &str) -> Self {
        let world = World::start(&file("", hosts, lines)).await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let run = async |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
            command.arg("--config").arg(&world.configuration).args(words);
            tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
        };
        let [csv, html, shape] = [file("r.csv"), file("r.html"), file("r.json")];
        let words = ["check", "receiver.example", "--json", "--profile", "uk-gov", "--csv", &csv];
        let words = [&words[..], &["--html", &html, "--internet-nl", &shape]].concat();
        let said = run(&words).await;
        let mut json: Value = serde_json::from_slice(&said.stdout).unwrap();
        let findings = json.as_object_mut().unwrap().remove("findings").unwrap();
        let ids = findings.as_array().unwrap().iter();
        let ids = ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        json["checked_at"] = Value::Null;
        json["sts"]["mx"] = Value::Null;
        let mut internet_nl = serde_json::from_str(&read(&shape)).unwrap();
        timeless(&mut internet_nl);
        let providers = run(&["check", "receiver.example", "--compare"]).await;
        let row = columns(&read(&csv));
        let page = read(&html);
        let hosts = page.lines().filter(|line| line.contains("\"Addresses of "));
        let hosts = hosts.map(str::to_owned).collect();
        Self {
            code: said.status.code().unwrap(),
            ids,
            json,
            internet_nl,
            providers: String::from_utf8(providers.stdout).unwrap(),
            row,
            hosts,
        }
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// A row without the columns that count and name findings, and the time.
fn columns(table: &str) -> Vec<(String, String)> {
    let mut lines = table.lines().map(cells);
    let (names, row) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(names.len(), row.len());
    let told = ["checked_at", "warnings", "findings"];
    names.into_iter().zip(row).filter(|(name, _)| !told.contains(&name.as_str())).collect()
}

/// The cells of a line, some of which are in quotation marks.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut inside = false;
    for c in line.chars() {
        match c {
            '"' => inside = !inside,
            ',' if !inside => cells.push(String::new()),
            _ => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

/// Without times.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| key != "request_id" && !key.contains("date"));
            members.values_mut().for_each(timeless);
        }
        Value::Array(values) => values.iter_mut().for_each(timeless),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
