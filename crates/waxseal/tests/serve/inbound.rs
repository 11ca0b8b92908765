//! Mail from outside for people of ours, by a listener of kind "inbound".

mod forged;

use std::net::Ipv4Addr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use waxseal::store::Store;
use waxseal_lab::mx::{Fault, MxServer, Personality, Step};

use super::*;
use crate::submission::people::Wire;

const CELL: (Protection, Attack) = (Protection::Dane, Attack::Nobody);

/// Somebody outside whose zone is not signed, so that a test can add the key of his signatures.
const SIGNER: (Protection, Attack) = (Protection::Opportunistic, Attack::Nobody);

/// A lab with an MX host of the organisation's own: `ann` and `carl` are inside.
struct Exchange {
    world: World,
    gateway: Gateway,
    roots: std::sync::Arc<RootCertStore>,
    mx: SocketAddr,
}

/// A certificate for gw.example.com, and who trusts it.
fn certificate(folder: &Path) -> std::sync::Arc<RootCertStore> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["gw.example.com".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.join("mx.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("mx.key"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    roots.into()
}

const LISTENER: &str = "\n[[listen]]\naddress = \"127.0.0.2:0\"\nkind = \"inbound\"\n\
                        certificate = \"mx.pem\"\nkey = \"mx.key\"\n";

impl World {
    /// The configuration with an MX host, and `more`.
    fn as_mx(&self, more: &str) -> Config {
        self.config("");
        let text = std::fs::read_to_string(self.file()).unwrap();
        std::fs::write(self.file(), format!("{text}{LISTENER}{more}")).unwrap();
        Config::load(&self.file()).unwrap()
    }
}

impl Exchange {
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(more: &str) -> Self {
        let world = World::new(&[CELL, SIGNER]).await;
        let roots = certificate(world.folder.path());
        let inside = world.lab.inside();
        inside.become_like(inside.personality().knowing(&["ann", "carl", "postmaster"]));
        let gateway = Gateway::start(world.as_mx(more)).await.unwrap();
        let mx = gateway.addresses()[1].1;
        Self { world, gateway, roots, mx }
    }

    fn inside(&self) -> &MxServer {
        self.world.lab.inside()
    }

    fn inside_becomes(&self, change: impl FnOnce(Personality) -> Personality) {
        self.inside().become_like(change(self.inside().personality()));
    }

    /// A stranger with a session.
    async fn stranger(&self) -> Wire {
        self.stranger_from(Ipv4Addr::LOCALHOST).await
    }

    async fn stranger_from(&self, from: Ipv4Addr) -> Wire {
        let mut wire = Wire::connect(from.into(), self.mx).await;
        assert!(wire.reply().await.starts_with("220 "));
        wire.says("EHLO mail.elsewhere.example", "250").await;
        wire
    }

    /// The same under TLS.
    async fn secured(&self) -> Wire {
        let mut wire = self.stranger().await;
        wire.says("STARTTLS", "220").await;
        wire.try_secure(&self.roots, None).await.unwrap();
        wire.says("EHLO mail.elsewhere.example", "250").await;
        wire
    }

    /// Somebody's address outside, where the lab takes mail.
    fn bob(&self) -> String {
        self.world.recipient(CELL.0, CELL.1)
    }

    async fn arrived(&self, local: &str) -> Received {
        let to = ours(local);
        let found = self.world.lab.inside_sink().find(|mail| is_for(mail, &to), PATIENCE).await;
        found.unwrap_or_else(|| panic!("nothing came for {to}"))
    }

    async fn evidence(&self) -> Vec<String> {
        deliveries(self.gateway.store()).await
    }
}

fn ours(local: &str) -> String {
    format!("{local}@{SENDER_DOMAIN}")
}

async fn deliveries(store: &Store) -> Vec<String> {
    let query = EventQuery { kind: Some(EventKind::Delivery), limit: 50, ..EventQuery::default() };
    let events = store.events(query).await.unwrap();
    events.into_iter().map(|event| String::from_utf8(event.event.body).unwrap()).collect()
}

async fn until_empty(store: &Store) {
    let empty = async {
        while store.count().await.unwrap() != [0, 0, 0] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.unwrap();
}

/// From MAIL to the reply to the message.
async fn hand_in(wire: &mut Wire, from: &str, to: &str) {
    wire.says(&format!("MAIL FROM:{from}"), "250").await;
    wire.says(&format!("RCPT TO:<{to}>"), "250").await;
    wire.says("DATA", "354").await;
    wire.says("Subject: from outside\r\n\r\nThe text.\r\n.", "250 2.0.0 accepted as").await;
}

/// On the path between our own server and us, taking STARTTLS out of what we offer: with
/// `tls = "required"` the server's mail stays where it is, instead of being read on the way.
#[tokio::test]
async fn where_tls_is_required_nothing_is_handed_in_before_it() {
    let listener = "\n[[listen]]\naddress = \"127.0.0.3:0\"\nkind = \"relay\"\n\
                    tls = \"required\"\nrelay_from = [\"127.0.0.0/8\"]\n\
                    certificate = \"mx.pem\"\nkey = \"mx.key\"\n";
    let exchange = Exchange::with(listener).await;
    let exchange = Exchange { mx: exchange.gateway.addresses()[2].1, ..exchange };
    let from = format!("<{}>", ours("ann"));
    let mut stripped = exchange.stranger().await;
    stripped.says(&format!("MAIL FROM:{from}"), "530 5.7.0").await;
    stripped.says(&format!("RCPT TO:<{}>", exchange.bob()), "503").await;
    hand_in(&mut exchange.secured().await, &from, &exchange.bob()).await;
    let to = exchange.bob();
    let sink = exchange.world.lab.sink();
    assert!(sink.find(|mail| is_for(mail, &to), PATIENCE).await.is_some());
    drop(stripped);
    exchange.gateway.stop().await;
}

#[tokio::test]
async fn mail_from_outside_reaches_people_of_ours_under_tls_and_without() {
    let exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    hand_in(&mut wire, "<bob@elsewhere.example>", &ours("ann")).await;
    let message = exchange.arrived("ann").await;
    assert!(message.mail.starts_with("<bob@elsewhere.example>"), "{}", message.mail);
    // `inside` is pinned, so it is never without TLS there.
    assert!(message.tls.is_some());
    let plain = text(&message);
    assert!(plain.starts_with("Received: from mail.elsewhere.example ("), "{plain}");
    assert!(plain.contains(" with ESMTP id ") && !plain.contains("using TLS"), "{plain}");
    drop(wire);
    let mut wire = exchange.secured().await;
    hand_in(&mut wire, "<bob@elsewhere.example>", &ours("carl")).await;
    let secured = text(&exchange.arrived("carl").await);
    assert!(secured.contains("(using TLSv1.3 with cipher "), "{secured}");
    assert!(secured.contains(" with ESMTPS id "), "{secured}");
    until_empty(exchange.gateway.store()).await;
    let evidence = exchange.evidence().await;
    assert_eq!(evidence.len(), 2);
    for record in &evidence {
        assert!(record.contains("\"rule\":\"inbound\"") && record.contains("pinned"), "{record}");
        assert!(!record.contains("ann@") && !record.contains("bob@"), "{record}");
    }
    let numbers = page(&exchange.gateway, "/metrics").await;
    assert!(numbers.contains("waxseal_inbound_total{outcome=\"accepted\"}"), "{numbers}");
    let asked = "waxseal_recipients_asked_total{answer=\"taken\",from=\"inside\"}";
    assert!(numbers.contains(asked), "{numbers}");
    drop(wire);
    exchange.gateway.stop().await;
}

/// RFC 5321 §3.6.2. Attacker: somebody who looks for an open relay, in a network that may relay at
/// the other listener, with our own sender's name.
#[tokio::test]
async fn a_stranger_cannot_relay_and_an_insider_relays_as_before() {
    let exchange = Exchange::new().await;
    let bob = exchange.bob();
    for mut wire in [exchange.stranger().await, exchange.secured().await] {
        for from in ["<eve@elsewhere.example>", &format!("<{}>", ours("ann")), "<>"] {
            wire.says(&format!("MAIL FROM:{from}"), "250").await;
            wire.says(&format!("RCPT TO:<{bob}>"), "550 5.7.1").await;
            wire.says(&format!("RCPT TO:<ann@sub.{SENDER_DOMAIN}>"), "550 5.7.1").await;
            wire.says("DATA", "554").await;
            wire.says("RSET", "250").await;
        }
        wire.says("AUTH PLAIN AGFubmEAaHVudGVyMg==", "50").await;
    }
    let mut insider = Session::open(door(&exchange.gateway)).await;
    let refused = insider.say("MAIL FROM:<eve@elsewhere.example>").await;
    assert!(refused.starts_with("550 5.7.1 "), "{refused}");
    assert!(insider.send(&bob, "outwards").await.starts_with("250 "));
    let fits = |message: &Received| is_for(message, &bob);
    let sent = exchange.world.lab.sink().find(fits, PATIENCE).await.unwrap();
    assert!(text(&sent).contains("Subject: outwards"), "{}", text(&sent));
    until_empty(exchange.gateway.store()).await;
    drop(insider);
    exchange.gateway.stop().await;
    assert_eq!(exchange.world.lab.sink().all().len(), 1);
}

#[tokio::test]
async fn inside_says_at_rcpt_who_exists() {
    let exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    let nobody = format!("RCPT TO:<{}>", ours("nobody"));
    wire.says(&nobody, "550 5.1.1 nobody of that name here").await;
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "250").await;
    // RFC 5321 §4.5.1: postmaster is there whatever inside says.
    exchange.inside_becomes(|inside| inside.knowing(&["ann"]));
    wire.says(&format!("RCPT TO:<PostMaster@{SENDER_DOMAIN}>"), "250").await;
    wire.says("RCPT TO:<Postmaster>", "250").await;
    wire.says(&nobody, "550 5.1.1").await;
    let heard = exchange.inside().transcript();
    assert!(heard.saw("MAIL FROM:<>") && heard.saw(&nobody), "asked with the null sender");
    assert!(!heard.saw("bob@elsewhere.example"), "the sender is nobody's business yet");
    assert_eq!(heard.sessions(), 1, "one connection for all questions, and no question twice");
    drop(wire);
    exchange.gateway.stop().await;
}

/// Absence, refusal and failure are different: nobody is told that a mailbox does not exist because
/// the server behind us is down.
#[tokio::test]
async fn while_inside_is_away_senders_try_again_later() {
    let exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    let ann = format!("RCPT TO:<{}>", ours("ann"));
    let healthy = exchange.inside().personality();
    exchange.inside_becomes(|inside| inside.failing(Step::Greeting, Fault::Close));
    wire.says(&ann, "451 4.4.1 the mail server inside does not answer").await;
    exchange.inside().become_like(healthy.clone());
    let busy = Fault::Reply("450 4.2.1 moving house".to_owned());
    exchange.inside_becomes(|inside| inside.failing(Step::Rcpt, busy));
    wire.says(&ann, "450 4.2.1 moving house").await;
    exchange.inside().become_like(healthy.clone());
    let no = Fault::Reply("554 5.7.1 not from you".to_owned());
    exchange.inside_becomes(|inside| inside.failing(Step::Mail, no));
    wire.says(&ann, "451 4.3.5").await;
    exchange.inside().become_like(healthy);
    wire.says(&ann, "250").await;
    drop(wire);
    exchange.gateway.stop().await;
}

/// Attacker on the path inside: plays the mail server there with a key that was not pinned. He
/// learns no recipient (promise P2), and mail waits at its sender.
#[tokio::test]
async fn a_server_that_plays_inside_learns_nobodys_name() {
    let exchange = Exchange::new().await;
    let site = exchange.world.lab.site(CELL.0, CELL.1).unwrap();
    let other = site.mx().personality().starttls;
    exchange.inside_becomes(|inside| Personality { starttls: other, ..inside });
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "451 4.7.5").await;
    let heard = exchange.inside().transcript();
    assert!(heard.sessions() >= 1 && !heard.saw("ann") && !heard.saw("MAIL"));
    drop(wire);
    exchange.gateway.stop().await;
}

