mod standing;

use std::{net::Ipv4Addr, time::Duration};

use super::{
    gate::{Door, HostKeys, Item, Key, PolicyFacts, Seen, ServerView, State},
    readiness::{Signed, readiness},
    rollout::{Progress, Step},
    update::{Algorithm, Change, UpdateError},
    *,
};
use crate::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    sts::{MxPattern, Policy},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn later(seconds: u64) -> UnixTime {
    NOW + Duration::from_secs(seconds)
}

fn found<T>(value: T, authenticity: Authenticity) -> Answer<T> {
    Answer::Found { value, authenticity, expires: later(300), chain: None }
}

fn absent<T>() -> Answer<T> {
    let (denial, absence) = (Denial::NxDomain, Absence::Secure);
    Answer::Absent { denial, absence, expires: later(300), chain: None }
}

fn failed<T>(kind: FailureKind) -> Answer<T> {
    let detail = "no upstream answered in time".to_owned();
    Answer::Failed(LookupFailure { name: (&name("example.com")).into(), kind, detail })
}

fn texts_of(texts: &[&str]) -> Answer<Vec<Vec<u8>>> {
    found(texts.iter().map(|text| text.as_bytes().to_vec()).collect(), Authenticity::Secure)
}

fn policy(mode: sts::Mode, hosts: &[&str]) -> Policy {
    let mx = hosts.iter().map(|host| MxPattern::Host(name(host))).collect();
    Policy { mode, mx, max_age: Duration::from_secs(1_209_600) }
}

#[test]
fn records_are_lines_of_a_zone_file() {
    let domain = name("example.com");
    let policy = policy(sts::Mode::Testing, &["mx.example.com"]);
    let announcement = texts::mta_sts(&domain, &policy, HOUR).unwrap();
    let id = texts::policy_id(&policy);
    assert_eq!(
        announcement.to_string(),
        format!("_mta-sts.example.com. 3600 IN TXT \"v=STSv1; id={id};\"")
    );
    // Ours is what our own reader of strangers' records understands.
    let Data::Txt(text) = &announcement.data else { panic!() };
    assert_eq!(sts::announced(&[text]).unwrap(), id);
    let host = texts::policy_host(&domain, &name("gw.example.com"), HOUR).unwrap();
    assert_eq!(host.to_string(), "mta-sts.example.com. 3600 IN CNAME gw.example.com.");
    let rua = ["mailto:tls@example.com".to_owned(), "https://r.example/x".to_owned()];
    assert_eq!(
        texts::tlsrpt(&domain, &rua, HOUR).unwrap().to_string(),
        "_smtp._tls.example.com. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@example.com,https://r.example/x\""
    );
    assert_eq!(
        texts::dmarc(&domain, "reject", &["mailto:d@example.com".to_owned()], HOUR)
            .unwrap()
            .to_string(),
        "_dmarc.example.com. 3600 IN TXT \"v=DMARC1; p=reject; rua=mailto:d@example.com\""
    );
    assert_eq!(
        texts::dkim(&domain, &name("s1"), None, HOUR).unwrap().to_string(),
        "s1._domainkey.example.com. 3600 IN TXT \"v=DKIM1; p=\""
    );
    let own = texts::own_mechanisms(&["192.0.2.1".parse().unwrap()], &domain);
    assert_eq!(
        texts::spf(&domain, &own, HOUR).to_string(),
        "example.com. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 ~all\""
    );
    let tlsa = texts::tlsa(&name("mx.example.com"), vec![texts::end_entity([0xab; 32]); 2], HOUR);
    let tlsa = tlsa.unwrap();
    assert_eq!(tlsa.len(), 1, "the same key once");
    let line = format!("_25._tcp.mx.example.com. 3600 IN TLSA 3 1 1 {}", "ab".repeat(32));
    assert_eq!(tlsa[0].to_string(), line);
    assert_eq!(texts::issuer([1; 32]).usage, 2);
}

