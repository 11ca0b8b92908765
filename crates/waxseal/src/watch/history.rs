//! What is kept of a domain between looks, and what a new look makes of it.

use std::{cmp::Reverse, collections::VecDeque, io, net::IpAddr};

use serde::{Deserialize, Serialize};
use waxseal_core::{
    assess::{
        AddressSurvey, Assessment, Contact, Delivery, HostSurvey, Id, Observed, Servers, Severity,
        Survey, Tried, Unused,
        change::{
            Certainty, Change, Class, Event, Keepers, Kind, Look, Open, Watch, Weight, changes,
            relocated, strangers,
        },
    },
    channel::Level,
    domain::Domain,
    facts::{StsFact, StsFailure},
    sts::Mode,
    time::UnixTime,
};

use super::{
    Whose,
    alert::Alert,
    expiry::{Expiries, expiries},
    outlook::{Seeing, Vantage},
    standing::Standing,
    told::{News, Told},
    unseen::{Sighting, Unseen},
};

/// Looks that are kept: two and a half days of an own domain, two months of a partner.
const MOST_LOOKS: usize = 64;
/// Changes that are kept.
const MOST_CHANGES: usize = 64;
/// Findings that are kept of one look.
const MOST_FINDINGS: usize = 24;
/// After so long what is different is how the domain is now: as long as downgrade memory stands.
const TERM: std::time::Duration = waxseal_core::memory::TERM;
/// Octets of one look in the store. With a hostile domain of twenty hosts with large certificates the
/// last look that fits stays the one to compare with, and somebody is told.
const LARGEST: usize = 512 * 1024;

/// One domain, look after look.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// Whether it is one of ours.
    pub whose: Whose,
    /// The last looks, oldest first.
    pub looks: VecDeque<Glance>,
    /// What changed, oldest first.
    pub changes: VecDeque<Noted>,
    /// What is watched: alarms that are open, and those that may become one.
    pub watch: Watch,
    /// What ran out first at the last look.
    pub expiries: Expiries,
    /// What was different at the last look.
    last: Vec<Change>,
    announced: Told,
    testing_since: Option<UnixTime>,
    baseline: Option<Baseline>,
    /// Looks in a row after which something was suspicious.
    #[serde(default)]
    suspicious: u32,
    /// What is told of an own domain though nothing changed.
    #[serde(default)]
    standing: Standing,
    /// Who answers for an own domain.
    #[serde(default)]
    keepers: Keepers,
    /// What of an own domain cannot be seen.
    #[serde(default)]
    unseen: Unseen,
}

/// What a look is taken in with.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Nothing that was announced is announced again within this.
    pub repeat: std::time::Duration,
    /// The mail hosts that we named for it, where it is a domain of ours and we did.
    pub ours: &'a [Domain],
    /// Whether other domains can be seen.
    pub vantage: Vantage,
    /// What was seen of its parts, where it is a domain of ours.
    pub sightings: &'a [Sighting],
}

/// One look, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// When.
    pub at: UnixTime,
    /// What an attacker leaves.
    pub level: Option<Level>,
    /// Whether mail would be delivered.
    pub delivery: Delivery,
    /// Findings of severity warning and worse, each kind once.
    pub findings: Vec<Id>,
    /// Whether it saw as much as the look before all changes.
    pub certainty: Sight,
}

/// Whether a look saw enough to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// It did.
    Whole,
    /// Something could not be found out.
    Partial,
}

/// One change and when it was seen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When.
    pub at: UnixTime,
    /// What.
    pub change: Change,
}

/// The look that held before any change that is watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Baseline {
    survey: Survey,
    assessment: Assessment,
}

/// What a look came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Changes that the look before did not show.
    pub fresh: Vec<Change>,
    /// What somebody has to be told.
    pub alert: Option<Alert>,
}

impl History {
    /// Of a domain that nobody has looked at.
    pub fn new(whose: Whose) -> Self {
        Self { whose, ..Self::default() }
    }

    /// What an assessment may compare with.
    pub fn before(&self) -> Option<&Survey> {
        self.baseline.as_ref().map(|baseline| &baseline.survey)
    }

    /// Since when the MTA-STS policy is seen in mode `testing`.
    pub const fn testing_since(&self) -> Option<UnixTime> {
        self.testing_since
    }

    /// Whether something looks like an attack, or was broken at the first look, and nobody was told
    /// of it yet: the next look should come soon, for one look can be a fault of the way there.
    pub fn is_suspicious(&self) -> bool {
        let attack =
            |open: &Open| !open.raised && open.seen > 0 && open.change.class == Class::LikelyAttack;
        self.watch.open.iter().any(attack) || self.standing.is_pending()
    }

