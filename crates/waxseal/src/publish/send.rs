//! Updates to a primary server (RFC 2136), signed (RFC 8945).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use waxseal_core::{
    domain::Domain,
    publish::{
        Finding, Record, Standing,
        update::{Algorithm, Change, Key, request, response},
    },
    time::UnixTime,
};

use super::look::Looker;
use crate::{
    config::{TsigAlgorithm, Update},
    resolve::{message_id, over_tcp},
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

/// What happens to records of a host that no configured key needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surplus {
    /// They stay: somebody may still use their keys.
    Keep,
    /// They go.
    Remove,
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

    /// Brings DNS to what a finding wants. Nothing to do is `None`.
    ///
    /// # Errors
    /// The server was not reached, or refused, in one sentence.
    pub async fn settle(
        &self,
        finding: &Finding,
        surplus: Surplus,
        looker: &Looker,
    ) -> Result<Option<Sent>, String> {
        let Some(first) = finding.wanted.first() else { return Ok(None) };
        match finding.standing {
            Standing::Live | Standing::Unknown { .. } => return Ok(None),
            Standing::Missing | Standing::Differs { .. } => {}
        }
        let (owner, records) = (first.owner.clone(), finding.wanted.clone());
        let tlsa = matches!(first.data, waxseal_core::publish::Data::Tlsa(_));
        let lacks = |record: &Record| match &finding.standing {
            Standing::Differs { found } => !found.contains(&record.value()),
            Standing::Live | Standing::Missing | Standing::Unknown { .. } => true,
        };
        if tlsa && surplus == Surplus::Keep && !records.iter().any(lacks) {
            return Ok(None);
        }
        let change = if tlsa && surplus == Surplus::Keep {
            Change::Add(records.clone())
        } else {
            let record_type = first.record_type();
            Change::Replace { owner: owner.clone(), record_type, records: records.clone() }
        };
        let zone = looker.resolver.apex(&owner).await?.zone;
        self.send(&zone, &[change], looker).await?;
        Ok(Some(Sent { zone, owner, records }))
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

/// The time on the wire (RFC 8945 §4.2).
fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
