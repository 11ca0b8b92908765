//! What of an own domain cannot be seen look after look, while others can: whoever drops our probes, and only
//! those, would keep everything else from being told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{
        Contact, HostSurvey, Observed, Probe, StartTlsSeen, Survey, Tried,
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
    /// counts for nothing.
    pub(super) fn observe(
        &mut self,
        sightings: &[Sighting],
        vantage: Vantage,
        now: UnixTime,
    ) -> Vec<Event> {
        self.rows.retain(|name, _| {
            sightings.iter().any(|(one, seeing)| one == name && *seeing == Seeing::Unseen)
        });
        let unseen = sightings.iter().filter(|(_, seeing)| *seeing == Seeing::Unseen);
        for (name, _) in unseen.filter(|_| vantage == Vantage::Clear) {
            let row = self.rows.entry(name.clone()).or_insert(Row { since: now, looks: 0 });
            row.looks = row.looks.saturating_add(1);
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
            because: "other domains can be seen: it is down, or somebody on the way drops what comes from \
                      this gateway, and nothing else is told of it until then; look from elsewhere"
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
    let mut all = vec![(format!("{domain} MX"), mx)];
    for facts in survey.facts.hosts.iter().filter(|host| !parts.own.is(host)) {
        let name = facts.host.to_string();
        let host = survey.hosts.iter().find(|host| host.host.as_str() == name);
        all.push((name, of_host(facts, host)));
    }
    let policy = match &survey.policy.served {
        _ if parts.config.web.policy.is_some() => None,
        None => None,
        Some(Err(StsFailure::Unreached(_))) => Some(Seeing::Unseen),
        Some(_) => Some(Seeing::Seen),
    };
    all.extend(policy.map(|seeing| (format!("mta-sts.{domain}"), seeing)));
    all
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

/// Whether a host showed what it does about TLS. A handshake that ends without a word did not.
fn is_seen(probe: &Probe) -> bool {
    match &probe.contact {
        Contact::Unreachable(_) => false,
        Contact::TurnedAway(_) | Contact::Misbehaved(_) => true,
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
}
