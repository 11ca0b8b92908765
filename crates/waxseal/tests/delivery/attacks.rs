//! Attackers on the path, and hostile servers.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use waxseal::deliver::{Settings, Smarthost};
use waxseal_core::{
    channel::{Demand, Level, RefusalKind, TlsSeen},
    outcome::{Cause, Outcome},
    smtp::client::Credentials,
};
use waxseal_lab::attacker::{Attacker, Method};

use super::{
    CONTENT, Gateway, Host, dane, identity, impatient, is_accepted, is_refused_channel, route,
};

const PERSONAL: [&str; 5] = ["MAIL FROM", "sender-7351", "bob-1414", "secret-2718", "AUTH"];

/// On the path: STARTTLS is taken out. Nothing leaks, and the next host gets the message.
#[tokio::test]
async fn on_the_path_stripping_starttls_learns_nothing() {
    let (victim, backup) = (Host::start().await, Host::start().await);
    let attacker = Attacker::start(victim.address(), Method::StripStartTls).await.unwrap();
    let stripped = route(attacker.addr(), Demand::Encrypt);
    let delivery = Gateway::new().deliver(vec![stripped.clone(), backup.encrypt()]).await;
    assert!(is_accepted(&delivery));
    assert_eq!(delivery.tries.len(), 2);
    assert_eq!(delivery.tries[0].refusal().unwrap().kind, RefusalKind::NoTls);
    assert!(victim.sink.all().is_empty());
    assert_eq!(backup.sink.all()[0].data, CONTENT);

    let delivery = Gateway::new().deliver(vec![stripped]).await;
    assert!(is_refused_channel(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(delivery.end, Some(1));
    for words in PERSONAL {
        assert!(!attacker.transcript().saw(words), "{words}");
    }
}

/// On the path: plaintext after the 220 (CVE-2011-0411). An attack is an attack, also for
/// opportunistic mail.
#[tokio::test]
async fn on_the_path_injecting_after_starttls_ends_the_session() {
    let victim = Host::start().await;
    let attacker = Attacker::start(victim.address(), Method::InjectAfterStartTls).await.unwrap();
    let host = route(attacker.addr(), Demand::Opportunistic);
    let delivery = Gateway::new().deliver(vec![host]).await;
    assert!(!is_accepted(&delivery), "{:?}", delivery.outcomes);
    for words in PERSONAL {
        assert!(!attacker.transcript().saw(words), "{words}");
    }
    assert!(victim.sink.all().is_empty());
}

/// On the path: TLS is terminated with another certificate.
#[tokio::test]
async fn on_the_path_another_certificate_does_not_pass_dane() {
    let victim = Host::start().await;
    let method = Method::Impersonate(identity());
    let attacker = Attacker::start(victim.address(), method).await.unwrap();
    let host = route(attacker.addr(), dane(&victim.identity));
    let delivery = Gateway::new().deliver(vec![host]).await;
    assert!(is_refused_channel(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(delivery.tries[0].refusal().unwrap().kind, RefusalKind::TlsaMismatch);
    for words in PERSONAL {
        assert!(!attacker.transcript().saw(words), "{words}");
    }

    let honest = Gateway::new().deliver(vec![victim.dane()]).await;
    assert!(is_accepted(&honest), "{:?}", honest.tries);
    assert_eq!(honest.tries[0].level(), Some(Level::Dane));
}

/// Pool poisoning, by an attacker on the path: an ordinary message opens a session with the
/// attacker; a sensitive one must not ride on it.
#[tokio::test]
async fn on_the_path_a_kept_connection_is_judged_anew_for_each_message() {
    let victim = Host::start().await;
    let method = Method::Impersonate(identity());
    let attacker = Attacker::start(victim.address(), method).await.unwrap();
    let gateway = Gateway::new();
    let ordinary = gateway.deliver(vec![route(attacker.addr(), Demand::Encrypt)]).await;
    assert!(is_accepted(&ordinary));
    assert_eq!(gateway.deliverer.idle_connections(), 1);

    let sensitive = vec![route(attacker.addr(), dane(&victim.identity))];
    let delivery = gateway.deliver(sensitive).await;
    assert!(is_refused_channel(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(victim.sink.all().len(), 1);
}

/// The same without TLS: a cleartext connection of an opportunistic message.
#[tokio::test]
async fn on_the_path_a_kept_cleartext_connection_carries_nothing_that_demands_tls() {
    let host = Host::clear().await;
    let gateway = Gateway::new();
    assert!(is_accepted(&gateway.deliver(vec![host.opportunistic()]).await));
    assert_eq!(gateway.deliverer.idle_connections(), 1);
    let delivery = gateway.deliver(vec![host.encrypt()]).await;
    assert!(is_refused_channel(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(host.sink.all().len(), 1);
}

/// A server that says these octets again and again and reads whatever comes.
async fn hostile(
    start: &'static [u8],
    again: &'static [u8],
) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let mut buffer = [0; 4_096];
                let listen = async { while reader.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
                let talk = async {
                    if writer.write_all(start).await.is_err() {
                        return;
                    }
                    if again.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    while writer.write_all(again).await.is_ok() {}
                };
                tokio::join!(listen, talk);
            });
        }
    });
    (address, tasks)
}

/// Hostile servers cost a bounded time and a bounded amount of memory, and a healthy host behind
/// them still gets the message.
#[tokio::test]
async fn hostile_servers_are_left() {
    for (start, again) in [
        (&b"220-"[..], &b"220-welcome\r\n"[..]),
        (b"220 mx", b"xxxxxxxxxxxxxxxxxxxxxxxx"),
        (b"220 mx\r\n250-mx\r\n", b"250-X-MORE\r\n"),
        (b"", b"\0\0\0\0\0\0\0\0"),
        (b"220 mx\n", b""),
        (b"SSH-2.0-OpenSSH_9.6\r\n", b""),
    ] {
        let (address, _tasks) = hostile(start, again).await;
        let healthy = Host::start().await;
        let bad = route(address, Demand::Opportunistic);
        let delivery = Gateway::new().deliver(vec![bad, healthy.encrypt()]).await;
        assert!(is_accepted(&delivery), "{start:?} {:?}", delivery.tries);
        assert!(matches!(delivery.tries[0].cause, Some(Cause::Protocol(_))), "{start:?}");
        assert!(delivery.tries[0].transcript.len() <= 65);
    }
}

/// Servers that say nothing, or one octet at a time, are left after the timeout of the reply.
#[tokio::test]
async fn silent_servers_are_left() {
    for start in
        [&b""[..], b"220", b"220-mx\r\n", b"220 mx\r\n", b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n"]
    {
        let (address, _tasks) = hostile(start, b"").await;
        let gateway = Gateway::with(impatient);
        let delivery = gateway.deliver(vec![route(address, Demand::Encrypt)]).await;
        let cause = delivery.tries[0].cause.as_ref().unwrap();
        assert!(
            matches!(cause, Cause::Connection(why) if why.contains("no answer in time")),
            "{start:?} {cause:?}"
        );
        assert!(matches!(delivery.outcomes[0], Outcome::Deferred { .. }));
    }
}

/// A server that offers STARTTLS and then speaks no TLS.
#[tokio::test]
async fn garbage_instead_of_a_handshake_is_seen_as_such() {
    let (address, _tasks) =
        hostile(b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n", b"HELLO").await;
    let delivery = Gateway::new().deliver(vec![route(address, Demand::Encrypt)]).await;
    assert!(!is_accepted(&delivery));
    let seen = delivery.tries[0].seen.as_ref().map(|seen| &seen.tls);
    assert!(
        matches!(seen, Some(TlsSeen::Injected | TlsSeen::HandshakeFailed { .. }) | None),
        "{seen:?}"
    );
}

/// A stranger whose MX names our smarthost, or who forges such an MX on the path: the password
/// that was agreed with the smarthost is only said on the way that was agreed.
#[tokio::test]
async fn a_stranger_whose_mx_is_our_smarthost_does_not_get_its_password() {
    let host = Host::like(|mut personality| {
        personality.under_tls.push("AUTH PLAIN".into());
        personality
    })
    .await;
    let credentials = Credentials { user: "us".into(), password: "hunter-2236".into() };
    let smarthosts = vec![Smarthost { route: 0, credentials }];
    let mut gateway = Gateway::with(|settings| Settings { smarthosts, ..settings });
    assert!(is_accepted(&gateway.deliver(vec![host.encrypt()]).await));
    gateway.way = Some(1);
    assert!(is_accepted(&gateway.deliver(vec![host.dane()]).await));
    assert!(!host.server.transcript().saw("AUTH"));
    gateway.way = Some(0);
    gateway.deliver(vec![host.dane()]).await;
    assert!(host.server.transcript().saw("AUTH PLAIN"));
}
