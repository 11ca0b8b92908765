//! Regular checks: looks at our own domains and at those that we send to again and again, keeps
//! what it saw, and tells somebody when one becomes weaker.
//!
//! | file | what it knows |
//! |---|---|
//! | `history` | what is kept of a domain, and what a new look makes of it |
//! | `outlook` | whether the gateway itself can look |
//! | `standing` | what is told of an own domain though nothing changed |
//! | `unseen` | what of an own domain nobody sees for hours |
//! | `expiry` | what runs out, and when |
//! | `partners` | which domains we send to, most used first |
//! | `schedule` | whose turn it is |
//! | `looks` | which looks are under way, and for whom there is room |
//! | `alert` | what somebody is told |
//! | `outbox` | which alerts wait for the webhook, or for the queue |
//! | `told` | what somebody was told, and when they are told again |
//! | `unkept` | what a store that fails did not take |
//! | `webhook` | one POST over HTTPS |
//! | `board` | how everything stands, for the status page |
//!
//! Never in the way of mail: a few looks at a time, at the pace of the surveyor, each within its time.
//! Partners never take all places, so that our own domains wait for none of them.

mod alert;
mod board;
mod expiry;
mod history;
mod looks;
mod outbox;
mod outlook;
mod partners;
mod schedule;
mod standing;
#[cfg(test)]
mod tests;
mod told;
mod unkept;
mod unseen;
pub(crate) mod webhook;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinSet};
use waxseal_core::{
    assess::{Against, Assessment, Delivery, OwnKey, Survey, assess},
    domain::Domain,
    envelope::Direction,
    org::Terms,
    time::UnixTime,
};

pub use self::{
    alert::Alert,
    board::{Board, Row, Standing},
    expiry::Expiries,
    history::{Given, Glance, History, Noted, Outcome, Sight},
    outlook::{Seeing, Vantage},
    partners::Partners,
    unseen::Sighting,
    webhook::{Failure, Network, TIMEOUT, Webhook},
};
use self::{
    looks::{Ended, Looks},
    outbox::{Outbox, Waiting, Way},
    outlook::Outlook,
    schedule::Schedule,
    unkept::{Owing, Unkept},
};
use crate::{
    author::Letter,
    config::{MOST_PARTNERS, MailAlerts},
    gather::{Ourselves, Soon},
    metrics::{self, Checked},
    publish,
    queue::{Path, Queue},
    resolve::Clock,
    serve::{Live, Parts},
    store::{Entry, NewMessage, Space, Store, StoreError},
    survey::{Answers, Depth, Scope, probe::Deliveries},
};

/// Alerts that are being told at the same time; a webhook that hangs holds one for minutes.
const TOLD_AT_ONCE: usize = 16;
/// The longest nap: after that a new configuration is noticed.
const NAP: Duration = Duration::from_secs(5);
/// A domain that nobody looked at for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_hours(90 * 24);
/// How often the most used partners are found out, and what was counted is kept.
const PARTNERS: Duration = Duration::from_secs(600);

/// Whose domain it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// One of `[[domain]]`.
    Own,
    /// One that we send to.
    #[default]
    Partner,
}

impl Whose {
    /// As it is written in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Partner => "partner",
        }
    }

    /// Key of its words on the status page.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Own => "whose_own",
            Self::Partner => "whose_partner",
        }
    }
}

/// Takes letters of ours: the queue.
pub trait Post: Send + Sync + 'static {
    /// Durable when it answers `Ok`.
    fn post(&self, letter: NewMessage) -> Soon<'_, Result<(), StoreError>>;
}

/// What a look came to: what was kept, and what somebody has to be told.
pub type Seen = Result<(History, Option<Alert>), StoreError>;

/// Looks again and again. Clones share everything.
#[derive(Clone)]
pub struct Watcher {
    live: Live,
    store: Store,
    clock: Clock,
    partners: Partners,
    post: Arc<dyn Post>,
    outbox: Outbox,
    outlook: Outlook,
    unkept: Unkept,
    board: Board,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watcher").finish_non_exhaustive()
    }
}

/// What a watcher works with.
#[derive(Clone)]
pub struct Tools {
    /// The configuration in force, and what follows from it.
    pub live: Live,
    /// Where histories are kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Counts deliveries.
    pub partners: Partners,
    /// Takes letters.
    pub post: Arc<dyn Post>,
    /// Where it says how everything stands.
    pub board: Board,
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tools").finish_non_exhaustive()
    }
}

