//! How things stand, for machines: `/healthz` and `/metrics`.

use std::{fmt, time::Duration};

use axum::{
    Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;

use super::Watched;
use crate::watch::{Row, Standing};

/// How the gateway stands at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Our name.
    pub hostname: String,
    /// When we started, in words.
    pub since: String,
    /// Key of the words for the rules' mode.
    pub mode_key: &'static str,
    /// Everything that has to work.
    pub checks: Vec<Check>,
    /// What waits.
    pub queue: Queue,
    /// Key of the words for a level, and recipients delivered with it.
    pub levels: Vec<(&'static str, u64)>,
    /// How the watched domains stand.
    pub watched: Standing,
}

impl Snapshot {
    /// Rows of the status page; what has alerts comes first.
    pub fn rows(&self) -> &[Row] {
        self.watched.domains.get(..MOST_ROWS).unwrap_or(&self.watched.domains)
    }

    /// How many more domains are watched than the page shows.
    pub fn more(&self) -> usize {
        self.watched.domains.len().saturating_sub(MOST_ROWS)
    }
}

/// Watched domains that the status page lists.
const MOST_ROWS: usize = 200;

impl Snapshot {
    /// Whether nothing fails.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(Check::is_fine)
    }
}

/// One thing that has to work.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub topic: Topic,
    /// Which one, where there are several: the file of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether it does.
    pub state: State,
    /// What was found, in words for an operator; no addresses.
    pub why: String,
}

impl Check {
    /// Whether it works.
    pub fn is_fine(&self) -> bool {
        self.state == State::Fine
    }
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Whether DNSSEC validation works.
    Dns,
    /// Whether our clock is right.
    Clock,
    /// Whether the store can be written.
    Store,
    /// Whether what is taken in is sent.
    Queue,
    /// Whether our certificate is valid.
    Certificate,
    /// Whether connections go where they should.
    Network,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "DNS",
            Self::Clock => "the clock",
            Self::Store => "the store",
            Self::Certificate => "the certificate",
            Self::Queue => "the queue",
            Self::Network => "the network",
        })
    }
}

impl Topic {
    /// Key of its words.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dns => "check_dns",
            Self::Clock => "check_clock",
            Self::Store => "check_store",
            Self::Queue => "check_queue",
            Self::Certificate => "check_certificate",
            Self::Network => "check_network",
        }
    }
}

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It does.
    Fine,
    /// It does not.
    Failing,
}

/// What waits.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Messages that wait for their next attempt.
    pub waiting: u64,
    /// Messages that a rule holds.
    pub held: u64,
    /// Since when the oldest waits, in words.
    pub oldest: Option<String>,
    /// How long that is.
    pub age: Duration,
}

/// The role `metrics`.
pub fn metrics(watched: Watched) -> Router {
    Router::new().route("/metrics", get(numbers)).route("/healthz", get(health)).with_state(watched)
}

async fn numbers(Shared(watched): Shared<Watched>) -> impl IntoResponse {
    // As it is now, not as it was at the last look.
    let Queue { waiting, held, age, .. } = watched.snapshot().await.queue;
    crate::metrics::queue("waiting", waiting);
    crate::metrics::queue("held", held);
    crate::metrics::queue_oldest(age);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::render())
}

/// 200 while everything works, 503 with the reasons otherwise.
async fn health(Shared(watched): Shared<Watched>) -> impl IntoResponse {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        checks: Vec<Check>,
    }
    let snapshot = watched.snapshot().await;
    let (code, status) = match snapshot.is_healthy() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let health = Health { status, checks: snapshot.checks };
    let json = serde_json::to_string(&health).unwrap_or_default();
    (code, [(header::CONTENT_TYPE, "application/json")], json)
}
