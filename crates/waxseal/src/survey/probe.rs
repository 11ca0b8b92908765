//! Addresses of mail hosts: one probe each, whoever asks, and at the pace of a polite stranger.
//!
//! What was seen is kept by operator, address and port, and shared between domains: ten thousand
//! customers of one provider cost that provider a handful of connections.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tokio::time::Instant;
use waxseal_core::{
    assess::{
        Contact, HandshakeTried, KeyKind, Observed, OfferedSession, Probe, Quoted, StartTlsSeen,
        Tried, Unprobed,
    },
    channel::{Seen, TlsSeen},
    domain::Domain,
    facts::Peer,
    pki::{Certificate, presents},
    time::UnixTime,
};

pub use super::memory::{Memory, ProbeStore};
use super::{
    memory::{Key, MOST_NAMES, Sight, Source},
    smtp::{Call, Ended, Greeted, Line, Stop},
};
use crate::{
    deliver::{Gates, Pace, operator},
    dial::Dialler,
    tls::{Parameters, smtp_client_config, smtp_probe_config},
};

/// Kinds of keys that are asked for.
const KINDS: [KeyKind; 3] = [KeyKind::Rsa, KeyKind::Ecdsa, KeyKind::Ed25519];

/// How mail hosts are probed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name for EHLO.
    pub hello: String,
    /// How long one connection may take, from the first packet to the last.
    pub connection: Duration,
    /// How long all connections to one address may take together, once it is their turn.
    pub address: Duration,
    /// How long somebody may wait for a turn at an operator that many ask about.
    pub patience: Duration,
    /// Hosts of one operator that are probed at the same time, and the time between connections.
    pub pace: Pace,
    /// How long a probe without a result is believed: rate limits and outages pass.
    pub failure_kept: Duration,
}

impl Settings {
    /// The defaults, with this name for EHLO.
    pub fn new(hello: &str) -> Self {
        Self {
            hello: hello.to_owned(),
            connection: Duration::from_secs(20),
            address: Duration::from_secs(120),
            patience: Duration::from_secs(3_600),
            pace: Pace { at_once: 1, interval: Duration::from_millis(250) },
            failure_kept: Duration::from_secs(1_800),
        }
    }
}

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name in the MX record.
    pub host: Domain,
    /// The server name that is sent.
    pub sni: Domain,
    /// Where.
    pub address: SocketAddr,
}

/// Probes mail hosts. A clone is the same prober.
#[derive(Clone)]
pub struct Prober(Arc<Shared>);

struct Shared {
    settings: Settings,
    dialler: Dialler,
    tls: Configs,
    gates: Gates,
    memory: Memory,
    /// One lock for each address that is being probed, so that a thousand domains probe once.
    busy: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

/// What is offered in handshakes.
struct Configs {
    /// What the gateway itself offers.
    all: Arc<ClientConfig>,
    rsa: Arc<ClientConfig>,
    ecdsa: Arc<ClientConfig>,
    ed25519: Arc<ClientConfig>,
}

/// What will do instead of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enough {
    /// What was seen longer ago does not count.
    pub oldest: Duration,
    /// Whether a delivery counts, which saw one certificate and asked nothing else.
    pub deliveries: Deliveries,
}

/// Whether our own deliveries count as probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Deliveries {
    /// Only a probe will do.
    #[default]
    DoNotCount,
    /// They do, alone: one kind of key, and nothing that only a probe asks.
    Count,
    /// One brings a probe of the last week up to date: a partner that we write to every day is
    /// probed once a week.
    Refresh,
}

/// So old may a probe be that a delivery brings up to date.
const WEEK: Duration = Duration::from_hours(7 * 24);

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prober").field(&self.0.settings).finish()
    }
}

impl Prober {
    /// A prober that has seen nothing.
    ///
    /// # Errors
    /// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
    pub fn new(
        settings: Settings,
        dialler: Dialler,
        memory: Memory,
    ) -> Result<Self, rustls::Error> {
        let tls = Configs {
            all: smtp_client_config(Parameters::All)?,
            rsa: smtp_probe_config(KeyKind::Rsa)?,
            ecdsa: smtp_probe_config(KeyKind::Ecdsa)?,
            ed25519: smtp_probe_config(KeyKind::Ed25519)?,
        };
        let one = Pace { at_once: 1, interval: Duration::ZERO };
        Ok(Self(Arc::new(Shared {
            gates: Gates::of(one, settings.pace),
            settings,
            dialler,
            tls,
            memory,
            busy: Mutex::default(),
        })))
    }

