use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    dane::Tlsa,
    decide::{HostRoute, RequireTls},
    domain::Domain,
    pki::bench::{Holder, NOW, Wish, chain, names},
};

const MX: &str = "mx.example.com";
const LEVELS: [Level; 8] = [
    Level::Cleartext,
    Level::Encrypted,
    Level::Named,
    Level::StsFirst,
    Level::Sts,
    Level::Anchored,
    Level::Dane,
    Level::Pinned,
];
const FLOORS: [Floor; 5] =
    [Floor::None, Floor::Encrypted, Floor::Authenticated, Floor::Qualified, Floor::Sealed];

/// The table of DESIGN §2, one column a floor.
#[test]
fn levels_meet_floors_as_the_table_says() {
    let table = [
        ("cleartext", [true, false, false, false, false]),
        ("encrypted", [true, true, false, false, false]),
        ("named", [true, true, false, false, false]),
        ("sts-first", [true, true, true, false, false]),
        ("sts", [true, true, true, false, false]),
        ("anchored", [true, true, true, false, false]),
        ("dane", [true, true, true, true, false]),
        ("pinned", [true, true, true, true, false]),
    ];
    for (level, (name, row)) in LEVELS.into_iter().zip(table) {
        assert_eq!(level.to_string(), name);
        for (floor, expected) in FLOORS.into_iter().zip(row) {
            assert_eq!(level.meets(floor, TrustFirst::Yes), expected, "{level} {floor}");
            let strict = expected && !(level == Level::StsFirst && floor == Floor::Authenticated);
            assert_eq!(level.meets(floor, TrustFirst::No), strict, "{level} {floor}, strict");
        }
    }
}

fn address() -> SocketAddr {
    "192.0.2.10:25".parse().unwrap()
}

fn peer() -> Peer {
    Peer::Name(Domain::parse(MX).unwrap())
}

fn route(demand: Demand, level: Level, floor: Floor) -> HostRoute {
    HostRoute {
        peer: peer(),
        addresses: vec![address()],
        sni: Some(Domain::parse(MX).unwrap()),
        demand,
        floor,
        trust_first: TrustFirst::Yes,
        level,
        require_tls: RequireTls::No,
        because: vec![],
    }
}

fn established(sent: &[&Holder]) -> TlsSeen {
    TlsSeen::Established(Session {
        version: TlsVersion::V1_3,
        suite: "TLS_AES_256_GCM_SHA384".into(),
        group: Some("X25519MLKEM768".into()),
        chain: chain(sent),
        sni: Some(Domain::parse(MX).unwrap()),
        handshake: Handshake::Full,
        at: NOW,
    })
}

fn seen(tls: TlsSeen) -> Seen {
    Seen { peer: peer(), address: address(), tls }
}

fn voucher(by: By) -> Voucher {
    Voucher { by, names: names(&[MX]) }
}

fn tlsa(holder: &Holder) -> By {
    let data = holder.read().association(1, 1).unwrap();
    By::Dane { records: vec![Tlsa { usage: 3, selector: 1, matching: 1, data }] }
}

fn kind(judged: Result<ChannelProof, Refusal>) -> Result<Level, RefusalKind> {
    judged.map(|proof| proof.level()).map_err(|refusal| refusal.kind)
}

/// Attacker on the path strips STARTTLS, refuses it, injects behind it or breaks the handshake:
/// item 24 (RFC 7672 §2.2), item 35 (RFC 8461 §4.2), item 57 (CVE-2011-0411).
#[test]
fn without_tls_only_an_opportunistic_route_without_a_floor_goes_on() {
    let leaf = Holder::self_signed(&Wish::default());
    let failed = |legacy| TlsSeen::HandshakeFailed { legacy, detail: "no".into() };
    let cases = [
        (TlsSeen::NotOffered, RefusalKind::NoTls),
        (TlsSeen::Refused("454 later".into()), RefusalKind::NoTls),
        (failed(Legacy::TooOld), RefusalKind::LegacyTls),
        (failed(Legacy::No), RefusalKind::Handshake),
    ];
    for (tls, expected) in cases {
        let demands = [
            (Demand::Encrypt, Level::Encrypted),
            (Demand::Authenticate(vec![voucher(By::Sts)]), Level::Sts),
            (Demand::Authenticate(vec![voucher(tlsa(&leaf))]), Level::Dane),
        ];
        for (demand, level) in demands {
            let judged = permit(&route(demand, level, Floor::None), &seen(tls.clone()), &[], NOW);
            assert_eq!(kind(judged), Err(expected));
        }
        let open = |floor| route(Demand::Opportunistic, Level::Cleartext, floor);
        let judged = permit(&open(Floor::None), &seen(tls.clone()), &[], NOW);
        assert_eq!(kind(judged), Ok(Level::Cleartext));
        let judged = permit(&open(Floor::Encrypted), &seen(tls.clone()), &[], NOW);
        assert_eq!(kind(judged), Err(RefusalKind::BelowFloor));
    }
    for demand in [Demand::Opportunistic, Demand::Encrypt] {
        let route = route(demand, Level::Encrypted, Floor::None);
        let judged = permit(&route, &seen(TlsSeen::Injected), &[], NOW);
        assert_eq!(kind(judged), Err(RefusalKind::Injected));
    }
}

