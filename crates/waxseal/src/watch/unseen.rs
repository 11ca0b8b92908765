//! What of an own domain cannot be seen look after look, while others can: whoever drops our probes, and only
//! those, would keep everything else from being told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{
        Contact, HostSurvey, Observed, PolicySurvey, Probe, Published, StartTlsSeen, Survey, Tried,
        change::{Certainty, Change, Class, Event, Kind, Open, Watch, Weight},
    },
    dns::{Answer, FailureKind, LookupFailure},
    facts::{HostFacts, MxFact, StsFailure},
    time::UnixTime,
};

use super::{Vantage, outlook::Seeing};
use crate::serve::Parts;

/// Looks in a row that did not see it before somebody is told: a night's work on the line is over by then.
const TOLD: u32 = 6;
/// After so many it is a weakening: whatever happened there, nobody looked for a day.
const LONG: u32 = 24;

/// Behind the name of a domain: its MX records, which lead to its mail hosts.
const MX: &str = " MX";

/// What one look saw of one thing: a name that its zone keeps, and whether it was seen.
pub type Sighting = (String, Seeing);

/// What was not seen, and who was told of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Unseen {
    rows: BTreeMap<String, Row>,
    watch: Watch,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    since: UnixTime,
    /// Looks in a row that did not see it, though others could be seen.
    looks: u32,
}

impl Unseen {
    /// What somebody was alarmed of and what may come to that.
    pub(super) fn open(&self) -> &[Open] {
        &self.watch.open
    }

    /// Takes in what a look saw. While nothing at all can be seen, which is told once of the gateway, it
    /// counts for nothing. What a look did not come to, because it did not see what leads there, was not
    /// seen either: whoever drops now the one and now the other would be told of neither.
    pub(super) fn observe(
        &mut self,
        sightings: &[Sighting],
        vantage: Vantage,
        now: UnixTime,
    ) -> Vec<Event> {
        let of = |name: &str| sightings.iter().find(|(one, _)| one == name).map(|(_, it)| *it);
        let leads_nowhere =
            sightings.iter().any(|(name, it)| name.ends_with(MX) && *it == Seeing::Unseen);
        self.rows.retain(|name, _| match of(name) {
            Some(seeing) => seeing == Seeing::Unseen,
            None => leads_nowhere,
        });
        if vantage == Vantage::Clear {
            for (name, _) in sightings.iter().filter(|(_, it)| *it == Seeing::Unseen) {
                self.rows.entry(name.clone()).or_insert(Row { since: now, looks: 0 });
            }
            for row in self.rows.values_mut() {
                row.looks = row.looks.saturating_add(1);
            }
        }
        let told = self.rows.iter().filter(|(_, row)| row.looks >= TOLD);
        let changes: Vec<Change> = told.map(|(name, row)| row.change(name)).collect();
        self.watch.observe(&changes, Certainty::Seen, now)
    }
}

impl Row {
    fn change(self, name: &str) -> Change {
        let Self { since, looks } = self;
        let class = if looks >= LONG { Class::Weakening } else { Class::Drift };
        Change {
            kind: Kind::Unseen,
            subject: name.to_owned(),
            before: "it can be seen".into(),
            after: format!("not seen in the last {looks} looks, since {since}"),
            class,
            because: "other domains can be seen: it is down or turns us away, or somebody on the way drops \
                      what comes from this gateway, and nothing else is told of it until then; look from \
                      elsewhere"
                .into(),
            weight: Weight::Standing,
        }
    }
}

