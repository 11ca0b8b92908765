//! When something new may be used or announced: a key once every server has had its record long
//! enough, a policy once it is served, an MX host once the policy names it.

use super::*;

pub(super) fn key(digest: u8) -> Key {
    let (spki_sha256, spki_sha512) = ([digest; 32], [digest; 64]);
    Key { algorithm: "ECDSA P-256".to_owned(), spki_sha256, spki_sha512 }
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
        State::Closed { until } => until,
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
    let silent = Seen::lost(How::Silent, "no answer within 10 s");
    let items = ask(&host, &[good.clone(), silent], &mut memory, later(500));
    assert_eq!(items[0].state, State::Unknown);
    assert!(items[0].because.contains("ns2.example.net (192.0.2.2): no answer"), "{items:?}");
    assert!(ask(&host, &[good.clone(), good], &mut memory, later(501))[0].is_open());
    // Nobody to ask at all.
    assert_eq!(ask(&host, &[], &mut memory, later(502))[0].state, State::Unknown);
}

#[test]
fn unsigned_records_close_the_door_and_answers_that_prove_nothing_open_none() {
    let (host, mut memory) = (host(&[1], &[2]), HostMemory::default());
    let Seen::Records { value, ttl, .. } = has(&[1, 2], 60) else { panic!() };
    let unsigned = Seen::Records { value, ttl, authenticity: Authenticity::Insecure };
    let closed = State::Closed { until: None };
    for (seen, state, why) in [
        (unsigned, closed, "not signed"),
        (Seen::Wrong("another alias".to_owned()), closed, "another alias"),
        (Seen::lost(How::Unproven, "RRSIG expired"), State::Unknown, "RRSIG expired"),
        (Seen::lost(How::Refused, "REFUSED"), State::Unknown, "REFUSED"),
    ] {
        ask(&host, std::slice::from_ref(&seen), &mut memory, NOW);
        let items = ask(&host, &[seen], &mut memory, later(1_000_000));
        assert_eq!(items[0].state, state, "{items:?}");
        assert!(items[0].because.contains(why) && !items[0].to_do.is_empty(), "{items:?}");
    }
}

/// What is missing, refused and not reached are three things, and each says what to do about it.
#[test]
fn absence_refusal_and_failure_stay_different_to_the_end() {
    let ask = |seen| ask(&host(&[], &[2]), &[seen], &mut HostMemory::default(), NOW).remove(0);
    let absent = ask(Seen::Absent { ttl: HOUR });
    assert_eq!((absent.state, absent.unknown.len()), (State::Closed { until: None }, 0));
    assert!(absent.to_do[0].contains("publish it"), "{absent:?}");
    for (how, to_do) in [
        (How::Refused, "let ns1.example.net answer for the zone"),
        (How::Unproven, "sign it anew"),
        (How::Silent, "see that ns1.example.net runs"),
        (How::NotAsked, "mend the NS records"),
        (How::NoRoute, "ask from a machine with a way there"),
        (How::Unfound, "`waxseal dns ns1.example.net NS`"),
    ] {
        let item = ask(Seen::lost(how, "in words"));
        assert_eq!((item.state, item.unknown[0].how), (State::Unknown, how));
        assert_eq!(item.unknown[0].of, "ns1.example.net (192.0.2.1)");
        assert!(item.to_do[0].contains(to_do), "{item:?}");
    }
}

