//! What others who get the reports of a domain can do to the alarms about it.

use waxseal_lab::dns::rcode;

use super::*;

/// Where a stranger says whether it takes the DMARC reports about `partner.example` (RFC 9990 §4).
const CONSENT: &str = "partner.example._report._dmarc.reports.example";

/// The same domain as ever, whose reports go to a stranger, who takes them.
fn reported(now: &Identity) -> Tree {
    let mut zone = Zone::new("partner.example").signed();
    zone.add("partner.example.", &Data::mx(10, HOST));
    zone.add("mx", &Data::A("192.0.2.1".parse().unwrap()));
    zone.add("mx", &Data::Aaaa("2001:db8::1".parse().unwrap()));
    let data = now.spki_sha256.clone();
    zone.add("_25._tcp.mx", &Data::Tlsa { usage: 3, selector: 1, matching: 1, data });
    zone.add("_dmarc", &Data::txt("v=DMARC1; p=reject; rua=mailto:dmarc@reports.example"));
    let stranger = Zone::new("reports.example")
        .signed()
        .record("partner.example._report._dmarc", &Data::txt("v=DMARC1"));
    Tree::build(vec![Zone::new("example").signed(), zone, stranger]).unwrap()
}

/// Attacker: whoever gets the reports of a domain that was attacked, or whoever is on the path to their
/// servers, who lets their consent be unknown from then on. The attack is over all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_consent_of_a_stranger_leaves_no_alarm_open() {
    let now = identity(&ServerKey::generate().unwrap());
    let world = World::start(&now).await;
    world.dns.replace(reported(&now));
    assert_eq!(world.look(0).await.1, None);
    world.attacker.begin(Method::StripStartTls);
    world.look(HOUR).await;
    let alert = world.look(60).await.1.unwrap();
    assert_eq!(alert.class(), Some(Class::LikelyAttack), "{alert:?}");
    world.attacker.begin(Method::Absent);
    world.dns.tamper(Tampering::all(CONSENT, Act::Fail(rcode::SERVFAIL)));
    let asked = || {
        let all = world.dns.questions().into_iter();
        all.filter(|question| question.name.trim_end_matches('.') == CONSENT).count()
    };
    let before = asked();
    let (history, _) = world.look(HOUR).await;
    assert!(asked() > before, "the stranger was asked, and could not say");
    assert_eq!(
        history.looks.back().unwrap().certainty,
        waxseal::watch::Sight::Whole,
        "{history:?}"
    );
    let over = world.look(HOUR).await.1.expect("it is over");
    assert!(over.raised.is_empty() && !over.cleared.is_empty(), "{over:?}");
    // What the comparison rests on is another thing: as long as it is not known, nothing is over.
    world.attacker.begin(Method::StripStartTls);
    for later in [24 * HOUR, 60] {
        world.look(later).await;
    }
    world.attacker.begin(Method::Absent);
    world.dns.tamper(Tampering::only("partner.example", rtype::MX, Act::Fail(rcode::SERVFAIL)));
    for _ in 0..2 {
        let (history, _) = world.look(HOUR).await;
        assert_eq!(history.looks.back().unwrap().certainty, waxseal::watch::Sight::Partial);
        assert!(history.raised().next().is_some(), "{history:?}");
    }
}
