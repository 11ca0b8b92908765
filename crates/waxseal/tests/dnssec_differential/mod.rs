//! Our validator, unbound and BIND's delv are asked the same questions about the same tree of good
//! and bad zones. They have to agree, and ours must never say "secure" where one of them does not.

mod oracles;
mod world;

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};
use waxseal::resolve::{Resolver, Settings, Transport, Upstream};
use waxseal_core::{
    dns::{Absence, Answer, Authenticity},
    dnssec::{Anchors, RecordType},
    domain::Domain,
};
use waxseal_lab::dns::{DnsServer, Tree};

pub(crate) use self::oracles::Unbound;
use self::{
    oracles::Delv,
    world::{Expected, World},
};

/// What a validator makes of an answer. A resolver says SERVFAIL for bogus and for broken alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Secure,
    Insecure,
    Failed,
}

/// One question of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    name: String,
    record_type: String,
}

async fn ours(resolver: &Resolver, case: &Case) -> (State, String) {
    let name = Domain::parse(&case.name).unwrap();
    let record_type: RecordType = case.record_type.parse().unwrap();
    let lookup = resolver.lookup(&name, record_type).await;
    let state = match &lookup.answer {
        Answer::Found { authenticity: Authenticity::Secure, .. }
        | Answer::Absent { absence: Absence::Secure, .. } => State::Secure,
        Answer::Found { authenticity: Authenticity::Insecure, .. }
        | Answer::Absent { absence: Absence::Agreed | Absence::Unconfirmed, .. } => State::Insecure,
        Answer::Failed(_) => State::Failed,
    };
    (state, lookup.because)
}

/// Attackers on the path and broken zones alike: three validators, one opinion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_agree_with_unbound_and_delv_and_are_never_secure_alone() {
    let World { zones, tampering, cases, expected } = world::build();
    assert!(zones.len() >= 60, "only {} zones", zones.len());
    let count = zones.len();
    let server = DnsServer::start(Tree::build(zones).unwrap()).await.unwrap();
    for rule in tampering {
        server.tamper(rule);
    }
    let anchor = server.root_ds();
    let unbound = Arc::new(Unbound::start(server.addr(), &anchor).await);
    let delv = Arc::new(Delv::new(server.addr(), &anchor));
    let upstream = Upstream { address: server.addr(), transport: Transport::Udp };
    let mut settings = Settings::new(vec![upstream]);
    settings.anchors = Anchors::parse(&anchor).unwrap();
    let resolver = Resolver::new(settings);

    let mut asking = JoinSet::new();
    let gate = Arc::new(Semaphore::new(8));
    for case in cases {
        let (resolver, unbound, delv) = (resolver.clone(), Arc::clone(&unbound), Arc::clone(&delv));
        let gate = Arc::clone(&gate);
        asking.spawn(async move {
            let _permit = gate.acquire_owned().await.unwrap();
            let (mine, because) = ours(&resolver, &case).await;
            let theirs = unbound.ask(&case.name, &case.record_type).await;
            let (name, record_type) = (case.name.clone(), case.record_type.clone());
            let delv = tokio::task::spawn_blocking(move || delv.ask(&name, &record_type));
            (case, mine, because, theirs, delv.await.unwrap())
        });
    }
    let mut results = BTreeMap::new();
    while let Some(done) = asking.join_next().await {
        let (case, mine, because, unbound, delv) = done.unwrap();
        results.insert(case, (mine, because, unbound, delv));
    }

    let mut alone = Vec::new();
    let mut different = Vec::new();
    let mut tally = BTreeMap::<State, usize>::new();
    for (case, (mine, because, unbound, delv)) in &results {
        *tally.entry(*mine).or_default() += 1;
        let line = format!(
            "{} {}: ours {mine:?} ({because}), unbound {unbound:?}, delv {delv:?}",
            case.name, case.record_type
        );
        if *mine == State::Secure && (*unbound != State::Secure || *delv != State::Secure) {
            alone.push(line.clone());
        }
        let states = [*mine, *unbound, *delv];
        if (mine != unbound || mine != delv) && !world::may_differ(because, states) {
            different.push(line);
        }
    }
    println!("{count} zones, {} questions: {tally:?}", results.len());
    assert!(alone.is_empty(), "secure where an oracle says otherwise:\n{}", alone.join("\n"));
    assert!(
        different.is_empty(),
        "{} of {} differ:\n{}",
        different.len(),
        results.len(),
        different.join("\n")
    );
    for (name, Expected { state, reason }) in expected {
        let case = Case { name: name.clone(), record_type: "A".into() };
        let (mine, because, ..) = &results[&case];
        assert_eq!(*mine, state, "{name}, from the RFCs: {because}");
        assert!(because.contains(reason), "{name}: {because:?} does not say {reason:?}");
    }
}