    /// What somebody was told of and is not over.
    pub fn raised(&self) -> impl Iterator<Item = &Open> {
        self.watch.open.iter().chain(self.standing()).filter(|open| open.raised)
    }

    /// What is open though nothing changed.
    fn standing(&self) -> impl Iterator<Item = &Open> {
        self.standing.open().iter().chain(self.unseen.open())
    }

    /// How many looks in a row have left something suspicious. One is confirmed or refuted by the
    /// next; a domain that always shows something else would be looked at all day long.
    pub const fn suspicious_looks(&self) -> u32 {
        self.suspicious
    }

    /// Whether a look says anything of its domain: where it cannot tell whether mail is delivered, or
    /// does not reach the policy host, it may be our own way there.
    pub(super) const fn seeing(survey: &Survey, assessment: &Assessment) -> Seeing {
        match (assessment.delivery, &survey.policy.served) {
            (Delivery::Unknown, _)
            | (
                Delivery::Delivers | Delivery::Refuses | Delivery::TakesNoMail,
                Some(Err(StsFailure::Unreached(_))),
            ) => Seeing::Unseen,
            (
                Delivery::Delivers | Delivery::Refuses | Delivery::TakesNoMail,
                None
                | Some(
                    Ok(_)
                    | Err(
                        StsFailure::Record(_)
                        | StsFailure::Fetch(_)
                        | StsFailure::Certificate(_)
                        | StsFailure::Invalid(_),
                    ),
                ),
            ) => Seeing::Seen,
        }
    }

    /// Takes in a look.
    pub fn observe(
        &mut self,
        survey: &Survey,
        assessment: &Assessment,
        given: &Given<'_>,
    ) -> Outcome {
        let now = assessment.checked_at;
        let sight = self.sight(survey, assessment);
        self.testing(survey, now);
        self.expiries = expiries(survey);
        let kept = Baseline { survey: slim(survey), assessment: assessment.clone() };
        let kept = fits(&kept).then_some(kept);
        let mut found = match &self.baseline {
            Some(baseline) => changes(
                Look { survey: &baseline.survey, assessment: &baseline.assessment },
                Look { survey, assessment },
            ),
            None => Vec::new(),
        };
        let (strangers, relocated) = self.led_elsewhere(survey, given.ours, now);
        let same =
            |one: &Change, other: &Change| (one.kind, &one.subject) == (other.kind, &other.subject);
        found.retain(|change| !relocated.iter().any(|worse| same(worse, change)));
        let is_attack = |change: &Change| change.class == Class::LikelyAttack;
        let away = relocated.iter().chain(&strangers).any(is_attack);
        found.extend(relocated);
        if away {
            found.iter_mut().for_each(led_away);
        }
        let blind =
            (given.vantage, Self::seeing(survey, assessment)) == (Vantage::Blind, Seeing::Unseen);
        if blind {
            keep_what_was_seen(&mut found);
        }
        found.extend(kept.is_none().then(|| too_large(&assessment.domain)));
        let known = |change: &Change| {
            self.last.iter().any(|last| {
                (last.kind, &last.subject, &last.after)
                    == (change.kind, &change.subject, &change.after)
            })
        };
        let fresh: Vec<Change> = found.iter().filter(|change| !known(change)).cloned().collect();
        for change in &fresh {
            keep(&mut self.changes, Noted { at: now, change: change.clone() }, MOST_CHANGES);
        }
        let glance = Glance {
            at: now,
            level: assessment.level,
            delivery: assessment.delivery,
            findings: worth_keeping(assessment),
            certainty: sight,
        };
        keep(&mut self.looks, glance, MOST_LOOKS);
        let certainty = match sight {
            Sight::Whole if blind => Certainty::DnsAlone,
            Sight::Whole => Certainty::Seen,
            Sight::Partial => Certainty::NotSeen,
        };
        let mut events = self.watch.observe(&found, certainty, now);
        events.extend(self.stands(survey, assessment, (strangers, certainty)));
        events.extend(self.unseen.observe(given.sightings, given.vantage, now));
        let News { mut raised, cleared } = self.announce(&events, given.repeat, now);
        raised.sort_by_key(|change| Reverse(change.class));
        self.advance(kept, now, sight);
        self.last = if self.watch.open.is_empty() { Vec::new() } else { found };
        self.last.truncate(MOST_CHANGES);
        self.suspicious = if self.is_suspicious() { self.suspicious.saturating_add(1) } else { 0 };
        let alert = (!raised.is_empty() || !cleared.is_empty()).then(|| Alert {
            domain: assessment.domain.clone(),
            whose: self.whose,
            at: now,
            level: assessment.level,
            headline: assessment.headline.clone(),
            raised,
            cleared,
        });
        Outcome { fresh, alert }
    }

