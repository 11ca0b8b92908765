//! Addresses of mail hosts: one probe each, whoever asks, and at the pace of a polite stranger.
//!
//! What was seen is kept by address and port, and shared between domains and names: ten thousand
//! customers of one provider cost that provider a handful of connections, and a name for each of them
//! one connection more. That one cannot be shared: a host may choose its certificate by the server name
//! (RFC 6066 §3), so that what it showed under one name says nothing about another.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
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
    time::UnixTime,
};

pub use super::memory::{Memory, ProbeStore};
use super::{
    memory::{Sight, Source},
    smtp::{Call, Ended, Greeted, Line, Stop},
    turn::{Outcome, Rules, Turn, Turns},
};
use crate::{
    deliver::{Pace, operator},
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
    /// How long all connections to one address may take together, once it is their turn; pauses out of
    /// politeness left out.
    pub address: Duration,
    /// How long somebody may wait for a turn at an operator that many ask about.
    pub patience: Duration,
    /// Hosts of one operator that are probed at the same time, and the pause after each connection.
    pub pace: Pace,
    /// Names under which one address is asked within an hour: a zone full of names cannot aim us at
    /// somebody for long.
    pub names: usize,
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
            names: 1_024,
            failure_kept: Duration::from_secs(1_800),
        }
    }

    /// How turns are taken.
    fn rules(&self) -> Rules {
        Rules {
            pace: self.pace,
            fruitless: self.connection,
            slow: self.address / 2,
            window: self.failure_kept,
            allowance: self.address * SLOW_LOOKS,
        }
    }
}

/// After slow looks that took as long as so many whole ones, an operator is left alone until
/// `failure_kept` is over: it must not keep everybody waiting who asks for it.
const SLOW_LOOKS: u32 = 3;

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

/// Who asks about one host stands in it.
type Queue = Arc<tokio::sync::Mutex<()>>;
/// By operator and address.
type Busy = Mutex<HashMap<(String, SocketAddr), Queue>>;

