use serde_json::json;
use waxseal_lab::{
    lab::SENDER_DOMAIN,
    site::{Attack, Protection},
};

use super::{DANE, NOTHING, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_dane_is_explained() {
    let world = World::new(&[DANE]).await;
    let bob = format!("bob@{}", world.domain(DANE));
    let told = world.run(&["explain", &bob, "--json"]).await.with(0).json();
    assert_eq!(told["recipient"], bob);
    assert_eq!(told["verdict"]["floor"], "encrypted");
    assert_eq!(told["verdict"]["fallback"], "hold");
    assert_eq!(told["verdict"]["rule"], "default");
    let host = world.lab.site(DANE.0, DANE.1).unwrap().host();
    assert_eq!(told["routes"][0]["mx"], host);
    assert_eq!(told["routes"][0]["demand"], "authenticate");
    assert_eq!(told["routes"][0]["level"], "dane");
    assert!(told["routes"][0]["names"].as_array().unwrap().contains(&json!(host)), "{told}");
    let because = told["because"].as_array().unwrap();
    assert!(!because.is_empty());
    for reason in because.iter().chain(told["routes"][0]["because"].as_array().unwrap()) {
        for key in ["fact", "rule", "rfc"] {
            assert!(reason[key].is_string(), "{reason}");
        }
    }
    let rfc = told["routes"][0]["because"].to_string();
    assert!(rfc.contains("RFC 7672"), "{rfc}");
    let text = world.run(&["explain", &bob]).await.with(0).out;
    assert!(text.contains(&host) && text.contains("RFC 7672"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours without a terminal: {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_mta_sts_is_explained_down_to_why_not_higher() {
    let cell = (Protection::StsCold, Attack::Nobody);
    let world = World::new(&[cell]).await;
    let domain = world.domain(cell);
    // A domain alone will do.
    let told = world.run(&["explain", &domain, "--json"]).await.with(0).json();
    assert_eq!(told["routes"][0]["demand"], "authenticate");
    assert_eq!(told["routes"][0]["level"], "sts-first");
    assert!(told.to_string().contains("RFC 8461"), "{told}");
    let why = told["why_not_higher"].as_str().unwrap();
    assert!(!why.is_empty() && !why.contains('@'), "{why}");
}

/// What is published cannot meet the floor, so only a name that nobody could choose would do.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_without_anything_has_to_prove_its_own_name() {
    let rules = "[default]\nrequire = \"authenticated\"\n";
    let world = World::with_rules(&[NOTHING], Some(rules)).await;
    let domain = world.domain(NOTHING);
    let told = world.run(&["explain", &domain, "--json"]).await.with(0).json();
    assert_eq!(told["verdict"]["floor"], "authenticated");
    assert_eq!(told["routes"][0]["demand"], "authenticate");
    assert_eq!(told["routes"][0]["names"], json!([domain]));
    let last = told["routes"].as_array().unwrap().last().unwrap();
    let reason = last["wait"]["reason"].as_str().unwrap();
    assert!(reason.contains("authenticated"), "{told}");
    assert!(told["why_not_higher"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_judged_by_its_header() {
    let rules = "[[rule]]\nname = \"labelled\"\n\
                 when = { header = [{ name = \"X-Classification\", contains = \"confidential\" }] }\n\
                 require = \"authenticated\"\n";
    let world = World::with_rules(&[DANE], Some(rules)).await;
    let file = world.folder.path().join("message.eml");
    let text = format!(
        "From: Ann <ann@{SENDER_DOMAIN}>\r\nX-Classification: Confidential\r\n\
         Subject: {}\r\n\r\n{}\r\n",
        super::SUBJECT,
        super::BODY
    );
    std::fs::write(&file, text).unwrap();
    let domain = world.domain(DANE);
    let words = ["explain", &domain, "--message", file.to_str().unwrap()];
    let said = world.run(&[&words[..], &["--json"]].concat()).await.with(0);
    assert_eq!(said.json()["verdict"]["rule"], "labelled");
    assert_eq!(said.json()["verdict"]["floor"], "authenticated");
    super::assert_discreet(&said);
    let said = world.run(&words).await.with(0);
    assert!(said.out.contains("labelled"), "{}", said.out);
    super::assert_discreet(&said);
    let missing = world.run(&["explain", &domain, "--message", "/no/such.eml"]).await.with(64);
    assert!(missing.err.contains("/no/such.eml"), "{}", missing.err);
}

/// Somebody on the path makes the look-up of TLSA fail: that is no absence.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tlsa_lookup_ends_with_2_and_no_route() {
    let cell = (Protection::Dane, Attack::TlsaServfail);
    let world = World::new(&[cell]).await;
    world.lab.begin(|_| true);
    let said = world.run(&["explain", &world.domain(cell), "--json"]).await.with(2);
    let told = said.json();
    let routes = told["routes"].as_array().unwrap();
    assert!(routes.iter().all(|route| route.get("mx").is_none()), "{told}");
    assert!(routes.iter().any(|route| route["wait"]["reason"].is_string()), "{told}");
    assert!(told.to_string().contains("TLSA"), "{told}");
}

/// Rules are about what leaves us: mail of a stranger for one of ours has to meet what inside was
/// agreed on, and mail of our own people the rules as well.
#[tokio::test(flavor = "multi_thread")]
async fn mail_from_outside_is_explained_as_such() {
    let rules = "[default]\nrequire = \"qualified\"\n";
    let world = World::with_rules(&[], Some(rules)).await;
    let ann = format!("ann@{SENDER_DOMAIN}");
    let from = async |sender: &str, code| {
        let words = ["explain", ann.as_str(), "--from", sender, "--json"];
        world.run(&words).await.with(code).json()
    };
    let told = from("bob@elsewhere.example", 0).await;
    assert_eq!(told["verdict"]["rule"], "default", "nobody outside can hand in anything yet");
    let text = std::fs::read_to_string(world.file()).unwrap();
    let listener = "\n[[listen]]\naddress = \"127.0.0.2:0\"\nkind = \"inbound\"\ntls = \"none\"\n";
    std::fs::write(world.file(), format!("{text}{listener}")).unwrap();
    let told = from("bob@elsewhere.example", 0).await;
    assert_eq!(told["verdict"]["rule"], "inbound");
    assert_eq!(told["verdict"]["floor"], "none");
    assert_eq!(told["routes"][0]["demand"], "authenticate");
    assert_eq!(told["routes"][0]["level"], "pinned");
    let told = from(&format!("carl@{SENDER_DOMAIN}"), 0).await;
    assert_eq!(told["verdict"]["floor"], "qualified");
    let route = format!("bob%victim.example@{SENDER_DOMAIN}");
    let said = world.run(&["explain", &route, "--from", "eve@elsewhere.example"]).await.with(1);
    assert!(said.err.contains("550 5.7.1"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_address_is_refused() {
    let world = World::new(&[]).await;
    let said = world.run(&["explain", "bob@a..example"]).await.with(64);
    assert!(said.err.contains("bob@a..example"), "{}", said.err);
}
