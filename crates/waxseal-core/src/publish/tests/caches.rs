//! Doors that opened too early once: what nobody looked at before, what caches still hold.

use super::{
    doors::{World, announcement, ask, exchangers, has, host, view, waits},
    *,
};

#[test]
fn a_key_that_was_there_at_the_first_look_waits_a_day() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    // A set with a TTL of a day may have stood there until a moment before.
    let both = has(&[1, 2], 3_600);
    let items = ask(&host, std::slice::from_ref(&both), &mut memory, NOW);
    assert_eq!(waits(&items[0]), Some(later(DAY + 1)));
    assert!(items[0].because.contains("A GUESS: it was there at the first look"), "{items:?}");
    assert!(items[0].because.contains("its own is 3600 s"), "{items:?}");
    assert_eq!(items[0].guessed, Guessed::Ttl);
    // Looking once more changes nothing.
    let items = ask(&host, std::slice::from_ref(&both), &mut memory, later(7_300));
    assert_eq!(waits(&items[0]), Some(later(DAY + 1)));
    assert!(ask(&host, &[both], &mut memory, later(DAY + 1))[0].is_open());
    // Two of its own TTLs are longer than the guess: nothing is guessed then.
    let mut memory = HostMemory::default();
    let items = ask(&host, &[has(&[1, 2], 80_000)], &mut memory, NOW);
    assert_eq!((waits(&items[0]), items[0].guessed), (Some(later(160_001)), Guessed::No));
}

#[test]
fn a_first_look_at_some_of_the_servers_counts_only_for_what_they_lacked() {
    let silent = Seen::lost(How::Silent, "no answer");
    let both = has(&[1, 2], 60);
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    ask(&host, &[silent.clone(), silent.clone()], &mut memory, NOW);
    assert_eq!(memory.caches, Caches::default(), "nobody said anything");
    // The first server has the record already.
    ask(&host, &[both.clone(), silent], &mut memory, NOW);
    let items = ask(&host, &[both.clone(), both.clone()], &mut memory, later(10));
    assert_eq!(waits(&items[0]), Some(later(DAY + 1)));
    // A name server that was seen without it: its TTL is what counts.
    let mut memory = HostMemory::default();
    ask(&host, &[both.clone(), has(&[1], 600)], &mut memory, NOW);
    let items = ask(&host, &[both.clone(), both], &mut memory, later(10));
    assert_eq!(waits(&items[0]), Some(later(10 + 1_201)));
}

/// Attacker: whoever writes the zone. A set without end is no first look that opens anything, and the
/// file of what was seen does not grow with it.
#[test]
fn a_set_without_end_is_not_remembered_and_opens_nothing() {
    let value: Vec<Tlsa> = (0..2_000u32)
        .map(|nth| {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&nth.to_be_bytes());
            texts::end_entity(digest)
        })
        .chain([texts::end_entity([2; 32])])
        .collect();
    let ttl = Duration::from_secs(60);
    let seen = Seen::Records { value, ttl, authenticity: Authenticity::Secure };
    let (host, mut memory) = (host(&[], &[2]), HostMemory::default());
    let items = ask(&host, std::slice::from_ref(&seen), &mut memory, NOW);
    assert_eq!(waits(&items[0]), Some(later(DAY + 1)));
    assert!(!ask(&host, &[seen], &mut memory, later(DAY))[0].is_open());
    assert_eq!(memory.caches.first, None);
}

