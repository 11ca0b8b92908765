//! Whether all servers of a zone say the same.

use std::net::Ipv6Addr;

use waxseal_core::{
    assess::{Delegation, NameServers, ServerName, Servers},
    dns::Answer,
    dnssec::RecordType,
    domain::Domain,
};

use super::{Depth, Surveyor};
use crate::resolve::{Sides, Unasked};

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
                (Servers::Asked(asked.servers), delegation)
            }
        }
    }
}
