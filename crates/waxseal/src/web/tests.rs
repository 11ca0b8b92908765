use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use waxseal_core::time::UnixTime;

use super::{words::table, *};
use crate::watch::{Row, Standing, Whose};

struct Fixed(Vec<Check>);

fn standing() -> Standing {
    let row = |name: &str, whose, alerts: &[&str]| Row {
        domain: waxseal_core::domain::Domain::parse(name).unwrap(),
        whose,
        looked: Some(UnixTime(1_795_341_600)),
        level: "dane",
        alerts: alerts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let alerts = ["likely-attack: mx.<b>.example [192.0.2.1]"];
    let domains =
        vec![row("ours.example", Whose::Own, &alerts), row("theirs.example", Whose::Partner, &[])];
    Standing { domains, waiting: 2 }
}

impl Watch for Fixed {
    fn snapshot(&self) -> Pin<Box<dyn Future<Output = Snapshot> + Send + '_>> {
        Box::pin(async {
            Snapshot {
                hostname: "gw.example.com".into(),
                since: "2026-11-22 06:00 UTC".into(),
                mode_key: "mode_enforce",
                checks: self.0.clone(),
                queue: Queue { waiting: 3, held: 1, oldest: None, age: Duration::ZERO },
                levels: vec![("level_dane", 12), ("level_sts-first", 2)],
                watched: standing(),
            }
        })
    }
}

fn watched(state: State) -> Watched {
    let why = "the upstream 192.0.2.53:53 <strips> signatures".to_owned();
    Arc::new(Fixed(vec![
        Check { topic: Topic::Dns, subject: None, state, why },
        Check { topic: Topic::Clock, subject: None, state: State::Fine, why: "right".into() },
    ]))
}

async fn started(router: impl FnOnce(SocketAddr) -> Router) -> SocketAddr {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address;
    tokio::spawn(serve(listener, router(address), std::future::pending()));
    address
}

/// One request, closed after it: the whole answer.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = request.replace("HOST", &address.to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

const STATUS: &str = "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";

