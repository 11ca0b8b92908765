//! The name servers of a zone, asked themselves: no cache in between, and none left out in silence.
//! They are strangers: bounded in number, time and size, and never at a private address. Here they
//! are found and dialled; what is made of their answers is the matter of those who ask.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dns::Answer,
    dnssec::{Name, NotAnAnswer, Question, RecordType, Response, RrSet, Truncation},
    domain::Domain,
    publish::lifetime::lifetime,
    time::UnixTime,
};

use super::{
    Record, Resolver,
    exchange::{Failure, Whom, datagram, framed, query, random_id},
    typed,
};
use crate::{
    dial::{Dialler, Families},
    gather,
};

/// Name servers that are asked; the root has thirteen.
pub(super) const MOST_SERVERS: usize = 13;
/// Addresses of one server that are asked.
pub(super) const MOST_ADDRESSES: usize = 4;
/// Where DNS is.
const PORT: u16 = 53;
/// Labels that are walked up to find the zone.
const MOST_LABELS: usize = 24;
/// For one server of the zone above: connection, question and answer.
const PATIENCE_ABOVE: Duration = Duration::from_secs(5);
/// Servers of the zone above that are tried where one that answers will do.
const MOST_TRIED: usize = 3;
/// How long a delegation is good for others who ask in the same look.
const DELEGATION_KEPT: Duration = Duration::from_secs(60);

/// How long a server that said nothing is left alone by all who ask each server: as long as a look lasts.
const SILENCE_KEPT: Duration = Duration::from_secs(300);
/// Silent servers that are remembered; more are waited for anew.
const MOST_SILENT: usize = 256;

/// Addresses of servers that said nothing: when, and in words.
pub(super) type Silent = HashMap<IpAddr, (Instant, String)>;

/// Delegations that were asked for a moment ago.
pub(super) type Delegations = HashMap<Domain, (Instant, Result<BTreeSet<Domain>, String>)>;

/// A zone and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apex {
    /// The name at the top of the zone.
    pub zone: Domain,
    /// The names in its NS records.
    pub servers: Vec<Domain>,
}

impl Resolver {
    /// The zone that a name is in, and its name servers.
    ///
    /// # Errors
    /// It could not be found out, in one sentence.
    pub async fn apex(&self, name: &Domain) -> Result<Apex, String> {
        let mut at = Some(name.clone());
        for _ in 0..MOST_LABELS {
            let Some(here) = at else { break };
            let found = self.lookup(&here, RecordType::NS).await;
            match &found.answer {
                // An alias has no name servers of its own (RFC 1034 §3.6.2).
                Answer::Found { value, .. } if found.aliases.is_empty() => {
                    let name = |record: &Record| Name::from_octets(&record.rdata)?.to_domain();
                    let servers: Option<Vec<Domain>> = value.iter().map(name).collect();
                    return match servers {
                        Some(servers) => Ok(Apex { zone: here, servers }),
                        // Left out in silence it would never be asked.
                        None => {
                            Err(format!("{here} has a name server whose name no host can have"))
                        }
                    };
                }
                Answer::Found { .. } | Answer::Absent { .. } => {}
                Answer::Failed(failure) => return Err(failure.to_string()),
            }
            at = here.parent();
        }
        Err(format!("{name} is in no zone that could be found"))
    }

    /// The servers that the zone above sends resolvers to (RFC 1034 §4.3.2): its NS records count until
    /// those of the zone are seen, and for ever where the zone has forgotten a server. Every server of the
    /// zone above is asked, at one address; what any of them names counts.
    ///
    /// # Errors
    /// None of them said anything of it, in one sentence.
    pub(super) async fn delegation(
        &self,
        zone: &Domain,
        dialler: &Dialler,
    ) -> Result<BTreeSet<Domain>, String> {
        // Hosts of one zone come one after the other; the zone above is a stranger's.
        let mut known = self.0.delegations.lock().await;
        if let Some((_, found)) = known.get(zone).filter(|(at, _)| at.elapsed() < DELEGATION_KEPT) {
            return found.clone();
        }
        let found = self.ask_for_delegation(zone, dialler).await;
        known.retain(|_, (at, _)| at.elapsed() < DELEGATION_KEPT);
        known.insert(zone.clone(), (Instant::now(), found.clone()));
        found
    }