    /// What is to be seen at an address: from memory where that is enough.
    pub async fn probe(&self, target: &Target, enough: Enough, now: UnixTime) -> Observed {
        let key = (operator(&Peer::Name(target.host.clone())), target.address);
        if let Some(known) = self.known(&key, target, enough, now).await {
            return known;
        }
        let turn = {
            let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(key.clone()).or_default())
        };
        let guard = turn.lock().await;
        // Somebody else may have probed while we waited.
        let observed = match self.known(&key, target, enough, now).await {
            Some(known) => known,
            None => {
                let observed = self.look(target, now).await;
                let sight = Sight {
                    sni: target.sni.clone(),
                    observed: observed.clone(),
                    at: now,
                    source: Source::Probe,
                    stored: None,
                };
                self.0.memory.keep(&key, sight, now).await;
                observed
            }
        };
        drop(guard);
        drop(turn);
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        observed
    }

    /// Learns from a delivery: what was seen of a host need not be asked again.
    pub fn delivered(&self, seen: &Seen) {
        let (Peer::Name(host), TlsSeen::Established(session)) = (&seen.peer, &seen.tls) else {
            return;
        };
        let offered = OfferedSession::from(session);
        let Some(kind) = offered.key() else { return };
        let probe = Probe {
            at: session.at,
            contact: Contact::Spoke {
                greeting: Quoted::default(),
                keywords: vec![Quoted::new("STARTTLS")],
                starttls: StartTlsSeen::Ready,
            },
            keywords_in_tls: None,
            handshakes: vec![HandshakeTried { key: kind, tried: Tried::Session(offered) }],
            legacy: None,
            weak: None,
        };
        let sight = Sight {
            sni: session.sni.clone().unwrap_or_else(|| host.clone()),
            at: session.at,
            observed: Observed::Probed(Box::new(probe)),
            source: Source::Delivery,
            stored: None,
        };
        self.0.memory.note(&(operator(&seen.peer), seen.address), sight);
    }

    async fn known(
        &self,
        key: &Key,
        target: &Target,
        enough: Enough,
        now: UnixTime,
    ) -> Option<Observed> {
        let sights = self.0.memory.sights(key, now).await;
        let life = |sight: &Sight| match is_result(&sight.observed) {
            true => enough.oldest,
            false => enough.oldest.min(self.0.settings.failure_kept),
        };
        // What was seen at this very moment is never asked again: many may have waited for it.
        let fresh = |sight: &&Sight| now.since(sight.at) < life(sight) || now == sight.at;
        let of = |source: Source| {
            let fits = |one: &&Sight| one.sni == target.sni || serves(&one.observed, &target.sni);
            let mut sights =
                sights.iter().rev().filter(move |one| one.source == source).filter(fresh);
            let last = sights.clone().next();
            let full = sights.clone().count() >= MOST_NAMES;
            sights.find(fits).or(last.filter(|_| full)).map(|one| one.observed.clone())
        };
        of(Source::Probe).or_else(|| {
            let seen = match enough.deliveries {
                Deliveries::Count | Deliveries::Refresh => of(Source::Delivery)?,
                Deliveries::DoNotCount => return None,
            };
            let week = |one: &&Sight| {
                let fits = one.sni == target.sni || serves(&one.observed, &target.sni);
                one.source == Source::Probe && fits && now.since(one.at) < WEEK
            };
            let probe = sights.iter().rev().find(week).map(|one| &one.observed);
            match (probe.and_then(|probe| renewed(probe, &seen)), enough.deliveries) {
                (Some(both), _) => Some(both),
                (None, Deliveries::Count) => Some(seen),
                (None, Deliveries::Refresh | Deliveries::DoNotCount) => None,
            }
        })
    }

    async fn look(&self, target: &Target, now: UnixTime) -> Observed {
        if !self.0.dialler.families().allow(target.address.ip()) {
            return Observed::Not(Unprobed::NoFamily);
        }
        let until = Instant::now() + self.0.settings.patience;
        let peer = Peer::Name(target.host.clone());
        // One turn for all connections: nobody else asks this operator in between.
        let Some(_turn) = self.0.gates.host(&peer, target.address, until).await else {
            return Observed::Not(Unprobed::NoTurn);
        };
        let (began, connections) = (Instant::now(), AtomicU32::new(0));
        Visit { shared: &self.0, target, now, began, connections }.probe().await
    }
}

/// A probe with what a delivery saw later; `None` where the probe came to nothing.
fn renewed(probe: &Observed, delivery: &Observed) -> Option<Observed> {
    let (Observed::Probed(probe), Observed::Probed(delivery)) = (probe, delivery) else {
        return None;
    };
    let Contact::Spoke { starttls: StartTlsSeen::Ready, .. } = probe.contact else { return None };
    let mut both = Probe { at: delivery.at, ..Probe::clone(probe) };
    for seen in &delivery.handshakes {
        let known = both.handshakes.iter_mut().find(|one| one.key == seen.key)?;
        *known = seen.clone();
    }
    Some(Observed::Probed(Box::new(both)))
}

/// Whether a probe showed something that stays true for a while.
fn is_result(observed: &Observed) -> bool {
    match observed {
        Observed::Probed(probe) => matches!(probe.contact, Contact::Spoke { .. }),
        Observed::Not(_) => false,
    }
}

