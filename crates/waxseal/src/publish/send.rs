//! Updates to a primary server (RFC 2136), signed (RFC 8945).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use waxseal_core::{
    dnssec::RecordType,
    domain::Domain,
    publish::{
        self, Act, Data, Finding, Protocol, Record, Standing,
        gate::Seen,
        update::{Algorithm, Change, Key, request, response},
    },
    time::UnixTime,
};

use super::look::Looker;
use crate::{
    config::{TsigAlgorithm, Update},
    resolve::{as_texts, message_id, over_tcp},
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

    /// Brings DNS to what a finding wants, as far as `consent` goes. Nothing to do is `None`.
    ///
    /// # Errors
    /// It is left to a person, the server was not reached, or refused: in one sentence.
    pub async fn settle(
        &self,
        finding: &Finding,
        consent: Consent,
        looker: &Looker,
    ) -> Result<Option<Sent>, String> {
        let Some(change) = change(finding, consent)? else { return Ok(None) };
        let (owner, records) = (finding.owner.clone(), finding.wanted.clone());
        if matches!(change, Change::Add(_)) && !self.is_free(finding, looker).await? {
            return Ok(None);
        }
        let zone = looker.resolver.apex(&owner).await?.zone;
        self.send(&zone, &[change], looker).await?;
        Ok(Some(Sent { zone, owner, records }))
    }

    /// Whether there is really no such text at the servers of the zone: a cache may not know yet what
    /// was sent a moment ago, and two texts are worse than none. Sets of TLSA records take any number.
    async fn is_free(&self, finding: &Finding, looker: &Looker) -> Result<bool, String> {
        let [record @ Record { data: Data::Txt(text), .. }] = finding.wanted.as_slice() else {
            return Ok(true);
        };
        let version = match finding.protocol {
            // Whatever stands at a selector is taken for its key.
            Protocol::Dkim => "",
            Protocol::Tlsrpt
            | Protocol::MtaSts
            | Protocol::Dmarc
            | Protocol::Spf
            | Protocol::Tlsa => text.split(';').next().unwrap_or_default(),
        };
        let owner = &finding.owner;
        let asked = looker.resolver.ask_all(owner, RecordType::TXT, &looker.dialler).await;
        let said = as_texts(asked?).into_iter().filter_map(|view| match view.seen {
            Seen::Records { value, .. } => Some(value),
            Seen::Absent { .. } => Some(Vec::new()),
            Seen::Unusable(_) | Seen::Failed(_) => None,
        });
        let free: Vec<Act> =
            said.map(|value| publish::beside(record.clone(), version, &value).act).collect();
        if free.is_empty() {
            return Err(format!("{owner}: not sent, no server of its zone could be asked"));
        }
        if free.iter().any(|act| matches!(act, Act::Replace | Act::ByHand)) {
            return Err(format!(
                "{owner}: not sent, another record stands there that caches do not show yet: look again \
                 later"
            ));
        }
        Ok(free.contains(&Act::Add))
    }

    async fn send(&self, zone: &Domain, changes: &[Change], looker: &Looker) -> Result<(), String> {
        let said = |error: String| format!("{} (zone {zone}): {error}", self.server);
        let request = request(zone, changes, &self.key, message_id(), now())
            .map_err(|error| said(error.to_string()))?;
        let answer = over_tcp(self.server, &request.message, &looker.dialler)
            .await
            .map_err(|error| said(error.to_string()))?;
        response(&request, &self.key, &answer, now()).map_err(|error| said(error.to_string()))
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