/// Item 4 (RFC 7672 §2.2), item 35 (RFC 8461 §5): each voucher lets in its own and nobody else's.
#[test]
fn each_voucher_lets_in_its_own() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish::default());
    let own = Holder::self_signed(&Wish::default());
    let strange = Holder::root("another public CA").issue(&Wish::default());
    let old = root.issue(&Wish { years: (2020, 2021), ..Wish::default() });
    let other = root.issue(&Wish { names: vec!["mx.attacker.example"], ..Wish::default() });
    let roots = [root.anchor()];
    let key = || By::Pin(Pins { keys: vec![leaf.read().key_digest()], authorities: vec![] });
    let ca = || By::Pin(Pins { keys: vec![], authorities: vec![root.der.to_vec()] });
    let cases = [
        (By::Sts, Level::Sts, &own, Err(RefusalKind::NotTrusted)),
        (By::Sts, Level::Sts, &old, Err(RefusalKind::Expired)),
        (By::Sts, Level::Sts, &other, Err(RefusalKind::HostMismatch)),
        (By::Sts, Level::Sts, &leaf, Ok(Level::Sts)),
        (By::Sts, Level::StsFirst, &leaf, Ok(Level::StsFirst)),
        (By::Anchor, Level::Anchored, &leaf, Ok(Level::Anchored)),
        (By::Anchor, Level::Anchored, &own, Err(RefusalKind::NotTrusted)),
        (By::Anchor, Level::Named, &leaf, Ok(Level::Named)),
        (tlsa(&leaf), Level::Dane, &leaf, Ok(Level::Dane)),
        (tlsa(&old), Level::Dane, &old, Ok(Level::Dane)),
        (tlsa(&leaf), Level::Named, &leaf, Ok(Level::Named)),
        (tlsa(&leaf), Level::Dane, &own, Err(RefusalKind::TlsaMismatch)),
        // Misissued: a public CA that we trust says the right name, and it does not help.
        (tlsa(&own), Level::Dane, &leaf, Err(RefusalKind::TlsaMismatch)),
        (key(), Level::Pinned, &leaf, Ok(Level::Pinned)),
        (key(), Level::Pinned, &own, Err(RefusalKind::PinMismatch)),
        (ca(), Level::Pinned, &leaf, Ok(Level::Pinned)),
        (ca(), Level::Pinned, &strange, Err(RefusalKind::PinMismatch)),
        (ca(), Level::Pinned, &other, Err(RefusalKind::HostMismatch)),
        (ca(), Level::Pinned, &old, Err(RefusalKind::Expired)),
        (By::Dane { records: vec![] }, Level::Dane, &leaf, Err(RefusalKind::TlsaUnusable)),
    ];
    for (by, level, shown, expected) in cases {
        let what = format!("{by:?}");
        let route = route(Demand::Authenticate(vec![voucher(by)]), level, Floor::None);
        let judged = permit(&route, &seen(established(&[shown, &root])), &roots, NOW);
        assert_eq!(kind(judged), expected, "{what}");
    }
}

/// Item 41 (RFC 8461 §2): all vouchers have to hold, so MTA-STS never makes up for DANE.
#[test]
fn one_voucher_does_not_replace_another() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish::default());
    let own = Holder::self_signed(&Wish::default());
    let demand = || Demand::Authenticate(vec![voucher(tlsa(&own)), voucher(By::Sts)]);
    for shown in [&leaf, &own] {
        let route = route(demand(), Level::Sts, Floor::None);
        let judged = permit(&route, &seen(established(&[shown])), &[root.anchor()], NOW);
        assert!(judged.is_err());
    }
}

