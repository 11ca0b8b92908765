//! What each authoritative server of a name says, validated one by one: whether all of them have what
//! we published. They are asked over TCP, so that none is cut short.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dns::{Authenticity, Proof},
    dnssec::{Bundle, Finding, Name, Question, RecordType, Response, RrSet, Truncation},
    domain::Domain,
    publish::gate::{How, Loss, Named, Seen, ServerView},
    time::UnixTime,
};

use super::{
    Alias, Mx, Resolver,
    exchange::{framed, random_id},
    fetch::Freshness,
    servers::{MOST_ADDRESSES, MOST_SERVERS, Said, Server, Voice, named, way_to},
};
use crate::{dial::Dialler, gather};

/// For one server: connection, question and answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses of one server that are looked at, asked or not.
const MOST_LOOKED_AT: usize = 32;

/// What each server is asked.
#[derive(Clone)]
struct Questions {
    wanted: Question,
    /// Which servers the zone has.
    servers: Question,
}

/// The records as each server gives them.
pub type Views = Vec<ServerView<Vec<Vec<u8>>>>;

/// A server that has to be asked, and who names it.
struct Listed {
    server: Domain,
    named: Named,
}

impl Listed {
    fn lost<T>(&self, how: How, why: String) -> ServerView<T> {
        self.view(None, Seen::lost(how, why))
    }

    fn view<T>(&self, address: Option<IpAddr>, seen: Seen<T>) -> ServerView<T> {
        ServerView { server: self.server.clone(), named: self.named, address, seen }
    }
}

/// What one server said, and whom it names as servers of the zone.
struct Heard {
    views: Views,
    names: Vec<Domain>,
}

impl Resolver {
    /// Asks every address of every server that a sender may be sent to for `name`. Where the name is an
    /// alias, the servers of what it stands for, and those of each alias on the way: what they say of it is
    /// a view of its own only where it is not the same alias.
    ///
    /// # Errors
    /// The servers could not be found, in one sentence.
    pub async fn ask_all(
        &self,
        name: &Domain,
        record_type: RecordType,
        dialler: &Dialler,
    ) -> Result<Views, String> {
        let lookup = self.lookup(name, record_type).await;
        let end = lookup.expansion().unwrap_or_else(|| name.clone());
        let mut views = self.ask_zone(&end, record_type, dialler).await?;
        for Alias { from, to, .. } in &lookup.aliases {
            let Some(owner) = from.to_domain() else {
                return Err(format!("{from} is an alias that no host can have"));
            };
            let aliases = self.ask_zone(&owner, RecordType::CNAME, dialler).await?;
            views = behind(views, aliases, to);
        }
        Ok(views)
    }

    /// Asks every address of every server of the zone that a name is in: those in the NS records of the
    /// zone, as the resolver has them and as each server itself has them, and those that only the zone above
    /// names.
    async fn ask_zone(
        &self,
        name: &Domain,
        record_type: RecordType,
        dialler: &Dialler,
    ) -> Result<Views, String> {
        let apex = self.apex(name).await?;
        let questions = Questions {
            wanted: Question::new(Name::from(name), record_type),
            servers: Question::new(Name::from(&apex.zone), RecordType::NS),
        };
        let mut views = Vec::new();
        let mut asking = JoinSet::new();
        let mut known = BTreeSet::new();
        let mut list = |server: Domain, named, asking: &mut JoinSet<Heard>, views: &mut Views| {
            if !known.insert(server.clone()) {
                return;
            }
            let listed = Listed { server, named };
            if known.len() > MOST_SERVERS {
                // Once will do: nothing opens, and one may list without end.
                if known.len() == MOST_SERVERS + 1 {
                    let why = format!("not asked: more than {MOST_SERVERS} name servers");
                    views.push(listed.lost(How::NotAsked, why));
                }
                return;
            }
            let (resolver, dialler, questions) = (self.clone(), dialler.clone(), questions.clone());
            asking.spawn(async move { resolver.ask_server(listed, &questions, &dialler).await });
        };
        for server in apex.servers {
            list(server, Named::Zone, &mut asking, &mut views);
        }
        match self.delegation(&apex.zone, dialler).await {
            Ok(servers) => {
                for server in servers {
                    list(server, Named::ParentOnly, &mut asking, &mut views);
                }
            }
            // Whom senders are sent to is not known.
            Err(why) => {
                let listed = Listed { server: apex.zone.clone(), named: Named::Zone };
                views.push(listed.lost(How::Unfound, why));
            }
        }
        while let Some(done) = asking.join_next().await {
            let Ok(heard) = done else { continue };
            views.extend(heard.views);
            for server in heard.names {
                list(server, Named::Zone, &mut asking, &mut views);
            }
        }
        views.sort_by(|a, b| (&a.server, a.address).cmp(&(&b.server, b.address)));
        Ok(views)
    }

