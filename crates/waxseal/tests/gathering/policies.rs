//! MTA-STS over real HTTPS.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore};
use waxseal::gather::{Seen, Witness};
use waxseal_core::{
    dns::Absence,
    facts::{Known, MxFact, StsFact},
    memory::{Alarm, Memory},
    sts::{Mode, cache::Remembered},
    witness::{Missing, Testimony},
};
use waxseal_lab::{
    dns::{Act, rcode, rtype},
    policy_host::policy_text,
};

use super::*;

const DAY: u64 = 86_400;

/// `d.test` is unsigned and announces a policy.
async fn world() -> World {
    let zone = Zone::new("d.test")
        .record("@", &Data::mx(10, "mx.d.test"))
        .record("mx", &a(1))
        .record("_mta-sts", &Data::txt("v=STSv1; id=1;"))
        .record("mta-sts", &Data::A(POLICY_ADDRESS));
    let world = World::new(vec![Zone::new("test").signed(), zone]).await;
    world.serve(Served::Policy(policy_text("enforce", &["mx.d.test"])));
    world
}

fn forged_txt(text: &str) -> Tampering {
    Tampering::only("_mta-sts.d.test", rtype::TXT, Act::Forge(vec![Data::txt(text)]))
}

fn known(fact: &StsFact) -> Option<(Mode, Known)> {
    match fact {
        StsFact::Policy { policy, known, .. } => Some((policy.mode, *known)),
        StsFact::Absent { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => None,
    }
}

/// Item 39 (RFC 8461 §3.4): on the way by a smarthost its policy counts, and neither that of the
/// recipient's domain nor that of the smarthost's parent. A host that was agreed on with the
/// recipient, and an address, have none.
#[tokio::test]
async fn the_policy_of_a_smarthost_is_looked_up_at_its_own_name() {
    let smarthost = Zone::new("d.test")
        .record("@", &a(1))
        .record("mx", &a(1))
        .record("_mta-sts", &Data::txt("v=STSv1; id=1;"))
        .record("mta-sts", &Data::A(POLICY_ADDRESS));
    let world = World::new(vec![Zone::new("test").signed(), smarthost]).await;
    world.serve(Served::Policy(policy_text("enforce", &["d.test"])));
    let gatherer = world.gatherer();
    let by = async |host: &str, reach| {
        let host = host.parse().map_or_else(|_| Peer::Name(domain(host)), Peer::Literal);
        let target = RouteTarget { host, port: 587, reach };
        gatherer.gather(&domain("recipient.test"), Some(&target), now()).await.facts
    };
    let facts = by("d.test", Reach::FirstHopOnly).await;
    assert_eq!(known(&facts.sts), Some((Mode::Enforce, Known::FirstFetch)));
    assert_eq!(facts.policy_domain(), Some(&domain("d.test")));
    let below = by("mx.d.test", Reach::FirstHopOnly).await;
    assert!(matches!(below.sts, StsFact::Absent { .. }), "{:?}", below.sts);
    assert_eq!(by("d.test", Reach::Destination).await.sts, StsFact::NotAsked);
    let address = by("192.0.2.1", Reach::FirstHopOnly).await;
    assert_eq!((&address.sts, address.policy_domain()), (&StsFact::NotAsked, None));
    assert_eq!(world.asked("_mta-sts.recipient.test"), 0);
    // It is kept for the smarthost, whoever the next recipient is.
    assert_eq!(world.host.requests().len(), 1);
    world.serve(Served::Blocked);
    let target =
        RouteTarget { host: Peer::Name(domain("d.test")), port: 587, reach: Reach::FirstHopOnly };
    let other = world.gatherer().gather(&domain("other.test"), Some(&target), now()).await;
    assert_eq!(known(&other.facts.sts), Some((Mode::Enforce, Known::Cached)));
}

fn failure(fact: &StsFact) -> &StsFailure {
    let StsFact::Unknown { failure, .. } = fact else { panic!("{fact:?}") };
    failure
}

/// Items 27, 33, 39 (RFC 8461 §3.3): fetched once from the one place where a policy is, known from
/// then on, also after a restart.
#[tokio::test]
async fn a_policy_is_fetched_once_and_survives_a_restart() {
    let world = world().await;
    let gatherer = world.gatherer();
    let first = gatherer.gather(&domain("d.test"), None, now()).await;
    assert_eq!(known(&first.facts.sts), Some((Mode::Enforce, Known::FirstFetch)));
    let second = gatherer.gather(&domain("d.test"), None, now()).await;
    assert_eq!(known(&second.facts.sts), Some((Mode::Enforce, Known::Cached)));
    let restarted = world.gather("d.test").await;
    assert_eq!(known(&restarted.facts.sts), Some((Mode::Enforce, Known::Cached)));
    assert_eq!(world.host.requests(), ["mta-sts.d.test/.well-known/mta-sts.txt"]);
    // Item 39 (§3.4): a policy is the domain's own, never its parent's.
    let below = world.gather("mx.d.test").await;
    assert_eq!(known(&below.facts.sts), None);
}

/// Items 31, 32 (RFC 8461 §3.3, §10.2): the attacker on the path blocks the policy host, hides the
/// record or forges another; the cached policy holds, and he learns nothing new by waiting.
#[tokio::test]
async fn a_blocked_policy_host_keeps_the_cached_policy() {
    let world = world().await;
    world.gather("d.test").await;
    world.serve(Served::Blocked);
    let attacks = [
        forged_txt("v=STSv1; id=2;"),
        Tampering::only("_mta-sts.d.test", rtype::TXT, Act::NxDomain),
        Tampering::only("_mta-sts.d.test", rtype::TXT, Act::Fail(rcode::SERVFAIL)),
        Tampering::all("mta-sts.d.test", Act::NxDomain),
    ];
    for attack in attacks {
        world.tamper(attack.clone());
        let later = UnixTime(now().0 + DAY);
        let gathered = world.gatherer().gather(&domain("d.test"), None, later).await;
        let sts = &gathered.facts.sts;
        assert_eq!(known(sts), Some((Mode::Enforce, Known::Cached)), "{attack:?}");
    }
    // Seven days later it is over, and then it is unknown: not absent (promise P1).
    world.tamper(forged_txt("v=STSv1; id=2;"));
    let over = UnixTime(now().0 + 7 * DAY + 1);
    let gathered = world.gatherer().gather(&domain("d.test"), None, over).await;
    let failure = failure(&gathered.facts.sts);
    assert!(matches!(failure, StsFailure::Fetch(_) | StsFailure::Unreached(_)), "{failure:?}");
}

/// Item 34 (RFC 8461 §5.1): a new `id` brings the new policy, which is no first contact.
#[tokio::test]
async fn a_new_id_brings_the_new_policy() {
    let world = world().await;
    world.gather("d.test").await;
    world.serve(Served::Policy(policy_text("testing", &["mx.d.test"])));
    assert_eq!(known(&world.gather("d.test").await.facts.sts).unwrap().0, Mode::Enforce);
    world.tamper(forged_txt("v=STSv1; id=2;"));
    let gathered = world.gather("d.test").await;
    assert_eq!(known(&gathered.facts.sts), Some((Mode::Testing, Known::Cached)));
    assert_eq!(world.host.requests().len(), 2);
}

/// Items 27, 28, 30 (RFC 8461 §3.2, §3.3): what is not a policy, from a hostile or broken host.
#[tokio::test]
async fn only_a_policy_is_a_policy() {
    let text = policy_text("enforce", &["mx.d.test"]);
    let elsewhere = "https://mta-sts.d.test/other.txt".to_owned();
    let cases = [
        (Served::NotFound, "404"),
        (Served::Redirect(elsewhere), "redirects"),
        (Served::MediaType("text/html".into(), text.clone()), "not text/plain"),
        (Served::Huge(70_000), "65536 octets"),
        (Served::Policy("<html></html>".into()), "line 1: no colon"),
        (Served::Policy(text.replace("enforce", "what")), "line 2: the mode"),
        (Served::Blocked, "no TLS"),
    ];
    for (served, expected) in cases {
        let world = world().await;
        world.serve(served.clone());
        let gathered = world.gather("d.test").await;
        let failure = failure(&gathered.facts.sts);
        let (StsFailure::Fetch(text) | StsFailure::Unreached(text) | StsFailure::Invalid(text)) =
            failure
        else {
            panic!("{served:?}: {failure:?}")
        };
        // Nothing follows from a connection that somebody cut: it may be our own network.
        let cut = matches!(served, Served::Blocked);
        assert_eq!(matches!(failure, StsFailure::Unreached(_)), cut, "{served:?}: {failure:?}");
        assert!(text.contains(expected), "{served:?}: {failure:?}");
        // Item 31: not again for five minutes, not even after a restart; then again.
        let before = world.host.requests().len();
        let at = |seconds| UnixTime(now().0 + seconds);
        world.gatherer().gather(&domain("d.test"), None, at(200)).await;
        assert_eq!(world.host.requests().len(), before, "{served:?}");
        world.serve(Served::Policy(text_of_policy()));
        let gathered = world.gatherer().gather(&domain("d.test"), None, at(301)).await;
        assert!(known(&gathered.facts.sts).is_some(), "{served:?}");
    }
}

fn text_of_policy() -> String {
    policy_text("enforce", &["mx.d.test"])
}

/// Media types have parameters and no case (RFC 9110 §8.3.1).
#[tokio::test]
async fn media_types_may_have_parameters() {
    let world = world().await;
    world.serve(Served::MediaType("Text/Plain; charset=utf-8".into(), text_of_policy()));
    assert!(known(&world.gather("d.test").await.facts.sts).is_some());
}

/// Item 30: a host that takes the connection and never answers does not hold anything up for long.
#[tokio::test]
async fn a_slow_host_is_given_up() {
    let world = world().await;
    world.serve(Served::Slow);
    let settings =
        fetch::Settings { timeout: Duration::from_millis(300), ..fetch::Settings::default() };
    let failure = world.fetcher(settings).fetch(&domain("d.test")).await.unwrap_err();
    assert!(matches!(&failure, StsFailure::Unreached(text) if text.contains("did not finish")));
}

/// Item 27 (RFC 8461 §3.3), attacker on the path: he plays the policy host without a certificate
/// that a public CA made for it.
#[tokio::test]
async fn the_policy_host_needs_a_certificate() {
    let world = world().await;
    let key = ServerKey::generate().unwrap();
    let name = ["mta-sts.d.test"];
    let strangers = Ca::new("Nobody's CA").unwrap();
    let identities = [
        Identity::self_signed(&key, &name, Validity::Current).unwrap(),
        strangers.issue(&key, &name, Validity::Current).unwrap(),
        world.ca.issue(&key, &name, Validity::Expired).unwrap(),
        world.ca.issue(&key, &["d.test"], Validity::Current).unwrap(),
    ];
    for identity in identities {
        let answer = Served::Policy(policy_text("none", &["mx.d.test"]));
        world.host.become_like(PolicyPersonality { identity, answer });
        let fetcher = world.fetcher(fetch::Settings::default());
        let failure = fetcher.fetch(&domain("d.test")).await.unwrap_err();
        assert!(matches!(failure, StsFailure::Certificate(_)), "{failure:?}");
    }
    assert!(world.host.requests().is_empty());
}

/// A domain of ours whose policy this gateway serves (`[web.policy]`): fetched like any other, and unknown where
/// we see ourselves inside. Attacker: a hostile zone that names our address as its policy host; it is refused.
#[tokio::test]
async fn our_own_policy_is_fetched_from_ourselves_and_nobody_elses() {
    let world = world().await;
    world.serve(Served::Policy(policy_text("enforce", &["mx.d.test"])));
    let own = Own { addresses: [IpAddr::from(POLICY_ADDRESS)].into(), ..Own::default() };
    let theirs = fetch::Settings { own: own.clone(), ..fetch::Settings::default() };
    let failure = world.fetcher(theirs.clone()).fetch(&domain("d.test")).await.unwrap_err();
    assert!(matches!(failure, StsFailure::Fetch(_)), "{failure:?}");
    let ours = fetch::Settings { ours: [domain("d.test")].into(), ..theirs };
    let policy = world.fetcher(ours.clone()).fetch(&domain("d.test")).await.unwrap();
    assert_eq!(policy.mode, Mode::Enforce);
    let inside = IpAddr::from([10, 0, 0, 1]);
    let act = Act::Replace(vec![Data::A(Ipv4Addr::new(10, 0, 0, 1))]);
    world.tamper(Tampering::only("mta-sts.d.test", rtype::A, act));
    let own = Own { addresses: [inside].into(), ..own };
    let failure = world.fetcher(fetch::Settings { own, ..ours }).fetch(&domain("d.test")).await;
    assert!(matches!(failure, Err(StsFailure::Unreached(_))), "nobody looked: {failure:?}");
}

/// Hostile zone: a policy host inside our network is not asked.
#[tokio::test]
async fn a_policy_host_inside_is_refused() {
    for address in [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254]] {
        let zone = Zone::new("d.test").record("mta-sts", &Data::A(address.into()));
        let world = World::new(vec![Zone::new("test").signed(), zone]).await;
        let fetcher = world.fetcher(fetch::Settings::default());
        let failure = fetcher.fetch(&domain("d.test")).await.unwrap_err();
        let StsFailure::Fetch(text) = failure else { panic!() };
        assert!(text.contains("no public address"), "{text}");
    }
}

