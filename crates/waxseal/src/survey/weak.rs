//! What a host still takes that nobody should offer: hellos that are not meant
//! ([`waxseal_core::hello`]), one connection each.

use waxseal_core::{
    assess::{LegacyVersion, WeakOffer},
    hello::{
        GOOD_SUITES, Offer, ServerHello, Suite, Until, Version, WEAK_GROUPS_1_2, WEAK_GROUPS_1_3,
        WEAK_SUITES, group_name, suite_name,
    },
};

use super::{probe::Visit, smtp::Answer};

/// Groups of every strength, so that no suite is refused for the lack of one.
const ANY_GROUPS: &[u16] = &[29, 23, 24, 25, 30, 256, 257, 258];

/// Most suites that are asked about: one for each kind of weakness.
const MOST_ROUNDS: usize = 8;

impl Visit<'_> {
    /// Versions below 1.2, and what is weak in 1.2 and 1.3.
    pub(super) async fn weaknesses(&self) -> (Option<Vec<LegacyVersion>>, Option<WeakOffer>) {
        let legacy = self.legacy().await;
        let Some(suites) = self.weak_suites().await else { return (legacy, None) };
        let groups = self.weak_groups().await;
        let (tls12, extended_master_secret) = self.extended_master_secret().await;
        let offer = WeakOffer { suites, groups, extended_master_secret, tls12 };
        (legacy, Some(offer))
    }

    /// A host takes the highest version at or below the offered one. So one refusal of TLS 1.1
    /// tells that there is nothing below either. `None` where nobody answered.
    async fn legacy(&self) -> Option<Vec<LegacyVersion>> {
        let suites: Vec<u16> = WEAK_SUITES.iter().rev().map(|(number, ..)| *number).collect();
        let mut found = Vec::new();
        let mut next = Some(Version::V1_1);
        while let Some(version) = next {
            let hello = match self.say(version, &suites, ANY_GROUPS, Until::Hello).await {
                Answer::Chose(hello) => hello,
                Answer::Refused => break,
                // What was found before counts.
                Answer::Nothing if found.is_empty() => return None,
                Answer::Nothing => break,
            };
            next = match Version::of(hello.version).filter(|chosen| *chosen <= version) {
                Some(Version::V1_1) => {
                    found.push(LegacyVersion::V1_1);
                    Some(Version::V1_0)
                }
                Some(Version::V1_0) => {
                    found.push(LegacyVersion::V1_0);
                    Some(Version::Ssl3)
                }
                Some(Version::Ssl3) => {
                    found.push(LegacyVersion::Ssl3);
                    None
                }
                Some(Version::V1_2 | Version::V1_3) | None => None,
            };
        }
        found.sort();
        Some(found)
    }

    /// Offers only weak suites; after each that is taken, those with another weakness. `None`
    /// where the first answer did not come.
    async fn weak_suites(&self) -> Option<Vec<String>> {
        let mut left: Vec<Suite> = WEAK_SUITES.to_vec();
        let mut found = Vec::new();
        for round in 0..MOST_ROUNDS {
            let numbers: Vec<u16> = left.iter().map(|(number, ..)| *number).collect();
            match self.say(Version::V1_2, &numbers, ANY_GROUPS, Until::Hello).await {
                Answer::Chose(ServerHello { version: 0x0303, suite, .. }) => {
                    let chosen = left.iter().find(|(number, ..)| *number == suite).copied();
                    let Some((_, _, weakness)) = chosen else { break };
                    found.push(suite_name(suite));
                    left.retain(|(_, _, other)| *other != weakness);
                }
                Answer::Nothing if round == 0 => return None,
                Answer::Chose(_) | Answer::Refused | Answer::Nothing => break,
            }
            if left.is_empty() {
                break;
            }
        }
        Some(found)
    }

    /// `None` where nobody answered one of the questions and none was answered badly.
    async fn weak_groups(&self) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let questions = [
            (Version::V1_2, WEAK_GROUPS_1_2, Until::Curve),
            (Version::V1_3, WEAK_GROUPS_1_3, Until::Hello),
        ];
        let mut unanswered = false;
        for (version, groups, until) in questions {
            match self.say(version, GOOD_SUITES, groups, until).await {
                Answer::Chose(hello) => {
                    if let Some(group) = hello.group
                        && groups.contains(&group)
                        && Version::of(hello.version) == Some(version)
                    {
                        found.push(group_name(group));
                    }
                }
                Answer::Refused => {}
                Answer::Nothing => unanswered = true,
            }
        }
        (!unanswered || !found.is_empty()).then_some(found)
    }

    /// Whether the host speaks TLS 1.2, and whether it has the extended master secret there (RFC 7627
    /// §5.1). All suites are offered, since old servers have only weak ones.
    async fn extended_master_secret(&self) -> (Option<bool>, Option<bool>) {
        let weak = WEAK_SUITES.iter().rev().map(|(number, ..)| *number);
        let suites: Vec<u16> = GOOD_SUITES.iter().copied().chain(weak).collect();
        match self.say(Version::V1_2, &suites, ANY_GROUPS, Until::Hello).await {
            Answer::Chose(hello) if hello.version == Version::V1_2.number() => {
                (Some(true), Some(hello.extended_master_secret))
            }
            Answer::Chose(_) | Answer::Refused => (Some(false), None),
            Answer::Nothing => (None, None),
        }
    }

    async fn say(&self, version: Version, suites: &[u16], groups: &[u16], until: Until) -> Answer {
        let mut random = [0; 32];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return Answer::Nothing;
        }
        let name = &self.target.sni;
        let hello = Offer { version, suites, groups, name, random }.octets();
        match self.greet().await {
            Ok((_, Some(line))) => line.said_to(&hello, until).await,
            Ok((_, None)) | Err(_) => Answer::Nothing,
        }
    }
}
