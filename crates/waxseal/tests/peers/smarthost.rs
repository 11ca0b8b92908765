//! A smarthost that demands AUTH, as providers have it: a real Exim, by STARTTLS and by implicit TLS.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Peer,
    exim::{Begin, exim_smarthost},
    world::{Authority, Published, Way, World},
};

const RIGHT: &str = "correct-horse-battery";
const WRONG: &str = "wrong-donkey-capacitor";
/// Somebody in a domain that DNS knows nothing of: mail for it leaves by the smarthost.
const SOMEBODY: &str = "grace@elsewhere.example";

fn way(port: u16, secret: &'static str) -> Way {
    let route = format!(
        "[[route]]\ndomain = \"*\"\nhost = \"mx.receiver.test\"\nport = {port}\n\
         tls = \"authenticated\"\nauth_user = \"gateway\"\nauth_secret = \"file:FOLDER/smarthost\"\n"
    );
    Way { port, published: Published::Nothing, route, secret }
}

/// Neither as it is nor as it goes over the wire, wherever an operator or an auditor looks.
#[track_caller]
fn assert_unsaid(password: &str, texts: &[&str]) {
    let plain = STANDARD.encode(format!("\0gateway\0{password}"));
    for secret in [password, plain.as_str(), &STANDARD.encode(password)] {
        let found = texts.iter().find(|text| text.contains(secret));
        assert!(found.is_none(), "{secret}: {found:?}");
    }
}

async fn delivers(port: u16, begin: Begin) -> (Peer, World) {
    let authority = Authority::new();
    let peer = exim_smarthost(&authority.identity, RIGHT, begin).await;
    let world = World::by(&peer, &authority, &way(port, RIGHT), "authenticated").await;
    let id = world.submit(SOMEBODY);
    let message = peer.delivered(1).await.remove(0);
    // Exim's word for ESMTP with TLS and AUTH (RFC 3848).
    assert!(message.contains("with esmtpsa"), "{message}");
    let shown = world.until(&["evidence", "show", &id, "--personal"], "delivered, ").await;
    assert!(shown.contains("delivered, anchored, first hop only"), "{shown}");
    let record = world.waxseal(&["evidence", "show", &id, "--personal", "--json"]);
    assert!(record.contains("\"reach\":\"first-hop-only\""), "{record}");
    let explained = world.waxseal(&["explain", SOMEBODY]);
    assert!(explained.contains("first hop only"), "{explained}");
    assert_unsaid(RIGHT, &[&shown, &record, &explained, &world.log()]);
    (peer, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_with_auth_takes_mail_over_starttls() {
    delivers(587, Begin::StartTls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_with_auth_takes_mail_over_implicit_tls() {
    delivers(465, Begin::Implicit).await;
}

/// The password is wrong, or was changed: mail waits with a reason that an administrator can act
/// on, and is not sent without AUTH, though this server would take it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_defers_and_nothing_goes_without_auth() {
    let authority = Authority::new();
    let peer = exim_smarthost(&authority.identity, RIGHT, Begin::StartTls).await;
    let world = World::by(&peer, &authority, &way(587, WRONG), "authenticated").await;
    let id = world.submit(SOMEBODY);
    // Not "535" alone: the time has such digits, too.
    let queue = world.until(&["queue", "list", "--json"], "AUTH: 535").await;
    assert!(queue.contains("\"attempts\":1"), "{queue}");
    let shown = world.waxseal(&["evidence", "show", &id, "--personal"]);
    assert!(shown.contains("not delivered"), "{shown}");
    assert_unsaid(WRONG, &[&queue, &shown, &world.log()]);
    let theirs = peer.reads("logs/mainlog");
    assert!(theirs.contains("plain authenticator failed"), "{theirs}");
    assert_eq!(peer.delivered(0).await.len(), 0, "{theirs}");
}

/// Attacker on the path: has the smarthost's name, and a certificate of a CA that we do not trust.
/// He hears neither the password nor an address (promise P2).
#[tokio::test(flavor = "multi_thread")]
async fn a_smarthost_that_proves_nothing_does_not_hear_the_password() {
    for (port, begin) in [(587, Begin::StartTls), (465, Begin::Implicit)] {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let peer = exim_smarthost(&theirs.identity, RIGHT, begin).await;
        let world = World::by(&peer, &ours, &way(port, RIGHT), "authenticated").await;
        world.submit(SOMEBODY);
        let queue = world.until(&["queue", "list", "--json"], "\"attempts\":1").await;
        assert!(queue.contains("the certificate chain does not hold"), "{queue}");
        let log = peer.reads("logs/mainlog");
        assert!(log.contains("no MAIL in SMTP connection"), "{log}");
        for word in [",AUTH", "authenticator", "A=plain", "elsewhere.example"] {
            assert!(!log.contains(word), "{word}: {log}");
        }
        assert_eq!(peer.delivered(0).await.len(), 0);
        assert_unsaid(RIGHT, &[&queue, &world.log()]);
    }
}
