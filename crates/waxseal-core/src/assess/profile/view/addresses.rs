//! IPv6 of mail hosts.

use std::net::IpAddr;

use super::{Said, View, met, no_host, not_met, unknown};
use crate::{
    assess::{Contact, Observed},
    dns::Answer,
    facts::Peer,
};

impl View<'_> {
    pub(in super::super) fn ipv6(&self) -> Said {
        if self.survey.facts.hosts.is_empty() {
            return no_host();
        }
        let mut open = None;
        for host in &self.survey.facts.hosts {
            let survey = match &host.host {
                Peer::Name(name) => self.survey.hosts.iter().find(|one| one.host == *name),
                Peer::Literal(_) => None,
            };
            match (&host.addresses, survey.and_then(|survey| survey.aaaa_fault.as_ref())) {
                (Answer::Found { value, .. }, _) if value.iter().any(IpAddr::is_ipv6) => {}
                (Answer::Failed(failure), _) => open = Some(failure.to_string()),
                // The question for AAAA records had no answer that holds.
                (Answer::Found { .. } | Answer::Absent { .. }, Some(fault)) => {
                    open = Some(fault.clone());
                }
                (Answer::Found { .. } | Answer::Absent { .. }, None) => {
                    return not_met(format!("{} has no IPv6 address", host.host));
                }
            }
        }
        match open {
            Some(why) => unknown(why),
            None => met("each mail host has an IPv6 address"),
        }
    }

    pub(in super::super) fn ipv6_answers(&self) -> Said {
        let found = || {
            let hosts = self.survey.hosts.iter().flat_map(|host| &host.addresses);
            hosts.filter(|address| address.ip.is_ipv6())
        };
        let answers = |observed: &Observed| match observed {
            Observed::Probed(probe) => match probe.contact {
                Contact::Spoke { .. } | Contact::Misbehaved(_) => true,
                Contact::TurnedAway(_) | Contact::Unreachable(_) => false,
            },
            Observed::Not(_) => false,
        };
        // Where nothing of the family answers, it may be our own way out.
        let family = found().any(|address| answers(&address.observed));
        let mut open = None;
        for address in found().filter(|address| !answers(&address.observed)) {
            let ip = address.ip;
            match &address.observed {
                Observed::Probed(probe) => match &probe.contact {
                    Contact::Unreachable(why) if family => {
                        return not_met(format!("[{ip}]: {why}"));
                    }
                    Contact::Unreachable(why) => open = Some(format!("[{ip}]: {why}")),
                    Contact::TurnedAway(reply) => open = Some(format!("[{ip}]: {reply}")),
                    Contact::Spoke { .. } | Contact::Misbehaved(_) => {}
                },
                Observed::Not(_) => open = Some(format!("[{ip}] was not looked at")),
            }
        }
        match (open, found().next()) {
            (Some(why), _) => unknown(why),
            (None, Some(_)) => met("they answer"),
            // None is there, or none is known.
            (None, None) => match self.ipv6() {
                (super::Status::Unknown, why) => unknown(why),
                _ => not_met("there is no IPv6 address"),
            },
        }
    }
}
