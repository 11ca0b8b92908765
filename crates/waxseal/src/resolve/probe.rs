//! Whether validation can work at all: one line for the operator instead of a bogus world.

use std::{collections::BTreeSet, fmt, sync::atomic::Ordering, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dns::{FailureKind, Proof},
    dnssec::{Bundle, Finding, Flaw, Memo, Name, Question, RecordType, Step, Validated, validate},
    time::UnixTime,
};

use super::{Settings, exchange::Failure, fetch::Fetcher};

/// How long one upstream has to answer a probe.
const LONGEST: Duration = Duration::from_secs(3);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The records of the trust anchor validate.
    Validating {
        /// What will or may end that.
        warnings: Vec<Warning>,
    },
    /// Validation does not work: one line for the log, `/healthz` and `explain`.
    Broken {
        /// What kind of trouble.
        kind: FailureKind,
        /// What was seen and what the operator can do.
        line: String,
    },
}

/// What an operator should know although validation works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// An upstream cannot be used, and why; the others are.
    Upstream(String),
    /// A key that is published and not trusted is the next one: it signs before long, and alone in
    /// the end.
    UnknownKey {
        /// Of the trust anchor.
        zone: Name,
        /// Its tag (RFC 4034 §5.1.1).
        tag: u16,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(why) => f.write_str(why),
            Self::UnknownKey { zone, tag } => write!(
                f,
                "zone {zone} announces key {tag}, which no trust anchor names: before it signs \
                 alone, update Waxseal, or add it to the file of [dns] trust_anchors"
            ),
        }
    }
}

/// Asks each upstream for the keys of the first trust anchor's zone, and validates them at a time.
pub(super) async fn probe(fetcher: &Fetcher, settings: &Settings, now: UnixTime) -> Health {
    let zone = settings.anchors.zones().next().cloned().unwrap_or_else(Name::root);
    let question = Question::new(zone, RecordType::DNSKEY);
    let mut asking = JoinSet::new();
    for (place, station) in fetcher.stations.iter().enumerate() {
        let (station, question) = (station.clone(), question.clone());
        asking.spawn(async move {
            let asked = timeout(LONGEST, station.ask(&question, now)).await;
            let late = || Failure {
                kind: FailureKind::Timeout,
                detail: format!("upstream {} did not answer", station.line.address),
            };
            (place, asked.unwrap_or_else(|_| Err(late())))
        });
    }
    let mut faults = Vec::new();
    let mut working = 0_usize;
    let mut strangers = BTreeSet::new();
    while let Some(done) = asking.join_next().await {
        let Ok((place, asked)) = done else { continue };
        let Some(station) = fetcher.stations.get(place) else { continue };
        let fault = match asked {
            Err(failure) => Some((failure.kind, failure.detail)),
            Ok(response) => {
                let mut bundle = Bundle::new();
                bundle.add(&question, &response);
                let memo = Memo::new();
                match validate(&question, &bundle, &settings.anchors, now, &memo) {
                    Step::Need(_) => Some((FailureKind::Indeterminate, "incomplete".to_owned())),
                    Step::Done(validated) if validated.proof == Proof::Secure => {
                        if let Finding::Records(keys) = &validated.finding {
                            strangers.extend(settings.anchors.strangers(&question.name, keys));
                        }
                        None
                    }
                    Step::Done(validated) => {
                        Some(diagnose(&validated, &question, &station.line.address.to_string()))
                    }
                }
            }
        };
        let strips =
            fault.as_ref().is_some_and(|(kind, _)| *kind == FailureKind::SignaturesStripped);
        station.strips.store(strips, Ordering::Relaxed);
        match fault {
            None => working += 1,
            Some(fault) => faults.push(fault),
        }
    }
    if working > 0 {
        let unusable = faults.into_iter().map(|(_, line)| Warning::Upstream(line));
        let unknown = strangers
            .into_iter()
            .map(|tag| Warning::UnknownKey { zone: question.name.clone(), tag });
        let warnings = unusable.chain(unknown).collect();
        return Health::Validating { warnings };
    }
    // The fault that says most: a wrong clock, then stripping, then the rest.
    faults.sort_by_key(|(kind, _)| match kind {
        FailureKind::Clock => 0,
        FailureKind::SignaturesStripped => 1,
        FailureKind::Bogus | FailureKind::Limit | FailureKind::Malformed => 2,
        FailureKind::ServFail | FailureKind::Refused | FailureKind::Indeterminate => 3,
        FailureKind::Timeout | FailureKind::Unreachable | _ => 4,
    });
    match faults.into_iter().next() {
        Some((kind, line)) => Health::Broken { kind, line },
        None => Health::Broken {
            kind: FailureKind::Unreachable,
            line: "no upstream is configured: set [dns] upstream".to_owned(),
        },
    }
}

fn diagnose(found: &Validated, question: &Question, upstream: &str) -> (FailureKind, String) {
    let because = &found.because;
    match found.flaw {
        Some(Flaw::Expired | Flaw::NotYetValid) => (
            FailureKind::Clock,
            format!(
                "{because}: the clock of this machine is wrong, or the trust anchor's zone is broken; check the time"
            ),
        ),
        Some(Flaw::Missing) => (
            FailureKind::SignaturesStripped,
            format!(
                "upstream {upstream} takes DNSSEC signatures out of its answers ({because}); \
                 use one that passes them on: [dns] upstream"
            ),
        ),
        Some(Flaw::Mismatch | Flaw::Denial | Flaw::Limit) => (
            FailureKind::Bogus,
            format!(
                "upstream {upstream}: {because}; somebody alters {question}, or the trust anchor \
                 is out of date: update Waxseal, or name the new key in [dns] trust_anchors"
            ),
        ),
        None => {
            let kind = found.failure.unwrap_or(FailureKind::Indeterminate);
            (kind, format!("upstream {upstream}: {because}"))
        }
    }
}
