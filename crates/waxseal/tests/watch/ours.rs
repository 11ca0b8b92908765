//! What is told of our own domains by what the configuration says of them, and of the gateway itself.

use std::sync::Arc;

use waxseal_lab::dns::rcode;

use super::*;

/// `partner.example` is ours, and takes its mail at one host.
const OURS: &str = "[[domain]]\nname = \"partner.example\"\ninside = \"mail.sender.example:25\"\n\
                    [domain.publish]\nmx = [\"mx.partner.example\"]\n";

/// The same domain as ever, not signed.
fn unsigned() -> Tree {
    let mut zone = Zone::new("partner.example");
    zone.add("partner.example.", &Data::mx(10, HOST));
    zone.add("mx", &Data::A("192.0.2.1".parse().unwrap()));
    Tree::build(vec![Zone::new("example").signed(), zone]).unwrap()
}

/// Attacker on the path: forges the MX record of a domain of ours that is not signed. The first look that
/// shows it calls for another one soon, which tells it as a likely attack; and its end is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_mx_of_an_own_domain_is_a_likely_attack_within_a_minute() {
    let mut world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.more = OURS;
    world.dns.replace(unsigned());
    assert_eq!(world.look(0).await.1, None);
    let forged = Act::Forge(vec![Data::mx(10, "mx.attacker.example")]);
    world.dns.tamper(Tampering::only("partner.example", rtype::MX, forged));
    let (history, alert) = world.look(HOUR).await;
    assert_eq!(alert, None);
    assert!(history.is_suspicious(), "{history:?}");
    let alert = world.look(60).await.1.unwrap();
    assert!(kinds(&alert).iter().all(|(_, class)| *class == Class::LikelyAttack), "{alert:?}");
    let named = "partner.example MX mx.attacker.example";
    assert!(alert.raised.iter().any(|change| change.subject == named), "{alert:?}");
    assert_eq!(world.look(60).await.1, None, "told once");
    world.dns.restore();
    assert_eq!(world.look(HOUR).await.1, None);
    let over = world.look(HOUR).await.1.unwrap();
    assert!(over.raised.is_empty(), "{over:?}");
    assert!(over.cleared.iter().any(|change| change.after == "mx.attacker.example"), "{over:?}");
}

/// Whoever forgot to name a host in the configuration hears of that, and it is called no attack.
#[tokio::test(flavor = "multi_thread")]
async fn an_mx_that_was_never_named_is_told_as_such() {
    let mut world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.more = "[[domain]]\nname = \"partner.example\"\ninside = \"mail.sender.example:25\"\n\
                  [domain.publish]\nmx = [\"mx9.partner.example\"]\n";
    assert_eq!(world.look(0).await.1, None);
    let alert = world.look(60).await.1.unwrap();
    assert_eq!(kinds(&alert), [(Kind::Mx, Class::Weakening)], "{alert:?}");
    let letters = world.letters.0.lock().unwrap();
    let text = String::from_utf8_lossy(&letters[0].content).into_owned();
    assert!(text.contains("Subject: Mail hosts that are not ours: partner.example\r\n"), "{text}");
    let unfolded = text.replace("=\r\n", "");
    let advice = "If this was you: add mx.partner.example to mx in [domain.publish] of partner.example, and \
                  reload. If not: correct the MX records";
    assert!(unfolded.contains(advice), "{text}");
}

/// Our resolver fails, and so all domains become unknown at once: one letter about the gateway, none about
/// any domain; and one when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_look_says_so_once_and_not_of_each_domain() {
    let gateway = Blind::start().await;
    let mut alerts = 0;
    gateway.world.dns.tamper(Tampering::all(".", Act::Fail(rcode::SERVFAIL)));
    for _ in 0..4 {
        alerts += gateway.round().await.unwrap();
    }
    assert_eq!((alerts, gateway.subjects()), (0, vec![CANNOT_LOOK.into()]));
    gateway.world.dns.restore();
    assert_eq!(gateway.round().await.unwrap(), 0);
    assert_eq!(gateway.subjects()[1..], ["Over: gw.sender.example"]);
}

