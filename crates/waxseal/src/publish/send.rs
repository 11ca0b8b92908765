//! Updates to a primary server (RFC 2136), signed (RFC 8945).

use std::{
    collections::BTreeSet,
    io,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use waxseal_core::{
    dnssec::RecordType,
    domain::Domain,
    publish::{
        self, Act, Data, Finding, Protocol, Record, Standing,
        gate::Seen,
        update::{Algorithm, Change, Key, Prerequisite, UpdateError, request, response},
    },
    time::UnixTime,
};

use super::look::Looker;
use crate::{
    config::{TsigAlgorithm, Update},
    resolve::{Unsaid, message_id, over_tcp, standing_at, text_of},
    secrets::SecretSource,
};

/// Sends updates.
#[derive(Debug)]
pub struct Sender {
    server: std::net::SocketAddr,
    key: Key,
    /// What was noted when the server gave no answer to a question: the others are not waited for.
    deaf: OnceLock<String>,
    /// The same of an update: nothing more is sent.
    dead: OnceLock<String>,
}

/// An update that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The zone that was changed.
    pub zone: Domain,
    /// The name whose records were changed.
    pub owner: Domain,
    /// What stands there now, but for records that were left.
    pub records: Vec<Record>,
    /// Whether it had to be sent.
    pub how: How,
}

/// How records came to be at the primary server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// We sent them.
    Sent,
    /// They were there already: caches and other servers do not show them yet.
    There,
}

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The name whose records stay as they are.
    pub owner: Domain,
    /// What kind of reason it has.
    pub reason: Reason,
    /// Why, in one sentence that does not name the owner.
    pub text: String,
}

/// Why something was not sent, or not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The gate is closed for it.
    NotYet,
    /// Whether the gate may open could not be found out.
    Unknown,
    /// First TLSA records, and which keys the host shows could not be found out.
    Unseen,
    /// TLSA records to be removed, and which keys the host shows could not be found out.
    RemovalUnseen,
    /// TLSA records to be removed, and a key that is shown would be without one.
    RemovalShown,
    /// Another record stands there.
    Occupied,
    /// A person has to decide.
    ByHand,
    /// Somebody else changed the same records, or not all servers say the same of them yet.
    Changed,
    /// The server refused it, or was not reached.
    Server,
}

impl Reason {
    /// Whether it is for want of knowledge alone.
    pub const fn is_ignorance(self) -> bool {
        match self {
            Self::Unknown | Self::Unseen | Self::RemovalUnseen => true,
            Self::NotYet
            | Self::RemovalShown
            | Self::Occupied
            | Self::ByHand
            | Self::Changed
            | Self::Server => false,
        }
    }

    /// What was not done, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::RemovalUnseen | Self::RemovalShown => "NOT REMOVED",
            Self::NotYet
            | Self::Unknown
            | Self::Unseen
            | Self::Occupied
            | Self::ByHand
            | Self::Changed
            | Self::Server => "NOT SENT",
        }
    }
}

impl Refusal {
    /// Of records at `owner`.
    pub fn new(owner: &Domain, reason: Reason, text: impl Into<String>) -> Self {
        Self { owner: owner.clone(), reason, text: text.into() }
    }

    /// With the name, in one sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.owner, self.text)
    }
}

/// A refusal before it is known of what.
type Why = (Reason, String);

/// What happens to records that are there and not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// They stay.
    Keep,
    /// They go.
    Remove,
}

/// What an update may do beside adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// TLSA records of a host that no configured key needs: somebody may still use their keys.
    pub surplus: There,
    /// A text that differs from ours.
    pub differing: There,
}

