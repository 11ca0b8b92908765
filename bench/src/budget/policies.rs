//! Memory of `waxseal serve` that knows a million MTA-STS policies: those of its store, which it
//! goes through after the start to refresh them in time.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use waxseal::{gather::PolicyStore, resolve::Clock, store::Store};
use waxseal_bench::{
    gateway::Home,
    report::{Budget, Report},
    server::Server,
};
use waxseal_core::{
    domain::Domain,
    sts::{
        Mode, MxPattern, Policy,
        cache::{Kept, Remembered},
    },
    time::UnixTime,
};

use crate::messages::{each, store};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policies in the store
    #[arg(long, default_value_t = 1_000_000)]
    policies: u64,
}

/// Without work for so long, it has read them all.
const QUIET: Duration = Duration::from_secs(5);
/// Or this is enough.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn measure(report: &mut Report, args: &Args, data: &Path) -> anyhow::Result<()> {
    let home = Home::new(data)?;
    crate::runtime()?.block_on(fill(&home, args.policies))?;
    eprintln!("policies: starting waxseal serve");
    let sink = ("sink", "9".to_owned());
    let mut server = home.serve(include_str!("../../budget/queue.toml"), &[sink])?;
    let many = format!("{} known policies", args.policies);
    let (read, most) = until_quiet(&mut server)?;
    report.add(format!("{many}: read in"), (read.as_secs_f64(), "s"), Budget::None);
    report.add_memory(format!("{many}: peak"), most.max(server.memory()?.peak), BUDGET);
    report.add_memory(format!("{many}: then"), server.memory()?.resident, BUDGET);
    Ok(())
}

const BUDGET: Budget = Budget::AtMost(500.0);

async fn fill(home: &Home, policies: u64) -> anyhow::Result<()> {
    let store = store(home, |settings| settings)?;
    let now = Clock::system().now();
    each("policies", (256, policies), move |number| one(store.clone(), number, now)).await
}

async fn one(store: Store, number: u64, now: UnixTime) -> anyhow::Result<()> {
    let destination = Domain::parse(&format!("d{number}.receiver.bench.test"))?;
    let mx = ["mx1", "mx2"].map(|host| destination.below(host).map(MxPattern::Host));
    let policy = Policy {
        mode: Mode::Enforce,
        mx: mx.into_iter().collect::<Result<_, _>>()?,
        max_age: Duration::from_hours(7 * 24),
    };
    let id = Some("20261122T090000".to_owned());
    let kept = Kept { policy, id, fetched_at: now, mode_since: Some(now) };
    let remembered = Remembered { policy: Some(kept), ..Remembered::default() };
    PolicyStore::save(&store, &destination, Some(&remembered), now)
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))
}

/// Waits until it works no more. Answers how long it worked, and its largest size.
fn until_quiet(server: &mut Server) -> anyhow::Result<(Duration, u64)> {
    let begun = Instant::now();
    let (mut worked, mut used, mut most) = (begun, server.cpu()?, 0);
    while worked.elapsed() < QUIET && begun.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(100));
        server.is_alive()?;
        most = most.max(server.memory()?.resident);
        let now = server.cpu()?;
        // One tick is housekeeping.
        if now.saturating_sub(used) > Duration::from_millis(10) {
            (worked, used) = (Instant::now(), now);
        }
    }
    Ok((worked.duration_since(begun), most))
}
