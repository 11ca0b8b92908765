//! Whatever a domain does: no panic, no hostile word, and no reward for a worse fact.

use proptest::{prelude::*, sample::Index};

use super::{ids, world::*};
use crate::{
    assess::{Assessment, Contact, Delivery, Severity, StartTlsSeen},
    channel::Level,
    facts::NoTlsa,
};

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

fn rank(level: Level) -> usize {
    LEVELS.iter().position(|other| *other == level).unwrap()
}

/// A domain with one or two hosts and any mixture of faults.
fn spoilt(two: bool, faults: &[Index]) -> World {
    let mut world = if two { World::two() } else { World::new() };
    let all: Vec<_> = ids::all().collect();
    for fault in faults {
        let (_, spoil) = fault.get(&all);
        // Some faults need what another one took away.
        let fits = world.survey.facts.hosts.iter().all(|host| {
            matches!(
                host.dane,
                crate::facts::Dane::Usable { .. } | crate::facts::Dane::Unusable { .. }
            )
        });
        let whole = world.probes().all(|probe| probe.handshakes.len() == 2 && probe.weak.is_some());
        if fits && whole {
            spoil(&mut world);
        }
    }
    world
}

/// Things that only make a domain worse.
const WORSE: &[fn(&mut World, usize)] = &[
    |world, _| world.unsigned(),
    |world, _| world.without_sts(),
    |world, host| world.facts(host).dane = crate::facts::Dane::Absent(NoTlsa::Denied),
    |world, host| {
        for address in 0..2 {
            stripped(world.probe(host, address), &StartTlsSeen::NotOffered);
        }
    },
    |world, host| stripped(world.probe(host, 1), &StartTlsSeen::NotOffered),
    |world, host| {
        for address in 0..2 {
            for one in &mut world.probe(host, address).handshakes {
                if let crate::assess::Tried::Session(session) = &mut one.tried {
                    session.chain = certificates().own.clone();
                }
            }
        }
    },
    |world, _| world.contact(&Contact::TurnedAway("421".into())),
];

fn harmless(assessment: &Assessment) -> bool {
    let text = assessment
        .findings
        .iter()
        .flat_map(|finding| [&finding.subject, &finding.evidence, &finding.fix])
        .chain([&assessment.headline])
        .chain(&assessment.why_not_higher);
    text.into_iter().all(|text| !text.chars().any(char::is_control))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_of_faults_is_assessed(two: bool, faults in prop::collection::vec(any::<Index>(), 0..6)) {
        let world = spoilt(two, &faults);
        let assessment = world.assess();
        prop_assert!(harmless(&assessment));
        prop_assert_eq!(assessment.level.is_some(), assessment.delivery == Delivery::Delivers);
        let worst = assessment.findings.iter().map(|finding| finding.severity).max();
        prop_assert_eq!(assessment.findings.first().map(|finding| finding.severity), worst);
        prop_assert_eq!(&world.assess(), &assessment);
        // Cleartext is never passed over in silence.
        if assessment.level == Some(Level::Cleartext) {
            prop_assert_eq!(assessment.worst(), Some(Severity::Error));
        }
        let stored = serde_json::to_string(&world.survey).unwrap();
        prop_assert_eq!(serde_json::from_str::<crate::assess::Survey>(&stored).unwrap(), world.survey);
    }

    #[test]
    fn a_worse_fact_never_gives_a_better_level(
        two: bool,
        first in prop::collection::vec((any::<Index>(), any::<bool>()), 0..4),
        then in any::<Index>(),
        second: bool,
    ) {
        let mut world = if two { World::two() } else { World::new() };
        for (fault, second) in first {
            fault.get(WORSE)(&mut world, usize::from(two && second));
        }
        let before = world.assess();
        then.get(WORSE)(&mut world, usize::from(two && second));
        let after = world.assess();
        if let (Some(before), Some(after)) = (before.level, after.level) {
            prop_assert!(rank(after) <= rank(before), "{before} became {after}");
        }
    }

    /// What could not be seen never makes a domain better, either.
    #[test]
    fn not_seeing_never_gives_a_better_level(
        first in prop::collection::vec((any::<Index>(), any::<bool>()), 0..4),
        address in 0..2usize,
        host in 0..2usize,
    ) {
        let mut world = World::two();
        for (fault, second) in first {
            fault.get(WORSE)(&mut world, usize::from(second));
        }
        let before = world.assess();
        world.probe(host, address).contact = Contact::TurnedAway("450".into());
        let after = world.assess();
        if let (Some(before), Some(after)) = (before.level, after.level) {
            // Only what was seen in the clear can be lost from sight.
            prop_assert!(rank(after) <= rank(before) || before == Level::Cleartext || before == Level::Encrypted);
        }
    }

    /// The attacker is a mail host that sends anything instead of certificates, whole or cut.
    #[test]
    fn garbage_instead_of_certificates_is_judged(
        garbage in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..5),
        cut in any::<Index>(),
        flip in any::<(Index, u8)>(),
    ) {
        let mut world = World::new();
        let good = &certificates().good[0];
        let mut bent = good.clone();
        let place = flip.0.index(bent.len());
        bent[place] ^= flip.1;
        let mut chain = vec![bent, good[..cut.index(good.len())].to_vec()];
        chain.extend(garbage.clone());
        world.chain(&chain);
        prop_assert!(harmless(&world.assess()));
        world.chain(&garbage);
        let assessment = world.assess();
        prop_assert!(harmless(&assessment));
        prop_assert_eq!(assessment.level, None);
    }
}