/// Attacker: somebody with a dictionary of names.
#[tokio::test]
async fn names_are_not_found_out_by_trying() {
    let exchange = Exchange::with("[limits]\nerrors = 60\n").await;
    let mut answers = std::collections::BTreeMap::new();
    for round in 0..4 {
        let mut wire = exchange.stranger().await;
        wire.says("MAIL FROM:<eve@elsewhere.example>", "250").await;
        for nth in 0..60 {
            wire.write(format!("RCPT TO:<n{round}x{nth}@{SENDER_DOMAIN}>\r\n").as_bytes()).await;
            let reply = wire.reply().await;
            *answers.entry(reply.get(..9).unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        // The session ends at its limit of errors.
        assert!(wire.reply().await.starts_with("421 4.7.0"));
    }
    assert_eq!(answers.remove("550 5.1.1"), Some(100), "{answers:?}");
    assert_eq!(answers.remove("451 4.7.1"), Some(140), "{answers:?}");
    assert!(answers.is_empty(), "{answers:?}");
    // Inside was asked for no more than that, and others are not kept from it.
    let mut wire = exchange.stranger_from(Ipv4Addr::new(127, 0, 0, 9)).await;
    hand_in(&mut wire, "<bob@elsewhere.example>", &ours("ann")).await;
    // Who is known already still gets mail, also from there, and longer mail; but inside has no work
    // with ever larger sizes.
    drop(wire);
    let mut wire = exchange.stranger().await;
    hand_in(&mut wire, "<bob@elsewhere.example>", &ours("ann")).await;
    for nth in 0..60 {
        let expected = if nth < 50 { "250" } else { "451 4.7.1" };
        wire.says(&format!("MAIL FROM:<eve@elsewhere.example> SIZE={}", 70_000 + nth), "250").await;
        wire.says(&format!("RCPT TO:<{}>", ours("ann")), expected).await;
        wire.says("RSET", "250").await;
    }
    drop(wire);
    exchange.gateway.stop().await;
}

/// Most clients declare a size with MAIL. Attacker: somebody with a dictionary who declares another
/// one each time, so that inside would be asked each time.
#[tokio::test]
async fn what_inside_said_holds_for_shorter_messages_and_absence_for_all() {
    let exchange = Exchange::with("[limits]\nerrors = 60\n").await;
    let mut wire = exchange.stranger().await;
    let ann = format!("RCPT TO:<{}>", ours("ann"));
    let nobody = format!("RCPT TO:<{}>", ours("nobody"));
    for size in [5_000, 4_000, 300, 5_000, 4_999] {
        wire.says(&format!("MAIL FROM:<bob@elsewhere.example> SIZE={size}"), "250").await;
        wire.says(&ann, "250").await;
        wire.says(&nobody, "550 5.1.1").await;
        wire.says("RSET", "250").await;
        // Whoever is asked from now on says the contrary.
        exchange.inside_becomes(|inside| inside.knowing(&["nobody"]));
    }
    wire.says("MAIL FROM:<bob@elsewhere.example> SIZE=9000", "250").await;
    wire.says(&nobody, "550 5.1.1").await;
    wire.says(&ann, "550 5.1.1").await;
    wire.says("RSET", "250").await;
    wire.says("MAIL FROM:<bob@elsewhere.example> SIZE=10", "250").await;
    wire.says(&ann, "550 5.1.1").await;
    drop(wire);
    exchange.gateway.stop().await;
}

/// Attacker: somebody with a dictionary. Servers punish the connection that collects refusals, and
/// honest mail is asked about on it as well.
#[tokio::test]
async fn a_connection_inside_with_some_refusals_is_left() {
    let exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<eve@elsewhere.example>", "250").await;
    for nth in 0..9 {
        wire.says(&format!("RCPT TO:<n{nth}@{SENDER_DOMAIN}>"), "550 5.1.1").await;
    }
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "250").await;
    let sessions = exchange.inside().transcript().sessions();
    assert_eq!(sessions, 3, "four refusals each for two of them");
    drop(wire);
    exchange.gateway.stop().await;
}

/// Attacker: somebody with a dictionary and many sessions, before a server inside that is slow to answer
/// him. Of eight turns he gets two, and the others are free for honest mail.
#[tokio::test]
async fn questions_of_who_tries_names_do_not_hold_up_others() {
    let exchange = Exchange::new().await;
    let mut first = exchange.stranger().await;
    first.says("MAIL FROM:<eve@elsewhere.example>", "250").await;
    // So many that no connection inside is left.
    for nth in 0..8 {
        first.says(&format!("RCPT TO:<n{nth}@{SENDER_DOMAIN}>"), "550 5.1.1").await;
    }
    let healthy = exchange.inside().personality();
    exchange.inside_becomes(|inside| {
        Personality { knows: None, ..inside }.failing(Step::Rcpt, Fault::Silence)
    });
    let mut sessions = Vec::new();
    for nth in 0..10 {
        let mut wire = exchange.stranger().await;
        wire.says("MAIL FROM:<eve@elsewhere.example>", "250").await;
        wire.write(format!("RCPT TO:<slow{nth}@{SENDER_DOMAIN}>\r\n").as_bytes()).await;
        sessions.push(wire);
    }
    let heard = exchange.inside().transcript();
    assert!(heard.hears("RCPT TO:<slow", PATIENCE).await);
    let mut wire = exchange.stranger_from(Ipv4Addr::new(127, 0, 0, 9)).await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    wire.write(format!("RCPT TO:<{}>\r\n", ours("ann")).as_bytes()).await;
    // Theirs end after 30 seconds.
    assert!(heard.hears(&format!("RCPT TO:<{}>", ours("ann")), Duration::from_secs(20)).await);
    let slow = (0..10).filter(|nth| heard.saw(&format!("RCPT TO:<slow{nth}@"))).count();
    assert!(slow <= 2, "{slow}");
    sessions.push(wire);
    drop((first, sessions));
    // A stop waits for those who are being answered.
    exchange.inside().become_like(healthy);
    exchange.gateway.stop().await;
}

/// RFC 8689 §2, §4.2.1.
#[tokio::test]
async fn requiretls_goes_on_inside_or_the_message_is_not_taken() {
    let exchange = Exchange::new().await;
    let asked = "MAIL FROM:<bob@elsewhere.example> REQUIRETLS";
    let mut wire = exchange.stranger().await;
    wire.says(asked, "555").await;
    drop(wire);
    let mut wire = exchange.secured().await;
    wire.says(asked, "250").await;
    let ann = format!("RCPT TO:<{}>", ours("ann"));
    wire.says(&ann, "550 5.7.30").await;
    wire.says("RSET", "250").await;
    exchange.inside_becomes(Personality::requiretls);
    // Another recipient: that ann cannot have it is remembered for a while.
    wire.says(asked, "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("carl")), "250").await;
    wire.says("DATA", "354").await;
    wire.says("Subject: protected\r\n\r\nThe text.\r\n.", "250").await;
    let message = exchange.arrived("carl").await;
    assert!(message.mail.contains(" REQUIRETLS") && message.tls.is_some(), "{}", message.mail);
    drop(wire);
    exchange.gateway.stop().await;
}

/// RFC 6531 §3.5: no message is taken that could not go on. Attacker: whoever hides controls and
/// routes in letters beyond ASCII.
#[tokio::test]
async fn addresses_beyond_ascii_are_taken_only_where_inside_takes_them() {
    let exchange = Exchange::new().await;
    let plain = |mut inside: Personality| {
        inside.extensions.retain(|word| word != "SMTPUTF8");
        inside.knowing(&["ann", "zoë"])
    };
    exchange.inside_becomes(plain);
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<jürgen@elsewhere.example>", "553 5.6.7").await;
    wire.says("MAIL FROM:<jürgen@elsewhere.example> SMTPUTF8", "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "550 5.6.7").await;
    wire.says("RSET", "250").await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("zoë")), "553 5.6.7").await;
    // The same person, for a message that needs nothing.
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "250").await;
    wire.says("RSET", "250").await;
    exchange.inside_becomes(|mut inside| {
        inside.extensions.push("SMTPUTF8".to_owned());
        inside
    });
    wire.says("MAIL FROM:<jürgen@elsewhere.example> SMTPUTF8", "250").await;
    for hidden in ["\"zo\u{9b}\"", "\"zo\u{7f}\"", "zo\u{85}", "\"zo\t\"", "\"zo\0\""] {
        wire.write(format!("RCPT TO:<{}>\r\n", ours(hidden)).as_bytes()).await;
        let said = wire.reply().await;
        assert!(said.starts_with("50"), "{hidden:?}: {said}");
    }
    wire.says(&format!("RCPT TO:<{}>", ours("bob\u{ff05}elsewhere")), "550 5.7.1").await;
    wire.says(&format!("RCPT TO:<{}>", ours("zoë")), "250").await;
    wire.says("DATA", "354").await;
    wire.says("Subject: grüße\r\n\r\nThe text.\r\n.", "250").await;
    exchange.arrived("zoë").await;
    exchange.gateway.stop().await;
}

