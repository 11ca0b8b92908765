//! Regular checks, in a little Internet of one domain that changes.

pub(crate) mod dkim;
mod gateway;
mod lost;
mod ours;
mod ourselves;
mod process;
mod reports;
mod tarpits;
mod webhook;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use waxseal::{
    config::Config,
    gather::{Forgetful, Soon},
    resolve::Clock,
    secrets::{SecretSource, StoreKeys},
    serve::{Around, Live, Parts},
    store::{Access, NewMessage, Settings, Store, StoreError},
    watch::{
        Alert, Board, Given, History, Partners, Post, Tools, Vantage, Watcher, Whose, history,
    },
};
use waxseal_core::{
    assess::change::{Class, Kind},
    channel::Level,
    domain::Domain,
    time::UnixTime,
};
use waxseal_lab::{
    attacker::{Attacker, Method},
    ca::{Identity, ServerKey, Validity},
    dns::{Act, Data, DnsServer, Tampering, Tree, Zone, rtype},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

const HOST: &str = "mx.partner.example";
const HOUR: u64 = 3_600;

/// Keeps letters instead of sending them.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<NewMessage>>>);

impl Post for Letters {
    fn post(&self, letter: NewMessage) -> Soon<'_, Result<(), StoreError>> {
        self.0.lock().unwrap().push(letter);
        Box::pin(std::future::ready(Ok(())))
    }
}

struct World {
    dns: DnsServer,
    mx: MxServer,
    /// In front of the IPv6 address only.
    attacker: Attacker,
    clock: Clock,
    folder: tempfile::TempDir,
    store: Store,
    letters: Letters,
    /// More of the configuration.
    more: &'static str,
}

fn identity(key: &ServerKey) -> Identity {
    Identity::self_signed(key, &[HOST], Validity::Current).unwrap()
}

/// A signed domain with one host and these TLSA records.
fn tree(tlsa: &[&Identity]) -> Tree {
    let mut zone = Zone::new("partner.example").signed();
    zone.add("partner.example.", &Data::mx(10, HOST));
    zone.add("mx", &Data::A("192.0.2.1".parse().unwrap()));
    zone.add("mx", &Data::Aaaa("2001:db8::1".parse().unwrap()));
    for one in tlsa {
        let data = one.spki_sha256.clone();
        zone.add("_25._tcp.mx", &Data::Tlsa { usage: 3, selector: 1, matching: 1, data });
    }
    Tree::build(vec![Zone::new("example").signed(), zone]).unwrap()
}

fn store(folder: &std::path::Path) -> Store {
    let settings = Settings::new(folder.join("data"));
    let source = SecretSource::File(folder.join("store.key"));
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, Access::Serve).unwrap()
}

impl World {
    async fn start(now: &Identity) -> Self {
        let dns = DnsServer::start(tree(&[now])).await.unwrap();
        let works = Personality::new(HOST, StartTls::Works(now.clone()));
        let mx = MxServer::start(works, Sink::default()).await.unwrap();
        let attacker = Attacker::start(mx.addr(), Method::Absent).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let clock = Clock::fixed(Clock::system().now());
        let letters = Letters::default();
        Self { dns, mx, attacker, clock, folder, store, letters, more: "" }
    }