    /// Where the mail of an own domain goes beside the hosts that we named, and which of its hosts are
    /// elsewhere; as far as who says so matters.
    fn led_elsewhere(
        &mut self,
        survey: &Survey,
        ours: &[Domain],
        now: UnixTime,
    ) -> (Vec<Change>, Vec<Change>) {
        if self.whose != Whose::Own {
            self.keepers = Keepers::default();
            return (Vec::new(), Vec::new());
        }
        let before = self.baseline.as_ref().map(|baseline| &baseline.survey);
        if let Some(before) = before.filter(|_| self.keepers.is_empty()) {
            // Another version kept none.
            self.keepers.observe(before, now);
        }
        let keepers = (&self.keepers, now);
        let strangers = strangers(before, survey, ours, keepers);
        let relocated = before.map(|before| relocated(before, survey, keepers));
        self.keepers.observe(survey, now);
        (strangers, relocated.unwrap_or_default())
    }

    /// What stands at an own domain, whatever was before.
    fn stands(
        &mut self,
        survey: &Survey,
        assessment: &Assessment,
        (strangers, certainty): (Vec<Change>, Certainty),
    ) -> Vec<Event> {
        if self.whose != Whose::Own {
            self.standing = Standing::default();
            return Vec::new();
        }
        let explains = |open: &Open| open.raised && open.change.kind != Kind::Comparison;
        if self.watch.open.iter().any(explains) {
            self.standing.explained(assessment.checked_at);
        }
        let events = self.standing.observe((survey, assessment), strangers, certainty);
        for event in &events {
            if let Event::Raised(change) = event {
                let noted = Noted { at: assessment.checked_at, change: change.clone() };
                keep(&mut self.changes, noted, MOST_CHANGES);
            }
        }
        events
    }

    /// Whether a look leaves nothing unknown that the baseline knew. One that was cut short does
    /// always: what it did not come to is another thing each time.
    fn sight(&self, survey: &Survey, assessment: &Assessment) -> Sight {
        let knew = |before: &Baseline| before.assessment.delivery != Delivery::Unknown;
        let unsure =
            assessment.delivery == Delivery::Unknown && self.baseline.as_ref().is_some_and(knew);
        if !survey.unasked.is_empty() || unsure || self.is_hidden(survey) {
            return Sight::Partial;
        }
        let unknown = |assessment: &Assessment| -> Vec<(Id, String)> {
            // What the policy lists beside the mail hosts is in no comparison: whoever writes a name
            // there that now and then does not resolve must not leave alarms open by it; nor whoever gets
            // the reports of the domain. And a key of ours that we cannot read hides nothing of the domain.
            let unknown = |finding: &&waxseal_core::assess::Finding| {
                finding.severity == Severity::Unknown
                    && !matches!(
                        finding.id,
                        Id::StsMxUnused | Id::DmarcRuaConsent | Id::DkimKeyUnknown
                    )
            };
            let findings = assessment.findings.iter().filter(unknown);
            findings.map(|finding| (finding.id, finding.subject.clone())).collect()
        };
        let before = match &self.baseline {
            Some(baseline) => unknown(&baseline.assessment),
            None => unknown(assessment),
        };
        match unknown(assessment).iter().all(|one| before.contains(one)) {
            true => Sight::Whole,
            false => Sight::Partial,
        }
    }

    /// Whether something that is watched is at an address that said nothing of it: that another address of
    /// the host answers does not say that it is over.
    fn is_hidden(&self, survey: &Survey) -> bool {
        let silent = |address: &AddressSurvey| match &address.observed {
            Observed::Probed(probe) => match &probe.contact {
                Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => true,
                Contact::Spoke { .. } => false,
            },
            Observed::Not(_) => false,
        };
        let watched = |host: &HostSurvey, ip: IpAddr| {
            let place = format!("{} [{ip}]", host.host);
            let mut open = self.watch.open.iter().map(|open| &open.change);
            open.any(|change| {
                let subject = change.subject.as_str();
                let here = subject == host.host.as_str() || subject.starts_with(&place);
                here && change.kind.is_in_dialogue()
            })
        };
        survey.hosts.iter().any(|host| {
            let mut silent = host.addresses.iter().filter(|address| silent(address));
            silent.any(|address| watched(host, address.ip))
        })
    }

    fn testing(&mut self, survey: &Survey, now: UnixTime) {
        match &survey.policy.served {
            Some(Ok(policy)) if policy.mode == Mode::Testing => {
                self.testing_since.get_or_insert(now);
            }
            Some(Ok(_)) => self.testing_since = None,
            // Not having seen it does not end it.
            Some(Err(
                StsFailure::Record(_)
                | StsFailure::Fetch(_)
                | StsFailure::Unreached(_)
                | StsFailure::Certificate(_)
                | StsFailure::Invalid(_),
            )) => {}
            None => match &survey.facts.sts {
                StsFact::Absent { .. } => self.testing_since = None,
                StsFact::Policy { .. } | StsFact::Unknown { .. } | StsFact::NotAsked => {}
            },
        }
    }