#[test]
fn long_texts_are_cut_into_strings_and_quoted() {
    let text = format!("{}\"\\\u{e4}", "x".repeat(254));
    let record = texts::dkim(&name("example.com"), &name("s"), Some(text), HOUR).unwrap();
    let value = record.value();
    assert!(value.ends_with("\\\"\" \"\\\\\\195\\164\""), "{value}");
    let rdata = record.rdata();
    assert_eq!((rdata[0], rdata[256], rdata.len()), (255, 3, 2 + 258));
}

#[test]
fn another_policy_has_another_id_and_the_same_the_same() {
    let one = policy(sts::Mode::Testing, &["a.example", "b.example"]);
    assert_eq!(texts::policy_id(&one), texts::policy_id(&one.clone()));
    let others = [
        policy(sts::Mode::Enforce, &["a.example", "b.example"]),
        policy(sts::Mode::Testing, &["a.example"]),
        Policy { max_age: Duration::from_secs(1), ..one.clone() },
    ];
    for other in others {
        assert_ne!(texts::policy_id(&one), texts::policy_id(&other));
    }
    assert_eq!(texts::policy(Mta::Off, &[], HOUR), None);
}

#[test]
fn a_record_is_live_missing_different_or_unknown() {
    let record =
        texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR).unwrap();
    let standing = |answer| text(record.clone(), "v=TLSRPTv1", &answer).standing;
    assert_eq!(standing(texts_of(&["v=TLSRPTv1;rua=mailto:t@example.com;"])), Standing::Live);
    assert_eq!(standing(texts_of(&["site-verification=1"])), Standing::Missing);
    assert_eq!(standing(absent()), Standing::Missing);
    let other =
        Standing::Differs { found: vec!["v=TLSRPTv1; rua=mailto:x@example.org".to_owned()] };
    assert_eq!(standing(texts_of(&["v=TLSRPTv1; rua=mailto:x@example.org"])), other);
    let unknown = standing(failed(FailureKind::Timeout));
    assert!(matches!(unknown, Standing::Unknown { why } if why.contains("no upstream")));
    let twice = texts_of(&["v=TLSRPTv1; rua=mailto:t@example.com"; 2]);
    let two = text(record, "v=TLSRPTv1", &twice);
    assert!(two.fix.contains("with several, none counts"), "{}", two.fix);
}

/// Attacker: whoever writes the records of a domain. What they wrote is shown without control
/// characters and at bounded length.
#[test]
fn what_strangers_wrote_is_shown_tamed() {
    let record =
        texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR).unwrap();
    let evil = format!("v=TLSRPTv1;\u{1b}[2J\n{}", "x".repeat(60_000));
    let many = vec![evil.as_str(); 1_000];
    let Standing::Differs { found } = text(record, "v=TLSRPTv1", &texts_of(&many)).standing else {
        panic!()
    };
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|text| text.len() <= 300 && !text.contains(['\u{1b}', '\n'])));
}

#[test]
fn spf_keeps_what_others_need() {
    let own = ["ip4:192.0.2.1".to_owned()];
    let record = texts::spf(&name("example.com"), &own, HOUR);
    let look = |texts: &[&str]| spf(record.clone(), &own, &texts_of(texts));
    assert_eq!(look(&["v=spf1 include:x.example +ip4:192.0.2.1 -all"]).standing, Standing::Live);
    assert_eq!(look(&["v=spf10 x", "other"]).standing, Standing::Missing);
    // A mechanism that fails on purpose lets nobody send.
    assert!(matches!(look(&["v=spf1 -ip4:192.0.2.1 ~all"]).standing, Standing::Differs { .. }));
    assert!(look(&["v=spf1 -all", "v=spf1 ~all"]).fix.contains("leave one"));
}

