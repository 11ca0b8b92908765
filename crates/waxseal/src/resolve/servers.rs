//! The name servers of a zone, asked themselves: no cache in between, and none left out in silence.
//! They are strangers: bounded in number, time and size, and never at a private address. Here they
//! are found and dialled; what is made of their answers is the matter of those who ask.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use waxseal_core::{
    dns::Answer,
    dnssec::{Name, NotAnAnswer, Question, RecordType, Response, Truncation},
    domain::Domain,
    time::UnixTime,
};

use super::{
    Record, Resolver,
    exchange::{Failure, Whom, datagram, framed, query, random_id},
};
use crate::dial::{Dialler, Families};

/// Name servers that are asked; the root has thirteen.
pub(super) const MOST_SERVERS: usize = 13;
/// Addresses of one server that are asked.
const MOST_ADDRESSES: usize = 4;
/// Where DNS is.
const PORT: u16 = 53;
/// Labels that are walked up to find the zone.
const MOST_LABELS: usize = 24;

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
        Self { at: SocketAddr::new(address, PORT), dialler: dialler.clone() }
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
        Ok(Said { response: Response::parse(&message, id, question, now), voice })
    }
}
