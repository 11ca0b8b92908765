//! Who answers for the zone of a domain of ours, and since when.
//!
//! Whoever took over the account at the registrar says which servers resolvers are sent to (RFC 1034
//! §4.2.2). They may leave some of the old ones in place, and they may wait. So what counts is whether
//! a server that was there long before says the same.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::ours::NOBODY;
use crate::{
    assess::{Delegation, HostSurvey, NameServer, NameServers, ServerAnswer, Servers, Survey},
    domain::Domain,
    memory::TERM,
    time::UnixTime,
};

/// Names, and addresses, that are remembered: those that are there longest. A zone has thirteen servers at
/// most that we ask.
const MOST: usize = 64;

/// The name servers of one domain, as they were seen. What is there for thirty days is how the domain is,
/// and so is what was there at the first look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepers {
    names: BTreeMap<Domain, Span>,
    addresses: BTreeMap<IpAddr, Span>,
}

/// When something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// `None`: at the first look.
    since: Option<UnixTime>,
    last: UnixTime,
}

impl Span {
    fn is_long(self, now: UnixTime) -> bool {
        self.since.is_none_or(|since| now.since(since) > TERM)
    }
}

impl Keepers {
    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes in who answers now.
    pub fn observe(&mut self, survey: &Survey, now: UnixTime) {
        note(&mut self.names, names(survey), now);
        note(&mut self.addresses, asked(survey).iter().map(|server| server.address), now);
    }

    /// Mail hosts that servers name which were not there long before, and none that was. Whoever delegates
    /// the zone anew signs with keys of their own, or does not care: senders that validate nothing go there
    /// all the same.
    pub(super) fn named_by_new_ones(&self, survey: &Survey, now: UnixTime) -> Vec<String> {
        let (old, new) = self.sides(survey, now);
        let said = new.iter().flat_map(|server| mx(server, survey));
        let hosts = said.flat_map(|answer| hosts(answer, survey));
        let mut hosts: Vec<_> = hosts.filter(|host| !says(&old, survey, host)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// Whether the zone is at servers that were not there long before, and none that was says that mail
    /// goes to this host: they say otherwise, say nothing, or are gone. Where no server could be asked
    /// it is known only whether all of them have other names.
    pub(super) fn moved(&self, survey: &Survey, host: &str, now: UnixTime) -> bool {
        let (old, new) = self.sides(survey, now);
        match old.is_empty() && new.is_empty() {
            true => self.all_new(survey, now),
            false => !new.is_empty() && !says(&old, survey, host),
        }
    }

    /// Whether the zone is at servers that were not there long before, and none that was says of a mail host
    /// within the domain that it is where they say.
    pub(super) fn moved_host(&self, survey: &Survey, host: &HostSurvey, now: UnixTime) -> bool {
        let (old, new) = self.sides(survey, now);
        let strange = match old.is_empty() && new.is_empty() {
            true => self.all_new(survey, now),
            false => !new.is_empty(),
        };
        // Whoever has the domain can make a zone of its own for the host.
        strange && (host.zone.zone != survey.zone.zone || !self.agree(survey, host, now))
    }

    /// Whether the zone is at servers that all have other names than those that were there long before.
    fn all_new(&self, survey: &Survey, now: UnixTime) -> bool {
        let mut names = names(survey).peekable();
        let any = !self.is_empty() && names.peek().is_some();
        any && names.all(|name| !self.is_known(&name, now))
    }

    /// Whether servers that were there long before say the same of the addresses of a host as the others.
    fn agree(&self, survey: &Survey, host: &HostSurvey, now: UnixTime) -> bool {
        let Servers::Asked(servers) = &host.zone.servers else { return false };
        let (old, new) = self.split(servers, survey, now);
        let of = |servers: &[&'_ NameServer]| -> Vec<ServerAnswer> {
            let answers = servers.iter().flat_map(|server| &server.answers);
            let about = |answer: &&ServerAnswer| {
                answer.name == host.host
                    && matches!(answer.record_type.as_str(), "A" | "AAAA")
                    && answer.digest.is_ok()
                    && answer.bogus.is_none()
            };
            answers.filter(about).cloned().collect()
        };
        let (old, new) = (of(&old), of(&new));
        let same = |one: &ServerAnswer| {
            let mut old = old.iter();
            old.any(|other| (&other.record_type, &other.digest) == (&one.record_type, &one.digest))
        };
        !new.is_empty() && new.iter().all(same)
    }

    /// Servers that answered or should have, by whether they were there long before.
    fn sides<'s>(
        &self,
        survey: &'s Survey,
        now: UnixTime,
    ) -> (Vec<&'s NameServer>, Vec<&'s NameServer>) {
        self.split(asked(survey), survey, now)
    }

    fn split<'s>(
        &self,
        servers: &'s [NameServer],
        survey: &Survey,
        now: UnixTime,
    ) -> (Vec<&'s NameServer>, Vec<&'s NameServer>) {
        // The registrar has the addresses of servers inside the zone as well (glue); other
        // names are kept by whoever runs the server, who may give it another address.
        let is_old = |server: &&NameServer| {
            let glued = server.name.is_within(&survey.zone.zone) && !self.addresses.is_empty();
            let address = self.addresses.get(&server.address);
            address.is_some_and(|span| span.is_long(now))
                || (!glued && self.is_known(&server.name, now))
        };
        match self.is_empty() {
            true => (servers.iter().collect(), Vec::new()),
            false => servers.iter().partition(is_old),
        }
    }