/// IPv6 from a machine without it.
#[test]
fn an_address_without_a_way_there_is_said_and_shuts_the_door_where_its_server_has_no_other() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    let far = |server: u8, named| ServerView {
        address: Some("2001:db8::53".parse().unwrap()),
        named,
        ..view(server, Seen::lost(How::NoRoute, "no way there from this machine"))
    };
    let both = [view(1, has(&[1, 2], 60)), far(1, Named::Zone)];
    gate::keys(&host, &[view(1, has(&[1], 60)), far(1, Named::Zone)], &mut memory, NOW);
    gate::keys(&host, &both, &mut memory, NOW);
    let items = gate::keys(&host, &both, &mut memory, later(121));
    assert!(
        items[0].is_open()
            && items[0].because.contains("on the only server address that could be asked"),
        "{items:?}"
    );
    let aside = "ns1.example.net (2001:db8::53): no way there from this machine";
    assert_eq!(items[0].not_asked, [aside]);
    // Of the second server nothing else is known.
    let alone = [view(1, has(&[1, 2], 60)), far(2, Named::ParentOnly)];
    let items = gate::keys(&host, &alone, &mut memory, later(122));
    assert_eq!(items[0].state, State::Unknown);
    let why = "ns2.example.net (2001:db8::53) [named by the parent zone only]";
    assert!(items[0].because.contains(why) && items[0].not_asked.is_empty(), "{items:?}");
    // The same for a policy.
    let only = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let mut world = World::new(Some(only.clone()), Some(&only), &["mx.example.com"]);
    let aside = |view: &ServerView<_>| ServerView {
        address: Some("2001:db8::53".parse().unwrap()),
        seen: Seen::lost(How::NoRoute, "no way"),
        ..view.clone()
    };
    let more: Vec<_> = world.facts.announced.iter().map(aside).collect();
    world.facts.announced.extend(more);
    let item = world.ask(Door::Id, NOW);
    assert!(item.is_open() && item.not_asked.len() == 2, "{item:?}");
    assert!(item.because.starts_with("the policy is served, and its id"), "{item:?}");
    // And for the host that serves it.
    world.facts.unasked = vec![("2001:db8::80".parse().unwrap(), "no way".to_owned())];
    let item = world.ask(Door::Id, NOW);
    let aside = "mta-sts.example.com (2001:db8::80): no way";
    assert!(item.is_open() && item.not_asked[2] == aside, "{item:?}");
    assert!(item.because.starts_with("the policy is served at each address that could be asked,"));
    let item = world.ask(Door::Mx, NOW);
    assert_eq!(item.not_asked.len(), 3, "{item:?}");
    world.facts.mx[0].seen = Seen::lost(How::NoRoute, "no way");
    assert_eq!(world.ask(Door::Id, NOW).state, State::Unknown);
}

#[test]
fn keys_in_use_alone_are_not_known_to_be_covered_where_servers_are_silent() {
    let (host, mut memory) = (host(&[1], &[]), HostMemory::default());
    let silent = Seen::lost(How::Silent, "no answer within 10 s");
    let items = ask(&host, &[silent.clone(), silent], &mut memory, NOW);
    assert!(items.len() == 1 && items[0].state == State::Unknown, "{items:?}");
    assert!(items[0].because.contains("ns1.example.net (192.0.2.1): no answer"), "{items:?}");
    let bogus = Seen::lost(How::Unproven, "RRSIG expired");
    let items = ask(&host, &[bogus], &mut memory, NOW);
    assert!(items[0].state == State::Unknown && items[0].because.contains("RRSIG"), "{items:?}");
    assert_eq!(ask(&host, &[], &mut memory, NOW)[0].state, State::Unknown);
    // And one that is silent beside one that lacks the record does not hide that.
    let silent = Seen::lost(How::Silent, "no answer");
    let items = ask(&host, &[has(&[3], 60), silent], &mut memory, NOW);
    assert!(items.len() == 1 && items[0].because.contains("IN USE"), "{items:?}");
    assert!(ask(&host, &[has(&[1], 60)], &mut memory, NOW).is_empty());
}

/// A world whose announcement has this TTL.
fn announced(id: &sts::PolicyId, ttl: u64) -> Vec<ServerView<Vec<Vec<u8>>>> {
    let mut views = announcement(Some(id.as_str()));
    for view in &mut views {
        if let Seen::Records { ttl: given, .. } = &mut view.seen {
            *given = Duration::from_secs(ttl);
        }
    }
    views
}

#[test]
fn the_ttl_of_the_old_announcement_counts_at_every_look() {
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let narrow = policy(sts::Mode::Enforce, &["old.example.com"]);
    let mut world = World::new(Some(both.clone()), Some(&narrow), &["old.example.com"]);
    world.facts.announced = announced(&texts::policy_id(&narrow), DAY);
    world.ask(Door::Mx, NOW);
    world.facts.served = Ok(both.clone());
    world.facts.announced = announced(&texts::policy_id(&both), 300);
    let until = Some(later(11 + 2 * DAY));
    assert_eq!(waits(&world.ask(Door::Mx, later(10))), until);
    assert_eq!(waits(&world.ask(Door::Mx, later(310))), until);
    assert_eq!(waits(&world.ask(Door::Mx, later(DAY))), until);
    assert!(world.ask(Door::Mx, later(11 + 2 * DAY)).is_open());
}

#[test]
fn a_ttl_of_the_announcement_that_was_lowered_a_moment_ago_is_not_outrun() {
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let narrow = policy(sts::Mode::Enforce, &["old.example.com"]);
    let mut world = World::new(Some(both.clone()), Some(&narrow), &["old.example.com"]);
    world.facts.announced = announced(&texts::policy_id(&narrow), DAY);
    world.ask(Door::Mx, NOW);
    world.facts.announced = announced(&texts::policy_id(&narrow), 300);
    world.ask(Door::Mx, later(10));
    world.facts.served = Ok(both.clone());
    world.facts.announced = announced(&texts::policy_id(&both), 300);
    assert_eq!(waits(&world.ask(Door::Mx, later(20))), Some(later(11 + DAY)));
}