    /// What a configuration comes to that begins without any cache.
    fn parts(&self) -> Parts {
        std::fs::write(self.folder.path().join("root.ds"), self.dns.root_ds()).unwrap();
        let ca = waxseal_lab::ca::Ca::new("Nobody's").unwrap();
        std::fs::write(self.folder.path().join("roots.pem"), ca.pem()).unwrap();
        let text = format!(
            "hostname = \"gw.sender.example\"\ndata_dir = \"data\"\n\
             [dns]\nupstream = [\"{}\"]\ntrust_anchors = \"root.ds\"\n\
             [tls]\nroots = \"roots.pem\"\n\
             [store]\nkey = \"file:{}\"\n[checks]\nmail = true\npace = 60000\n\
             [[domain]]\nname = \"sender.example\"\ninside = \"mail.sender.example:25\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [network.map]\n\"192.0.2.1:25\" = \"{}\"\n\"[2001:db8::1]:25\" = \"{}\"\n{}",
            self.dns.addr(),
            self.folder.path().join("store.key").display(),
            self.mx.addr(),
            self.attacker.addr(),
            self.more,
        );
        let file = self.folder.path().join("waxseal.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let policies = Arc::new(Forgetful::default());
        let now = self.clock.now();
        let probes = waxseal::survey::probe::Memory::default();
        let around = Around { policies, probes, exceptions: Vec::new(), mark: None, now };
        Parts::build(config, around, None).unwrap()
    }

    fn watcher(&self) -> Watcher {
        Watcher::new(Tools {
            live: Live::new(Arc::new(self.parts())),
            store: self.store.clone(),
            clock: self.clock.clone(),
            partners: Partners::default(),
            post: Arc::new(self.letters.clone()),
            board: Board::default(),
        })
    }

    /// A look, so long after the last one.
    async fn look(&self, later: u64) -> (History, Option<Alert>) {
        self.clock.set(UnixTime(self.clock.now().0 + later));
        self.watcher().look(&domain(), Whose::Own).await.unwrap()
    }
}

fn domain() -> Domain {
    Domain::parse("partner.example").unwrap()
}

fn kinds(alert: &Alert) -> Vec<(Kind, Class)> {
    alert.raised.iter().map(|change| (change.kind, change.class)).collect()
}

/// The signed zone itself denies the records: that is the domain's own doing, and is told when it
/// was seen three times. The end of it is told once, and what comes back within a day is not.
#[tokio::test(flavor = "multi_thread")]
async fn tlsa_taken_back_with_a_signed_denial_is_a_weakening_after_three_looks() {
    let key = ServerKey::generate().unwrap();
    let now = identity(&key);
    let world = World::start(&now).await;
    let (first, alert) = world.look(0).await;
    assert_eq!(alert, None);
    assert_eq!(first.looks[0].level, Some(Level::Dane), "{first:?}");
    world.dns.replace(tree(&[]));
    for _ in 0..2 {
        assert_eq!(world.look(HOUR).await.1, None, "not yet");
    }
    let alert = world.look(HOUR).await.1.unwrap();
    assert!(kinds(&alert).contains(&(Kind::Tlsa, Class::Weakening)), "{alert:?}");
    assert_eq!(alert.class(), Some(Class::Weakening));
    assert_eq!(world.look(HOUR).await.1, None, "told once");
    world.dns.replace(tree(&[&now]));
    assert_eq!(world.look(HOUR).await.1, None, "one good look does not end it");
    let over = world.look(HOUR).await.1.unwrap();
    assert!(over.raised.is_empty() && !over.cleared.is_empty(), "{over:?}");
    world.dns.replace(tree(&[]));
    for _ in 0..4 {
        assert_eq!(world.look(HOUR).await.1, None, "told within the last day");
    }
    let mut told = false;
    for _ in 0..4 {
        told |= world.look(6 * HOUR).await.1.is_some();
    }
    assert!(told, "and told again after that");
}

/// Attacker on the path to one of two addresses. One look is not enough (a fault of the way there
/// looks the same), so the next one comes after a minute, not after an hour.
#[tokio::test(flavor = "multi_thread")]
async fn starttls_stripped_before_one_address_is_a_likely_attack_within_a_minute() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.look(0).await;
    world.attacker.begin(Method::StripStartTls);
    let (history, alert) = world.look(HOUR).await;
    assert_eq!(alert, None);
    assert!(history.is_suspicious(), "{history:?}");
    let (history, alert) = world.look(60).await;
    let alert = alert.unwrap();
    assert!(kinds(&alert).contains(&(Kind::Starttls, Class::LikelyAttack)), "{alert:?}");
    assert!(alert.raised.iter().any(|change| change.subject.contains("2001:db8::1")), "{alert:?}");
    assert!(!history.is_suspicious());
    let letters = world.letters.0.lock().unwrap();
    let text = String::from_utf8_lossy(&letters[0].content).into_owned();
    assert!(text.contains("Subject: Likely attack: partner.example\r\n"), "{text}");
    assert!(text.contains("To: <postmaster@sender.example>\r\n"), "{text}");
}

/// Attacker on the path to one address, who stops to be forgotten, and begins again within the day. The return
/// is told, once; and its end only when it lasts.
#[tokio::test(flavor = "multi_thread")]
async fn an_attack_that_comes_and_goes_is_never_last_heard_of_as_over() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.look(0).await;
    let strip = async || {
        world.attacker.begin(Method::StripStartTls);
        [world.look(HOUR).await.1, world.look(60).await.1]
    };
    let stop = async || {
        world.attacker.begin(Method::Absent);
        [world.look(HOUR).await.1, world.look(HOUR).await.1]
    };
    let attack = |alerts: [Option<Alert>; 2]| -> Option<Class> {
        alerts.into_iter().flatten().next().and_then(|alert| alert.class())
    };
    assert_eq!(attack(strip().await), Some(Class::LikelyAttack));
    let [_, over] = stop().await;
    assert!(over.is_some_and(|over| over.raised.is_empty() && !over.cleared.is_empty()));
    assert_eq!(attack(strip().await), Some(Class::LikelyAttack), "it is back");
    for _ in 0..3 {
        assert_eq!(stop().await, [None, None], "nobody believes that it is over");
        assert_eq!(strip().await, [None, None], "who would say so is told nothing new");
    }
    assert_eq!(stop().await, [None, None]);
    let over = world.look(24 * HOUR).await.1.expect("it lasts");
    assert!(over.raised.is_empty() && !over.cleared.is_empty(), "{over:?}");
    assert_eq!(attack(strip().await), Some(Class::LikelyAttack), "another day");
}