#[test]
fn tlsa_records_count_only_where_all_are_there_and_signed() {
    let keys = vec![texts::end_entity([1; 32]), texts::end_entity([2; 32])];
    let mx = name("mx.example.com");
    let wanted = texts::tlsa(&mx, keys.clone(), HOUR).unwrap();
    let look = |value: Vec<Tlsa>, sure| tlsa(&mx, wanted.clone(), &found(value, sure));
    assert_eq!(look(keys.clone(), Authenticity::Secure).standing, Standing::Live);
    let unsigned = look(keys.clone(), Authenticity::Insecure);
    assert!(unsigned.fix.contains("sign the zone"), "{}", unsigned.fix);
    let half = look(vec![keys[0].clone()], Authenticity::Secure);
    assert!(half.fix.contains("the 1 of these"), "{}", half.fix);
    let stale = [keys, vec![texts::end_entity([9; 32])]].concat();
    let stale = look(stale, Authenticity::Secure);
    assert!(stale.fix.contains("remove them"), "{}", stale.fix);
    assert_eq!(tlsa(&mx, wanted.clone(), &absent()).standing, Standing::Missing);
    let unknown = tlsa(&mx, wanted, &failed(FailureKind::Bogus)).standing;
    assert!(matches!(unknown, Standing::Unknown { .. }));
}

// === the gate for keys ===

fn key(digest: u8) -> Key {
    Key { algorithm: "ECDSA P-256".to_owned(), spki_sha256: [digest; 32] }
}

fn host(current: &[u8], next: &[u8]) -> HostKeys {
    HostKeys {
        host: name("mx.example.com"),
        current: current.iter().map(|digest| key(*digest)).collect(),
        next: next.iter().map(|digest| key(*digest)).collect(),
        issuers: Vec::new(),
    }
}

fn view<T>(server: u8, seen: Seen<T>) -> ServerView<T> {
    let address = Some(Ipv4Addr::new(192, 0, 2, server).into());
    ServerView { server: name(&format!("ns{server}.example.net")), address, seen }
}

fn has(digests: &[u8], ttl: u64) -> Seen<Vec<Tlsa>> {
    Seen::Records {
        value: digests.iter().map(|digest| texts::end_entity([*digest; 32])).collect(),
        ttl: Duration::from_secs(ttl),
        authenticity: Authenticity::Secure,
    }
}

fn ask(
    host: &HostKeys,
    seen: &[Seen<Vec<Tlsa>>],
    memory: &mut HostMemory,
    now: UnixTime,
) -> Vec<Item> {
    let views: Vec<_> = (1u8..).zip(seen).map(|(nth, seen)| view(nth, seen.clone())).collect();
    gate::keys(host, &views, memory, now)
}