/// What a look saw of the parts of an own domain. This gateway itself is not among them: whether it reaches
/// its own public address depends on the router before it.
pub(super) fn sightings(survey: &Survey, parts: &Parts) -> Vec<Sighting> {
    let domain = &survey.facts.destination;
    let mx = match &survey.facts.mx {
        MxFact::Failed(failure) if is_unseen(failure) => Seeing::Unseen,
        MxFact::Failed(_)
        | MxFact::Found { .. }
        | MxFact::Null { .. }
        | MxFact::NoDomain { .. }
        | MxFact::Implicit { .. }
        | MxFact::Configured => Seeing::Seen,
    };
    let mut all = vec![(format!("{domain}{MX}"), mx)];
    for facts in survey.facts.hosts.iter().filter(|host| !parts.own.is(host)) {
        let name = facts.host.to_string();
        let host = survey.hosts.iter().find(|host| host.host.as_str() == name);
        all.push((name, of_host(facts, host)));
    }
    let policy = match parts.config.web.policy {
        Some(_) => None,
        None => of_policy(&survey.policy),
    };
    all.extend(policy.map(|seeing| (format!("mta-sts.{domain}"), seeing)));
    all
}

/// Whether anything was seen of the MTA-STS policy; `None` where there is none.
fn of_policy(policy: &PolicySurvey) -> Option<Seeing> {
    match (&policy.record, &policy.served) {
        (Published::NotAsked | Published::Absent { .. }, _) => None,
        (Published::Failed(failure), _)
        | (
            Published::Found { .. } | Published::Broken { .. },
            Some(Err(StsFailure::Record(failure))),
        ) => Some(if is_unseen(failure) { Seeing::Unseen } else { Seeing::Seen }),
        // Its host did not answer, or not in time.
        (
            Published::Found { .. } | Published::Broken { .. },
            None | Some(Err(StsFailure::Unreached(_))),
        ) => Some(Seeing::Unseen),
        (
            Published::Found { .. } | Published::Broken { .. },
            Some(
                Ok(_)
                | Err(StsFailure::Fetch(_) | StsFailure::Certificate(_) | StsFailure::Invalid(_)),
            ),
        ) => Some(Seeing::Seen),
    }
}

/// Signatures that do not hold are an answer.
fn is_unseen(failure: &LookupFailure) -> bool {
    failure.kind != FailureKind::Bogus
}

/// Whether anything was seen of a mail host, at any of its addresses.
fn of_host(facts: &HostFacts, host: Option<&HostSurvey>) -> Seeing {
    match &facts.addresses {
        Answer::Failed(failure) if is_unseen(failure) => return Seeing::Unseen,
        Answer::Failed(_) | Answer::Absent { .. } => return Seeing::Seen,
        // It has none, or none that may be connected to: that is told.
        Answer::Found { value, .. } if value.is_empty() => return Seeing::Seen,
        Answer::Found { .. } => {}
    }
    let mut probes = host.iter().flat_map(|host| &host.addresses).filter_map(|address| {
        match &address.observed {
            Observed::Probed(probe) => Some(probe),
            Observed::Not(_) => None,
        }
    });
    if probes.any(|probe| is_seen(probe)) { Seeing::Seen } else { Seeing::Unseen }
}

