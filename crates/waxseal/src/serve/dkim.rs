//! DKIM as a second proof for networks that we share with strangers: keys by our own resolver.

use waxseal_core::{
    dkim::{self, Claim},
    dns::Answer,
};

use super::parts::Live;
use crate::{
    listen::{DkimUnknown, DkimVerifier, Verification},
    resolve::Clock,
};

/// Checks signatures with the resolver in force.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Live);

impl DkimVerifier for Verifier {
    fn verify<'a>(&'a self, message: &'a [u8]) -> Verification<'a> {
        Box::pin(async move {
            let parts = self.0.now();
            let ours = |claim: &Claim| {
                parts.config.domains.iter().any(|domain| domain.name == claim.domain)
            };
            let mut valid = Vec::new();
            let mut unknown = false;
            // Only our own domains are asked about: a stranger cannot make us look up others.
            for claim in dkim::claims(message).into_iter().filter(ours) {
                match parts.resolver.txt(&claim.key_name).await.answer {
                    Answer::Found { value, .. } => {
                        let now = Clock::system().now();
                        let good = |record: &Vec<u8>| match claim.check(message, record, now) {
                            Ok(()) => true,
                            Err(fault) => {
                                tracing::info!(
                                    "a signature of {} was refused: {fault}",
                                    claim.domain
                                );
                                false
                            }
                        };
                        // RFC 6376 §3.6.2.2: several records are undefined; the first counts.
                        if value.first().is_some_and(good) {
                            valid.push(claim.domain);
                        }
                    }
                    Answer::Absent { .. } => {}
                    Answer::Failed(_) => unknown = true,
                }
            }
            if valid.is_empty() && unknown { Err(DkimUnknown) } else { Ok(valid) }
        })
    }
}