    /// What was noted of a server that said nothing a moment ago.
    pub(super) fn silence(&self, address: IpAddr) -> Option<String> {
        let silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, why) = silent.get(&address)?;
        (at.elapsed() < SILENCE_KEPT).then(|| why.clone())
    }

    /// Notes that a server said nothing for as long as anybody waits for it.
    pub(super) fn note_silence(&self, address: IpAddr, why: &str) {
        let mut silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, (at, _)| at.elapsed() < SILENCE_KEPT);
        if silent.len() < MOST_SILENT {
            silent.insert(address, (Instant::now(), why.to_owned()));
        }
    }

    /// The same as one server of the zone above says it: who looks at thousands of domains of strangers asks
    /// their registries no more than any resolver does.
    ///
    /// # Errors
    /// None of the first three answers, in one sentence.
    pub(super) async fn delegation_from_one(
        &self,
        zone: &Domain,
        dialler: &Dialler,
    ) -> Result<BTreeSet<Domain>, String> {
        let (above, servers) = self.above(zone).await?;
        let question = Question::new(Name::from(zone), RecordType::NS);
        let mut why = format!("no server of {above} is known");
        for server in servers.into_iter().take(MOST_TRIED) {
            match timeout(PATIENCE_ABOVE, self.ask_above(&server, &question, dialler)).await {
                Ok(Ok(named)) => return Ok(named.into_iter().collect()),
                Ok(Err(error)) => why = format!("{server}: {error}"),
                Err(_) => why = format!("{server}: no answer in time"),
            }
        }
        Err(why)
    }

    async fn ask_for_delegation(
        &self,
        zone: &Domain,
        dialler: &Dialler,
    ) -> Result<BTreeSet<Domain>, String> {
        let (above, servers) = self.above(zone).await?;
        let question = Question::new(Name::from(zone), RecordType::NS);
        let mut asking = JoinSet::new();
        for server in servers.into_iter().take(MOST_SERVERS) {
            let (resolver, dialler, question) = (self.clone(), dialler.clone(), question.clone());
            asking.spawn(async move {
                let asked = resolver.ask_above(&server, &question, &dialler);
                let said = timeout(PATIENCE_ABOVE, asked).await;
                said.unwrap_or_else(|_| Err("no answer in time".to_owned()))
                    .map_err(|why| format!("{server}: {why}"))
            });
        }
        let (mut named, mut failed) = (None::<BTreeSet<Domain>>, Vec::new());
        for said in asking.join_all().await {
            match said {
                Ok(servers) => named.get_or_insert_default().extend(servers),
                Err(why) => failed.push(why),
            }
        }
        failed.sort();
        failed.truncate(2);
        named.ok_or_else(|| {
            format!(
                "no server of {above}, the zone above, says whom it names: {}",
                failed.join(", ")
            )
        })
    }

    /// The zone above a zone, and its servers. It may be the root.
    async fn above(&self, zone: &Domain) -> Result<(Name, Vec<Domain>), String> {
        let mut at = Name::from(zone).parent();
        for _ in 0..MOST_LABELS {
            let Some(here) = at else { break };
            let found = self.lookup_at(&here, RecordType::NS).await;
            match found.answer {
                Answer::Found { value, .. } if found.aliases.is_empty() => {
                    let name = |record: &Record| Name::from_octets(&record.rdata)?.to_domain();
                    return Ok((here, value.iter().filter_map(name).collect()));
                }
                Answer::Found { .. } | Answer::Absent { .. } => {}
                Answer::Failed(failure) => return Err(failure.to_string()),
            }
            at = here.parent();
        }
        Err(format!("the zone above {zone} could not be found"))
    }

    /// What one server of the zone above says of the zone: a referral, or, where it has the zone itself, the
    /// zone's own records.
    async fn ask_above(
        &self,
        server: &Domain,
        question: &Question,
        dialler: &Dialler,
    ) -> Result<Vec<Domain>, String> {
        let found = self.server_addresses(server).await;
        let mut why = found.failed.into_iter().next().unwrap_or_else(|| "it has no address".into());
        for address in found.addresses.into_iter().take(MOST_ADDRESSES) {
            if gather::hostile(address).is_some() {
                "it has no public address".clone_into(&mut why);
                continue;
            }
            if let Err(no) = way_to(address, dialler) {
                why = no;
                continue;
            }
            let now = self.0.settings.clock.now();
            let said = Server::new(address, dialler).ask_over_tcp(question, now).await;
            match said.map_err(|error| error.to_string()).and_then(|said| {
                named(&said.response.map_err(|error| error.to_string())?, question)
            }) {
                Ok(servers) => return Ok(servers),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// All addresses of a name server. Both families are asked for, and a family that could not be looked
    /// up is a failure of its own: whoever hides it hides a server.
    pub(super) async fn server_addresses(&self, server: &Domain) -> ServerAddresses {
        let (v4, v6) =
            tokio::join!(self.lookup(server, RecordType::A), self.lookup(server, RecordType::AAAA));
        let mut found = ServerAddresses::default();
        let families = [("IPv4", v4.read(typed::a).answer), ("IPv6", v6.read(typed::aaaa).answer)];
        for (family, answer) in families {
            match answer {
                Answer::Found { value, .. } => found.addresses.extend(value),
                Answer::Absent { .. } => {}
                Answer::Failed(failure) => {
                    let why = format!("its {family} addresses could not be looked up: {failure}");
                    found.failed.push(why);
                }
            }
        }
        found
    }

    /// The addresses at which a name server is asked. Private ones are among them: whoever asks
    /// says that they are not.
    ///
    /// # Errors
    /// There is none, in one sentence.
    pub(super) async fn addresses_of_server(
        &self,
        server: &Domain,
        families: Families,
    ) -> Result<Vec<IpAddr>, String> {
        let all = match self.addresses(server).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => return Err("it has no address".to_owned()),
            Answer::Failed(failure) => return Err(failure.to_string()),
        };
        let asked = all.into_iter().filter(|address| families.allow(*address));
        let asked: Vec<_> = asked.take(MOST_ADDRESSES).collect();
        match asked.is_empty() {
            true => Err("it has no address in the families of [delivery]".to_owned()),
            false => Ok(asked),
        }
    }
}

/// The addresses of one name server, as DNS has them.
#[derive(Debug, Default)]
pub(super) struct ServerAddresses {
    pub(super) addresses: Vec<IpAddr>,
    /// Families of addresses that are not known, and why.
    pub(super) failed: Vec<String>,
}

/// The servers that a response names for the zone of the question: as an answer or as a referral.
///
/// # Errors
/// It names none, or one that nobody could ask: left out in silence it would never be asked.
pub(super) fn named(response: &Response, question: &Question) -> Result<Vec<Domain>, String> {
    let is_ns = |set: &&Arc<RrSet>| set.owner == question.name && set.record_type == RecordType::NS;
    let Some(set) = response.sets.iter().find(is_ns) else {
        return Err(format!("no NS records (RCODE {})", response.rcode));
    };
    let name = |rdata: &Vec<u8>| Name::from_octets(rdata)?.to_domain();
    let servers: Option<Vec<Domain>> = set.rdata.iter().map(name).collect();
    servers.ok_or_else(|| "it names a server whose name no host can have".to_owned())
}

/// Whether this machine has a way to an address.
///
/// # Errors
/// It has none, in words.
pub(super) fn way_to(address: IpAddr, dialler: &Dialler) -> Result<(), String> {
    dialler.way_to(SocketAddr::new(address, PORT))
}

/// One address of a name server. Callers limit the time.
#[derive(Clone, Debug)]
pub(super) struct Server {
    at: SocketAddr,
    dialler: Dialler,
}

/// What a server said over TCP.
pub(super) struct Said {
    pub(super) response: Result<Response, NotAnAnswer>,
    pub(super) voice: Voice,
    /// How long caches may hold it, at most.
    pub(super) lifetime: Duration,
}

/// In which capacity a server answers: one that is not set up for the zone may answer from a cache
/// (AA, RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Authority,
    Other,
}