#[test]
fn of_several_doors_the_closed_one_wins_over_the_unknown_one() {
    let door = |seen| ask(&host(&[], &[2]), &[seen], &mut HostMemory::default(), NOW).remove(0);
    let (closed, unknown) = (door(has(&[1], 60)), door(Seen::lost(How::Silent, "no answer")));
    let open = World::new(None, None, &[]).ask(Door::Removal, NOW);
    let verdict = |items: &[&Item]| {
        gate::verdict(&items.iter().map(|item| (*item).clone()).collect::<Vec<_>>())
    };
    assert_eq!(verdict(&[&open, &open]), Verdict::Open);
    assert_eq!(verdict(&[&open, &unknown]), Verdict::Unknown);
    assert_eq!(verdict(&[&unknown, &closed, &open]), Verdict::Closed);
    assert_eq!(verdict(&[]), Verdict::Closed);
    // In one door as well: a server that lacks the record, whatever the other has.
    let both = [has(&[1], 60), Seen::lost(How::Silent, "no answer")];
    let items = ask(&host(&[], &[2]), &both, &mut HostMemory::default(), NOW);
    assert_eq!(items[0].state, State::Closed { until: None });
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
            served: served.cloned().ok_or_else(|| StsFailure::Fetch("404".to_owned())),
            each: Vec::new(),
            unasked: Vec::new(),
            announced: announcement(announced.as_deref()),
            mx: exchangers(mx, 600),
            max_age: None,
        };
        Self { facts, memory: PolicyMemory::default() }
    }

    /// With what the policy host serves at its one address.
    pub(super) fn ask(&mut self, door: Door, now: UnixTime) -> Item {
        self.facts.each = self.facts.served.iter().cloned().collect();
        self.ask_all(door, now)
    }

    pub(super) fn ask_all(&mut self, door: Door, now: UnixTime) -> Item {
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
    assert!(!item.is_open() && item.to_do[0].contains("serve the new file first"), "{item:?}");
    // The new id with the old file: senders would keep the old one under it.
    world.facts.announced = announcement(Some(&texts::policy_id(&new)));
    let item = world.ask(Door::Id, NOW);
    assert!(!item.is_open() && item.because.contains("before its policy"), "{item:?}");
    world.facts.announced = announcement(Some(&texts::policy_id(&old)));
    world.facts.served = Ok(new);
    let item = world.ask(Door::Id, NOW);
    assert!(item.is_open() && item.because.contains("may be published now"), "{item:?}");
    world.facts.served = Err(StsFailure::Fetch("mta-sts.example.com has no address".to_owned()));
    assert!(world.ask(Door::Id, NOW).because.contains("has no address"));
}

/// Nobody knows what is served there: that is no reason to say that the wrong thing is, nor to begin anew.
#[test]
fn a_policy_host_that_is_not_reached_is_unknown_and_starts_no_clock_anew() {
    let only = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let mut world = World::new(Some(only.clone()), Some(&only), &["mx.example.com"]);
    world.ask(Door::Mx, NOW);
    let good = world.facts.served.clone();
    let lost = StsFailure::Unreached("mta-sts.example.com cannot be reached".to_owned());
    world.facts.served = Err(lost.clone());
    for door in [Door::Id, Door::Mx] {
        let item = world.ask(door, later(1_000));
        assert_eq!(item.state, State::Unknown, "{item:?}");
        assert!(item.because.contains("cannot be reached"), "{item:?}");
        assert_eq!(item.unknown[0].of, "mta-sts.example.com");
        assert!(item.to_do[0].contains("answers at port 443"), "{item:?}");
    }
    world.facts.served = good;
    assert!(world.ask(Door::Mx, later(DAY + 1)).is_open(), "the time went on");
    // An MX host that is not in the policy is seen all the same, and closes.
    let mut world = World::new(Some(only.clone()), Some(&only), &["old.example.com"]);
    world.facts.served = Err(lost);
    let item = world.ask(Door::Id, NOW);
    assert_eq!(item.state, State::Closed { until: None }, "{item:?}");
    // And what the host does say is no failure to find out.
    for (failure, to_do) in [
        (StsFailure::Fetch("404".to_owned()), "serve it first"),
        (StsFailure::Certificate("expired".to_owned()), "get a certificate"),
        (StsFailure::Invalid("no colon".to_owned()), "as text/plain"),
    ] {
        let mut world = World::new(Some(only.clone()), Some(&only), &["mx.example.com"]);
        world.facts.served = Err(failure);
        let item = world.ask(Door::Id, NOW);
        assert_eq!(item.state, State::Closed { until: None });
        assert!(item.to_do[0].contains(to_do), "{item:?}");
    }
}

/// A sender takes any address of the policy host, and keeps the old file under the new id from the one that
/// has it still.
#[test]
fn a_policy_is_served_where_each_address_of_its_host_serves_it() {
    let (old, new) = (
        policy(sts::Mode::Testing, &["mx.example.com"]),
        policy(sts::Mode::Enforce, &["mx.example.com"]),
    );
    let address = |last| Ipv4Addr::new(192, 0, 2, last).into();
    let silent = || Err(StsFailure::Unreached("no answer".to_owned()));
    let wrong = || Err(StsFailure::Certificate("expired".to_owned()));
    let ask = |served: Vec<Result<Policy, StsFailure>>| {
        let each = (1..).map(address).zip(served).collect();
        let mut world = World::new(Some(new.clone()), Some(&old), &["mx.example.com"]);
        world.facts.served = gate::everywhere(Some(&new), each);
        world.ask(Door::Id, NOW)
    };
    assert!(ask(vec![Ok(new.clone())]).is_open());
    assert!(ask(vec![Ok(new.clone()), Ok(new.clone())]).is_open());
    for order in [[Ok(new.clone()), Ok(old.clone())], [Ok(old.clone()), Ok(new.clone())]] {
        let item = ask(order.into());
        assert!(item.because.contains("another policy is still served"), "{item:?}");
    }
    let item = ask(vec![Ok(new.clone()), silent()]);
    assert_eq!(item.state, State::Unknown, "{item:?}");
    assert!(item.because.contains("at 192.0.2.2: no answer"), "{item:?}");
    // What was seen closes, whatever is not known beside it.
    let item = ask(vec![silent(), Ok(old.clone()), Ok(new.clone())]);
    assert_eq!(item.state, State::Closed { until: None }, "{item:?}");
    let item = ask(vec![Ok(new.clone()), Ok(old.clone()), wrong(), silent()]);
    assert!(item.because.contains("at 192.0.2.3: expired"), "{item:?}");
    assert!(ask(Vec::new()).because.contains("no address"));
    // Without MTA-STS in the end, the policy that still binds is the one that counts.
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    let each = vec![(address(1), Ok(none)), (address(2), Ok(old.clone()))];
    assert_eq!(gate::everywhere(None, each), Ok(old));
}