impl Sender {
    /// Reads the key.
    ///
    /// # Errors
    /// The key cannot be read, or is none.
    pub fn new(update: &Update) -> Result<Self, String> {
        let secret = SecretSource::from(&update.key).read().map_err(|error| error.to_string())?;
        let wrong = || format!("publish.update.tsig_key ({}): no key in base64", update.key);
        let text = secret.text().map_err(|_| wrong())?;
        let octets = zeroize::Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| wrong())?);
        let algorithm = match update.algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let key = Key::new(&update.name, algorithm, &octets).map_err(|error| error.to_string())?;
        let (deaf, dead) = (OnceLock::new(), OnceLock::new());
        Ok(Self { server: update.server, key, deaf, dead })
    }

    /// Brings DNS to what a finding wants, as far as `consent` goes. Nothing to do is `None`. The server is
    /// told what was there when we looked, and changes nothing where that is no longer so (RFC 2136 §2.4).
    ///
    /// # Errors
    /// It is left to a person, the server was not reached, or refused, or somebody else changed the same
    /// records.
    pub async fn settle(
        &self,
        finding: &Finding,
        consent: Consent,
        looker: &Looker,
    ) -> Result<Option<Sent>, Refusal> {
        let settled = self.settled(finding, consent, looker).await;
        settled.map_err(|(reason, text)| Refusal::new(&finding.owner, reason, text))
    }

    async fn settled(
        &self,
        finding: &Finding,
        consent: Consent,
        looker: &Looker,
    ) -> Result<Option<Sent>, Why> {
        let Some(change) = change(finding, consent)? else { return Ok(None) };
        let Some(record_type) = finding.wanted.first().map(Record::record_type) else {
            return Ok(None);
        };
        if let Some(why) = self.dead.get() {
            return Err((Reason::Server, format!("{}: {why} before", self.server)));
        }
        let (owner, records) = (finding.owner.clone(), finding.wanted.clone());
        let stands = self.standing((&owner, record_type), looker).await?;
        let zone = looker.resolver.apex(&owner).await.map_err(|why| (Reason::Server, why))?.zone;
        let required = |rdata| Prerequisite { owner: owner.clone(), record_type, rdata };
        let how = match done(finding, &change, &stands) {
            Left::Nothing => How::There,
            Left::Change => {
                let what = (&[required(stands.own())][..], &[change][..]);
                self.send(&zone, what, looker).await?;
                How::Sent
            }
            Left::Refused(reason, why) => return Err((reason, why.to_owned())),
        };
        Ok(Some(Sent { zone, owner, records, how }))
    }

    /// What stands at a name now: as the primary server says, for caches and other servers lag behind it.
    /// Where it answers no questions, what all others say.
    async fn standing(&self, of: (&Domain, RecordType), looker: &Looker) -> Result<Stands, Why> {
        let refused = match self.ask(of, looker).await {
            Ok(rdata) if rdata.is_empty() => return Ok(Stands::Own(rdata)),
            Ok(rdata) => {
                let same = match beside(of.0) {
                    Some(name) => {
                        let others = self.ask((&name, of.1), looker).await;
                        others.is_ok_and(|others| same(&others, &rdata))
                    }
                    None => false,
                };
                return Ok(if same { Stands::Wildcard(rdata) } else { Stands::Own(rdata) });
            }
            Err(Unsaid::Alias) => {
                let why = "it is an alias (CNAME) at the primary server, and nothing may stand beside one: \
                           a person has to decide";
                return Err((Reason::ByHand, why.to_owned()));
            }
            Err(Unsaid::Silent(why) | Unsaid::Refused(why)) => why,
        };
        let asked = looker.resolver.ask_all(of.0, of.1, &looker.dialler).await;
        let asked = asked.map_err(|why| (Reason::Server, why))?;
        let said = asked.into_iter().filter_map(|view| match view.seen {
            Seen::Records { value, .. } => Some(value),
            Seen::Absent { .. } => Some(Vec::new()),
            Seen::Wrong(_) | Seen::Lost(_) => None,
        });
        let said: BTreeSet<Vec<Vec<u8>>> = said
            .map(|mut value| {
                value.sort();
                value
            })
            .collect();
        let mut said = said.into_iter();
        match (said.next(), said.next()) {
            (Some(rdata), None) => Ok(Stands::Own(rdata)),
            (Some(_), Some(_)) => Err((
                Reason::Changed,
                "the servers of its zone do not say the same yet: look again later".to_owned(),
            )),
            (None, _) => Err((
                Reason::Server,
                format!(
                    "neither {} ({refused}) nor a server of its zone says what stands there",
                    self.server
                ),
            )),
        }
    }

    /// What the primary server itself says of a name.
    async fn ask(
        &self,
        of: (&Domain, RecordType),
        looker: &Looker,
    ) -> Result<Vec<Vec<u8>>, Unsaid> {
        if let Some(why) = self.deaf.get() {
            return Err(Unsaid::Silent(why.clone()));
        }
        let said = standing_at(self.server, of, &looker.dialler, now()).await;
        if let Err(Unsaid::Silent(why)) = &said {
            self.deaf.get_or_init(|| why.clone());
        }
        said
    }

    async fn send(
        &self,
        zone: &Domain,
        what: (&[Prerequisite], &[Change]),
        looker: &Looker,
    ) -> Result<(), Why> {
        let said = |error: String| format!("{} (zone {zone}): {error}", self.server);
        let failed = |error: UpdateError| {
            let reason = match error {
                UpdateError::Changed(_) => Reason::Changed,
                UpdateError::ShortKey
                | UpdateError::TooLong
                | UpdateError::NotAnAnswer(_)
                | UpdateError::NotAuthentic(_)
                | UpdateError::Refused(_) => Reason::Server,
            };
            (reason, said(error.to_string()))
        };
        let request = request(zone, what, &self.key, message_id(), now()).map_err(failed)?;
        let answer = over_tcp(self.server, &request.message, &looker.dialler).await;
        let answer = answer.map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut {
                self.dead.get_or_init(|| error.to_string());
            }
            (Reason::Server, said(error.to_string()))
        })?;
        response(&request, &self.key, &answer, now()).map_err(failed)
    }
}