/// Promise P1: discovery that fails is unknown since its first failure; a denial is absence.
#[tokio::test]
async fn failed_discovery_is_not_absence() {
    let world = world().await;
    world.tamper(Tampering::only("_mta-sts.d.test", rtype::TXT, Act::Fail(rcode::SERVFAIL)));
    let start = now();
    let gathered = world.gatherer().gather(&domain("d.test"), None, start).await;
    assert!(matches!(failure(&gathered.facts.sts), StsFailure::Record(_)));
    let later = UnixTime(start.0 + 3_000);
    let gathered = world.gatherer().gather(&domain("d.test"), None, later).await;
    let StsFact::Unknown { since, .. } = gathered.facts.sts else { panic!() };
    assert_eq!(since, start);
    world.tamper(Tampering::only("_mta-sts.d.test", rtype::TXT, Act::NxDomain));
    let gathered = world.gatherer().gather(&domain("d.test"), None, later).await;
    assert_eq!(gathered.facts.sts, StsFact::Absent { absence: Absence::Unconfirmed });
}

/// A resolver of another operator: the same zones, and nobody on the path to it.
async fn witness() -> (World, Witness) {
    let other = world().await;
    let dns = Arc::new(other.resolver());
    (other, Witness { name: "tls://192.0.2.53#dns.other.example".to_owned(), dns })
}

