//! Messages as the listener hands them to the store.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use waxseal::{
    secrets::{SecretSource, StoreKeys},
    store::{Access, Group, NewMessage, Settings, Store},
};
use waxseal_bench::gateway::Home;
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, History, Verdict},
    domain::{Domain, DomainError},
    envelope::{Direction, Envelope, Mailbox, Recipient, ReversePath},
    time::UnixTime,
};

/// The store in a home, as `waxseal serve` there will open it.
pub(crate) fn store(
    home: &Home,
    change: impl FnOnce(Settings) -> Settings,
) -> anyhow::Result<Store> {
    let settings = change(Settings::new(home.data_dir()));
    let source = SecretSource::File(home.store_key());
    let keys = StoreKeys::load(&source, Path::new(&settings.data_dir), &settings.database)?;
    Ok(Store::open(settings, keys, Access::Serve)?)
}

fn mailbox(local: &str, domain: &str) -> Result<Mailbox, DomainError> {
    Ok(Mailbox { local: local.to_owned(), domain: Domain::parse(domain)? })
}

/// A message to one recipient at one of `destinations` domains.
pub(crate) fn message(
    number: u64,
    destinations: u64,
    content: &Bytes,
    now: UnixTime,
) -> Result<NewMessage, DomainError> {
    let domain = format!("d{}.receiver.bench.test", number % destinations);
    let recipient = Recipient::new(mailbox("somebody", &domain)?);
    let envelope =
        Envelope::new(ReversePath::Mailbox(mailbox("ada", "sender.bench.test")?), vec![recipient]);
    let (content, direction) = (content.clone(), Direction::Outbound);
    Ok(NewMessage { arrived: now, envelope, content, direction })
}

/// Its delivery group, as the default rules make one.
pub(crate) fn group(message: &NewMessage) -> Option<Group> {
    let recipients = message.envelope.recipients.clone();
    let verdict = Verdict::new(Floor::Encrypted, Fallback::Hold, Duration::from_hours(4));
    Some(Group::new(
        recipients.first()?.mailbox.domain.clone(),
        recipients,
        verdict,
        History { queued: message.arrived, ..History::default() },
    ))
}

/// Does `act` for 0 up to `total`, with so many at a time; says on standard error how far it is.
pub(crate) async fn each<F>(
    what: &'static str,
    (at_once, total): (u64, u64),
    act: impl Fn(u64) -> F + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (next, act) = (Arc::clone(&next), act.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return anyhow::Ok(());
                }
                if number > 0 && number % 100_000 == 0 {
                    eprintln!("{what}: {number} of {total}");
                }
                act(number).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
