//! What holds for every combination of facts (promises P1, P3, P5).

use proptest::{prelude::*, sample::select};

use super::world::{
    ASKS, DANE, DaneIs, FLOORS, MEMORIES, MX, MxIs, NOW, STS, StsIs, World, facts, host, memory,
};
use crate::{
    channel::{Demand, Floor, Level, TrustFirst},
    decide::{Chosen, Need, Obstacle, Plan, Route, plan, transport},
    dns::Absence,
    envelope::TlsAsk,
    facts::{Facts, StsFact},
    memory::Memory,
};

prop_compose! {
    fn any_facts()(
        mx in select(&MX[..]),
        dane in select(&DANE[..]),
        sts in select(&STS[..]),
        more in prop::collection::vec((select(&DANE[..]), 0_u16..3), 0..4),
    ) -> Facts {
        let mut facts = facts(mx, dane, sts);
        for (index, (dane, preference)) in more.into_iter().enumerate() {
            facts.hosts.push(host(&format!("mx{index}.example.net"), preference, dane));
        }
        facts
    }
}

prop_compose! {
    fn any_world()(
        facts in any_facts(),
        floor in select(&FLOORS[..]),
        ask in select(&ASKS[..]),
        remembered in select(&MEMORIES[..]),
        first in select(&[TrustFirst::Yes, TrustFirst::No][..]),
        tried in prop::option::of(0_u64..1_000_000),
    ) -> World {
        let mut world = World::new(floor, facts);
        world.ask.tls = ask;
        world.memory = memory(remembered);
        world.terms.trust.first_policy = first;
        world.short_since = tried.map(|ago| NOW.before(std::time::Duration::from_secs(ago)));
        world
    }
}

fn decide(world: &World) -> Result<Chosen, Obstacle> {
    transport(&world.ground())
}

fn need(world: &World) -> Option<Need> {
    decide(world).ok().map(|chosen| chosen.need)
}

/// Whether what `more` decides is at least what `less` decides: no host at all is the most.
fn is_at_least(more: &Result<Chosen, Obstacle>, less: &Result<Chosen, Obstacle>) -> bool {
    match (more, less) {
        (Err(_), _) => true,
        (Ok(_), Err(_)) => false,
        (Ok(more), Ok(less)) => more.need.covers(less.need) || more.level == Level::Dane,
    }
}

