//! The DKIM keys of a domain of ours, in the zone and in the configuration.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use waxseal::{
    config::Config,
    gather::Forgetful,
    resolve::Clock,
    serve::{Around, Live, Parts},
    store::Store,
    watch::{Alert, Board, History, Partners, Tools, Watcher, Whose, history},
};
use waxseal_core::{
    assess::{
        Id,
        change::{Class, Kind},
    },
    domain::Domain,
    time::UnixTime,
};
use waxseal_lab::dns::{Data, DnsServer, Tree, Zone};

use super::{HOUR, Letters, store};

const NAME: &str = "own.test";
/// Where the name server of the lab's zones is said to be.
const NS: &str = "192.0.2.53";

/// The domain `own.test`, which takes no mail and sends some.
pub(crate) struct Ours {
    dns: DnsServer,
    folder: tempfile::TempDir,
}

/// A key: what its record says, and where its private half lies.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) record: String,
    pub(crate) file: PathBuf,
}

fn tree(records: &[(&str, &str)]) -> Tree {
    let mut zone = Zone::new(NAME).signed().ttl(1);
    zone.add("@", &Data::mx(0, "."));
    for (selector, text) in records {
        zone.add(&format!("{selector}._domainkey"), &Data::txt(text));
    }
    let ns = Data::A(NS.parse().unwrap());
    let invalid = Zone::new("invalid").signed().record("ns.lab", &ns);
    Tree::build(vec![Zone::new("test").signed(), invalid, zone]).unwrap()
}

impl Ours {
    pub(crate) async fn start() -> Self {
        let dns = DnsServer::start(tree(&[])).await.unwrap();
        Self { dns, folder: tempfile::tempdir().unwrap() }
    }

    /// A new key.
    pub(crate) fn key(&self, name: &str) -> Key {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let file = self.folder.path().join(name);
        fs::write(&file, key.serialize_pem()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key.der_bytes()));
        Key { record, file }
    }

    /// The zone has these records at these selectors, and no others; the configuration trusts it.
    pub(crate) fn publish(&self, records: &[(&str, &str)]) {
        self.dns.replace(tree(records));
        // Another tree has another root.
        fs::write(self.folder.path().join("root.ds"), self.dns.root_ds()).unwrap();
    }

    /// Writes a configuration that lists these keys, and has `more` at its end.
    pub(crate) fn configure(&self, listed: &[(&str, &Key)], more: &str) -> PathBuf {
        let folder = self.folder.path();
        fs::write(folder.join("root.ds"), self.dns.root_ds()).unwrap();
        let ca = waxseal_lab::ca::Ca::new("Nobody's").unwrap();
        fs::write(folder.join("roots.pem"), ca.pem()).unwrap();
        let keys: Vec<_> = listed
            .iter()
            .map(|(selector, key)| format!("\"{selector}=file:{}\"", key.file.display()))
            .collect();
        let text = format!(
            "hostname = \"gw.{NAME}\"\ndata_dir = \"data\"\n\
             [dns]\nupstream = [\"{dns}\"]\ntrust_anchors = \"root.ds\"\n\
             [tls]\nroots = \"roots.pem\"\n\
             [store]\nkey = \"file:{key}\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [network.map]\n\"{NS}:53\" = \"{dns}\"\n\
             [[domain]]\nname = \"{NAME}\"\ninside = \"127.0.0.1:1\"\ninside_tls = \"opportunistic\"\n\
             [domain.publish]\ndkim = [{keys}]\n{more}",
            dns = self.dns.addr(),
            key = folder.join("store.key").display(),
            keys = keys.join(", "),
        );
        let file = folder.join("waxseal.toml");
        fs::write(&file, text).unwrap();
        file
    }
}

/// A gateway that looks at the domain.
struct Looking {
    ours: Ours,
    clock: Clock,
    store: Store,
}

impl Looking {
    async fn start() -> Self {
        let ours = Ours::start().await;
        let store = store(ours.folder.path());
        Self { ours, clock: Clock::fixed(Clock::system().now()), store }
    }

    /// A look with the configuration that is there and without any cache, so long after the last one.
    async fn look(&self, later: u64) -> (History, Option<Alert>) {
        self.clock.set(UnixTime(self.clock.now().0 + later));
        let config = Config::load(&self.ours.folder.path().join("waxseal.toml")).unwrap();
        let around = Around {
            policies: Arc::new(Forgetful::default()),
            probes: waxseal::survey::probe::Memory::default(),
            exceptions: Vec::new(),
            mark: None,
            now: self.clock.now(),
        };
        let watcher = Watcher::new(Tools {
            live: Live::new(Arc::new(Parts::build(config, around, None).unwrap())),
            store: self.store.clone(),
            clock: self.clock.clone(),
            partners: Partners::default(),
            post: Arc::new(Letters(Arc::new(Mutex::default()))),
            board: Board::default(),
        });
        watcher.look(&Domain::parse(NAME).unwrap(), Whose::Own).await.unwrap()
    }

    async fn quiet(&self, later: u64) -> History {
        let (history, alert) = self.look(later).await;
        assert_eq!(alert, None, "{history:?}");
        history
    }
}

/// What an alert says of our selectors.
fn raised(alert: &Alert) -> Vec<(&str, Class)> {
    assert!(alert.raised.iter().all(|change| change.kind == Kind::Dkim), "{alert:?}");
    alert.raised.iter().map(|change| (change.subject.as_str(), change.class)).collect()
}

