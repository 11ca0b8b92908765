//! The order of a first roll-out: reports first, two weeks to learn what is normal, a policy that
//! refuses nothing, two weeks more, then one that binds; DANE beside it where the zone is signed.

use std::time::Duration;

use serde::Serialize;

use super::{DomainMemory, Standing, gate::list};
use crate::{sts::Mode, time::UnixTime};

/// How long reports are read before the next step.
pub const WEEKS: Duration = Duration::from_secs(14 * 86_400);

/// A step, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The TLSRPT record is there (RFC 8460).
    Reports,
    /// Two weeks of reports.
    Baseline,
    /// A policy in testing (RFC 8461 §5).
    Testing,
    /// Two weeks of testing.
    Watch,
    /// A policy that binds.
    Enforce,
    /// TLSA records for each MX host (RFC 7672).
    Dane,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Progress {
    /// Behind us.
    Done,
    /// What to do now.
    Current {
        /// When it ends by itself, for the steps that wait.
        until: Option<UnixTime>,
    },
    /// What to do now, and not before what the text names is repaired.
    Held,
    /// After the current one.
    Later,
    /// It could not be found out.
    Unknown,
}

/// A step and what to do in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Which one.
    pub step: Step,
    /// How it stands.
    #[serde(flatten)]
    pub progress: Progress,
    /// What to do, or what is waited for.
    pub text: String,
    /// What could not be found out, and why; not empty where the progress is [`Progress::Unknown`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// Whether senders that follow a policy that binds would accept what our MX hosts show (RFC 8461 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Nobody looked.
    NotAsked,
    /// All that is shown, at every address and with every kind of key.
    Pass,
    /// Some would not, and why.
    Fail(Vec<String>),
    /// It could not be found out everywhere, and why.
    Unknown(Vec<String>),
}

/// What is known of a domain.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The TLSRPT record.
    pub tlsrpt: &'a Standing,
    /// The policy that is served and announced, or why that is not known.
    pub mode: Result<Option<Mode>, String>,
    /// The TLSA records of its MX hosts, each with how they stand.
    pub dane: &'a [Standing],
    /// The certificates of its MX hosts.
    pub certificates: &'a Certificates,
    /// What was seen before.
    pub memory: &'a DomainMemory,
    /// Now.
    pub now: UnixTime,
}

/// All steps; exactly one of the first five is current until everything is done.
pub fn plan(facts: &Facts<'_>) -> Vec<Stage> {
    let mut stages = vec![reports(facts), baseline(facts), testing(facts), watch(facts)];
    stages.push(enforce(facts));
    let mut open = false;
    for stage in &mut stages {
        let is_open =
            matches!(stage.progress, Progress::Current { .. } | Progress::Held | Progress::Unknown);
        if open && is_open {
            stage.progress = Progress::Later;
            stage.unknown.clear();
        }
        open |= is_open;
    }
    stages.push(dane(facts));
    stages
}

fn stage(step: Step, progress: Progress, text: &str) -> Stage {
    Stage { step, progress, text: text.to_owned(), unknown: Vec::new() }
}

/// A step of which nobody knows how it stands.
fn unknown(step: Step, why: Vec<String>, text: &str) -> Stage {
    Stage { unknown: why, ..stage(step, Progress::Unknown, text) }
}

const NOW: Progress = Progress::Current { until: None };

fn reports(facts: &Facts<'_>) -> Stage {
    let text = "set `tlsrpt` and publish its record: `waxseal publish tlsrpt`";
    let progress = match facts.tlsrpt {
        Standing::Live => Progress::Done,
        Standing::Missing | Standing::Differs { .. } => NOW,
        Standing::Unknown { why } => {
            return unknown(Step::Reports, vec![format!("the TLSRPT record: {why}")], text);
        }
    };
    stage(Step::Reports, progress, text)
}

/// Whether a policy of this mode or a stronger one is out.
fn reached(facts: &Facts<'_>, wanted: Mode) -> bool {
    match (&facts.mode, wanted) {
        (Ok(Some(Mode::Enforce)), _) | (Ok(Some(Mode::Testing)), Mode::Testing) => true,
        (Ok(Some(Mode::Testing | Mode::None) | None) | Err(_), _) => false,
    }
}