/// Cookie and form token of a status page.
fn cookie_and_token(page: &str) -> (String, String) {
    let between = |from: &str, to: &str| {
        let (_, rest) = page.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    (between("set-cookie: ", ";"), between("name=\"token\" value=\"", "\""))
}

async fn choose(address: SocketAddr, cookie: &str, token: &str) -> String {
    let form = format!("token={token}&language=nl");
    ask(
        address,
        &format!(
            "POST /language HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    )
    .await
}

#[tokio::test]
async fn health_says_what_fails_and_why() {
    let address = started(|_| metrics(watched(State::Failing))).await;
    let ask_health = "GET /healthz HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n";
    let answer = ask(address, ask_health).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#"{"topic":"dns","state":"failing","why":"the upstream"#), "{answer}");
    let address = started(|_| metrics(watched(State::Fine))).await;
    let answer = ask(address, ask_health).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#"{"status":"ok""#), "{answer}");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_hold_a_browser_back() {
    let address = started(|at| admin(watched(State::Fine), at).unwrap()).await;
    for path in ["/", "/style.css", "/nothing"] {
        let answer = ask(address, &STATUS.replace("GET /", &format!("GET {path}"))).await;
        for header in [
            "content-security-policy: default-src 'none'; style-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(header), "{path} {header}\n{answer}");
        }
    }
}

#[tokio::test]
async fn the_status_page_shows_what_is_so() {
    let address = started(|at| admin(watched(State::Failing), at).unwrap()).await;
    let page = ask(address, STATUS).await;
    let texts = [
        "gw.example.com",
        "Something needs attention.",
        "DANE",
        ">12<",
        "&#60;strips&#62;",
        "ours.example (our own)",
        "likely-attack: mx.&#60;b&#62;.example",
        "theirs.example (we send to it)",
        "the webhook has not taken: 2",
    ];
    for text in texts {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(page.contains("HttpOnly; SameSite=Strict"), "{page}");
    assert!(!page.contains("<script"), "{page}");
    let german = STATUS.replace("\r\n\r\n", "\r\nAccept-Language: de-CH,fr;q=0.5\r\n\r\n");
    let page = ask(address, &german).await;
    assert!(page.contains("<html lang=\"de\">") && page.contains("Etwas braucht"), "{page}");
}

#[tokio::test]
async fn a_language_can_be_chosen() {
    let address = started(|at| admin(watched(State::Fine), at).unwrap()).await;
    let (cookie, token) = cookie_and_token(&ask(address, STATUS).await);
    let answer = choose(address, &cookie, &token).await;
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    let again = STATUS.replace("\r\n\r\n", &format!("\r\nCookie: {cookie}\r\n\r\n"));
    assert!(ask(address, &again).await.contains("<html lang=\"nl\">"));
}

/// Against a page elsewhere that makes the administrator's browser send a form.
#[tokio::test]
async fn a_form_without_the_token_of_this_session_is_refused() {
    let address = started(|at| admin(watched(State::Fine), at).unwrap()).await;
    let (cookie, token) = cookie_and_token(&ask(address, STATUS).await);
    let (_, of_another) = cookie_and_token(&ask(address, STATUS).await);
    for (cookie, token) in [
        (&cookie[..], ""),
        (&cookie, "AAAA"),
        (&cookie, &of_another),
        ("waxseal=x", &token),
        ("", &token),
    ] {
        let answer = choose(address, cookie, token).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
}

/// Against a page elsewhere whose name was rebound to 127.0.0.1.
#[tokio::test]
async fn the_admin_page_answers_only_under_its_own_address() {
    let address = started(|at| admin(watched(State::Fine), at).unwrap()).await;
    let answer = ask(address, &STATUS.replace("HOST", "evil.example")).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(!answer.contains("gw.example.com"), "{answer}");
}

/// Hostile requests: a header and a body past the limits.
#[tokio::test]
async fn requests_past_the_limits_are_refused() {
    let address = started(|at| admin(watched(State::Fine), at).unwrap()).await;
    let long = |octets: usize| {
        STATUS.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(octets)))
    };
    assert!(ask(address, &long(10_000)).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(address, &long(20_000)).await.starts_with("HTTP/1.1 431 "));
    let (cookie, _) = cookie_and_token(&ask(address, STATUS).await);
    let answer = choose(address, &cookie, &"x".repeat(65_600)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn every_language_has_every_key_and_no_other() {
    let keys = |language| table(language).keys().cloned().collect::<BTreeSet<_>>();
    let english = keys(Language::English);
    assert!(!english.is_empty());
    for language in Language::ALL {
        assert_eq!(keys(language), english, "{language:?}");
        assert!(table(language).values().all(|text| !text.trim().is_empty()), "{language:?}");
    }
}

#[test]
fn every_key_that_a_page_asks_for_exists() {
    let sources = [
        include_str!("../../templates/status.html"),
        include_str!("admin.rs"),
        include_str!("health.rs"),
    ];
    for source in sources {
        for call in source.split("t(\"").skip(1) {
            let key = call.split('"').next().unwrap();
            let asked = key.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_');
            if asked && call.contains(')') {
                assert!(table(Language::English).contains_key(key), "{key}");
            }
        }
    }
    let (front, back) =
        ([Topic::Dns, Topic::Clock, Topic::Store], [Topic::Queue, Topic::Certificate]);
    for topic in front.into_iter().chain(back).chain([Topic::Network]) {
        assert!(table(Language::English).contains_key(topic.key()), "{topic:?}");
    }
}

#[test]
fn sessions_are_short_and_bounded() {
    let sessions = Sessions::default();
    let start = UnixTime(1_000_000);
    let (id, cookie) = sessions.begin(start).unwrap();
    let minutes = |count: u64| start + Duration::from_mins(count);
    assert_eq!(sessions.resume(&cookie, minutes(14)).unwrap().0, id);
    assert!(sessions.resume(&cookie, minutes(28)).is_some());
    assert!(sessions.resume(&cookie, minutes(44)).is_none(), "idle");
    let (_, cookie) = sessions.begin(start).unwrap();
    assert!((1..48).all(|tenth| sessions.resume(&cookie, minutes(tenth * 10)).is_some()));
    assert!(sessions.resume(&cookie, minutes(480)).is_none(), "eight hours");
    let (id, cookie) = sessions.begin(start).unwrap();
    sessions.end(&id);
    assert!(sessions.resume(&cookie, start).is_none());
    assert!(sessions.resume("guess", start).is_none());
    let (_, first) = sessions.begin(start).unwrap();
    for _ in 0..10_001 {
        sessions.begin(minutes(1)).unwrap();
    }
    assert!(sessions.resume(&first, minutes(1)).is_none(), "the oldest made room");
}
