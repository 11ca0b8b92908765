//! DKIM by our own resolver: a second proof for networks that we share with strangers, and the proof
//! that a stranger's address is his own.

use waxseal_core::{
    dkim::{self, Claim},
    dns::Answer,
    domain::Domain,
};

use super::parts::{Live, Parts};
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
            // Only our own domains are asked about: a stranger cannot make us look up others.
            let ours =
                |signer: &Domain| parts.config.domains.iter().any(|domain| domain.name == *signer);
            signers(&parts, message, ours).await
        })
    }
}

/// Which of the `wanted` domains signed a message.
///
/// # Errors
/// None did as far as we know, and a key could not be looked up.
pub(super) async fn signers(
    parts: &Parts,
    message: &[u8],
    wanted: impl Fn(&Domain) -> bool + Send,
) -> Result<Vec<Domain>, DkimUnknown> {
    let mut valid = Vec::new();
    let mut unknown = false;
    let claims: Vec<Claim> = dkim::claims(message);
    for claim in claims.into_iter().filter(|claim| wanted(&claim.domain)) {
        match parts.resolver.txt(&claim.key_name).await.answer {
            Answer::Found { value, .. } => {
                let now = Clock::system().now();
                let good = |record: &Vec<u8>| match claim.check(message, record, now) {
                    Ok(()) => true,
                    Err(fault) => {
                        tracing::info!("a signature of {} was refused: {fault}", claim.domain);
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
}