/// A reload takes no session away, and forgets what inside said before.
#[tokio::test]
async fn a_reload_keeps_the_sessions_of_strangers() {
    let mut exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("dora")), "550 5.1.1").await;
    exchange.inside_becomes(|inside| inside.knowing(&["ann", "dora"]));
    wire.says(&format!("RCPT TO:<{}>", ours("dora")), "550 5.1.1").await;
    let config = exchange.world.as_mx("[limits]\nrecipients = 100\n");
    exchange.gateway.reload(config).await.unwrap();
    wire.says(&format!("RCPT TO:<{}>", ours("dora")), "250").await;
    wire.says("DATA", "354").await;
    wire.says("Subject: x\r\n\r\nThe text.\r\n.", "250").await;
    exchange.arrived("dora").await;
    drop(wire);
    exchange.gateway.stop().await;
}

/// What was accepted is in the store before the 250: the next start hands it inside.
#[tokio::test]
async fn what_was_taken_while_inside_went_away_is_handed_over_later() {
    let exchange = Exchange::new().await;
    let mut wire = exchange.stranger().await;
    wire.says("MAIL FROM:<bob@elsewhere.example>", "250").await;
    wire.says(&format!("RCPT TO:<{}>", ours("ann")), "250").await;
    let healthy = exchange.inside().personality();
    exchange.inside_becomes(|inside| inside.failing(Step::Greeting, Fault::Close));
    wire.says("DATA", "354").await;
    wire.says("Subject: x\r\n\r\nThe text.\r\n.", "250").await;
    let store = exchange.gateway.store().clone();
    let tried = async {
        while deliveries(&store).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.unwrap();
    assert!(deliveries(&store).await[0].contains("deferred"));
    let Exchange { world, gateway, .. } = exchange;
    drop(wire);
    gateway.stop().await;
    assert_eq!(store.count().await.unwrap().into_iter().sum::<u64>(), 1);
    world.lab.inside().become_like(healthy);
    let everything = waxseal::store::Command {
        verb: waxseal::store::Verb::Retry,
        target: waxseal::store::Target::All,
        reason: None,
        actor: waxseal::store::Actor::Gateway,
    };
    store.ask(&everything).await.unwrap();
    drop(store);
    let gateway = Gateway::start(world.as_mx("")).await.unwrap();
    let ann = ours("ann");
    let arrived = world.lab.inside_sink().find(|mail| is_for(mail, &ann), PATIENCE).await;
    assert!(arrived.is_some());
    gateway.stop().await;
}
