//! What the world sees of one MX host of ours: its records at each server, and the keys that it shows.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinSet;
use waxseal_core::{
    assess::{Observed, Unprobed},
    dane,
    dns::{Answer, FailureKind, LookupFailure},
    dnssec::RecordType,
    domain::Domain,
    publish::{
        self, Act, Finding, HostMemory, Standing,
        gate::{self, Item},
        shown::{Chain, Held, HostShown, Place},
    },
    time::UnixTime,
};

use super::{Depth, Looker, Zone, behind, nobody};
use crate::{
    gather,
    publish::wanted::HostWanted,
    resolve::as_tlsa,
    survey::probe::{Deliveries, Enough, Target},
};

/// Addresses of one MX host that are asked which keys they show.
const MOST_ADDRESSES: usize = 8;
/// Where mail is taken.
const PORT: u16 = 25;
/// An MX host as the world sees it.
#[derive(Clone, Debug)]
pub struct HostLook {
    /// Its name.
    pub host: Domain,
    /// When it was looked at.
    pub at: UnixTime,
    /// Whether its keys may change.
    pub doors: Vec<Item>,
    /// Which keys it shows; `None` where nobody asked.
    pub shown: Option<HostShown>,
    /// The same keys, and what the configuration says of each.
    pub places: Vec<(Chain, Place)>,
    /// Its TLSA records, where a key is configured.
    pub tlsa: Option<Finding>,
    /// TLSRPT of its own, where it is wanted.
    pub tlsrpt: Option<Finding>,
    /// What its zone lacks.
    pub zone: Option<Zone>,
}

impl HostLook {
    /// Whether its TLSA records may lack the key in use, for nobody could see which it shows.
    pub fn is_unseen(&self) -> bool {
        self.tlsa.is_some() && self.shown.as_ref().is_some_and(|shown| !shown.unknown.is_empty())
    }

    /// Why its first TLSA records would be published blindly: nobody could see whether they cover the keys
    /// that it shows (port 25 is often closed to such machines). `None` where they are not the first, where
    /// that was seen, or where nobody was to look.
    pub fn blind(&self) -> Option<String> {
        let tlsa = self.tlsa.as_ref().filter(|tlsa| tlsa.is_first())?;
        match self.shown.as_ref()?.holds(&tlsa.tlsa(), self.at)? {
            Held::Unknown(why) => Some(why),
            Held::Shown(_) => None,
        }
    }

    /// Takes first TLSA records that would be published blindly out of what is to be pasted.
    pub fn hold_first(&mut self) {
        if self.blind().is_none() {
            return;
        }
        let host = &self.host;
        if let Some(tlsa) = self.tlsa.as_mut().filter(|tlsa| tlsa.act == Act::Add) {
            tlsa.act = Act::ByHand;
            tlsa.fix = format!(
                "NOT YET: these would be its first, and without the key that {host} shows all senders with \
                 DANE refuse its mail. Run this on a machine with a way to port 25 of it, or compare on \
                 {host} itself before you publish them"
            );
        }
    }
}

impl Looker {
    /// The records of one host. What its servers say is noted in `memory`: the TTL of what stands there
    /// counts for the next change of it.
    pub async fn host(
        &self,
        wanted: &HostWanted,
        depth: Depth,
        memory: &mut HostMemory,
        now: UnixTime,
    ) -> HostLook {
        let host = wanted.keys.host.clone();
        let doors = self.keys(wanted, memory, now).await;
        let shown: Option<HostShown> = match depth {
            Depth::Shown if !wanted.records.is_empty() => Some(self.shown(&host, now).await),
            Depth::Shown | Depth::Published => None,
        };
        let places = shown.iter().flat_map(|shown| shown.places(&wanted.keys, now));
        let places = places.map(|(chain, place)| (chain.clone(), place)).collect();
        let mut tlsa = self.tlsa(&host, wanted.records.clone()).await;
        rash(&mut tlsa, shown.as_ref(), now);
        let tlsa = (!wanted.records.is_empty()).then_some(tlsa);
        let tlsrpt = match &wanted.tlsrpt {
            Some(record) => Some(self.text(record, "v=TLSRPTv1").await),
            None => None,
        };
        let zone = match self.resolver.apex(&host).await {
            Ok(apex) => Some(self.zone(apex.zone).await),
            Err(_) => None,
        };
        HostLook { host, at: now, doors, shown, places, tlsa, tlsrpt, zone }
    }

