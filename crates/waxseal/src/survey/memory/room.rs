//! How much is kept. Whoever floods us with large or many sights loses his own first.

use std::{
    collections::{BinaryHeap, HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use waxseal_core::{
    assess::{Contact, Observed, Probe, Quoted, StartTlsSeen, Tried},
    domain::Domain,
    time::UnixTime,
};

use super::{super::turn::Network, Sight, Source};

/// Octets of all sights in memory.
pub(super) const MOST_KEPT: usize = 64 << 20;
/// Octets of the sights of one address; one more name costs the oldest.
pub(super) const MOST_OF_ONE: usize = 1 << 20;
/// Octets of what the store keeps of one address: the latest sights that fit. Three chains of 64 KiB
/// do, as base64.
pub(super) const MOST_STORED: usize = 320 << 10;
/// Octets of all that the store is given, of one week.
pub(super) const MOST_OF_STORE: usize = 256 << 20;
/// A record above this may take only half of that: no real host shows so much.
pub(super) const LARGE: usize = 48 << 10;
/// Names that deliveries leave behind at one address.
pub(super) const MOST_DELIVERED: usize = 8;
/// About what a sight takes beside the texts and certificates in it.
const OVERHEAD: usize = 1_024;
/// Names asked are counted by the hour.
const HOUR: Duration = Duration::from_secs(3_600);

/// What is in memory.
#[derive(Default)]
pub(super) struct Kept {
    places: HashMap<SocketAddr, Place>,
    octets: usize,
}

/// What is known of one address.
#[derive(Default)]
struct Place {
    sights: Vec<Arc<Sight>>,
    octets: usize,
    asked: Asked,
}

/// An address in its network: when it was seen last, and where.
type Member = (UnixTime, SocketAddr);

/// Under how many names it was asked.
#[derive(Clone, Copy, Default)]
struct Asked {
    names: usize,
    since: UnixTime,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} addresses, {} octets", self.places.len(), self.octets)
    }
}

impl Kept {
    pub(super) fn sights(&self, address: SocketAddr) -> Vec<Arc<Sight>> {
        self.places.get(&address).map(|place| place.sights.clone()).unwrap_or_default()
    }

    /// Adds these; yields all that is known of the address now.
    pub(super) fn put(&mut self, address: SocketAddr, new: Vec<Arc<Sight>>) -> Vec<Arc<Sight>> {
        let place = self.places.entry(address).or_default();
        new.into_iter().for_each(|sight| add(&mut place.sights, sight));
        let all = place.sights.clone();
        let before = place.octets;
        place.octets = OVERHEAD + place.sights.iter().map(|sight| weight(sight)).sum::<usize>();
        self.octets = (self.octets + place.octets).saturating_sub(before);
        if self.octets > MOST_KEPT {
            self.shed();
        }
        all
    }

    /// Forgets what was seen of an address later than that.
    pub(super) fn forget_after(&mut self, address: SocketAddr, latest: UnixTime) {
        let Some(place) = self.places.get_mut(&address) else { return };
        if place.sights.iter().all(|sight| sight.at <= latest) {
            return;
        }
        place.sights.retain(|sight| sight.at <= latest);
        let before = place.octets;
        place.octets = OVERHEAD + place.sights.iter().map(|sight| weight(sight)).sum::<usize>();
        self.octets = (self.octets + place.octets).saturating_sub(before);
    }

    pub(super) fn may_ask(
        &mut self,
        (address, sni): (SocketAddr, &Domain),
        most: usize,
        now: UnixTime,
    ) -> bool {
        if !self.places.contains_key(&address) {
            self.put(address, Vec::new());
        }
        let Some(place) = self.places.get_mut(&address) else { return true };
        if place.asked.since.has_lapsed(HOUR, now) {
            place.asked = Asked { names: 0, since: now };
        }
        let is_this = |one: &Arc<Sight>| {
            one.source == Source::Probe && one.sni == *sni && now.since(one.at) < HOUR
        };
        if place.sights.iter().any(is_this) {
            return true;
        }
        place.asked.names += 1;
        place.asked.names <= most
    }

    /// Down to seven eighths: what is oldest of the network that takes most, again and again. A flood
    /// comes from few networks, and what is known of all others stays.
    fn shed(&mut self) {
        let mut networks: HashMap<Network, (usize, Vec<Member>)> = HashMap::new();
        for (address, place) in &self.places {
            let (octets, members) = networks.entry(address.ip().into()).or_default();
            *octets += place.octets;
            let latest = place.sights.iter().map(|sight| sight.at).max().unwrap_or_default();
            members.push((latest, *address));
        }
        let mut heap: BinaryHeap<(usize, Network, VecDeque<Member>)> = networks
            .into_iter()
            .map(|(network, (octets, mut members))| {
                members.sort_unstable();
                (octets, network, members.into())
            })
            .collect();
        while self.octets > MOST_KEPT / 8 * 7
            && let Some((octets, network, mut members)) = heap.pop()
        {
            let Some((_, oldest)) = members.pop_front() else { continue };
            let gone = self.places.remove(&oldest).map_or(0, |place| place.octets);
            self.octets = self.octets.saturating_sub(gone);
            heap.push((octets.saturating_sub(gone), network, members));
        }
    }