    /// One server at each of its addresses, all at once: who is dead at one is often dead at the other too.
    async fn ask_server(&self, listed: Listed, questions: &Questions, dialler: &Dialler) -> Heard {
        let found = self.server_addresses(&listed.server).await;
        let mut heard = Heard { views: Vec::new(), names: Vec::new() };
        let lost = found.failed.into_iter().map(|why| listed.lost(How::Unfound, why));
        heard.views.extend(lost);
        let mut asking = JoinSet::new();
        for (nth, address) in found.addresses.into_iter().enumerate() {
            if nth >= MOST_LOOKED_AT {
                let why = format!("not asked: more than {MOST_LOOKED_AT} addresses");
                heard.views.push(listed.lost(How::NotAsked, why));
                break;
            }
            let unasked = if gather::hostile(address).is_some() {
                Seen::lost(How::NotAsked, "not asked: no public address")
            } else if let Err(why) = way_to(address, dialler) {
                Seen::lost(How::NoRoute, why)
            } else if asking.len() >= MOST_ADDRESSES {
                let why = format!("not asked: more than {MOST_ADDRESSES} addresses");
                Seen::lost(How::NotAsked, why)
            } else {
                let (resolver, dialler) = (self.clone(), dialler.clone());
                let questions = questions.clone();
                asking.spawn(async move {
                    (address, resolver.ask_address(address, &questions, &dialler).await)
                });
                continue;
            };
            heard.views.push(listed.view(Some(address), unasked));
        }
        for (address, (seen, names)) in asking.join_all().await {
            heard.views.push(listed.view(Some(address), seen));
            heard.names.extend(names);
        }
        if heard.views.is_empty() {
            let why = "it has no address".to_owned();
            heard.views.push(listed.lost(How::NotAsked, why));
        }
        heard
    }

    /// One address within the time for it. Who said nothing to one question is not waited for at the next
    /// one: hosts and domains of one zone are looked at one after the other.
    async fn ask_address(
        &self,
        address: IpAddr,
        questions: &Questions,
        dialler: &Dialler,
    ) -> (Seen<Vec<Vec<u8>>>, Vec<Domain>) {
        let lost = |why: String| (Seen::lost(How::Silent, why), Vec::new());
        if let Some(why) = self.silence(address) {
            return lost(why);
        }
        let why = match timeout(PATIENCE, self.ask_one(address, questions, dialler)).await {
            Ok(Ok(said)) => return said,
            Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                return lost(format!("no answer over TCP: {error}"));
            }
            Ok(Err(error)) => format!("no answer over TCP: {error}"),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        self.note_silence(address, &why);
        lost(why)
    }

    /// One address: what it says of the name, and which servers it names for the zone.
    async fn ask_one(
        &self,
        address: IpAddr,
        questions: &Questions,
        dialler: &Dialler,
    ) -> io::Result<(Seen<Vec<Vec<u8>>>, Vec<Domain>)> {
        let seen = self.ask_for(address, &questions.wanted, dialler).await?;
        let now = self.0.settings.clock.now();
        let said = Server::new(address, dialler).ask_over_tcp(&questions.servers, now).await?;
        let names = match (said.response, said.voice) {
            (Ok(response), Voice::Authority) => named(&response, &questions.servers),
            // What it says of a zone that is not its own is hearsay.
            (Ok(_), Voice::Other) | (Err(_), _) => Ok(Vec::new()),
        };
        Ok(match (seen, names) {
            (seen, Ok(names)) => (seen, names),
            (seen @ (Seen::Wrong(_) | Seen::Lost(_)), Err(_)) => (seen, Vec::new()),
            (Seen::Records { .. } | Seen::Absent { .. }, Err(why)) => {
                (Seen::Wrong(format!("the servers of its zone: {why}")), Vec::new())
            }
        })
    }