impl Server {
    pub(super) fn new(address: IpAddr, dialler: &Dialler) -> Self {
        Self::at(SocketAddr::new(address, PORT), dialler)
    }

    /// One that listens elsewhere.
    pub(super) fn at(at: SocketAddr, dialler: &Dialler) -> Self {
        Self { at, dialler: dialler.clone() }
    }

    /// Over UDP, and again over TCP where the answer does not fit.
    pub(super) async fn ask(
        &self,
        question: &Question,
        now: UnixTime,
    ) -> Result<Response, Failure> {
        let to = (self.dialler.target(self.at), Whom::Authority);
        let response = datagram(to, question, now).await?;
        match response.truncation {
            Truncation::Whole => Ok(response),
            Truncation::Truncated => {
                let said = self.ask_over_tcp(question, now).await;
                let said = said.map_err(|error| Failure::io(self.at, &error))?;
                said.response.map_err(|error| Failure::malformed(self.at, error))
            }
        }
    }

    /// Over TCP, which each has to offer (RFC 7766 §5, RFC 9210): no answer is forged by who cannot
    /// see the question, and none is cut short.
    pub(super) async fn ask_over_tcp(
        &self,
        question: &Question,
        now: UnixTime,
    ) -> io::Result<Said> {
        let mut stream = self.dialler.connect(self.at).await?;
        let id = random_id();
        let message = framed(&mut stream, &query(Whom::Authority, question, id)).await?;
        let voice = match message.get(2).is_some_and(|flags| flags & 0x04 != 0) {
            true => Voice::Authority,
            false => Voice::Other,
        };
        let lifetime = lifetime(&message, question);
        Ok(Said { response: Response::parse(&message, id, question, now), voice, lifetime })
    }
}
