//! Whether all servers of a zone say the same.

use std::net::Ipv6Addr;

use aws_lc_rs::digest::{Context, SHA256};
use waxseal_core::{
    assess::{
        Delegation, MOST_EXCHANGES, NameServer, NameServers, Quoted, ServerAnswer, ServerName,
        Servers,
    },
    dns::Answer,
    dnssec::{Name, RecordType, Response},
    domain::Domain,
};

use super::{Depth, Surveyor};
use crate::resolve::{Answered, Exchange, Sides, Unasked, read_mx};

/// Names that are looked at; the root has thirteen.
const MOST_NAMES: usize = 13;

impl Surveyor {
    /// The name servers of the zone that a domain is in, and whether they have IPv6.
    pub(super) async fn name_servers(&self, domain: &Domain) -> NameServers {
        let apex = match self.resolver().apex(domain).await {
            Ok(apex) => apex,
            Err(why) => return NameServers::Failed(why),
        };
        let mut found = Vec::new();
        for name in apex.servers.into_iter().take(MOST_NAMES) {
            let ipv6 = match self.resolver().lookup(&name, RecordType::AAAA).await.answer {
                Answer::Found { value, .. } => Ok(value
                    .iter()
                    .filter_map(|record| <[u8; 16]>::try_from(record.rdata.as_slice()).ok())
                    .map(Ipv6Addr::from)
                    .collect()),
                Answer::Absent { .. } => Ok(Vec::new()),
                Answer::Failed(failure) => Err(failure.to_string()),
            };
            found.push(ServerName { name, ipv6 });
        }
        NameServers::Found(found)
    }

    /// Asks every server of `zone` for the zone's own records and for `wanted`: those that the zone
    /// names, and those that only the zone above names.
    pub(super) async fn servers(
        &self,
        zone: &Domain,
        wanted: Vec<(Domain, RecordType)>,
        depth: Depth,
    ) -> (Servers, Delegation) {
        let not_asked = |why: String| (Servers::NotAsked(why), Delegation::NotAsked);
        if depth == Depth::DnsOnly {
            return not_asked("only the resolver was asked".into());
        }
        let mut questions =
            vec![(zone.clone(), RecordType::SOA), (zone.clone(), RecordType::DNSKEY)];
        questions.extend(wanted);
        match self.0.tools.authorities.ask(zone, &questions).await {
            Err(Unasked::Nowhere(why)) => not_asked(why),
            Err(Unasked::Silent(why)) => (Servers::Unreached(why), Delegation::NotAsked),
            Ok(asked) => {
                let delegation = match asked.delegation {
                    Ok(Sides { above_only, zone_only }) => {
                        Delegation::Compared { above_only, zone_only }
                    }
                    Err(why) => Delegation::Failed(why),
                };
                (Servers::Asked(asked.answers.iter().map(told).collect()), delegation)
            }
        }
    }
}

fn told(answered: &Answered) -> NameServer {
    let answers = answered.answers.iter().map(|said| match &said.answer {
        Ok(response) => ServerAnswer {
            bogus: said.bogus.as_deref().map(Quoted::new),
            ..read(&said.owner, said.record_type, response)
        },
        Err(why) => ServerAnswer {
            name: said.owner.clone(),
            record_type: said.record_type.to_string(),
            digest: Err(why.clone()),
            signed: false,
            bogus: None,
            records: 0,
            exchanges: Vec::new(),
        },
    });
    NameServer {
        name: answered.name.clone(),
        address: answered.address,
        answers: answers.collect(),
    }
}

fn read(name: &Domain, record_type: RecordType, response: &Response) -> ServerAnswer {
    let owner = Name::from(name);
    let is_answer = |of: RecordType| of == record_type || of == RecordType::CNAME;
    let sets: Vec<_> = response
        .sets
        .iter()
        .filter(|set| set.owner == owner && is_answer(set.record_type))
        .collect();
    let mut hash = Context::new(&SHA256);
    let mut records = 0;
    for rdata in sets.iter().flat_map(|set| &set.rdata) {
        records += 1;
        hash.update(&u32::try_from(rdata.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(rdata);
    }
    let hash = hash.finish();
    // A server that points at others instead of answering has not got the zone.
    let lame = records == 0
        && response.sets.iter().any(|set| set.record_type == RecordType::NS)
        && !response.sets.iter().any(|set| set.record_type == RecordType::SOA);
    let signed = match sets.is_empty() {
        true => response.has_signatures(),
        false => sets.iter().any(|set| !set.signatures.is_empty()),
    };
    let digest = hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    let mx = sets.iter().filter(|set| set.record_type == RecordType::MX);
    let exchanges =
        mx.flat_map(|set| &set.rdata).filter_map(|rdata| match read_mx(rdata)?.exchange {
            Exchange::Host(name) => Some(Some(name)),
            Exchange::Null => Some(None),
            Exchange::Invalid(_) => None,
        });
    ServerAnswer {
        name: name.clone(),
        record_type: record_type.to_string(),
        digest: if lame {
            Err("a referral: it does not serve the zone".into())
        } else {
            Ok(digest)
        },
        signed,
        bogus: None,
        records,
        exchanges: exchanges.take(MOST_EXCHANGES).collect(),
    }
}