#[test]
fn a_policy_that_was_announced_before_the_first_look_waits_a_day() {
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let mut world = World::new(Some(both.clone()), Some(&both), &["old.example.com"]);
    let item = world.ask(Door::Mx, NOW);
    assert_eq!(waits(&item), Some(later(DAY + 1)));
    assert!(item.because.contains("at the first look already"), "{item:?}");
}

#[test]
fn no_id_is_announced_of_a_policy_without_a_live_mx_host() {
    let narrow = policy(sts::Mode::Enforce, &["new.example.com"]);
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let mut world = World::new(Some(narrow.clone()), Some(&narrow), &["old.example.com"]);
    // Not announced, and announced already: both say what is wrong.
    for announced in [announcement(None), announcement(Some(&texts::policy_id(&narrow)))] {
        world.facts.announced = announced;
        let item = world.ask(Door::Id, NOW);
        assert!(waits(&item).is_none(), "{item:?}");
        assert!(item.because.contains("old.example.com has MX records"), "{item:?}");
    }
    // Nor is it to be served: that is said before "serve it".
    let mut unserved = World::new(Some(narrow.clone()), Some(&both), &["old.example.com"]);
    unserved.facts.served = Ok(both.clone());
    let item = unserved.ask(Door::Id, NOW);
    assert!(item.because.starts_with("old.example.com has MX records"), "{item:?}");
    assert!(item.because.ends_with("another policy is still served"), "{item:?}");
    assert!(item.to_do[0].starts_with("add it to `mx`"), "{item:?}");
    // One server of two still has the old host.
    let mut world = World::new(Some(narrow.clone()), Some(&narrow), &["new.example.com"]);
    world.facts.mx.extend(exchangers(&["old.example.com"], 60));
    assert!(!world.ask(Door::Id, NOW).is_open());
    // A server that does not answer may have it.
    world.facts.mx[1].seen = Seen::lost(How::Silent, "no answer");
    let mut fresh = World::new(Some(narrow.clone()), Some(&narrow), &["new.example.com"]);
    fresh.facts.mx.clone_from(&world.facts.mx);
    assert_eq!(fresh.ask(Door::Id, NOW).state, State::Unknown);
    assert!(
        World::new(Some(both.clone()), Some(&both), &["old.example.com"])
            .ask(Door::Id, NOW)
            .is_open()
    );
    // Without MX records the domain is its own mail host (RFC 5321 §5.1).
    let mut alone = World::new(Some(narrow.clone()), Some(&narrow), &["new.example.com"]);
    alone.facts.mx[0].seen = Seen::Absent { ttl: HOUR };
    let item = alone.ask(Door::Id, NOW);
    assert!(item.because.contains("example.com has no MX record"), "{item:?}");
    alone.facts.mx = exchangers(&["new.example.com"], 60);
    assert_eq!(waits(&alone.ask(Door::Id, NOW)), Some(later(3_601)), "caches know of none");
    // Taking a policy back turns no mail away.
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    assert!(
        World::new(Some(none.clone()), Some(&none), &["x.example"]).ask(Door::Id, NOW).is_open()
    );
}

#[test]
fn an_mx_host_that_caches_hold_stays_in_the_policy() {
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let narrow = policy(sts::Mode::Enforce, &["new.example.com"]);
    let mut world = World::new(Some(both.clone()), Some(&both), &["old.example.com"]);
    world.facts.mx = exchangers(&["old.example.com"], 3_600);
    world.ask(Door::Id, NOW);
    // The MX records change, and `mx` shrinks right after.
    world.facts.mx = exchangers(&["new.example.com"], 60);
    world.facts.wanted = Some(narrow.clone());
    world.facts.served = Ok(narrow);
    let item = world.ask(Door::Id, later(100));
    assert_eq!(waits(&item), Some(later(3_601)));
    assert!(item.because.contains("caches may hold MX records that name it"), "{item:?}");
    assert!(world.ask(Door::Id, later(3_601)).is_open());
    assert_eq!(world.memory.mx.len(), 1, "what nobody holds is forgotten");
}

