//! What people are told, by the gateway as `waxseal serve` runs it: reports (RFC 3461, RFC 3464,
//! RFC 8689 §5) and notices, at the mail server behind it.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use waxseal::{
    exceptions,
    resolve::Clock,
    store::{Actor, Event, Group, NewMessage, Store},
};
use waxseal_core::{
    channel::Floor,
    decide::{Because, Fallback, History, Verdict},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Notify, Recipient, ReversePath, TlsAsk},
    evidence::Evidence,
    org::{Exception, Told},
    time::UnixTime,
};
use waxseal_lab::mx::{Fault, Step};

use super::*;

const CELL: (Protection, Attack) = (Protection::Dane, Attack::Nobody);

fn now() -> UnixTime {
    Clock::system().now()
}

fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.split_once('@').unwrap();
    Mailbox { local: local.to_owned(), domain: Domain::parse(domain).unwrap() }
}

/// A message as the queue holds it: from ann, taken in `ago`.
fn message(to: &[(&str, Notify)], ago: Duration) -> NewMessage {
    let recipient = |(to, notify): &(&str, Notify)| Recipient {
        notify: Some(*notify),
        ..Recipient::new(mailbox(to))
    };
    let from = ReversePath::Mailbox(mailbox(&format!("ann@{SENDER_DOMAIN}")));
    NewMessage {
        direction: Direction::Outbound,
        arrived: now().before(ago),
        envelope: Envelope::new(from, to.iter().map(recipient).collect()),
        content: Bytes::from_static(
            b"From: ann@sender.example\r\nSubject: secret merger\r\nMessage-ID: <42@sender.example>\r\n\r\nThe text.\r\n",
        ),
    }
}

const fn on(success: bool, failure: bool, delay: bool) -> Notify {
    Notify::On { success, failure, delay }
}

fn verdict(floor: Floor, because: Vec<Because>) -> Verdict {
    Verdict { because, ..Verdict::new(floor, Fallback::Hold, Duration::ZERO) }
}

/// All recipients of a message, with a verdict from before.
fn group(message: &NewMessage, verdict: Verdict) -> Group {
    Group::new(
        message.envelope.recipients[0].mailbox.domain.clone(),
        message.envelope.recipients.clone(),
        verdict,
        History { queued: message.arrived, ..History::default() },
    )
}

impl World {
    fn mx(&self) -> &waxseal_lab::mx::MxServer {
        self.lab.site(CELL.0, CELL.1).unwrap().mx()
    }

    /// A store with what `plant` puts there, as a gateway leaves it behind that stopped.
    async fn planted(&self, plant: impl AsyncFnOnce(&Store)) {
        let gateway = self.start().await;
        let store = gateway.store().clone();
        gateway.stop().await;
        plant(&store).await;
    }

    async fn takes(&self, message: NewMessage) {
        self.planted(async |store| drop(store.accept(message).await.unwrap())).await;
    }

    /// The letter that reaches somebody inside.
    async fn letter(&self, to: &str) -> Received {
        let to = format!("{to}@{SENDER_DOMAIN}");
        let found = self.lab.inside_sink().find(|letter| is_for(letter, &to), PATIENCE).await;
        found.unwrap_or_else(|| panic!("nobody wrote to {to}"))
    }
}