/// What the primary server has at a name.
enum Stands {
    /// Records of that name.
    Own(Vec<Vec<u8>>),
    /// Records of a wildcard: nothing stands at the name itself (RFC 4592 §2.1.1), and a prerequisite sees
    /// none (RFC 2136 §2.4).
    Wildcard(Vec<Vec<u8>>),
}

impl Stands {
    fn shown(&self) -> &[Vec<u8>] {
        match self {
            Self::Own(rdata) | Self::Wildcard(rdata) => rdata,
        }
    }

    /// What a prerequisite has to name.
    fn own(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Own(rdata) => rdata.clone(),
            Self::Wildcard(_) => Vec::new(),
        }
    }
}

/// A name that nobody has, with the same parent: what stands there all the same comes from a wildcard, and so
/// does what is the same beside it.
fn beside(name: &Domain) -> Option<Domain> {
    name.parent()?.below(&format!("waxseal-asks-{:04x}", message_id())).ok()
}

fn same(some: &[Vec<u8>], others: &[Vec<u8>]) -> bool {
    some.iter().collect::<BTreeSet<_>>() == others.iter().collect::<BTreeSet<_>>()
}

/// Whether the primary server has what the finding was made from.
fn as_seen(finding: &Finding, rdata: &[Vec<u8>]) -> bool {
    let read = |one: &Vec<u8>| match finding.protocol {
        Protocol::Tlsa => Some(one.clone()),
        Protocol::Tlsrpt | Protocol::MtaSts | Protocol::Spf | Protocol::Dkim | Protocol::Dmarc => {
            text_of(one)
        }
    };
    let there: Option<BTreeSet<_>> = rdata.iter().map(read).collect();
    there == Some(finding.seen.iter().cloned().collect())
}

