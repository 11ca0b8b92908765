//! What is signed with DNSSEC, and what DANE makes of that.

use super::{Said, View, met, no_host, not_met, unknown, worst};
use crate::{
    assess::{Id, Signing, profile::Status},
    dns::{Absence, Answer, Authenticity, FailureKind},
    facts::{Dane, MxFact},
};

impl View<'_> {
    pub(in super::super) fn domain_signed(&self, asked: Dnssec) -> Said {
        asked.of(&self.survey.zone.signing)
    }

    pub(in super::super) fn dnssec_strong(&self) -> Said {
        let zones = || {
            let hosts = self.survey.hosts.iter().map(|host| &host.zone);
            std::iter::once(&self.survey.zone).chain(hosts).map(|zone| signed(&zone.signing))
        };
        match (self.none_of(&[Id::ZoneWeakAlgorithm]), first_unknown(zones())) {
            ((Status::Met, _), Some(why)) => unknown(why),
            ((Status::Met, _), None) if zones().all(|(status, _)| status != Status::Met) => {
                (Status::NotApplicable, "no zone is signed".into())
            }
            (judged, _) => judged,
        }
    }

    pub(in super::super) fn names_and_addresses_signed(&self) -> Said {
        let facts = &self.survey.facts;
        if matches!(facts.mx, MxFact::Configured) {
            return unknown("a route of the configuration names the host; DNS was not asked");
        }
        let secure = matches!(
            facts.mx,
            MxFact::Found { authenticity: Authenticity::Secure, .. }
                | MxFact::Implicit { absence: Absence::Secure, .. }
        );
        if !secure {
            return not_met("the MX records are not signed");
        }
        if facts.hosts.is_empty() {
            return no_host();
        }
        match facts.hosts.iter().find(|host| !host.addresses.is_secure()) {
            None => met("MX records and all addresses are signed"),
            Some(host) => match &host.addresses {
                Answer::Failed(failure) => unknown(failure.to_string()),
                Answer::Found { .. } | Answer::Absent { .. } => {
                    not_met(format!("the addresses of {} are not signed", host.host))
                }
            },
        }
    }

    pub(in super::super) fn all_signed(&self, asked: Dnssec) -> Said {
        let judged = self.survey.hosts.iter().map(|host| {
            let (status, evidence) = asked.of(&host.zone.signing);
            (status, format!("{}: {evidence}", host.host))
        });
        worst(judged).unwrap_or_else(|| unknown("no mail host was looked at"))
    }

    pub(in super::super) fn tlsa(&self) -> Said {
        if self.survey.facts.hosts.is_empty() {
            return no_host();
        }
        for host in &self.survey.facts.hosts {
            match &host.dane {
                Dane::Usable { .. } => {}
                Dane::LookupFailed(failure) => return unknown(failure.to_string()),
                Dane::Absent(_) => return not_met(format!("{} has no TLSA record", host.host)),
                Dane::Unusable { .. } => {
                    return not_met(format!("no TLSA record of {} can be used", host.host));
                }
            }
        }
        met("each mail host has usable TLSA records")
    }

    pub(in super::super) fn tlsa_matches(&self) -> Said {
        match self.tlsa() {
            (Status::Met, _) => {
                self.none_of(&[Id::TlsaNomatch, Id::TlsaOneAlgOnly, Id::TlsaAddrDiverges])
            }
            other => other,
        }
    }

    pub(in super::super) fn tlsa_rollover(&self) -> Said {
        match self.tlsa() {
            (Status::Met, _) => self.sessions(|| self.none_of(&[Id::TlsaNoNext])),
            other => other,
        }
    }
}

/// What is asked of DNSSEC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Dnssec {
    IsThere,
    Holds,
    HoldsWhereItIs,
}

impl Dnssec {
    fn of(self, signing: &Signing) -> Said {
        match (self, signing) {
            (Self::IsThere, Signing::Failed(failure)) if failure.kind == FailureKind::Bogus => {
                met(failure.to_string())
            }
            (Self::HoldsWhereItIs, Signing::Unsigned { because }) => {
                (Status::NotApplicable, because.clone())
            }
            (Self::IsThere | Self::Holds | Self::HoldsWhereItIs, _) => signed(signing),
        }
    }
}

fn signed(signing: &Signing) -> Said {
    match signing {
        Signing::Signed { .. } => met("signed"),
        Signing::Unsigned { because } => not_met(because.clone()),
        Signing::Failed(failure) if failure.kind == FailureKind::Bogus => {
            not_met(failure.to_string())
        }
        Signing::Failed(failure) => unknown(failure.to_string()),
        Signing::NotAsked => unknown("not looked at"),
    }
}

/// Why one of them is not known, where one is not.
fn first_unknown(mut judged: impl Iterator<Item = Said>) -> Option<String> {
    judged.find(|(status, _)| *status == Status::Unknown).map(|(_, why)| why)
}
