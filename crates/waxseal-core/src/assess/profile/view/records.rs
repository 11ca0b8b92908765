//! What is published beside hosts and policy: TLSRPT, SPF, DMARC, DKIM, CAA.

use super::{Said, View, met, not_met, unknown, worst};
use crate::{
    assess::{Dmarc, Id, Published, SpfAll, mail::restricts_issuance, profile::Status},
    dns::Denial,
};

impl View<'_> {
    pub(in super::super) fn tlsrpt(&self) -> Said {
        published(&self.survey.tlsrpt, |_| met("TLS reports are asked for"))
    }

    pub(in super::super) fn spf(&self, enough: impl Fn(SpfAll) -> bool) -> Said {
        published(&self.survey.mail.spf, |spf| {
            let judged = self.none_of(&[Id::SpfBroken]);
            if judged.0 == Status::Met && !spf.unknown.is_empty() {
                return unknown(spf.unknown.join("; "));
            }
            // A last word that nobody comes to is none.
            let all = if spf.open.is_empty() { spf.all } else { SpfAll::Pass };
            if enough(all) {
                judged
            } else if !spf.open.is_empty() {
                not_met(format!("nearly everybody passes: {}", spf.open.join("; ")))
            } else if spf.all == SpfAll::Unknown {
                unknown("its last word depends on each message")
            } else {
                not_met(format!("its last word is {:?}", spf.all))
            }
        })
    }

    pub(in super::super) fn dmarc(&self, enough: impl Fn(&Dmarc) -> bool) -> Said {
        published(&self.survey.mail.dmarc, |dmarc| {
            let seen = format!("at {}: {:?}, testing {}", dmarc.at, dmarc.policy, dmarc.testing);
            if enough(dmarc) { met(seen) } else { not_met(seen) }
        })
    }

    pub(in super::super) fn dkim(&self) -> Said {
        let keys = &self.survey.mail.dkim;
        let failed = keys.iter().find_map(|(_, key)| match key {
            Published::Failed(failure) => Some(failure.to_string()),
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::NotAsked => None,
        });
        match (self.none_of(&[Id::DkimKey, Id::DkimOtherKey]), failed) {
            _ if keys.is_empty() => unknown("no selector was given"),
            ((Status::Met, _), Some(why)) => unknown(why),
            (judged, _) => judged,
        }
    }

    /// Whether there is something at `_domainkey`, or below it.
    pub(in super::super) fn domainkey(&self) -> Said {
        if self.survey.mail.sends_nothing() {
            return (Status::NotApplicable, "nothing is sent from the domain".into());
        }
        match &self.survey.mail.domainkey {
            Published::Found { .. } | Published::Broken { .. } => met("_domainkey has records"),
            Published::Absent { denial: Denial::NoData, .. } => met("_domainkey is there"),
            Published::Absent { denial: Denial::NxDomain, .. } => not_met("there is no _domainkey"),
            Published::Failed(failure) => unknown(failure.to_string()),
            Published::NotAsked => unknown("not looked at"),
        }
    }

    /// CAA counts for the name in the certificate, which is that of the mail host (RFC 8659 §3).
    pub(in super::super) fn caa(&self) -> Said {
        let judged = self.survey.hosts.iter().map(|host| {
            let (status, evidence) = published(&host.caa, |caa| match restricts_issuance(caa) {
                true => met("CAA says who may issue"),
                false => not_met("CAA does not say who may issue"),
            });
            (status, format!("{}: {evidence}", host.host))
        });
        worst(judged).unwrap_or_else(|| unknown("no mail host was looked at"))
    }
}

fn published<T>(record: &Published<T>, judge: impl FnOnce(&T) -> Said) -> Said {
    match record {
        Published::Found { value, .. } => judge(value),
        Published::Broken { why, .. } => not_met(why.clone()),
        Published::Absent { .. } => not_met("no record"),
        Published::Failed(failure) => unknown(failure.to_string()),
        Published::NotAsked => unknown("not looked at"),
    }
}