/// What is kept of a domain; `None` where it was never looked at.
///
/// # Errors
/// The store cannot be read.
pub async fn history(
    store: &Store,
    domain: &Domain,
    now: UnixTime,
) -> Result<Option<History>, StoreError> {
    let bytes = match store.load(Space::Check, domain.as_str(), now).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        // A domain that is never looked at again would be worse.
        Err(error @ StoreError::Damaged(_)) => {
            tracing::error!("what is kept of a checked domain is lost, and begins anew: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(history) => Ok(Some(history)),
        Err(error) => {
            // Another version wrote it. What it knew is learnt again.
            tracing::warn!(
                "what is kept of a checked domain cannot be read, and begins anew: {error}"
            );
            Ok(None)
        }
    }
}

impl<P: Path> Post for Queue<P> {
    fn post(&self, letter: NewMessage) -> Soon<'_, Result<(), StoreError>> {
        Box::pin(async move { self.accept(letter).await.map(drop) })
    }
}

impl Watcher {
    /// A watcher that has not begun.
    pub fn new(tools: Tools) -> Self {
        let Tools { live, store, clock, partners, post, board } = tools;
        let outbox = Outbox::new(store.clone());
        let (outlook, unkept) = (Outlook::default(), Unkept::default());
        Self { live, store, clock, partners, post, outbox, outlook, unkept, board }
    }

    /// One look at one domain: compared, logged, kept, and told. Answers what was kept and what somebody
    /// has to be told.
    ///
    /// # Errors
    /// The store fails; what was seen is in the log and in memory then, for the next look.
    pub async fn look(&self, domain: &Domain, whose: Whose) -> Seen {
        let seen = self.look_at(domain, whose).await;
        // Whatever became of this look; and what an earlier one could not tell.
        if let Err(error) = self.tell_of_us().await {
            tracing::error!("whether the gateway can look is told after the next look: {error}");
        }
        self.post_letters().await;
        seen
    }

    async fn look_at(&self, domain: &Domain, whose: Whose) -> Seen {
        let (parts, now) = (self.live.now(), self.clock.now());
        let Owing { mut history, mut alerts } = self.known(domain, whose, now).await?;
        let checks = &parts.config.checks;
        let interval = match whose {
            Whose::Own => checks.own,
            Whose::Partner => checks.partners,
        };
        let scope = Scope {
            // Fresher than the last look, or it would see the same again.
            oldest_probe: match history.is_suspicious() {
                true => Duration::ZERO,
                false => interval.unwrap_or_default() / 2,
            },
            // Whoever we write to every day shows us what they are.
            deliveries: match whose {
                Whose::Partner if !history.is_suspicious() => Deliveries::Refresh,
                Whose::Partner | Whose::Own => Deliveries::DoNotCount,
            },
            // What is in a cache would be confirmed by the cache.
            answers: match history.is_suspicious() {
                true => Answers::Anew,
                false => Answers::Kept,
            },
            // No mail is sent, and others see us.
            ourselves: match whose {
                Whose::Own => Ourselves::LookedAt,
                Whose::Partner => Ourselves::Refused,
            },
            patience: checks.probing.domain_timeout,
            own: own_keys(&parts, domain, whose).await,
            ..Scope::new(Depth::Full)
        };
        let survey = parts.surveyor.survey(domain, &scope, now).await;
        let outcome = self.judge(&mut history, &survey, &parts, now);
        for change in &outcome.fresh {
            tracing::debug!(%domain, kind = ?change.kind, class = %change.class, "a checked domain changed");
        }
        // Before anything that a full disk can keep us from.
        if let Some(alert) = &outcome.alert {
            alert.log();
            alerts.push(alert.clone());
        }
        match self.keep(&history, domain, &mut alerts).await {
            Ok(()) => self.unkept.written(domain),
            Err(error) => {
                self.unkept.keep(domain, Owing { history, alerts });
                return Err(error);
            }
        }
        Ok((history, outcome.alert))
    }

    /// What was known before a look, and what is still to be told.
    async fn known(
        &self,
        domain: &Domain,
        whose: Whose,
        now: UnixTime,
    ) -> Result<Owing, StoreError> {
        let mut owing = match self.unkept.of(domain) {
            Some(owing) => owing,
            None => {
                let known = history(&self.store, domain, now).await?;
                let history = known.unwrap_or_else(|| History::new(whose));
                Owing { history, alerts: Vec::new() }
            }
        };
        owing.history.whose = whose;
        Ok(owing)
    }

    /// Keeps what is to be told, and then the history that says that it was: rather told twice than
    /// never, where we end in between. What is left of `alerts` was not kept.
    async fn keep(
        &self,
        history: &History,
        domain: &Domain,
        alerts: &mut Vec<Alert>,
    ) -> Result<(), StoreError> {
        while let Some(alert) = alerts.first() {
            self.put(alert).await?;
            alerts.remove(0);
        }
        let value = serde_json::to_vec(history)?;
        let (name, expires) = (domain.as_str().to_owned(), Some(self.clock.now() + FORGOTTEN));
        self.store.save(Space::Check, Entry { name, value, expires }).await
    }