fn hidden() -> Tampering {
    Tampering::only("_mta-sts.d.test", rtype::TXT, Act::NxDomain)
}

fn said(gathered: &Gathered) -> Vec<Testimony> {
    gathered.facts.witnesses.iter().map(|one| one.said.clone()).collect()
}

/// RFC 8461 §10.2, attacker on the path: he hides the record at first contact from our resolver,
/// not from another operator's. The policy binds, and there is an alarm.
#[tokio::test]
async fn a_policy_hidden_at_first_contact_is_seen_by_a_witness() {
    let world = world().await;
    world.tamper(hidden());
    let (other, witness) = witness().await;
    let settings = Settings { witnesses: vec![witness], ..Settings::default() };
    let gatherer = world.gatherer_with(settings);
    let gathered = gatherer.gather(&domain("d.test"), None, now()).await;
    assert_eq!(known(&gathered.facts.sts), Some((Mode::Enforce, Known::FirstFetch)));
    assert_eq!(said(&gathered), [Testimony::Contradicts]);
    let alarms = Memory::default().alarms(&gathered.facts, now());
    assert!(matches!(&alarms[..], [Alarm::Hidden { missing: Missing::StsRecord, .. }]));
    // It is known from then on, and nobody is asked again.
    let asked = other.dns.questions().len();
    let later = world.gatherer().gather(&domain("d.test"), None, now()).await;
    assert_eq!(known(&later.facts.sts), Some((Mode::Enforce, Known::Cached)));
    assert_eq!(other.dns.questions().len(), asked);
}

