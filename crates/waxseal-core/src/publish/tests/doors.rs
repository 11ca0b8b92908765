//! When something new may be used or announced: a key once every server has had its record long
//! enough, a policy once it is served, an MX host once the policy names it.

use super::*;

pub(super) fn key(digest: u8) -> Key {
    Key { algorithm: "ECDSA P-256".to_owned(), spki_sha256: [digest; 32] }
}

pub(super) fn host(current: &[u8], next: &[u8]) -> HostKeys {
    HostKeys {
        host: name("mx.example.com"),
        current: current.iter().map(|digest| key(*digest)).collect(),
        next: next.iter().map(|digest| key(*digest)).collect(),
        issuers: Vec::new(),
    }
}

pub(super) fn view<T>(server: u8, seen: Seen<T>) -> ServerView<T> {
    let address = Some(Ipv4Addr::new(192, 0, 2, server).into());
    let server = name(&format!("ns{server}.example.net"));
    ServerView { server, named: Named::Zone, address, seen }
}

pub(super) fn has(digests: &[u8], ttl: u64) -> Seen<Vec<Tlsa>> {
    Seen::Records {
        value: digests.iter().map(|digest| texts::end_entity([*digest; 32])).collect(),
        ttl: Duration::from_secs(ttl),
        authenticity: Authenticity::Secure,
    }
}

pub(super) fn ask(
    host: &HostKeys,
    seen: &[Seen<Vec<Tlsa>>],
    memory: &mut HostMemory,
    now: UnixTime,
) -> Vec<Item> {
    let views: Vec<_> = (1u8..).zip(seen).map(|(nth, seen)| view(nth, seen.clone())).collect();
    gate::keys(host, &views, memory, now)
}

pub(super) fn waits(item: &Item) -> Option<UnixTime> {
    match item.state {
        State::Waiting { until } => until,
        State::Open | State::Unknown => panic!("{item:?}"),
    }
}

#[test]
fn a_new_key_waits_for_every_server_and_two_ttls() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    let both = has(&[1, 2], 600);
    let items = ask(&host, &[both.clone(), has(&[1], 600)], &mut memory, NOW);
    assert_eq!(waits(&items[0]), None);
    assert!(items[0].because.contains("missing at ns2.example.net (192.0.2.2)"), "{items:?}");
    // From now on it is everywhere.
    let everywhere = [both.clone(), both];
    let items = ask(&host, &everywhere, &mut memory, later(50));
    assert_eq!(waits(&items[0]), Some(later(50 + 1_201)));
    assert!(!ask(&host, &everywhere, &mut memory, later(1_250))[0].is_open());
    let items = ask(&host, &everywhere, &mut memory, later(1_251));
    assert!(items.len() == 1 && items[0].is_open(), "{items:?}");
}

#[test]
fn a_record_that_went_away_counts_anew() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    ask(&host, &[has(&[1, 2], 60)], &mut memory, NOW);
    ask(&host, &[has(&[1], 60)], &mut memory, later(100));
    let items = ask(&host, &[has(&[1, 2], 60)], &mut memory, later(200));
    assert_eq!(waits(&items[0]), Some(later(321)));
}

#[test]
fn the_ttl_of_what_stood_there_before_counts() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    ask(&host, &[has(&[1], 86_400)], &mut memory, NOW);
    // The administrator lowered the TTL together with the new record: old caches do not know that.
    let items = ask(&host, &[has(&[1, 2], 60)], &mut memory, later(10));
    assert_eq!(waits(&items[0]), Some(later(11 + 2 * 86_400)));
    // The same for a name that was denied.
    let mut memory = HostMemory::default();
    ask(&host, &[Seen::Absent { ttl: HOUR }], &mut memory, NOW);
    let items = ask(&host, &[has(&[1, 2], 60)], &mut memory, later(10));
    assert_eq!(waits(&items[0]), Some(later(11 + 7_200)));
}

#[test]
fn a_ttl_that_was_lowered_a_moment_ago_is_not_outrun() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    ask(&host, &[has(&[1], 3_600)], &mut memory, NOW);
    // First the TTL, then the record: caches may hold the first set until 3610.
    ask(&host, &[has(&[1], 60)], &mut memory, later(10));
    let items = ask(&host, &[has(&[1, 2], 60)], &mut memory, later(20));
    assert_eq!(waits(&items[0]), Some(later(3_611)));
    assert!(ask(&host, &[has(&[1, 2], 60)], &mut memory, later(3_611))[0].is_open());
}

#[test]
fn a_server_that_does_not_answer_opens_no_door_and_starts_no_clock_anew() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    let (old, good) = (has(&[1], 60), has(&[1, 2], 60));
    ask(&host, &[old.clone(), old], &mut memory, NOW);
    ask(&host, &[good.clone(), good.clone()], &mut memory, NOW);
    let silent = Seen::Failed("no answer within 10 s".to_owned());
    let items = ask(&host, &[good.clone(), silent], &mut memory, later(500));
    assert_eq!(items[0].state, State::Unknown);
    assert!(items[0].because.contains("ns2.example.net (192.0.2.2): no answer"), "{items:?}");
    assert!(ask(&host, &[good.clone(), good], &mut memory, later(501))[0].is_open());
    // Nobody to ask at all.
    assert_eq!(ask(&host, &[], &mut memory, later(502))[0].state, State::Unknown);
}

