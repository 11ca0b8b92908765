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
        }
        open |= is_open;
    }
    stages.push(dane(facts));
    stages
}

fn stage(step: Step, progress: Progress, text: &str) -> Stage {
    Stage { step, progress, text: text.to_owned() }
}

const NOW: Progress = Progress::Current { until: None };

fn reports(facts: &Facts<'_>) -> Stage {
    let progress = match facts.tlsrpt {
        Standing::Live => Progress::Done,
        Standing::Missing | Standing::Differs { .. } => NOW,
        Standing::Unknown { .. } => Progress::Unknown,
    };
    stage(Step::Reports, progress, "set `tlsrpt` and publish its record: `waxseal publish tlsrpt`")
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
    stage(Step::Baseline, progress, "read two weeks of reports: which senders fail today, and why")
}

fn testing(facts: &Facts<'_>) -> Stage {
    let progress = match &facts.mode {
        _ if reached(facts, Mode::Testing) => Progress::Done,
        Ok(_) => NOW,
        Err(_) => Progress::Unknown,
    };
    let text = "set `mta_sts = \"testing\"`, serve the policy, then publish its record: \
                `waxseal publish mta-sts`";
    stage(Step::Testing, progress, text)
}

fn watch(facts: &Facts<'_>) -> Stage {
    let since = match facts.memory.policy.mode {
        Some((Mode::Testing, since)) => Some(since),
        Some((Mode::Enforce | Mode::None, _)) | None => None,
    };
    let progress = wait(since, reached(facts, Mode::Enforce), facts.now);
    stage(
        Step::Watch,
        progress,
        "read two weeks of reports: nothing may fail that is ours to repair",
    )
}

fn enforce(facts: &Facts<'_>) -> Stage {
    let done = reached(facts, Mode::Enforce);
    let known = facts.mode.is_ok();
    let (progress, text) = match facts.certificates {
        // Where it binds already, mail is being turned away.
        Certificates::Fail(why) => {
            let text = format!("repair first what a policy that binds turns away: {}", list(why));
            return stage(Step::Enforce, Progress::Held, &text);
        }
        Certificates::Unknown(why) if !done => {
            let text = format!(
                "find out first whether the certificates of all MX hosts would pass: {}",
                list(why)
            );
            return stage(Step::Enforce, Progress::Unknown, &text);
        }
        Certificates::Pass | Certificates::NotAsked | Certificates::Unknown(_) => {
            let progress = match (done, known) {
                (true, _) => Progress::Done,
                (false, true) => NOW,
                (false, false) => Progress::Unknown,
            };
            (progress, "set `mta_sts = \"enforce\"`, serve the policy, then publish its record")
        }
    };
    stage(Step::Enforce, progress, text)
}

fn dane(facts: &Facts<'_>) -> Stage {
    let all = |wanted: fn(&Standing) -> bool| facts.dane.iter().all(wanted);
    let progress = if facts.dane.is_empty() {
        NOW
    } else if all(|standing| *standing == Standing::Live) {
        Progress::Done
    } else if facts.dane.iter().any(|standing| matches!(standing, Standing::Unknown { .. })) {
        Progress::Unknown
    } else {
        NOW
    };
    let text = "sign the zone of the MX hosts, name their keys in [[publish.mx]] and publish the \
                records: `waxseal publish tlsa`; it needs none of the steps above";
    stage(Step::Dane, progress, text)
}
