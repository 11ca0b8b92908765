//! Whether everything works that mail depends on: looked at every minute, and said in `/healthz`,
//! in the metrics and on the status page.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::watch;
use waxseal_core::{dns::FailureKind, org::Mode, time::UnixTime};
use x509_cert::der::Decode;

use super::{in_force, parts::Live, runner::Runner};
use crate::{
    clock::Standing,
    metrics::{self, Works},
    resolve::{Clock, Health as Dns, Warning},
    store::{Entry, Space, Store},
    watch::Board,
    web::{Check, Queue, Snapshot, State, Topic, Watch},
};

/// Between two looks (promise P1: a probe every 60 s).
const EVERY: Duration = Duration::from_secs(60);
/// Certificates that end within this time are spoken of.
const SOON: Duration = Duration::from_hours(14 * 24);

/// Looks, and remembers what it saw.
#[derive(Clone, Debug)]
pub(super) struct Doctor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Live,
    store: Store,
    clock: Clock,
    runner: Runner,
    started: UnixTime,
    checks: Mutex<Vec<Check>>,
    board: Board,
    announced: Announced,
}

/// Keys of the root that no anchor names and that the log has been told of.
#[derive(Debug, Default)]
struct Announced(Mutex<BTreeSet<u16>>);

impl Announced {
    /// The keys among these warnings that were never spoken of: weeks may pass until one of them
    /// signs, and nobody reads a line that comes every minute.
    fn first<'a>(&self, warnings: &'a [Warning]) -> Vec<&'a Warning> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |warning: &&Warning| match warning {
            Warning::UnknownKey { tag, .. } => told.insert(*tag),
            Warning::Upstream(_) => false,
        };
        warnings.iter().filter(is_new).collect()
    }
}

impl Doctor {
    pub(super) fn new(
        live: Live,
        (store, clock): (Store, Clock),
        (runner, board): (Runner, Board),
    ) -> Self {
        let (checks, announced, started) = (Mutex::default(), Announced::default(), clock.now());
        Self(Arc::new(Inner { live, store, clock, runner, started, checks, board, announced }))
    }

