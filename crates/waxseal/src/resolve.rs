//! The one place that asks the DNS, and believes only what it validated itself.

mod agreement;
mod answer;
mod authority;
mod cache;
mod exchange;
mod fetch;
mod merged;
mod probe;
mod servers;
mod settings;
mod typed;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, FailureKind, LookupFailure, Proof},
    dnssec::{
        Bundle, Finding, Flaw, Memo, Name, Question, RecordType, Response, Step, Validated,
        validate,
    },
    domain::Domain,
    evidence::BlobId,
    time::UnixTime,
};

pub(crate) use self::typed::mx as read_mx;
pub use self::{
    agreement::{Asked, Authorities, Sides, Unasked},
    answer::{Alias, Exchange, Lookup, Mx, Record},
    authority::{
        Unsaid, Views, as_exchangers, as_texts, as_tlsa, message_id, over_tcp, standing_at, text_of,
    },
    probe::{Health, Warning},
    servers::Apex,
    settings::{Settings, SettingsError, Transport, Upstream, read_anchors, upstreams_of},
};
use self::{
    cache::{Aging, places},
    fetch::{FAILURE_KEPT, Fetcher, Freshness},
    merged::Merged,
};
pub use crate::clock::Clock;
use crate::metrics;

/// Asks the DNS. A clone is the same resolver: cache and health are shared.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<Shared>, Freshness);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    fetcher: Fetcher,
    memo: Memo,
    merged: Merged,
    known: std::sync::Mutex<Aging<Question, Arc<Known>>>,
    health: tokio::sync::Mutex<Option<(Instant, Health)>>,
    delegations: tokio::sync::Mutex<servers::Delegations>,
    silent: std::sync::Mutex<servers::Silent>,
}

/// A finished lookup, for as long as it may be kept.
#[derive(Debug)]
struct Known {
    lookup: Lookup<Vec<Record>>,
    at: Instant,
    until: Until,
}

/// How long a lookup may be kept.
#[derive(Debug)]
enum Until {
    /// TTL and signatures: by the clock that validates.
    Expiry(UnixTime),
    /// A failure: by a clock that nobody sets.
    Moment(Instant),
}

/// How long a broken state is believed before a lookup probes again.
const BROKEN_KEPT: Duration = Duration::from_secs(5);
/// How old a good probe may be where a lookup turns out bogus.
const GOOD_KEPT: Duration = Duration::from_secs(60);
/// Questions that one lookup may cause.
const MOST_QUESTIONS: usize = 96;
/// What a record takes in memory beside its octets, roughly.
const RECORD: usize = 64;

