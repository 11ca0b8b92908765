//! `scenarios/*.toml`: a world, a message, and what has to come of it. Each runs in a lab of its
//! own, through the gateway's resolver, policy fetcher, plan and SMTP client.

pub(crate) mod build;
pub(crate) mod file;
mod record;
mod world;

use std::path::PathBuf;

use tokio::task::JoinSet;
use waxseal::{
    deliver::{AlreadyDurable, Delivery, Job},
    resolve::Clock,
    store::Store,
};
use waxseal_core::{
    decide::{Ask, Case, Fallback, Origin, Plan, Route, Verdict, plan},
    domain::Domain,
    envelope::{Envelope, Mailbox, Recipient, ReversePath, TlsAsk},
    memory::Memory,
    org::Terms,
    outcome::Outcome,
};

use self::{
    build::DOMAIN,
    file::{File, Message},
    record::Attempt,
    world::{World, question},
};

const SECRET: &str = "nobody on the path may read this";

/// Whoever attacks is named in each file's `about`.
#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_ends_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut tasks = JoinSet::new();
    let kept = tempfile::tempdir().unwrap();
    let store = record::store(&kept);
    for (number, entry) in (1..).zip(std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        // `scenarios/check` is for assessments.
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let store = store.clone();
        tasks.spawn(async move {
            run(&file, (number, &store)).await.map_err(|what| format!("{name}: {what}"))
        });
    }
    assert!(tasks.len() >= 20, "only {} scenarios were found", tasks.len());
    let wrong: Vec<String> = tasks.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

async fn run(file: &File, (number, store): (u64, &Store)) -> Result<(), String> {
    let world = World::start(file).await;
    let destination = Domain::parse(DOMAIN).unwrap();
    let mut now = Clock::system().now();
    if file.policy.as_ref().is_some_and(|policy| policy.known) {
        let _known = world.gatherer.gather(&destination, None, now).await;
        world.gatherer.forget(&destination);
        // A minute later the records with TTL 0 are asked for again.
        now = now + std::time::Duration::from_mins(1);
    }
    world.begin();
    let gathered = world.gatherer.gather(&destination, None, now).await;
    let (ask, verdict) = wanted(&file.message);
    let case = Case {
        terms: &Terms::default(),
        ask: &ask,
        verdict: &verdict,
        facts: &gathered.facts,
        memory: &Memory::default(),
        origin: Origin::Person,
        short_since: None,
        first_seen: Default::default(),
    };
    let plan = plan(&case, 0, now);
    let mailbox = |local: &str, domain| Mailbox { local: local.to_owned(), domain };
    let sender = mailbox("ann", Domain::parse("sender.example").unwrap());
    let recipient = Recipient::new(mailbox("bob", destination));
    let envelope = Envelope {
        body: ask.body,
        charset: ask.charset,
        tls: ask.tls,
        ..Envelope::new(ReversePath::Mailbox(sender), vec![recipient])
    };
    let content = format!("Subject: x\r\n\r\n{SECRET}\r\n");
    let job = Job {
        plan: &plan,
        reverse_path: &envelope.reverse_path,
        way: None,
        recipients: &envelope.recipients,
        ask,
        ret: None,
        envelope_id: None,
        content: content.as_bytes(),
        now,
    };
    let delivery = world.deliverer.deliver(job, &AlreadyDurable).await;
    check(file, &world, &plan, &delivery)?;
    let attempt = Attempt {
        number,
        envelope,
        verdict,
        facts: &gathered.facts,
        plan: &plan,
        delivery: &delivery,
        content: &content,
        now,
    };
    let (evidence, body) = attempt.kept(store).await;
    if let Some(words) = ["ann@", "bob@", SECRET].into_iter().find(|words| body.contains(words)) {
        return Err(format!("the record says {words:?}"));
    }
    let found = record::summary(&evidence);
    if found != file.expect.evidence {
        return Err(format!("evidence: expected {:#?}, found {found:#?}", file.expect.evidence));
    }
    Ok(())
}

fn wanted(message: &Message) -> (Ask, Verdict) {
    let tls = match (message.requiretls, message.tls_required_no) {
        (true, _) => TlsAsk::RequireTls,
        (false, true) => TlsAsk::TlsNotRequired,
        (false, false) => TlsAsk::Nothing,
    };
    let patience = std::time::Duration::from_hours(4);
    let verdict = Verdict::new(message.floor, Fallback::Hold, patience);
    let verdict = Verdict { rule: "scenario".to_owned(), ..verdict };
    (Ask { tls, ..Ask::default() }, verdict)
}

fn check(file: &File, world: &World, plan: &Plan, delivery: &Delivery) -> Result<(), String> {
    let differ = |what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        Err(format!("{what}: expected {expected:?}, found {found:?}\n{plan:#?}\n{delivery:#?}"))
    };
    let expect = &file.expect;
    let steps: Vec<String> = plan.routes.iter().map(step).collect();
    if steps != expect.plan {
        return differ("plan", &expect.plan, &steps);
    }
    let outcome = delivery.outcomes.first().map_or("none", word);
    if outcome != expect.outcome {
        return differ("outcome", &expect.outcome, &outcome);
    }
    let received = world.sink.all();
    let host = received.first().map(|message| message.host.clone());
    if host != expect.received_by {
        return differ("received by", &expect.received_by, &host);
    }
    let level = delivery.tries.iter().rev().find_map(|attempt| attempt.level());
    if level != expect.level {
        return differ("level", &expect.level, &level);
    }
    let sni = received.first().and_then(|message| message.tls.as_ref()?.sni.clone());
    if expect.sni.is_some() && sni != expect.sni {
        return differ("server name", &expect.sni, &sni);
    }
    let hosts = plan.routes.iter().filter_map(|route| {
        let Route::Host(host) = route else { return None };
        Some(&host.because)
    });
    let mut reasons = plan.because.iter().chain(hosts.flatten());
    if let Some(rfc) = &expect.because
        && !reasons.any(|because| because.rfc.contains(rfc))
    {
        return differ("reason", rfc, &"none of these");
    }
    let asked = world.dns.questions();
    if let Some(not) = expect.not_asked.iter().find(|not| asked.contains(&question(not))) {
        return differ("question", &"none", not);
    }
    // In no scenario but the eavesdropper's does anybody listen where this goes in the clear.
    for words in ["ann@sender.example", "bob@receiver.example", SECRET] {
        if world.saw(words) {
            return differ("an attacker read", &"nothing", &words);
        }
    }
    Ok(())
}

fn step(route: &Route) -> String {
    match route {
        Route::Host(host) => {
            let level = serde_json::to_value(host.level).unwrap();
            format!("{} {}", host.peer, level.as_str().unwrap())
        }
        Route::Wait { .. } => "wait".to_owned(),
        Route::Hold { .. } => "hold".to_owned(),
        Route::GiveUp { .. } => "give-up".to_owned(),
        // The enum may grow: nothing here expects what comes then.
        other => format!("{other:?}"),
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Disconnected { .. } => "disconnected",
    }
}
