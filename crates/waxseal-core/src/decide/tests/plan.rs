//! Whole plans: order, last word, reasons.

use std::time::Duration;

use super::world::{
    DaneIs, HOUR, MxIs, NOW, StsIs, World, absent, domain, facts, failure, found, host, memory,
    peer,
};
use crate::{
    channel::{By, Demand, Floor, Level, Pins, TrustFirst},
    decide::{Fallback, Lack, Origin, Plan, RequireTls, Route},
    dns::{Absence, Answer, Authenticity, FailureKind},
    envelope::TlsAsk,
    facts::{MxFact, Peer, Refused, StsFact, StsFailure},
    org::{Agreement, Families, Honour, OnLoss, Reach, RouteTls},
    reply::EnhancedCode,
};

fn last(plan: &Plan) -> &Route {
    plan.routes.last().unwrap()
}

fn peers(plan: &Plan) -> Vec<String> {
    plan.routes
        .iter()
        .filter_map(|route| match route {
            Route::Host(host) => Some(host.peer.to_string()),
            Route::Wait { .. } | Route::Hold { .. } | Route::GiveUp { .. } => None,
        })
        .collect()
}

fn host_of(plan: &Plan) -> &crate::decide::HostRoute {
    match &plan.routes[0] {
        Route::Host(host) => host,
        route => panic!("{route:?}"),
    }
}

fn world(floor: Floor, mx: MxIs, dane: DaneIs, sts: StsIs) -> World {
    World::new(floor, facts(mx, dane, sts))
}

fn plain() -> World {
    world(Floor::Encrypted, MxIs::Unsigned, DaneIs::NoZone, StsIs::Absent)
}

#[test]
fn a_null_mx_is_given_up_at_once() {
    let mut world = plain();
    world.facts.mx = MxFact::Null { authenticity: Authenticity::Insecure, chain: None };
    world.facts.hosts.clear();
    let plan = world.plan();
    assert!(matches!(last(&plan), Route::GiveUp { code: EnhancedCode(5, 1, 10), .. }));
    assert_eq!(plan.routes.len(), 1);
}

#[test]
fn a_domain_that_does_not_exist_is_given_up_unless_it_took_mail_lately() {
    let mut world = plain();
    world.facts.hosts.clear();
    world.facts.mx = MxFact::NoDomain { absence: Absence::Unconfirmed, chain: None };
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 1, 2), .. }));

    // Somebody on the path forges NXDOMAIN for a partner.
    world.memory = memory(Some(Level::Encrypted));
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
    world.first_seen.denied = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&world.plan()), Route::GiveUp { .. }));
    world.first_seen.denied = None;
    world.facts.mx = MxFact::NoDomain { absence: Absence::Secure, chain: None };
    assert!(matches!(last(&world.plan()), Route::GiveUp { .. }));
}

/// Somebody on the path breaks the MX answer: nothing is sent, whatever the floor.
#[test]
fn a_failed_mx_lookup_waits_and_never_falls_back() {
    for kind in [FailureKind::Bogus, FailureKind::ServFail, FailureKind::Timeout] {
        let mut world = plain();
        world.verdict.floor = Floor::None;
        world.ask.tls = TlsAsk::TlsNotRequired;
        world.facts.mx = MxFact::Failed(failure(kind));
        world.facts.hosts.clear();
        world.short_since = Some(NOW.before(HOUR * 40));
        let plan = world.plan();
        assert!(matches!(last(&plan), Route::Wait { code: EnhancedCode(4, 4, 3), .. }));
        assert!(peers(&plan).is_empty());
        assert!(plan.why_not_higher.is_some());
    }
}

#[test]
fn hosts_are_tried_by_preference_and_equal_ones_in_a_seeded_order() {
    let mut world = plain();
    world.facts.hosts = [("c", 20), ("a", 10), ("b", 10), ("d", 5)]
        .map(|(name, preference)| host(&format!("{name}.example.net"), preference, DaneIs::NoZone))
        .to_vec();
    let orders: std::collections::BTreeSet<_> = (0..64)
        .map(|seed| peers(&crate::decide::plan(&world.case(), seed, NOW)).join(" "))
        .collect();
    let a_first = "d.example.net a.example.net b.example.net c.example.net".to_owned();
    let b_first = "d.example.net b.example.net a.example.net c.example.net".to_owned();
    assert_eq!(orders, [a_first, b_first].into());
}