/// Attacker: on the path to one address, then to DNS as well. The look that confirms does not ask the
/// cache, which was filled before; ordinary looks and mail do, and lose nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_confirming_look_asks_dns_again_and_leaves_mail_its_cache() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    let parts = Arc::new(world.parts());
    let watcher = Watcher::new(Tools {
        live: Live::new(Arc::clone(&parts)),
        store: world.store.clone(),
        clock: world.clock.clone(),
        partners: Partners::default(),
        post: Arc::new(world.letters.clone()),
        board: Board::default(),
    });
    let look = async |later: u64| {
        world.clock.set(UnixTime(world.clock.now().0 + later));
        watcher.look(&domain(), Whose::Own).await.unwrap().0
    };
    let noted = |history: &History| {
        history.changes.iter().map(|noted| noted.change.kind).collect::<Vec<_>>()
    };
    look(0).await;
    world.attacker.begin(Method::StripStartTls);
    let forged = Act::Replace(vec![Data::mx(10, "mx.attacker.example")]);
    world.dns.tamper(Tampering::only("partner.example", rtype::MX, forged));
    let history = look(HOUR).await;
    assert!(history.is_suspicious(), "{history:?}");
    assert_eq!(noted(&history), [Kind::Starttls], "DNS is in the cache for its TTL");
    let history = look(60).await;
    assert!(noted(&history).contains(&Kind::Mx), "signatures do not hold: {history:?}");
    let kept = parts.gatherer.gather(&domain(), None, world.clock.now()).await;
    assert_eq!(kept.facts.hosts.len(), 1, "mail goes by what holds: {:?}", kept.facts.mx);
    assert!(parts.resolver.mx(&domain()).await.answer.is_secure());
}

/// RFC 7671 §8.1: the next key is published, then used, then the old record goes. No look of it
/// is an alarm, and each is in the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_renewed_with_its_record_is_drift() {
    let (old, new) =
        (identity(&ServerKey::generate().unwrap()), identity(&ServerKey::generate().unwrap()));
    let world = World::start(&old).await;
    world.look(0).await;
    let roll = Personality::new(HOST, StartTls::Works(new.clone()));
    world.dns.replace(tree(&[&old, &new]));
    assert_eq!(world.look(HOUR).await.1, None);
    world.mx.become_like(roll);
    assert_eq!(world.look(HOUR).await.1, None);
    world.dns.replace(tree(&[&new]));
    for _ in 0..4 {
        assert_eq!(world.look(HOUR).await.1, None);
    }
    let kept = history(&world.store, &domain(), world.clock.now()).await.unwrap().unwrap();
    let noted: Vec<_> =
        kept.changes.iter().map(|one| (one.change.kind, one.change.class)).collect();
    assert!(noted.contains(&(Kind::Certificate, Class::Drift)), "{noted:?}");
    assert!(noted.contains(&(Kind::Tlsa, Class::Drift)), "{noted:?}");
    assert!(noted.iter().all(|(_, class)| *class == Class::Drift), "{noted:?}");
    assert!(kept.expiries.certificate.is_some() && kept.expiries.signature.is_some());
}

/// The certificate of one of our mail hosts was not renewed: told after a second look, once, and when it
/// is renewed. With a matching TLSA record its dates count for nothing (RFC 7672 §3.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ours_that_ends_soon_is_told_and_its_renewal_too() {
    let key = ServerKey::generate().unwrap();
    let ending = Identity::self_signed(&key, &[HOST], Validity::Days(5)).unwrap();
    let world = World::start(&ending).await;
    for _ in 0..4 {
        assert_eq!(world.look(HOUR).await.1, None, "the record matches");
    }
    let world = World::start(&ending).await;
    world.dns.replace(tree(&[]));
    assert_eq!(world.look(0).await.1, None);
    let alert = world.look(HOUR).await.1.unwrap();
    assert_eq!(kinds(&alert), [(Kind::Expiry, Class::Drift)], "{alert:?}");
    assert_eq!(alert.raised[0].subject, "mx.partner.example certificate");
    let text = {
        let letters = world.letters.0.lock().unwrap();
        String::from_utf8_lossy(&letters[0].content).into_owned()
    };
    assert!(text.contains("Subject: Ends soon: partner.example\r\n"), "{text}");
    assert_eq!(world.look(HOUR).await.1, None, "told once");
    world.mx.become_like(Personality::new(HOST, StartTls::Works(identity(&key))));
    assert_eq!(world.look(HOUR).await.1, None);
    let over = world.look(HOUR).await.1.unwrap();
    assert!(over.raised.is_empty(), "{over:?}");
    assert!(over.cleared.iter().all(|change| change.kind == Kind::Expiry), "{over:?}");
}