    fn is_known(&self, name: &Domain, now: UnixTime) -> bool {
        self.names.get(name).is_some_and(|span| span.is_long(now))
    }
}

fn note<K: Clone + Ord>(
    known: &mut BTreeMap<K, Span>,
    seen: impl Iterator<Item = K>,
    now: UnixTime,
) {
    let mut seen = seen.peekable();
    if seen.peek().is_none() {
        // That nobody answers takes nobody's place: whoever answers after a month is new.
        return;
    }
    let since = if known.is_empty() { None } else { Some(now) };
    for one in seen {
        known.entry(one).or_insert(Span { since, last: now }).last = now;
    }
    known.retain(|_, span| now.since(span.last) <= TERM);
    while known.len() > MOST {
        let newest = known.iter().max_by_key(|(_, span)| span.since);
        let Some(newest) = newest.map(|(one, _)| one.clone()) else { break };
        known.remove(&newest);
    }
}

/// As the zone itself and the zone above name them.
fn names(survey: &Survey) -> impl Iterator<Item = Domain> {
    let within: Vec<_> = match &survey.name_servers {
        NameServers::Found(servers) => servers.iter().map(|server| server.name.clone()).collect(),
        NameServers::NotAsked | NameServers::Failed(_) => Vec::new(),
    };
    let above = match &survey.zone.delegation {
        Delegation::Compared { above_only, .. } => above_only.clone(),
        Delegation::NotAsked | Delegation::Failed(_) => Vec::new(),
    };
    within.into_iter().chain(above)
}

fn asked(survey: &Survey) -> &[NameServer] {
    match &survey.zone.servers {
        Servers::Asked(servers) => servers,
        Servers::NotAsked(_) | Servers::Unreached(_) => &[],
    }
}

/// What a server says of the MX records of the domain.
fn mx<'s>(server: &'s NameServer, survey: &Survey) -> impl Iterator<Item = &'s ServerAnswer> {
    let domain = &survey.facts.destination;
    server.answers.iter().filter(move |answer| {
        (&answer.name, answer.record_type.as_str()) == (domain, "MX") && answer.digest.is_ok()
    })
}

/// Where an answer says that mail goes. Without MX records it goes to the domain itself (RFC 5321 §5.1).
fn hosts(answer: &ServerAnswer, survey: &Survey) -> Vec<String> {
    match answer.records {
        0 => vec![survey.facts.destination.to_string()],
        _ => {
            let names = answer.exchanges.iter();
            let name = |name: &Option<Domain>| {
                name.as_ref().map_or_else(|| NOBODY.to_owned(), Domain::to_string)
            };
            names.map(name).collect()
        }
    }
}

/// Whether one of these servers says that mail goes there, by MX records whose signatures hold as far as
/// they were judged.
fn says(servers: &[&NameServer], survey: &Survey, host: &str) -> bool {
    let said = servers.iter().flat_map(|server| mx(server, survey));
    let mut held = said.filter(|answer| answer.bogus.is_none());
    held.any(|answer| hosts(answer, survey).iter().any(|named| named == host))
}
