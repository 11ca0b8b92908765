//! Every number that we export, in one place, each with what to alert on. No label carries a
//! domain, an address or anything else from a message: the number of series is bounded.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use waxseal_core::{channel::Level, dns::FailureKind, outcome::Outcome};

/// Recipients delivered since the start, by level, best first: for the status page.
static DELIVERED: [(Level, AtomicU64); 8] = [
    (Level::Pinned, AtomicU64::new(0)),
    (Level::Dane, AtomicU64::new(0)),
    (Level::Anchored, AtomicU64::new(0)),
    (Level::Sts, AtomicU64::new(0)),
    (Level::StsFirst, AtomicU64::new(0)),
    (Level::Named, AtomicU64::new(0)),
    (Level::Encrypted, AtomicU64::new(0)),
    (Level::Cleartext, AtomicU64::new(0)),
];

/// Recipients delivered since the start, by level, best first; levels without any are left out.
pub fn delivered() -> Vec<(Level, u64)> {
    let tally = |(level, count): &(Level, AtomicU64)| (*level, count.load(Ordering::Relaxed));
    DELIVERED.iter().map(tally).filter(|(_, count)| *count > 0).collect()
}

/// The recorder of this process.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count. Called again it gives the same recorder; `None` where another library has
/// taken the place.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    RECORDER.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let steps = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &steps)
        .ok()?;
    let handle = builder.install_recorder().ok()?;
    describe();
    gauge!("waxseal_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Some(handle)
}

/// Help texts: the docstrings below, shortened.
fn describe() {
    describe_gauge!("waxseal_build_info", "1; the version is the label");
    describe_counter!("waxseal_accepted_total", "messages that we took responsibility for");
    describe_counter!("waxseal_refused_total", "messages that we could not take for now");
    describe_gauge!("waxseal_sessions", "inbound sessions open now, by listener");
    describe_counter!("waxseal_attempts_total", "recipients tried, by level and outcome");
    describe_counter!("waxseal_inbound_total", "recipients of mail from outside, by outcome");
    describe_counter!(
        "waxseal_inbound_refused_total",
        "mail from outside that ended, by who is told"
    );
    describe_counter!("waxseal_recipients_asked_total", "recipients that strangers named");
    describe_histogram!("waxseal_delivery_seconds", "from acceptance to the peer's 250");
    describe_gauge!("waxseal_queue_messages", "messages by state");
    describe_gauge!("waxseal_queue_oldest_seconds", "age of the oldest message that waits");
    describe_gauge!("waxseal_dns_validating", "1 while DNSSEC validation works");
    describe_counter!("waxseal_dns_failures_total", "failed lookups, by kind");
    describe_counter!("waxseal_sts_failures_total", "MTA-STS policies that could not be refreshed");
    describe_counter!("waxseal_downgrades_total", "destinations that offer less than before");
    describe_counter!("waxseal_dropped_total", "messages that ended without anybody to tell");
    describe_counter!("waxseal_reloads_total", "configuration reloads, by result");
    describe_gauge!(
        "waxseal_certificate_not_after",
        "Unix time at which the first of our certificates ends"
    );
    describe_gauge!("waxseal_checked_domains", "checked domains, by whose they are and level");
    describe_counter!("waxseal_checks_total", "regular checks, by whose domain and result");
    describe_counter!("waxseal_alerts_lost_total", "alerts that a channel did not take");
    describe_gauge!("waxseal_alerts_waiting", "alerts that the webhook has not taken yet");
    describe_gauge!("waxseal_own_not_after", "Unix time at which something of our domains ends");
    describe_gauge!("waxseal_healthy", "1 while /healthz says so");
}

/// The text for Prometheus.
pub fn render() -> String {
    recorder().map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds what was observed into buckets; called every few seconds so that memory stays bounded
/// when nobody scrapes.
pub fn upkeep() {
    if let Some(handle) = recorder() {
        handle.run_upkeep();
    }
}

/// A message was accepted. Alert when it stands still during working hours.
pub fn accepted() {
    counter!("waxseal_accepted_total").increment(1);
}

/// A message was refused after it was sent, and its sender tries again; `class` is 4. Alert on any:
/// the disk is full, the store fails, or `limits.queue` is reached.
pub fn refused(class: u16) {
    let class = if class == 4 { "4" } else { "5" };
    counter!("waxseal_refused_total", "class" => class).increment(1);
}

/// An inbound session, counted until this is dropped; `listener` is `inbound`, `relay` or
/// `submission`. Alert near `limits.sessions`.
#[derive(Debug)]
#[must_use]
pub struct Session {
    listener: &'static str,
}

impl Session {
    /// One more session.
    pub fn begin(listener: &'static str) -> Self {
        gauge!("waxseal_sessions", "listener" => listener).increment(1.0);
        Self { listener }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        gauge!("waxseal_sessions", "listener" => self.listener).decrement(1.0);
    }
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Disconnected { .. } => "disconnected",
    }
}

