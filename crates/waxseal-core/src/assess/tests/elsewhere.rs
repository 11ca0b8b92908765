//! What is seen at an address, or with a kind of key, that was not there before.

use super::world::*;
use crate::{
    assess::{
        HandshakeTried, KeyKind, Observed, StartTlsSeen, Tried, Unprobed,
        change::{Change, Class, Kind, Look, changes},
    },
    channel::Legacy,
    dns::{Answer, Authenticity},
};

const STRANGE: &str = "198.51.100.66";

fn between(before: &World, after: &World) -> Vec<Change> {
    let (was, is) = (before.assess(), after.assess());
    changes(
        Look { survey: &before.survey, assessment: &was },
        Look { survey: &after.survey, assessment: &is },
    )
}

fn told(changed: &[Change], kind: Kind) -> Option<(Class, Option<u32>)> {
    let mine = changed.iter().find(|change| change.kind == kind);
    mine.map(|change| (change.class, change.looks_needed()))
}

/// The address of a host is another one now, and what was seen there as well.
fn moved(world: &mut World, address: usize, spoil: impl FnOnce(&mut World)) {
    let ip = STRANGE.parse().unwrap();
    let old = std::mem::replace(&mut world.host(0).addresses[address].ip, ip);
    if let Answer::Found { value, .. } = &mut world.facts(0).addresses {
        value.iter_mut().filter(|known| **known == old).for_each(|known| *known = ip);
    }
    spoil(world);
}

fn foreign(world: &mut World, address: usize) {
    let tried = Tried::Session(session(&certificates().elsewhere));
    world.probe(0, address).handshakes[1].tried = tried;
}

/// Only the policy promises anything.
fn with_policy_alone() -> World {
    let mut world = World::two();
    world.without_dane();
    world.unsigned();
    unsigned_addresses(&mut world);
    world
}

fn unsigned_addresses(world: &mut World) {
    for host in &mut world.survey.facts.hosts {
        if let Answer::Found { authenticity, .. } = &mut host.addresses {
            *authenticity = Authenticity::Insecure;
        }
    }
}

/// Attacker: on the path to our resolver, who forges one address of a mail host and answers there
/// with a certificate of his own.
#[test]
fn an_attacker_at_a_new_address_is_told_as_at_an_old_one() {
    for base in [World::two(), with_policy_alone()] {
        let mut after = base.clone();
        moved(&mut after, 0, |world| foreign(world, 0));
        let changed = between(&base, &after);
        let worst = changed.iter().map(|change| change.class).max();
        assert_eq!(worst, Some(Class::LikelyAttack), "{changed:?}");
        let mine = changed.iter().find(|change| change.class == Class::LikelyAttack).unwrap();
        assert_eq!(mine.subject, "mx.example.net", "one change, wherever he answers next");
        assert!(mine.after.contains(STRANGE), "{mine:?}");
    }
}

/// Attacker: on the path, who moves the whole host and answers alone.
#[test]
fn an_attacker_at_all_new_addresses_is_told_at_the_first_look() {
    for (mut base, kind) in
        [(World::new(), Kind::TlsaMatch), (with_policy_alone(), Kind::Certificate)]
    {
        base.host(0).addresses.truncate(1);
        let mut after = base.clone();
        moved(&mut after, 0, |world| foreign(world, 0));
        let changed = between(&base, &after);
        assert_eq!(told(&changed, kind), Some((Class::LikelyAttack, Some(1))), "{changed:?}");
    }
}

/// Attacker: on the path, who strips STARTTLS at an address of his own.
#[test]
fn starttls_that_a_new_address_lacks_is_told() {
    for base in [World::two(), with_policy_alone()] {
        let mut after = base.clone();
        moved(&mut after, 0, |world| stripped(world.probe(0, 0), &StartTlsSeen::NotOffered));
        let changed = between(&base, &after);
        let attack = Some((Class::LikelyAttack, Some(2)));
        assert_eq!(told(&changed, Kind::Starttls), attack, "{changed:?}");
    }
    // He may be there where one look saw nothing.
    let (mut base, mut after) = (World::two(), World::two());
    base.host(0).addresses[0].observed = Observed::Not(Unprobed::NoTurn);
    stripped(after.probe(0, 0), &StartTlsSeen::NotOffered);
    let changed = between(&base, &after);
    assert_eq!(told(&changed, Kind::Starttls), Some((Class::LikelyAttack, Some(2))));
}

