use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use waxseal_core::{
    assess::{
        Contact, HandshakeTried, KeyKind, Observed, OfferedSession, Probe, Quoted, StartTlsSeen,
        Tried,
    },
    channel::TlsVersion,
    domain::Domain,
    time::UnixTime,
};

use super::{
    Memory, ProbeStore, Sight, Soon, Source,
    room::{self, Kept, LARGE, MOST_KEPT, MOST_OF_ONE, MOST_OF_STORE, MOST_STORED, Shelf, weight},
};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn name(number: usize) -> Domain {
    Domain::parse(&format!("mx.customer{number}.example")).unwrap()
}

/// A sight with a chain of so many octets for each of so many kinds of keys.
fn sight(sni: Domain, at: UnixTime, (kinds, octets): (usize, usize)) -> Sight {
    let all = [KeyKind::Rsa, KeyKind::Ecdsa, KeyKind::Ed25519];
    let handshake = |key| {
        let session = OfferedSession {
            version: TlsVersion::V1_3,
            suite: "TLS_AES_256_GCM_SHA384".to_owned(),
            group: None,
            chain: vec![vec![0xa5; octets]],
            sni: Some(sni.clone()),
            at,
        };
        HandshakeTried { key, tried: Tried::Session(session) }
    };
    let probe = Probe {
        at,
        contact: Contact::Spoke {
            greeting: Quoted::new("mx"),
            keywords: vec![Quoted::new("STARTTLS")],
            starttls: StartTlsSeen::Ready,
        },
        keywords_in_tls: None,
        handshakes: all.into_iter().take(kinds).map(handshake).collect(),
        legacy: None,
        weak: None,
    };
    let observed = Observed::Probed(Box::new(probe));
    Sight { sni, observed, at, whole: at, source: Source::Probe, stored: None }
}

/// The largest that TLS lets a host show us.
const HOSTILE: (usize, usize) = (3, 64 << 10);
const USUAL: (usize, usize) = (1, 4_000);

fn flood(number: usize) -> SocketAddr {
    let number = u128::try_from(number).unwrap();
    let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | ((number % 4) << 64) | number);
    SocketAddr::new(address.into(), 25)
}

fn honest(number: usize) -> SocketAddr {
    let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
    SocketAddr::new(IpAddr::from([198, high, low, 1]), 25)
}

/// A hostile zone with thousands of addresses, whose hosts show chains as large as TLS allows: what is
/// kept stays in its bounds, and what is known of others stays.
#[test]
fn a_flood_of_large_certificates_is_kept_in_bounds_and_costs_others_nothing() {
    let mut kept = Kept::default();
    let mut put = |address, sight| {
        kept.put(address, vec![Arc::new(sight)]);
        assert!(kept.octets() <= MOST_KEPT, "{kept:?}");
    };
    for number in 0..1_000 {
        put(honest(number), sight(name(number), NOW, USUAL));
    }
    let floods = MOST_KEPT / (3 * HOSTILE.1) * 3;
    for number in 0..floods {
        put(flood(number), sight(name(number), NOW + Duration::from_secs(1), HOSTILE));
    }
    assert!((0..1_000).all(|number| kept.sights(honest(number)).len() == 1), "{kept:?}");
    let left = (0..floods).filter(|number| !kept.sights(flood(*number)).is_empty()).count();
    assert!(left > 0 && left < floods / 2, "{left} of {floods}");
    assert_eq!(kept.sights(flood(floods - 1)).len(), 1, "the oldest goes first");
}

/// The same with addresses that show nothing: each takes room, too.
#[test]
fn a_flood_of_addresses_is_kept_in_bounds() {
    let mut kept = Kept::default();
    kept.put(honest(1), vec![Arc::new(sight(name(1), NOW, USUAL))]);
    for number in 0..MOST_KEPT / 1_000 {
        kept.put(flood(number), vec![Arc::new(sight(name(0), NOW, (0, 0)))]);
        assert!(kept.octets() <= MOST_KEPT);
    }
    assert_eq!(kept.sights(honest(1)).len(), 1);
}

/// A hostile host that shows other large certificates under each of its names.
#[test]
fn names_of_one_address_are_kept_in_bounds() {
    let mut kept = Kept::default();
    for number in 0..200 {
        kept.put(honest(1), vec![Arc::new(sight(name(number), NOW, HOSTILE))]);
    }
    let sights = kept.sights(honest(1));
    assert!(sights.iter().map(|sight| weight(sight)).sum::<usize>() <= MOST_OF_ONE);
    assert_eq!(sights.last().map(|sight| sight.sni.clone()), Some(name(199)));
    assert!(sights.len() > 1, "{}", sights.len());
}

