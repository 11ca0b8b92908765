//! How long one plan takes (DESIGN §10: at most 2 µs), for two MX hosts in five typical worlds.
//!
//! `cargo run --release -p waxseal-core --example bench_plan`

use std::{hint::black_box, time::Duration};

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
const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = Dane::Absent(NoTlsa::InsecureAddress);
    let (secure, insecure) = (Authenticity::Secure, Authenticity::Insecure);
    let sts = sts()?;
    let none = StsFact::Absent { absence: Absence::Unconfirmed };
    println!("{:24} {:>10}", "two MX hosts", "ns/plan");
    for (name, floor, authenticity, dane, sts) in [
        ("nothing published", Floor::Encrypted, insecure, plain.clone(), none.clone()),
        ("MTA-STS enforce", Floor::Encrypted, insecure, plain.clone(), sts.clone()),
        ("DANE", Floor::Encrypted, secure, usable()?, none.clone()),
        ("DANE and MTA-STS", Floor::Encrypted, insecure, usable()?, sts),
        ("floor authenticated", Floor::Authenticated, insecure, plain, none),
    ] {
        let facts = facts(authenticity, &dane, sts)?;
        println!("{name:24} {:>10}", measure(floor, &facts).as_nanos());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about real time")]
fn measure(floor: Floor, facts: &Facts) -> Duration {
    let verdict = Verdict {
        floor,
        suspended: None,
        fallback: Fallback::Hold,
        patience: Duration::from_hours(4),
        notify: Vec::new(),
        rule: "default".into(),
        because: Vec::new(),
    };
    let (terms, ask, memory) = (Terms::default(), Ask::default(), Memory::default());
    let case = Case {
        terms: &terms,
        ask: &ask,
        verdict: &verdict,
        facts,
        memory: &memory,
        origin: Origin::Person,
        first_tried: None,
    };
    let begun = std::time::Instant::now();
    for seed in 0..ROUNDS {
        black_box(plan(black_box(&case), u64::from(seed), NOW));
    }
    begun.elapsed() / ROUNDS
}

fn usable() -> Result<Dane, Box<dyn std::error::Error>> {
    let tlsa = |usage| Tlsa { usage, selector: 1, matching: 1, data: vec![7; 32] };
    let base = Domain::parse("mx1.example.net")?;
    Ok(Dane::Usable { base, records: vec![tlsa(3), tlsa(2)], chain: None })
}

fn sts() -> Result<StsFact, Box<dyn std::error::Error>> {
    let policy = Policy {
        mode: Mode::Enforce,
        mx: vec![MxPattern::OneBelow(Domain::parse("example.net")?)],
        max_age: Duration::from_hours(24),
    };
    let (known, id, expires) = (Known::Cached, None, NOW + Duration::from_hours(24));
    Ok(StsFact::Policy { policy, known, id, fetched_at: NOW, expires, refresh_failed: None })
}

fn facts(
    authenticity: Authenticity,
    dane: &Dane,
    sts: StsFact,
) -> Result<Facts, Box<dyn std::error::Error>> {
    let host = |name: &str, preference| -> Result<_, Box<dyn std::error::Error>> {
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
    })
}