    async fn ask_for(
        &self,
        address: IpAddr,
        question: &Question,
        dialler: &Dialler,
    ) -> io::Result<Seen<Vec<Vec<u8>>>> {
        let now = self.0.settings.clock.now();
        let Said { response, voice, lifetime } =
            Server::new(address, dialler).ask_over_tcp(question, now).await?;
        let response = match response {
            Ok(response) => response,
            Err(error) => return Ok(Seen::lost(How::Unproven, error.to_string())),
        };
        if let Some(refusal) = refusal(response.rcode) {
            return Ok(refusal);
        }
        if voice != Voice::Authority {
            return Ok(Seen::lost(How::Refused, "it answers without authority for the zone"));
        }
        if response.truncation == Truncation::Truncated {
            return Ok(Seen::lost(How::Unproven, "its answer is cut short over TCP"));
        }
        Ok(self.judge(question, &response, lifetime, Freshness::Again).await)
    }

    /// Why the signatures of one server's very answer do not hold; `None` where they do, where none
    /// have to be there, and where that could not be found out. Keys that came before `began` are not
    /// what condemns it; those that came since are not asked for again.
    pub(super) async fn bogus(
        &self,
        question: &Question,
        response: &Response,
        began: Instant,
    ) -> Option<String> {
        let again = Freshness::Since(began);
        match self.judge(question, response, Duration::ZERO, again).await {
            Seen::Lost(Loss { how: How::Unproven, why }) => Some(why),
            Seen::Lost(_) | Seen::Records { .. } | Seen::Absent { .. } | Seen::Wrong(_) => None,
        }
    }

    /// Validates the very answer of one server; keys and delegations come from the usual places.
    async fn judge(
        &self,
        question: &Question,
        response: &Response,
        ttl: Duration,
        again: Freshness,
    ) -> Seen<Vec<Vec<u8>>> {
        let mut bundle = Bundle::new();
        bundle.add(question, response);
        let (mut found, _) = self.round(question, Freshness::Kept, bundle.clone()).await;
        if found.proof == Proof::Bogus {
            // The zone's keys may have changed since ours were kept.
            (found, _) = self.round(question, again, bundle).await;
        }
        let authenticity = match found.proof {
            Proof::Secure => Authenticity::Secure,
            Proof::Insecure => Authenticity::Insecure,
            Proof::Bogus => return Seen::lost(How::Unproven, found.because),
            Proof::Indeterminate => return Seen::lost(How::Silent, found.because),
        };
        match found.finding {
            Finding::Records(value) => {
                let is_wanted = |set: &Arc<RrSet>| {
                    set.owner == question.name && set.record_type == question.record_type
                };
                if !response.sets.iter().any(is_wanted) {
                    return Seen::Wrong("it has an alias where others have records".to_owned());
                }
                Seen::Records { value, ttl, authenticity }
            }
            Finding::Denied(_) => Seen::Absent { ttl },
            Finding::Nothing => Seen::lost(How::Silent, found.because),
        }
    }
}

/// What an RCODE says that stands for no answer; `None` where there is one.
fn refusal<T>(rcode: u8) -> Option<Seen<T>> {
    let refused = |name: &str| Some(Seen::lost(How::Refused, format!("it answers {name}")));
    match rcode {
        // NOERROR and NXDOMAIN.
        0 | 3 => None,
        // It would like to, and cannot.
        2 => Some(Seen::lost(How::Silent, "it answers SERVFAIL (RCODE 2)")),
        5 => refused("REFUSED (RCODE 5)"),
        9 => refused("NOTAUTH (RCODE 9)"),
        other => refused(&format!("with RCODE {other}")),
    }
}

