//! Which hosts take mail for a destination (RFC 5321 §5.1, RFC 7505).

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use tokio::task::JoinSet;
use waxseal_core::{
    dns::{Absence, Answer, Denial, FailureKind, LookupFailure},
    domain::Domain,
    facts::{HostFacts, MxFact},
    time::UnixTime,
    witness::{Missing, Weighed, Witnessed, weigh},
};

use super::{AFTER_FAILURE, LONGEST, Noted, Notes, Shared};
use crate::resolve::{Exchange, Mx};

/// The most MX hosts of one destination that are looked at: the best ones.
const MAX_HOSTS: usize = 20;

impl Shared {
    /// The exchangers and what is known of each.
    pub(super) async fn exchangers(
        self: &Arc<Self>,
        destination: &Domain,
        now: UnixTime,
    ) -> Noted<(MxFact, Vec<HostFacts>, Vec<Witnessed>)> {
        let mut notes = Notes { until: now + LONGEST, blobs: Vec::new() };
        let lookup = self.dns.mx(destination).await;
        notes.lookup(&lookup, now);
        let expanded = lookup.secure_expansion();
        let (fact, mut hosts) = match lookup.answer {
            Answer::Found { value, authenticity, chain, .. } if is_null(&value) => {
                (MxFact::Null { authenticity, chain }, Vec::new())
            }
            Answer::Found { value, authenticity, chain, .. } => {
                (MxFact::Found { authenticity, expanded, chain }, listed(value))
            }
            Answer::Absent { denial: Denial::NxDomain, absence, chain, .. } => {
                (MxFact::NoDomain { absence, chain }, Vec::new())
            }
            Answer::Absent { denial: Denial::NoData, absence, chain, .. } => {
                (MxFact::Implicit { absence, chain }, vec![(0, destination.clone())])
            }
            Answer::Failed(failure) => (MxFact::Failed(failure), Vec::new()),
        };
        let (fact, witnesses) = self.confirmed(fact, destination).await;
        if matches!(fact, MxFact::Failed(_)) {
            hosts.clear();
        }
        if !witnesses.is_empty() && weigh(&witnesses) != Weighed::Agreed {
            notes.until = notes.until.min(now + AFTER_FAILURE);
        }
        let found = self.ask_hosts(hosts, now, &mut notes).await;
        let Notes { until, blobs } = notes;
        let fact = match found {
            Some(hosts) => (fact, hosts, witnesses),
            None => {
                let detail = "asking about a host ended early: a bug in Waxseal".to_owned();
                let (name, kind) = (destination.into(), FailureKind::Indeterminate);
                let failure = LookupFailure { name, kind, detail };
                (MxFact::Failed(failure), Vec::new(), witnesses)
            }
        };
        Noted { fact, until, blobs }
    }

    /// The fact after others were asked about an absence that nobody signs. Where one of them sees
    /// something, nothing is sent before ours does: the address of the domain may be a trap.
    async fn confirmed(&self, fact: MxFact, destination: &Domain) -> (MxFact, Vec<Witnessed>) {
        let (missing, chain) = match &fact {
            MxFact::Implicit { absence: Absence::Unconfirmed, chain } => (Missing::Mx, *chain),
            MxFact::NoDomain { absence: Absence::Unconfirmed, chain } => (Missing::Domain, *chain),
            MxFact::Implicit { .. }
            | MxFact::NoDomain { .. }
            | MxFact::Found { .. }
            | MxFact::Null { .. }
            | MxFact::Configured
            | MxFact::Failed(_) => return (fact, Vec::new()),
        };
        let heard = self.hear(destination, missing).await;
        let absence = Absence::Agreed;
        let fact = match (weigh(&heard.said), missing) {
            (Weighed::Unconfirmed, _) => fact,
            (Weighed::Agreed, Missing::Domain) => MxFact::NoDomain { absence, chain },
            (Weighed::Agreed, Missing::Mx | Missing::StsRecord) => {
                MxFact::Implicit { absence, chain }
            }
            (Weighed::Contradicted, _) => MxFact::Failed(LookupFailure {
                name: destination.into(),
                kind: FailureKind::Indeterminate,
                detail: format!("others see {missing}, our own resolver does not"),
            }),
        };
        (fact, heard.said)
    }

    /// Asks about all hosts side by side. Where every answer about one is known there is nothing to
    /// wait for, and no task is made: waking a thread for it costs more than the facts.
    ///
    /// `None` where a task died: a host that is silently missing could be the one that matters.
    async fn ask_hosts(
        self: &Arc<Self>,
        hosts: Vec<(u16, Domain)>,
        now: UnixTime,
        notes: &mut Notes,
    ) -> Option<Vec<HostFacts>> {
        let (mut found, mut asking) = (Vec::new(), JoinSet::new());
        for (place, (preference, name)) in hosts.into_iter().enumerate() {
            let shared = Arc::clone(self);
            let mut host = Box::pin(async move { shared.exchanger(name, preference, now).await });
            match poll_fn(|context| Poll::Ready(host.as_mut().poll(context))).await {
                Poll::Ready(noted) => found.push((place, notes.take(noted))),
                Poll::Pending => {
                    asking.spawn(async move { (place, host.await) });
                }
            }
        }
        while let Some(host) = asking.join_next().await {
            let Ok((place, noted)) = host else {
                notes.until = now;
                return None;
            };
            found.push((place, notes.take(noted)));
        }
        found.sort_by_key(|(place, _)| *place);
        Some(found.into_iter().map(|(_, host)| host).collect())
    }
}

/// `MX 0 .` alone (RFC 7505 §3).
fn is_null(records: &[Mx]) -> bool {
    !records.is_empty() && records.iter().all(|mx| mx.exchange == Exchange::Null)
}

/// Hosts by preference, each once at its best. A null MX beside others breaks RFC 7505 §3 and is
/// ignored; a name that cannot be a host's never resolves.
fn listed(mut records: Vec<Mx>) -> Vec<(u16, Domain)> {
    records.sort();
    let mut seen = BTreeSet::new();
    records
        .into_iter()
        .filter_map(|mx| match mx.exchange {
            Exchange::Host(host) => seen.insert(host.clone()).then_some((mx.preference, host)),
            Exchange::Null | Exchange::Invalid(_) => None,
        })
        .take(MAX_HOSTS)
        .collect()
}