/// Attacker on the path: he hides the record from us, and blocks the policy host. What a witness
/// sees makes discovery fail instead of absent, so mail waits (promise P1).
#[tokio::test]
async fn a_hidden_policy_that_cannot_be_fetched_is_unknown() {
    let world = world().await;
    world.tamper(hidden());
    world.serve(Served::Blocked);
    let (_other, witness) = witness().await;
    let settings = Settings { witnesses: vec![witness], ..Settings::default() };
    let gathered = world.gatherer_with(settings).gather(&domain("d.test"), None, now()).await;
    assert!(matches!(failure(&gathered.facts.sts), StsFailure::Unreached(_)));
}

/// Attacker on both paths, or a witness that is down: it is as if nobody had been asked, and the
/// reason stands in the facts. Where all agree, the absence is agreed.
#[tokio::test]
async fn silent_witnesses_leave_an_absence_unconfirmed_and_agreeing_ones_do_not() {
    let world = world().await;
    world.tamper(hidden());
    let (other, witness) = witness().await;
    let ask = || async {
        let witnesses = vec![witness.clone(), witness.clone()];
        let settings = Settings { witnesses, ..Settings::default() };
        world.gatherer_with(settings).gather(&domain("d.test"), None, now()).await
    };
    other.tamper(Tampering::only("_mta-sts.d.test", rtype::TXT, Act::Fail(rcode::REFUSED)));
    let gathered = ask().await;
    assert_eq!(gathered.facts.sts, StsFact::Absent { absence: Absence::Unconfirmed });
    assert!(matches!(&said(&gathered)[..], [Testimony::Failed(_), Testimony::Failed(_)]));
    let agreed = {
        let (second, third) = self::witness().await;
        second.tamper(hidden());
        let settings = Settings { witnesses: vec![third], ..Settings::default() };
        world.gatherer_with(settings).gather(&domain("d.test"), None, now()).await
    };
    assert_eq!(agreed.facts.sts, StsFact::Absent { absence: Absence::Agreed });
}

