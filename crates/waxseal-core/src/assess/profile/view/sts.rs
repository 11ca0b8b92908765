//! The MTA-STS policy, and whether the mail hosts keep it.

use super::{Said, View, met, not_met, unknown};
use crate::{
    assess::{Id, Published, profile::Status},
    facts::StsFailure,
    sts::Mode,
    witness::{Missing, Weighed, weigh_of},
};

impl View<'_> {
    pub(in super::super) fn policy(&self, enough: impl Fn(Mode) -> bool) -> Said {
        match (&self.survey.policy.served, &self.survey.policy.record) {
            (Some(Ok(policy)), Published::Found { .. }) if enough(policy.mode) => {
                met(format!("mode: {}", policy.mode))
            }
            (Some(Ok(policy)), Published::Found { .. }) => {
                not_met(format!("mode: {}", policy.mode))
            }
            (_, Published::Absent { .. }) => {
                match weigh_of(&self.survey.facts.witnesses, Missing::StsRecord) {
                    Weighed::Contradicted => unknown("others see the record, and we do not"),
                    Weighed::Agreed | Weighed::Unconfirmed => not_met("no _mta-sts record"),
                }
            }
            (_, Published::Broken { why, .. }) => not_met(why.clone()),
            (_, Published::Failed(failure)) => unknown(failure.to_string()),
            (Some(Err(StsFailure::Unreached(why))), Published::Found { .. }) => {
                unknown(why.clone())
            }
            (Some(Err(StsFailure::Record(failure))), Published::Found { .. }) => {
                unknown(failure.to_string())
            }
            (
                Some(Err(
                    StsFailure::Fetch(why)
                    | StsFailure::Certificate(why)
                    | StsFailure::Invalid(why),
                )),
                Published::Found { .. },
            ) => not_met(why.clone()),
            (_, Published::Found { .. } | Published::NotAsked) => {
                unknown("the policy was not fetched")
            }
        }
    }

    pub(in super::super) fn sts_consistent(&self) -> Said {
        match self.policy(|mode| mode != Mode::None) {
            (Status::Met, _) => self.sessions(|| {
                self.none_of(&[Id::StsMxMismatch, Id::StsCertVsMx, Id::StsDaneConflict])
            }),
            other => other,
        }
    }

    pub(in super::super) fn sts_without_wildcard(&self) -> Said {
        match self.policy(|mode| mode != Mode::None) {
            (Status::Met, _) => self.none_of(&[Id::StsWildcard]),
            other => other,
        }
    }
}