/// What is known of records behind an alias: no more than of the alias itself. It has to be the same one at
/// each of its own servers, and caches may hold it as long as they may hold the records.
fn behind(mut views: Views, aliases: Views, to: &Name) -> Views {
    let (mut longest, mut weakest) = (Duration::ZERO, Authenticity::Secure);
    let far = |view: &&ServerView<_>| match &view.seen {
        Seen::Records { .. } | Seen::Absent { .. } | Seen::Wrong(_) => false,
        Seen::Lost(loss) => loss.how == How::NoRoute,
    };
    let tried = aliases.iter().filter(|view| !far(view));
    let tried: BTreeSet<Domain> = tried.map(|view| view.server.clone()).collect();
    for alias in aliases {
        let seen = match alias.seen {
            Seen::Records { value, ttl, authenticity } if is_alias_of(&value, to) => {
                longest = longest.max(ttl);
                if authenticity == Authenticity::Insecure {
                    weakest = Authenticity::Insecure;
                }
                continue;
            }
            Seen::Records { .. } | Seen::Absent { .. } => {
                Seen::Wrong(format!("it has no alias to {to}, which others have"))
            }
            Seen::Wrong(why) => Seen::Wrong(format!("its alias: {why}")),
            // Another address of the same server spoke for it.
            Seen::Lost(Loss { how: How::NoRoute, .. }) if tried.contains(&alias.server) => continue,
            Seen::Lost(Loss { how, why }) => match how {
                How::Unproven | How::Refused => Seen::lost(how, format!("its alias: {why}")),
                How::Silent | How::NotAsked | How::NoRoute | How::Unfound => Seen::lost(how, why),
            },
        };
        views.push(ServerView { seen, ..alias });
    }
    for view in &mut views {
        match &mut view.seen {
            Seen::Records { ttl, authenticity, .. } => {
                *ttl = longest.max(*ttl);
                if weakest == Authenticity::Insecure {
                    *authenticity = Authenticity::Insecure;
                }
            }
            Seen::Absent { ttl } => *ttl = longest.max(*ttl),
            Seen::Wrong(_) | Seen::Lost(_) => {}
        }
    }
    views
}

fn is_alias_of(value: &[Vec<u8>], to: &Name) -> bool {
    matches!(value, [only] if Name::from_octets(only).as_ref() == Some(to))
}

/// One message there and one back over TCP, to a server that the administrator named.
///
/// # Errors
/// No connection, or no answer in time ([`io::ErrorKind::TimedOut`]).
pub async fn over_tcp(to: SocketAddr, message: &[u8], dialler: &Dialler) -> io::Result<Vec<u8>> {
    in_time(async {
        let mut stream = dialler.connect(to).await?;
        framed(&mut stream, message).await
    })
    .await
}

/// Why it is not known what a server has at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// No answer in time, in words.
    Silent(String),
    /// It was not reached, or does not answer for the name: in words.
    Refused(String),
    /// The name is an alias there: what is added beside it is ignored in silence (RFC 2136 §3.4).
    Alias,
}

impl From<io::Error> for Unsaid {
    fn from(error: io::Error) -> Self {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        if timed_out { Self::Silent(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

/// What a server has at one name, as RDATA, without any validation: the primary server, before it is told to
/// change that. Whoever lies here is found out by the server, which compares.
///
/// # Errors
/// It did not say.
pub async fn standing_at(
    to: SocketAddr,
    (name, record_type): (&Domain, RecordType),
    dialler: &Dialler,
    now: UnixTime,
) -> Result<Vec<Vec<u8>>, Unsaid> {
    let question = Question::new(Name::from(name), record_type);
    let said = in_time(Server::at(to, dialler).ask_over_tcp(&question, now)).await?;
    let response = said.response.map_err(|error| Unsaid::Refused(error.to_string()))?;
    if !matches!(response.rcode, 0 | 3) || said.voice != Voice::Authority {
        let why = format!("it does not answer for {name} (RCODE {})", response.rcode);
        return Err(Unsaid::Refused(why));
    }
    let at_name = || response.sets.iter().filter(|set| set.owner == question.name);
    if at_name().any(|set| set.record_type == RecordType::CNAME) {
        return Err(Unsaid::Alias);
    }
    let set = at_name().find(|set| set.record_type == record_type);
    Ok(set.map(|set| set.rdata.clone()).unwrap_or_default())
}

/// What a server says within the time for it.
async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.map_err(|_| {
        let text = format!("no answer within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })?
}

/// A random message id.
pub fn message_id() -> u16 {
    random_id()
}

/// What a TXT record says, its strings joined; `None` where it is none.
pub fn text_of(rdata: &[u8]) -> Option<Vec<u8>> {
    super::typed::txt(rdata)
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
                None => Seen::Wrong("a record of it cannot be read".to_owned()),
            }
        }
        Seen::Absent { ttl } => Seen::Absent { ttl },
        Seen::Wrong(why) => Seen::Wrong(why),
        Seen::Lost(loss) => Seen::Lost(loss),
    };
    let read = |view: ServerView<Vec<Vec<u8>>>| ServerView {
        server: view.server,
        named: view.named,
        address: view.address,
        seen: seen(view.seen),
    };
    views.into_iter().map(read).collect()
}