/// Privacy: nobody else learns a name where our own answer is signed, or says enough.
#[tokio::test]
async fn witnesses_are_asked_only_about_an_absence_that_nobody_signs() {
    let signed = World::new(vec![
        Zone::new("test").signed(),
        Zone::new("s.test").signed().record("@", &Data::mx(10, "mx.s.test")).record("mx", &a(1)),
    ]);
    let (signed, open) = (signed.await, world().await);
    let (other, witness) = witness().await;
    let settings = Settings { witnesses: vec![witness], ..Settings::default() };
    let secure =
        signed.gatherer_with(settings.clone()).gather(&domain("s.test"), None, now()).await;
    assert_eq!(secure.facts.sts, StsFact::Absent { absence: Absence::Secure });
    open.gatherer_with(settings).gather(&domain("d.test"), None, now()).await;
    assert!(other.dns.questions().is_empty());
}

/// Attacker on the path: he hides the MX records of an unsigned domain, or the domain, so that mail
/// goes to its address or back to its sender. A witness sees them, so mail waits.
#[tokio::test]
async fn hidden_mx_records_and_hidden_domains_let_mail_wait() {
    for act in [Act::NoData, Act::NxDomain] {
        let world = world().await;
        world.tamper(Tampering::only("d.test", rtype::MX, act));
        let (_other, witness) = witness().await;
        let settings = Settings { witnesses: vec![witness], ..Settings::default() };
        let gathered = world.gatherer_with(settings).gather(&domain("d.test"), None, now()).await;
        let MxFact::Failed(failure) = &gathered.facts.mx else { panic!("{:?}", gathered.facts.mx) };
        assert!(failure.detail.contains("our own resolver does not"), "{failure}");
        assert!(gathered.facts.hosts.is_empty());
    }
}

