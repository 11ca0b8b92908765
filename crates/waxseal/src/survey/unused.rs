//! Hosts that the MTA-STS policy lists and no MX record names (RFC 8461 §4.1): hosts of yesterday and of
//! tomorrow. Whoever holds the policy delivers to them or refuses to, once an MX record names them.
//!
//! Anybody can write any name into a policy. So only the first few are asked, as politely as mail hosts
//! and after them, never at an address inside, and within the time of the survey.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::Mutex, task::JoinSet};
use waxseal_core::{
    assess::{MOST_UNUSED, PolicySurvey, Unused, UnusedHost},
    dns::{Answer, Denial},
    dnssec::RecordType,
    domain::Domain,
    facts::{Dane, Facts, HostFacts, MxFact, Peer},
    sts::{Mode, MxPattern},
};

use super::{Errand, Surveyor, span::late};
use crate::deliver::operator;

impl Surveyor {
    /// What the policy lists beside the mail hosts. Nothing where it is not known which those are.
    pub(super) async fn unused(
        &self,
        (facts, mx): (&Facts, Option<&[Domain]>),
        policy: &PolicySurvey,
        errand: &Errand,
    ) -> Unused {
        let (Some(mut mx), Some(policy)) =
            (mx.map(<[Domain]>::to_vec), policy.in_force(facts, errand.now))
        else {
            return Unused::default();
        };
        let takes_mail = match facts.mx {
            MxFact::Found { .. } | MxFact::Implicit { .. } | MxFact::Configured => true,
            MxFact::Null { .. } | MxFact::NoDomain { .. } | MxFact::Failed(_) => false,
        };
        if !takes_mail || policy.mode == Mode::None {
            return Unused::default();
        }
        mx.extend(facts.hosts.iter().filter_map(|host| match &host.host {
            Peer::Name(name) => Some(name.clone()),
            Peer::Literal(_) => None,
        }));
        let (mut names, mut patterns) = (Vec::new(), Vec::new());
        for pattern in policy.unused(&mx) {
            match pattern {
                MxPattern::Host(name) => names.push(name.clone()),
                MxPattern::OneBelow(_) => patterns.push(pattern.clone()),
            }
        }
        let more_hosts = names.len().saturating_sub(MOST_UNUSED);
        let more_patterns = patterns.len().saturating_sub(MOST_UNUSED);
        names.truncate(MOST_UNUSED);
        patterns.truncate(MOST_UNUSED);
        Unused { hosts: self.beside(names, errand).await, more_hosts, patterns, more_patterns }
    }

    /// Each of these hosts, side by side; those of one operator take turns.
    async fn beside(&self, names: Vec<Domain>, errand: &Errand) -> Vec<UnusedHost> {
        let errand = Errand { span: errand.span.apart(), ..errand.clone() };
        let mut asking = JoinSet::new();
        let mut lines: HashMap<String, Arc<Mutex<()>>> = HashMap::new();
        for (place, name) in names.into_iter().enumerate() {
            let line = Arc::clone(lines.entry(operator(&Peer::Name(name.clone()))).or_default());
            let (surveyor, errand) = (self.clone(), errand.clone());
            asking.spawn(async move { (place, surveyor.apart(name, &errand, &line).await) });
        }
        let mut found = asking.join_all().await;
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, host)| host).collect()
    }

    async fn apart(&self, host: Domain, errand: &Errand, line: &Mutex<()>) -> UnusedHost {
        let gathering = self.0.tools.gatherer.host(&host, errand.now);
        let facts = errand.span.within("", gathering).await;
        let facts = facts.unwrap_or_else(|| unknown(&host));
        let unregistered = errand.span.within("", self.unregistered(&host, &facts)).await;
        let addresses = self.addresses(&host, &facts, errand, line).await;
        UnusedHost { host, facts, unregistered: unregistered.flatten(), addresses }
    }

    /// The domain that somebody could register to get the name, where nobody has it.
    async fn unregistered(&self, host: &Domain, facts: &HostFacts) -> Option<Domain> {
        let Answer::Absent { denial: Denial::NxDomain, .. } = facts.addresses else { return None };
        let above = Domain::parse(&host.operator()).ok()?;
        match self.resolver().lookup(&above, RecordType::NS).await.answer {
            Answer::Absent { denial: Denial::NxDomain, .. } => Some(above),
            Answer::Absent { denial: Denial::NoData, .. }
            | Answer::Found { .. }
            | Answer::Failed(_) => None,
        }
    }
}

/// Of a host of which nothing was found out in time.
fn unknown(host: &Domain) -> HostFacts {
    HostFacts {
        host: Peer::Name(host.clone()),
        preference: 0,
        port: 25,
        addresses: Answer::Failed(late(host)),
        refused: Vec::new(),
        expanded: None,
        dane: Dane::LookupFailed(late(host)),
    }
}
