//! Own domains whose mail this gateway takes itself.

use waxseal_core::{assess::Delivery, facts::Refused};

use super::*;

const GATEWAY: &str = "gw.sender.example";

/// `partner.example`, ours, with this gateway as its mail host at this address.
fn tree(here: &Identity, address: [u8; 4]) -> Tree {
    let mut zone = Zone::new("partner.example").signed();
    zone.add("partner.example.", &Data::mx(10, GATEWAY));
    let mut sender = Zone::new("sender.example").signed();
    sender.add("gw", &Data::A(address.into()));
    let data = here.spki_sha256.clone();
    sender.add("_25._tcp.gw", &Data::Tlsa { usage: 3, selector: 1, matching: 1, data });
    Tree::build(vec![Zone::new("example").signed(), zone, sender]).unwrap()
}

async fn world(address: [u8; 4]) -> World {
    let key = ServerKey::generate().unwrap();
    let here = Identity::self_signed(&key, &[GATEWAY], Validity::Current).unwrap();
    let world = World::start(&here).await;
    world.dns.replace(tree(&here, address));
    world
}

/// The gateway is the mail host of a domain of ours: it is looked at as others see it, nothing is called
/// broken, and somebody who changes its key on the way is told. Mail to ourselves stays refused.
#[tokio::test(flavor = "multi_thread")]
async fn this_gateway_is_looked_at_where_it_takes_our_mail() {
    let world = world([192, 0, 2, 1]).await;
    for _ in 0..4 {
        let (history, alert) = world.look(HOUR).await;
        assert_eq!(alert, None);
        assert_eq!(history.looks.back().unwrap().level, Some(Level::Dane), "{history:?}");
    }
    let parts = world.parts();
    let mail = parts.gatherer.gather(&domain(), None, world.clock.now()).await;
    assert_eq!(mail.facts.hosts[0].refused[0].1, Refused::Own);
    let other =
        Identity::self_signed(&ServerKey::generate().unwrap(), &[GATEWAY], Validity::Current);
    let works = StartTls::Works(other.unwrap());
    world.mx.become_like(Personality::new(GATEWAY, works));
    let alert = world.look(HOUR).await.1.expect("no key matches");
    assert!(kinds(&alert).iter().any(|(kind, _)| *kind == Kind::TlsaMatch), "{alert:?}");
}

/// From inside, the gateway sees itself at a private address: what others see is unknown, and told as
/// nothing else, neither of the domain nor of the way out.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_sees_itself_inside_calls_nothing_broken() {
    let world = world([10, 0, 0, 1]).await;
    for _ in 0..8 {
        let (history, alert) = world.look(HOUR).await;
        assert_eq!(alert, None);
        assert_eq!(history.looks.back().unwrap().delivery, Delivery::Unknown);
    }
    assert_eq!(world.letters.0.lock().unwrap().len(), 0);
}