/// The old policy is the only one that tells which MX hosts went a moment ago.
#[test]
fn the_first_look_is_one_that_reached_the_policy_host() {
    let old = policy(sts::Mode::Enforce, &["old.example.com", "new.example.com"]);
    let new = policy(sts::Mode::Enforce, &["new.example.com"]);
    let mut world = World::new(Some(new.clone()), Some(&old), &["new.example.com"]);
    world.facts.served = Err(StsFailure::Unreached("no answer".to_owned()));
    world.ask(Door::Id, NOW);
    world.facts.served = Ok(old);
    world.ask(Door::Id, later(60));
    world.facts.served = Ok(new);
    let item = world.ask(Door::Id, later(120));
    assert_eq!(waits(&item), Some(later(60 + DAY)), "{item:?}");
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
    world.facts.announced[1].seen = Seen::lost(How::Silent, "no answer");
    let item = world.ask(Door::Mx, later(620));
    assert!(item.state == State::Unknown && item.because.contains("ns2.example.net"), "{item:?}");
    world.facts.announced = good.clone();
    assert!(world.ask(Door::Mx, later(620)).is_open());
    world.facts.announced[1] = announcement(Some("old"))[0].clone();
    assert_eq!(waits(&world.ask(Door::Mx, later(620))), None);
    world.facts.announced = good;
    assert_eq!(waits(&world.ask(Door::Mx, later(625))), Some(later(1_226)));
    world.facts.mx[0].seen = Seen::lost(How::Silent, "no answer");
    assert_eq!(world.ask(Door::Mx, later(630)).state, State::Unknown);
}

/// A domain that is its own mail host: to publish its first MX records is not what the lack of them forbids.
#[test]
fn the_first_mx_records_of_a_domain_wait_only_for_a_policy_that_senders_may_know() {
    let wanted = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let without = |world: &mut World| world.facts.mx = vec![view(1, Seen::Absent { ttl: HOUR })];
    let mut world = World::new(Some(wanted.clone()), None, &[]);
    without(&mut world);
    let id = world.ask(Door::Id, NOW);
    assert!(!id.is_open() && id.to_do == ["publish its MX records first"], "{id:?}");
    let item = world.ask(Door::Mx, NOW);
    assert!(item.is_open() && item.because.contains("no policy is announced"), "{item:?}");
    // Senders know another one.
    let old = policy(sts::Mode::Testing, &["mx.example.com"]);
    let mut world = World::new(Some(wanted.clone()), Some(&old), &[]);
    without(&mut world);
    let item = world.ask(Door::Mx, NOW);
    assert_eq!(waits(&item), None);
    assert!(item.to_do[0].contains("only of hosts that the announced policy names"), "{item:?}");
    // Once they know ours, its hosts may get their records.
    let mut world = World::new(Some(wanted.clone()), Some(&wanted), &[]);
    without(&mut world);
    world.ask(Door::Mx, NOW);
    let item = world.ask(Door::Mx, later(2 * DAY));
    assert!(item.is_open() && item.because.contains("may change among them"), "{item:?}");
    // Nobody knows what is announced, or what a second server has.
    let mut world = World::new(Some(wanted), None, &[]);
    without(&mut world);
    world.facts.mx.push(view(2, Seen::lost(How::Silent, "no answer")));
    assert_eq!(world.ask(Door::Mx, NOW).state, State::Unknown);
    without(&mut world);
    world.facts.announced[1].seen = Seen::lost(How::Silent, "no answer");
    assert_eq!(world.ask(Door::Mx, NOW).state, State::Unknown);
}