/// Nobody has to vouch: what a public CA says is recorded as `named`, and meets no more than
/// `encrypted`: the attacker on the path may have chosen the name.
#[test]
fn unasked_certificates_are_recorded_and_meet_no_more() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish::default());
    let own = Holder::self_signed(&Wish::default());
    for demand in [Demand::Opportunistic, Demand::Encrypt] {
        for (shown, expected) in [(&leaf, Level::Named), (&own, Level::Encrypted)] {
            let seen = seen(established(&[shown]));
            let encrypted = route(demand.clone(), Level::Encrypted, Floor::Encrypted);
            assert_eq!(kind(permit(&encrypted, &seen, &[root.anchor()], NOW)), Ok(expected));
            let more = route(demand.clone(), Level::Encrypted, Floor::Authenticated);
            let judged = permit(&more, &seen, &[root.anchor()], NOW);
            assert_eq!(kind(judged), Err(RefusalKind::BelowFloor));
        }
    }
}

/// Item 66: a connection to another host, address or server name carries nothing of this route,
/// whatever it proved.
#[test]
fn a_proof_belongs_to_one_connection() {
    let leaf = Holder::self_signed(&Wish::default());
    let demand = Demand::Authenticate(vec![voucher(tlsa(&leaf))]);
    let route = route(demand, Level::Dane, Floor::Authenticated);
    let good = seen(established(&[&leaf]));
    let proof = permit(&route, &good, &[], NOW).unwrap();
    assert_eq!((proof.peer(), proof.address()), (&route.peer, address()));
    let elsewhere = Seen { address: "192.0.2.11:25".parse().unwrap(), ..good.clone() };
    let host = Seen { peer: Peer::Literal("192.0.2.10".parse().unwrap()), ..good.clone() };
    let mut name = good;
    if let TlsSeen::Established(session) = &mut name.tls {
        session.sni = None;
    }
    for other in [elsewhere, host, name] {
        assert_eq!(kind(permit(&route, &other, &[], NOW)), Err(RefusalKind::OtherChannel));
    }
}

/// A plan that claims a level which none of its vouchers brings is refused.
#[test]
fn a_level_needs_its_voucher() {
    let root = Holder::root("root");
    let leaf = root.issue(&Wish::default());
    let allowed = |by: &By, level: Level| {
        matches!(
            (by, level),
            (By::Sts, Level::Sts | Level::StsFirst)
                | (By::Anchor, Level::Anchored | Level::Named)
                | (By::Dane { .. }, Level::Dane | Level::Named)
                | (By::Pin(_), Level::Pinned)
        )
    };
    let pins = Pins { keys: vec![leaf.read().key_digest()], authorities: vec![] };
    for by in [By::Sts, By::Anchor, tlsa(&leaf), By::Pin(pins)] {
        for level in LEVELS {
            let route = route(Demand::Authenticate(vec![voucher(by.clone())]), level, Floor::None);
            let judged = permit(&route, &seen(established(&[&leaf])), &[root.anchor()], NOW);
            assert_eq!(judged.is_ok(), allowed(&by, level), "{by:?} {level}");
        }
    }
    let nobody = route(Demand::Authenticate(vec![]), Level::Dane, Floor::None);
    let judged = permit(&nobody, &seen(established(&[&leaf])), &[root.anchor()], NOW);
    assert_eq!(kind(judged), Err(RefusalKind::OtherChannel));
}