/// Attacker: on the path, who shows a kind of key that the host never had.
#[test]
fn a_foreign_key_of_another_kind_is_told() {
    let shows = |world: &mut World, ecdsa: Tried| {
        world.survey.hosts.truncate(1);
        world.survey.facts.hosts.truncate(1);
        for address in 0..2 {
            let handshakes = &mut world.probe(0, address).handshakes;
            handshakes[0].tried = Tried::Session(session(&certificates().elsewhere));
            handshakes[1].tried = ecdsa.clone();
        }
    };
    let mut instead = World::new();
    shows(&mut instead, Tried::NoSuchKey);
    let changed = between(&World::new(), &instead);
    let conclusive = Some((Class::LikelyAttack, Some(1)));
    assert_eq!(told(&changed, Kind::TlsaMatch), conclusive, "{changed:?}");

    // Beside the key that holds it is more likely a record that somebody forgot.
    let mut beside = World::new();
    shows(&mut beside, Tried::Session(session(&certificates().good)));
    let changed = between(&World::new(), &beside);
    assert_eq!(told(&changed, Kind::TlsaMatch), Some((Class::Weakening, Some(3))), "{changed:?}");
    assert!(changed.iter().all(|change| change.class != Class::LikelyAttack), "{changed:?}");
}

/// Attacker: on the path, who breaks every handshake so that senders go on in the clear.
#[test]
fn handshakes_that_break_are_told() {
    let failed = || Tried::Failed { legacy: Legacy::No, detail: "connection reset".into() };
    let broken = |world: &mut World, address: usize| {
        world.probe(0, address).handshakes = vec![
            HandshakeTried { key: KeyKind::Rsa, tried: failed() },
            HandshakeTried { key: KeyKind::Ecdsa, tried: failed() },
        ];
    };
    let judged = |base: World, addresses: std::ops::Range<usize>| {
        let mut after = base.clone();
        addresses.for_each(|address| broken(&mut after, address));
        told(&between(&base, &after), Kind::Starttls)
    };
    let mut plain = World::plain();
    plain.survey.hosts.truncate(1);
    assert_eq!(judged(plain.clone(), 0..1), Some((Class::LikelyAttack, Some(2))));
    assert_eq!(judged(plain, 0..2), Some((Class::Weakening, Some(3))));
    assert_eq!(judged(World::two(), 0..1), Some((Class::Weakening, Some(3))), "mail waits");

    // What nobody could find out is no break.
    let mut unknown = World::plain();
    broken(&mut unknown, 0);
    unknown.probe(0, 0).handshakes[0].tried = Tried::Unknown("no answer in time".into());
    assert_eq!(told(&between(&World::plain(), &unknown), Kind::Starttls), None);
}

/// A host that moves with what proves it alarms nobody.
#[test]
fn a_move_of_a_host_is_drift_where_it_proves_itself() {
    for base in [World::two(), with_policy_alone()] {
        let mut after = base.clone();
        moved(&mut after, 0, |_| {});
        let changed = between(&base, &after);
        assert_eq!(told(&changed, Kind::Addresses), Some((Class::Drift, None)), "{changed:?}");
        assert!(changed.iter().all(|change| change.looks_needed().is_none()), "{changed:?}");
    }
    assert_eq!(told(&between(&World::two(), &World::two()), Kind::Addresses), None);
}

/// Attacker: on the path, where nothing ever proved the host: only where it is can tell.
#[test]
fn a_host_that_nothing_proves_and_that_moves_is_told() {
    let mut base = World::plain();
    unsigned_addresses(&mut base);
    let mut after = base.clone();
    moved(&mut after, 1, |world| foreign(world, 1));
    let changed = between(&base, &after);
    assert_eq!(told(&changed, Kind::Addresses), Some((Class::Weakening, Some(3))), "{changed:?}");
    // Within its network hosts come and go.
    let mut near = base.clone();
    let ip = "192.0.2.77".parse().unwrap();
    foreign(&mut near, 1);
    near.host(0).addresses[1].ip = ip;
    if let Answer::Found { value, .. } = &mut near.facts(0).addresses {
        value[1] = ip;
    }
    assert_eq!(told(&between(&base, &near), Kind::Addresses), Some((Class::Drift, None)));
    // Whoever has its key is the host.
    let mut same = base.clone();
    moved(&mut same, 1, |_| {});
    assert_eq!(told(&between(&base, &same), Kind::Addresses), Some((Class::Drift, None)));
}
