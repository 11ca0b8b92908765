//! Whether the servers of a zone agree with each other: a question that no resolver answers. Nothing
//! here is validated, and nothing is decided by it. A server that only the zone above still names is asked
//! as well: whoever resolves the name from the root is sent there.

mod told;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    assess::NameServer,
    dns::{Answer, FailureKind},
    dnssec::{Name, Question, RecordType, Response},
    domain::Domain,
    time::UnixTime,
};

use self::told::{Answered, Reply, told};
use super::{
    Resolver,
    servers::{MOST_SERVERS, Server},
};
use crate::{dial::Dialler, gather::Own};

/// Addresses that are asked in all.
const MOST_ASKED: usize = 20;
/// Questions that are put to each.
const MOST_QUESTIONS: usize = 24;
/// How long one try may take; there are two.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long answers are good for others who ask the same.
const KEPT: Duration = Duration::from_secs(600);
/// Zones of which no server answers before port 53 is taken to be closed: one or two may be dead.
const BLOCKED_AFTER: usize = 3;
/// Different answers of one zone whose signatures are looked at: each may cost look-ups.
const MOST_JUDGED: usize = 48;
/// Zones whose answers are kept.
const MOST_KEPT: usize = 1_024;

/// What all servers of a zone said.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which servers only one side of the delegation names; why that is not known.
    pub delegation: Result<Sides, String>,
    /// One for each address of each server, those included that only the zone above names.
    pub servers: Vec<NameServer>,
}

/// Servers that only one side of a delegation names (RFC 1034 §4.2.2), at most thirteen each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Those of the zone above.
    pub above_only: Vec<Domain>,
    /// Those of the zone itself.
    pub zone_only: Vec<Domain>,
}

impl Sides {
    fn of(above: &BTreeSet<Domain>, zone: &[Domain]) -> Self {
        let above_only = above.iter().filter(|name| !zone.contains(name));
        let zone_only = zone.iter().filter(|name| !above.contains(name));
        Self {
            above_only: above_only.take(MOST_SERVERS).cloned().collect(),
            zone_only: zone_only.take(MOST_SERVERS).cloned().collect(),
        }
    }
}

/// Asks servers of zones, which it finds through a resolver. A clone is the same.
#[derive(Clone)]
pub struct Authorities(Arc<Shared>, Resolver);

type Questions = Vec<(Domain, RecordType)>;
type Addresses = Vec<(Domain, IpAddr)>;
type Outcome = Result<Asked, Unasked>;

/// Why the servers of a zone could not be asked, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// They are not known, or have no public address.
    Nowhere(String),
    /// They are, and none answers: they are down, or this machine has no way to port 53.
    Silent(String),
}

struct Shared {
    dialler: Dialler,
    own: Own,
    kept: Mutex<HashMap<(Domain, Questions), (Instant, Outcome)>>,
    reach: Mutex<Reach>,
}

/// Whether this machine gets through to port 53 of strangers.
enum Reach {
    /// None did so far, of these zones.
    Unknown(BTreeSet<Domain>),
    /// A server answered once.
    Proven,
    /// None did, of several zones.
    Blocked(Instant),
}

/// Whether any server of a zone answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Something,
    Nothing,
}

/// Whether a server of any zone ever answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Proven,
    Unproven,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorities").finish_non_exhaustive()
    }
}

impl Authorities {
    /// Finds servers through this resolver, and goes to them the way that the dialler goes.
    pub fn new(resolver: Resolver, dialler: Dialler, own: Own) -> Self {
        let shared = Shared {
            dialler,
            own,
            kept: Mutex::default(),
            reach: Mutex::new(Reach::Unknown(BTreeSet::new())),
        };
        Self(Arc::new(shared), resolver)
    }

    /// The same, for whoever wants to know how things are now: see [`Resolver::anew`].
    #[must_use]
    pub fn anew(&self) -> Self {
        Self(Arc::clone(&self.0), self.1.anew())
    }