#[test]
fn unsigned_bogus_and_unauthoritative_answers_open_no_door() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    let Seen::Records { value, ttl, .. } = has(&[1, 2], 60) else { panic!() };
    let unsigned = Seen::Records { value, ttl, authenticity: Authenticity::Insecure };
    for (seen, why) in
        [(unsigned, "not signed"), (Seen::Unusable("RRSIG expired".to_owned()), "RRSIG expired")]
    {
        ask(&host, std::slice::from_ref(&seen), &mut memory, NOW);
        let items = ask(&host, &[seen], &mut memory, later(1_000_000));
        assert!(!items[0].is_open() && items[0].because.contains(why), "{items:?}");
    }
}

#[test]
fn each_key_has_its_own_door() {
    let (host, mut memory) = (host(&[1], &[2, 3]), HostMemory::default());
    ask(&host, &[has(&[1], 60)], &mut memory, NOW);
    ask(&host, &[has(&[1, 2], 60)], &mut memory, NOW);
    let items = ask(&host, &[has(&[1, 2, 3], 60)], &mut memory, later(121));
    assert!(items[0].is_open(), "{items:?}");
    assert_eq!(waits(&items[1]), Some(later(242)));
    // A key that is no longer asked about is forgotten.
    let mut few = host.clone();
    few.next.truncate(1);
    ask(&few, &[has(&[1, 2], 60)], &mut memory, later(122));
    assert_eq!(memory.keys.len(), 1);
}

#[test]
fn a_key_in_use_without_a_record_is_said_first() {
    let mut memory = HostMemory::default();
    let mut host = host(&[1], &[2]);
    let items = ask(&host, &[has(&[2], 60)], &mut memory, NOW);
    assert!(items[0].because.contains("IN USE"), "{items:?}");
    assert_eq!(items.len(), 2);
    // An issuer's record covers it.
    host.issuers = vec![key(7)];
    let Seen::Records { mut value, ttl, authenticity } = has(&[2], 60) else { panic!() };
    value.push(texts::issuer([7; 32]));
    let seen = Seen::Records { value, ttl, authenticity };
    assert_eq!(ask(&host, &[seen], &mut memory, NOW).len(), 1);
    // Nothing published at all is no outage.
    host.issuers.clear();
    let items = ask(&host, &[Seen::Absent { ttl: HOUR }], &mut HostMemory::default(), NOW);
    assert!(items[0].because.contains("no TLSA record is published yet"), "{items:?}");
}

// === the gate for policies ===

pub(super) struct World {
    pub(super) facts: PolicyFacts,
    pub(super) memory: PolicyMemory,
}

impl World {
    /// `wanted` is served and announced, with these MX records.
    pub(super) fn new(wanted: Option<Policy>, served: Option<&Policy>, mx: &[&str]) -> Self {
        let announced = served.map(texts::policy_id);
        let facts = PolicyFacts {
            domain: name("example.com"),
            wanted,
            served: served.cloned().ok_or_else(|| "404".to_owned()),
            announced: announcement(announced.as_deref()),
            mx: exchangers(mx, 600),
            max_age: None,
        };
        Self { facts, memory: PolicyMemory::default() }
    }

    pub(super) fn ask(&mut self, door: Door, now: UnixTime) -> Item {
        let items = gate::policy(&self.facts, &mut self.memory, now);
        items.into_iter().find(|item| item.door == door).unwrap()
    }
}

pub(super) fn exchangers(hosts: &[&str], ttl: u64) -> Vec<ServerView<Vec<Domain>>> {
    let value = hosts.iter().map(|host| name(host)).collect();
    let ttl = Duration::from_secs(ttl);
    vec![view(1, Seen::Records { value, ttl, authenticity: Authenticity::Insecure })]
}

pub(super) fn announcement(id: Option<&str>) -> Vec<ServerView<Vec<Vec<u8>>>> {
    let ttl = Duration::from_secs(300);
    let seen = match id {
        Some(id) => {
            let value = vec![format!("v=STSv1; id={id}").into_bytes()];
            Seen::Records { value, ttl, authenticity: Authenticity::Insecure }
        }
        None => Seen::Absent { ttl },
    };
    vec![view(1, seen.clone()), view(2, seen)]
}

