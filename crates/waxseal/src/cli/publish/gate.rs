//! `waxseal publish gate`: every server asked, every door judged.

use std::collections::BTreeMap;

use waxseal_core::{
    domain::Domain,
    publish::{
        Memory,
        gate::{self, Door, Item},
    },
    time::UnixTime,
};

use super::{Change, GateArgs, choose, exit_of, json, open, show};
use crate::{
    cli::{Context, Exit, Output},
    config::Config,
    publish::{DomainWanted, HostWanted, Looker, Wanted},
    queue::system_clock,
};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The doors.
    pub(super) items: Vec<Item>,
    /// Hosts whose keys could not be seen, and why. No door depends on it.
    pub(super) not_seen: BTreeMap<Domain, Vec<String>>,
}

pub(super) async fn run(
    args: &GateArgs,
    config: &Config,
    wanted: Wanted,
    context: &Context,
) -> anyhow::Result<Exit> {
    let wanted = choose(wanted, &args.names)?;
    let looker = Looker::new(config).map_err(|error| Exit::Config.because(error))?;
    let now = system_clock()();
    let mut state = open(config, now)?;
    let only = args.only.map(Change::door);
    let mut looked = Looked::default();
    if only.is_none_or(|door| door == Door::Key) {
        for host in wanted.hosts.iter().filter(|host| matters(host)) {
            let name = &host.keys.host;
            let memory = state.memory.hosts.entry(name.clone()).or_default();
            let (doors, shown) =
                tokio::join!(looker.keys(host, memory, now), looker.shown(name, now));
            looked.items.extend(doors);
            looked.items.extend(shown.doors(&host.keys, now));
            if !shown.unknown.is_empty() {
                looked.not_seen.insert(name.clone(), shown.unknown);
            }
        }
    }
    if only.is_none_or(|door| door != Door::Key) {
        for domain in &wanted.domains {
            looked.items.extend(doors(&looker, domain, (&mut state.memory, now)).await);
        }
    }
    looked.items.retain(|item| only.is_none_or(|door| door == item.door));
    // What opens a door has to be remembered, or the next look would close it again.
    state.save().map_err(|error| Exit::Unknown.because(error.to_string()))?;
    match context.output {
        Output::Text => context.show(&show::gate(&looked, state.clock, context.paint))?,
        Output::Json => context.print(json::gate(&looked, state.clock, now))?,
    }
    Ok(exit_of(gate::verdict(&looked.items)))
}

/// A host without a next key has nothing to wait for, but its keys in use are looked at.
fn matters(host: &HostWanted) -> bool {
    !host.keys.next.is_empty() || !host.keys.current.is_empty()
}

async fn doors(
    looker: &Looker,
    domain: &DomainWanted,
    (memory, now): (&mut Memory, UnixTime),
) -> Vec<Item> {
    let facts = looker.policy(domain, memory).await;
    let known = memory.domains.entry(domain.domain.clone()).or_default();
    let mut items = gate::policy(&facts, &mut known.policy, now);
    if domain.sts.is_none() && known.policy.longest_max_age == 0 {
        // Never had MTA-STS, and wants none: nothing is waited for.
        items.retain(|item| !item.is_open());
    }
    items
}