/// What became of an attempt for one recipient. Alert on any `unknown`, and on a rise of
/// `deferred` at level `none`: floors that cannot be met.
pub fn attempt(level: Option<Level>, outcome: &Outcome) {
    let outcome = outcome_name(outcome);
    if outcome == "accepted"
        && let Some(level) = level
        && let Some((_, tally)) = DELIVERED.iter().find(|(known, _)| *known == level)
    {
        tally.fetch_add(1, Ordering::Relaxed);
    }
    let level = level.map_or("none", level_name);
    counter!("waxseal_attempts_total", "level" => level, "outcome" => outcome).increment(1);
}

/// What became of mail from outside for one recipient of ours. Apart from [`attempt`], which says how
/// well what leaves us is protected. Alert on a rise of anything but `accepted`: the mail server
/// inside does not take what it said it would.
pub fn handed_inside(outcome: &Outcome) {
    counter!("waxseal_inbound_total", "outcome" => outcome_name(outcome)).increment(1);
}

/// Who hears of mail from outside that could not be handed inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldOf {
    /// Its sender, who proved to be that.
    Sender,
    /// Our postmaster, and not for each.
    Postmaster,
}

/// Mail from outside ended for one recipient of ours after it was taken. Alert on a rise of
/// `postmaster`: its senders do not know.
pub fn refused_inside(told: ToldOf) {
    let told = match told {
        ToldOf::Sender => "sender",
        ToldOf::Postmaster => "postmaster",
    };
    counter!("waxseal_inbound_refused_total", "told" => told).increment(1);
}

/// Somebody outside named a recipient of ours; `answer` is `taken`, `refused` or `later`, `from` is
/// `memory` or `inside`. Alert on a rise of `later`: mail from outside waits at its senders. A
/// rise of `refused` is somebody who tries names.
pub fn recipient_asked(answer: &'static str, from: &'static str) {
    counter!("waxseal_recipients_asked_total", "answer" => answer, "from" => from).increment(1);
}

/// The name of a level, as in the records.
pub const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Cleartext => "cleartext",
        Level::Encrypted => "encrypted",
        Level::Named => "named",
        Level::StsFirst => "sts-first",
        Level::Sts => "sts",
        Level::Anchored => "anchored",
        Level::Dane => "dane",
        Level::Pinned => "pinned",
    }
}

/// The key of a level's words on the status page.
pub const fn level_key(level: Level) -> &'static str {
    match level {
        Level::Cleartext => "level_cleartext",
        Level::Encrypted => "level_encrypted",
        Level::Named => "level_named",
        Level::StsFirst => "level_sts-first",
        Level::Sts => "level_sts",
        Level::Anchored => "level_anchored",
        Level::Dane => "level_dane",
        Level::Pinned => "level_pinned",
    }
}

/// How long a delivered message was with us. Alert when the 95th percentile passes a minute.
pub fn delivered_after(span: Duration) {
    histogram!("waxseal_delivery_seconds").record(span.as_secs_f64());
}

/// How many messages are in a state (`waiting`, `held`, `unreadable`). Alert on growth over hours,
/// and on any `unreadable`: damage on the disk, or a store key that is gone.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; 2^53 messages do not fit a disk"
)]
pub fn queue(state: &'static str, messages: u64) {
    gauge!("waxseal_queue_messages", "state" => state).set(messages as f64);
}

/// Age of the oldest message that waits. Alert past `delivery.delay_notice`.
pub fn queue_oldest(age: Duration) {
    gauge!("waxseal_queue_oldest_seconds").set(age.as_secs_f64());
}

/// Whether DNSSEC validation works. Alert at once when it is 0: all mail waits.
pub fn dns_validating(works: Works) {
    gauge!("waxseal_dns_validating").set(works.number());
}

/// Whether `/healthz` is good. Alert when it is 0 for five minutes.
pub fn healthy(works: Works) {
    gauge!("waxseal_healthy").set(works.number());
}

/// Yes or no, as a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Works {
    /// 1
    Yes,
    /// 0
    No,
}

impl Works {
    const fn number(self) -> f64 {
        match self {
            Self::Yes => 1.0,
            Self::No => 0.0,
        }
    }
}

