//! Asks resolvers of other operators about an absence that nobody signs.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use waxseal_core::{
    dns::{Answer, Denial},
    domain::Domain,
    sts::{PolicyId, announced},
    witness::{Missing, Testimony, Witnessed},
};

use super::{Dns, Shared};

/// How long all witnesses together may take: mail waits for them at first contact.
const LIMIT: Duration = Duration::from_secs(5);

/// A resolver of another operator, on another path than our own. It validates as ours does.
#[derive(Clone)]
pub struct Witness {
    /// As the configuration names it.
    pub name: String,
    /// How it is asked.
    pub dns: Arc<dyn Dns>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Witness").field(&self.name).finish()
    }
}

/// What they said.
pub(super) struct Heard {
    pub(super) said: Vec<Witnessed>,
    /// The policy that one of them sees announced, the first as configured.
    pub(super) announced: Option<PolicyId>,
}

impl Shared {
    /// Asks all witnesses side by side. One that does not answer in time has failed.
    pub(super) async fn hear(&self, destination: &Domain, missing: Missing) -> Heard {
        let mut asking = JoinSet::new();
        for (place, witness) in self.settings.witnesses.iter().cloned().enumerate() {
            let destination = destination.clone();
            asking.spawn(async move {
                let asked = timeout(LIMIT, ask(&witness, &destination, missing)).await;
                let silent = || (Testimony::Failed(format!("silent for {LIMIT:?}")), None);
                (place, asked.unwrap_or_else(|_| silent()))
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asking.join_next().await {
            answers.extend(answer);
        }
        let mut heard = Heard { said: Vec::new(), announced: None };
        for (place, witness) in self.settings.witnesses.iter().enumerate() {
            let answer = answers.iter().find(|(at, _)| *at == place);
            let (said, id) = answer.map_or_else(
                || (Testimony::Failed("asking ended early: a bug in Waxseal".to_owned()), None),
                |(_, answer)| answer.clone(),
            );
            heard.announced = heard.announced.or(id);
            heard.said.push(Witnessed { missing, witness: witness.name.clone(), said });
        }
        heard
    }
}

/// What one says, and the policy that it sees announced.
async fn ask(
    witness: &Witness,
    destination: &Domain,
    missing: Missing,
) -> (Testimony, Option<PolicyId>) {
    match missing {
        Missing::StsRecord => {
            // A name that is too long has no record anywhere.
            let Ok(name) = destination.below("_mta-sts") else { return (Testimony::Agrees, None) };
            match witness.dns.txt(&name).await.answer {
                Answer::Found { value, .. } => match announced(&value) {
                    Ok(id) => (Testimony::Contradicts, Some(id)),
                    Err(_) => (Testimony::Agrees, None),
                },
                Answer::Absent { .. } => (Testimony::Agrees, None),
                Answer::Failed(failure) => (Testimony::Failed(failure.to_string()), None),
            }
        }
        Missing::Mx | Missing::Domain => {
            let said = match (witness.dns.mx(destination).await.answer, missing) {
                (Answer::Found { .. }, _)
                | (Answer::Absent { denial: Denial::NoData, .. }, Missing::Domain) => {
                    Testimony::Contradicts
                }
                (Answer::Absent { .. }, _) => Testimony::Agrees,
                (Answer::Failed(failure), _) => Testimony::Failed(failure.to_string()),
            };
            (said, None)
        }
    }
}
