//! How fast the store takes mail in and lets it go, and what that costs: `cargo bench --bench store`.
//! The numbers depend on the disk that `TMPDIR` is on; `FSYNC` shows what one fsync takes there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends where something is wrong"
)]

use std::{
    fs,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use waxseal::{
    secrets::StoreKeys,
    store::{Access, Actor, Event, EventKind, Group, NewMessage, Next, Settings, Settled, Store},
};
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, History, Verdict},
    domain::Domain,
    envelope::{Envelope, Mailbox, Recipient, ReversePath},
    queue_id::QueueId,
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_795_000_000);

/// Processor time of this process, from `/proc/self/stat` in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

/// Resident memory, in MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn mailbox(domain: String) -> Mailbox {
    Mailbox { local: "somebody".to_owned(), domain: Domain::parse(&domain).unwrap() }
}

fn message(number: u64, content: &Bytes) -> NewMessage {
    let recipient = Recipient {
        mailbox: mailbox(format!("d{}.example", number % 1_000)),
        notify: Default::default(),
        original: None,
    };
    let envelope = Envelope {
        reverse_path: ReversePath::Mailbox(mailbox("sender.example".to_owned())),
        recipients: vec![recipient],
        body: Default::default(),
        charset: Default::default(),
        tls: Default::default(),
        ret: None,
        envelope_id: None,
    };
    NewMessage { arrived: NOW, envelope, content: content.clone() }
}

fn group(message: &NewMessage) -> Group {
    let recipients = message.envelope.recipients.clone();
    let verdict = Verdict {
        floor: Floor::Encrypted,
        suspended: None,
        fallback: Fallback::Hold,
        patience: Duration::from_secs(14_400),
        notify: Vec::new(),
        rule: "default".to_owned(),
        because: Vec::new(),
    };
    Group {
        destination: recipients[0].mailbox.domain.clone(),
        recipients,
        verdict,
        history: History { queued: NOW, ..History::default() },
        first_tried: None,
        note: None,
        evidence: Vec::new(),
    }
}

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

/// How much of the way of a message is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Until 250.
    Accept,
    /// Until it is delivered and on record.
    Whole,
}

async fn one(store: &Store, message: NewMessage, way: Way) {
    let group = group(&message);
    let (id, lease) = store.accept(message).await.unwrap();
    if way == Way::Accept {
        return;
    }
    let mut leases = store.classify((id, lease), &[group], NOW).await.unwrap();
    let lease = leases.pop().unwrap();
    store.intend(lease.work(), 1, NOW).await.unwrap();
    let settled = Settled { lease, message: id, next: Next::Done, events: vec![event(id)] };
    store.settle(settled).await.map_err(|(error, _)| error).unwrap();
}

fn open(settings: impl FnOnce(Settings) -> Settings) -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(Settings::new(home.path()));
    let store = Store::open(settings, StoreKeys::random().unwrap(), Access::Serve).unwrap();
    (home, store)
}

/// Messages per second and processor time per message.
async fn run(
    store: &Store,
    (producers, total): (u64, u64),
    (size, way): (usize, Way),
) -> (f64, f64) {
    let content = Bytes::from(vec![b'x'; size]);
    let next = Arc::new(AtomicU64::new(0));
    let (cpu_before, begin) = (cpu(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..producers {
        let (store, next, content) = (store.clone(), Arc::clone(&next), content.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    break;
                }
                one(&store, message(number, &content), way).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let (spent, used) = (begin.elapsed(), cpu() - cpu_before);
    let count = f64::from(u32::try_from(total).unwrap());
    (count / spent.as_secs_f64(), used.as_secs_f64() * 1e6 / count)
}

fn fsync() -> f64 {
    let home = tempfile::tempdir().unwrap();
    let mut file = fs::File::create(home.path().join("file")).unwrap();
    let begin = Instant::now();
    for _ in 0..200 {
        file.write_all(&[b'x'; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    begin.elapsed().as_secs_f64() * 1e6 / 200.0
}

#[tokio::main]
async fn main() {
    println!("one fsync after 4 KiB: {:.0} us", fsync());
    println!("what                 producers  messages/s  CPU us/message");
    for (name, size, way) in [
        ("accept, 4 KiB", 4_096, Way::Accept),
        ("accept, 10 KiB", 10_240, Way::Accept),
        ("whole way, 10 KiB", 10_240, Way::Whole),
    ] {
        for producers in [1, 8, 64] {
            let (_home, store) = open(|settings| settings);
            let total = if producers == 1 { 2_000 } else { 20_000 };
            let (rate, cost) = run(&store, (producers, total), (size, way)).await;
            println!("{name:<20} {producers:>9}  {rate:>10.0}  {cost:>14.1}");
        }
    }
    println!("\nbody in the row or in a file, whole way, 8 producers");
    println!("octets    row: messages/s  CPU us    file: messages/s  CPU us");
    for size in [8 << 10, 32 << 10, 64 << 10, 128 << 10, 512 << 10] {
        let total = (64 << 20) / u64::try_from(size).unwrap();
        let mut row = Vec::new();
        for limit in [usize::MAX, 0] {
            let (_home, store) = open(|settings| Settings { inline_limit: limit, ..settings });
            row.push(run(&store, (8, total.clamp(200, 4_000)), (size, Way::Whole)).await);
        }
        let ((row, row_cpu), (file, file_cpu)) = (row[0], row[1]);
        println!("{size:>6}    {row:>15.0}  {row_cpu:>6.0}    {file:>16.0}  {file_cpu:>6.0}");
    }
    let million = std::env::var("MILLION").is_ok();
    let count = if million { 1_000_000 } else { 100_000 };
    let (_home, store) = open(|settings| settings);
    let before = resident();
    let (rate, _) = run(&store, (256, count), (1_024, Way::Accept)).await;
    println!(
        "\n{count} messages queued at {rate:.0}/s; memory {before} MiB before, {} after",
        resident()
    );
    let begin = Instant::now();
    let schedule = store.schedule().await.unwrap();
    println!("schedule of {} destinations in {:?}", schedule.len(), begin.elapsed());
}