/// `qualified` asks for parameters of TR-02102-2, too.
#[test]
fn qualified_asks_for_parameters() {
    let leaf = Holder::self_signed(&Wish::default());
    let cases = [
        (TlsVersion::V1_3, "TLS_AES_256_GCM_SHA384", Some("X25519MLKEM768"), true),
        (TlsVersion::V1_3, "TLS_AES_128_GCM_SHA256", Some("secp256r1"), true),
        (TlsVersion::V1_3, "TLS_AES_128_GCM_SHA256", Some("x25519"), false),
        (TlsVersion::V1_3, "TLS_CHACHA20_POLY1305_SHA256", Some("secp256r1"), false),
        (TlsVersion::V1_2, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some("secp384r1"), true),
        (TlsVersion::V1_2, "TLS_RSA_WITH_AES_256_GCM_SHA384", None, false),
        (TlsVersion::V1_2, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", None, false),
    ];
    for (version, suite, group, expected) in cases {
        let mut tls = established(&[&leaf]);
        if let TlsSeen::Established(session) = &mut tls {
            session.version = version;
            session.suite = suite.into();
            session.group = group.map(str::to_owned);
        }
        let demand = Demand::Authenticate(vec![voucher(tlsa(&leaf))]);
        let qualified = route(demand.clone(), Level::Dane, Floor::Qualified);
        let judged = kind(permit(&qualified, &seen(tls.clone()), &[], NOW));
        let wanted = if expected { Ok(Level::Dane) } else { Err(RefusalKind::WeakParameters) };
        assert_eq!(judged, wanted, "{suite} {group:?}");
        let authenticated = route(demand, Level::Dane, Floor::Authenticated);
        assert!(permit(&authenticated, &seen(tls), &[], NOW).is_ok());
    }
}

/// "No STARTTLS, no policy" does not get better by waiting (DESIGN §3); a promise that is not kept
/// may.
#[test]
fn refusals_say_whether_waiting_can_help() {
    let own = Holder::self_signed(&Wish::default());
    let waiting = |demand, level, tls| {
        permit(&route(demand, level, Floor::None), &seen(tls), &[], NOW).unwrap_err().waiting
    };
    let sts = || Demand::Authenticate(vec![voucher(By::Sts)]);
    let anchor = || Demand::Authenticate(vec![voucher(By::Anchor)]);
    assert_eq!(waiting(Demand::Encrypt, Level::Encrypted, TlsSeen::NotOffered), Waiting::Useless);
    assert_eq!(waiting(sts(), Level::Sts, TlsSeen::NotOffered), Waiting::MayHelp);
    assert_eq!(waiting(sts(), Level::Sts, established(&[&own])), Waiting::MayHelp);
    assert_eq!(waiting(anchor(), Level::Anchored, established(&[&own])), Waiting::Useless);
}

fn any_by(leaf: &Holder, which: u8) -> By {
    match which {
        0 => By::Sts,
        1 => By::Anchor,
        2 => tlsa(leaf),
        _ => By::Pin(Pins { keys: vec![leaf.read().key_digest()], authorities: vec![] }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Promises P1 and P2: whatever the route and whatever was seen, a proof meets the floor, and
    /// an authenticated level has a voucher of its kind that held.
    #[test]
    fn no_proof_is_below_its_floor(
        level in 0..8_usize,
        floor in 0..5_usize,
        demand in 0..3_u8,
        vouchers in proptest::collection::vec(0..4_u8, 0..3),
        tls in 0..6_u8,
        strict in any::<bool>(),
    ) {
        thread_local! {
            static WORLD: (Holder, Holder, Holder) = {
                let root = Holder::root("root");
                let leaf = root.issue(&Wish::default());
                (root, leaf, Holder::self_signed(&Wish::default()))
            };
        }
        WORLD.with(|(root, leaf, own)| {
            let demand = match demand {
                0 => Demand::Opportunistic,
                1 => Demand::Encrypt,
                _ => Demand::Authenticate(
                    vouchers.iter().map(|which| voucher(any_by(leaf, *which))).collect(),
                ),
            };
            let tls = match tls {
                0 => TlsSeen::NotOffered,
                1 => TlsSeen::Refused("454".into()),
                2 => TlsSeen::Injected,
                3 => TlsSeen::HandshakeFailed { legacy: Legacy::No, detail: String::new() },
                4 => established(&[leaf]),
                _ => established(&[own]),
            };
            let mut route = route(demand, LEVELS[level], FLOORS[floor]);
            route.trust_first = if strict { TrustFirst::No } else { TrustFirst::Yes };
            if let Ok(proof) = permit(&route, &seen(tls.clone()), &[root.anchor()], NOW) {
                assert!(proof.level().meets(route.floor, route.trust_first));
                assert_eq!(proof.level() == Level::Cleartext, !matches!(tls, TlsSeen::Established(_)));
                if let Demand::Authenticate(vouchers) = &route.demand {
                    assert_eq!(proof.held().len(), vouchers.len());
                    assert_eq!(proof.level(), route.level);
                    assert!(matches!(tls, TlsSeen::Established(_)));
                }
            }
        });
    }
}