/// Item 33 (RFC 8461 §3.3): known policies are refreshed daily without any message, so that no
/// attacker meets a first contact again.
#[tokio::test]
async fn known_policies_are_refreshed() {
    let world = world().await;
    let start = now();
    world.gather("d.test").await;
    let restarted = world.gatherer();
    waxseal::metrics::recorder();
    assert_eq!(restarted.remember(start).await, Ok(1));
    let at = |seconds: u64| UnixTime(start.0 + seconds);
    assert!(restarted.refresh_due(at(DAY - 60), 10).is_empty());
    let due = restarted.refresh_due(at(DAY + 60), 10);
    assert_eq!(due, [domain("d.test")]);
    assert!(restarted.refresh_due(at(DAY + 60), 0).is_empty());
    let mut fetching = tokio::task::JoinSet::new();
    restarted.refresh_late(at(DAY + 60), &mut fetching).await;
    fetching.join_all().await;
    assert_eq!(world.host.requests().len(), 2);
    assert!(restarted.refresh_due(at(DAY + 3_600), 10).is_empty());
    // Seven days after the first fetch it still holds, because of the second one.
    world.serve(Served::Blocked);
    let gathered = world.gatherer().gather(&domain("d.test"), None, at(7 * DAY + 3_600)).await;
    assert!(known(&gathered.facts.sts).is_some());
    // A refresh that fails is tried again, but not at once.
    let late = at(2 * DAY + 120);
    assert_eq!(restarted.refresh_due(late, 10).len(), 1);
    restarted.refresh(&domain("d.test"), late).await;
    assert!(restarted.refresh_due(at(2 * DAY + 300), 10).is_empty());
    assert_eq!(restarted.refresh_due(at(2 * DAY + 4_000), 10).len(), 1);
    let numbers = waxseal::metrics::render();
    let failed = numbers.lines().find_map(|line| line.strip_prefix("waxseal_sts_failures_total "));
    assert!(failed.is_some_and(|count| count != "0"), "{numbers}");
}

/// A clock that was a year ahead when the policy was fetched, and was set right since (`clock = "trusted"`): the
/// policy is fetched again at once, by the gateway that went on and by one that starts.
#[tokio::test]
async fn a_policy_that_was_fetched_in_the_future_is_refreshed_at_once() {
    let world = world().await;
    let (went_on, right) = (world.gatherer(), now());
    let ahead = UnixTime(right.0 + 365 * DAY);
    went_on.gather(&domain("d.test"), None, ahead).await;
    let restarted = world.gatherer();
    assert_eq!(restarted.remember(right).await, Ok(1));
    for gatherer in [&restarted, &went_on] {
        assert_eq!(gatherer.refresh_due(right, 10), [domain("d.test")]);
    }
    let mut fetching = tokio::task::JoinSet::new();
    restarted.refresh_late(right, &mut fetching).await;
    fetching.join_all().await;
    assert_eq!(world.host.requests().len(), 2);
    assert!(restarted.refresh_due(right, 10).is_empty(), "once");
    assert!(restarted.refresh_due(UnixTime(right.0 + DAY - 60), 10).is_empty());
}

/// First contact, attacker on the path who hides everything: the preloaded policy stands.
#[tokio::test]
async fn a_preloaded_policy_needs_no_contact() {
    let world = world().await;
    world.tamper(Tampering::all("_mta-sts.d.test", Act::NxDomain));
    let policy = Policy::parse(text_of_policy().as_bytes()).unwrap();
    let preloaded = [(domain("d.test"), policy)].into();
    let gatherer = world.gatherer_with(Settings { preloaded, ..Settings::default() });
    let gathered = gatherer.gather(&domain("d.test"), None, now()).await;
    assert_eq!(known(&gathered.facts.sts), Some((Mode::Enforce, Known::Preloaded)));
}

/// RFC 8461 §5: what the policy demands was not met, and the domain may have changed it without a
/// new `id`: it is fetched by the next attempt, and not more often than every five minutes.
#[tokio::test]
async fn a_policy_that_was_not_met_is_fetched_whatever_its_id() {
    let world = world().await;
    let (gatherer, start) = (world.gatherer(), now());
    let at = |seconds: u64| UnixTime(start.0 + seconds);
    let destination = domain("d.test");
    gatherer.gather(&destination, None, start).await;
    world.serve(Served::Policy(policy_text("enforce", &["mx.new.test"])));
    for (seconds, fetched) in [(100, 1), (1_800, 2), (1_900, 2)] {
        gatherer.doubt(&destination);
        let gathered = gatherer.gather(&destination, None, at(seconds)).await;
        assert_eq!(world.host.requests().len(), fetched, "{seconds}");
        let StsFact::Policy { policy, .. } = &gathered.facts.sts else { panic!() };
        assert_eq!(policy.allows(&domain("mx.new.test")), fetched == 2);
    }
    gatherer.forget(&destination);
    gatherer.gather(&destination, None, at(3_600)).await;
    assert_eq!(world.host.requests().len(), 2, "nobody doubts it");
}

/// A policy source whose first answer is late.
struct Stalling {
    calls: AtomicUsize,
    begun: Notify,
    gate: Semaphore,
}