fn waits(item: &Item) -> Option<UnixTime> {
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
    let good = has(&[1, 2], 60);
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

struct World {
    facts: PolicyFacts,
    memory: PolicyMemory,
}

impl World {
    /// `wanted` is served and announced, with these MX records.
    fn new(wanted: Option<Policy>, served: Option<&Policy>, mx: &[&str]) -> Self {
        let announced = served.map(texts::policy_id);
        let facts = PolicyFacts {
            domain: name("example.com"),
            wanted,
            served: served.cloned().ok_or_else(|| "404".to_owned()),
            announced: announcement(announced.as_deref()),
            mx: found(mx.iter().map(|host| name(host)).collect(), Authenticity::Insecure),
        };
        Self { facts, memory: PolicyMemory::default() }
    }

    fn ask(&mut self, door: Door, now: UnixTime) -> Item {
        let items = gate::policy(&self.facts, &mut self.memory, now);
        items.into_iter().find(|item| item.door == door).unwrap()
    }
}

fn announcement(id: Option<&str>) -> Vec<ServerView<Vec<Vec<u8>>>> {
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
    assert_eq!(waits(&world.ask(Door::Mx, later(10))), Some(later(610)));
    assert!(world.ask(Door::Mx, later(610)).is_open());
    // One server that lags behind: nothing is known to have changed, and the id is not everywhere.
    world.facts.announced[1] = announcement(Some("old"))[0].clone();
    assert!(world.ask(Door::Mx, later(620)).is_open());
    world.facts.mx = failed(FailureKind::Timeout);
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

fn stages(
    tlsrpt: &Standing,
    mode: Result<Option<sts::Mode>, String>,
    memory: &DomainMemory,
) -> Vec<(Step, Progress)> {
    let facts = rollout::Facts { tlsrpt, mode, dane: &[Standing::Live], memory, now: NOW };
    rollout::plan(&facts).into_iter().map(|stage| (stage.step, stage.progress)).collect()
}

fn current(stages: &[(Step, Progress)]) -> Option<Step> {
    let mut all =
        stages.iter().filter(|(_, progress)| matches!(progress, Progress::Current { .. }));
    let first = all.next().map(|(step, _)| *step);
    assert!(all.next().is_none(), "one step at a time: {stages:?}");
    first
}

#[test]
fn the_roll_out_goes_step_by_step() {
    let mut memory = DomainMemory::default();
    let missing = Standing::Missing;
    assert_eq!(current(&stages(&missing, Ok(None), &memory)), Some(Step::Reports));
    memory.tlsrpt_since = Some(NOW.before(HOUR));
    let all = stages(&Standing::Live, Ok(None), &memory);
    assert_eq!(current(&all), Some(Step::Baseline));
    let until = NOW.before(HOUR) + rollout::WEEKS;
    assert_eq!(all[1].1, Progress::Current { until: Some(until) });
    memory.tlsrpt_since = Some(NOW.before(rollout::WEEKS));
    assert_eq!(current(&stages(&Standing::Live, Ok(None), &memory)), Some(Step::Testing));
    let testing = Ok(Some(sts::Mode::Testing));
    memory.policy.mode = Some((sts::Mode::Testing, NOW.before(HOUR)));
    assert_eq!(current(&stages(&Standing::Live, testing.clone(), &memory)), Some(Step::Watch));
    memory.policy.mode = Some((sts::Mode::Testing, NOW.before(rollout::WEEKS)));
    assert_eq!(current(&stages(&Standing::Live, testing, &memory)), Some(Step::Enforce));
    let enforce = Ok(Some(sts::Mode::Enforce));
    assert_eq!(current(&stages(&Standing::Live, enforce, &memory)), None);
    // Failing to find out is not the same as nothing.
    let all = stages(&Standing::Live, Err("SERVFAIL".to_owned()), &memory);
    assert_eq!(all[2].1, Progress::Unknown);
}

fn keys_of(ds: Answer<Vec<Vec<u8>>>, dnskey: Answer<Vec<Vec<u8>>>) -> readiness::Facts {
    readiness::Facts { zone: name("example.com"), ds, dnskey, cds: absent() }
}

#[test]
fn a_zone_is_told_what_it_lacks_for_dnssec() {
    let key = vec![vec![1, 1, 3, 13, 1, 2, 3, 4]];
    let ds = |algorithm, digest| vec![vec![0, 1, algorithm, digest, 9, 9]];
    let secure = |value| found(value, Authenticity::Secure);
    let good = readiness(&keys_of(secure(ds(13, 2)), secure(key.clone())));
    assert_eq!((good.state, good.steps.len()), (Signed::Yes, 0));
    let old = readiness(&keys_of(secure(ds(7, 1)), secure(key.clone())));
    assert!(old.steps.len() == 2 && old.steps[0].contains("roll to"), "{old:?}");
    let unsigned = readiness(&keys_of(absent(), absent()));
    assert!(unsigned.state == Signed::No && unsigned.steps[0].contains("switch on signing"));
    let island = readiness(&keys_of(absent(), found(key.clone(), Authenticity::Insecure)));
    assert!(island.steps[1].starts_with("example.com. IN DS "), "{island:?}");
    let keyless = readiness(&keys_of(secure(ds(13, 2)), absent()));
    assert_eq!(keyless.state, Signed::Broken);
    assert_eq!(
        readiness(&keys_of(secure(ds(13, 2)), failed(FailureKind::Bogus))).state,
        Signed::Broken
    );
    assert_eq!(
        readiness(&keys_of(failed(FailureKind::Timeout), secure(key))).state,
        Signed::Unknown
    );
}

/// The DS record and its tag against an example made with BIND's `dnssec-dsfromkey` (RFC 4034 §5.4
/// for the tag; RFC 4509 §2 for the digest).
#[test]
fn the_ds_record_of_rfc_4509_comes_out() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let public = STANDARD
        .decode(
            "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMm\
             mAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
        )
        .unwrap();
    let key = [vec![1, 0, 3, 5], public].concat();
    // With SEP, which the example lacks, the tag is one more.
    let sep = [vec![1, 1, 3, 5], key[4..].to_vec()].concat();
    let facts = readiness::Facts {
        zone: name("dskey.example.com"),
        ds: absent(),
        dnskey: found(vec![key, sep], Authenticity::Insecure),
        cds: absent(),
    };
    let steps = readiness(&facts).steps;
    let ds: Vec<_> = steps.iter().filter(|step| step.contains(" IN DS ")).collect();
    assert_eq!(ds.len(), 1, "only keys with SEP: {steps:?}");
    assert!(ds[0].starts_with("dskey.example.com. IN DS 60486 5 2 "), "{ds:?}");
}

// === updates ===

fn tsig() -> update::Key {
    update::Key::new(&name("waxseal.key"), Algorithm::HmacSha256, &[7; 32]).unwrap()
}

fn an_update(key: &update::Key) -> update::Request {
    let records = texts::tlsa(&name("mx.example.com"), vec![texts::end_entity([1; 32])], HOUR);
    let change = Change::Replace {
        owner: name("_25._tcp.mx.example.com"),
        record_type: crate::dnssec::RecordType::TLSA,
        records: records.unwrap(),
    };
    update::request(&name("example.com"), &[change], key, 0x1234, NOW).unwrap()
}

/// A server's answer: the header, signed over the request's MAC.
fn answer(request: &update::Request, rcode: u8, secret: &[u8], now: UnixTime) -> Vec<u8> {
    let mac = &request.message[request.message.len() - 6 - 32..request.message.len() - 6];
    let mut message = vec![0x12, 0x34, 0xa8, rcode, 0, 0, 0, 0, 0, 0, 0, 0];
    let name = b"\x07waxseal\x03key\0";
    let algorithm = b"\x0bhmac-sha256\0";
    let mut signed = [&[0, 32], mac, &message, name, &[0, 255, 0, 0, 0, 0], algorithm].concat();
    let time = &now.0.to_be_bytes()[2..];
    signed.extend([time, &[1, 44, 0, 0, 0, 0]].concat());
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&secret, &signed);
    let rdata =
        [algorithm, time, &[1, 44, 0, 32], tag.as_ref(), &[0x12, 0x34, 0, 0, 0, 0]].concat();
    message[11] = 1;
    let length = u16::try_from(rdata.len()).unwrap().to_be_bytes();
    message.extend([name.as_slice(), &[0, 250, 0, 255, 0, 0, 0, 0], &length, &rdata].concat());
    message
}

