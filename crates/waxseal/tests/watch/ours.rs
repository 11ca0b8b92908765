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
    world.watcher().tell(&alert).await;
    let letters = world.letters.0.lock().unwrap();
    let text = String::from_utf8_lossy(&letters[0].content).into_owned();
    assert!(text.contains("Subject: Mail hosts that are not ours: partner.example\r\n"), "{text}");
}

/// Our resolver fails, and so all domains become unknown at once: one letter about the gateway, none about
/// any domain; and one when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_look_says_so_once_and_not_of_each_domain() {
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
    let subjects = || -> Vec<String> {
        let letters = world.letters.0.lock().unwrap();
        let text = |letter: &NewMessage| String::from_utf8_lossy(&letter.content).into_owned();
        let subject = |text: String| {
            text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
        };
        letters.iter().map(text).map(subject).collect()
    };
    let round = async |alerts: &mut usize| {
        world.clock.set(UnixTime(world.clock.now().0 + HOUR));
        // Without what is in the caches.
        live.replace(Arc::new(world.parts()));
        for name in ["partner.example", "a.example", "b.example", "c.example"] {
            let name = Domain::parse(name).unwrap();
            let (_, alert) = watcher.look(&name, Whose::Own).await.unwrap();
            *alerts += usize::from(alert.is_some());
        }
    };
    let mut alerts = 0;
    world.dns.tamper(Tampering::all(".", Act::Fail(rcode::SERVFAIL)));
    for _ in 0..4 {
        round(&mut alerts).await;
    }
    assert_eq!(
        (alerts, subjects()),
        (0, vec!["The gateway cannot look: gw.sender.example".into()])
    );
    world.dns.restore();
    round(&mut alerts).await;
    assert_eq!(alerts, 0);
    assert_eq!(subjects()[1..], ["Over: gw.sender.example"]);
}
