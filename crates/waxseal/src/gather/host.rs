//! What is known of one host: addresses first, TLSA only where they are secure or securely aliased
//! (RFC 7672 §2.2.2).

use std::net::IpAddr;

use waxseal_core::{
    dane::{self, Reach, Read},
    dns::{Answer, Authenticity, FailureKind, LookupFailure},
    domain::Domain,
    facts::{Dane, HostFacts, NoTlsa, Peer, Refused},
    time::UnixTime,
};

use super::{Gatherer, LONGEST, Noted, Notes, Ourselves, RouteTarget, Shared, hostile};
use crate::resolve::Lookup;

/// The most addresses of one host that are kept.
const MAX_ADDRESSES: usize = 16;

impl Gatherer {
    /// What would be known of a host if an MX record of preference 0 named it: the same addresses are
    /// refused.
    pub async fn host(&self, name: &Domain, now: UnixTime) -> HostFacts {
        self.0.exchanger(name.clone(), 0, now).await.fact
    }
}

impl Shared {
    /// An MX host, or the destination itself.
    pub(super) async fn exchanger(
        &self,
        name: Domain,
        preference: u16,
        now: UnixTime,
    ) -> Noted<HostFacts> {
        let own = &self.settings.own;
        let is_own = own.names.contains(&name);
        let looked_at = self.ourselves == Ourselves::LookedAt;
        let judge = |address| match own.refuses(address) {
            // An address inside is refused as ours, and is no mistake.
            why if is_own || why == Some(Refused::Own) => match looked_at {
                true => hostile(address).map(|_| Refused::Own),
                false => Some(Refused::Own),
            },
            why => why,
        };
        let wanted = Wanted { name: &name, preference, port: self.settings.port, judge: &judge };
        self.host(wanted, now).await
    }

    /// The host of a `[[route]]`: any address but those that nobody can mean.
    pub(super) async fn named(&self, target: &RouteTarget, now: UnixTime) -> Noted<HostFacts> {
        let name = match &target.host {
            Peer::Name(name) => name,
            Peer::Literal(address) => return literal(*address, target.port, now),
        };
        let judge = |address: IpAddr| {
            let nowhere = address.is_unspecified() || address.is_multicast();
            nowhere.then_some(Refused::Special)
        };
        let wanted = Wanted { name, preference: 0, port: target.port, judge: &judge };
        self.host(wanted, now).await
    }

    async fn host(&self, wanted: Wanted<'_>, now: UnixTime) -> Noted<HostFacts> {
        let Wanted { name, preference, port, judge } = wanted;
        let mut notes = Notes { until: now + LONGEST, blobs: Vec::new() };
        let lookup = self.dns.addresses(name).await;
        notes.lookup(&lookup, now);
        let bases = reach(&lookup).map(|reach| dane::bases(name, &reach)).unwrap_or_default();
        let expanded = lookup.secure_expansion();
        let mut refused = Vec::new();
        let mut addresses = lookup.map(|all| sort_out(all, judge, &mut refused)).answer;
        let inside = refused.iter().any(|(_, why)| *why == Refused::Own);
        if self.ourselves == Ourselves::LookedAt && inside {
            addresses = Answer::Failed(LookupFailure {
                name: name.into(),
                kind: FailureKind::Indeterminate,
                detail: "it is this gateway, seen from inside: not looked at".into(),
            });
        }
        let dane = match &addresses {
            Answer::Failed(failure) => Dane::LookupFailed(failure.clone()),
            Answer::Found { value, .. } if !value.is_empty() => {
                self.dane(bases, port, &mut notes, now).await
            }
            Answer::Found { .. } | Answer::Absent { .. } => Dane::Absent(NoTlsa::NoAddress),
        };
        let host = Peer::Name(name.clone());
        let fact = HostFacts { host, preference, port, addresses, refused, expanded, dane };
        let Notes { until, blobs } = notes;
        Noted { fact, until, blobs }
    }

    async fn dane(&self, bases: Vec<Domain>, port: u16, notes: &mut Notes, now: UnixTime) -> Dane {
        let mut absent = NoTlsa::InsecureAddress;
        for base in bases {
            // A name that is too long to exist has no records.
            let Ok(owner) = dane::owner(&base, port) else {
                absent = NoTlsa::Denied;
                continue;
            };
            let lookup = self.dns.tlsa(&owner).await;
            notes.lookup(&lookup, now);
            match dane::read(&base, lookup.answer) {
                Read::Is(dane) => return dane,
                Read::Next(why) => absent = why,
            }
        }
        Dane::Absent(absent)
    }
}

/// One host to ask about.
struct Wanted<'a> {
    name: &'a Domain,
    preference: u16,
    port: u16,
    judge: &'a (dyn Fn(IpAddr) -> Option<Refused> + Sync),
}

/// An address that the administrator wrote down.
fn literal(address: IpAddr, port: u16, now: UnixTime) -> Noted<HostFacts> {
    let addresses = Answer::Found {
        value: vec![address],
        // Nobody on the path wrote it: it is in our configuration.
        authenticity: Authenticity::Secure,
        expires: now + LONGEST,
        chain: None,
    };
    let fact = HostFacts {
        host: Peer::Literal(address),
        preference: 0,
        port,
        addresses,
        refused: Vec::new(),
        expanded: None,
        dane: Dane::Absent(NoTlsa::Literal),
    };
    Noted { fact, until: now + LONGEST, blobs: Vec::new() }
}

/// How a host leads to its addresses; `None` where it does not.
fn reach(lookup: &Lookup<Vec<IpAddr>>) -> Option<Reach> {
    let Answer::Found { authenticity, .. } = &lookup.answer else { return None };
    Some(match lookup.aliases.first() {
        None => Reach::Direct(*authenticity),
        Some(step) => Reach::Aliased {
            first: step.authenticity,
            expanded: match authenticity {
                Authenticity::Secure => lookup.secure_expansion(),
                Authenticity::Insecure => None,
            },
        },
    })
}

/// Addresses that may be connected to; the others go to `refused`.
fn sort_out(
    all: Vec<IpAddr>,
    judge: &dyn Fn(IpAddr) -> Option<Refused>,
    refused: &mut Vec<(IpAddr, Refused)>,
) -> Vec<IpAddr> {
    let mut good = Vec::new();
    for address in all {
        match judge(address) {
            Some(why) if refused.len() < MAX_ADDRESSES => refused.push((address, why)),
            None if good.len() < MAX_ADDRESSES && !good.contains(&address) => good.push(address),
            Some(_) | None => {}
        }
    }
    // One address of ours is enough for a loop: the host is we, whatever else it has.
    if refused.iter().any(|(_, why)| *why == Refused::Own) {
        good.clear();
    }
    good
}
