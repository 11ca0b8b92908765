//! MTA-STS in more detail than the gateway needs (RFC 8461).

use waxseal_core::{
    assess::{PolicySurvey, Published},
    domain::Domain,
};

use super::{Depth, Surveyor};

impl Surveyor {
    /// The record, and what the policy host serves now.
    pub(super) async fn policy(&self, domain: &Domain, depth: Depth) -> PolicySurvey {
        let record = self.policy_record(domain).await;
        let absence = match &record {
            Published::Absent { absence, .. } => Some(*absence),
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Failed(_)
            | Published::NotAsked => None,
        };
        match depth {
            Depth::DnsOnly | Depth::Full => {
                PolicySurvey { record, absence, ..PolicySurvey::default() }
            }
        }
    }
}