/// RFC 7672 §2.2.1: no jump to a worse host only because it has TLSA.
#[test]
fn preference_beats_security() {
    let mut world = world(Floor::Encrypted, MxIs::Signed, DaneIs::NoZone, StsIs::Absent);
    world.facts.hosts.push(host("mx2.example.net", 20, DaneIs::Usable));
    assert_eq!(peers(&world.plan()), ["mx.example.net", "mx2.example.net"]);
}

#[test]
fn one_broken_host_does_not_break_the_domain() {
    let mut world = world(Floor::Encrypted, MxIs::Signed, DaneIs::Failed, StsIs::Absent);
    world.facts.hosts.push(host("mx2.example.net", 20, DaneIs::Usable));
    let plan = world.plan();
    assert_eq!(peers(&plan), ["mx2.example.net"]);
    assert!(plan.because.iter().any(|because| because.fact.contains("mx.example.net")));
}

#[test]
fn families_take_turns() {
    let mut world = plain();
    let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8::3"];
    let addresses = addresses.map(|address| address.parse().unwrap()).to_vec();
    world.facts.hosts[0].addresses = found(addresses, Authenticity::Insecure);
    let mut order = |families| {
        world.terms.trust.families = families;
        let plan = world.plan();
        let addresses = host_of(&plan).addresses.iter().map(|a| a.ip().to_string());
        addresses.collect::<Vec<_>>().join(" ")
    };
    let turns = order(Families::SixThenFour);
    assert_eq!(turns, "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3");
    assert!(order(Families::FourThenSix).starts_with("192.0.2.1 2001:db8::1"));
    assert_eq!(order(Families::OnlyFour), "192.0.2.1 192.0.2.2");
}

#[test]
fn an_endless_mx_set_is_cut() {
    let mut world = plain();
    world.facts.hosts =
        (0..200).map(|n| host(&format!("mx{n}.example.net"), n, DaneIs::NoZone)).collect();
    let many = (1..=200_u8).map(|n| std::net::IpAddr::from([192, 0, 2, n])).collect();
    world.facts.hosts[0].addresses = found(many, Authenticity::Insecure);
    let plan = world.plan();
    assert_eq!(peers(&plan).len(), 16);
    assert_eq!(host_of(&plan).addresses.len(), 8);
}

#[test]
fn mail_never_comes_back_to_us() {
    let mut world = plain();
    world.facts.hosts = [("a", 5), ("us", 10), ("b", 10), ("c", 20)]
        .map(|(name, preference)| host(&format!("{name}.example.net"), preference, DaneIs::NoZone))
        .to_vec();
    world.facts.hosts[1].refused = vec![("192.0.2.9".parse().unwrap(), Refused::Own)];
    assert_eq!(peers(&world.plan()), ["a.example.net"]);
    world.facts.hosts.remove(0);
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 4, 6), .. }));
}

/// Attacker: on the path of DNS. He answers for an unsigned host name with our own address, so that
/// the mail is returned and what we remember of the signed hosts is forgotten. Neither happens:
/// what we remember stands, and the mail waits as long as patience does.
#[test]
fn a_forged_address_of_ours_takes_nothing_back() {
    let mut world = plain();
    world.facts.mx = MxIs::Signed.fact();
    world.memory = memory(Some(Level::Dane));
    let signed = host("mx.example.net", 10, DaneIs::Usable);
    let mut trap = host("trap.example.net", 10, DaneIs::NoZone);
    trap.addresses = found(Vec::new(), Authenticity::Insecure);
    trap.refused = vec![("192.0.2.9".parse().unwrap(), Refused::Own)];
    world.facts.hosts = vec![trap, signed];
    assert_eq!(world.memory.refresh(&world.facts, NOW), world.memory);
    assert!(matches!(last(&world.plan()), Route::Wait { code: EnhancedCode(4, 4, 6), .. }));
    world.first_seen.denied = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 4, 6), .. }));
    // Signed, it is no forgery.
    world.first_seen.denied = None;
    world.facts.hosts[0].addresses = found(Vec::new(), Authenticity::Secure);
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 4, 6), .. }));
}

