//! What each authoritative server of a name says, validated one by one: whether all of them have what
//! we published. They are asked over TCP, so that none is cut short.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dns::{Authenticity, Proof},
    dnssec::{Bundle, Finding, Name, Question, RecordType, Response, Truncation},
    domain::Domain,
    publish::gate::{Seen, ServerView},
};

use super::{
    Mx, Resolver,
    exchange::{framed, random_id},
    fetch::Freshness,
    servers::{MOST_SERVERS, Said, Server, Voice},
};
use crate::{dial::Dialler, gather};

/// For one server: connection, question and answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The records as each server gives them.
pub type Views = Vec<ServerView<Vec<Vec<u8>>>>;

impl Resolver {
    /// Asks every address of every authoritative server of `name`. Where the name is an alias, the
    /// servers of what it stands for.
    ///
    /// # Errors
    /// The servers could not be found, in one sentence.
    pub async fn ask_all(
        &self,
        name: &Domain,
        record_type: RecordType,
        dialler: &Dialler,
    ) -> Result<Views, String> {
        let name = self.lookup(name, record_type).await.expansion().unwrap_or_else(|| name.clone());
        let apex = self.apex(&name).await?;
        let question = Question::new(Name::from(&name), record_type);
        let mut views = Vec::new();
        let mut asking = JoinSet::new();
        for (nth, server) in apex.servers.into_iter().enumerate() {
            if nth >= MOST_SERVERS {
                let why = format!("not asked: more than {MOST_SERVERS} name servers");
                views.push(ServerView { server, address: None, seen: Seen::Failed(why) });
                continue;
            }
            let (resolver, dialler, question) = (self.clone(), dialler.clone(), question.clone());
            asking.spawn(async move { resolver.ask_server(server, &question, &dialler).await });
        }
        while let Some(done) = asking.join_next().await {
            views.extend(done.unwrap_or_default());
        }
        views.sort_by(|a, b| (&a.server, a.address).cmp(&(&b.server, b.address)));
        Ok(views)
    }

