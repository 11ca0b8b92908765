//! How much message content is in memory. A message whose turn has stepped aside gives its room to
//! others, so that a few large ones to hosts that read slowly do not hold up all other mail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::deliver::Aside;

/// The room of one queue, in KiB.
pub(super) struct Rooms {
    main: Arc<Semaphore>,
    /// As much more for those that have stepped aside.
    aside: Arc<Semaphore>,
    most: usize,
}

/// What one message takes of it, for as long as its content is in memory.
pub(super) struct Room {
    held: Mutex<Held>,
    aside: Arc<Semaphore>,
}

struct Held {
    permit: OwnedSemaphorePermit,
    aside: bool,
}

impl Rooms {
    /// Room for so many octets, and for as many more of what has stepped aside.
    pub(super) fn new(octets: usize) -> Self {
        let most = kib(octets);
        let of = || Arc::new(Semaphore::new(most));
        Self { main: of(), aside: of(), most }
    }

    /// Room for a content of so many octets, where there is some now.
    pub(super) fn try_take(&self, octets: usize) -> Option<Arc<Room>> {
        let permit = Arc::clone(&self.main).try_acquire_many_owned(self.share(octets)).ok()?;
        Some(self.room(permit))
    }

    /// The same, in turn.
    pub(super) async fn take(&self, octets: usize) -> Option<Arc<Room>> {
        let permit = Arc::clone(&self.main).acquire_many_owned(self.share(octets)).await.ok()?;
        Some(self.room(permit))
    }

    fn room(&self, permit: OwnedSemaphorePermit) -> Arc<Room> {
        let held = Mutex::new(Held { permit, aside: false });
        Arc::new(Room { held, aside: Arc::clone(&self.aside) })
    }

    /// What a content takes: at most all of it, so that the largest message fits.
    fn share(&self, octets: usize) -> u32 {
        u32::try_from(kib(octets).min(self.most)).unwrap_or(u32::MAX)
    }
}

impl Room {
    /// Makes room for others, if not too much stands aside.
    pub(super) fn step_aside(&self) -> Aside {
        let mut held = self.lock();
        if held.aside {
            return Aside::Stood;
        }
        let share = u32::try_from(held.permit.num_permits()).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.aside).try_acquire_many_owned(share) else {
            return Aside::NoRoom;
        };
        *held = Held { permit, aside: true };
        Aside::Stood
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kib(octets: usize) -> usize {
    octets.div_ceil(1024).clamp(1, Semaphore::MAX_PERMITS)
}
