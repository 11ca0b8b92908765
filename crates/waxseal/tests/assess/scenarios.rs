//! `scenarios/check/*.toml`: a domain with its servers, faults and attackers, and what an assessment
//! has to say of it.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};
use waxseal::{
    resolve::Clock,
    survey::{Depth, Scope},
};
use waxseal_core::{
    assess::{Against, Finding, assess},
    domain::Domain,
    org::Terms,
};

use super::{file::File, world::World};
use crate::scenario::build::DOMAIN;

/// What none of these small worlds has.
const EVERYWHERE: [&str; 8] = [
    "SPF-MISSING",
    "DMARC-MISSING",
    "CAA-MISSING",
    "SECURITY-TXT-MISSING",
    "RPT-MISSING",
    "RPT-HOST-MISSING",
    "MX-NO-IPV6",
    "DNS-FAILED",
];

/// Whoever attacks is named in each file's `about`.
#[tokio::test(flavor = "multi_thread")]
async fn every_world_is_assessed_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/check");
    let turns = Arc::new(Semaphore::new(4));
    let mut tasks = JoinSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let turns = Arc::clone(&turns);
        tasks.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            run(&file).await.map_err(|what| format!("{name}: {what}"))
        });
    }
    assert!(tasks.len() >= 40, "only {} worlds were found", tasks.len());
    let mut wrong: Vec<String> =
        tasks.join_all().await.into_iter().filter_map(Result::err).collect();
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn line(finding: &Finding) -> String {
    let Finding { id, severity, subject, evidence, fix } = finding;
    format!("{id} {severity} {subject}: {evidence}: {fix}")
}

/// Whether the words are there in this order.
fn reads(line: &str, wanted: &str) -> bool {
    let mut rest = line;
    wanted.split('…').all(|part| match rest.split_once(part.trim()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

async fn run(file: &File) -> Result<(), String> {
    let world = World::start(file).await;
    let domain = Domain::parse(DOMAIN).unwrap();
    let now = Clock::system().now();
    let survey = world.surveyor.survey(&domain, &Scope::new(Depth::Full), now).await;
    let terms = Terms::default();
    let against =
        Against { roots: &world.roots, terms: &terms, before: None, testing_since: None, now };
    let assessment = assess(&survey, &against);
    let stored: Result<waxseal_core::assess::Survey, _> =
        serde_json::from_str(&serde_json::to_string(&survey).unwrap());
    if stored.as_ref().ok() != Some(&survey) {
        return Err(format!("a stored survey is not the same: {stored:?}"));
    }
    let level = assessment.level.map_or("none", |level| level.as_str());
    let found: BTreeSet<String> = assessment
        .findings
        .iter()
        .filter(|finding| file.expect.complete || !EVERYWHERE.contains(&finding.id.as_str()))
        .map(|finding| format!("{} {}", finding.id, finding.severity))
        .collect();
    let wanted: BTreeSet<String> = file.expect.findings.iter().cloned().collect();
    if found != wanted || level != file.expect.level {
        return Err(format!("\n  level = {level:?}\n  findings = {found:?}\n  of {wanted:?}"));
    }
    for wanted in &file.expect.says {
        let lines: Vec<String> = assessment.findings.iter().map(line).collect();
        if !lines.iter().any(|line| reads(line, wanted)) {
            return Err(format!("\n  nothing says {wanted:?}\n  {}", lines.join("\n  ")));
        }
    }
    let worst = assessment.worst().map(|severity| severity.as_str());
    if file.expect.worst.is_some() && worst != file.expect.worst.as_deref() {
        return Err(format!("\n  worst = {worst:?}"));
    }
    Ok(())
}
