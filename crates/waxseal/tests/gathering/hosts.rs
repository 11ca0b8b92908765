//! MX, addresses and TLSA.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;
use waxseal::{
    gather::Dns,
    resolve::{Lookup, Mx},
};
use waxseal_core::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, FailureKind},
    facts::{Dane, MxFact, NoTlsa, Refused, StsFact},
};
use waxseal_lab::dns::{Act, Denial, Name, OptOut, Signing, rcode, rtype};

use super::*;

fn zones() -> Vec<Zone> {
    vec![
        Zone::new("test").signed(),
        Zone::new("d.test")
            .signed()
            .record("@", &Data::mx(20, "mx2.d.test"))
            .record("@", &Data::mx(10, "mx1.d.test"))
            .record("@", &Data::mx(30, "mx.plain.test"))
            .record("@", &Data::mx(40, "alias.d.test"))
            .record("@", &Data::mx(50, "out.d.test"))
            .record("@", &Data::mx(60, "back.plain.test"))
            .record("mx1", &a(1))
            .record("mx1", &Data::Aaaa("2001:db8::1".parse().unwrap()))
            .record("_25._tcp.mx1", &tlsa(3))
            .record("_587._tcp.mx1", &tlsa(3))
            .record("mx2", &a(2))
            .record("_25._tcp.mx2", &tlsa(1))
            .record("alias", &Data::Cname(Name::new("mx1.d.test")))
            .record("out", &Data::Cname(Name::new("mx.plain.test")))
            .record("_25._tcp.out", &tlsa(2)),
        Zone::new("implicit.test").signed().record("@", &a(3)).record("_25._tcp", &tlsa(3)),
        Zone::new("null.test").signed().record("@", &Data::mx(0, ".")),
        Zone::new("plain.test")
            .record("@", &Data::mx(10, "mx.plain.test"))
            .record("mx", &a(9))
            .record("_25._tcp.mx", &tlsa(3))
            .record("back", &Data::Cname(Name::new("mx1.d.test"))),
    ]
}

fn host<'f>(gathered: &'f Gathered, name: &str) -> &'f HostFacts {
    let found = gathered.facts.hosts.iter().find(|host| host.host.to_string() == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(&gathered.facts.hosts)))
}

/// Items 5, 8, 9 to 12 (RFC 7672 §2.2): each host on its own, in the order of preference.
#[tokio::test]
async fn each_host_has_its_own_facts() {
    let world = World::new(zones()).await;
    let gathered = world.gather("d.test").await;
    let MxFact::Found { authenticity, chain, .. } = &gathered.facts.mx else { panic!() };
    assert_eq!(*authenticity, Authenticity::Secure);
    let id = chain.unwrap();
    let blob = gathered.blobs.iter().find(|(other, _)| *other == id);
    assert_eq!(waxseal_core::evidence::BlobId::of(&blob.unwrap().1), id);
    let expected = [
        "mx1.d.test",
        "mx2.d.test",
        "mx.plain.test",
        "alias.d.test",
        "out.d.test",
        "back.plain.test",
    ];
    assert_eq!(names(&gathered.facts.hosts), expected);

    let mx1 = host(&gathered, "mx1.d.test");
    assert!(matches!(&mx1.dane, Dane::Usable { base, .. } if *base == domain("mx1.d.test")));
    assert_eq!(mx1.addresses.value().unwrap().len(), 2);
    assert!(matches!(&host(&gathered, "mx2.d.test").dane, Dane::Unusable { .. }));
    // A secure alias, all the way: asked at the expanded name, which is the SNI.
    let alias = host(&gathered, "alias.d.test");
    assert!(matches!(&alias.dane, Dane::Usable { base, .. } if *base == domain("mx1.d.test")));
    assert_eq!(alias.expanded, Some(domain("mx1.d.test")));
    // A secure alias into an unsigned zone: asked at the alias only.
    let out = host(&gathered, "out.d.test");
    assert!(matches!(&out.dane, Dane::Usable { base, .. } if *base == domain("out.d.test")));
    for unsigned in ["mx.plain.test", "back.plain.test"] {
        let dane = &host(&gathered, unsigned).dane;
        assert_eq!(*dane, Dane::Absent(NoTlsa::InsecureAddress), "{unsigned}");
    }
    assert_eq!(host(&gathered, "back.plain.test").expanded, None);
}

