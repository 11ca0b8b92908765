//! One question to all upstreams, fairly: the next is asked where one is slow; answers are kept.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use waxseal_core::{
    dns::FailureKind,
    dnssec::{Question, Response},
};

use super::{
    Settings,
    cache::{Aging, places},
    exchange::{Failure, Line},
};

/// Questions under way at the same time, so that sockets do not run out.
const MOST_OPEN: usize = 400;
/// How often one question is asked at most.
const MOST_ATTEMPTS: usize = 6;
/// How long a failure is remembered (RFC 9520 §3.2: at least a second).
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// What came of a question.
pub(super) type Fetched = Result<Arc<Response>, Failure>;

/// Whether what is known already will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Answers that were kept are fine.
    Kept,
    /// Those that came since are.
    Since(Instant),
    /// Ask again, and begin with the next upstream: what is known led to a bogus result.
    Again,
}

impl Freshness {
    /// Whether an answer that came then will do.
    pub(super) fn takes(self, came: Instant) -> bool {
        match self {
            Self::Kept => true,
            Self::Since(moment) => came >= moment,
            Self::Again => false,
        }
    }
}

/// Waits with others for one answer. Whoever gives up last, or has it, takes the entry out: a lookup
/// that was given up leaves nothing behind.
struct UnderWay<'a> {
    all: &'a Mutex<HashMap<Question, Arc<OnceCell<Fetched>>>>,
    question: &'a Question,
    cell: Arc<OnceCell<Fetched>>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Ok(mut all) = self.all.lock() else { return };
        let ours = all.get(self.question).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // The map's and ours.
        let alone = Arc::strong_count(&self.cell) <= 2;
        if ours && (alone || self.cell.initialized()) {
            all.remove(self.question);
        }
    }
}

/// One upstream and how it did.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) line: Line,
    /// Smoothed time to an answer, in microseconds; a failure counts as a second.
    cost: AtomicU64,
    /// It takes signatures out: not to be asked while another can be.
    pub(super) strips: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) stations: Vec<Arc<Station>>,
    settings: Settings,
    open: Arc<Semaphore>,
    kept: Mutex<Aging<Question, (Instant, Arc<Response>)>>,
    failed: Mutex<Aging<Question, (Instant, Failure)>>,
    under_way: Mutex<HashMap<Question, Arc<OnceCell<Fetched>>>>,
}

impl Fetcher {
    pub(super) fn new(settings: &Settings) -> Self {
        let station = |upstream| {
            Arc::new(Station {
                line: Line::new(upstream, settings),
                cost: AtomicU64::new(0),
                strips: AtomicBool::new(false),
            })
        };
        Self {
            stations: settings.upstreams.iter().map(station).collect(),
            settings: settings.clone(),
            open: Arc::new(Semaphore::new(MOST_OPEN)),
            kept: Mutex::new(Aging::new(settings.cache_entries)),
            failed: Mutex::new(Aging::new(10_000)),
            under_way: Mutex::new(HashMap::new()),
        }
    }

    /// The answer to a question: kept, awaited together with others who ask the same, or fresh.
    pub(super) async fn fetch(&self, question: &Question, freshness: Freshness) -> Fetched {
        if freshness == Freshness::Again {
            let fetched = self.ask(question, 1).await;
            self.keep(question, &fetched);
            return fetched;
        }
        if let Some(known) = self.known(question, freshness) {
            return known;
        }
        let cell = match self.under_way.lock() {
            Ok(mut under_way) => Arc::clone(under_way.entry(question.clone()).or_default()),
            Err(_) => Arc::default(),
        };
        let waiting = UnderWay { all: &self.under_way, question, cell };
        let fetched = waiting.cell.get_or_init(|| self.ask(question, 0)).await.clone();
        self.keep(question, &fetched);
        fetched
    }

    fn known(&self, question: &Question, freshness: Freshness) -> Option<Fetched> {
        let now = self.settings.clock.now();
        let kept = self.kept.lock().ok().and_then(|mut kept| {
            let (came, response) = kept.get(question)?;
            if response.expires > now {
                return freshness.takes(came).then_some(response);
            }
            kept.remove(question);
            None
        });
        if let Some(response) = kept {
            return Some(Ok(response));
        }
        let (since, failure) = self.failed.lock().ok()?.get(question)?;
        (since.elapsed() < FAILURE_KEPT && freshness.takes(since)).then_some(Err(failure))
    }