/// Waits until the queue is empty.
async fn empty(gateway: &Gateway) {
    let empty = async {
        while gateway.store().count().await.unwrap() != [0, 0, 0] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.unwrap();
}

/// RFC 3461 §5.2.2.
#[tokio::test]
async fn a_host_without_dsn_means_a_relayed_report_where_success_was_asked_for() {
    let world = World::new(&[CELL]).await;
    let gateway = world.start().await;
    let bob = world.recipient(CELL.0, CELL.1);
    let mut session = Session::open(door(&gateway)).await;
    for quiet in ["", " NOTIFY=NEVER", " NOTIFY=FAILURE,DELAY"] {
        let taken = session.send_with((&bob, quiet), ("", "quiet")).await;
        assert!(taken.starts_with("250 "), "{taken}");
    }
    let asked = " NOTIFY=SUCCESS ORCPT=rfc822;robert@elsewhere.example";
    let taken = session.send_with((&bob, asked), (" RET=FULL ENVID=QQ1", "asked")).await;
    assert!(taken.starts_with("250 "), "{taken}");
    let report = text(&world.letter("ann").await);
    for words in [
        "Subject: Handed on: your message to bob@",
        "Original-Envelope-Id: QQ1\r\n",
        "Original-Recipient: rfc822;robert@elsewhere.example\r\n",
        "Action: relayed\r\nStatus: 2.0.0\r\n",
        "Remote-MTA: dns; mx.",
        "Diagnostic-Code: smtp; 250 2.0.0 taken",
        "handed to a mail server that reports no further",
    ] {
        assert!(report.contains(words), "{words}\n{report}");
    }
    // RFC 3461 §4.3: RET=FULL is for failures.
    assert!(!report.contains("The text."), "{report}");
    empty(&gateway).await;
    drop(session);
    gateway.stop().await;
    assert_eq!(world.lab.inside_sink().all().len(), 1, "nobody else asked");
    let sent = world.lab.sink().all();
    assert!(sent.iter().all(|message| !message.mail.contains("ENVID")), "{sent:?}");
}

/// RFC 3461 §5.2.1 (c): what would be assumed anyway is said where it was said, and only there.
#[tokio::test]
async fn a_host_with_dsn_hears_of_notify_just_where_the_client_said_it() {
    let world = World::new(&[CELL]).await;
    world.mx().become_like(world.mx().personality().dsn());
    let gateway = world.start().await;
    let usual = world.recipient(CELL.0, CELL.1);
    let silent = usual.replace("bob", "silent");
    let mut session = Session::open(door(&gateway)).await;
    session.send_with((&usual, " NOTIFY=FAILURE,DELAY"), ("", "said")).await;
    session.send_with((&silent, ""), ("", "unsaid")).await;
    let told = async |to: &str| {
        let sent = world.lab.sink().find(|message| is_for(message, to), PATIENCE).await.unwrap();
        sent.recipients[0].clone()
    };
    let (said, unsaid) = (told(&usual).await, told(&silent).await);
    assert!(said.contains("NOTIFY=FAILURE,DELAY"), "{said}");
    assert!(!unsaid.contains("NOTIFY"), "{unsaid}");
    empty(&gateway).await;
    drop(session);
    gateway.stop().await;
}

/// RFC 3461 §5.2.1.
#[tokio::test]
async fn a_host_with_dsn_is_told_what_to_report_and_we_say_nothing() {
    let world = World::new(&[CELL]).await;
    world.mx().become_like(world.mx().personality().dsn());
    let gateway = world.start().await;
    let bob = world.recipient(CELL.0, CELL.1);
    let asked = " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;robert@elsewhere.example";
    let mut session = Session::open(door(&gateway)).await;
    session.send_with((&bob, asked), (" RET=HDRS ENVID=QQ1", "asked")).await;
    let sent = world.lab.sink().find(|message| is_for(message, &bob), PATIENCE).await.unwrap();
    assert!(sent.mail.contains("RET=HDRS") && sent.mail.contains("ENVID=QQ1"), "{}", sent.mail);
    let told = &sent.recipients[0];
    assert!(told.contains("NOTIFY=SUCCESS,FAILURE"), "{told}");
    assert!(told.contains("ORCPT=rfc822;robert@elsewhere.example"), "{told}");
    empty(&gateway).await;
    drop(session);
    gateway.stop().await;
    assert!(world.lab.inside_sink().all().is_empty());
}

#[tokio::test]
async fn a_refusal_names_the_host_and_its_words_to_those_who_asked() {
    let world = World::new(&[CELL]).await;
    let no = Fault::Reply("550 5.1.1 no such user".to_owned());
    world.mx().become_like(world.mx().personality().failing(Step::Rcpt, no));
    let bob = world.recipient(CELL.0, CELL.1);
    let [never, success] = ["never", "success"].map(|local| bob.replace("bob", local));
    let to = [
        (bob.as_str(), Notify::default()),
        (never.as_str(), Notify::Never),
        (success.as_str(), on(true, false, false)),
    ];
    world.takes(message(&to, Duration::ZERO)).await;
    let gateway = world.start().await;
    let report = text(&world.letter("ann").await);
    for words in [
        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: ",
        "There is no such address there.",
    ] {
        assert!(report.contains(words), "{words}\n{report}");
    }
    for silent in [&never, &success] {
        assert!(!report.contains(silent.as_str()), "{silent}\n{report}");
    }
    empty(&gateway).await;
    gateway.stop().await;
    assert_eq!(world.lab.inside_sink().all().len(), 1);
}

#[tokio::test]
async fn a_delay_is_told_to_those_who_asked_with_the_end_of_patience() {
    let world = World::new(&[CELL]).await;
    let later = Fault::Reply("450 4.2.1 mailbox busy".to_owned());
    world.mx().become_like(world.mx().personality().failing(Step::Rcpt, later));
    let bob = world.recipient(CELL.0, CELL.1);
    let quiet = bob.replace("bob", "quiet");
    let to = [(bob.as_str(), on(false, false, true)), (quiet.as_str(), on(false, true, false))];
    world.takes(message(&to, Duration::from_hours(5))).await;
    let gateway = world.start().await;
    let report = text(&world.letter("ann").await);
    for words in [
        "Subject: Delayed: your message to bob@",
        "Action: delayed\r\nStatus: 4.2.1\r\nRemote-MTA: dns; mx.",
        "Diagnostic-Code: smtp; 450 4.2.1 mailbox busy\r\nLast-Attempt-Date: ",
        "\r\nWill-Retry-Until: ",
        "You need not do anything",
    ] {
        assert!(report.contains(words), "{words}\n{report}");
    }
    assert!(!report.contains(&quiet), "{report}");
    gateway.stop().await;
}

/// RFC 8689 §5. Against whoever reads the way back: a report on a tagged message is tagged, or
/// says nothing but which message it was.
#[tokio::test]
async fn a_report_on_a_tagged_message_is_tagged_or_redacted() {
    for inside_can in [true, false] {
        let world = World::new(&[CELL]).await;
        if inside_can {
            let inside = world.lab.inside();
            inside.become_like(inside.personality().requiretls());
        }
        let bob = world.recipient(CELL.0, CELL.1);
        let mut tagged = message(&[(&bob, Notify::default())], Duration::ZERO);
        tagged.envelope.tls = TlsAsk::RequireTls;
        world.takes(tagged).await;
        let gateway = world.start().await;
        let letter = world.letter(if inside_can { "ann" } else { "postmaster" }).await;
        assert_eq!(letter.mail.contains("REQUIRETLS"), inside_can, "{}", letter.mail);
        let words = text(&letter);
        assert!(words.contains("Message-ID: <42@sender.example>"), "{words}");
        assert!(words.contains("5.7.30"), "{words}");
        assert!(!words.contains("secret merger") && !words.contains("The text."), "{words}");
        assert_eq!(words.contains(&bob), inside_can, "{words}");
        assert_eq!(words.contains("ann@"), inside_can, "{words}");
        empty(&gateway).await;
        gateway.stop().await;
        assert!(!world.lab.has(&bob));
        assert_eq!(world.lab.inside_sink().all().len(), 1);
    }
}

/// Whom a rule names hears that a message is held, signed as all our mail, at the mail server
/// inside; and learns no address and no subject.
#[tokio::test]
async fn whom_a_rule_names_is_told_of_a_hold() {
    let cell = (Protection::None, Attack::Nobody);
    let world = World::new(&[cell]).await;
    let folder = world.folder.path();
    std::fs::write(
        folder.join("rules.toml"),
        format!(
            "[default]\npatience = \"0s\"\nnotify = [\"dpo@{SENDER_DOMAIN}\", \"postmaster\"]\n"
        ),
    )
    .unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let file = folder.join("dkim.pem");
    std::fs::write(&file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = world.config("");
    config.rules.file = Some(folder.join("rules.toml"));
    config.author.dkim = Some(waxseal::config::Dkim {
        selector: Domain::parse("s1").unwrap(),
        key: waxseal::config::SecretRef::File(folder.join("dkim.pem")),
    });
    let bob = world.recipient(cell.0, cell.1);
    let dpo = Told::Mailbox(mailbox(&format!("dpo@{SENDER_DOMAIN}")));
    let verdict =
        Verdict { notify: vec![dpo, Told::Postmaster], ..verdict(Floor::Encrypted, Vec::new()) };
    world
        .planted(async |store| {
            let message = message(&[(&bob, Notify::default())], Duration::from_hours(1));
            let mut group = group(&message, verdict);
            group.short_since = Some(message.arrived);
            let fresh = store.accept(message).await.unwrap();
            drop(store.classify(fresh, &[group], now()).await.unwrap());
        })
        .await;
    let gateway = Gateway::start(config).await.unwrap();
    for to in ["dpo", "postmaster"] {
        let notice = text(&world.letter(to).await);
        assert!(notice.contains("Subject: A message is held\r\n"), "{notice}");
        assert!(notice.contains("DKIM-Signature: "), "{notice}");
        assert!(notice.contains("waxseal queue show "), "{notice}");
        assert!(!notice.contains(&bob) && !notice.contains("merger"), "{notice}");
    }
    gateway.stop().await;
    assert_eq!(world.lab.inside_sink().all().len(), 2, "the sender was not named");
}

/// Wrong rules and a postmaster elsewhere: nothing is started that would write to strangers.
#[tokio::test]
async fn nobody_outside_is_told_anything() {
    let world = World::new(&[]).await;
    let file = world.folder.path().join("rules.toml");
    std::fs::write(&file, "[default]\nnotify = [\"spy@elsewhere.example\"]\n").unwrap();
    let mut config = world.config("");
    config.rules.file = Some(file);
    let refused = Gateway::start(config).await.unwrap_err().to_string();
    assert!(refused.contains("rules.toml:2: default.notify: spy@elsewhere.example"), "{refused}");
    let text = std::fs::read_to_string(world.file()).unwrap();
    let text = format!("{text}\n[author]\npostmaster = \"spy@elsewhere.example\"\n");
    let line = text.lines().count();
    std::fs::write(world.file(), text).unwrap();
    let refused = Config::load(&world.file()).unwrap_err().to_string();
    assert!(refused.contains(&format!(":{line}: ")), "{refused}");
    assert!(refused.contains("author.postmaster"), "{refused}");
}

/// An exception is for a while, and mail may wait longer: once it has ended, the floor holds for
/// what was taken in under it, too.
#[tokio::test]
async fn the_end_of_an_exception_raises_the_floor_of_what_waits() {
    let cell = (Protection::None, Attack::Nobody);
    for still_holds in [true, false] {
        let world = World::new(&[cell]).await;
        let bob = world.recipient(cell.0, cell.1);
        let domain = mailbox(&bob).domain;
        let because = Because::new("an exception", "the least is none", "exception");
        let verdict = verdict(Floor::None, vec![because]);
        world
            .planted(async |store| {
                let message = message(&[(&bob, Notify::default())], Duration::ZERO);
                let group = group(&message, verdict);
                let fresh = store.accept(message).await.unwrap();
                drop(store.classify(fresh, &[group], now()).await.unwrap());
                if still_holds {
                    let exception = Exception {
                        domain: domain.clone(),
                        floor: Floor::None,
                        since: now().before(Duration::from_hours(1)),
                        until: now() + Duration::from_hours(1),
                        reason: "their certificate is late".to_owned(),
                        owner: "Ann".to_owned(),
                    };
                    let on_record = Event {
                        kind: EventKind::Override,
                        version: 1,
                        at: now(),
                        actor: Actor::Gateway,
                        config: None,
                        message: None,
                        body: b"{}".to_vec(),
                        personal: None,
                    };
                    exceptions::keep(store, &exception, on_record).await.unwrap();
                }
            })
            .await;
        let gateway = world.start().await;
        let query =
            || EventQuery { kind: Some(EventKind::Delivery), limit: 1, ..EventQuery::default() };
        let recorded = async {
            loop {
                let events = gateway.store().events(query()).await.unwrap();
                if let [event] = events.as_slice() {
                    return Evidence::read(&event.event.body).unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        let evidence = tokio::time::timeout(PATIENCE, recorded).await.unwrap();
        let verdict = evidence.verdict().unwrap();
        let ended = verdict.because.iter().any(|because| because.rfc == "ended exception");
        let floor = if still_holds { Floor::None } else { Floor::Encrypted };
        assert_eq!((verdict.floor, ended), (floor, !still_holds), "{verdict:?}");
        gateway.stop().await;
        assert_eq!(world.lab.has(&bob), still_holds);
    }
}