/// RFC 9276 §3.2: denials with many NSEC3 iterations count as insecure. The signed address of a host
/// and its TLSA records count all the same, though nobody signs that it has no IPv6.
#[tokio::test]
async fn a_denial_that_costs_too_much_takes_no_dane_away() {
    let costly = Signing {
        denial: Denial::Nsec3 { iterations: 150, salt: Vec::new(), opt_out: OptOut::No },
        ..Signing::default()
    };
    let zone = Zone::new("costly.test")
        .signed_with(costly)
        .record("@", &Data::mx(10, "mx.costly.test"))
        .record("mx", &a(1))
        .record("_25._tcp.mx", &tlsa(3));
    let world = World::new(vec![Zone::new("test").signed(), zone]).await;
    let gathered = world.gather("costly.test").await;
    let host = host(&gathered, "mx.costly.test");
    let Answer::Found { authenticity, .. } = &host.addresses else { panic!("{host:?}") };
    assert_eq!(*authenticity, Authenticity::Secure);
    assert!(matches!(host.dane, Dane::Usable { .. }), "{:?}", host.dane);
}

/// Item 9 (RFC 7672 §2.2.2), observed at the DNS: an insecure host is never asked for TLSA.
#[tokio::test]
async fn insecure_hosts_are_not_asked_for_tlsa() {
    let world = World::new(zones()).await;
    world.gather("plain.test").await;
    world.gather("d.test").await;
    assert!(world.asked("mx.plain.test") > 0);
    assert_eq!(world.asked("_25._tcp.mx.plain.test"), 0);
    assert_eq!(world.asked("_25._tcp.back.plain.test"), 0);
    assert!(world.asked("_25._tcp.mx1.d.test") > 0);
}

/// Items 1 to 3 (RFC 7672 §2.1.2), attacker on the path to the DNS: what he breaks is a failure,
/// never an absence.
#[tokio::test]
async fn broken_answers_are_failures() {
    let world = World::new(zones()).await;
    let acts =
        [Act::BreakSignatures, Act::StripSignatures, Act::Fail(rcode::SERVFAIL), Act::NxDomain];
    for act in acts {
        world.tamper(Tampering::only("d.test", rtype::MX, act.clone()));
        let gathered = world.gather("d.test").await;
        assert!(matches!(gathered.facts.mx, MxFact::Failed(_)), "MX {act:?}");
        assert!(gathered.facts.hosts.is_empty());

        world.tamper(Tampering::only("mx1.d.test", rtype::TLSA, act.clone()));
        let gathered = world.gather("d.test").await;
        assert!(
            matches!(host(&gathered, "mx1.d.test").dane, Dane::LookupFailed(_)),
            "TLSA {act:?}"
        );
        assert!(matches!(host(&gathered, "alias.d.test").dane, Dane::LookupFailed(_)));
        // Another host is not touched by it.
        assert!(matches!(host(&gathered, "mx2.d.test").dane, Dane::Unusable { .. }));
    }
    world.tamper(Tampering::only("mx2.d.test", rtype::A, Act::Fail(rcode::SERVFAIL)));
    let gathered = world.gather("d.test").await;
    let mx2 = host(&gathered, "mx2.d.test");
    let Answer::Failed(failure) = &mx2.addresses else { panic!("{mx2:?}") };
    assert_eq!(failure.kind, FailureKind::ServFail);
    assert!(matches!(mx2.dane, Dane::LookupFailed(_)));
    assert!(world.asked("_25._tcp.mx2.d.test") > 0);
}

