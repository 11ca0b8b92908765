//! Which servers the gate asks: every one that a sender may be sent to, and never fewer in silence.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use waxseal_lab::dns::{Act, Data, DnsServer, Name, Tampering, Tree, Zone, rtype};

use super::{NS, POLICY, Said, World, gate::hosts, own_zone, tlsa};

/// The server of the zone `test`, which delegates `own.test`.
const ABOVE: &str = "192.0.2.61";
/// The server that only `test` still names.
const FORGOTTEN: &str = "192.0.2.59";

/// A server of the zone above: refers whoever asks to these servers, or has no answer.
async fn above(names: &[&str]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let names: Vec<Vec<u8>> = names.iter().map(|name| Name::new(name).wire()).collect();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = refer(stream, &names).await;
        }
    });
    (address, task)
}

async fn refer(mut stream: TcpStream, names: &[Vec<u8>]) -> std::io::Result<()> {
    let length = stream.read_u16().await?;
    let mut query = vec![0; usize::from(length)];
    stream.read_exact(&mut query).await?;
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
    let refused = if names.is_empty() { 5 } else { 0 };
    let count = u8::try_from(names.len()).unwrap();
    let mut message = query[..2].to_vec();
    message.extend([0x80, refused, 0, 1, 0, 0, 0, count, 0, 0]);
    message.extend(&query[12..end]);
    for name in names {
        message.extend([0xc0, 12, 0, 2, 0, 1, 0, 0, 1, 44]);
        message.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        message.extend(name);
    }
    stream.write_u16(u16::try_from(message.len()).unwrap()).await?;
    stream.write_all(&message).await
}

/// Both records are there, and the zone above is served elsewhere, by who names `names`.
async fn world(names: &[&str], more: impl FnOnce(Zone) -> Zone) -> (World, JoinHandle<()>) {
    let mut world = World::new(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    let own = own_zone()
        .record("ns9", &Data::A(FORGOTTEN.parse().unwrap()))
        .record("_25._tcp.mx", &tlsa(&now))
        .record("_25._tcp.mx", &tlsa(&next));
    let test = Zone::new("test")
        .signed()
        .servers(&["ns.above.test"])
        .record("ns.above", &Data::A(ABOVE.parse().unwrap()));
    let invalid = Zone::new("invalid").signed().record("ns.lab", &Data::A(NS.parse().unwrap()));
    world.dns.replace(Tree::build(vec![test, invalid, more(own)]).unwrap());
    let (address, task) = above(names).await;
    world.map.push((format!("{ABOVE}:53"), address));
    world.configure("", &hosts(&world));
    (world, task)
}

/// A forgotten server, or an old hoster: the delegation still names it, and senders are sent there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_the_parent_names_is_asked_as_well() {
    let (mut world, _above) = world(&["ns.lab.invalid", "ns9.own.test"], |zone| zone).await;
    let old: DnsServer = world.dns.twin().await.unwrap();
    old.tamper(Tampering::only("_25._tcp.mx.own.test", rtype::TLSA, Act::NoData));
    world.map.push((format!("{FORGOTTEN}:53"), old.addr()));
    world.configure("", &hosts(&world));
    let said = world.publish(&["gate"]).await;
    // A denial without proof: what it has is not known.
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let why = "ns9.own.test (192.0.2.59) [named by the parent zone only]:";
    assert!(said.out.contains(why), "{}", said.out);
    // It follows: the record is on both.
    old.restore();
    let said = world.publish(&["gate"]).await;
    assert!(said.out.contains("on all 2 server addresses"), "{}", said.out);
    // Nobody answers there any more.
    world.map.pop();
    let (silent, _task) = above(&[]).await;
    world.map.push((format!("{FORGOTTEN}:53"), silent));
    world.configure("", &hosts(&world));
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("it answers REFUSED (RCODE 5)"), "{}", said.out);
    assert!(said.out.contains("or take it out of the NS records"), "{}", said.out);
}