impl PolicySource for Stalling {
    fn fetch<'a>(&'a self, _: &'a Domain) -> Soon<'a, Result<Policy, StsFailure>> {
        Box::pin(async move {
            let host = match self.calls.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    self.begun.notify_one();
                    self.gate.acquire().await.unwrap().forget();
                    "mx.old.test"
                }
                _ => "mx.new.test",
            };
            Ok(Policy::parse(policy_text("enforce", &[host]).as_bytes()).unwrap())
        })
    }
}

/// A store that cannot be read for a while.
struct Unreadable {
    store: Arc<dyn PolicyStore>,
    fails: AtomicBool,
}

impl PolicyStore for Unreadable {
    fn load<'a>(
        &'a self,
        destination: &'a Domain,
        now: UnixTime,
    ) -> Soon<'a, Result<Option<Remembered>, String>> {
        match self.fails.load(Ordering::SeqCst) {
            true => Box::pin(async { Err("the disk fails".to_owned()) }),
            false => self.store.load(destination, now),
        }
    }

    fn save<'a>(
        &'a self,
        destination: &'a Domain,
        remembered: Option<&'a Remembered>,
        now: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        self.store.save(destination, remembered, now)
    }

    fn each<'a>(&'a self, now: UnixTime, seen: Seen<'a>) -> Soon<'a, Result<(), String>> {
        self.store.each(now, seen)
    }
}

/// The accident: the store cannot be read at the moment when a policy is due. It is refreshed later, and does
/// not run out unseen: an attacker would meet a first contact.
#[tokio::test]
async fn a_store_that_fails_once_does_not_end_the_refresh_of_a_policy() {
    let world = world().await;
    let (start, destination) = (now(), domain("d.test"));
    world.gather("d.test").await;
    let source = Arc::new(Stalling {
        calls: AtomicUsize::new(1),
        begun: Notify::new(),
        gate: Semaphore::new(0),
    });
    let store = Arc::clone(&world.store) as _;
    let store = Arc::new(Unreadable { store, fails: AtomicBool::new(false) });
    let resolver = Arc::new(world.resolver());
    let gatherer = Gatherer::new(
        Settings::default(),
        resolver,
        Arc::clone(&source) as _,
        Arc::clone(&store) as _,
    );
    assert_eq!(gatherer.remember(start).await, Ok(1));
    let due = UnixTime(start.0 + DAY + 60);
    store.fails.store(true, Ordering::SeqCst);
    gatherer.refresh(&destination, due).await;
    assert_eq!(gatherer.refresh_due(due, 10), [], "not again at once");
    store.fails.store(false, Ordering::SeqCst);
    let later = UnixTime(due.0 + 3_600);
    assert_eq!(gatherer.refresh_due(later, 10), [domain("d.test")]);
    gatherer.refresh(&destination, later).await;
    assert_eq!(source.calls.load(Ordering::SeqCst), 2, "it was fetched");
}

/// Promise P3: a refresh in the background that ends late does not undo what a delivery fetched
/// meanwhile.
#[tokio::test]
async fn a_late_refresh_does_not_undo_a_newer_policy() {
    let world = world().await;
    let (start, destination) = (now(), domain("d.test"));
    world.gather("d.test").await;
    let source = Arc::new(Stalling {
        calls: AtomicUsize::default(),
        begun: Notify::new(),
        gate: Semaphore::new(0),
    });
    let store: Arc<dyn PolicyStore> = Arc::clone(&world.store) as _;
    let resolver = Arc::new(world.resolver());
    let gatherer =
        Gatherer::new(Settings::default(), resolver, Arc::clone(&source) as _, Arc::clone(&store));
    let late = UnixTime(start.0 + DAY + 60);
    let refreshing = {
        let (gatherer, destination) = (gatherer.clone(), destination.clone());
        tokio::spawn(async move { gatherer.refresh(&destination, late).await })
    };
    source.begun.notified().await;
    gatherer.doubt(&destination);
    gatherer.gather(&destination, None, UnixTime(late.0 + 1)).await;
    source.gate.add_permits(1);
    refreshing.await.unwrap();
    let kept = store.load(&destination, late).await.unwrap().unwrap().policy.unwrap();
    assert!(kept.policy.allows(&domain("mx.new.test")), "{kept:?}");
}