/// Item 13 (RFC 7672 §2.2.3): an alias at the TLSA name is followed; the base domain, and with it
/// names and SNI, stays that of the host.
#[tokio::test]
async fn an_alias_of_the_tlsa_records_is_followed_and_the_base_stays() {
    let shared = Zone::new("shared.test").signed().record("_dane", &tlsa(3));
    let rolled = Zone::new("rolled.test")
        .signed()
        .record("@", &Data::mx(10, "mx.rolled.test"))
        .record("mx", &a(1))
        .record("_25._tcp.mx", &Data::Cname(Name::new("_dane.shared.test")));
    let world = World::new(zones().into_iter().chain([shared, rolled]).collect()).await;
    let gathered = world.gather("rolled.test").await;
    let mx = host(&gathered, "mx.rolled.test");
    let Dane::Usable { base, .. } = &mx.dane else { panic!("{:?}", mx.dane) };
    assert_eq!(*base, domain("mx.rolled.test"));
    assert_eq!(mx.expanded, None);
}

/// A failure is asked again soon; good facts are kept, and a burst of messages asks once.
#[tokio::test]
async fn facts_are_kept_while_they_hold() {
    let world = World::new(zones()).await;
    let gatherer = world.gatherer();
    let (destination, start) = (domain("d.test"), now());
    let (first, second) = tokio::join!(
        gatherer.gather(&destination, None, start),
        gatherer.gather(&destination, None, start)
    );
    assert_eq!(first, second);
    assert!(Arc::ptr_eq(&first.facts, &second.facts));
    let later = UnixTime(start.0 + 60);
    assert!(Arc::ptr_eq(&first.facts, &gatherer.gather(&destination, None, later).await.facts));
    let over = UnixTime(start.0 + 301);
    assert_eq!(gatherer.gather(&destination, None, over).await.facts.at, over);
    gatherer.forget(&destination);
    let again = gatherer.gather(&destination, None, later).await;
    assert_eq!(again.facts.at, later, "after a refusal the world is asked again");
}

/// DESIGN §10: where each answer is known, facts are put together in one go. Nothing is waited for,
/// so no thread has to be woken.
#[tokio::test]
async fn facts_from_known_answers_wait_for_nothing() {
    let world = World::new(zones()).await;
    let gatherer = world.gatherer();
    let (destination, start) = (domain("d.test"), now());
    let first = gatherer.gather(&destination, None, start).await;
    gatherer.forget(&destination);
    let mut anew = pin!(gatherer.gather(&destination, None, start));
    let Poll::Ready(anew) = anew.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits");
    };
    assert_eq!(anew.facts, first.facts);
    assert!(!Arc::ptr_eq(&anew.facts, &first.facts));
}

/// Whose addresses come only once those of another were asked for.
struct Stalling {
    dns: Resolver,
    host: Domain,
    until: Domain,
    asked: Notify,
}

impl Dns for Stalling {
    fn mx<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Mx>>> {
        Box::pin(self.dns.mx(name))
    }

    fn addresses<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<IpAddr>>> {
        Box::pin(async move {
            if *name == self.until {
                self.asked.notify_one();
            }
            if *name == self.host {
                self.asked.notified().await;
            }
            self.dns.addresses(name).await
        })
    }

    fn txt<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Vec<u8>>>> {
        Box::pin(self.dns.txt(name))
    }

    fn tlsa<'a>(&'a self, name: &'a Domain) -> Soon<'a, Lookup<Vec<Tlsa>>> {
        Box::pin(self.dns.tlsa(name))
    }
}