/// Whether what was seen under another name of the same operator is what would be seen under this
/// one: its certificate is for both, or the server name was never sent.
fn serves(observed: &Observed, sni: &Domain) -> bool {
    let Observed::Probed(probe) = observed else { return true };
    let mut sessions = probe.handshakes.iter().filter_map(|one| match &one.tried {
        Tried::Session(session) => session.chain.first(),
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => None,
    });
    match probe.contact {
        Contact::Spoke { starttls: StartTlsSeen::Ready, .. } => sessions
            .next()
            .and_then(|leaf| Certificate::read(leaf).ok())
            .is_some_and(|leaf| presents(&leaf, std::slice::from_ref(sni)).is_ok()),
        Contact::Spoke { .. }
        | Contact::Unreachable(_)
        | Contact::TurnedAway(_)
        | Contact::Misbehaved(_) => true,
    }
}

/// One address while it is being probed.
pub(super) struct Visit<'a> {
    shared: &'a Shared,
    pub(super) target: &'a Target,
    now: UnixTime,
    began: Instant,
    /// How many were made.
    connections: AtomicU32,
}

/// A probe that came no further than this.
const fn empty(at: UnixTime, contact: Contact) -> Probe {
    Probe { at, contact, keywords_in_tls: None, handshakes: Vec::new(), legacy: None, weak: None }
}

impl Visit<'_> {
    async fn probe(&self) -> Observed {
        let found = |contact| Observed::Probed(Box::new(empty(self.now, contact)));
        let (greeted, line) = match self.greet().await {
            Ok(greeted) => greeted,
            Err(Ended::NoFamily) => return Observed::Not(Unprobed::NoFamily),
            Err(Ended::Contact(contact)) => return found(contact),
        };
        let Some(line) = line else { return found(greeted.contact()) };
        let mut probe = empty(self.now, greeted.contact());
        match line.handshake(&self.shared.tls.all, &self.target.sni, self.now).await {
            Ok((offered, keywords)) => {
                probe.keywords_in_tls = keywords;
                let kind = offered.key();
                for key in KINDS {
                    let tried = if Some(key) == kind {
                        Tried::Session(offered.clone())
                    } else {
                        self.only(key).await
                    };
                    probe.handshakes.push(HandshakeTried { key, tried });
                }
            }
            Err(Stop::Broke(why)) => probe.contact = Contact::Misbehaved(why),
            Err(Stop::Tls { legacy, detail }) => {
                probe.handshakes = each(&Tried::Failed { legacy, detail });
            }
            // Time, resets and middle boxes say nothing of the host's TLS.
            Err(Stop::Lost(why) | Stop::Late(why)) => {
                probe.handshakes = each(&Tried::Unknown(why));
            }
        }
        if !probe.handshakes.is_empty() {
            (probe.legacy, probe.weak) = self.weaknesses().await;
        }
        Observed::Probed(Box::new(probe))
    }

    /// A handshake that takes only certificates with one kind of key.
    async fn only(&self, key: KeyKind) -> Tried {
        let config = match key {
            KeyKind::Rsa => &self.shared.tls.rsa,
            KeyKind::Ecdsa => &self.shared.tls.ecdsa,
            KeyKind::Ed25519 => &self.shared.tls.ed25519,
        };
        let line = match self.greet().await {
            Ok((_, Some(line))) => line,
            Ok((_, None)) => return Tried::Unknown("STARTTLS was not there again".into()),
            Err(Ended::NoFamily) => return Tried::Unknown("no way to that address".into()),
            Err(Ended::Contact(contact)) => return Tried::Unknown(words(contact)),
        };
        match line.handshake(config, &self.target.sni, self.now).await {
            Ok((offered, _)) if offered.key() == Some(key) => Tried::Session(offered),
            Ok(_) | Err(Stop::Tls { .. }) => Tried::NoSuchKey,
            // A host that hangs up instead of sending an alert.
            Err(Stop::Lost(_)) => Tried::NoSuchKey,
            Err(Stop::Late(why) | Stop::Broke(why)) => Tried::Unknown(why),
        }
    }

    /// One connection up to STARTTLS, at our pace.
    pub(super) async fn greet(&self) -> Result<(Greeted, Option<Line>), Ended> {
        let settings = &self.shared.settings;
        if self.connections.fetch_add(1, Ordering::Relaxed) > 0 {
            tokio::time::sleep(settings.pace.interval).await;
        }
        if self.began.elapsed() > settings.address {
            let why = "not asked again: the address took too long before".to_owned();
            return Err(Ended::Contact(Contact::Unreachable(why)));
        }
        let call = Call {
            dialler: &self.shared.dialler,
            hello: &settings.hello,
            address: self.target.address,
            until: Instant::now() + settings.connection,
        };
        call.greet().await
    }
}

/// What the gateway could not do with any key, it cannot do with one.
fn each(tried: &Tried) -> Vec<HandshakeTried> {
    KINDS.map(|key| HandshakeTried { key, tried: tried.clone() }).into()
}

fn words(contact: Contact) -> String {
    match contact {
        Contact::Unreachable(why) | Contact::Misbehaved(why) => why,
        Contact::TurnedAway(reply) => format!("turned away: {reply}"),
        Contact::Spoke { .. } => "it spoke".into(),
    }
}