/// Whether a host showed what it does about TLS. A handshake that ends without a word did not, nor did a
/// reply that sends us away: anybody on the path can say that.
fn is_seen(probe: &Probe) -> bool {
    match &probe.contact {
        Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => false,
        Contact::Spoke { starttls, .. } => match starttls {
            StartTlsSeen::NotOffered | StartTlsSeen::Refused(_) | StartTlsSeen::Injected => true,
            StartTlsSeen::Ready => probe.handshakes.iter().any(|one| match &one.tried {
                Tried::Session(_) | Tried::Failed { .. } | Tried::NoSuchKey => true,
                Tried::Unknown(_) => false,
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_795_341_600);
    const MX: &str = "mx.partner.example";

    fn look(unseen: &mut Unseen, seeing: Seeing, vantage: Vantage) -> Option<Event> {
        unseen.observe(&[(MX.to_owned(), seeing)], vantage, NOW).pop()
    }

    /// Attacker: on the path to a mail host of ours, drops our probes and nothing else. Told after some
    /// looks, once, as long as they go on a weakening, and told when it is over.
    #[test]
    fn a_host_that_nobody_sees_for_hours_is_told_and_its_end_too() {
        let mut unseen = Unseen::default();
        for _ in 0..TOLD {
            assert_eq!(look(&mut unseen, Seeing::Unseen, Vantage::Clear), None, "it may pass");
        }
        let told = look(&mut unseen, Seeing::Unseen, Vantage::Clear);
        assert!(matches!(&told, Some(Event::Raised(one)) if one.class == Class::Drift), "{told:?}");
        for _ in TOLD..LONG {
            assert_eq!(look(&mut unseen, Seeing::Unseen, Vantage::Clear), None);
        }
        assert_eq!(unseen.open()[0].change.class, Class::Weakening);
        assert_eq!(look(&mut unseen, Seeing::Seen, Vantage::Clear), None);
        let over = look(&mut unseen, Seeing::Seen, Vantage::Clear);
        assert!(matches!(over, Some(Event::Cleared(_))), "{over:?}");
    }

    /// Our own way out fails: that is told of the gateway, and of no host.
    #[test]
    fn what_nobody_could_see_is_told_of_no_host() {
        let mut unseen = Unseen::default();
        for _ in 0..100 {
            assert_eq!(look(&mut unseen, Seeing::Unseen, Vantage::Blind), None);
        }
        assert!(unseen.open().is_empty());
    }

    /// Attacker: on the path to a domain of ours, drops now the answer that names its mail hosts, and now
    /// what we ask of the host, so that each was seen at the look before.
    #[test]
    fn whoever_drops_one_thing_after_the_other_is_told() {
        let mut unseen = Unseen::default();
        let mx = |seeing| ("partner.example MX".to_owned(), seeing);
        let events = (0..10).flat_map(|look| {
            let sightings = match look % 2 {
                0 => vec![mx(Seeing::Seen), (MX.to_owned(), Seeing::Unseen)],
                _ => vec![mx(Seeing::Unseen)],
            };
            unseen.observe(&sightings, Vantage::Clear, NOW)
        });
        let told: Vec<_> = events.collect();
        assert!(
            matches!(&told[..], [Event::Raised(one)] if one.subject == MX),
            "once, and of the host: {told:?}"
        );
        // A host that is none any more is nobody's news.
        assert!(unseen.observe(&[mx(Seeing::Seen)], Vantage::Clear, NOW).is_empty());
        let over = unseen.observe(&[mx(Seeing::Seen)], Vantage::Clear, NOW);
        assert!(matches!(&over[..], [Event::Cleared(_)]), "{over:?}");
    }

    /// Attacker: on the path to a mail host of ours, answers in its place and sends us away, or with what is
    /// no SMTP. Nothing was seen of the host.
    #[test]
    fn whoever_turns_us_away_showed_nothing() {
        let probe = |contact| Probe {
            at: NOW,
            contact,
            keywords_in_tls: None,
            handshakes: Vec::new(),
            legacy: None,
            weak: None,
        };
        assert!(!is_seen(&probe(Contact::TurnedAway("554 go away".into()))));
        assert!(!is_seen(&probe(Contact::Misbehaved("the banner has no end".into()))));
        let (greeting, starttls) = ("220 mx".into(), StartTlsSeen::NotOffered);
        assert!(is_seen(&probe(Contact::Spoke { greeting, keywords: Vec::new(), starttls })));
    }

    /// Attacker: the same, drops the TXT record that announces the policy.
    #[test]
    fn a_policy_whose_record_is_dropped_was_not_seen() {
        let failed = |kind| {
            let name = waxseal_core::domain::Domain::parse("_mta-sts.partner.example").unwrap();
            let failure = LookupFailure { name: (&name).into(), kind, detail: String::new() };
            of_policy(&PolicySurvey {
                record: Published::Failed(failure),
                ..PolicySurvey::default()
            })
        };
        assert_eq!(failed(FailureKind::Timeout), Some(Seeing::Unseen));
        assert_eq!(failed(FailureKind::Bogus), Some(Seeing::Seen), "that is told");
        assert_eq!(of_policy(&PolicySurvey::default()), None, "there is none");
    }
}