/// What is known of a domain is in the store: a restart between two looks changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_history() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.look(0).await;
    world.dns.replace(tree(&[]));
    world.look(HOUR).await;
    world.look(HOUR).await;
    let World { dns, mx, attacker, clock, folder, store: before, letters, more } = world;
    drop(before);
    let again = store(folder.path());
    let world = World { dns, mx, attacker, clock, folder, store: again, letters, more };
    let (history, alert) = world.look(HOUR).await;
    assert_eq!(history.looks.len(), 4);
    assert!(alert.is_some(), "the third look in a row: {history:?}");
}

/// A hostile file is not the question here: another version may have written the value.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_cannot_be_read_begins_anew() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    let entry = waxseal::store::Entry {
        name: domain().as_str().to_owned(),
        value: b"{\"looks\":7}".to_vec(),
        expires: None,
    };
    world.store.save(waxseal::store::Space::Check, entry).await.unwrap();
    let (history, alert) = world.look(0).await;
    assert_eq!((history.looks.len(), alert), (1, None));
}

/// Past the limit: the oldest look goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_bounded() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    let (mut history, _) = world.look(0).await;
    let parts = world.parts();
    let scope = waxseal::survey::Scope::new(waxseal::survey::Depth::DnsOnly);
    let survey = parts.surveyor.survey(&domain(), &scope, world.clock.now()).await;
    let terms = waxseal_core::org::Terms::default();
    let against = waxseal_core::assess::Against {
        roots: &parts.roots,
        terms: &terms,
        before: None,
        testing_since: None,
        now: world.clock.now(),
    };
    let mut assessment = waxseal_core::assess::assess(&survey, &against);
    for _ in 0..100 {
        assessment.checked_at = assessment.checked_at + Duration::from_secs(HOUR);
        let repeat = Duration::from_secs(HOUR);
        let given = Given { repeat, ours: &[], vantage: Vantage::Clear, sightings: &[] };
        history.observe(&survey, &assessment, &given);
    }
    assert_eq!(history.looks.len(), 64);
    assert_eq!(history.looks[63].at, assessment.checked_at);
}

/// The store is there, so that nobody is asked: the command only reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_domain_is_shown() {
    let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
    world.look(0).await;
    let run = |name: &'static str, json: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.arg("--config").arg(world.folder.path().join("waxseal.toml"));
        let out = command.args(["check", "--history", name]).args(json).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let (code, text) = run("partner.example", &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("dane") && text.contains("Changes\n  none\n"), "{text}");
    world.dns.replace(tree(&[]));
    for _ in 0..3 {
        world.look(HOUR).await;
    }
    let (code, text) = run("partner.example", &[]);
    assert_eq!(code, Some(1), "an alarm is open: {text}");
    assert!(text.contains("  ! since ") && text.contains("(weakening)"), "{text}");
    let (_, text) = run("partner.example", &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "waxseal/check-history/1");
    let listed = include_str!("../../../../docs/check.md");
    for key in document.as_object().unwrap().keys() {
        assert!(listed.contains(&format!("\n| `{key}` |")), "docs/check.md lists {key}");
    }
    assert_eq!(document["looks"].as_array().unwrap().len(), 4);
    assert!(document["open"][0]["change"]["class"] == "weakening", "{document}");
    assert_eq!(run("other.example", &[]).0, Some(2), "nobody has looked at it");
}

/// Where mail went is counted across restarts, fades, and is forgotten after some weeks.
#[tokio::test]
async fn partners_are_those_that_mail_goes_to_most_used_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let named = |name: &str| Domain::parse(name).unwrap();
    let (rare, often) = (named("rare.example"), named("often.example"));
    let partners = Partners::default();
    let mut now = Clock::system().now();
    partners.used(&rare);
    (0..3).for_each(|_| partners.used(&often));
    let found = partners.most_used(&store, 10, now).await.unwrap();
    assert_eq!(found, [often.clone(), rare.clone()]);
    assert_eq!(partners.most_used(&store, 1, now).await.unwrap(), std::slice::from_ref(&often));
    let after_a_restart = Partners::default();
    for _ in 0..7 {
        now = now + Duration::from_secs(24 * HOUR);
        let found = after_a_restart.most_used(&store, 10, now).await.unwrap();
        assert_eq!(found, [often.clone(), rare.clone()], "a domain of once a week stays");
    }
    for _ in 0..60 {
        now = now + Duration::from_secs(24 * HOUR);
        after_a_restart.most_used(&store, 10, now).await.unwrap();
    }
    assert!(after_a_restart.most_used(&store, 10, now).await.unwrap().is_empty());
}
