//! How fast the store takes mail in and lets it go, what that costs, and up to which size a body is
//! better in the row than in a file of its own. The numbers depend on the disk; what one fsync takes
//! there is the first of them.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use waxseal::store::{Actor, Event, EventKind, Next, Settled, Store};
use waxseal_bench::{
    cpu,
    gateway::Home,
    report::{Budget, Report},
};
use waxseal_core::{queue_id::QueueId, time::UnixTime};

use crate::messages::{each, group, message, store};

const NOW: UnixTime = UnixTime(1_795_000_000);
const DESTINATIONS: u64 = 1_000;

/// How much of the way of a message is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Until 250.
    Accept,
    /// Until it is delivered and on record.
    Whole,
}

pub(crate) fn measure(report: &mut Report, data: &Path) -> anyhow::Result<()> {
    crate::runtime()?.block_on(async {
        report.add("one fsync after 4 KiB", (fsync(data)?, "us"), Budget::None);
        for (name, size, way) in [
            ("accept, 4 KiB", 4_096, Way::Accept),
            ("accept, 10 KiB", 10_240, Way::Accept),
            ("whole way, 10 KiB", 10_240, Way::Whole),
        ] {
            for producers in [1, 8, 64] {
                let home = Home::new(data)?;
                let store = store(&home, |settings| settings)?;
                let total = if producers == 1 { 2_000 } else { 20_000 };
                let (rate, cost) = run(&store, (producers, total), (size, way)).await?;
                let what = format!("{name}, {producers} at a time");
                report.add(format!("{what}: rate"), (rate, "/s"), Budget::None);
                report.add(format!("{what}: CPU"), (cost, "us"), Budget::None);
            }
        }
        for kib in [8, 32, 64, 128, 512] {
            let total = (64 * 1024 / kib).clamp(200, 4_000);
            for (place, inline_limit) in [("row", usize::MAX), ("file", 0)] {
                let home = Home::new(data)?;
                let store =
                    store(&home, |settings| waxseal::store::Settings { inline_limit, ..settings })?;
                let size = usize::try_from(kib)? * 1024;
                let (rate, _) = run(&store, (8, total), (size, Way::Whole)).await?;
                let what = format!("whole way, {kib} KiB in a {place}, 8 at a time");
                report.add(what, (rate, "/s"), Budget::None);
            }
        }
        Ok(())
    })
}

/// Messages per second, and processor time per message in microseconds.
async fn run(
    store: &Store,
    many: (u64, u64),
    (size, way): (usize, Way),
) -> anyhow::Result<(f64, f64)> {
    let content = Bytes::from(vec![b'x'; size]);
    let (cpu_before, begin) = (cpu::of_this_process()?, Instant::now());
    let passing = store.clone();
    each("store", many, move |number| one(passing.clone(), (number, content.clone()), way)).await?;
    let used = cpu::of_this_process()?.saturating_sub(cpu_before);
    let count = many.1 as f64;
    Ok((count / begin.elapsed().as_secs_f64(), used.as_secs_f64() * 1e6 / count))
}

async fn one(store: Store, (number, content): (u64, Bytes), way: Way) -> anyhow::Result<()> {
    let message = message(number, DESTINATIONS, &content, NOW)?;
    let group = group(&message).context("no recipient")?;
    let (id, lease) = store.accept(message).await?;
    if way == Way::Accept {
        return Ok(());
    }
    let mut leases = store.classify((id, lease), &[group], NOW).await?;
    let lease = leases.pop().context("no lease")?;
    store.intend(lease.work(), 1, NOW).await?;
    let settled = Settled {
        lease,
        message: id,
        next: Next::Done,
        events: vec![event(id)],
        letters: Vec::new(),
    };
    store.settle(settled).await.map_err(|(error, _)| error)?;
    Ok(())
}

/// As large as the record of a usual delivery.
fn event(message: QueueId) -> Event {
    Event {
        kind: EventKind::Delivery,
        version: 1,
        at: NOW,
        actor: Actor::Gateway,
        config: None,
        message: Some(message),
        body: vec![b'e'; 2_500],
        personal: Some(vec![b'p'; 600]),
    }
}

fn fsync(data: &Path) -> anyhow::Result<f64> {
    const TIMES: u32 = 200;
    let home = Home::new(data)?;
    let mut file = fs::File::create(home.path().join("file"))?;
    let mut spent = Duration::ZERO;
    for _ in 0..TIMES {
        file.write_all(&[b'x'; 4_096])?;
        let begin = Instant::now();
        file.sync_data()?;
        spent += begin.elapsed();
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(TIMES))
}