    /// Puts the same questions to every address of every server of a zone.
    ///
    /// # Errors
    /// Nobody could be asked: no server with a public address, or none that answers.
    pub async fn ask(&self, zone: &Domain, questions: &[(Domain, RecordType)]) -> Outcome {
        let key = (zone.clone(), questions.to_vec());
        if let Some(known) = self.known(&key) {
            return known;
        }
        let outcome = self.ask_now(zone, questions).await;
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| at.elapsed() < KEPT);
        if kept.len() < MOST_KEPT {
            kept.insert(key, (Instant::now(), outcome.clone()));
        }
        outcome
    }

    fn known(&self, key: &(Domain, Questions)) -> Option<Outcome> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, outcome) = kept.get(key)?;
        (at.elapsed() < KEPT && self.1.1.takes(*at)).then(|| outcome.clone())
    }

    async fn ask_now(&self, zone: &Domain, questions: &[(Domain, RecordType)]) -> Outcome {
        let blocked = "no server of another zone answered either: port 53 seems to be closed to us";
        if let Reach::Blocked(at) = *self.reach()
            && at.elapsed() < KEPT
        {
            return Err(Unasked::Silent(blocked.into()));
        }
        let began = Instant::now();
        let (servers, delegation) = self.addresses(zone).await.map_err(Unasked::Nowhere)?;
        let questions: Arc<[_]> = questions.iter().take(MOST_QUESTIONS).cloned().collect();
        let mut asking = JoinSet::new();
        for (place, (name, address)) in servers.into_iter().enumerate() {
            let server = Server::new(address, &self.0.dialler);
            let questions = Arc::clone(&questions);
            let now = self.1.0.settings.clock.now();
            asking.spawn(async move {
                let mut answers = Vec::new();
                for (owner, record_type) in questions.iter() {
                    let question = Question::new(Name::from(owner), *record_type);
                    let answer = one(&server, &question, now).await;
                    let (owner, record_type) = (owner.clone(), *record_type);
                    answers.push(Reply { owner, record_type, answer, bogus: None });
                }
                (place, Answered { name, address, answers })
            });
        }
        let mut answered = asking.join_all().await;
        answered.sort_by_key(|(place, _)| *place);
        let mut answers: Vec<_> = answered.into_iter().map(|(_, answered)| answered).collect();
        let any = answers.iter().flat_map(|one| &one.answers).any(|said| said.answer.is_ok());
        if self.learn(zone, if any { Heard::Something } else { Heard::Nothing }) == Way::Unproven {
            let text = "none of its servers answered: they are down, or port 53 is closed to this \
                        machine";
            return Err(Unasked::Silent(text.into()));
        }
        self.validate(&mut answers, began).await;
        // The answers themselves may be long, and are not kept.
        Ok(Asked { delegation, servers: answers.iter().map(told).collect() })
    }

    /// What the answers of a zone, or their absence, say of our way out.
    fn learn(&self, zone: &Domain, heard: Heard) -> Way {
        let mut reach = self.reach();
        match (heard, &mut *reach) {
            (Heard::Something, _) => *reach = Reach::Proven,
            (Heard::Nothing, Reach::Proven) => {}
            (Heard::Nothing, Reach::Blocked(at)) => {
                *at = Instant::now();
                return Way::Unproven;
            }
            (Heard::Nothing, Reach::Unknown(silent)) => {
                silent.insert(zone.clone());
                if silent.len() >= BLOCKED_AFTER {
                    *reach = Reach::Blocked(Instant::now());
                }
                return Way::Unproven;
            }
        }
        Way::Proven
    }

    /// Looks at the signatures of each server's own answers: a resolver shows those of one server,
    /// and other senders ask another.
    async fn validate(&self, answers: &mut [Answered], began: Instant) {
        let mut judged: Vec<Reply> = Vec::new();
        let all = answers.iter_mut().flat_map(|one| &mut one.answers);
        for said in all {
            let Ok(response) = &said.answer else { continue };
            let is_same = |other: &&Reply| {
                (&other.owner, other.record_type) == (&said.owner, said.record_type)
                    && other.answer.as_ref().is_ok_and(|other| other.sets == response.sets)
            };
            if let Some(same) = judged.iter().find(is_same) {
                said.bogus.clone_from(&same.bogus);
            } else if judged.len() < MOST_JUDGED {
                let question = Question::new(Name::from(&said.owner), said.record_type);
                said.bogus = self.1.bogus(&question, response, began).await;
                judged.push(said.clone());
            }
        }
    }

    fn reach(&self) -> std::sync::MutexGuard<'_, Reach> {
        self.0.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every public address of every server that the zone or the zone above names, and which of them only
    /// one of the two does.
    async fn addresses(&self, zone: &Domain) -> Result<(Addresses, Result<Sides, String>), String> {
        let names = match self.1.servers(zone).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => return Err(format!("{zone} has no NS records")),
            Answer::Failed(failure) => return Err(failure.detail),
        };
        let above = self.1.delegation_from_one(zone, &self.0.dialler).await;
        let delegation = above.map(|above| Sides::of(&above, &names));
        // Those first that only the zone above names: whoever took over the account at the registrar put
        // them there, and no number of others keeps them from being asked; nor do further addresses of
        // the same names.
        let forgotten = delegation.iter().flat_map(|sides| &sides.above_only).cloned();
        let names = forgotten.chain(names.into_iter().take(MOST_SERVERS));
        let families = self.0.dialler.families();
        let mut found = Vec::new();
        for name in names.collect::<Vec<_>>() {
            let all = self.1.addresses_of_server(&name, families).await;
            let good = all.into_iter().flatten().filter(|one| self.0.own.refuses(*one).is_none());
            found.extend(good.enumerate().map(|(place, address)| (place, (name.clone(), address))));
        }
        found.sort_by_key(|(place, _)| *place);
        let found: Addresses = found.into_iter().map(|(_, one)| one).take(MOST_ASKED).collect();
        if found.is_empty() {
            return Err(format!("no server of {zone} has a public address"));
        }
        Ok((found, delegation))
    }
}

/// One question to one address, twice where the first datagram is lost.
async fn one(server: &Server, question: &Question, now: UnixTime) -> Result<Arc<Response>, String> {
    let mut why = "no answer in time".to_owned();
    for _ in 0..2 {
        match timeout(PATIENCE, server.ask(question, now)).await {
            Err(_) => {}
            Ok(Err(failure)) if failure.kind == FailureKind::Unreachable => {
                return Err(failure.detail);
            }
            Ok(Err(failure)) => why = failure.detail,
            Ok(Ok(response)) => {
                return match response.rcode {
                    0 | 3 => Ok(Arc::new(response)),
                    2 => Err("SERVFAIL".into()),
                    5 => Err("REFUSED: it does not serve the zone".into()),
                    rcode => Err(format!("RCODE {rcode}")),
                };
            }
        }
    }
    Err(why)
}