impl Resolver {
    /// A resolver that has asked nothing yet.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared {
            fetcher: Fetcher::new(&settings),
            memo: Memo::new(),
            merged: Merged::default(),
            known: std::sync::Mutex::new(Aging::new(settings.cache_entries)),
            health: tokio::sync::Mutex::new(None),
            delegations: tokio::sync::Mutex::default(),
            silent: std::sync::Mutex::default(),
            settings,
        };
        Self(Arc::new(shared), Freshness::Kept)
    }

    /// The same resolver for whoever wants to know how things are now: it answers from nothing that was
    /// learnt before this moment, asks each question once more, and keeps what it learns for all.
    /// What fails takes no older answer away from the others.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self(Arc::clone(&self.0), Freshness::Since(Instant::now()))
    }

    /// Whether a new one with these settings would ask and believe the same.
    pub fn is_set_up_like(&self, settings: &Settings) -> bool {
        self.0.settings.is_like(settings)
    }

    /// Whether validation works through these upstreams. It is remembered: while it does not,
    /// every lookup fails with the reason instead of calling the world bogus or insecure.
    pub async fn probe(&self) -> Health {
        let mut health = self.0.health.lock().await;
        self.probe_into(&mut health).await
    }

    /// Whether the signatures of the trust anchor's zone are valid at another time than ours. No
    /// lookup depends on it.
    pub async fn validates_at(&self, now: UnixTime) -> bool {
        let found = probe::probe(&self.0.fetcher, &self.0.settings, now).await;
        matches!(found, Health::Validating { .. })
    }

    async fn probe_into(&self, health: &mut Option<(Instant, Health)>) -> Health {
        let settings = &self.0.settings;
        let found = probe::probe(&self.0.fetcher, settings, settings.clock.now()).await;
        *health = Some((Instant::now(), found.clone()));
        found
    }

    /// What the last probe found; a first one is made where there was none, and a new one where
    /// the last is too old for what it said.
    async fn health(&self, good_kept: Duration) -> Health {
        let mut health = self.0.health.lock().await;
        match &*health {
            Some((at, good @ Health::Validating { .. })) if at.elapsed() < good_kept => {
                good.clone()
            }
            Some((at, broken @ Health::Broken { .. })) if at.elapsed() < BROKEN_KEPT => {
                broken.clone()
            }
            Some(_) | None => self.probe_into(&mut health).await,
        }
    }

    /// Drops all that is kept, so that the next lookup asks again.
    pub fn forget(&self) {
        self.0.fetcher.forget();
        if let Ok(mut known) = self.0.known.lock() {
            known.clear();
        }
    }

    /// How many answers of upstreams are kept.
    pub fn cached_answers(&self) -> usize {
        self.0.fetcher.kept()
    }

    /// Looks up records of one type, follows aliases, validates each step. Never an error: what
    /// could not be found out is `Answer::Failed`.
    pub async fn lookup(&self, name: &Domain, record_type: RecordType) -> Lookup<Vec<Record>> {
        self.lookup_at(&Name::from(name), record_type).await
    }

    /// Like [`Self::lookup`], at a name that may be the root, a wildcard or no host's at all.
    pub async fn lookup_at(&self, name: &Name, record_type: RecordType) -> Lookup<Vec<Record>> {
        let question = Question::new(name.clone(), record_type);
        if let Some(known) = self.known(&question) {
            return known.lookup.clone();
        }
        let lookup = self.look(name, (record_type, question)).await;
        if let Answer::Failed(failure) = &lookup.answer {
            metrics::dns_failure(failure.kind);
        }
        lookup
    }

    async fn look(
        &self,
        name: &Name,
        (record_type, question): (RecordType, Question),
    ) -> Lookup<Vec<Record>> {
        if let Health::Broken { kind, line } = self.health(Duration::MAX).await {
            return failed(name, record_type, kind, line);
        }
        let deadline = self.0.settings.deadline;
        let found = match timeout(deadline, self.resolve(&question)).await {
            Ok(found) => found,
            Err(_) => {
                let seconds = deadline.as_secs();
                let line = format!("{question}: no result within {seconds} s");
                return failed(name, record_type, FailureKind::Timeout, line);
            }
        };
        if found.0.proof == Proof::Bogus
            && let Health::Broken { kind, line } = self.health(GOOD_KEPT).await
        {
            return failed(name, record_type, kind, line);
        }
        let lookup = self.judged(name, record_type, found);
        self.remember(question, &lookup);
        lookup
    }

    fn known(&self, question: &Question) -> Option<Arc<Known>> {
        let mut all = self.0.known.lock().ok()?;
        let known = all.get(question)?;
        if self.holds(&known) {
            return self.1.takes(known.at).then_some(known);
        }
        all.remove(question);
        None
    }

    fn holds(&self, known: &Known) -> bool {
        match &known.until {
            Until::Expiry(until) => *until > self.0.settings.clock.now(),
            Until::Moment(until) => *until > Instant::now(),
        }
    }

    fn remember(&self, question: Question, lookup: &Lookup<Vec<Record>>) {
        let until = match &lookup.answer {
            Answer::Found { expires, .. } | Answer::Absent { expires, .. } => {
                Until::Expiry(*expires)
            }
            Answer::Failed(_) => Until::Moment(Instant::now() + FAILURE_KEPT),
        };
        let Ok(mut known) = self.0.known.lock() else { return };
        // Whoever asked anew learnt nothing; what others know holds on.
        if matches!(lookup.answer, Answer::Failed(_))
            && known.get(&question).is_some_and(|older| self.holds(&older))
        {
            return;
        }
        let at = Instant::now();
        let records = lookup.answer.value().into_iter().flatten();
        let records = records.map(|record| record.rdata.len().saturating_add(RECORD)).sum();
        let proof = lookup.chain.as_ref().map_or(0, |chain| chain.len());
        let places = places(proof.saturating_add(records));
        known.put(question, Arc::new(Known { lookup: lookup.clone(), at, until }), places);
    }

    /// A bogus result may be the fault of one upstream, or of an answer that was kept: it stands
    /// only where asking others again gives the same.
    async fn resolve(&self, question: &Question) -> (Validated, Option<Arc<Response>>) {
        let first = self.round(question, self.1, Bundle::new()).await;
        if first.0.proof == Proof::Bogus && first.0.flaw != Some(Flaw::Limit) {
            return self.round(question, Freshness::Again, Bundle::new()).await;
        }
        first
    }

    async fn round(
        &self,
        question: &Question,
        freshness: Freshness,
        mut bundle: Bundle,
    ) -> (Validated, Option<Arc<Response>>) {
        let shared = &self.0;
        let mut answers = HashMap::new();
        let mut asked = 0;
        loop {
            let now = shared.settings.clock.now();
            let step = validate(question, &bundle, &shared.settings.anchors, now, &shared.memo);
            let needs = match step {
                Step::Done(validated) => {
                    let last = answers.remove(&validated.last);
                    let answer = last.or_else(|| answers.remove(&question.name));
                    return (*validated, answer);
                }
                Step::Need(needs) => needs,
            };
            let mut fetching = JoinSet::new();
            for need in needs {
                asked += 1;
                if asked > MOST_QUESTIONS {
                    let detail = format!("more than {MOST_QUESTIONS} questions for one name");
                    bundle.add_failure(&need, FailureKind::Limit, detail);
                    continue;
                }
                let shared = Arc::clone(shared);
                fetching.spawn(async move {
                    let fetched = shared.fetcher.fetch(&need, freshness).await;
                    (need, fetched)
                });
            }
            while let Some(done) = fetching.join_next().await {
                let Ok((need, fetched)) = done else { continue };
                match fetched {
                    Ok(response) => {
                        bundle.add(&need, &response);
                        if need.record_type == question.record_type {
                            answers.insert(need.name.clone(), response);
                        }
                    }
                    Err(failure) => bundle.add_failure(&need, failure.kind, failure.detail),
                }
            }
        }
    }

    fn judged(
        &self,
        name: &Name,
        record_type: RecordType,
        (found, response): (Validated, Option<Arc<Response>>),
    ) -> Lookup<Vec<Record>> {
        let chain: Option<Arc<[u8]>> =
            (!found.proof_bytes.is_empty()).then(|| found.proof_bytes.as_slice().into());
        let blob = chain.as_deref().map(BlobId::of);
        let authenticity = match found.proof {
            Proof::Secure => Some(Authenticity::Secure),
            Proof::Insecure => Some(Authenticity::Insecure),
            Proof::Bogus | Proof::Indeterminate => None,
        };
        let negative = matches!(found.finding, Finding::Denied(_));
        let expires = match &response {
            Some(response) if negative || found.expires == UnixTime(u64::MAX) => {
                found.expires.min(response.expires)
            }
            Some(_) | None => found.expires,
        };
        let answer = match (authenticity, found.finding) {
            (Some(authenticity), Finding::Records(records)) => {
                let record = |rdata| Record { record_type, rdata };
                let value = records.into_iter().map(record).collect();
                Answer::Found { value, authenticity, expires, chain: blob }
            }
            (Some(authenticity), Finding::Denied(denial)) => {
                let absence = match authenticity {
                    Authenticity::Secure => Absence::Secure,
                    Authenticity::Insecure => Absence::Unconfirmed,
                };
                Answer::Absent { denial, absence, expires, chain: blob }
            }
            (Some(_), Finding::Nothing) | (None, _) => Answer::Failed(LookupFailure {
                name: name.clone(),
                kind: found.failure.unwrap_or(FailureKind::Indeterminate),
                detail: found.because.clone(),
            }),
        };
        let aliases = found.aliases.into_iter().map(|step| Alias {
            from: step.from,
            to: step.to,
            authenticity: match step.proof {
                Proof::Secure => Authenticity::Secure,
                Proof::Insecure | Proof::Bogus | Proof::Indeterminate => Authenticity::Insecure,
            },
        });
        Lookup {
            name: name.clone(),
            record_type,
            answer,
            proof: Some(found.proof),
            aliases: aliases.collect(),
            rcode: response.map(|response| u16::from(response.rcode)),
            because: found.because,
            chain,
        }
    }

    /// The mail exchangers, best first.
    pub async fn mx(&self, name: &Domain) -> Lookup<Vec<Mx>> {
        let lookup = self.lookup(name, RecordType::MX).await.read(typed::mx);
        lookup.map(|mut hosts| {
            hosts.sort();
            hosts
        })
    }

    /// IPv4 and IPv6 addresses, asked at the same time. A family that fails beside a good other
    /// one is left out and named in `because`.
    pub async fn addresses(&self, name: &Domain) -> Lookup<Vec<IpAddr>> {
        let (v4, v6) =
            tokio::join!(self.lookup(name, RecordType::A), self.lookup(name, RecordType::AAAA));
        typed::join(v4.read(typed::a), v6.read(typed::aaaa), &self.0.merged)
    }

    /// TXT records, the strings of each joined without a gap (RFC 7208 §3.3, RFC 8461 §3.1).
    pub async fn txt(&self, name: &Domain) -> Lookup<Vec<Vec<u8>>> {
        self.lookup(name, RecordType::TXT).await.read(typed::txt)
    }

    /// The names of the servers of a zone.
    pub async fn servers(&self, zone: &Domain) -> Lookup<Vec<Domain>> {
        self.lookup(zone, RecordType::NS).await.read(typed::host)
    }

    /// TLSA records at this very name (`_25._tcp.mx.example.com`).
    pub async fn tlsa(&self, name: &Domain) -> Lookup<Vec<Tlsa>> {
        self.lookup(name, RecordType::TLSA).await.read(typed::tlsa)
    }
}

fn failed(
    name: &Name,
    record_type: RecordType,
    kind: FailureKind,
    line: String,
) -> Lookup<Vec<Record>> {
    let failure = LookupFailure { name: name.clone(), kind, detail: line.clone() };
    Lookup {
        name: name.clone(),
        record_type,
        answer: Answer::Failed(failure),
        proof: None,
        aliases: Vec::new(),
        rcode: None,
        because: line,
        chain: None,
    }
}