/// The lookup of the better host fails, the other one has no TLS: nothing is returned while the
/// better one may come back.
#[test]
fn nothing_is_returned_while_the_address_of_a_host_is_unknown() {
    let mut world = world(Floor::Authenticated, MxIs::Unsigned, DaneIs::NoZone, StsIs::Absent);
    world.verdict.fallback = Fallback::Bounce;
    world.refuse_since(NOW.before(HOUR * 9));
    assert!(matches!(last(&world.plan()), Route::GiveUp { .. }));
    let mut lost = host("mx0.example.net", 5, DaneIs::NoZone);
    lost.addresses = Answer::Failed(failure(FailureKind::ServFail));
    world.facts.hosts.push(lost);
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
}

#[test]
fn hosts_without_usable_addresses_wait_and_never_fall_back() {
    let mut world = plain();
    world.short_since = Some(NOW.before(HOUR * 40));
    world.facts.hosts[0].addresses = absent();
    assert!(matches!(last(&world.plan()), Route::Wait { code: EnhancedCode(4, 4, 4), .. }));
    world.facts.hosts[0].addresses = Answer::Failed(failure(FailureKind::ServFail));
    assert!(matches!(last(&world.plan()), Route::Wait { code: EnhancedCode(4, 4, 3), .. }));
}

#[test]
fn the_fallback_comes_after_patience_and_not_before() {
    let mut world = plain();
    let mut at = |tried: Option<Duration>| {
        world.short_since = tried.map(|ago| NOW.before(ago));
        last(&world.plan()).clone()
    };
    assert!(matches!(at(None), Route::Wait { code: EnhancedCode(4, 7, 10), .. }));
    let just_before = HOUR * 4 - Duration::from_secs(1);
    assert!(matches!(at(Some(just_before)), Route::Wait { .. }));
    assert!(matches!(at(Some(HOUR * 4)), Route::Hold { code: EnhancedCode(5, 7, 10), .. }));
}

#[test]
fn mail_of_machines_is_never_held_or_bounced_for_its_floor() {
    for fallback in [Fallback::Hold, Fallback::Bounce] {
        let mut world = plain();
        world.origin = Origin::Automatic;
        world.verdict.fallback = fallback;
        world.short_since = Some(NOW.before(HOUR * 90));
        assert!(matches!(last(&world.plan()), Route::Wait { .. }));
    }
}

#[test]
fn a_bounce_needs_two_observations_half_an_hour_apart() {
    let mut world = plain();
    world.verdict.fallback = Fallback::Bounce;
    world.verdict.patience = Duration::ZERO;
    world.refuse_since(NOW.before(Duration::from_mins(29)));
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
    world.refuse_since(NOW.before(Duration::from_mins(30)));
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 7, 10), .. }));
}

/// RFC 8461 §5, §5.1: a certificate is being replaced, and the policy with it. Nothing is returned
/// before it was asked since the first failure whether there is a newer policy; that its record is
/// gone, or that it cannot be fetched, is an answer too.
#[test]
fn a_bounce_needs_a_policy_that_was_asked_for_again() {
    let mut world = world(Floor::Encrypted, MxIs::Unsigned, DaneIs::NoZone, StsIs::Cached);
    world.verdict.fallback = Fallback::Bounce;
    world.refuse_since(NOW.before(HOUR * 5));
    world.facts.at = NOW.before(HOUR * 5);
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));

    let mut asked = world.clone();
    asked.facts.at = NOW;
    assert!(matches!(last(&asked.plan()), Route::GiveUp { code: EnhancedCode(5, 7, 5), .. }));

    let StsFact::Policy { refresh_failed, .. } = &mut world.facts.sts else { panic!() };
    *refresh_failed = Some(StsFailure::Fetch("connection refused".into()));
    assert!(matches!(last(&world.plan()), Route::GiveUp { .. }));
}