    /// Looks every minute until `stop`; the store's housekeeping goes along.
    pub(super) async fn watch(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            self.look().await;
            metrics::upkeep();
        }
    }

    /// Believes a clock that was doubted at the start, where signatures are valid at its time.
    pub(super) async fn confirm_clock(&self) {
        let Some(said) = self.0.clock.unconfirmed() else { return };
        if self.0.live.now().resolver.validates_at(said).await {
            self.0.clock.confirm(said);
            tracing::info!("the clock is far ahead of the last record, and signatures confirm it");
        }
    }

    /// Looks once, and says what changed.
    pub(super) async fn look(&self) {
        self.confirm_clock().await;
        let parts = self.0.live.now();
        // Again and again: what was in hand when the clock was corrected is put on record after that.
        in_force::correct(&self.0.store, self.0.clock.now(), parts.config.clock).await;
        let mut checks = Vec::new();
        let dns = parts.resolver.probe().await;
        if let Dns::Validating { warnings } = &dns {
            let new = self.0.announced.first(warnings);
            new.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        checks.extend(dns_checks(&dns, self.0.clock.standing()));
        checks.push(self.store().await);
        checks.push(self.queue());
        let files = parts.config.listeners.iter().filter_map(|listen| listen.identity.as_ref());
        let files = files.chain(parts.config.tls.identity.as_ref());
        let files: BTreeSet<_> = files.map(|identity| identity.certificate.as_path()).collect();
        let looked = files.into_iter().map(|file| certificate(file, self.0.clock.now()));
        let mut first_end = None;
        for (check, ends) in looked {
            first_end = first_end.into_iter().chain(ends).min();
            checks.push(check);
        }
        first_end.into_iter().for_each(metrics::certificate_not_after);
        if !parts.config.network.is_empty() {
            let why = "[network] map: connections lead elsewhere, this is a test bed".to_owned();
            checks.push(Check { topic: Topic::Network, subject: None, state: State::Fine, why });
        }
        self.remember(checks);
    }

    /// Whether something can be written and is durable.
    async fn store(&self) -> Check {
        let entry = Entry {
            name: "health".into(),
            value: Vec::new(),
            expires: Some(UnixTime(u64::MAX >> 2)),
        };
        let (state, why) = match self.0.store.save(Space::Server, entry).await {
            Ok(()) => (State::Fine, "a write was durable".to_owned()),
            Err(error) => (State::Failing, error.to_string()),
        };
        Check { topic: Topic::Store, subject: None, state, why }
    }

    /// Whether what is taken in is sent.
    fn queue(&self) -> Check {
        let (state, why) = match self.0.runner.ended() {
            None => (State::Fine, "it runs".to_owned()),
            Some(why) => (State::Failing, why),
        };
        Check { topic: Topic::Queue, subject: None, state, why }
    }

    fn remember(&self, checks: Vec<Check>) {
        let fine = checks.iter().all(Check::is_fine);
        metrics::healthy(if fine { Works::Yes } else { Works::No });
        let mut before = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner);
        for check in &checks {
            // There may be several certificates.
            let same = |old: &&Check| (old.topic, &old.subject) == (check.topic, &check.subject);
            let changed = before.iter().find(same).map(|old| old.state);
            match (check.state, changed) {
                (State::Failing, Some(State::Failing))
                | (State::Fine, Some(State::Fine) | None) => {}
                (State::Failing, _) => tracing::error!("{} fails: {}", check.topic, check.why),
                (State::Fine, Some(State::Failing)) => {
                    tracing::info!("{} works again: {}", check.topic, check.why);
                }
            }
        }
        *before = checks;
    }

    fn checks(&self) -> Vec<Check> {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a probe says of validation and of our clock.
fn dns_checks(dns: &Dns, standing: Standing) -> [Check; 2] {
    let check =
        |topic, state, why: &str| Check { topic, subject: None, state, why: why.to_owned() };
    let clock = |state, why: &str| match disagreement(standing) {
        None => check(Topic::Clock, state, why),
        Some(why) => check(Topic::Clock, State::Failing, &why),
    };
    match dns {
        Dns::Validating { warnings } => {
            metrics::dns_validating(Works::Yes);
            let why = match warnings.as_slice() {
                [] => "the root's records validate".to_owned(),
                some => {
                    let some: Vec<_> = some.iter().map(Warning::to_string).collect();
                    format!("the root's records validate, but: {}", some.join("; "))
                }
            };
            [
                check(Topic::Dns, State::Fine, &why),
                clock(State::Fine, "signatures of the root are valid now"),
            ]
        }
        Dns::Broken { kind, line } => {
            metrics::dns_validating(Works::No);
            let (state, why) = match *kind == FailureKind::Clock {
                true => (State::Failing, line.as_str()),
                false => (State::Fine, "nothing speaks against it"),
            };
            [check(Topic::Dns, State::Failing, line), clock(state, why)]
        }
    }
}

/// What is wrong between our time and the clock of the machine.
fn disagreement(standing: Standing) -> Option<String> {
    let days = |span: Duration| match span.as_secs() / 3_600 {
        0 => format!("{} minutes", (span.as_secs() / 60).max(1)),
        hours @ 1..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    };
    match standing {
        Standing::Agreed => None,
        Standing::Leapt(ahead) => Some(format!(
            "the clock of this machine was set forward, by {} and more: the new time is believed \
             slowly, so that nothing ends that should not. Correct the clock; if it is right now, restart waxseal",
            days(ahead)
        )),
        Standing::Fallen(behind) => Some(format!(
            "the clock of this machine was set back, and is {} behind: time goes on without it until it has \
             caught up, so that nothing holds again that has ended. If the clock is wrong, correct it. If it is \
             right now, and was ahead before, write clock = \"trusted\" at the top of the configuration and \
             reload; when the log says that its time is on record, take that out and reload again",
            days(behind)
        )),
        Standing::Behind(behind) => Some(format!(
            "the clock of this machine is {} behind what was written last: time goes on from there until \
             the clock has caught up. If the clock is wrong, correct it. If it is right now, and was wrong \
             when that was written, write clock = \"trusted\" at the top of the configuration and reload; \
             when the log says that its time is on record, take that out and reload again",
            days(behind)
        )),
        Standing::Ahead(ahead) => Some(format!(
            "the clock of this machine is {} ahead of what was written last, and no signatures in DNS \
             confirm that: it is believed slowly, so that nothing ends that should not. If the clock is wrong, \
             correct it. If it is right, write clock = \"trusted\" at the top of the configuration and reload",
            days(ahead)
        )),
    }
}

/// Whether a certificate of ours is valid now, and when it ends.
fn certificate(file: &Path, now: UnixTime) -> (Check, Option<UnixTime>) {
    let name = file.display();
    let subject = Some(name.to_string());
    let check = |state, why| Check { topic: Topic::Certificate, subject, state, why };
    let parsed = CertificateDer::from_pem_file(file).map_err(|error| error.to_string());
    let parsed = parsed
        .and_then(|der| x509_cert::Certificate::from_der(&der).map_err(|error| error.to_string()));
    let validity = match parsed {
        Ok(certificate) => certificate.tbs_certificate.validity,
        Err(error) => return (check(State::Failing, format!("{name}: {error}")), None),
    };
    let begins = UnixTime(validity.not_before.to_unix_duration().as_secs());
    let ends = UnixTime(validity.not_after.to_unix_duration().as_secs());
    let (state, why) = if now < begins {
        (State::Failing, format!("{name} is valid from {} on", words(begins)))
    } else if now >= ends {
        (State::Failing, format!("{name} ended on {}", words(ends)))
    } else if ends.since(now) < SOON {
        (State::Fine, format!("{name} ends soon, on {}", words(ends)))
    } else {
        (State::Fine, format!("{name} is valid until {}", words(ends)))
    };
    (check(state, why), Some(ends))
}

/// A time for people.
fn words(at: UnixTime) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(
        || at.to_string(),
        |time| time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

impl Watch for Doctor {
    fn snapshot(&self) -> Pin<Box<dyn Future<Output = Snapshot> + Send + '_>> {
        Box::pin(async move {
            let mut checks = self.checks();
            // As it is now, not as it was at the last look.
            checks.retain(|check| check.topic != Topic::Queue);
            checks.push(self.queue());
            let parts = self.0.live.now();
            let counted = self.0.store.count().await;
            let [fresh, queued, held] = counted.as_ref().copied().unwrap_or_default();
            metrics::queue("unreadable", self.0.store.unreadable());
            let oldest = self.0.store.oldest().await.ok().flatten();
            let age = oldest.map(|oldest| self.0.clock.now().since(oldest)).unwrap_or_default();
            if let Err(error) = counted {
                let why = error.to_string();
                checks.push(Check {
                    topic: Topic::Store,
                    subject: None,
                    state: State::Failing,
                    why,
                });
            }
            Snapshot {
                hostname: parts.hostname.to_string(),
                since: words(self.0.started),
                mode_key: match parts.org.mode {
                    Mode::Enforce => "mode_enforce",
                    Mode::Monitor => "mode_monitor",
                },
                checks,
                queue: Queue { waiting: fresh + queued, held, oldest: oldest.map(words), age },
                levels: metrics::delivered()
                    .into_iter()
                    .map(|(level, count)| (metrics::level_key(level), count))
                    .collect(),
                watched: self.0.board.standing(),
            }
        })
    }
}
