//! Strangers are asked once, one connection at a time.

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
};

use tokio::task::JoinSet;
use waxseal::{
    resolve::Clock,
    survey::{Depth, Scope},
};
use waxseal_core::{assess::Observed, domain::Domain};
use waxseal_lab::{
    ca::{Ca, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::world::surveyor;

/// Domains, and operators that they share.
const DOMAINS: usize = 300;
const OPERATORS: u8 = 5;
/// Connections that one probe of a healthy host makes: three kinds of keys, old versions, weak
/// suites, weak groups of 1.2 and 1.3, and the extended master secret.
const CONNECTIONS: usize = 8;

/// A thousand customers of one provider must not look like an attack to that provider.
#[tokio::test(flavor = "multi_thread")]
async fn domains_at_the_same_operators_cost_one_probe_for_each_address() {
    let ca = Ca::new("Lab Public CA").unwrap();
    let mut zone = Zone::new("example").ttl(3_600);
    let (mut servers, mut map) = (Vec::new(), HashMap::new());
    for number in 1..=OPERATORS {
        let name = format!("mx.operator{number}.example");
        let identity = ca.issue(&ServerKey::generate().unwrap(), &[&name], Validity::Current);
        let personality = Personality::new(&name, StartTls::Works(identity.unwrap()));
        let server = MxServer::start(personality, Sink::default()).await.unwrap();
        let address = Ipv4Addr::new(192, 0, 2, number);
        zone.add(&format!("{name}."), &Data::A(address));
        map.insert(SocketAddr::new(address.into(), 25), server.addr());
        servers.push(server);
    }
    for number in 0..DOMAINS {
        let operator = number % usize::from(OPERATORS) + 1;
        zone.add(&format!("d{number}"), &Data::mx(10, &format!("mx.operator{operator}.example")));
    }
    let dns = DnsServer::start(Tree::build(vec![zone]).unwrap()).await.unwrap();
    let roots = [webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()];
    let surveyor = surveyor(&dns, map, &roots);
    let now = Clock::system().now();
    let mut surveys = JoinSet::new();
    for number in 0..DOMAINS {
        let surveyor = surveyor.clone();
        surveys.spawn(async move {
            let domain = Domain::parse(&format!("d{number}.example")).unwrap();
            surveyor.survey(&domain, &Scope::new(Depth::Full), now).await
        });
    }
    let mut seen = BTreeSet::new();
    for survey in surveys.join_all().await {
        let Observed::Probed(probe) = &survey.hosts[0].addresses[0].observed else {
            panic!("{survey:?}")
        };
        seen.insert(format!("{probe:?}"));
    }
    assert_eq!(seen.len(), usize::from(OPERATORS));
    for server in &servers {
        assert_eq!(server.transcript().sessions(), CONNECTIONS);
        assert!(!server.transcript().saw("MAIL"), "a probe never says MAIL");
    }
}
