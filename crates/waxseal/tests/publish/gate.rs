//! `waxseal publish gate`: opens only for what every server says, and for long enough.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use waxseal_lab::dns::{Act, Data, Name, Tampering, rtype};

use super::{World, own_zone, tlsa};

pub(super) fn hosts(world: &World) -> String {
    format!(
        "[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{}\"]\nnext = [\"{}\"]\n",
        world.path("now.pem").display(),
        world.path("next.pem").display(),
    )
}

/// Two keys, and a zone with what `zone` makes of them.
async fn world(zone: impl FnOnce(&[u8], &[u8]) -> waxseal_lab::dns::Zone) -> World {
    let world = World::new(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    world.dns.replace(super::tree(zone(&now, &next)));
    world.configure("", &hosts(&world));
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_waits_for_its_record_and_two_ttls() {
    let both = |now: &[u8], next: &[u8]| {
        own_zone().ttl(2).record("_25._tcp.mx", &tlsa(now)).record("_25._tcp.mx", &tlsa(next))
    };
    let place = world(|now, _| own_zone().record("_25._tcp.mx", &tlsa(now))).await;
    // Any look notes what stands there.
    let said = place.publish(&["tlsa"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let said = place.publish(&["gate"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("missing at ns.lab.invalid (192.0.2.53)"), "{}", said.out);
    // The record comes: only now, for what stood there before has been seen.
    let digest = |name: &str| place.digest(name);
    place.dns.replace(super::tree(both(&digest("now"), &digest("next"))));
    place.configure("", &hosts(&place));
    let begin = Instant::now();
    let said = place.publish(&["gate", "--json"]).await;
    let json = said.json();
    assert_eq!((said.code, &json["open"]), (1, &false.into()), "{json}");
    assert_eq!(json["items"][0]["subject"], "mx.own.test");
    assert_eq!(json["items"][0]["door"], "key");
    let until = json["until"].as_u64().unwrap();
    assert_eq!(until - json["checked_at"].as_u64().unwrap(), 5, "{json}");
    let said = place.until(&["gate", "--json"], 0).await;
    assert!(begin.elapsed() >= Duration::from_secs(4), "2 x 2 s");
    assert_eq!(said.json()["open"], true);
    // It stays open, and the state says since when.
    assert_eq!(place.publish(&["gate", "mx.own.test", "--only", "key"]).await.code, 0);
    let state = std::fs::read_to_string(place.path("data/publish.json")).unwrap();
    assert!(state.contains("\"since\""), "{state}");
}

/// The TTL of a set that was replaced before anybody looked is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_there_at_the_first_look_waits_a_day() {
    let both = |now: &[u8], next: &[u8]| {
        own_zone().record("_25._tcp.mx", &tlsa(now)).record("_25._tcp.mx", &tlsa(next))
    };
    let place = world(both).await;
    let json = place.publish(&["gate", "--json"]).await.json();
    let wait = json["until"].as_u64().unwrap() - json["checked_at"].as_u64().unwrap();
    assert_eq!(wait, 86_401, "{json}");
    let said = place.publish(&["gate"]).await;
    assert!(said.out.contains("A GUESS: it was there at the first look"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_open_is_no_open_door() {
    let world = World::new(own_zone()).await;
    world.configure("", "");
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("nothing is waited for"), "{}", said.out);
}

/// Attacker: on the path to the name server, answers with the record that we wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_unsigned_records_open_nothing() {
    let both = |now: &[u8], next: &[u8]| {
        own_zone().record("_25._tcp.mx", &tlsa(now)).record("_25._tcp.mx", &tlsa(next))
    };
    let place = world(both).await;
    place.dns.tamper(Tampering::only("_25._tcp.mx.own.test", rtype::TLSA, Act::BreakSignatures));
    let said = place.publish(&["gate"]).await;
    // What the server has is not known: it was not the server that said this.
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("to do: compare the zone at ns.lab.invalid"), "{}", said.out);
    place.dns.restore();
    let unsigned = |now: &[u8], next: &[u8]| {
        waxseal_lab::dns::Zone::new("own.test")
            .ttl(1)
            .record("mx", &Data::A(Ipv4Addr::new(192, 0, 2, 25)))
            .record("_25._tcp.mx", &tlsa(now))
            .record("_25._tcp.mx", &tlsa(next))
    };
    let place = world(unsigned).await;
    let said = place.publish(&["gate"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("not signed with DNSSEC"), "{}", said.out);
}

/// A name server of `own.test` beside the lab's, at an address that leads to `to`.
async fn with_another_server(address: &str) -> World {
    let both = |now: &[u8], next: &[u8]| {
        own_zone()
            .record("@", &Data::Ns(Name::new("ns2.own.test")))
            .record("ns2", &Data::A(address.parse().unwrap()))
            .record("_25._tcp.mx", &tlsa(now))
            .record("_25._tcp.mx", &tlsa(next))
    };
    world(both).await
}

/// What a hostile name server does with a connection.
#[derive(Clone, Copy)]
enum Hostile {
    Silent,
    Garbage,
    /// Announces 64 KiB and sends them slowly.
    Endless,
}

async fn hostile(how: Hostile) -> (std::net::SocketAddr, JoinHandle<()>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            match how {
                Hostile::Silent => kept.push(stream),
                Hostile::Garbage => {
                    let mut question = [0; 512];
                    let _ = stream.read(&mut question).await;
                    let _ = stream.write_all(&[0, 20]).await;
                    let _ = stream.write_all(&[0xff; 20]).await;
                }
                Hostile::Endless => {
                    let _ = stream.write_all(&[0xff, 0xff, 0]).await;
                    kept.push(stream);
                }
            }
        }
    });
    (address, task, seen)
}

/// Attacker: one of the name servers. It can keep the door shut, never hang us or open it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hostile_name_server_keeps_the_door_shut_and_hangs_nobody() {
    let gate = async |how: Hostile, why: &str, asked: usize| {
        let mut world = with_another_server("192.0.2.54").await;
        let (address, task, seen) = hostile(how).await;
        world.map.push(("192.0.2.54:53".to_owned(), address));
        // TLSA of the host, then the announcement and the MX records of the domain.
        world.configure("mx = [\"mx.own.test\"]\nmta_sts = \"testing\"\n", &hosts(&world));
        let begin = Instant::now();
        let said = world.publish(&["gate"]).await;
        // The policy host does not answer either, and no MX record may be wrong: nothing is known.
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        assert!(said.out.contains(why), "{}", said.out);
        assert!(begin.elapsed() < Duration::from_secs(25));
        assert_eq!(seen.load(Ordering::Relaxed), asked, "questions");
        task.abort();
    };
    let garbage = "ns2.own.test (192.0.2.54): the id is not that of the question";
    // Who is silent is waited for once in a run, whoever asks; who answers is asked everything.
    tokio::join!(
        gate(Hostile::Silent, "no answer within 10 s", 1),
        gate(Hostile::Endless, "no answer within 10 s", 1),
        gate(Hostile::Garbage, garbage, 6),
    );
}

/// A server that died is dead in both families: its addresses are waited for together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_addresses_of_one_server_are_asked_at_once() {
    let two = |now: &[u8], next: &[u8]| {
        own_zone()
            .record("@", &Data::Ns(Name::new("ns2.own.test")))
            .record("ns2", &Data::A("192.0.2.54".parse().unwrap()))
            .record("ns2", &Data::A("192.0.2.55".parse().unwrap()))
            .record("_25._tcp.mx", &tlsa(now))
            .record("_25._tcp.mx", &tlsa(next))
    };
    let mut world = world(two).await;
    // Each answers once the other has been asked: one after the other, none ever would.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    for address in ["192.0.2.54", "192.0.2.55"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        world.map.push((format!("{address}:53"), listener.local_addr().unwrap()));
        let (both, to) = (Arc::clone(&both), world.dns.addr());
        tokio::spawn(async move {
            let mut first = true;
            while let Ok((mut stream, _)) = listener.accept().await {
                if std::mem::take(&mut first) {
                    both.wait().await;
                }
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            }
        });
    }
    world.configure("", &hosts(&world));
    let said = world.publish(&["gate"]).await;
    assert!(said.out.contains("on all 3 server addresses"), "{}{}", said.out, said.err);
}

