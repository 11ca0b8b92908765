//! `waxseal serve` as the MX host of a domain: a real Postfix outside sends to it, a real Postfix inside
//! gets the mail and says who exists.

use std::{fs, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{
    Peer, postfix_knowing, postfix_to, postfix_trusting,
    process::free_port,
    tests::send_with_swaks,
    world::{Authority, DOMAIN, HOST, Published, Way, World},
};

/// The mail server inside, where grace is, and a gateway in front of it.
struct Exchange {
    inside: Peer,
    world: World,
    mx: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Exchange {
    async fn new() -> Self {
        let authority = Authority::new();
        let maps = format!("inline:{{grace@{DOMAIN}=mail/}}");
        let inside = postfix_knowing(DOMAIN, Some(&authority.identity), &maps).await;
        Self::before(inside, &authority).await
    }

    /// Inside is a Postfix that relays for the gateway, as it comes.
    async fn trusted() -> Self {
        let authority = Authority::new();
        let inside = postfix_trusting(DOMAIN, &authority.identity).await;
        Self::before(inside, &authority).await
    }

    async fn before(inside: Peer, authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let chain = file("chain.pem", &authority.identity.chain);
        let key = file("key.pem", &authority.identity.key);
        let mx = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let route = format!(
            "[[domain]]\nname = \"{DOMAIN}\"\ninside = \"{HOST}:25\"\ninside_tls = \"pinned\"\n\
             inside_ca = \"FOLDER/roots.pem\"\n\
             [[listen]]\naddress = \"{mx}\"\nkind = \"inbound\"\n\
             certificate = \"{chain}\"\nkey = \"{key}\"\n"
        );
        let way = Way { port: 25, published: Published::Nothing, route, secret: "" };
        let world = World::by(&inside, authority, &way, "authenticated").await;
        Self { inside, world, mx, _folder: folder }
    }
}

/// Somebody who speaks SMTP by hand.
struct Stranger(BufReader<TcpStream>);

impl Stranger {
    async fn connect(to: SocketAddr) -> Self {
        let mut stranger = Self(BufReader::new(TcpStream::connect(to).await.unwrap()));
        stranger.reply().await;
        stranger.says("EHLO mail.elsewhere.example").await;
        stranger
    }

    async fn says(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// The last line of a reply.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the gateway hung up");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

/// Attacker: a stranger who wants to send spam through us. A Postfix inside as it comes takes routes in
/// the local part from whom it trusts, and it trusts the gateway.
#[tokio::test]
async fn a_stranger_does_not_relay_through_postfix_inside() {
    let exchange = Exchange::trusted().await;
    let routes = [
        format!("bob%victim.test@{DOMAIN}"),
        format!("victim.test!bob@{DOMAIN}"),
        format!("\"bob@victim.test\"@{DOMAIN}"),
    ];
    // Inside would: otherwise this test says nothing.
    let mut trusted = Stranger::connect(exchange.inside.address).await;
    trusted.says("MAIL FROM:<eve@elsewhere.example>").await;
    for to in &routes {
        assert!(trusted.says(&format!("RCPT TO:<{to}>")).await.starts_with("250 "), "{to}");
    }
    trusted.says("RSET").await;
    let mut stranger = Stranger::connect(exchange.mx).await;
    for size in ["", " SIZE=2000"] {
        stranger.says(&format!("MAIL FROM:<eve@elsewhere.example>{size}")).await;
        for to in &routes {
            let said = stranger.says(&format!("RCPT TO:<{to}>")).await;
            assert!(said.starts_with("550 5.7.1 "), "{to}: {said}");
            let said = stranger.says(&format!("RCPT TO:<@{DOMAIN}:{to}>")).await;
            assert!(said.starts_with("550 5.7.1 "), "{to}: {said}");
        }
        assert!(stranger.says("DATA").await.starts_with("554 "));
        stranger.says("RSET").await;
    }
    // Mail for those who are there goes on as ever.
    let mut stranger = Stranger::connect(exchange.mx).await;
    stranger.says("MAIL FROM:<bob@elsewhere.example>").await;
    assert!(stranger.says(&format!("RCPT TO:<grace@{DOMAIN}>")).await.starts_with("250 "));
    assert!(stranger.says("DATA").await.starts_with("354 "));
    assert!(stranger.says("Subject: hello\r\n\r\nText.\r\n.").await.starts_with("250 "));
    let delivered = exchange.inside.delivered(1).await;
    assert!(delivered[0].contains("Subject: hello"), "{delivered:?}");
    assert!(!exchange.inside.log().contains("victim.test"), "{}", exchange.inside.log());
}

#[tokio::test]
async fn postfix_outside_reaches_postfix_inside_with_starttls_and_without() {
    let exchange = Exchange::new().await;
    for (tls, protocol, count) in [("none", "with ESMTP id", 1), ("encrypt", "with ESMTPS id", 2)] {
        let outside = postfix_to(exchange.mx, tls).await;
        send_with_swaks(&outside, &format!("grace@{DOMAIN}"));
        let delivered = exchange.inside.delivered(count).await;
        let hops = |message: &&String| message.contains(protocol);
        let message = delivered.iter().find(hops).unwrap_or_else(|| panic!("{delivered:?}"));
        assert!(message.contains("Subject: peer check"), "{message}");
        assert!(message.contains("by mail.sender.test (Postfix)"), "{message}");
        // `inside` has to prove what was agreed, whatever came before.
        assert!(message.contains("from gw.sender.test"), "{message}");
        assert!(message.contains("using TLSv1.3"), "{message}");
    }
}

#[tokio::test]
async fn postfix_outside_hears_from_postfix_inside_who_does_not_exist() {
    let exchange = Exchange::new().await;
    let outside = postfix_to(exchange.mx, "may").await;
    send_with_swaks(&outside, &format!("nobody@{DOMAIN}"));
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..400 {
        tick.tick().await;
        if outside.log().contains("status=bounced") {
            break;
        }
    }
    let log = outside.log();
    let words = "said: 550 5.1.1 <nobody@receiver.test>: Recipient address rejected: User unknown";
    assert!(log.contains(words), "{log}\n{}", exchange.world.log());
    assert!(log.contains("in reply to RCPT TO command"), "{log}");
    // Not in our log: addresses are in none (promise P9).
    assert!(!exchange.world.log().contains("nobody"), "{}", exchange.world.log());
    assert!(!exchange.inside.log().contains("status="), "nothing was sent: only asked");
}

/// Attacker: somebody with a dictionary. A Postfix inside as it comes answers more slowly to whoever has
/// collected 10 errors on a connection, and hangs up at 20: that must not be ours with which honest
/// mail is asked about as well.
#[tokio::test]
async fn unknown_names_do_not_slow_down_who_asks_for_those_that_exist() {
    let exchange = Exchange::trusted().await;
    let begun = std::time::Instant::now();
    for round in 0..12 {
        let mut eve = Stranger::connect(exchange.mx).await;
        eve.says("MAIL FROM:<eve@elsewhere.example> SIZE=2000").await;
        for nth in 0..9 {
            let said = eve.says(&format!("RCPT TO:<u{round}x{nth}@{DOMAIN}>")).await;
            let expected = if round * 9 + nth < 100 { "550 5.1.1 " } else { "451 4.7.1 " };
            assert!(said.starts_with(expected), "{round} {nth}: {said}");
        }
        if round == 5 {
            // Of those who exist, somebody asks in between; then they are known.
            for size in [2_000, 500_000] {
                let mut bob = Stranger::connect(exchange.mx).await;
                bob.says(&format!("MAIL FROM:<bob@elsewhere.example> SIZE={size}")).await;
                let said = bob.says(&format!("RCPT TO:<grace@{DOMAIN}>")).await;
                assert!(said.starts_with("250 "), "{said}");
            }
        }
    }
    // One pause of that Postfix is a second for each name, and there were 100.
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(!exchange.inside.log().contains("too many errors"), "{}", exchange.inside.log());
    // From the same address (a provider's, say), with any size.
    for size in ["", " SIZE=1", " SIZE=2000", " SIZE=500000", " SIZE=900000"] {
        let mut bob = Stranger::connect(exchange.mx).await;
        bob.says(&format!("MAIL FROM:<bob@elsewhere.example>{size}")).await;
        let said = bob.says(&format!("RCPT TO:<grace@{DOMAIN}>")).await;
        assert!(said.starts_with("250 "), "{size}: {said}");
    }
}