/// The attacker has the old server, or nobody keeps it: what it says of keys counts for whoever resolves from
/// the root. `check` asks it, too, and says who sends them there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_of_a_server_that_only_the_parent_names() {
    let (mut world, _above) = world(&["ns.lab.invalid", "ns9.own.test"], |zone| zone).await;
    let old: DnsServer = world.dns.twin().await.unwrap();
    old.tamper(Tampering::only("_25._tcp.mx.own.test", rtype::TLSA, Act::NoData));
    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    world.map.push((format!("{FORGOTTEN}:53"), old.addr()));
    world.map.push(("192.0.2.25:25".to_owned(), nobody));
    world.map.push((format!("{POLICY}:443"), nobody));
    world.configure("", &hosts(&world));
    let findings = |said: &Said| {
        let told = said.json();
        let findings = told["findings"].as_array().unwrap().iter();
        let short = findings.map(|one| {
            let part = |key: &str| one[key].as_str().unwrap().to_owned();
            (part("id"), (part("severity"), part("evidence")))
        });
        short.collect::<std::collections::BTreeMap<_, _>>()
    };
    let said = world.run(&["check", "own.test", "--json"]).await;
    let told = findings(&said);
    let (severity, evidence) = &told["NS-DELEGATION"];
    assert_eq!((&**severity, &**evidence), ("warning", "only the zone above names ns9.own.test"));
    let evidence = &told["TLSA-NS-DIVERGES"].1;
    assert!(evidence.contains("ns9.own.test (1 in all): no record, unsigned"), "{told:?}");
    // Both sides name the same.
    let (mut world, _above) = self::world(&["ns.lab.invalid"], |zone| zone).await;
    world.map.push(("192.0.2.25:25".to_owned(), nobody));
    world.map.push((format!("{POLICY}:443"), nobody));
    world.configure("", &hosts(&world));
    let told = findings(&world.run(&["check", "own.test", "--json"]).await);
    assert!(!told.contains_key("NS-DELEGATION"), "{told:?}");
}

/// Attacker: a thief of the account at the registrar, who adds a server of their own to a delegation whose
/// other servers have as many addresses as are asked in all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_at_the_registrar_is_seen_behind_twenty_others() {
    let own: Vec<String> = (0..10).map(|n| format!("n{n}.own.test")).collect();
    let twenty = |zone: Zone| {
        let ns = |zone: Zone, name: &String| zone.record("@", &Data::Ns(Name::new(name)));
        with_addresses("n", 10, own.iter().fold(zone, ns))
    };
    let above = own.iter().map(String::as_str).chain(["ns.lab.invalid", "ns9.own.test"]);
    a_thief_is_seen(&above.collect::<Vec<_>>(), twenty).await;
}

/// Attacker: the same, who hides it behind names that lead to the servers of before, with many addresses each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thief_at_the_registrar_is_seen_behind_names_of_our_own_servers() {
    let above = ["d0.own.test", "d1.own.test", "d2.own.test", "d3.own.test", "d4.own.test"];
    let above = [&above[..], &["ns.lab.invalid", "ns9.own.test"]].concat();
    a_thief_is_seen(&above, |zone| with_addresses("d", 5, zone)).await;
}

/// Addresses of servers that are ours.
fn twenty_addresses() -> [Ipv4Addr; 20] {
    std::array::from_fn(|n| Ipv4Addr::new(198, 51, 100, u8::try_from(n).unwrap()))
}

/// All of them shared out among so many names.
fn with_addresses(letter: &str, names: usize, zone: Zone) -> Zone {
    let addresses = twenty_addresses().into_iter().enumerate();
    addresses.fold(zone, |zone, (n, address)| {
        zone.record(&format!("{letter}{}", n % names), &Data::A(address))
    })
}

