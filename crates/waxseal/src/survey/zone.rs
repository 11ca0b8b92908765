//! How the zone around a name is signed. Nothing is asked for that an ordinary resolver would not
//! ask: the proofs that come with answers tell.

use waxseal_core::{
    assess::{Delegation, Servers, Signing, ZoneSurvey},
    dns::{Answer, Proof},
    dnssec::{Name, RecordType, signing},
    domain::Domain,
    time::UnixTime,
};

use super::{
    Errand, Surveyor,
    span::{USED_UP, late},
};

/// How many names are looked at on the way up to the apex of an unsigned zone.
const MOST_STEPS: usize = 6;

impl Surveyor {
    /// The zone around `name`, and what its servers say to `wanted`.
    pub(super) async fn zone(
        &self,
        name: &Domain,
        wanted: Vec<(Domain, RecordType)>,
        errand: &Errand,
    ) -> ZoneSurvey {
        let Errand { scope, now, span } = errand;
        let signing = self.signing(name, &wanted, *now);
        let (zone, signing) = match span.within(format!("how {name} is signed"), signing).await {
            Some(found) => found,
            None => (name.clone(), Signing::Failed(late(name))),
        };
        let (servers, delegation) = match &signing {
            // Which zone it is could not be found out.
            Signing::Failed(failure) => {
                (Servers::NotAsked(failure.detail.clone()), Delegation::NotAsked)
            }
            Signing::Signed { .. } | Signing::Unsigned { .. } | Signing::NotAsked => {
                let asking = self.servers(&zone, wanted, scope.depth);
                let asked = span.within(format!("the name servers of {zone}"), asking).await;
                let late = || (Servers::NotAsked(USED_UP.into()), Delegation::NotAsked);
                asked.unwrap_or_else(late)
            }
        };
        ZoneSurvey { zone, signing, servers, delegation }
    }

    /// How the zone is signed that holds `name`, and until when: some signers renew each set by
    /// itself, so that those which senders depend on may run out before the others.
    async fn signing(
        &self,
        name: &Domain,
        wanted: &[(Domain, RecordType)],
        now: UnixTime,
    ) -> (Domain, Signing) {
        let lookup = self.resolver().lookup(name, RecordType::SOA).await;
        if let Answer::Failed(failure) = lookup.answer {
            return (name.clone(), Signing::Failed(failure));
        }
        let proof = lookup.chain.unwrap_or_default();
        let read = signing(&Name::from(name), &[&proof], now);
        match (lookup.proof, read) {
            (Some(Proof::Secure), Some(read)) => {
                let zone = read.apex.to_domain().unwrap_or_else(|| name.clone());
                let mut proofs = vec![proof];
                let all = std::iter::once((zone.clone(), RecordType::NSEC3PARAM))
                    .chain(wanted.iter().cloned());
                for (owner, record_type) in all {
                    let lookup = self.resolver().lookup(&owner, record_type).await;
                    if lookup.proof == Some(Proof::Secure) {
                        proofs.extend(lookup.chain);
                    }
                }
                let proofs: Vec<&[u8]> = proofs.iter().map(AsRef::as_ref).collect();
                let with = signing(&Name::from(name), &proofs, now).unwrap_or(read);
                let signing = Signing::Signed {
                    algorithms: with.algorithms,
                    smallest_rsa: with.smallest_rsa,
                    first_expiry: with.first_expiry,
                    signed_at: Some(with.signed_at),
                    nsec3_iterations: with.nsec3_iterations,
                    ds_digests: with.ds_digests,
                };
                (zone, signing)
            }
            (_, _) => {
                let zone = self.apex(name).await;
                (zone, Signing::Unsigned { because: lookup.because })
            }
        }
    }

    /// The nearest name upwards that has a SOA record, or the name itself where none is found.
    async fn apex(&self, name: &Domain) -> Domain {
        let mut at = name.clone();
        for _ in 0..MOST_STEPS {
            let lookup = self.resolver().lookup(&at, RecordType::SOA).await;
            if matches!(lookup.answer, Answer::Found { .. }) && lookup.aliases.is_empty() {
                return at;
            }
            match at.parent() {
                Some(parent) if parent.as_str().contains('.') => at = parent,
                Some(_) | None => break,
            }
        }
        name.clone()
    }
}
