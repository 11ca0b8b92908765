//! Who hears of mail from outside that inside does not take after all.

use bytes::Bytes;
use rcgen::PKCS_ED25519;
use waxseal::{resolve::Clock, store::NewMessage};
use waxseal_core::{
    dkim::Signer,
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Notify, Recipient, ReversePath},
};
use waxseal_lab::dns::{Act, Data, Tampering, rtype};

use super::*;

/// With everything that makes a server write to the sender (RFC 3461 §4.1, §4.3).
async fn hand_in_asking(wire: &mut Wire, (from, to): (&str, &str), content: &str) {
    wire.says(&format!("MAIL FROM:<{from}> RET=FULL"), "250").await;
    wire.says(&format!("RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE,DELAY"), "250").await;
    wire.says("DATA", "354").await;
    wire.says(&format!("{content}\r\n."), "250 2.0.0 accepted as").await;
}

fn from(sender: &str) -> String {
    format!("From: {sender}\r\nSubject: from outside\r\n\r\nThe text.")
}

fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.split_once('@').unwrap();
    Mailbox { local: local.to_owned(), domain: Domain::parse(domain).unwrap() }
}

/// Attacker: a spammer who forges the sender, to have us write to him (RFC 5321 §6.2). Nobody
/// outside hears anything; the postmaster hears of all of it once, and it is counted.
#[tokio::test]
async fn a_spammer_who_forges_the_sender_makes_us_write_to_nobody_outside() {
    let exchange = Exchange::new().await;
    let (bob, ann) = (exchange.bob(), ours("ann"));
    let store = exchange.gateway.store().clone();
    let mut wire = exchange.stranger().await;
    // Inside has no DSN: for mail of our own people this would be a "relayed" report.
    hand_in_asking(&mut wire, (&bob, &ann), &from(&bob)).await;
    exchange.arrived("ann").await;
    until_empty(&store).await;
    // Too long for inside, which nobody said before.
    exchange.inside_becomes(|inside| {
        let mut inside = inside.without("SIZE");
        inside.extensions.push("SIZE 8000".to_owned());
        inside
    });
    let long = format!("{}{}", from(&bob), "\r\nBuy this now.".repeat(1_000));
    for _ in 0..3 {
        hand_in_asking(&mut wire, (&bob, &ann), &long).await;
    }
    hand_in(&mut wire, "<>", &ann).await;
    until_empty(&store).await;
    let notice = text(&exchange.arrived("postmaster").await);
    let notice = notice.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "Subject: Mail from outside was refused inside after it was taken Date:",
        "Others that ended so since the last notice: 0.",
        "5.3.4 the message has ",
        "waxseal evidence show ",
    ] {
        assert!(notice.contains(words), "{words}\n{notice}");
    }
    assert!(!notice.contains(&bob) && !notice.contains("Buy this"), "{notice}");
    let sent = exchange.world.lab.inside_sink().all();
    assert_eq!(sent.iter().filter(|mail| is_for(mail, &ours("postmaster"))).count(), 1);
    assert!(exchange.world.lab.sink().all().is_empty(), "somebody outside was written to");
    let metrics = page(&exchange.gateway, "/metrics").await;
    assert!(metrics.contains("waxseal_inbound_refused_total{told=\"postmaster\"}"), "{metrics}");
    let records = exchange.evidence().await;
    let ended = |record: &&String| record.contains("\"drop\":{\"code\":[5,3,4]}");
    assert!(records.iter().filter(ended).count() >= 3, "{records:?}");
    drop(wire);
    exchange.gateway.stop().await;
}