#[test]
fn mode_none_is_kept_as_long_as_the_old_policy_could_live() {
    let old = policy(sts::Mode::Enforce, &["mx.example.com"]);
    let none = Policy { mode: sts::Mode::None, mx: Vec::new(), max_age: HOUR };
    let mut world = World::new(None, Some(&old), &["mx.example.com"]);
    let item = world.ask(Door::Removal, NOW);
    assert!(!item.is_open() && item.to_do[0].contains("`mta_sts = \"none\"` first"), "{item:?}");
    world.facts.served = Ok(none.clone());
    world.facts.announced = announcement(Some(&texts::policy_id(&none)));
    let until = later(100 + 1_209_600);
    assert_eq!(waits(&world.ask(Door::Removal, later(100))), Some(until));
    assert!(world.ask(Door::Removal, until).is_open());
    // Taken away too soon.
    let mut world = World::new(None, Some(&old), &["mx.example.com"]);
    world.ask(Door::Removal, NOW);
    world.facts.served = Err(StsFailure::Fetch("gone".to_owned()));
    world.facts.announced = announcement(None);
    let item = world.ask(Door::Removal, later(60));
    assert!(!item.is_open() && item.because.contains("senders still follow"), "{item:?}");
    // A domain that never had one.
    assert!(World::new(None, None, &[]).ask(Door::Removal, NOW).is_open());
    // Servers that nobody could ask.
    let mut world = World::new(None, Some(&old), &[]);
    world.facts.announced[0].seen = Seen::lost(How::Silent, "no answer");
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

/// A habit of old guides: `3 1 2` beside `3 1 1`. Senders go by the stronger digest alone (RFC 7671 §9), so a next
/// key that only `3 1 1` names would be refused by all of them.
#[test]
fn a_record_that_a_stronger_digest_outdoes_opens_nothing() {
    let host = host(&[1], &[2]);
    let mut memory = HostMemory::default();
    let outdone = || {
        let Seen::Records { mut value, ttl, authenticity } = has(&[1, 2], 300) else { panic!() };
        value.push(Tlsa { usage: 3, selector: 1, matching: 2, data: vec![1; 64] });
        Seen::Records { value, ttl, authenticity }
    };
    let look = |memory: &mut HostMemory, seen, now| {
        let items = gate::keys(&host, &[view(1, has(&[1, 2], 300)), view(2, seen)], memory, now);
        items.into_iter().find(|item| item.what.starts_with("deploy")).unwrap()
    };
    look(&mut memory, has(&[1], 300), NOW);
    for day in 1..5 {
        let item = look(&mut memory, outdone(), later(day * DAY));
        assert_eq!(item.state, State::Closed { until: None }, "{}", item.because);
        assert!(item.because.contains("SHA-512"), "{}", item.because);
    }
    // It is taken away: the time begins.
    let item = look(&mut memory, has(&[1, 2], 300), later(5 * DAY));
    assert_eq!(waits(&item), Some(later(5 * DAY + 601)), "{}", item.because);
    assert!(look(&mut memory, has(&[1, 2], 300), later(5 * DAY + 601)).is_open());
}

/// The same for the key in use: its `3 1 1` is there and counts for nobody.
#[test]
fn a_key_in_use_whose_record_a_stronger_digest_outdoes_is_not_covered() {
    let with = |sha512: &[u8]| {
        let Seen::Records { mut value, ttl, authenticity } = has(&[1], 300) else { panic!() };
        value.extend(sha512.iter().map(|digest| Tlsa {
            usage: 3,
            selector: 1,
            matching: 2,
            data: vec![*digest; 64],
        }));
        Seen::Records { value, ttl, authenticity }
    };
    let mut host = host(&[1], &[]);
    let look = |host: &HostKeys, seen| {
        let views = [view(1, has(&[1], 300)), view(2, seen)];
        gate::keys(host, &views, &mut HostMemory::default(), NOW)
    };
    let items = look(&host, with(&[9]));
    assert_eq!(items.len(), 1, "{items:?}");
    let item = &items[0];
    assert_eq!(waits(item), None);
    assert!(item.because.contains("IN USE counts for nobody at ns2.example.net"), "{item:?}");
    assert!(item.to_do[0].contains("SHA-512"), "{item:?}");
    // A habit of old guides that turns nobody away: both are of this key.
    assert!(look(&host, with(&[9, 1])).is_empty());
    // Nor does it where a record of its issuer counts.
    host.issuers = vec![key(7)];
    let Seen::Records { mut value, ttl, authenticity } = with(&[9]) else { panic!() };
    value.push(texts::issuer([7; 32]));
    assert!(look(&host, Seen::Records { value, ttl, authenticity }).is_empty());
}