    fn keep(&self, question: &Question, fetched: &Fetched) {
        match fetched {
            Ok(response) if is_answer(response) => {
                if let Ok(mut kept) = self.kept.lock() {
                    let places = places(response.octets());
                    kept.put(question.clone(), (Instant::now(), Arc::clone(response)), places);
                }
            }
            Ok(_) => {}
            Err(failure) => {
                if let Ok(mut failed) = self.failed.lock() {
                    failed.put(question.clone(), (Instant::now(), failure.clone()), 1);
                }
            }
        }
    }

    pub(super) fn forget(&self) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.clear();
        }
        if let Ok(mut failed) = self.failed.lock() {
            failed.clear();
        }
    }

    /// How many answers are kept.
    pub(super) fn kept(&self) -> usize {
        self.kept.lock().map_or(0, |kept| kept.len())
    }

    /// Asks the upstreams one after the other, the next as soon as one fails or is slow. An
    /// error RCODE of one is believed only when no other knows better.
    async fn ask(&self, question: &Question, skip: usize) -> Fetched {
        let Ok(_permit) = self.open.acquire().await else {
            return Err(failure(FailureKind::Unreachable, "the resolver was shut down"));
        };
        if self.stations.is_empty() {
            return Err(failure(FailureKind::Unreachable, "no upstream is configured"));
        }
        let order = self.order(skip);
        let mut asking = JoinSet::new();
        let mut next = order.iter().enumerate().cycle().take(MOST_ATTEMPTS.max(order.len()));
        let mut worst = failure(FailureKind::Timeout, "no upstream answered in time");
        let mut error_answer = None;
        let mut unable = BTreeSet::new();
        let work = async {
            let mut attempts_left = true;
            loop {
                if attempts_left {
                    match next.next() {
                        Some((place, station)) => {
                            let (station, question) = (Arc::clone(station), question.clone());
                            let now = self.settings.clock.now();
                            asking.spawn(async move { (place, station.ask(&question, now).await) });
                        }
                        None => attempts_left = false,
                    }
                }
                tokio::select! {
                    done = asking.join_next() => match done {
                        Some(Ok((_, Ok(response)))) if is_answer(&response) => {
                            return Some(Arc::new(response));
                        }
                        // SERVFAIL and the like: enough when each upstream said so
                        Some(Ok((place, Ok(response)))) => {
                            unable.insert(place);
                            if unable.len() >= order.len() {
                                return Some(Arc::new(response));
                            }
                            error_answer = Some(Arc::new(response));
                        }
                        Some(Ok((_, Err(found)))) => {
                            worst = found;
                            // Not at once again where there is nobody else to ask.
                            if order.len() == 1 {
                                sleep(self.settings.patience / 4).await;
                            }
                        }
                        Some(Err(_)) => {}
                        None => return None,
                    },
                    () = sleep(self.settings.patience), if attempts_left => {}
                }
            }
        };
        let answer = timeout(self.settings.question, work).await.ok().flatten();
        answer.or(error_answer).ok_or(worst)
    }

    /// Fast ones first; those that strip signatures only where there is no other.
    fn order(&self, skip: usize) -> Vec<Arc<Station>> {
        let mut order: Vec<_> = self.stations.clone();
        if order.iter().any(|station| !station.strips.load(Ordering::Relaxed)) {
            order.retain(|station| !station.strips.load(Ordering::Relaxed));
        }
        order.sort_by_key(|station| station.cost.load(Ordering::Relaxed) / 20_000);
        let length = order.len().max(1);
        order.rotate_left(skip % length);
        order
    }
}

impl Station {
    pub(super) async fn ask(
        &self,
        question: &Question,
        now: waxseal_core::time::UnixTime,
    ) -> Result<Response, Failure> {
        let begin = Instant::now();
        let guard = Charge(&self.cost);
        let result = self.line.ask(question, now).await;
        let took = begin.elapsed().as_micros();
        // Quick to say that it cannot is no reason to be asked first.
        if result.as_ref().is_ok_and(is_answer) {
            std::mem::forget(guard);
            smooth(&self.cost, u64::try_from(took).unwrap_or(u64::MAX).min(1_000_000));
        }
        result
    }
}

/// NOERROR and NXDOMAIN; YXDOMAIN comes with a DNAME too long (RFC 6672 §2.2).
const fn is_answer(response: &Response) -> bool {
    matches!(response.rcode, 0 | 3 | 6)
}

/// Charges an upstream that failed, or that was given up on, with a second.
struct Charge<'a>(&'a AtomicU64);

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        smooth(self.0, 1_000_000);
    }
}

fn smooth(cost: &AtomicU64, new: u64) {
    let old = cost.load(Ordering::Relaxed);
    cost.store((old * 7 + new) / 8, Ordering::Relaxed);
}

pub(super) fn failure(kind: FailureKind, detail: &str) -> Failure {
    Failure { kind, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