/// Attacker: a customer of a provider, who sends its signed mail on in the name of another
/// customer. Whose address the signature vouches for gets a report, with no more than the header
/// of what he wrote.
#[tokio::test]
async fn whose_domain_signed_the_message_hears_that_inside_refused_it() {
    let exchange = Exchange::new().await;
    let site = exchange.world.lab.site(SIGNER.0, SIGNER.1).unwrap();
    let provider = site.domains()[0].clone();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let [domain, selector] = [provider.as_str(), "s1"].map(|name| Domain::parse(name).unwrap());
    let signer = Signer::new(domain, selector, &key.serialize_der()).unwrap();
    let record = Act::Forge(vec![Data::txt(&signer.record())]);
    let dns = exchange.world.lab.dns();
    dns.tamper(Tampering::only(&format!("s1._domainkey.{provider}"), rtype::TXT, record));
    let (bob, other) = (format!("bob@{provider}"), format!("other@{provider}"));
    let whole = format!("{}\r\n", from(&bob));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signed = signer.sign(whole.as_bytes(), Clock::system().now(), &random).unwrap();
    let signed = String::from_utf8(signed).unwrap();
    let signed = signed.trim_end();
    let no = Fault::Reply("554 5.6.0 not this".to_owned());
    exchange.inside_becomes(|inside| inside.failing(Step::Dot, no));
    let mut wire = exchange.stranger().await;
    hand_in_asking(&mut wire, (&other, &ours("ann")), signed).await;
    let changed = signed.replace("The text.", "Another text.");
    hand_in_asking(&mut wire, (&bob, &ours("ann")), &changed).await;
    hand_in_asking(&mut wire, (&bob, &ours("carl")), signed).await;
    let sink = exchange.world.lab.sink();
    let report = sink.find(|mail| is_for(mail, &bob), PATIENCE).await.unwrap();
    assert!(report.mail.starts_with("<>"), "{}", report.mail);
    let report = text(&report);
    for words in [
        "Subject: Not delivered: your message to carl@",
        "Action: failed\r\nStatus: 5.6.0\r\n",
        "Diagnostic-Code: smtp; 554 5.6.0 not this",
        "Our postmaster is postmaster@",
    ] {
        assert!(report.contains(words), "{words}\n{report}");
    }
    assert!(!report.contains("The text."), "{report}");
    until_empty(exchange.gateway.store()).await;
    drop(wire);
    exchange.gateway.stop().await;
    assert_eq!(exchange.world.lab.sink().all().len(), 1, "nobody else is written to");
}

/// Attacker: the same spammer, while the mail server inside is away for longer than
/// `delivery.delay_notice`.
#[tokio::test]
async fn nobody_outside_hears_that_mail_waits_for_inside() {
    let world = World::new(&[CELL]).await;
    certificate(world.folder.path());
    let gateway = Gateway::start(world.as_mx("")).await.unwrap();
    let store = gateway.store().clone();
    gateway.stop().await;
    let sender = ReversePath::Mailbox(mailbox(&world.recipient(CELL.0, CELL.1)));
    let notify = Some(Notify::On { success: true, failure: true, delay: true });
    let ann = Recipient { notify, ..Recipient::new(mailbox(&ours("ann"))) };
    let message = NewMessage {
        direction: Direction::Inbound,
        arrived: Clock::system().now().before(Duration::from_hours(48)),
        envelope: Envelope::new(sender, vec![ann]),
        content: Bytes::from_static(b"Subject: from outside\r\n\r\nThe text.\r\n"),
    };
    drop(store.accept(message).await.unwrap());
    drop(store);
    let inside = world.lab.inside();
    inside.become_like(inside.personality().failing(Step::Greeting, Fault::Close));
    let gateway = Gateway::start(world.as_mx("")).await.unwrap();
    let store = gateway.store().clone();
    let tried = async {
        while deliveries(&store).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.unwrap();
    gateway.stop().await;
    // Tried, and still there; no letter beside it.
    assert_eq!(store.count().await.unwrap().into_iter().sum::<u64>(), 1);
    assert!(world.lab.sink().all().is_empty());
}

/// RFC 1870 §6.1: what is too long for inside is refused before it is taken, with inside's words,
/// and shorter messages are not.
#[tokio::test]
async fn what_is_declared_too_long_for_inside_is_refused_at_rcpt() {
    let exchange = Exchange::new().await;
    exchange.inside_becomes(|inside| {
        let mut inside = inside.without("SIZE");
        inside.extensions.push("SIZE 8000".to_owned());
        inside
    });
    let ann = format!("RCPT TO:<{}>", ours("ann"));
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example> SIZE=9000", "250").await;
    wire.says(&ann, "552 5.3.4").await;
    wire.says("RSET", "250").await;
    wire.says("MAIL FROM:<bob@elsewhere.example> SIZE=2000", "250").await;
    wire.says(&ann, "250").await;
    wire.says("RSET", "250").await;
    let no = Fault::Reply("552 5.3.4 no room for that".to_owned());
    exchange.inside_becomes(|inside| inside.failing(Step::Mail, no));
    wire.says("MAIL FROM:<bob@elsewhere.example> SIZE=3000", "250").await;
    wire.says(&ann, "552 5.3.4 no room for that").await;
    drop(wire);
    exchange.gateway.stop().await;
}