/// Waiting steps: done after two weeks, or where the step after them has been taken.
fn wait(since: Option<UnixTime>, passed: bool, now: UnixTime) -> Progress {
    match since {
        _ if passed => Progress::Done,
        Some(since) if now >= since + WEEKS => Progress::Done,
        Some(since) => Progress::Current { until: Some(since + WEEKS) },
        None => NOW,
    }
}

fn baseline(facts: &Facts<'_>) -> Stage {
    let passed = reached(facts, Mode::Testing);
    let progress = wait(facts.memory.tlsrpt_since, passed, facts.now);
    let text = "read two weeks of reports: which senders fail today, and why";
    waited(Step::Baseline, progress, (facts, text))
}

/// A step that waits. Whether the one after it was taken is not known where the policy is not.
fn waited(step: Step, progress: Progress, (facts, text): (&Facts<'_>, &str)) -> Stage {
    match (progress, &facts.mode) {
        (Progress::Current { .. }, Err(why)) => unknown(step, vec![followed(why)], text),
        (
            Progress::Done
            | Progress::Current { .. }
            | Progress::Held
            | Progress::Later
            | Progress::Unknown,
            _,
        ) => stage(step, progress, text),
    }
}

fn testing(facts: &Facts<'_>) -> Stage {
    let text = "set `mta_sts = \"testing\"`, serve the policy, then publish its record: \
                `waxseal publish mta-sts`";
    match &facts.mode {
        Ok(_) if reached(facts, Mode::Testing) => stage(Step::Testing, Progress::Done, text),
        Ok(_) => stage(Step::Testing, NOW, text),
        Err(why) => unknown(Step::Testing, vec![followed(why)], text),
    }
}

/// Which policy senders follow is not known.
fn followed(why: &str) -> String {
    format!("which MTA-STS policy senders follow: {why}")
}

fn watch(facts: &Facts<'_>) -> Stage {
    let since = match facts.memory.policy.mode {
        Some((Mode::Testing, since)) => Some(since),
        Some((Mode::Enforce | Mode::None, _)) | None => None,
    };
    let text = "read two weeks of reports: nothing may fail that is ours to repair";
    let progress = wait(since, reached(facts, Mode::Enforce), facts.now);
    waited(Step::Watch, progress, (facts, text))
}

fn enforce(facts: &Facts<'_>) -> Stage {
    let text = "set `mta_sts = \"enforce\"`, serve the policy, then publish its record";
    match (facts.certificates, &facts.mode) {
        // Where it binds already, mail is being turned away.
        (Certificates::Fail(why), _) => {
            let text = format!("repair first what a policy that binds turns away: {}", list(why));
            stage(Step::Enforce, Progress::Held, &text)
        }
        (_, Err(why)) => unknown(Step::Enforce, vec![followed(why)], text),
        (_, Ok(_)) if reached(facts, Mode::Enforce) => stage(Step::Enforce, Progress::Done, text),
        (Certificates::Unknown(why), Ok(_)) => {
            let text = "find out first whether the certificates of all MX hosts would pass";
            unknown(Step::Enforce, why.clone(), text)
        }
        (Certificates::Pass | Certificates::NotAsked, Ok(_)) => stage(Step::Enforce, NOW, text),
    }
}

fn dane(facts: &Facts<'_>) -> Stage {
    let text = "sign the zone of the MX hosts, name their keys in [[publish.mx]] and publish the \
                records: `waxseal publish tlsa`; it needs none of the steps above";
    let why = |standing: &Standing| match standing {
        Standing::Unknown { why } => Some(why.clone()),
        Standing::Live | Standing::Missing | Standing::Differs { .. } => None,
    };
    let lost: Vec<String> = facts.dane.iter().filter_map(why).collect();
    let live = |standing: &Standing| *standing == Standing::Live;
    if !lost.is_empty() {
        unknown(Step::Dane, lost, text)
    } else if !facts.dane.is_empty() && facts.dane.iter().all(live) {
        stage(Step::Dane, Progress::Done, text)
    } else {
        stage(Step::Dane, NOW, text)
    }
}