    fn judge(
        &self,
        history: &mut History,
        survey: &Survey,
        parts: &Parts,
        now: UnixTime,
    ) -> Outcome {
        let terms = Terms::default();
        let against = Against {
            roots: &parts.roots,
            terms: &terms,
            before: history.before(),
            testing_since: history.testing_since(),
            now,
        };
        let mut assessment = assess(survey, &against);
        assessment.checked_at = now;
        let domain = &survey.facts.destination;
        let (vantage, turn) = match seeing(survey, &assessment, (history.whose, parts)) {
            Some(seeing) => self.outlook.take(domain, seeing, now),
            None => (self.outlook.vantage(), None),
        };
        if let Some(turn) = turn {
            outlook::alert(&parts.hostname, turn, now).log();
        }
        let own = parts.config.domains.iter().find(|own| own.name == *domain);
        let ours = own.map(|own| own.publish.mx.as_slice()).unwrap_or_default();
        let sightings = match history.whose {
            Whose::Own => unseen::sightings(survey, parts),
            Whose::Partner => Vec::new(),
        };
        let sightings = sightings.as_slice();
        let given = Given { repeat: parts.config.checks.repeat, ours, vantage, sightings };
        history.observe(survey, &assessment, &given)
    }

    /// Tells that the gateway itself cannot look, or can again, where nobody was told yet. It is in the
    /// log already.
    async fn tell_of_us(&self) -> Result<(), StoreError> {
        let (parts, now) = (self.live.now(), self.clock.now());
        let put = async |turn| self.put(&outlook::alert(&parts.hostname, turn, now)).await;
        self.outlook.tell(&self.store, put).await?;
        Ok(())
    }

    /// Has an alert wait for each way that the configuration names; durable when it answers `Ok`.
    async fn put(&self, alert: &Alert) -> Result<(), StoreError> {
        let (parts, now) = (self.live.now(), self.clock.now());
        if parts.webhook.is_some() {
            let body = alert.json(&parts.hostname);
            self.outbox.put(alert.whose, Way::Webhook, body, now).await?;
        }
        if parts.config.checks.mail == MailAlerts::Sent {
            let way = Way::Mail { subject: alert.subject() };
            self.outbox.put(alert.whose, way, alert.text().into_bytes(), now).await?;
        }
        Ok(())
    }

    /// Queues the letters that wait.
    async fn post_letters(&self) {
        while let Some(letter) = self.outbox.take_letter(self.clock.now()) {
            if let Err(error) = self.post_one(letter).await {
                tracing::error!("the alerts that wait: {error}");
                return;
            }
        }
    }

    async fn post_one(&self, alert: Waiting) -> Result<(), StoreError> {
        let (parts, now) = (self.live.now(), self.clock.now());
        let result = match (&alert.way, &parts.webhook, parts.config.checks.mail) {
            (Way::Webhook, Some(webhook), _) => {
                webhook.post(&alert.id, alert.body.as_bytes(), now).await
            }
            (Way::Mail { subject }, _, MailAlerts::Sent) => {
                let letter = parts.author.alert(subject, &alert.body, now);
                let posted = self.post.post(message(letter, now)).await;
                posted.map_err(|error| Failure::Later(error.to_string()))
            }
            (Way::Webhook, None, _) | (Way::Mail { .. }, _, MailAlerts::NotSent) => {
                return self.outbox.give_up(&alert, "it is not configured any more").await;
            }
        };
        self.outbox.tried(alert, result, self.clock.now()).await
    }