/// Attacker: somebody with access to the zone puts in a key of his own, and signs as we do. The look
/// after a minute confirms it; once our key is back, the end is told after two looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_at_our_selector_is_a_likely_attack_within_a_minute() {
    let world = Looking::start().await;
    let (mine, strange) = (world.ours.key("mine.pem"), world.ours.key("strange.pem"));
    world.ours.configure(&[("s1", &mine)], "");
    world.ours.publish(&[("s1", &mine.record)]);
    let history = world.quiet(0).await;
    assert!(!history.looks[0].findings.contains(&Id::DkimOtherKey), "{history:?}");
    world.ours.publish(&[("s1", &strange.record)]);
    let history = world.quiet(HOUR).await;
    assert!(history.is_suspicious(), "{history:?}");
    assert!(history.looks[1].findings.contains(&Id::DkimOtherKey), "{history:?}");
    let alert = world.look(60).await.1.unwrap();
    assert_eq!(raised(&alert), [("s1._domainkey.own.test", Class::LikelyAttack)]);
    world.ours.publish(&[("s1", &mine.record)]);
    world.quiet(HOUR).await;
    let over = world.look(HOUR).await.1.unwrap();
    assert!(over.raised.is_empty() && over.cleared.len() == 1, "{over:?}");
}

/// Attacker with access to the zone: puts his key beside ours, so that it depends on the receiver which
/// one counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_key_beside_ours_is_a_likely_attack() {
    let world = Looking::start().await;
    let (mine, strange) = (world.ours.key("mine.pem"), world.ours.key("strange.pem"));
    world.ours.configure(&[("s1", &mine)], "");
    world.ours.publish(&[("s1", &mine.record)]);
    world.quiet(0).await;
    world.ours.publish(&[("s1", &mine.record), ("s1", &strange.record)]);
    world.quiet(HOUR).await;
    let alert = world.look(60).await.1.unwrap();
    assert_eq!(raised(&alert), [("s1._domainkey.own.test", Class::LikelyAttack)]);
}

/// Attacker with access to the zone, who wants our mail to fail: takes the record out.
#[tokio::test(flavor = "multi_thread")]
async fn our_key_that_vanishes_is_a_weakening_after_three_looks() {
    let world = Looking::start().await;
    let mine = world.ours.key("mine.pem");
    world.ours.configure(&[("s1", &mine)], "");
    world.ours.publish(&[("s1", &mine.record)]);
    world.quiet(0).await;
    world.ours.publish(&[]);
    world.quiet(HOUR).await;
    world.quiet(HOUR).await;
    let alert = world.look(HOUR).await.1.unwrap();
    assert_eq!(raised(&alert), [("s1._domainkey.own.test", Class::Weakening)]);
}

/// From the first selector to the second, step by step; then the key of our own letters gets another key
/// while its record stays, which is a rotation by half: our letters fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_no_alarm_unless_it_is_done_by_half() {
    let world = Looking::start().await;
    let keys = ["one.pem", "two.pem", "three.pem"].map(|name| world.ours.key(name));
    let [one, two, three] = &keys;
    let revoked = "v=DKIM1; p=";
    let ours = &world.ours;
    ours.configure(&[("s1", one)], "");
    ours.publish(&[("s1", &one.record)]);
    world.quiet(0).await;
    ours.configure(&[("s1", one), ("s2", two)], "");
    world.quiet(HOUR).await;
    ours.publish(&[("s1", &one.record), ("s2", &two.record)]);
    world.quiet(HOUR).await;
    let letters = |key: &Key| {
        let file = key.file.display();
        format!("[author]\ndkim_selector = \"s2\"\ndkim_key = \"file:{file}\"\n")
    };
    ours.configure(&[], &letters(two));
    ours.publish(&[("s1", revoked), ("s2", &two.record)]);
    for _ in 0..4 {
        world.quiet(HOUR).await;
    }
    let kept =
        history(&world.store, &Domain::parse(NAME).unwrap(), world.clock.now()).await.unwrap();
    let kept = kept.unwrap();
    assert!(!kept.looks.back().unwrap().findings.contains(&Id::DkimKey), "{kept:?}");

    ours.configure(&[], &letters(three));
    world.quiet(HOUR).await;
    world.quiet(HOUR).await;
    let alert = world.look(HOUR).await.1.unwrap();
    assert_eq!(raised(&alert), [("s2._domainkey.own.test", Class::Weakening)]);
    ours.publish(&[("s2", &three.record)]);
    world.quiet(HOUR).await;
    assert_eq!(world.look(HOUR).await.1.unwrap().cleared.len(), 1);
}

/// A key that the gateway cannot read: it does not know, and other alarms begin and end as always.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_unknown_and_keeps_no_alarm_open() {
    let world = Looking::start().await;
    let mine = world.ours.key("mine.pem");
    world.ours.configure(&[("s1", &mine), ("s2", &mine)], "");
    world.ours.publish(&[("s1", &mine.record), ("s2", &mine.record)]);
    world.quiet(0).await;
    let away = mine.file.with_extension("away");
    fs::rename(&mine.file, &away).unwrap();
    let history = world.quiet(HOUR).await;
    assert!(history.looks[1].findings.contains(&Id::DkimKeyUnknown), "{history:?}");
    world.ours.publish(&[("s1", &mine.record)]);
    world.quiet(HOUR).await;
    world.quiet(HOUR).await;
    let alert = world.look(HOUR).await.1.unwrap();
    assert_eq!(raised(&alert), [("s2._domainkey.own.test", Class::Weakening)]);
    world.ours.publish(&[("s1", &mine.record), ("s2", &mine.record)]);
    world.quiet(HOUR).await;
    assert_eq!(world.look(HOUR).await.1.unwrap().cleared.len(), 1);
}