    /// What has to be told.
    fn announce(&mut self, events: &[Event], repeat: std::time::Duration, now: UnixTime) -> News {
        let standing = self.standing.open().iter().chain(self.unseen.open());
        let open = self.watch.open.iter().chain(standing);
        self.announced.news(open, events, repeat, now)
    }

    /// The next look is compared with this one where nothing is watched; otherwise with the one
    /// before all that is watched, until it is so old that things are as they are. A look that
    /// cannot be kept ends nothing: what was told of it would be told again and again.
    fn advance(&mut self, look: Option<Baseline>, now: UnixTime, sight: Sight) {
        let Some(look) = look else { return };
        let calm = self.watch.open.is_empty() && sight == Sight::Whole;
        let old = |baseline: &Baseline| now.since(baseline.assessment.checked_at) > TERM;
        if self.baseline.as_ref().is_some_and(old) {
            self.watch = Watch::default();
            let standing = self.standing.open().iter().chain(self.unseen.open());
            self.announced.usual(standing, now);
        } else if !calm && self.baseline.is_some() {
            return;
        }
        self.baseline = Some(look);
    }
}

/// Whether a look is small enough to be kept. Written no further than that: a hostile domain's would
/// be a hundred MiB.
fn fits(look: &Baseline) -> bool {
    serde_json::to_writer(Measure(LARGEST), look).is_ok()
}

/// Takes so many octets, and nothing more.
struct Measure(usize);

impl io::Write for Measure {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(octets.len());
        self.0 = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A look that is too large to be kept. Whoever makes a domain answer with so much also keeps what
/// they change next out of sight, so that it is told at once.
fn too_large(domain: &Domain) -> Change {
    Change {
        kind: Kind::Comparison,
        subject: domain.to_string(),
        before: "compared".into(),
        after: format!("more than {} KiB", LARGEST / 1_024),
        class: Class::Weakening,
        because: "its hosts answer with so much that a look cannot be kept: changes are only seen \
                  against the last one that could"
            .into(),
        weight: Weight::Conclusive,
    }
}

/// Somebody hears once that we cannot look, not of each domain that we do not see. What its host said to us
/// was seen, and so was what follows from it.
fn keep_what_was_seen(found: &mut Vec<Change>) {
    let answered = found.iter().any(is_worse_in_dialogue);
    found.retain(|change| {
        let follows = matches!(change.kind, Kind::Level | Kind::Delivery);
        change.class == Class::LikelyAttack
            || change.weight == Weight::Conclusive
            || change.kind.is_in_dns()
            || change.kind.is_in_dialogue()
            || (answered && follows)
    });
}

/// Whether a mail host answered, and with less than before.
fn is_worse_in_dialogue(change: &Change) -> bool {
    change.kind.is_in_dialogue() && change.class == Class::Weakening
}

/// What changed where mail is led to a strange host is that, or follows from it: told with it, and not an
/// hour later as a weakening.
fn led_away(change: &mut Change) {
    let follows = matches!(change.kind, Kind::Level | Kind::Delivery);
    if change.class == Class::Weakening && follows {
        change.because = "it follows from the other changes".into();
    }
    let moved = change.kind == Kind::Mx && change.class == Class::Drift;
    if moved || (change.class == Class::Weakening && (follows || change.kind == Kind::Mx)) {
        change.class = Class::LikelyAttack;
    }
}

/// A survey without what no comparison looks at: issuers, and what single servers said.
fn slim(survey: &Survey) -> Survey {
    let mut survey = survey.clone();
    let unkept = || Servers::NotAsked("not kept".into());
    survey.zone.servers = unkept();
    survey.policy.unused = Unused::default();
    for host in &mut survey.hosts {
        host.zone.servers = unkept();
        for address in &mut host.addresses {
            let Observed::Probed(probe) = &mut address.observed else { continue };
            for handshake in &mut probe.handshakes {
                if let Tried::Session(session) = &mut handshake.tried {
                    session.chain.truncate(1);
                }
            }
        }
    }
    survey
}

fn worth_keeping(assessment: &Assessment) -> Vec<Id> {
    let mut ids: Vec<Id> = Vec::new();
    for finding in &assessment.findings {
        let bad = finding.severity >= Severity::Warning;
        if bad && ids.len() < MOST_FINDINGS && !ids.contains(&finding.id) {
            ids.push(finding.id);
        }
    }
    ids
}

fn keep<T>(queue: &mut VecDeque<T>, value: T, most: usize) {
    while queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests;