    /// Looks, until `stop`.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut schedule = Schedule::default();
        let (mut looks, mut told) = (Looks::default(), JoinSet::new());
        let mut partners = (Vec::new(), None);
        if let Err(error) = self.outbox.load(self.clock.now()).await {
            tracing::error!("the alerts that wait cannot be read: {error}");
        }
        if let Err(error) = self.outlook.load(&self.store, self.clock.now()).await {
            tracing::error!("how the last looks went cannot be read: {error}");
        }
        loop {
            let now = self.clock.now();
            self.plan(&mut schedule, &mut partners, now).await;
            while let Some((domain, whose)) = schedule.take(now, looks.room()) {
                let (watcher, name) = (self.clone(), domain.clone());
                looks.begin(domain, whose, async move { watcher.look(&name, whose).await });
            }
            while told.len() < TOLD_AT_ONCE
                && let Some(alert) = self.outbox.take(now)
            {
                let watcher = self.clone();
                told.spawn(async move { watcher.post_one(alert).await });
            }
            let nap = schedule.nap(now, looks.room()).min(self.outbox.nap(now)).min(NAP);
            let ended = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = looks.next() => ended,
                Some(one) = told.join_next() => {
                    match one {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::error!("the alerts that wait: {error}"),
                        Err(_) => self.outbox.broke_off(self.clock.now()),
                    }
                    continue;
                }
                () = tokio::time::sleep(nap) => continue,
            };
            self.take_in(ended, &mut schedule);
        }
        looks.shutdown().await;
        told.shutdown().await;
        // What was counted since the last time.
        if let Err(error) = self.partners.most_used(&self.store, 0, self.clock.now()).await {
            tracing::error!("the domains that we send to cannot be kept: {error}");
        }
    }

    /// Whose turn it is by the configuration in force, and how everything stands.
    async fn plan(
        &self,
        schedule: &mut Schedule,
        partners: &mut (Vec<Domain>, Option<UnixTime>),
        now: UnixTime,
    ) {
        let parts = self.live.now();
        self.partners(&parts, partners, now).await;
        schedule.plan(&parts.config, &partners.0, now);
        for domain in schedule.unknown() {
            match history(&self.store, &domain, now).await {
                Ok(known) => schedule.known(&domain, known.as_ref()),
                Err(error) => tracing::error!("a checked domain cannot be read: {error}"),
            }
        }
        schedule.publish();
        self.board.write(Standing { domains: schedule.rows(), waiting: self.outbox.len() });
    }

    fn take_in(&self, ended: Ended, schedule: &mut Schedule) {
        let Ended { domain, whose, seen } = ended;
        match seen {
            Ok(Ok((history, _))) => {
                metrics::checked(whose.as_str(), result(&history));
                schedule.done(&domain, &history);
            }
            Ok(Err(error)) => {
                metrics::checked(whose.as_str(), Checked::Failed);
                tracing::error!("a check could not be kept: {error}");
                schedule.failed(&domain, self.clock.now());
            }
            Err(_) => {
                metrics::checked(whose.as_str(), Checked::Failed);
                schedule.failed(&domain, self.clock.now());
            }
        }
    }

    /// The partners to look at, found out again every few minutes.
    async fn partners(
        &self,
        parts: &Parts,
        known: &mut (Vec<Domain>, Option<UnixTime>),
        now: UnixTime,
    ) {
        if known.1.is_some_and(|at| !at.has_lapsed(PARTNERS, now)) {
            return;
        }
        // Room for those that are our own; a reload may want more than the configuration does now.
        let most = MOST_PARTNERS.saturating_add(parts.config.domains.len());
        match self.partners.most_used(&self.store, most, now).await {
            Ok(domains) => *known = (domains, Some(now)),
            Err(error) => {
                tracing::error!("the domains that we send to cannot be counted: {error}");
                known.1 = Some(now);
            }
        }
    }
}

/// Whether a look says anything of our way to others; `None` where it was at ourselves: whether this gateway
/// reaches its own public address depends on the router before it.
fn seeing(
    survey: &Survey,
    assessment: &Assessment,
    (whose, parts): (Whose, &Parts),
) -> Option<Seeing> {
    let hosts = &survey.facts.hosts;
    let is_ours = whose == Whose::Own;
    if is_ours && !hosts.is_empty() && hosts.iter().all(|host| parts.own.is(host)) {
        return None;
    }
    let of_ours = is_ours && parts.config.web.policy.is_some();
    let seeing = History::seeing(survey, assessment);
    (!of_ours || seeing == Seeing::Seen || assessment.delivery == Delivery::Unknown)
        .then_some(seeing)
}

fn result(history: &History) -> Checked {
    match history.looks.back() {
        Some(glance) if glance.delivery == Delivery::Unknown => Checked::Unknown,
        Some(_) | None => Checked::Done,
    }
}

fn message(letter: Letter, now: UnixTime) -> NewMessage {
    NewMessage {
        arrived: now,
        envelope: letter.envelope,
        content: Bytes::from(letter.message),
        direction: Direction::Outbound,
    }
}

/// What has to stand at our DKIM selectors; read at each look, for keys are changed without us.
async fn own_keys(parts: &Arc<Parts>, domain: &Domain, whose: Whose) -> Vec<OwnKey> {
    match whose {
        Whose::Partner => Vec::new(),
        Whose::Own => {
            let (parts, domain) = (Arc::clone(parts), domain.clone());
            let read = move || publish::own(&parts.config, &domain, parts.author.signer.as_deref());
            tokio::task::spawn_blocking(read).await.unwrap_or_default()
        }
    }
}