struct Shared {
    settings: Settings,
    dialler: Dialler,
    tls: Configs,
    turns: Turns,
    memory: Memory,
    /// One for each host that is being probed, so that a thousand domains stand in line once.
    busy: Arc<Busy>,
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
        let turns = Turns::new(settings.rules());
        Self::with((turns, memory, Arc::default()), settings, dialler)
    }

    /// The prober of the next configuration: whoever is being asked, was asked a moment ago or was slow
    /// is so there as well, and what is known stays known.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn next(&self, settings: Settings, dialler: Dialler) -> Result<Self, rustls::Error> {
        let turns = self.0.turns.next(settings.rules());
        let kept = (turns, self.0.memory.clone(), Arc::clone(&self.0.busy));
        Self::with(kept, settings, dialler)
    }

    fn with(
        (turns, memory, busy): (Turns, Memory, Arc<Busy>),
        settings: Settings,
        dialler: Dialler,
    ) -> Result<Self, rustls::Error> {
        let tls = Configs {
            all: smtp_client_config(Parameters::All)?,
            rsa: smtp_probe_config(KeyKind::Rsa)?,
            ecdsa: smtp_probe_config(KeyKind::Ecdsa)?,
            ed25519: smtp_probe_config(KeyKind::Ed25519)?,
        };
        Ok(Self(Arc::new(Shared { turns, settings, dialler, tls, memory, busy })))
    }

    /// What is to be seen at an address: from memory where that is enough.
    pub async fn probe(&self, target: &Target, enough: Enough, now: UnixTime) -> Observed {
        if let Some(known) = self.known(target, enough, now).await {
            return known;
        }
        let host = (operator(&Peer::Name(target.host.clone())), target.address);
        let line = {
            let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(host.clone()).or_default())
        };
        let guard = line.lock().await;
        // Somebody else may have probed while we waited.
        let observed = match self.known(target, enough, now).await {
            Some(known) => known,
            None => self.ask(host.0, target, (enough, now)).await,
        };
        drop(guard);
        drop(line);
        let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, line| Arc::strong_count(line) > 1);
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
            whole: session.at,
            observed: Observed::Probed(Box::new(probe)),
            source: Source::Delivery,
            stored: None,
        };
        self.0.memory.note(seen.address, sight);
    }

    /// What will do without a connection: seen under this very name, or before any name was sent.
    async fn known(&self, target: &Target, enough: Enough, now: UnixTime) -> Option<Observed> {
        let sights = self.0.memory.sights(target.address, now).await;
        let life = |sight: &Sight| match is_result(&sight.observed) {
            true => enough.oldest,
            false => enough.oldest.min(self.0.settings.failure_kept),
        };
        // What was seen at this very moment is never asked again: many may have waited for it.
        let fresh = |sight: &&Arc<Sight>| now.since(sight.whole) < life(sight) || now == sight.at;
        let of = |source: Source| sights.iter().rev().filter(move |one| one.source == source);
        let named = |one: &&Arc<Sight>| one.sni == target.sni;
        let nameless = |one: &&Arc<Sight>| !hears_names(&one.observed);
        let mut probes = of(Source::Probe).filter(fresh);
        if let Some(own) = probes.clone().find(named).or_else(|| probes.next().filter(nameless)) {
            return Some(own.observed.clone());
        }
        let seen = match enough.deliveries {
            Deliveries::Count | Deliveries::Refresh => {
                &of(Source::Delivery).filter(fresh).find(named)?.observed
            }
            Deliveries::DoNotCount => return None,
        };
        let probe = of(Source::Probe).find(|one| named(one) && now.since(one.whole) < WEEK);
        match (probe.and_then(|probe| renewed(&probe.observed, seen)), enough.deliveries) {
            (Some(both), _) => Some(both),
            (None, Deliveries::Count) => Some(seen.clone()),
            (None, Deliveries::Refresh | Deliveries::DoNotCount) => None,
        }
    }

    /// What was seen of an address under other names that holds for all of them.
    async fn basis(&self, address: SocketAddr, enough: Enough, now: UnixTime) -> Vec<Arc<Sight>> {
        let mut sights = self.0.memory.sights(address, now).await;
        sights.retain(|one| {
            let fresh = now.since(one.whole) < enough.oldest || now == one.whole;
            one.source == Source::Probe && fresh && hears_names(&one.observed)
        });
        sights
    }

    /// Asks when it is our turn, and keeps what comes of it.
    async fn ask(
        &self,
        operator: String,
        target: &Target,
        (enough, now): (Enough, UnixTime),
    ) -> Observed {
        if !self.0.dialler.families().allow(target.address.ip()) {
            return Observed::Not(Unprobed::NoFamily);
        }
        let until = Instant::now() + self.0.settings.patience;
        let turn = match self.0.turns.take(operator, target.address.ip(), until).await {
            Ok(turn) => turn,
            Err(why) => return Observed::Not(why),
        };
        // The same address may have been asked under the name of another operator.
        if let Some(known) = self.known(target, enough, now).await {
            return known;
        }
        let name = (target.address, &target.sni);
        if !self.0.memory.may_ask(name, self.0.settings.names, now) {
            return Observed::Not(Unprobed::NoTurn);
        }
        let basis = self.basis(target.address, enough, now).await;
        let observed = Visit { shared: &self.0, target, now, turn: &turn }.probe(&basis).await;
        let Observed::Probed(_) = &observed else { return observed };
        let result = is_result(&observed);
        turn.came_to(if result { Outcome::Result } else { Outcome::Nothing });
        let sight = Sight {
            sni: target.sni.clone(),
            observed: observed.clone(),
            at: now,
            whole: basis.last().map_or(now, |sight| sight.whole),
            source: Source::Probe,
            stored: None,
        };
        self.0.memory.keep(target.address, sight, now).await;
        observed
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

/// Whether this is what a delivery saw, alone, as [`Prober::delivered`] keeps it: nobody asked for the
/// greeting, for what is offered under TLS, nor for anything old or weak.
pub fn is_from_delivery(probe: &Probe) -> bool {
    let unasked = probe.keywords_in_tls.is_none() && probe.legacy.is_none() && probe.weak.is_none();
    match &probe.contact {
        Contact::Spoke { greeting, starttls: StartTlsSeen::Ready, .. } => {
            unasked && *greeting == Quoted::default()
        }
        Contact::Spoke { .. }
        | Contact::Unreachable(_)
        | Contact::TurnedAway(_)
        | Contact::Misbehaved(_) => false,
    }
}

/// Whether a probe showed something that stays true for a while.
fn is_result(observed: &Observed) -> bool {
    match observed {
        Observed::Probed(probe) => matches!(probe.contact, Contact::Spoke { .. }),
        Observed::Not(_) => false,
    }
}

/// Whether a host came so far that it heard a server name. What it did before it does under every name.
fn hears_names(observed: &Observed) -> bool {
    let Observed::Probed(probe) = observed else { return false };
    matches!(probe.contact, Contact::Spoke { starttls: StartTlsSeen::Ready, .. })
}

/// One address while it is being probed.
pub(super) struct Visit<'a> {
    shared: &'a Shared,
    pub(super) target: &'a Target,
    now: UnixTime,
    turn: &'a Turn,
}

