use waxseal::store::{EventKind, EventQuery};

use super::{DANE, NOTHING, World};

const RULES: &str = "[default]\nrequire = \"authenticated\"\n";

/// Some weeks from now, as a day.
pub(super) fn day(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let then = waxseal_core::time::UnixTime(now.as_secs() + days * 86_400);
    then.to_string()[..10].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_needs_reason_owner_and_a_near_end() {
    let world = World::new(&[]).await;
    world.start().await.stop().await;
    let add = async |words: &[&str]| {
        let start = ["exception", "add", "partner.example", "--floor", "encrypted"];
        world.run(&[&start[..], words].concat()).await
    };
    let soon = day(20);
    let said = add(&["--until", &soon, "--owner", "Ann"]).await.with(64);
    assert!(said.err.contains("--reason"), "{}", said.err);
    let said = add(&["--until", &soon, "--reason", "migration"]).await.with(64);
    assert!(said.err.contains("--owner"), "{}", said.err);
    let said = add(&["--reason", "migration", "--owner", "Ann"]).await.with(64);
    assert!(said.err.contains("--until"), "{}", said.err);
    let why = ["--reason", "migration", "--owner", "Ann", "--until"];
    let said = add(&["--until", &soon, "--reason", " ", "--owner", "Ann"]).await.with(64);
    assert!(said.err.contains("needs a reason"), "{}", said.err);
    let said = add(&[&why[..], &["2020-01-01"]].concat()).await.with(64);
    assert!(said.err.contains("future"), "{}", said.err);
    let said = add(&[&why[..], &[day(92).as_str()]].concat()).await.with(64);
    assert!(said.err.contains("at most 90 days"), "{}", said.err);
    let said = add(&[&why[..], &["forever"]].concat()).await.with(64);
    assert!(said.err.contains("2027-01-31"), "{}", said.err);
    let said = world.run(&["exception", "list"]).await.with(0);
    assert!(said.out.contains("No exception"), "{}", said.out);
}

/// It lowers the floor while it holds, and everybody can see why and who.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_counts_in_a_running_gateway_and_shows_everywhere() {
    let cell = (waxseal_lab::site::Protection::Opportunistic, waxseal_lab::site::Attack::Nobody);
    let world = World::with_rules(&[cell], Some(RULES)).await;
    let gateway = world.start().await;
    let domain = world.domain(cell);
    let first = world.send(&gateway, &domain).await;
    let record = world.recorded(&first).await.json();
    assert!(record["attempts"][0]["record"]["level"].is_null(), "{record}");
    let said = world.run(&["explain", &domain]).await.with(0);
    assert!(said.out.contains("floor authenticated"), "{}", said.out);

    let until = day(5);
    let words = ["exception", "add", &domain, "--floor", "encrypted", "--until", &until];
    let why = ["--reason", "their certificate is late", "--owner", "Ann of IT"];
    let said = world.run(&[&words[..], &why].concat()).await.with(0);
    assert!(said.out.contains(&until), "{}", said.out);
    let said = world.run(&["explain", &domain]).await.with(0);
    for words in ["their certificate is late", &until] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    // Who it was is with the exception, where retention can erase it, and in no decision.
    assert!(!said.out.contains("Ann of IT"), "{}", said.out);
    let listed = world.run(&["exception", "list"]).await.with(0);
    assert!(listed.out.contains("Ann of IT"), "{}", listed.out);
    let listed = world.run(&["exception", "list", "--json"]).await.with(0).json();
    assert_eq!(listed["exceptions"][0]["domain"], domain);
    assert_eq!(listed["exceptions"][0]["floor"], "encrypted");
    assert_eq!(listed["exceptions"][0]["ends_soon"], true);

    // What waits is judged anew when it is released: first the gateway has to know.
    let released = ["queue", "retry", &first];
    let released_or = ["queue", "release", &first];
    let arrived = async {
        loop {
            world.run(&released).await;
            world.run(&released_or).await;
            if world.lab.has(&format!("bob@{domain}")) {
                break;
            }
        }
    };
    tokio::time::timeout(super::PATIENCE, arrived).await.unwrap();
    let words = ["evidence", "show", &first];
    let shown = world.until(&words, |said| said.out.contains("delivered")).await;
    assert!(shown.out.contains("their certificate is late"), "{}", shown.out);

    let said = world.run(&["exception", "remove", &domain, "--reason", "done"]).await.with(0);
    assert!(said.out.contains("has ended"), "{}", said.out);
    let said = world.run(&["explain", &domain]).await.with(0);
    assert!(!said.out.contains("their certificate is late"), "{}", said.out);
    let said = world.run(&["exception", "remove", &domain]).await.with(1);
    assert!(said.err.contains("no exception"), "{}", said.err);
    let query = EventQuery { kind: Some(EventKind::Override), limit: 500, ..EventQuery::default() };
    let events = gateway.store().events(query).await.unwrap();
    let acts: Vec<_> = events
        .iter()
        .map(|event| serde_json::from_slice::<serde_json::Value>(&event.event.body).unwrap())
        .filter_map(|body| body["exception"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(acts, ["add", "remove"]);
    let who = format!("{:?}", events[0].event.actor);
    assert!(who.contains("olivia"), "{who}");
    gateway.stop().await;
}

/// Remote facts only raise: an exception never switches DANE off.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_lowers_only_our_own_floor() {
    let world = World::new(&[DANE]).await;
    world.start().await.stop().await;
    let domain = world.domain(DANE);
    let until = day(5);
    let words = ["exception", "add", &domain, "--floor", "none", "--until", &until];
    let why = ["--reason", "a test", "--owner", "Ann"];
    world.run(&[&words[..], &why].concat()).await.with(0);
    let told = world.run(&["explain", &domain, "--json"]).await.with(0).json();
    assert_eq!(told["verdict"]["floor"], "none");
    assert_eq!(told["routes"][0]["demand"], "authenticate");
    assert_eq!(told["routes"][0]["level"], "dane");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_forgotten_on_record() {
    let world = World::new(&[DANE, NOTHING]).await;
    let gateway = world.start().await;
    let domain = world.domain(DANE);
    let id = world.send(&gateway, &domain).await;
    world.recorded(&id).await;
    let forget = ["exception", "forget", &domain, "--reason", "they gave DANE up"];
    let said = world.run(&forget).await.with(64);
    assert!(said.err.contains("--owner"), "{}", said.err);
    let forget = [&forget[..], &["--owner", "Ann"]].concat();
    let said = world.run(&forget).await.with(0);
    assert!(said.out.contains("dane") && said.out.contains(&domain), "{}", said.out);
    let said = world.run(&forget).await.with(1);
    assert!(said.err.contains("nothing is remembered"), "{}", said.err);
    let query = EventQuery { kind: Some(EventKind::Override), limit: 500, ..EventQuery::default() };
    let events = gateway.store().events(query).await.unwrap();
    assert_eq!(events.len(), 1);
    let body = String::from_utf8_lossy(&events[0].event.body).into_owned();
    assert!(body.contains("they gave DANE up") && body.contains("Ann"), "{body}");
    gateway.stop().await;
}