/// The same while nothing can be written: what could not be told is told as soon as it can be kept, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_does_not_lose_that_the_gateway_cannot_look() {
    let gateway = Blind::start().await;
    let database = rusqlite::Connection::open(gateway.world.folder.path().join("data/waxseal.db"));
    let database = database.unwrap();
    let breaks = "CREATE TRIGGER broken BEFORE INSERT ON state \
                  BEGIN SELECT RAISE(ABORT, 'the disk fails'); END";
    gateway.world.dns.tamper(Tampering::all(".", Act::Fail(rcode::SERVFAIL)));
    gateway.round().await.unwrap();
    database.execute_batch(breaks).unwrap();
    for _ in 0..3 {
        assert!(gateway.round().await.is_err());
    }
    assert_eq!(gateway.subjects(), Vec::<String>::new());
    database.execute_batch("DROP TRIGGER broken").unwrap();
    for _ in 0..2 {
        gateway.round().await.unwrap();
    }
    assert_eq!(gateway.subjects(), [CANNOT_LOOK]);
    database.execute_batch(breaks).unwrap();
    gateway.world.dns.restore();
    assert!(gateway.round().await.is_err());
    database.execute_batch("DROP TRIGGER broken").unwrap();
    for _ in 0..2 {
        gateway.round().await.unwrap();
    }
    let of_us = gateway.subjects().into_iter().filter(|one| one.ends_with("gw.sender.example"));
    assert_eq!(of_us.collect::<Vec<_>>(), [CANNOT_LOOK, "Over: gw.sender.example"]);
}

/// Attacker on the path: drops what we ask of a mail host of ours, and of nobody else, so that nothing changes
/// and nothing is told. It is told by hours, once, and when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_own_mail_host_that_only_we_cannot_see_is_told() {
    let gateway = Blind::start().await;
    gateway.round().await.unwrap();
    gateway.world.dns.tamper(Tampering::all(HOST, Act::Fail(rcode::SERVFAIL)));
    let of_it = || -> Vec<String> {
        let subjects = gateway.subjects().into_iter();
        subjects.filter(|one| one.ends_with(": partner.example")).collect()
    };
    for _ in 0..6 {
        gateway.round().await.unwrap();
    }
    assert_eq!(of_it(), Vec::<String>::new(), "it may pass");
    for _ in 0..2 {
        gateway.round().await.unwrap();
    }
    assert_eq!(of_it(), ["Cannot be seen: partner.example"]);
    gateway.world.dns.restore();
    for _ in 0..3 {
        gateway.round().await.unwrap();
    }
    assert_eq!(of_it()[1..], ["Over: partner.example"]);
}

const CANNOT_LOOK: &str = "The gateway cannot look: gw.sender.example";

/// A gateway whose resolver may fail.
struct Blind {
    world: World,
    live: Live,
    watcher: Watcher,
}

impl Blind {
    async fn start() -> Self {
        let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
        let live = Live::new(Arc::new(world.parts()));
        let watcher = Watcher::new(Tools {
            live: live.clone(),
            store: world.store.clone(),
            clock: world.clock.clone(),
            partners: Partners::default(),
            post: Arc::new(world.letters.clone()),
            board: Board::default(),
        });
        Self { world, live, watcher }
    }

    /// An hour later, a look at each of four domains; how many of them somebody is told of.
    async fn round(&self) -> Result<usize, StoreError> {
        self.world.clock.set(UnixTime(self.world.clock.now().0 + HOUR));
        // Without what is in the caches.
        self.live.replace(Arc::new(self.world.parts()));
        let (mut alerts, mut failed) = (0, None);
        for name in ["partner.example", "a.example", "b.example", "c.example"] {
            match self.watcher.look(&Domain::parse(name).unwrap(), Whose::Own).await {
                Ok((_, alert)) => alerts += usize::from(alert.is_some()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(alerts), Err)
    }

    /// What letters were about.
    fn subjects(&self) -> Vec<String> {
        let letters = self.world.letters.0.lock().unwrap();
        let text = |letter: &NewMessage| String::from_utf8_lossy(&letter.content).into_owned();
        let subject = |text: String| {
            text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
        };
        letters.iter().map(text).map(subject).collect()
    }
}