proptest! {
    #[test]
    fn no_route_is_below_the_floor(world in any_world()) {
        for route in world.plan().routes {
            if let Route::Host(host) = route {
                prop_assert!(host.level.meets(world.verdict.floor, host.trust_first));
                prop_assert_eq!(host.floor, world.verdict.floor);
            }
        }
    }

    #[test]
    fn nothing_published_or_remembered_lowers_the_floor(world in any_world()) {
        let mut bare = world.clone();
        bare.memory = Memory::default();
        bare.facts.sts = StsFact::Absent { absence: Absence::Unconfirmed };
        bare.facts.hosts[0].dane = DaneIs::Denied.fact("mx.example.net");
        let floor_alone = decide(&bare);
        if let (Ok(with), Ok(without)) = (decide(&world), floor_alone) {
            let floor = [Floor::Qualified, Floor::Authenticated, Floor::Encrypted, Floor::None]
                .into_iter()
                .find(|floor| without.level.meets(*floor, world.terms.trust.first_policy));
            prop_assert!(with.level.meets(floor.unwrap(), world.terms.trust.first_policy));
        }
    }

    #[test]
    fn a_published_demand_is_always_in_the_demand(world in any_world()) {
        prop_assume!(world.ask.tls != TlsAsk::TlsNotRequired);
        let Some(need) = need(&world) else { return Ok(()) };
        if matches!(world.facts.hosts[0].dane, crate::facts::Dane::Usable { .. }) {
            prop_assert!(need.covers(Need::DANE));
        }
        if matches!(world.facts.hosts[0].dane, crate::facts::Dane::Unusable { .. }) {
            prop_assert!(need.covers(Need::TLS));
        }
    }

    #[test]
    fn a_failed_tlsa_lookup_never_yields_less_than_an_answer(
        world in any_world(), answer in select(&DANE[..]),
    ) {
        prop_assume!(world.ask.tls != TlsAsk::TlsNotRequired);
        let mut failed = world.clone();
        failed.facts.hosts[0].dane = DaneIs::Failed.fact("mx.example.net");
        let mut answered = world;
        answered.facts.hosts[0].dane = answer.fact("mx.example.net");
        prop_assert!(is_at_least(&decide(&failed), &decide(&answered)));
    }

    #[test]
    fn a_failed_policy_lookup_never_yields_less_than_an_answer(
        world in any_world(), answer in select(&STS[..]),
    ) {
        prop_assume!(world.ask.tls != TlsAsk::TlsNotRequired);
        let mut failed = world.clone();
        failed.facts.sts = StsIs::UnknownNew.fact();
        let failed = decide(&failed);
        let mut answered = world;
        answered.facts.sts = answer.fact();
        // DANE under a signed MX is not for MTA-STS to override (RFC 8461 §2).
        prop_assert!(failed.is_err() || failed.is_ok_and(|chosen| chosen.level == Level::Dane));
    }

    #[test]
    fn testing_is_never_weaker_than_no_policy(world in any_world()) {
        let with = |sts: StsIs, memory: &Memory| {
            let mut world = world.clone();
            world.facts.sts = sts.fact();
            world.memory = memory.clone();
            decide(&world)
        };
        let nothing = Memory::default();
        prop_assert_eq!(with(StsIs::Testing, &nothing), with(StsIs::Absent, &nothing));
        let off = with(StsIs::Off, &world.memory);
        prop_assert_eq!(with(StsIs::Testing, &world.memory), off);
    }

    #[test]
    fn memory_only_raises(world in any_world()) {
        let mut blank = world.clone();
        blank.memory = Memory::default();
        prop_assert!(is_at_least(&decide(&world), &decide(&blank)));
    }

    #[test]
    fn require_tls_only_raises(world in any_world()) {
        let mut asking = world.clone();
        asking.ask.tls = TlsAsk::RequireTls;
        let mut plain = world;
        plain.ask.tls = TlsAsk::Nothing;
        prop_assert!(is_at_least(&decide(&asking), &decide(&plain)));
        if let Ok(chosen) = decide(&asking) {
            prop_assert!(matches!(chosen.demand, Demand::Authenticate(_)));
        }
    }

    #[test]
    fn the_same_facts_give_the_same_plan(world in any_world(), seed in any::<u64>()) {
        let first = plan(&world.case(), seed, NOW);
        let recorded = serde_json::to_vec(&(&world.facts, &first)).unwrap();
        let (facts, kept): (Facts, Plan) = serde_json::from_slice(&recorded).unwrap();
        prop_assert_eq!(&facts, &world.facts);
        let mut again = world.clone();
        again.facts = facts;
        prop_assert_eq!(kept, plan(&again.case(), seed, NOW));
    }

    #[test]
    fn a_plan_ends_in_one_last_word(world in any_world(), seed in any::<u64>()) {
        let plan = plan(&world.case(), seed, NOW);
        let hosts = plan.routes.iter().filter(|route| matches!(route, Route::Host(_))).count();
        prop_assert_eq!(hosts + 1, plan.routes.len());
        prop_assert!(!matches!(plan.routes.last(), Some(Route::Host(_))));
        let preference = |route: &Route| match route {
            Route::Host(host) => {
                world.facts.hosts.iter().find(|facts| facts.host == host.peer).unwrap().preference
            }
            Route::Wait { .. } | Route::Hold { .. } | Route::GiveUp { .. } => u16::MAX,
        };
        prop_assert!(plan.routes.is_sorted_by_key(preference));
    }

    /// The attacker on the path, at first contact: forges an unsigned MX with a host of their own.
    #[test]
    fn a_forged_mx_never_reaches_authenticated_by_its_own_name(
        dane in select(&DANE[..]), sts in select(&STS[..]),
    ) {
        let world = World::new(Floor::Authenticated, facts(MxIs::Unsigned, dane, sts));
        if let Ok(Chosen { demand: Demand::Authenticate(vouchers), level, .. }) = decide(&world) {
            let own = vouchers.iter().any(|voucher| {
                let names = voucher.names.iter().all(|name| name.as_str() == "example.com");
                matches!(voucher.by, crate::channel::By::Anchor) && names
            });
            let listed = matches!(level, Level::Sts | Level::StsFirst);
            prop_assert!(own || listed);
        }
    }
}

/// The attacker on the path, who forged the MX and the policy of a first contact: neither memory
/// nor a floor of our own makes up for a policy that does not count yet. (Found by
/// `memory_only_raises`.)
#[test]
fn require_tls_waits_for_a_policy_that_counts_whatever_else_is_demanded() {
    for floor in [Floor::None, Floor::Encrypted, Floor::Authenticated] {
        for remembered in MEMORIES {
            let mut world = World::new(floor, facts(MxIs::Unsigned, DaneIs::Denied, StsIs::First));
            world.ask.tls = TlsAsk::RequireTls;
            world.terms.trust.first_policy = TrustFirst::No;
            world.memory = memory(remembered);
            assert!(decide(&world).is_err(), "{floor:?} {remembered:?}");
        }
    }
    let mut trusting = World::new(Floor::None, facts(MxIs::Unsigned, DaneIs::Denied, StsIs::First));
    trusting.ask.tls = TlsAsk::RequireTls;
    assert!(decide(&trusting).is_ok_and(|chosen| chosen.need.covers(Need::STS)));
}