/// Hostile zone: a host whose name servers stall holds up none of the others, and the order stays
/// that of the preferences.
#[tokio::test]
async fn a_host_that_stalls_holds_up_no_other() {
    let world = World::new(zones()).await;
    let all = names(&world.gather("d.test").await.facts.hosts);
    let dns = Stalling {
        dns: world.resolver(),
        host: domain(&all[0]),
        until: domain(all.last().unwrap()),
        asked: Notify::new(),
    };
    let store: Arc<dyn PolicyStore> = Arc::clone(&world.store) as _;
    let gatherer = Gatherer::new(Settings::default(), Arc::new(dns), Arc::new(Nobody), store);
    let gathered = gatherer.gather(&domain("d.test"), None, now()).await;
    assert_eq!(names(&gathered.facts.hosts), all);
}

/// Item 62 (RFC 5321 §5.1, RFC 7505): null MX, no MX, no domain.
#[tokio::test]
async fn destinations_without_mx() {
    let world = World::new(zones()).await;
    let null = world.gather("null.test").await;
    assert!(matches!(null.facts.mx, MxFact::Null { authenticity: Authenticity::Secure, .. }));
    assert!(null.facts.hosts.is_empty());
    // Item 14 (RFC 7672 §2.2.2): DANE applies to the destination itself.
    let implicit = world.gather("implicit.test").await;
    assert!(matches!(implicit.facts.mx, MxFact::Implicit { absence: Absence::Secure, .. }));
    assert_eq!(names(&implicit.facts.hosts), ["implicit.test"]);
    assert!(matches!(implicit.facts.hosts[0].dane, Dane::Usable { .. }));
    let nowhere = world.gather("nowhere.test").await;
    assert!(matches!(nowhere.facts.mx, MxFact::NoDomain { absence: Absence::Secure, .. }));
}

/// Items 14, 15 (RFC 7672 §2.2.3): routes have their own port, and literals no DANE. DNS is not
/// asked for MX, and no policy is looked for.
#[tokio::test]
async fn routes_name_their_host() {
    let world = World::new(zones()).await;
    let store: Arc<dyn PolicyStore> = Arc::clone(&world.store) as _;
    let resolver = Arc::new(world.resolver());
    let gatherer = Gatherer::new(Settings::default(), resolver, Arc::new(Nobody), store);
    let target = RouteTarget {
        host: Peer::Name(domain("mx1.d.test")),
        port: 587,
        reach: Reach::Destination,
    };
    let routed = gatherer.gather(&domain("partner.test"), Some(&target), now()).await;
    assert_eq!((&routed.facts.mx, &routed.facts.sts), (&MxFact::Configured, &StsFact::NotAsked));
    assert!(matches!(routed.facts.hosts[0].dane, Dane::Usable { .. }));
    assert!(world.asked("_587._tcp.mx1.d.test") > 0);
    assert_eq!(world.asked("_25._tcp.mx1.d.test") + world.asked("partner.test"), 0);

    let target = RouteTarget {
        host: Peer::Literal([10, 0, 0, 1].into()),
        port: 25,
        reach: Reach::Destination,
    };
    let literal = gatherer.gather(&domain("partner.test"), Some(&target), now()).await;
    let host = &literal.facts.hosts[0];
    assert_eq!(host.dane, Dane::Absent(NoTlsa::Literal));
    assert_eq!(host.addresses.value().unwrap(), &vec![IpAddr::from([10, 0, 0, 1])]);
}

