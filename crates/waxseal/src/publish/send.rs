//! Updates to a primary server (RFC 2136), signed (RFC 8945).

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use waxseal_core::{
    dnssec::RecordType,
    domain::Domain,
    publish::{
        self, Act, Data, Finding, Protocol, Record, Standing,
        gate::Seen,
        update::{Algorithm, Change, Key, Prerequisite, request, response},
    },
    time::UnixTime,
};

use super::look::Looker;
use crate::{
    config::{TsigAlgorithm, Update},
    resolve::{message_id, over_tcp, standing_at, text_of},
    secrets::SecretSource,
};

/// Sends updates.
#[derive(Debug)]
pub struct Sender {
    server: std::net::SocketAddr,
    key: Key,
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
        Ok(Self { server: update.server, key })
    }

    /// Brings DNS to what a finding wants, as far as `consent` goes. Nothing to do is `None`. The server is
    /// told what was there when we looked, and changes nothing where that is no longer so (RFC 2136 §2.4).
    ///
    /// # Errors
    /// It is left to a person, the server was not reached, or refused, or somebody else changed the same
    /// records: in one sentence.
    pub async fn settle(
        &self,
        finding: &Finding,
        consent: Consent,
        looker: &Looker,
    ) -> Result<Option<Sent>, String> {
        let Some(change) = change(finding, consent)? else { return Ok(None) };
        let Some(record_type) = finding.wanted.first().map(Record::record_type) else {
            return Ok(None);
        };
        let (owner, records) = (finding.owner.clone(), finding.wanted.clone());
        let rdata = self.standing((&owner, record_type), looker).await?;
        let zone = looker.resolver.apex(&owner).await?.zone;
        let unsent = |why: String| format!("{}: {why}", finding.owner);
        let how = match done(finding, &change, &rdata) {
            Left::Nothing => How::There,
            Left::Change => {
                let required = Prerequisite { owner: owner.clone(), record_type, rdata };
                self.send(&zone, (&[required], &[change]), looker).await.map_err(unsent)?;
                How::Sent
            }
            // What was decided on is not what is there.
            Left::Unclear => {
                return Err(format!(
                    "{owner}: not sent, the primary server has other records there than DNS shows: look \
                     again when caches have them"
                ));
            }
            Left::Compare => {
                if !as_seen(finding, &rdata) {
                    return Err(format!(
                        "{owner}: not sent, somebody changed these records at the primary server, and DNS \
                         does not show it yet: look again later"
                    ));
                }
                let required = Prerequisite { owner: owner.clone(), record_type, rdata };
                self.send(&zone, (&[required], &[change]), looker).await.map_err(unsent)?;
                How::Sent
            }
        };
        Ok(Some(Sent { zone, owner, records, how }))
    }

    /// What stands at a name now: as the primary server says, for caches and other servers lag behind it.
    /// Where it answers no questions, what all others say.
    async fn standing(
        &self,
        of: (&Domain, RecordType),
        looker: &Looker,
    ) -> Result<Vec<Vec<u8>>, String> {
        let owner = of.0;
        let refused = match standing_at(self.server, of, &looker.dialler, now()).await {
            Ok(rdata) => return Ok(rdata),
            Err(why) => why,
        };
        let asked = looker.resolver.ask_all(owner, of.1, &looker.dialler).await?;
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
            (Some(rdata), None) => Ok(rdata),
            (Some(_), Some(_)) => Err(format!(
                "{owner}: not sent, the servers of its zone do not say the same yet: look again later"
            )),
            (None, _) => Err(format!(
                "{owner}: not sent, neither {} ({refused}) nor a server of its zone says what stands there",
                self.server
            )),
        }
    }

    async fn send(
        &self,
        zone: &Domain,
        what: (&[Prerequisite], &[Change]),
        looker: &Looker,
    ) -> Result<(), String> {
        let said = |error: String| format!("{} (zone {zone}): {error}", self.server);
        let request = request(zone, what, &self.key, message_id(), now())
            .map_err(|error| said(error.to_string()))?;
        let answer = over_tcp(self.server, &request.message, &looker.dialler)
            .await
            .map_err(|error| said(error.to_string()))?;
        response(&request, &self.key, &answer, now()).map_err(|error| said(error.to_string()))
    }
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
    /// The change, whatever else was there.
    Change,
    /// The change, if what is there is what was looked at: it takes something away.
    Compare,
    /// Another record stands there than the one that was looked at, and two are worse than none.
    Unclear,
}

/// Holds a change against what stands at the primary server.
fn done(finding: &Finding, change: &Change, rdata: &[Vec<u8>]) -> Left {
    let all = finding.wanted.iter().all(|record| rdata.contains(&record.rdata()));
    match change {
        Change::Replace { records, .. } if all && rdata.len() == records.len() => Left::Nothing,
        Change::Replace { .. } => Left::Compare,
        Change::Add(_) if all => Left::Nothing,
        Change::Add(_) => match finding.wanted.as_slice() {
            // Two texts are worse than none; sets of TLSA records take any number.
            [record @ Record { data: Data::Txt(text), .. }] => {
                let version = match finding.protocol {
                    // Whatever stands at a selector is taken for its key.
                    Protocol::Dkim => "",
                    Protocol::Tlsrpt
                    | Protocol::MtaSts
                    | Protocol::Dmarc
                    | Protocol::Spf
                    | Protocol::Tlsa => text.split(';').next().unwrap_or_default(),
                };
                let Some(texts) = rdata.iter().map(|one| text_of(one)).collect::<Option<Vec<_>>>()
                else {
                    return Left::Unclear;
                };
                match publish::beside(record.clone(), version, &texts).act {
                    Act::Nothing => Left::Nothing,
                    Act::Add => Left::Change,
                    Act::Replace | Act::ByHand => Left::Unclear,
                }
            }
            _ => Left::Change,
        },
    }
}

/// The change that a finding asks for.
fn change(finding: &Finding, consent: Consent) -> Result<Option<Change>, String> {
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
    let surplus = matches!(finding.standing, Standing::Differs { .. })
        && finding.protocol == Protocol::Tlsa
        && consent.surplus == There::Remove;
    Ok(match (finding.act, &finding.standing) {
        (_, Standing::Unknown { .. }) => None,
        (Act::Nothing | Act::Add, _) if surplus => Some(whole()),
        (Act::Nothing, _) => None,
        (Act::Add, _) => Some(Change::Add(records)),
        (Act::Replace, _) if consent.differing == There::Remove => Some(whole()),
        (Act::Replace, _) => {
            let owner = &finding.owner;
            return Err(format!(
                "{owner}: not sent, another record stands there: --replace sends it"
            ));
        }
        (Act::ByHand, _) => return Err(by_hand(finding)),
    })
}

fn by_hand(finding: &Finding) -> String {
    format!("{}: not sent, a person has to decide: {}", finding.owner, finding.fix)
}

/// The time on the wire (RFC 8945 §4.2).
fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
