//! IPv6 of mail hosts and of name servers.

use std::net::IpAddr;

use super::{Said, View, met, no_host, not_met, unknown};
use crate::{
    assess::{Contact, HostSurvey, NameServer, NameServers, Observed, Servers},
    dns::Answer,
    facts::Peer,
};

impl View<'_> {
    /// Two, so that one may fail.
    pub(in super::super) fn name_servers_have_ipv6(&self) -> Said {
        let all = match &self.survey.name_servers {
            NameServers::NotAsked => return unknown("not looked at"),
            NameServers::Failed(why) => return unknown(why.clone()),
            NameServers::Found(all) => all,
        };
        let have = all.iter().filter(|one| one.ipv6.as_ref().is_ok_and(|six| !six.is_empty()));
        let told =
            format!("{} of {} name servers have an IPv6 address", have.clone().count(), all.len());
        let open = all.iter().find_map(|one| Some((&one.name, one.ipv6.as_ref().err()?)));
        match (have.count(), open) {
            (2.., _) => met(told),
            (_, Some((name, why))) => unknown(format!("{name}: {why}")),
            (_, None) => not_met(told),
        }
    }

    pub(in super::super) fn name_servers_answer(&self) -> Said {
        let wanted: Vec<IpAddr> = match &self.survey.name_servers {
            NameServers::NotAsked | NameServers::Failed(_) => Vec::new(),
            NameServers::Found(all) => all
                .iter()
                .flat_map(|one| one.ipv6.iter().flatten().copied())
                .map(IpAddr::from)
                .collect(),
        };
        if wanted.is_empty() {
            return match self.name_servers_have_ipv6() {
                (super::Status::Unknown, why) => unknown(why),
                _ => not_met("there is no IPv6 address"),
            };
        }
        let asked = match &self.survey.zone.servers {
            Servers::NotAsked(why) | Servers::Unreached(why) => return unknown(why.clone()),
            Servers::Asked(asked) => asked,
        };
        let silent = |one: &&NameServer| one.answers.iter().all(|answer| answer.digest.is_err());
        // Where nothing of the family answers, it may be our own way out.
        let family = asked.iter().any(|one| one.address.is_ipv6() && !silent(&one));
        let mut open = None;
        for ip in wanted {
            match asked.iter().find(|one| one.address == ip) {
                None => open = Some(format!("[{ip}] was not asked")),
                Some(one) if !silent(&one) => {}
                Some(_) if family => return not_met(format!("[{ip}] does not answer")),
                Some(_) => open = Some(format!("[{ip}] did not answer")),
            }
        }
        match open {
            Some(why) => unknown(why),
            None => met("they answer"),
        }
    }

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
            match (&host.addresses, survey.and_then(HostSurvey::ipv6_unknown)) {
                (Answer::Found { value, .. }, _) if value.iter().any(IpAddr::is_ipv6) => {}
                (Answer::Failed(failure), _) => open = Some(failure.to_string()),
                // The question for AAAA records had no answer that holds.
                (Answer::Found { .. } | Answer::Absent { .. }, Some(fault)) => {
                    open = Some(fault.to_owned());
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
