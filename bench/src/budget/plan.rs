//! How long one plan takes, for two MX hosts in five typical worlds.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use waxseal_bench::report::{Budget, Report, median};
use waxseal_core::{
    channel::Floor,
    dane::Tlsa,
    decide::{Ask, Case, Fallback, Origin, Verdict, plan},
    dns::{Absence, Answer, Authenticity},
    domain::Domain,
    facts::{Dane, Facts, HostFacts, Known, MxFact, NoTlsa, Peer, StsFact},
    memory::Memory,
    org::Terms,
    sts::{Mode, MxPattern, Policy},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// Short rounds, many of them: a round that another process disturbed is not the median.
const ROUNDS: usize = 101;
const PLANS: u32 = 2_000;

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let plain = Dane::Absent(NoTlsa::InsecureAddress);
    let (secure, insecure) = (Authenticity::Secure, Authenticity::Insecure);
    let sts = sts()?;
    let none = StsFact::Absent { absence: Absence::Unconfirmed };
    for (name, floor, authenticity, dane, sts) in [
        ("nothing published", Floor::Encrypted, insecure, plain.clone(), none.clone()),
        ("MTA-STS enforce", Floor::Encrypted, insecure, plain.clone(), sts.clone()),
        ("DANE", Floor::Encrypted, secure, usable()?, none.clone()),
        ("DANE and MTA-STS, MX unsigned", Floor::Encrypted, insecure, usable()?, sts),
        ("floor authenticated", Floor::Authenticated, insecure, plain, none),
    ] {
        let facts = facts(authenticity, &dane, sts)?;
        let micros = time(floor, &facts).as_secs_f64() * 1e6;
        report.add(format!("plan, 2 MX, {name}"), (micros, "us"), Budget::AtMost(2.0));
    }
    Ok(())
}

fn time(floor: Floor, facts: &Facts) -> Duration {
    let verdict = Verdict::new(floor, Fallback::Hold, Duration::from_hours(4));
    let (terms, ask, memory) = (Terms::default(), Ask::default(), Memory::default());
    let case = Case {
        terms: &terms,
        ask: &ask,
        verdict: &verdict,
        facts,
        memory: &memory,
        origin: Origin::Person,
        short_since: None,
        first_seen: Default::default(),
    };
    let round = |_| {
        let begun = Instant::now();
        for seed in 0..PLANS {
            black_box(plan(black_box(&case), u64::from(seed), NOW));
        }
        begun.elapsed().as_secs_f64() / f64::from(PLANS)
    };
    Duration::from_secs_f64(median((0..ROUNDS).map(round).collect()))
}

fn usable() -> anyhow::Result<Dane> {
    let tlsa = |usage| Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] };
    let base = Domain::parse("mx1.example.net")?;
    Ok(Dane::Usable { base, records: vec![tlsa(3), tlsa(2)], chain: None })
}

fn sts() -> anyhow::Result<StsFact> {
    let policy = Policy {
        mode: Mode::Enforce,
        mx: vec![MxPattern::OneBelow(Domain::parse("example.net")?)],
        max_age: Duration::from_hours(24),
    };
    let (known, id, expires) = (Known::Cached, None, NOW + Duration::from_hours(24));
    Ok(StsFact::Policy { policy, known, id, fetched_at: NOW, expires, refresh_failed: None })
}

fn facts(authenticity: Authenticity, dane: &Dane, sts: StsFact) -> anyhow::Result<Facts> {
    let host = |name: &str, preference| -> anyhow::Result<_> {
        let value = vec!["192.0.2.1".parse()?, "2001:db8::1".parse()?];
        Ok(HostFacts {
            host: Peer::Name(Domain::parse(name)?),
            preference,
            port: 25,
            addresses: Answer::Found { value, authenticity, expires: NOW, chain: None },
            refused: Vec::new(),
            expanded: None,
            dane: dane.clone(),
        })
    };
    Ok(Facts {
        destination: Domain::parse("example.com")?,
        at: NOW,
        mx: MxFact::Found { authenticity, expanded: None, chain: None },
        hosts: vec![host("mx1.example.net", 10)?, host("mx2.example.net", 20)?],
        sts,
        witnesses: Vec::new(),
    })
}