/// A probe that came no further than this.
const fn empty(at: UnixTime, contact: Contact) -> Probe {
    Probe { at, contact, keywords_in_tls: None, handshakes: Vec::new(), legacy: None, weak: None }
}

impl Visit<'_> {
    /// Asks all that is not in `basis`: what was seen here under other names.
    async fn probe(&self, basis: &[Arc<Sight>]) -> Observed {
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
                probe.handshakes = self.kinds(&offered, basis).await;
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
            (probe.legacy, probe.weak) = match basis.last().map(|sight| &sight.observed) {
                Some(Observed::Probed(known)) => (known.legacy.clone(), known.weak.clone()),
                Some(Observed::Not(_)) | None => self.weaknesses().await,
            };
        }
        Observed::Probed(Box::new(probe))
    }

    /// A handshake for each kind of key, the first of which is made already. A host that shows the same
    /// certificate under two names has none of a kind under the one that it lacks under the other.
    async fn kinds(&self, offered: &OfferedSession, basis: &[Arc<Sight>]) -> Vec<HandshakeTried> {
        let twin = basis.iter().rev().find_map(|sight| match &sight.observed {
            Observed::Probed(probe) if shows(probe, offered) => Some(probe),
            Observed::Probed(_) | Observed::Not(_) => None,
        });
        let lacks = |key: KeyKind| {
            let mut known = twin.into_iter().flat_map(|probe| &probe.handshakes);
            known.any(|one| one.key == key && one.tried == Tried::NoSuchKey)
        };
        let kind = offered.key();
        let mut tried = Vec::new();
        for key in KINDS {
            let came = if Some(key) == kind {
                Tried::Session(offered.clone())
            } else if lacks(key) {
                Tried::NoSuchKey
            } else {
                self.only(key).await
            };
            tried.push(HandshakeTried { key, tried: came });
        }
        tried
    }

    /// A handshake that takes only certificates with one kind of key. Many a host hangs up instead of sending
    /// an alert, and would else be one of which nobody ever knows; but a connection may be lost for other
    /// reasons as well, and `publish` takes a record for surplus whose key no host shows: who hangs up is
    /// asked once more. (Who is on the path can hide a key in either way: nothing vouches for an alert here.)
    async fn only(&self, key: KeyKind) -> Tried {
        let tried = match self.takes_only(key).await {
            Err(HungUp) => self.takes_only(key).await,
            tried => tried,
        };
        tried.unwrap_or(Tried::NoSuchKey)
    }

    async fn takes_only(&self, key: KeyKind) -> Result<Tried, HungUp> {
        let config = match key {
            KeyKind::Rsa => &self.shared.tls.rsa,
            KeyKind::Ecdsa => &self.shared.tls.ecdsa,
            KeyKind::Ed25519 => &self.shared.tls.ed25519,
        };
        let unknown = |why: &str| Ok(Tried::Unknown(why.into()));
        let line = match self.greet().await {
            Ok((_, Some(line))) => line,
            Ok((_, None)) => return unknown("STARTTLS was not there again"),
            Err(Ended::NoFamily) => return unknown("no way to that address"),
            Err(Ended::Contact(contact)) => return Ok(Tried::Unknown(words(contact))),
        };
        match line.handshake(config, &self.target.sni, self.now).await {
            Ok((offered, _)) if offered.key() == Some(key) => Ok(Tried::Session(offered)),
            Ok(_) | Err(Stop::Tls { .. }) => Ok(Tried::NoSuchKey),
            Err(Stop::Lost(_)) => Err(HungUp),
            Err(Stop::Late(why) | Stop::Broke(why)) => Ok(Tried::Unknown(why)),
        }
    }

    /// One connection up to STARTTLS, at our pace.
    pub(super) async fn greet(&self) -> Result<(Greeted, Option<Line>), Ended> {
        let settings = &self.shared.settings;
        self.turn.pause().await;
        let left = settings.address.saturating_sub(self.turn.spent());
        if left.is_zero() {
            let why = "not asked again: the address took too long before".to_owned();
            return Err(Ended::Contact(Contact::Unreachable(why)));
        }
        let call = Call {
            dialler: &self.shared.dialler,
            hello: &settings.hello,
            address: self.target.address,
            until: Instant::now() + settings.connection.min(left),
        };
        call.greet().await
    }
}

/// The connection ended in the handshake, without an alert.
struct HungUp;

/// Whether a probe saw the same certificate.
fn shows(probe: &Probe, offered: &OfferedSession) -> bool {
    probe.handshakes.iter().any(|one| match &one.tried {
        Tried::Session(session) => session.chain == offered.chain,
        Tried::NoSuchKey | Tried::Failed { .. } | Tried::Unknown(_) => false,
    })
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