    /// One server at each of its addresses.
    async fn ask_server(&self, server: Domain, question: &Question, dialler: &Dialler) -> Views {
        let failed = |why: String| {
            vec![ServerView { server: server.clone(), address: None, seen: Seen::Failed(why) }]
        };
        let addresses = match self.addresses_of_server(&server, dialler.families()).await {
            Ok(addresses) => addresses,
            Err(why) => return failed(why),
        };
        let mut views = Vec::new();
        let mut beyond = None;
        for address in addresses {
            let seen = match gather::hostile(address) {
                Some(_) => Seen::Failed("not asked: no public address".to_owned()),
                None => match timeout(PATIENCE, self.ask_one(address, question, dialler)).await {
                    Ok(Ok(seen)) => seen,
                    // No way there from this machine says nothing about the server.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::NetworkUnreachable => {
                        beyond = Some(address);
                        continue;
                    }
                    Ok(Err(error)) => Seen::Failed(format!("no answer over TCP: {error}")),
                    Err(_) => Seen::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
                },
            };
            views.push(ServerView { server: server.clone(), address: Some(address), seen });
        }
        match beyond {
            Some(address) if views.is_empty() => {
                failed(format!("there is no route to {address} from here"))
            }
            Some(_) | None => views,
        }
    }

    async fn ask_one(
        &self,
        address: IpAddr,
        question: &Question,
        dialler: &Dialler,
    ) -> io::Result<Seen<Vec<Vec<u8>>>> {
        let now = self.0.settings.clock.now();
        let Said { response, voice } =
            Server::new(address, dialler).ask_over_tcp(question, now).await?;
        let response = match response {
            Ok(response) => response,
            Err(error) => return Ok(Seen::Unusable(error.to_string())),
        };
        if !matches!(response.rcode, 0 | 3) {
            return Ok(Seen::Unusable(format!("it answers with RCODE {}", response.rcode)));
        }
        if voice != Voice::Authority {
            return Ok(Seen::Unusable("it answers without authority for the zone".to_owned()));
        }
        if response.truncation == Truncation::Truncated {
            return Ok(Seen::Unusable("its answer is cut short over TCP".to_owned()));
        }
        Ok(self.judge(question, &response).await)
    }

    /// Validates the very answer of one server; keys and delegations come from the usual places.
    async fn judge(&self, question: &Question, response: &Response) -> Seen<Vec<Vec<u8>>> {
        let mut bundle = Bundle::new();
        bundle.add(question, response);
        let (mut found, _) = self.round(question, Freshness::Kept, bundle.clone()).await;
        if found.proof == Proof::Bogus {
            // The zone's keys may have changed since ours were kept.
            (found, _) = self.round(question, Freshness::Again, bundle).await;
        }
        let authenticity = match found.proof {
            Proof::Secure => Authenticity::Secure,
            Proof::Insecure => Authenticity::Insecure,
            Proof::Bogus => return Seen::Unusable(found.because),
            Proof::Indeterminate => return Seen::Failed(found.because),
        };
        let now = self.0.settings.clock.now();
        match found.finding {
            Finding::Records(value) => {
                let set = response.sets.iter().find(|set| {
                    set.owner == question.name && set.record_type == question.record_type
                });
                let Some(set) = set else {
                    return Seen::Unusable("it has an alias where others have records".to_owned());
                };
                // The TTL that was signed, for others may count it down (RFC 4034 §3.1.4).
                let signed = set.signatures.iter().map(|one| u64::from(one.original_ttl)).max();
                let ttl = signed.unwrap_or(0).max(set.expires.since(now).as_secs());
                Seen::Records { value, ttl: Duration::from_secs(ttl), authenticity }
            }
            Finding::Denied(_) => Seen::Absent { ttl: response.expires.since(now) },
            Finding::Nothing => Seen::Failed(found.because),
        }
    }
}

/// One message there and one back over TCP, to a server that the administrator named.
///
/// # Errors
/// No connection, or no answer in time.
pub async fn over_tcp(to: SocketAddr, message: &[u8], dialler: &Dialler) -> io::Result<Vec<u8>> {
    let work = async {
        let mut stream = dialler.connect(to).await?;
        framed(&mut stream, message).await
    };
    timeout(PATIENCE, work).await.map_err(|_| {
        let text = format!("no answer within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })?
}

/// A random message id.
pub fn message_id() -> u16 {
    random_id()
}

/// Each server's TLSA records; one that cannot be read spoils its server's answer, not the look.
pub fn as_tlsa(views: Views) -> Vec<ServerView<Vec<waxseal_core::dane::Tlsa>>> {
    read(views, super::typed::tlsa)
}

/// Each server's texts, strings joined.
pub fn as_texts(views: Views) -> Views {
    read(views, super::typed::txt)
}

/// Each server's MX records.
pub fn as_exchangers(views: Views) -> Vec<ServerView<Vec<Mx>>> {
    read(views, super::typed::mx)
}

fn read<T>(views: Views, one: impl Fn(&[u8]) -> Option<T>) -> Vec<ServerView<Vec<T>>> {
    let seen = |seen| match seen {
        Seen::Records { value, ttl, authenticity } => {
            let value: Vec<Vec<u8>> = value;
            match value.iter().map(|rdata| one(rdata)).collect::<Option<Vec<T>>>() {
                Some(value) => Seen::Records { value, ttl, authenticity },
                None => Seen::Unusable("a record of it cannot be read".to_owned()),
            }
        }
        Seen::Absent { ttl } => Seen::Absent { ttl },
        Seen::Unusable(why) => Seen::Unusable(why),
        Seen::Failed(why) => Seen::Failed(why),
    };
    views
        .into_iter()
        .map(|view| ServerView {
            server: view.server,
            address: view.address,
            seen: seen(view.seen),
        })
        .collect()
}