    #[cfg(test)]
    pub(super) const fn octets(&self) -> usize {
        self.octets
    }
}

/// About how much memory a sight takes.
pub(super) fn weight(sight: &Sight) -> usize {
    let Observed::Probed(probe) = &sight.observed else { return OVERHEAD };
    OVERHEAD + sight.sni.as_str().len() + texts(probe) + sessions(probe)
}

fn texts(probe: &Probe) -> usize {
    let many = |words: &[Quoted]| words.iter().map(|word| 32 + word.as_str().len()).sum();
    let contact = match &probe.contact {
        Contact::Unreachable(why) | Contact::Misbehaved(why) => why.len(),
        Contact::TurnedAway(reply) => reply.as_str().len(),
        Contact::Spoke { greeting, keywords, starttls } => {
            let refusal = match starttls {
                StartTlsSeen::Refused(reply) => reply.as_str().len(),
                StartTlsSeen::NotOffered | StartTlsSeen::Injected | StartTlsSeen::Ready => 0,
            };
            greeting.as_str().len() + many(keywords) + refusal
        }
    };
    contact + probe.keywords_in_tls.as_deref().map_or(0, many)
}

fn sessions(probe: &Probe) -> usize {
    let handshakes = probe.handshakes.iter().map(|one| match &one.tried {
        Tried::Session(session) => session.chain.iter().map(|der| 32 + der.len()).sum(),
        Tried::Failed { detail, .. } => detail.len(),
        Tried::Unknown(why) => why.len(),
        Tried::NoSuchKey => 0,
    });
    handshakes.sum()
}

/// Puts a sight where it belongs, in place of what was known before under its name; never in place of
/// something newer.
pub(super) fn add(sights: &mut Vec<Arc<Sight>>, sight: Arc<Sight>) {
    let same = |one: &Arc<Sight>| one.sni == sight.sni && one.source == sight.source;
    if sights.iter().any(|one| same(one) && one.at > sight.at) {
        return;
    }
    sights.retain(|one| !same(one));
    let delivered = sights.iter().filter(|one| one.source == Source::Delivery).count();
    if sight.source == Source::Delivery
        && delivered >= MOST_DELIVERED
        && let Some(first) = sights.iter().position(|one| one.source == Source::Delivery)
    {
        sights.remove(first);
    }
    let after = sights.iter().rposition(|one| one.at <= sight.at).map_or(0, |last| last + 1);
    sights.insert(after, sight);
    let mut octets: usize = sights.iter().map(|sight| weight(sight)).sum();
    while octets > MOST_OF_ONE && sights.len() > 1 {
        octets -= weight(&sights.remove(0));
    }
}

/// What the store is to keep: the latest that fit. `None` where nothing does.
pub(super) fn record(sights: &[Arc<Sight>]) -> Option<Vec<u8>> {
    let (mut texts, mut octets) = (Vec::new(), 2);
    for sight in sights.iter().rev() {
        let text = serde_json::to_string(&**sight).ok()?;
        octets += text.len() + 1;
        if octets > MOST_STORED {
            break;
        }
        texts.push(text);
    }
    texts.reverse();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(",")).into_bytes())
}

/// What the store was given.
#[derive(Default)]
pub(super) struct Shelf {
    records: HashMap<SocketAddr, (usize, UnixTime)>,
    octets: usize,
}

impl Shelf {
    /// Whether there is room for one more record, which is counted where there is.
    pub(super) fn takes(
        &mut self,
        (address, octets): (SocketAddr, usize),
        expires: UnixTime,
        now: UnixTime,
    ) -> bool {
        let most = if octets > LARGE { MOST_OF_STORE / 2 } else { MOST_OF_STORE };
        if self.without(address) + octets > most {
            self.records.retain(|_, (_, until)| *until > now);
            self.octets = self.records.values().map(|(octets, _)| octets).sum();
        }
        let others = self.without(address);
        if others + octets > most {
            return false;
        }
        self.records.insert(address, (octets, expires));
        self.octets = others + octets;
        true
    }

    fn without(&self, address: SocketAddr) -> usize {
        let known = self.records.get(&address).map_or(0, |(octets, _)| *octets);
        self.octets.saturating_sub(known)
    }
}