/// It was in the old policy, so it had MX records once; and who knows until when.
#[test]
fn an_mx_host_that_only_the_old_policy_still_names_keeps_the_id_back_for_a_day() {
    let old = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let new = policy(sts::Mode::Enforce, &["new.example.com"]);
    let mut world = World::new(Some(new.clone()), Some(&old), &["new.example.com"]);
    assert!(!world.ask(Door::Id, NOW).is_open());
    // The new file is served.
    world.facts.served = Ok(new.clone());
    let item = world.ask(Door::Id, later(60));
    assert_eq!(waits(&item), Some(later(DAY)));
    assert!(item.because.contains("old.example.com is not in the policy"), "{item:?}");
    assert!(world.ask(Door::Id, later(DAY)).is_open());
    // Who looks only after the old file is gone is told what nobody can know.
    let mut world = World::new(Some(new.clone()), Some(&new), &["new.example.com"]);
    let item = world.ask(Door::Id, NOW);
    assert!(item.is_open() && item.because.contains("before the first look"), "{item:?}");
    assert!(!world.ask(Door::Id, later(DAY)).because.contains("before the first look"));
}

/// Attacker: whoever writes the zone lists MX hosts without end.
#[test]
fn mx_hosts_without_end_are_not_remembered_and_open_nothing() {
    let only = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let mut world = World::new(Some(only.clone()), Some(&only), &[]);
    let many: Vec<String> = (0..3_000).map(|nth| format!("m{nth}.example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.facts.mx = exchangers(&many, 60);
    assert!(!world.ask(Door::Id, NOW).is_open());
    assert!(world.memory.mx.len() <= 256, "{}", world.memory.mx.len());
}

#[test]
fn an_old_policy_that_was_never_seen_is_waited_out_to_the_longest_age_there_is() {
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    let year = 31_557_600;
    let mut world = World::new(Some(none.clone()), Some(&none), &["mx.example.com"]);
    let item = world.ask(Door::Removal, NOW);
    assert_eq!(waits(&item), Some(later(year)));
    assert!(item.because.contains("the old policy was never seen"), "{item:?}");
    assert!(!world.ask(Door::Removal, later(year - 1)).is_open());
    // And so it is when the configuration is empty again, and the record gone too soon.
    world.facts.wanted = None;
    assert_eq!(waits(&world.ask(Door::Removal, later(60))), Some(later(year)));
    world.facts.announced = announcement(None);
    assert_eq!(waits(&world.ask(Door::Removal, later(70))), Some(later(year)));
    assert!(world.ask(Door::Removal, later(year)).is_open());
    // Who knows the old policy can say so.
    let mut world = World::new(Some(none.clone()), Some(&none), &["mx.example.com"]);
    world.facts.max_age = Some(Duration::from_secs(DAY));
    let item = world.ask(Door::Removal, NOW);
    assert_eq!(waits(&item), Some(later(DAY)));
    assert!(item.because.contains("configured"), "{item:?}");
}

/// Senders take any address of the policy host: what one of them serves binds, whatever the others say, and
/// for as long as it says.
#[test]
fn a_policy_that_binds_at_one_address_is_not_forgotten_for_a_fault_at_another() {
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    let binding = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let age = binding.max_age.as_secs();
    let mut world = World::new(None, Some(&binding), &["mx.example.com"]);
    world.facts.served = Err(StsFailure::Fetch("at 192.0.2.81: 404".into()));
    world.facts.each = vec![binding.clone()];
    assert!(!world.ask_all(Door::Removal, NOW).is_open());
    world.facts.announced = announcement(None);
    assert!(!world.ask_all(Door::Removal, later(60)).is_open(), "senders still follow it");

    // On the way out: `none` everywhere, and then the old one again at one address.
    let mut world = World::new(Some(none.clone()), Some(&none), &["mx.example.com"]);
    world.memory.longest_max_age = age;
    assert_eq!(waits(&world.ask(Door::Removal, NOW)), Some(later(age)));
    world.facts.each = vec![none.clone(), binding.clone()];
    world.facts.served = Ok(binding.clone());
    assert!(!world.ask_all(Door::Removal, later(60)).is_open());
    assert_eq!(waits(&world.ask_all(Door::Removal, later(60))), None, "the time does not run");

    // The first look at a policy to be replaced: its hosts are remembered, whatever the other address says.
    let new = policy(sts::Mode::Enforce, &["new.example.com"]);
    let mut world = World::new(Some(new), Some(&binding), &["new.example.com"]);
    world.facts.served = Err(StsFailure::Fetch("at 192.0.2.81: 404".into()));
    world.facts.each = vec![binding];
    world.ask_all(Door::Mx, NOW);
    assert!(world.memory.mx.contains_key(&name("mx.example.com")), "{:?}", world.memory.mx);
}