/// What is left to do at the primary server.
enum Left {
    /// Everything is there already.
    Nothing,
    /// The change.
    Change,
    /// None: what was decided on is not what is there.
    Refused(Reason, &'static str),
}

/// Holds a change against what stands at the primary server.
fn done(finding: &Finding, change: &Change, stands: &Stands) -> Left {
    let rdata = stands.shown();
    let all = finding.wanted.iter().all(|record| rdata.contains(&record.rdata()));
    match (change, stands, finding.wanted.as_slice()) {
        (Change::Replace { records, .. }, _, _) if all && rdata.len() == records.len() => {
            Left::Nothing
        }
        // It takes something away.
        (Change::Replace { .. }, _, _) if !as_seen(finding, rdata) => Left::Refused(
            Reason::Changed,
            "somebody changed these records at the primary server, and DNS does not show it yet: look again \
             later",
        ),
        (Change::Replace { .. }, _, _) => Left::Change,
        (Change::Add(_), _, _) if all => Left::Nothing,
        // Two texts are worse than none.
        (Change::Add(_), _, [record @ Record { data: Data::Txt(text), .. }]) => {
            let version = match finding.protocol {
                // Whatever stands at a selector is taken for its key.
                Protocol::Dkim => "",
                Protocol::Tlsrpt
                | Protocol::MtaSts
                | Protocol::Dmarc
                | Protocol::Spf
                | Protocol::Tlsa => text.split(';').next().unwrap_or_default(),
            };
            let unclear = Left::Refused(
                Reason::Changed,
                "the primary server has other records there than DNS shows: look again when caches have them",
            );
            let Some(texts) = rdata.iter().map(|one| text_of(one)).collect::<Option<Vec<_>>>()
            else {
                return unclear;
            };
            match publish::beside(record.clone(), version, &texts).act {
                Act::Nothing => Left::Nothing,
                Act::Add => Left::Change,
                Act::Replace | Act::ByHand => unclear,
            }
        }
        // Sets of TLSA records take any number; but whatever stands at the name itself hides all of a wildcard.
        (Change::Add(_), Stands::Wildcard(_), _) => Left::Refused(
            Reason::ByHand,
            "the records there come from a wildcard, and records at the name itself would hide all of them: \
             a person has to decide",
        ),
        // They were to come to others, and were not looked at as the first that turn mail away (RFC 7672 §2.2).
        (Change::Add(_), Stands::Own(_), _)
            if finding.protocol == Protocol::Tlsa
                && !finding.is_first()
                && !publish::any_usable(rdata) =>
        {
            Left::Refused(
                Reason::Changed,
                "the records that stood there are gone at the primary server, so that these would be \
                 the first: look again when DNS shows it",
            )
        }
        (Change::Add(_), Stands::Own(_), _) => Left::Change,
    }
}

/// The change that a finding asks for.
fn change(finding: &Finding, consent: Consent) -> Result<Option<Change>, Why> {
    let Some(first) = finding.wanted.first() else {
        return match finding.standing {
            Standing::Live | Standing::Unknown { .. } => Ok(None),
            Standing::Missing | Standing::Differs { .. } => Err(by_hand(finding)),
        };
    };
    let records = finding.wanted.clone();
    let whole = || Change::Replace {
        owner: finding.owner.clone(),
        record_type: first.record_type(),
        records: records.clone(),
    };
    let surplus = consent.surplus == There::Remove && !finding.surplus().is_empty();
    Ok(match (finding.act, &finding.standing) {
        (_, Standing::Unknown { .. }) => None,
        (Act::Nothing | Act::Add, _) if surplus => Some(whole()),
        (Act::Nothing, _) => None,
        (Act::Add, _) => Some(Change::Add(records)),
        (Act::Replace, _) if consent.differing == There::Remove => Some(whole()),
        (Act::Replace, _) => {
            let why = "another record stands there: --replace puts ours in its place";
            return Err((Reason::Occupied, why.to_owned()));
        }
        (Act::ByHand, _) => return Err(by_hand(finding)),
    })
}

fn by_hand(finding: &Finding) -> Why {
    (Reason::ByHand, format!("a person has to decide: {}", finding.fix))
}

/// The time on the wire (RFC 8945 §4.2).
fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests;