/// Attacker: whoever writes the zone points its name server into our own network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_at_a_private_address_is_not_asked() {
    let (address, _task, seen) = hostile(Hostile::Garbage).await;
    assert!(address.ip().is_loopback());
    let mut world = with_another_server("10.0.0.53").await;
    world.map.push(("10.0.0.53:53".to_owned(), address));
    world.configure("", &hosts(&world));
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("ns2.own.test (10.0.0.53): not asked: no public address"),
        "{}",
        said.out
    );
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

/// Attacker: whoever writes the zone lists name servers without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_name_servers_than_thirteen_are_not_asked_and_not_forgotten() {
    let many = |now: &[u8], next: &[u8]| {
        let mut zone = own_zone()
            .record("_25._tcp.mx", &tlsa(now))
            .record("_25._tcp.mx", &tlsa(next))
            .record("ns", &Data::A(Ipv4Addr::new(192, 0, 2, 53)));
        for nth in 0..40 {
            let name = format!("ns{nth}.own.test");
            zone = zone.record("@", &Data::Ns(Name::new(&name)));
            zone = zone.record(&format!("ns{nth}"), &Data::A(Ipv4Addr::new(192, 0, 2, 53)));
        }
        zone
    };
    let place = world(many).await;
    let said = place.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("more than 13 name servers"), "{}", said.out);
}