/// A lookup failed that no cache answered. Alert on a rise of `bogus`: an attack, or a broken
/// upstream.
pub fn dns_failure(kind: FailureKind) {
    let kind = match kind {
        FailureKind::Bogus => "bogus",
        FailureKind::Indeterminate => "indeterminate",
        FailureKind::SignaturesStripped => "signatures-stripped",
        FailureKind::Clock => "clock",
        FailureKind::ServFail => "servfail",
        FailureKind::Refused => "refused",
        FailureKind::Timeout => "timeout",
        FailureKind::Unreachable => "unreachable",
        FailureKind::Malformed => "malformed",
        FailureKind::Limit => "limit",
        _ => "other",
    };
    counter!("waxseal_dns_failures_total", "kind" => kind).increment(1);
}

/// A known MTA-STS policy could not be refreshed. Alert when it rises for days: policies end.
pub fn sts_failure() {
    counter!("waxseal_sts_failures_total").increment(1);
}

/// A destination offers less than it did, without authenticated word of it. Alert on any: look
/// at it with `waxseal explain`.
pub fn downgrade() {
    counter!("waxseal_downgrades_total").increment(1);
}

/// A message ended and nobody could be told. Alert on any: the postmaster has a notice.
pub fn dropped() {
    counter!("waxseal_dropped_total").increment(1);
}

/// A reload was asked for. Alert on any `refused`: the old configuration is still in force.
pub fn reload(result: Reloaded) {
    let result = match result {
        Reloaded::Taken => "taken",
        Reloaded::Refused => "refused",
    };
    counter!("waxseal_reloads_total", "result" => result).increment(1);
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new configuration is in force.
    Taken,
    /// The old one stays.
    Refused,
}

/// When the first of our certificates ends, in Unix time. Alert two weeks before.
pub fn certificate_not_after(at: waxseal_core::time::UnixTime) {
    gauge!("waxseal_certificate_not_after").set(at.0 as f64);
}

/// How a regular check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// There is a result.
    Done,
    /// What it asked could not be found out.
    Unknown,
    /// It could not be kept, or broke off.
    Failed,
}

/// A regular check ended; `whose` is `own` or `partner`. Alert when `done` of `own` stands still
/// for hours.
pub fn checked(whose: &'static str, result: Checked) {
    let result = match result {
        Checked::Done => "done",
        Checked::Unknown => "unknown",
        Checked::Failed => "failed",
    };
    counter!("waxseal_checks_total", "whose" => whose, "result" => result).increment(1);
}

/// Levels that a checked domain can have, and what it can have instead.
const CHECKED: [&str; 11] = [
    "cleartext",
    "encrypted",
    "named",
    "sts-first",
    "sts",
    "anchored",
    "dane",
    "pinned",
    "refuses",
    "no-mail",
    "unknown",
];

/// How many domains have which level, by whose they are: `(own, dane)`. Alert when one of our own
/// is at `refuses`, `cleartext` or `encrypted`.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; domains are few")]
pub fn checked_domains(levels: &std::collections::BTreeMap<(&str, &str), u64>) {
    for whose in ["own", "partner"] {
        for level in CHECKED {
            let count = levels.get(&(whose, level)).copied().unwrap_or_default();
            gauge!("waxseal_checked_domains", "whose" => whose, "level" => level).set(count as f64);
        }
    }
}

/// When the first certificate, DNSSEC signature or MTA-STS policy of our own domains ends, in Unix
/// time; NaN where none was seen. Alert two weeks before for `certificate`, two days before
/// for `signature`.
pub fn own_not_after(kind: &'static str, at: Option<waxseal_core::time::UnixTime>) {
    let at = at.map_or(f64::NAN, |at| at.0 as f64);
    gauge!("waxseal_own_not_after", "kind" => kind).set(at);
}

/// An alert was not taken by `mail` or `webhook`. Alert on any: look into the log.
pub fn alert_lost(channel: &'static str) {
    counter!("waxseal_alerts_lost_total", "channel" => channel).increment(1);
}

/// How many alerts wait for the webhook. Alert where it does not fall for an hour.
pub fn alerts_waiting(count: usize) {
    gauge!("waxseal_alerts_waiting").set(count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_appear_with_fixed_labels_only() {
        recorder();
        attempt(Some(Level::Dane), &Outcome::Unknown { detail: "bob@example.net".into() });
        attempt(None, &Outcome::Disconnected { detail: "mx.example.net".into() });
        dns_validating(Works::Yes);
        delivered_after(Duration::from_millis(70));
        upkeep();
        let text = render();
        assert!(
            text.contains("waxseal_attempts_total{level=\"dane\",outcome=\"unknown\"}"),
            "{text}"
        );
        assert!(text.contains("waxseal_dns_validating 1"), "{text}");
        assert!(text.contains("waxseal_delivery_seconds_bucket"), "{text}");
        assert!(!text.contains("example"), "{text}");
    }
}