/// The domain dropped MTA-STS and moved its mail; our copy of the policy lists none of the hosts,
/// and lives for months. After patience the mail is returned.
#[test]
fn a_forgotten_policy_does_not_keep_mail_for_days() {
    let mut world = world(Floor::Encrypted, MxIs::Unsigned, DaneIs::NoZone, StsIs::Unlisted);
    world.verdict.fallback = Fallback::Bounce;
    assert_eq!(world.plan().lack, Lack::Channel);
    world.short_since = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 7, 5), .. }));
}

/// Attacker on the path: he breaks the TLSA of one host and drops packets to the other. A bounce comes
/// half an hour after patience, in which a channel of the other host would have been seen twice.
#[test]
fn a_host_that_is_never_reached_does_not_put_off_a_bounce_for_ever() {
    let mut world = world(Floor::Encrypted, MxIs::Signed, DaneIs::Failed, StsIs::Absent);
    world.facts.hosts.push(host("mx2.example.net", 20, DaneIs::Usable));
    world.verdict.fallback = Fallback::Bounce;
    world.short_since = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
    world.short_since = Some(NOW.before(HOUR * 4 + Duration::from_mins(30)));
    let Route::GiveUp { reason, .. } = last(&world.plan()).clone() else { panic!() };
    assert!(reason.contains("the TLSA records of mx.example.net"), "{reason}");
}

/// Attacker on the path of DNS: he forges `MX 0 .` for an unsigned domain that we know, so that its
/// mail is returned at once. It waits as long as patience does.
#[test]
fn a_forged_null_mx_returns_no_mail_of_a_domain_that_we_know() {
    let mut blank = plain();
    blank.facts.mx = MxFact::Null { authenticity: Authenticity::Insecure, chain: None };
    blank.facts.hosts.clear();
    let mut remembering = blank.clone();
    remembering.memory = memory(Some(Level::Encrypted));
    let mut listing = blank.clone();
    listing.facts.sts = StsIs::Cached.fact();
    for mut world in [remembering, listing] {
        assert!(matches!(last(&world.plan()), Route::Wait { code: EnhancedCode(4, 1, 10), .. }));
        assert_eq!(world.plan().lack, Lack::Destination);
        world.refuse_since(NOW.before(HOUR * 9));
        assert!(matches!(last(&world.plan()), Route::Wait { .. }), "a channel is another matter");
        world.first_seen.denied = Some(NOW.before(HOUR * 4));
        assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 1, 10), .. }));
        world.first_seen.denied = None;
        world.facts.mx = MxFact::Null { authenticity: Authenticity::Secure, chain: None };
        assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 1, 10), .. }));
    }
}

/// DNS fails for hours, and then the first channel that is seen falls short: that is one look, and
/// patience has not begun. The same with a look-up of TLSA that failed for as long, which is an
/// obstacle, and with NXDOMAIN.
#[test]
fn a_failed_lookup_uses_up_no_patience_and_is_no_look_at_the_channel() {
    let mut world = plain();
    world.facts.hosts[0].addresses = Answer::Failed(failure(FailureKind::ServFail));
    assert_eq!(world.plan().lack, Lack::Nothing);
    world.facts.hosts[0].addresses = absent();
    assert_eq!(world.plan().lack, Lack::Nothing);
    world.facts.hosts[0] = host("mx.example.net", 10, DaneIs::NoZone);
    world.facts.hosts[0].dane = crate::facts::Dane::LookupFailed(failure(FailureKind::Unreachable));
    assert_eq!(world.plan().lack, Lack::Nothing);
    world.facts.mx = MxFact::Failed(failure(FailureKind::Timeout));
    assert_eq!(world.plan().lack, Lack::Nothing);

    let mut looked = plain();
    assert_eq!(looked.plan().lack, Lack::Nothing);
    looked.verdict.fallback = Fallback::Bounce;
    looked.short_since = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&looked.plan()), Route::Wait { .. }), "no connection was looked at yet");
    looked.facts.mx = MxFact::NoDomain { absence: Absence::Unconfirmed, chain: None };
    looked.facts.hosts.clear();
    looked.memory = memory(Some(Level::Encrypted));
    assert!(matches!(last(&looked.plan()), Route::Wait { .. }));
}