#[test]
fn the_policy_is_served_before_its_id_is_announced() {
    let (old, new) = (
        policy(sts::Mode::Testing, &["mx.example.com"]),
        policy(sts::Mode::Enforce, &["mx.example.com"]),
    );
    let mut world = World::new(Some(new.clone()), Some(&old), &["mx.example.com"]);
    let item = world.ask(Door::Id, NOW);
    assert!(!item.is_open() && item.because.contains("serve the new file first"), "{item:?}");
    // The new id with the old file: senders would keep the old one under it.
    world.facts.announced = announcement(Some(&texts::policy_id(&new)));
    let item = world.ask(Door::Id, NOW);
    assert!(!item.is_open() && item.because.contains("before its policy"), "{item:?}");
    world.facts.announced = announcement(Some(&texts::policy_id(&old)));
    world.facts.served = Ok(new);
    let item = world.ask(Door::Id, NOW);
    assert!(item.is_open() && item.because.contains("may be published now"), "{item:?}");
    world.facts.served = Err("mta-sts.example.com has no address".to_owned());
    assert!(world.ask(Door::Id, NOW).because.contains("has no address"));
}

#[test]
fn mx_records_change_after_a_policy_with_all_of_them() {
    let both = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let narrow = policy(sts::Mode::Enforce, &["new.example.com"]);
    // A policy without the host that is still in DNS.
    let mut world = World::new(Some(narrow.clone()), Some(&narrow), &["old.example.com"]);
    let item = world.ask(Door::Mx, NOW);
    assert!(!item.is_open() && item.because.contains("old.example.com has MX records"), "{item:?}");
    let mut world = World::new(Some(both.clone()), Some(&narrow), &["old.example.com"]);
    assert!(world.ask(Door::Mx, NOW).because.contains("not served and announced yet"));
    world.facts.served = Ok(both.clone());
    world.facts.announced = announcement(Some(&texts::policy_id(&both)));
    assert_eq!(waits(&world.ask(Door::Mx, later(10))), Some(later(611)));
    assert!(!world.ask(Door::Mx, later(610)).is_open(), "times are whole seconds");
    assert!(world.ask(Door::Mx, later(611)).is_open());
    // One server that does not answer: nothing is known to have changed. One that announces another id:
    // the time begins anew.
    let good = world.facts.announced.clone();
    world.facts.announced[1].seen = Seen::Failed("no answer".to_owned());
    let item = world.ask(Door::Mx, later(620));
    assert!(item.state == State::Unknown && item.because.contains("ns2.example.net"), "{item:?}");
    world.facts.announced = good.clone();
    assert!(world.ask(Door::Mx, later(620)).is_open());
    world.facts.announced[1] = announcement(Some("old"))[0].clone();
    assert_eq!(waits(&world.ask(Door::Mx, later(620))), None);
    world.facts.announced = good;
    assert_eq!(waits(&world.ask(Door::Mx, later(625))), Some(later(1_226)));
    world.facts.mx[0].seen = Seen::Failed("no answer".to_owned());
    assert_eq!(world.ask(Door::Mx, later(630)).state, State::Unknown);
}

#[test]
fn mode_none_is_kept_as_long_as_the_old_policy_could_live() {
    let old = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    let mut world = World::new(None, Some(&old), &["mx.example.com"]);
    let item = world.ask(Door::Removal, NOW);
    assert!(!item.is_open() && item.because.contains("`mta_sts = \"none\"` first"), "{item:?}");
    world.facts.served = Ok(none.clone());
    world.facts.announced = announcement(Some(&texts::policy_id(&none)));
    let until = later(100 + 1_209_600);
    assert_eq!(waits(&world.ask(Door::Removal, later(100))), Some(until));
    assert!(world.ask(Door::Removal, until).is_open());
    // Taken away too soon.
    let mut world = World::new(None, Some(&old), &["mx.example.com"]);
    world.ask(Door::Removal, NOW);
    world.facts.served = Err("gone".to_owned());
    world.facts.announced = announcement(None);
    let item = world.ask(Door::Removal, later(60));
    assert!(!item.is_open() && item.because.contains("senders still follow"), "{item:?}");
    // A domain that never had one.
    assert!(World::new(None, None, &[]).ask(Door::Removal, NOW).is_open());
    // Servers that nobody could ask.
    let mut world = World::new(None, Some(&old), &[]);
    world.facts.announced[0].seen = Seen::Failed("no answer".to_owned());
    assert_eq!(world.ask(Door::Removal, NOW).state, State::Unknown);
}

// === memory, roll-out, readiness ===

#[test]
fn what_was_seen_survives_as_text_and_other_texts_are_refused() {
    let mut memory = Memory::default();
    let known = memory.hosts.entry(name("mx.example.com")).or_default();
    ask(&host(&[1], &[2]), &[has(&[1, 2], 60)], known, NOW);
    memory.domains.entry(name("example.com")).or_default().tlsrpt_since = Some(NOW);
    assert_eq!(Memory::read(&memory.write()).unwrap(), memory);
    for wrong in ["", "{}", "[1]", "{\"version\":2,\"hosts\":{},\"domains\":{}}"] {
        assert!(Memory::read(wrong).is_err(), "{wrong}");
    }
    assert!(Memory::read(&"[".repeat(100_000)).is_err());
}