#[test]
fn an_update_is_what_rfc_2136_says() {
    let request = an_update(&tsig());
    let message = domain::base::Message::from_slice(&request.message).unwrap();
    assert_eq!(message.header().opcode(), domain::base::iana::Opcode::UPDATE);
    let counts = message.header_counts();
    assert_eq!(
        (counts.qdcount(), counts.ancount(), counts.nscount(), counts.arcount()),
        (1, 0, 2, 1)
    );
    let zone = message.sole_question().unwrap();
    assert_eq!(zone.qname().to_string(), "example.com");
    let records: Vec<_> = message.authority().unwrap().map(|record| record.unwrap()).collect();
    let classes: Vec<_> = records.iter().map(|record| record.class().to_int()).collect();
    assert_eq!(classes, [255, 1], "delete the set, then add");
    let last = message.additional().unwrap().next().unwrap().unwrap();
    assert_eq!(last.rtype(), domain::base::iana::Rtype::TSIG);
}

#[test]
fn a_signed_yes_is_a_yes() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let yes = answer(&request, 0, &[7; 32], NOW);
    assert_eq!(update::response(&request, &key, &yes, NOW), Ok(()));
    let no = answer(&request, 5, &[7; 32], NOW);
    let refused = update::response(&request, &key, &no, NOW).unwrap_err().to_string();
    assert!(refused.contains("REFUSED"), "{refused}");
}

