//! How many domains are checked at a time. One that takes long, because it waits for slow mail hosts or
//! for its turn at a busy operator, makes room for the next: otherwise as many tarpits as there are
//! places would keep thousands of others waiting.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// A domain that takes longer than this makes room.
const LONG: Duration = Duration::from_secs(15);
/// So many that take long go on aside; further ones keep their place.
const ASIDE: usize = 512;

/// Places for domains that are checked.
pub(super) struct Slots {
    places: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    long: Duration,
}

/// A place of one domain.
pub(super) struct Slot {
    place: OwnedSemaphorePermit,
    aside: Arc<Semaphore>,
    long: Duration,
}

impl Slots {
    /// So many.
    pub(super) fn new(jobs: u16) -> Self {
        Self::of((usize::from(jobs), ASIDE), LONG)
    }

    fn of((places, aside): (usize, usize), long: Duration) -> Self {
        let places = Arc::new(Semaphore::new(places.max(1)));
        Self { places, aside: Arc::new(Semaphore::new(aside)), long }
    }

    /// Waits for a place.
    pub(super) async fn free(&self) -> Option<Slot> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Slot { place, aside: Arc::clone(&self.aside), long: self.long })
    }
}

impl Slot {
    /// Does it here, and aside where it takes long.
    pub(super) async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        let Self { place, aside, long } = self;
        let mut work = pin!(work);
        let room = async {
            sleep(long).await;
            aside.acquire_owned().await
        };
        let _room = tokio::select! {
            biased;
            done = &mut work => return done,
            room = room => room,
        };
        drop(place);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::{sync::oneshot, task::JoinSet, time::timeout};

    use super::Slots;

    const SOON: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Hostile domains whose mail hosts answer an octet a second must not keep others waiting.
    #[tokio::test]
    async fn tarpits_do_not_keep_the_places_of_others() {
        let slots = Slots::of((2, 10), SOON);
        let mut tarpits = JoinSet::new();
        for _ in 0..10 {
            let slot = timeout(PATIENCE, slots.free()).await.unwrap().unwrap();
            tarpits.spawn(slot.hold(pending::<()>()));
        }
        let slot = timeout(PATIENCE, slots.free()).await.unwrap().unwrap();
        assert_eq!(slot.hold(async { 7 }).await, 7);
    }

    /// What takes long is not without number, either.
    #[tokio::test]
    async fn so_many_go_on_aside_and_no_more() {
        let slots = Slots::of((1, 3), Duration::ZERO);
        let mut slow = JoinSet::new();
        let mut ends = Vec::new();
        for _ in 0..4 {
            let slot = timeout(PATIENCE, slots.free()).await.unwrap().unwrap();
            let (end, ended) = oneshot::channel::<()>();
            ends.push(end);
            slow.spawn(slot.hold(ended));
        }
        // Three stand aside, and the fourth has the only place until one of them ends.
        while slots.aside.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(slots.places.try_acquire().is_err());
        drop(ends.swap_remove(0));
        assert!(timeout(PATIENCE, slots.free()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_is_quick_keeps_to_its_place() {
        let slots = Slots::of((1, 3), PATIENCE);
        let slot = slots.free().await.unwrap();
        let (end, ended) = oneshot::channel();
        let held = tokio::spawn(slot.hold(ended));
        tokio::task::yield_now().await;
        assert!(slots.places.try_acquire().is_err());
        end.send(7).unwrap();
        assert_eq!(held.await.unwrap(), Ok(7));
        assert!(slots.places.try_acquire().is_ok());
    }
}