/// A thief has `ns9.own.test`, which `above` names last, and answers there with a mail host of their own.
async fn a_thief_is_seen(above: &[&str], more: impl FnOnce(Zone) -> Zone) {
    let (mut world, _above) = world(above, more).await;
    let thief: DnsServer = world.dns.twin().await.unwrap();
    let forged = Act::Replace(vec![Data::mx(10, "mx.thief.test")]);
    thief.tamper(Tampering::only("own.test", rtype::MX, forged));
    let asked = |server: &DnsServer| {
        let all = server.questions().into_iter();
        all.filter(|one| one.name == "own.test." && one.rtype == rtype::MX).count()
    };
    for address in twenty_addresses() {
        world.map.push((format!("{address}:53"), world.dns.addr()));
    }
    world.map.push((format!("{FORGOTTEN}:53"), thief.addr()));
    world.configure("", &hosts(&world));
    let told = world.run(&["check", "own.test", "--json"]).await.json();
    assert!(asked(&world.dns) >= 20, "the others are asked as well: {}", asked(&world.dns));
    assert!(asked(&thief) > 0, "nobody asked the server of the thief");
    let diverges = |one: &&serde_json::Value| one["id"] == "NS-DIVERGES";
    let findings = told["findings"].as_array().unwrap();
    let evidence = findings.iter().find(diverges).map(|one| one["evidence"].to_string());
    assert!(evidence.as_ref().is_some_and(|text| text.contains("ns9.own.test")), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delegation_that_nobody_can_be_asked_for_keeps_the_door_shut() {
    let (world, _above) = world(&[], |zone| zone).await;
    let begin = Instant::now();
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let why =
        "own.test: no server of test, the zone above, says whom it names: ns.above.test: no NS";
    assert!(said.out.contains(why), "{}", said.out);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// IPv6 on a machine without it: said, and no reason to wait where the same server speaks IPv4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_reached_from_here_is_shown() {
    let far = Data::Aaaa(Ipv6Addr::new(0x2001, 0x4860, 0, 0, 0, 0, 0, 0x53));
    let both = |zone: Zone| {
        zone.record("@", &Data::Ns(Name::new("ns2.own.test")))
            .record("ns2", &Data::A(NS.parse().unwrap()))
            .record("ns2", &far)
    };
    let (place, _above) = world(&["ns.lab.invalid"], both).await;
    let said = place.publish(&["gate", "--json"]).await;
    let json = said.json();
    let aside = "ns2.own.test (2001:4860::53): its address family is switched off in [delivery]";
    assert_eq!(json["items"][0]["not_asked"][0], aside, "{json}");
    assert!(place.publish(&["gate"]).await.out.contains(&format!("not asked: {aside}")));
    assert_eq!(said.code, 1, "{json}");
    // Of a server without any other address nothing is known.
    let alone =
        |zone: Zone| zone.record("@", &Data::Ns(Name::new("ns2.own.test"))).record("ns2", &far);
    let (place, _above) = world(&["ns.lab.invalid"], alone).await;
    let said = place.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("not every server could be asked: ns2.own.test"), "{}", said.out);
}

/// Attacker: on the path to our resolver, hides half of a server's addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_of_addresses_that_cannot_be_looked_up_keeps_the_door_shut() {
    let (world, _above) = world(&["ns.lab.invalid"], |zone| zone).await;
    world.dns.tamper(Tampering::only("ns.lab.invalid", rtype::AAAA, Act::Fail(2)));
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let why = "ns.lab.invalid: its IPv6 addresses could not be looked up";
    assert!(said.out.contains(why), "{}", said.out);
}

/// TLSA records behind an alias, as many have them: the alias is as much a part of the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_has_to_be_the_same_at_every_server() {
    let mut place = World::new(own_zone()).await;
    let (now, next) = (place.key("now"), place.key("next"));
    let own = own_zone()
        .record("@", &Data::Ns(Name::new("ns2.own.test")))
        .record("ns2", &Data::A(FORGOTTEN.parse().unwrap()))
        .record("keys", &tlsa(&now))
        .record("keys", &tlsa(&next))
        .ttl(7)
        .record("_25._tcp.mx", &Data::Cname(Name::new("keys.own.test")));
    place.dns.replace(super::tree(own));
    let second = place.dns.twin().await.unwrap();
    place.map.push((format!("{FORGOTTEN}:53"), second.addr()));
    place.configure("", &hosts(&place));
    // Two TTLs of the alias, which is the longer one: but the first look waits a day in any case.
    let said = place.publish(&["gate"]).await;
    assert!(said.out.contains("on all 2 server addresses"), "{}{}", said.out, said.err);
    let state = std::fs::read_to_string(place.path("data/publish.json")).unwrap();
    assert!(state.contains("\"ttl\": 7"), "{state}");
    second.tamper(Tampering::only("_25._tcp.mx.own.test", rtype::CNAME, Act::NoData));
    let said = place.publish(&["gate"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("ns2.own.test (192.0.2.59): its alias:"), "{}", said.out);
}