/// Attacker on the path to the server: says yes for it, says an old yes again, or changes a no.
#[test]
fn on_the_path_nobody_can_say_yes_for_the_server() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let forged = answer(&request, 0, &[8; 32], NOW);
    let not_authentic = |message: &[u8], now| {
        matches!(
            update::response(&request, &key, message, now),
            Err(UpdateError::NotAuthentic(_) | UpdateError::NotAnAnswer(_))
        )
    };
    assert!(not_authentic(&forged, NOW));
    let yes = answer(&request, 0, &[7; 32], NOW);
    assert!(not_authentic(&yes, later(301)), "too late");
    let unsigned = [&yes[..11], &[0]].concat();
    assert!(not_authentic(&unsigned, NOW));
    let mut changed = answer(&request, 5, &[7; 32], NOW);
    changed[3] = 0;
    assert!(not_authentic(&changed, NOW));
    // The answer to another update.
    let mut other = an_update(&tsig());
    let place = other.message.len() - 20;
    other.message[place] ^= 1;
    assert!(not_authentic(&answer(&other, 0, &[7; 32], NOW), NOW));
    for length in 0..yes.len() {
        assert!(update::response(&request, &key, &yes[..length], NOW).is_err(), "{length}");
    }
    for (place, mask) in (0..yes.len()).flat_map(|place| [(place, 0xff), (place, 1)]) {
        let mut broken = yes.clone();
        broken[place] ^= mask;
        // Flags beside response code and opcode are the server's own affair.
        if place != 2 {
            assert!(update::response(&request, &key, &broken, NOW).is_err(), "{place}");
        }
    }
}

#[test]
fn a_server_that_does_not_know_the_key_is_told_apart() {
    let (key, request) = (tsig(), an_update(&tsig()));
    let rdata = [
        b"\x0bhmac-sha256\0".as_slice(),
        &[0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0x12, 0x34, 0, 17, 0, 0],
    ]
    .concat();
    let mut message = vec![0x12, 0x34, 0xa8, 9, 0, 0, 0, 0, 0, 0, 0, 1];
    let length = u16::try_from(rdata.len()).unwrap().to_be_bytes();
    message.extend(
        [b"\x07waxseal\x03key\0".as_slice(), &[0, 250, 0, 255, 0, 0, 0, 0], &length, &rdata]
            .concat(),
    );
    let why = update::response(&request, &key, &message, NOW).unwrap_err().to_string();
    assert!(why.contains("BADKEY"), "{why}");
    let short = update::Key::new(&name("k"), Algorithm::HmacSha512, &[1; 15]);
    assert_eq!(short.unwrap_err(), UpdateError::ShortKey);
}

#[test]
fn an_update_has_a_longest_length() {
    let record = texts::dkim(&name("example.com"), &name("s"), Some("x".repeat(60_000)), HOUR);
    let changes = [Change::Add(vec![record.unwrap(); 2])];
    let long = update::request(&name("example.com"), &changes, &tsig(), 1, NOW);
    assert_eq!(long.unwrap_err(), UpdateError::TooLong);
}
