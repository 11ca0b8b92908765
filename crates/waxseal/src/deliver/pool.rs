//! Connections that are kept for the next message.
//!
//! Found by everything that makes a connection what it is: address, port, server name, source
//! address, credentials and offered TLS parameters; the EHLO name and the configuration belong to the deliverer, which a
//! reload replaces. Being found is not being trusted: `permit` judges the stored channel anew for
//! each message, so that a connection made for a lower demand carries nothing that demands more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    Shared,
    connection::{Key, Link},
};

/// The unused connections.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    links: HashMap<Key, Vec<Link>>,
    count: usize,
    sweeper: Sweeper,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sweeper {
    #[default]
    Off,
    Running,
}

impl Pool {
    /// The connection that was used last: it is the likeliest to be alive.
    pub(crate) fn take(&self, key: &Key) -> Option<Link> {
        let mut shelves = self.lock();
        let links = shelves.links.get_mut(key)?;
        let link = links.pop()?;
        if links.is_empty() {
            shelves.links.remove(key);
        }
        shelves.count -= 1;
        Some(link)
    }

    /// Keeps a connection, or gives it back where there are too many already.
    pub(crate) fn put(&self, link: Link, shared: &Arc<Shared>) -> Option<Link> {
        let mut shelves = self.lock();
        if shelves.count >= shared.settings.idle_connections {
            return Some(link);
        }
        shelves.count += 1;
        shelves.links.entry(link.key().clone()).or_default().push(link);
        if shelves.sweeper == Sweeper::Off {
            shelves.sweeper = Sweeper::Running;
            let pause = shared.settings.idle / 2;
            tokio::spawn(sweep(Arc::downgrade(shared), pause.max(Duration::from_millis(100))));
        }
        None
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().count
    }

    /// All of them.
    pub(crate) fn drain(&self) -> Vec<Link> {
        let mut shelves = self.lock();
        shelves.count = 0;
        std::mem::take(&mut shelves.links).into_values().flatten().collect()
    }

    /// Those that were not used for too long; `None` once nothing is left to watch.
    fn expired(&self, idle: Duration) -> Option<Vec<Link>> {
        let mut shelves = self.lock();
        if shelves.count == 0 {
            shelves.sweeper = Sweeper::Off;
            return None;
        }
        let now = Instant::now();
        let mut gone = Vec::new();
        for links in shelves.links.values_mut() {
            let old = |link: &mut Link| now.duration_since(link.idle_since()) >= idle;
            gone.extend(links.extract_if(.., old));
        }
        shelves.links.retain(|_, links| !links.is_empty());
        shelves.count -= gone.len();
        Some(gone)
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says QUIT on what nobody used, until nothing is left.
async fn sweep(shared: Weak<Shared>, pause: Duration) {
    loop {
        sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(gone) = shared.pool.expired(shared.settings.idle) else { return };
        drop(shared);
        for link in gone {
            link.quit().await;
        }
    }
}