/// RFC 8689 §4.2.1. Attacker on the path: he resets one connection. A channel that was refused is
/// looked at twice; a keyword that is missing over a good channel is the end at once.
#[test]
fn requiretls_is_returned_for_a_refused_channel_at_the_second_look() {
    let mut world = world(Floor::None, MxIs::Signed, DaneIs::Usable, StsIs::Absent);
    world.ask.tls = TlsAsk::RequireTls;
    let apart = Duration::from_mins(30);
    let doubt = |world: &World| match last(&world.plan()) {
        Route::GiveUp { code: EnhancedCode(5, 7, 10), doubt, .. } => *doubt,
        route => panic!("{route:?}"),
    };
    assert_eq!(doubt(&world), Some(NOW + apart));
    world.refuse_since(NOW.before(apart / 2));
    assert_eq!(doubt(&world), Some(NOW + apart / 2));
    world.refuse_since(NOW.before(apart));
    assert_eq!(doubt(&world), None);
}

/// Our own resolver is broken: holding or returning all mail after four hours would be ours.
#[test]
fn without_working_validation_nothing_is_held_or_bounced() {
    for kind in [FailureKind::SignaturesStripped, FailureKind::Unreachable] {
        for fallback in [Fallback::Hold, Fallback::Bounce] {
            let mut world = plain();
            world.verdict.fallback = fallback;
            world.short_since = Some(NOW.before(HOUR * 40));
            world.facts.hosts[0].dane = crate::facts::Dane::LookupFailed(failure(kind));
            assert!(matches!(last(&world.plan()), Route::Wait { code: EnhancedCode(4, 7, 5), .. }));
        }
    }
}

#[test]
fn an_unknown_policy_is_waited_for_until_a_known_time() {
    let world = world(Floor::Encrypted, MxIs::Unsigned, DaneIs::NoZone, StsIs::UnknownNew);
    let Route::Wait { until, .. } = last(&world.plan()).clone() else { panic!() };
    assert_eq!(until, Some(NOW + Duration::from_mins(50)));
    let mut stricter = world;
    stricter.verdict.floor = Floor::Authenticated;
    let Route::Wait { until, .. } = last(&stricter.plan()).clone() else { panic!() };
    assert_eq!(until, None);
}

#[test]
fn an_expired_policy_in_old_facts_is_not_taken_for_none() {
    let mut world = world(Floor::Encrypted, MxIs::Unsigned, DaneIs::NoZone, StsIs::Cached);
    let StsFact::Policy { expires, .. } = &mut world.facts.sts else { panic!() };
    *expires = NOW;
    assert!(peers(&world.plan()).is_empty());
}

#[test]
fn requiretls_is_returned_when_no_host_can_ever_do_it() {
    let mut world = plain();
    world.ask.tls = TlsAsk::RequireTls;
    assert!(matches!(last(&world.plan()), Route::GiveUp { code: EnhancedCode(5, 7, 10), .. }));
    // A host that could not be judged may still do it.
    world.facts.hosts.push(host("mx2.example.net", 20, DaneIs::Failed));
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
    // A null sender's message never ends for the sake of the keyword (RFC 8689 §5).
    world.facts.hosts.pop();
    world.origin = Origin::Automatic;
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
}

#[test]
fn requiretls_goes_with_the_route() {
    let mut world = world(Floor::None, MxIs::Signed, DaneIs::Usable, StsIs::Absent);
    assert_eq!(host_of(&world.plan()).require_tls, RequireTls::No);
    world.ask.tls = TlsAsk::RequireTls;
    assert_eq!(host_of(&world.plan()).require_tls, RequireTls::Yes);
}