/// Hostile zone: MX hosts at addresses inside our network, at ourselves, and far too many of all.
#[tokio::test]
async fn hostile_zones_are_bounded_and_do_not_lead_inside() {
    let mut flood = Zone::new("flood.test").signed();
    for number in 0..40_u16 {
        flood.add("@", &Data::mx(number, &format!("mx{number}.flood.test")));
    }
    for last in 0..40 {
        flood.add("mx0", &a(last));
    }
    let inside = Zone::new("inside.test")
        .record("@", &Data::mx(10, "mx.inside.test"))
        .record("mx", &Data::A([127, 0, 0, 1].into()))
        .record("mx", &Data::A([10, 1, 2, 3].into()))
        .record("mx", &Data::Aaaa("::ffff:192.0.2.1".parse().unwrap()))
        .record("mx", &Data::Aaaa("fd00::1".parse().unwrap()));
    let world = World::new(vec![Zone::new("test").signed(), flood, inside]).await;

    let flood = world.gather("flood.test").await;
    assert_eq!(flood.facts.hosts.len(), 20);
    assert_eq!(flood.facts.hosts[0].addresses.value().unwrap().len(), 16);
    assert_eq!(world.asked("mx20.flood.test"), 0);

    let inside = world.gather("inside.test").await;
    let host = &inside.facts.hosts[0];
    assert_eq!(host.addresses.value(), Some(&vec![]));
    let refused: Vec<_> = host.refused.iter().map(|(_, why)| *why).collect();
    assert_eq!(refused.iter().filter(|why| **why == Refused::Private).count(), 2);
    assert_eq!(refused.iter().filter(|why| **why == Refused::Special).count(), 2);
    assert_eq!(host.dane, Dane::Absent(NoTlsa::NoAddress));
    // The administrator may mean such an address.
    let target = RouteTarget {
        host: Peer::Name(domain("mx.inside.test")),
        port: 25,
        reach: Reach::Destination,
    };
    let routed = world.gatherer().gather(&domain("inside.test"), Some(&target), now()).await;
    assert_eq!(routed.facts.hosts[0].addresses.value().unwrap().len(), 4);
}

/// Item 62 (RFC 5321 §5.1): the facts say which host we are, and leave none out; the plan cuts the
/// list there.
#[tokio::test]
async fn mail_does_not_come_back_to_us() {
    let world = World::new(zones()).await;
    let own = |names: &[&str], addresses: &[[u8; 4]]| Own {
        names: names.iter().map(|name| domain(name)).collect(),
        addresses: addresses.iter().map(|address| IpAddr::from(*address)).collect(),
    };
    let cases = [
        (own(&["mx2.d.test"], &[]), "mx2.d.test"),
        (own(&[], &[[192, 0, 2, 2]]), "mx2.d.test"),
        (own(&["mx1.d.test"], &[]), "mx1.d.test"),
    ];
    for (own, expected) in cases {
        let gatherer = world.gatherer_with(Settings { own, ..Settings::default() });
        let gathered = gatherer.gather(&domain("d.test"), None, now()).await;
        assert_eq!(gathered.facts.hosts.len(), 6);
        let is_own = |host: &&HostFacts| host.refused.iter().any(|(_, why)| *why == Refused::Own);
        let ours: Vec<_> = gathered.facts.hosts.iter().filter(is_own).collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].host, Peer::Name(domain(expected)));
        assert_eq!(ours[0].addresses.value(), Some(&vec![]));
        // Whoever looks at a domain of ours sends nothing, and mail learns nothing from that.
        let looking = gatherer.of_ours().gather(&domain("d.test"), None, now()).await;
        assert!(looking.facts.hosts.iter().all(|host| host.refused.is_empty()));
        let again = gatherer.gather(&domain("d.test"), None, now()).await;
        assert_eq!(again.facts.hosts.iter().filter(is_own).count(), 1);
    }
}

/// DESIGN §10: facts from memory for a destination with six MX cost at most 50 us. The best of many
/// rounds, so that a busy machine does not count.
#[tokio::test]
async fn facts_from_memory_meet_their_budget() {
    let world = World::new(zones()).await;
    let gatherer = world.gatherer();
    let (destination, start) = (domain("d.test"), now());
    let first = gatherer.gather(&destination, None, start).await;
    assert_eq!(first.facts.hosts.len(), 6);
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            let gathered = gatherer.gather(&destination, None, start).await;
            assert_eq!(gathered.facts.hosts.len(), 6);
        }
        best = best.min(begun.elapsed() / 100);
    }
    eprintln!("facts from memory: {best:?}");
    assert!(best <= Duration::from_micros(50), "{best:?}");
}
