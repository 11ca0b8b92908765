//! Partner domains that take their time, beside one of our own.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, time::timeout};
use waxseal::{
    config::Config,
    gather::Forgetful,
    resolve::Clock,
    serve::{Around, Live, Parts},
    survey::probe::Memory,
    watch::{Board, Partners, Tools, Watcher, history},
};
use waxseal_core::{assess::Delivery, domain::Domain};
use waxseal_lab::{
    dns::{Data, DnsServer, Tree, Zone},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::{Letters, store};

const PATIENCE: Duration = Duration::from_secs(60);
const OWN: &str = "sender.example";
/// More than there are places.
const TARPITS: u8 = 6;
/// Hosts of each, and addresses of each host.
const HOSTS: u8 = 4;

/// Takes connections, says nothing, and tells how many domains it holds so.
struct Tarpits {
    at: BTreeMap<String, SocketAddr>,
    held: watch::Receiver<usize>,
}

impl Tarpits {
    async fn start() -> Self {
        let (tell, held) = watch::channel(0);
        let tell = Arc::new(tell);
        let mut at = BTreeMap::new();
        for number in 0..TARPITS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            for host in 0..HOSTS {
                at.insert(format!("192.0.{}.{}:25", 10 + number, 1 + host), address);
            }
            let tell = Arc::clone(&tell);
            tokio::spawn(async move {
                let mut lines = Vec::new();
                while let Ok((line, _)) = listener.accept().await {
                    if lines.is_empty() {
                        tell.send_modify(|held| *held += 1);
                    }
                    lines.push(line);
                }
            });
        }
        Self { at, held }
    }

    fn domains() -> Vec<Domain> {
        (0..TARPITS).map(|n| Domain::parse(&format!("tarpit{n}.example")).unwrap()).collect()
    }
}

fn tree() -> Tree {
    let mut own = Zone::new(OWN).signed();
    own.add("sender.example.", &Data::mx(10, "mx.sender.example"));
    own.add("mx", &Data::A("192.0.2.1".parse().unwrap()));
    let mut zones = vec![Zone::new("example").signed(), own];
    for (number, domain) in (10..).zip(Tarpits::domains()) {
        let mut zone = Zone::new(domain.as_str());
        for host in 1..=HOSTS {
            zone.add(&format!("{domain}."), &Data::mx(10, &format!("mx{host}.{domain}")));
            zone.add(&format!("mx{host}"), &Data::A([192, 0, number, host].into()));
        }
        zones.push(zone);
    }
    Tree::build(zones).unwrap()
}

fn parts(folder: &std::path::Path, dns: &DnsServer, mx: &MxServer, tarpits: &Tarpits) -> Parts {
    std::fs::write(folder.join("root.ds"), dns.root_ds()).unwrap();
    let ca = waxseal_lab::ca::Ca::new("Nobody's").unwrap();
    std::fs::write(folder.join("roots.pem"), ca.pem()).unwrap();
    let mut text = format!(
        "hostname = \"gw.sender.example\"\ndata_dir = \"data\"\n\
         [dns]\nupstream = [\"{}\"]\ntrust_anchors = \"root.ds\"\n\
         [tls]\nroots = \"roots.pem\"\n[store]\nkey = \"file:{}\"\n\
         [[domain]]\nname = \"{OWN}\"\ninside = \"mail.sender.example:25\"\n\
         [web.metrics]\naddress = \"127.0.0.1:0\"\n\
         [checks]\ntimeout = \"10m\"\nhost_timeout = \"10m\"\ndomain_timeout = \"1h\"\n\
         [network.map]\n\"192.0.2.1:25\" = \"{}\"\n",
        dns.addr(),
        folder.join("store.key").display(),
        mx.addr(),
    );
    for (from, to) in &tarpits.at {
        text.push_str(&format!("\"{from}\" = \"{to}\"\n"));
    }
    let file = folder.join("waxseal.toml");
    std::fs::write(&file, text).unwrap();
    let mut config = Config::load(&file).unwrap();
    // Nobody writes that into a file: it would be refused.
    config.checks.own = Some(Duration::from_secs(1));
    config.checks.partners = Some(Duration::from_secs(1));
    let policies = Arc::new(Forgetful::default());
    let (probes, now) = (Memory::default(), Clock::system().now());
    let around = Around { policies, probes, exceptions: Vec::new(), mark: None, now };
    Parts::build(config, around, None).unwrap()
}

/// Attacker: several hostile recipient domains that we write to, each with hosts that take connections
/// and never say a word. No time-out ends here before the test does, so that it is their number alone
/// that does not matter: our own domain is looked at again and again.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_domain_is_looked_at_in_time_while_partners_are_tarpits() {
    let tarpits = Tarpits::start().await;
    let dns = DnsServer::start(tree()).await.unwrap();
    let healthy = Personality::new("mx.sender.example", StartTls::Absent);
    let mx = MxServer::start(healthy, Sink::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let partners = Partners::default();
    Tarpits::domains().iter().for_each(|domain| partners.used(domain));
    let watcher = Watcher::new(Tools {
        live: Live::new(Arc::new(parts(folder.path(), &dns, &mx, &tarpits))),
        store: store.clone(),
        clock: Clock::system(),
        partners,
        post: Arc::new(Letters::default()),
        board: Board::default(),
    });
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(watcher.run(stopped));
    let mut held = tarpits.held.clone();
    timeout(PATIENCE, held.wait_for(|held| *held >= 3)).await.expect("partners are begun").unwrap();

    let own = Domain::parse(OWN).unwrap();
    let looks = async || {
        let kept = history(&store, &own, Clock::system().now()).await.unwrap();
        kept.map(|kept| kept.looks).unwrap_or_default()
    };
    let before = looks().await.len();
    let again = async {
        loop {
            let seen = looks().await;
            if seen.len() >= before + 2 {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    let seen = timeout(PATIENCE, again).await.expect("our own domain is looked at");
    assert!(seen.iter().all(|glance| glance.delivery == Delivery::Delivers), "{seen:?}");
    assert_eq!(*held.borrow(), 3, "and the others wait");
    for domain in Tarpits::domains() {
        let kept = history(&store, &domain, Clock::system().now()).await.unwrap();
        assert!(kept.is_none(), "{domain} is not seen to its end");
    }
    stop.send(true).unwrap();
    timeout(PATIENCE, running).await.expect("it stops").unwrap();
}