#[test]
fn dane_names_are_those_of_the_rfc() {
    let mut world = world(Floor::Encrypted, MxIs::Signed, DaneIs::Usable, StsIs::Absent);
    world.facts.mx = MxFact::Found {
        authenticity: Authenticity::Secure,
        expanded: Some(domain("example.org")),
        chain: None,
    };
    let names = |world: &World| match &host_of(&world.plan()).demand {
        Demand::Authenticate(vouchers) => {
            let names: Vec<_> = vouchers[0].names.iter().map(ToString::to_string).collect();
            names.join(" ")
        }
        demand => panic!("{demand:?}"),
    };
    assert_eq!(names(&world), "mx.example.net example.com example.org");
    world.facts.mx = MxIs::Unsigned.fact();
    assert_eq!(names(&world), "mx.example.net");
    // Without MX records the host is the domain itself, and an alias of it may hold the records.
    world.facts.hosts[0].host = peer("example.com");
    world.facts.mx = MxFact::Implicit { absence: Absence::Unconfirmed, chain: None };
    assert_eq!(names(&world), "mx.example.net example.com");
    world.facts.mx = MxFact::Configured;
    assert_eq!(names(&world), "mx.example.net example.com");
}

#[test]
fn the_server_name_is_the_tlsa_base_domain() {
    let mut world = world(Floor::Encrypted, MxIs::Signed, DaneIs::Usable, StsIs::Absent);
    world.facts.hosts[0].dane = DaneIs::Usable.fact("real.example.org");
    assert_eq!(host_of(&world.plan()).sni, Some(domain("real.example.org")));
    world.facts.hosts[0].dane = DaneIs::Denied.fact("x.example");
    assert_eq!(host_of(&world.plan()).sni, Some(domain("mx.example.net")));
}

#[test]
fn a_pin_joins_what_is_published_and_brings_its_level() {
    let mut world = world(Floor::Qualified, MxIs::Unsigned, DaneIs::Usable, StsIs::UnknownNew);
    let pins = Pins { keys: vec![[1; 32]], authorities: Vec::new() };
    world.terms.agreement = Some(Agreement { pins: Some(pins), ..Agreement::default() });
    let plan = world.plan();
    let host = host_of(&plan);
    assert_eq!(host.level, Level::Pinned);
    let Demand::Authenticate(vouchers) = &host.demand else { panic!() };
    assert!(matches!(vouchers[0].by, By::Pin(_)));
    assert!(matches!(vouchers[1].by, By::Dane { .. }));
    assert_eq!(plan.why_not_higher, None);
}

#[test]
fn a_smarthost_is_anchored_at_its_configured_name_and_speaks_for_the_first_hop_only() {
    let mut world = plain();
    world.facts.mx = MxFact::Configured;
    world.facts.sts = StsFact::NotAsked;
    world.terms.agreement = Some(Agreement {
        names: vec![domain("relay.example.org")],
        pins: None,
        demand: RouteTls::Authenticated,
        reach: Reach::FirstHopOnly,
    });
    world.facts.hosts[0].host = Peer::Literal("192.0.2.1".parse().unwrap());
    let plan = world.plan();
    assert_eq!(plan.reach, Reach::FirstHopOnly);
    let host = host_of(&plan);
    assert_eq!((host.level, &host.sni), (Level::Anchored, &Some(domain("relay.example.org"))));
    let Demand::Authenticate(vouchers) = &host.demand else { panic!() };
    assert_eq!(vouchers[0].names, [domain("relay.example.org")]);
}

/// RFC 8461 §3.4: the policy of a smarthost raises what the administrator asked of it; a host that
/// it does not list is no host of it; and a policy that cannot be found out holds no mail where
/// the administrator demands as much already.
#[test]
fn the_policy_of_a_smarthost_raises_what_was_configured() {
    let mut world = world(Floor::None, MxIs::Unsigned, DaneIs::NoZone, StsIs::Cached);
    world.facts.mx = MxFact::Configured;
    let agreed = |demand| {
        let names = vec![domain("mx.example.net")];
        Some(Agreement { names, pins: None, demand, reach: Reach::FirstHopOnly })
    };
    world.terms.agreement = agreed(RouteTls::Opportunistic);
    let plan = world.plan();
    assert_eq!(host_of(&plan).level, Level::Sts);
    assert!(matches!(host_of(&plan).demand, Demand::Authenticate(_)));
    world.facts.sts = StsIs::UnknownNew.fact();
    let plan = world.plan();
    assert!(matches!(plan.routes.as_slice(), [Route::Wait { .. }]), "a policy may be hidden");
    world.terms.agreement = agreed(RouteTls::Authenticated);
    assert_eq!(host_of(&world.plan()).level, Level::Anchored);
    world.facts.sts = StsIs::Unlisted.fact();
    assert_eq!(world.plan().routes.len(), 1);
}