#[test]
fn what_the_store_keeps_of_one_address_is_bounded() {
    let mut sights = Vec::new();
    for number in 0..100 {
        room::add(&mut sights, Arc::new(sight(name(number), NOW, HOSTILE)));
    }
    let json = room::record(&sights).unwrap();
    assert!(json.len() <= MOST_STORED, "{}", json.len());
    let back: Vec<Sight> = serde_json::from_slice(&json).unwrap();
    assert_eq!(back, [sight(name(99), NOW, HOSTILE)], "the latest");
    let small: Vec<_> = (0..3).map(|n| Arc::new(sight(name(n), NOW, USUAL))).collect();
    let back: Vec<Sight> = serde_json::from_slice(&room::record(&small).unwrap()).unwrap();
    assert_eq!(back.len(), 3);
    assert_eq!(back.last().map(|sight| sight.sni.clone()), Some(name(2)), "the latest last");
}

/// Hostile hosts cannot fill the disk, and large records leave half of the room to others.
#[test]
fn the_store_is_given_so_much_in_a_week_and_no_more() {
    let mut shelf = Shelf::default();
    let week = NOW + Duration::from_hours(7 * 24);
    let fits = (0..1_000).filter(|n| shelf.takes((flood(*n), MOST_STORED), week, NOW)).count();
    assert_eq!(fits, MOST_OF_STORE / 2 / MOST_STORED);
    assert!(shelf.takes((flood(1), MOST_STORED), week, NOW), "in place of the same");
    let small = (0..3_000).filter(|n| shelf.takes((honest(*n), LARGE), week, NOW)).count();
    let room = MOST_OF_STORE - fits * MOST_STORED;
    assert_eq!(small, room / LARGE);
    assert!(shelf.takes((honest(3_001), LARGE), week + Duration::from_hours(24), week), "it ended");
}

#[test]
fn what_is_newer_stays() {
    let later = NOW + Duration::from_secs(60);
    let mut sights = vec![Arc::new(sight(name(1), later, USUAL))];
    room::add(&mut sights, Arc::new(sight(name(1), NOW, (0, 0))));
    assert_eq!(sights.len(), 1);
    assert_eq!(sights[0].at, later);
    room::add(&mut sights, Arc::new(sight(name(2), NOW, USUAL)));
    assert_eq!(sights.last().map(|sight| sight.at), Some(later), "the latest last");
}

/// Names that are known already do not count, also where they are asked again.
#[tokio::test]
async fn names_are_counted_by_the_hour() {
    let memory = Memory::default();
    let address = honest(1);
    for number in 0..3 {
        assert!(memory.may_ask((address, &name(number)), 3, NOW));
        memory.keep(address, sight(name(number), NOW, USUAL), NOW).await;
    }
    assert!(!memory.may_ask((address, &name(3)), 3, NOW));
    assert!(memory.may_ask((address, &name(0)), 3, NOW + Duration::from_secs(60)));
    assert!(memory.may_ask((honest(2), &name(3)), 3, NOW), "another address");
    assert!(memory.may_ask((address, &name(3)), 3, NOW + Duration::from_secs(3_600)));
}

/// A store that is a map.
#[derive(Default)]
struct Shop(Mutex<HashMap<String, Vec<u8>>>);

impl ProbeStore for Shop {
    fn load<'a>(
        &'a self,
        name: &'a str,
        _now: UnixTime,
    ) -> Soon<'a, Result<Option<Vec<u8>>, String>> {
        let found = self.0.lock().unwrap().get(name).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        value: Vec<u8>,
        _expires: UnixTime,
    ) -> Soon<'a, Result<(), String>> {
        self.0.lock().unwrap().insert(name.to_owned(), value);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A clock that was years ahead and was set right: what was seen then is not taken for news until that time has
/// come, neither from memory nor from the store, and what is seen now takes its place.
#[tokio::test]
async fn what_was_seen_in_the_future_is_seen_again() {
    let (address, ahead) = (honest(1), NOW + Duration::from_hours(24 * 3_650));
    let shop = Arc::new(Shop::default());
    let memory = Memory::kept_in(Arc::clone(&shop) as _);
    memory.keep(address, sight(name(1), ahead, USUAL), ahead).await;
    let seen = async |memory: &Memory| {
        let all = memory.sights(address, NOW).await;
        all.iter().map(|one| one.at).collect::<Vec<_>>()
    };
    assert_eq!(seen(&Memory::kept_in(shop)).await, []);
    // Looks last for up to an hour, and begin side by side.
    let soon = NOW + Duration::from_secs(1_800);
    memory.keep(address, sight(name(1), soon, USUAL), soon).await;
    assert_eq!(seen(&memory).await, [soon]);
}