    async fn tlsa(&self, host: &Domain, records: Vec<publish::Record>) -> Finding {
        match dane::owner(host, PORT) {
            Ok(owner) => {
                let lookup = self.resolver.tlsa(&owner).await;
                behind(publish::tlsa(host, records, &lookup.answer), &lookup)
            }
            Err(error) => {
                let kind = FailureKind::Malformed;
                let (name, detail) = (host.into(), error.to_string());
                publish::tlsa(host, records, &Answer::Failed(LookupFailure { name, kind, detail }))
            }
        }
    }

    /// The doors of one host: every server asked directly.
    pub async fn keys(
        &self,
        wanted: &HostWanted,
        memory: &mut HostMemory,
        now: UnixTime,
    ) -> Vec<Item> {
        let host = &wanted.keys.host;
        let views = match dane::owner(host, PORT) {
            Ok(owner) => self.resolver.ask_all(&owner, RecordType::TLSA, &self.dialler).await,
            Err(error) => Err(error.to_string()),
        };
        let views = views.map(as_tlsa).unwrap_or_else(|why| nobody(host, why));
        gate::keys(&wanted.keys, &views, memory, now)
    }

    /// Which keys an MX host of ours shows at each of its addresses.
    pub async fn shown(&self, host: &Domain, now: UnixTime) -> HostShown {
        let addresses = match self.resolver.addresses(host).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => {
                return HostShown::lost(host.clone(), format!("{host} has no address"));
            }
            Answer::Failed(failure) => return HostShown::lost(host.clone(), failure.to_string()),
        };
        let mut shown = HostShown::new(host.clone());
        let mut asking = JoinSet::new();
        for (place, ip) in addresses.into_iter().enumerate() {
            let refused = match gather::hostile(ip) {
                Some(_) => Some(Unprobed::Refused("no public address".to_owned())),
                None => (place >= MOST_ADDRESSES).then_some(Unprobed::OverLimit),
            };
            if let Some(why) = refused {
                shown.add(ip, &Observed::Not(why));
                continue;
            }
            let (prober, address) = (self.prober.clone(), SocketAddr::new(ip, PORT));
            let target = Target { host: host.clone(), sni: host.clone(), address };
            asking.spawn(async move {
                let enough = Enough { oldest: Duration::ZERO, deliveries: Deliveries::DoNotCount };
                (ip, prober.probe(&target, enough, now).await)
            });
        }
        let mut seen = asking.join_all().await;
        seen.sort_by_key(|(ip, _)| *ip);
        seen.iter().for_each(|(ip, observed)| shown.add(*ip, observed));
        shown
    }

    /// Whether a host has TLSA records that count.
    pub(super) async fn dane(&self, host: &Domain) -> Standing {
        let owner = match dane::owner(host, PORT) {
            Ok(owner) => owner,
            Err(error) => return Standing::Unknown { why: error.to_string() },
        };
        let answer = self.resolver.tlsa(&owner).await.answer;
        match answer {
            answer if answer.is_secure() => Standing::Live,
            Answer::Found { .. } => {
                Standing::Differs { found: vec!["unsigned records".to_owned()] }
            }
            Answer::Absent { .. } => Standing::Missing,
            Answer::Failed(failure) => Standing::Unknown { why: failure.to_string() },
        }
    }
}

/// The first TLSA records of a host are nothing to publish while it shows a key that they do not cover:
/// without any it takes mail from everybody, with these it would be refused at once by all who know them
/// (RFC 7672 §2.2).
fn rash(tlsa: &mut Finding, shown: Option<&HostShown>, now: UnixTime) {
    let held = shown.and_then(|shown| shown.holds(&tlsa.tlsa(), now));
    if let (Some(Held::Shown(why)), true) = (held, tlsa.is_first()) {
        tlsa.act = Act::ByHand;
        tlsa.fix = format!("not yet, for mail would be refused: {why}");
    }
}