/// `trust_first_policy = false`: an attacker at first contact could have hidden another policy.
#[test]
fn a_distrusted_first_policy_needs_a_name_of_its_own() {
    let mut world = world(Floor::Authenticated, MxIs::Unsigned, DaneIs::NoZone, StsIs::First);
    world.terms.trust.first_policy = TrustFirst::No;
    let plan = world.plan();
    let Demand::Authenticate(vouchers) = &host_of(&plan).demand else { panic!() };
    assert_eq!(vouchers.len(), 2);
    assert_eq!(host_of(&plan).level, Level::Anchored);
    world.verdict.floor = Floor::None;
    world.ask.tls = TlsAsk::RequireTls;
    assert!(matches!(last(&world.plan()), Route::Wait { .. }));
}

/// Somebody took STARTTLS, TLSA or the policy away since yesterday.
#[test]
fn what_was_achieved_before_holds_up_to_patience_then_falls_back() {
    let mut world = plain();
    world.verdict.floor = Floor::None;
    world.memory = memory(Some(Level::Dane));
    let plan = world.plan();
    assert!(peers(&plan).is_empty());
    assert!(matches!(last(&plan), Route::Wait { code: EnhancedCode(4, 7, 5), .. }));
    world.short_since = Some(NOW.before(HOUR * 4));
    assert!(matches!(last(&world.plan()), Route::Hold { .. }));
    world.terms.trust.on_loss = OnLoss::Alarm;
    assert_eq!(peers(&world.plan()), ["mx.example.net"]);
}

#[test]
fn only_the_lab_can_ignore_what_is_published() {
    let mut world = world(Floor::None, MxIs::Signed, DaneIs::Failed, StsIs::Unlisted);
    assert!(peers(&world.plan()).is_empty());
    world.terms.trust.honour = Honour::Nothing;
    assert_eq!(host_of(&world.plan()).demand, Demand::Opportunistic);
}

#[test]
fn every_result_says_why_it_is_not_higher() {
    let why = |mx, dane, sts| world(Floor::Encrypted, mx, dane, sts).plan().why_not_higher;
    assert_eq!(why(MxIs::Signed, DaneIs::Usable, StsIs::Absent), None);
    assert_eq!(
        why(MxIs::Signed, DaneIs::NoZone, StsIs::Testing).as_deref(),
        Some("the zone of mx.example.net is unsigned; its MTA-STS policy is in testing")
    );
    assert_eq!(
        why(MxIs::Unsigned, DaneIs::Usable, StsIs::Absent).as_deref(),
        Some(
            "mx.example.net publishes TLSA but the MX records of example.com are unsigned; \
             there is no MTA-STS policy"
        )
    );
    assert_eq!(
        why(MxIs::Signed, DaneIs::Denied, StsIs::First).as_deref(),
        Some("mx.example.net publishes no TLSA records; its MTA-STS policy was not known before")
    );
    assert!(why(MxIs::Signed, DaneIs::Failed, StsIs::Absent).unwrap().contains("no valid"));
}

#[test]
fn an_implicit_mx_is_the_domain_itself() {
    let mut world = world(Floor::Authenticated, MxIs::Signed, DaneIs::Usable, StsIs::Absent);
    world.facts.mx = MxFact::Implicit { absence: Absence::Secure, chain: None };
    world.facts.hosts[0] = host("example.com", 0, DaneIs::Usable);
    let plan = world.plan();
    assert_eq!(
        (host_of(&plan).peer.clone(), host_of(&plan).level),
        (peer("example.com"), Level::Dane)
    );
    world.facts.mx = MxFact::Implicit { absence: Absence::Unconfirmed, chain: None };
    assert_eq!(host_of(&world.plan()).level, Level::Anchored);
}
