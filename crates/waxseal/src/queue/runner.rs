//! Whose turn it is: the loop that begins what is due where a slot is free, and hears what the turns,
//! the listeners and the operators have to say.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
};
use waxseal_core::time::UnixTime;

use super::{
    Arrival, BACK_OFF, Inbox, News, Path, Queue, SWEEP,
    slots::Slot,
    times::Times,
    waiting::{Kept, Loaded, Ready, Waiting},
};
use crate::store::{Claimed, Destination, StoreError};

/// How often operators' requests are looked for.
const OPERATOR: Duration = Duration::from_secs(1);
/// Messages without a verdict that are taken up at once.
const FRESH: usize = 64;
/// Due groups of one destination that are read ahead of a free slot.
const AHEAD: usize = 64;
/// What is heard, or taken up, at once before the next look around: operators, a stop and the turns
/// that have ended do not wait until nothing more is due.
const BURST: usize = 64;
/// Destinations that the store could not read before all of them wait a moment: one that is damaged
/// does not hold up the others, and a store that fails is not asked for each.
const FAILURES: usize = 16;

/// How far a look at what is due came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To all of it, or as far as there are slots.
    End,
    /// So far for this time: more is due, and there may be slots.
    Burst,
}

/// Resolves when the queue is to stop, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What only the loop may touch.
pub(super) struct Runner<P: Path> {
    queue: Queue<P>,
    pub(super) times: Times,
    waiting: Waiting,
    tasks: JoinSet<()>,
    /// After a restore nothing is sent until an operator says so.
    paused: bool,
    /// Messages without a verdict may wait in the store.
    pub(super) fresh: bool,
    /// One sweep at a time.
    sweeping: Arc<Semaphore>,
    /// One operator at a time.
    obeying: Arc<Semaphore>,
}

impl<P: Path> Runner<P> {
    pub(super) fn new(queue: Queue<P>, paused: bool) -> Self {
        Self {
            queue,
            times: Times::default(),
            waiting: Waiting::default(),
            tasks: JoinSet::new(),
            paused,
            fresh: true,
            sweeping: Arc::new(Semaphore::new(1)),
            obeying: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) async fn serve(&mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
        let mut operator = tokio::time::interval(OPERATOR);
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let wait = self.advance().await;
            self.say_how_it_stands();
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                _ = operator.tick() => self.obey().await,
                _ = sweep.tick() => self.sweep(),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.ended(&ended);
                }
                Some(news) = inbox.news.recv() => self.hear(news),
                Some(arrival) = inbox.arrivals.recv() => self.receive(arrival),
                () = tokio::time::sleep(wait) => {}
            }
            self.catch_up(&mut inbox);
        }
        self.queue.0.stopping.store(true, Ordering::Relaxed);
        tracing::info!(in_hand = self.tasks.len(), "the queue stops once these are done");
        // What is in hand is finished; what waits and what arrives now stays in the store.
        while self.tasks.join_next().await.is_some() {}
    }

    fn say_how_it_stands(&self) {
        let (in_hand, next) = (self.tasks.len(), self.times.next());
        self.queue.0.standing.send_if_modified(|standing| {
            let news = (standing.in_hand, standing.next) != (in_hand, next);
            (standing.in_hand, standing.next) = (in_hand, next);
            news
        });
    }

    /// What else has come to pass meanwhile: one look around does for all of it.
    pub(super) fn catch_up(&mut self, inbox: &mut Inbox) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(&ended);
        }
        for _ in 0..BURST {
            let Ok(news) = inbox.news.try_recv() else { break };
            self.hear(news);
        }
        for _ in 0..BURST {
            let Ok(arrival) = inbox.arrivals.try_recv() else { break };
            self.receive(arrival);
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Due(destination, due) => self.times.set(destination, due),
            // The next look around takes it.
            News::Room => {}
            News::Fresh => self.fresh = true,
            News::Unpaused => {
                self.paused = false;
                self.fresh = true;
            }
        }
    }

    fn ended(&mut self, ended: &Result<(), JoinError>) {
        if ended.is_err() {
            self.relist();
        }
    }

    fn receive(&mut self, Arrival { loaded, mut groups }: Arrival) {
        let last = groups.pop();
        for (group, lease) in groups {
            self.take_up(Ready { loaded: loaded.clone(), group, lease });
        }
        if let Some((group, lease)) = last {
            self.take_up(Ready { loaded, group, lease });
        }
    }

    /// A turn at once where there is a slot; a place in memory where few wait; otherwise in the
    /// store, behind what waits there already.
    fn take_up(&mut self, ready: Ready) {
        let destination = self.queue.0.store.destination(&ready.group.destination);
        let now = self.queue.0.now();
        if self.paused || self.times.is_due(destination, now) {
            drop(ready);
            return self.times.set(destination, now);
        }
        let slot = match self.waiting.has(destination) {
            true => None,
            false => self.queue.0.slots.take(destination),
        };
        match slot {
            Some(slot) => self.begin(ready, slot),
            None => {
                if self.waiting.push(destination, ready) == Kept::InStore {
                    self.times.set(destination, now);
                }
            }
        }
    }

    fn begin(&mut self, ready: Ready, slot: Slot) {
        let queue = self.queue.clone();
        self.tasks.spawn(async move { queue.turn(ready, slot).await });
    }

    /// What waits in memory goes where slots are free.
    fn advance_waiting(&mut self) {
        for destination in self.waiting.destinations() {
            while self.waiting.has(destination)
                && let Some(slot) = self.queue.0.slots.take(destination)
                && let Some(ready) = self.waiting.pop(destination)
            {
                self.begin(ready, slot);
            }
        }
    }

    /// Starts what is due and answers how long there is nothing to do.
    pub(super) async fn advance(&mut self) -> Duration {
        if self.paused {
            return OPERATOR;
        }
        self.advance_waiting();
        // One after the other, whatever came of the first: what cannot be done for some mail is no
        // reason to let the rest wait.
        let (fresh, due) = (self.take_fresh().await, self.take_due().await);
        let reach = match fresh.and(due) {
            Ok(reach) => reach,
            Err(error) => {
                tracing::error!(%error, "the queue cannot be read; trying again");
                return BACK_OFF;
            }
        };
        match self.times.next() {
            _ if reach == Reach::Burst => Duration::ZERO,
            Some(due) if due > self.queue.0.now() => due.since(self.queue.0.now()).min(SWEEP),
            // Due, and no slot is free: the next that comes free wakes us.
            Some(_) | None => SWEEP,
        }
    }

    async fn take_fresh(&mut self) -> Result<(), StoreError> {
        while self.fresh && self.queue.0.slots.has_room() && self.tasks.len() < FRESH {
            let claimed = self.queue.0.store.claim_fresh(FRESH).await?;
            self.fresh = claimed.len() == FRESH;
            for claimed in claimed {
                let queue = self.queue.clone();
                self.tasks.spawn(async move { queue.begin_stored(claimed).await });
            }
        }
        Ok(())
    }

    pub(super) async fn take_due(&mut self) -> Result<Reach, StoreError> {
        let mut later = Vec::new();
        let outcome = self.take_due_but(&mut later).await;
        // However it ended: nobody else would think of them before the next start (promise P4).
        let now = self.queue.0.now();
        later.into_iter().for_each(|destination| self.times.set(destination, now));
        outcome
    }

    /// Takes up what is due. Destinations that are due still are left in `later`: they have no
    /// slot, or the store could not say what they have.
    async fn take_due_but(&mut self, later: &mut Vec<Destination>) -> Result<Reach, StoreError> {
        let shared = Arc::clone(&self.queue.0);
        let (mut outcome, mut failures, mut claims) = (Ok(Reach::End), 0, 0);
        while shared.slots.has_room() && failures < FAILURES {
            let Some(destination) = self.times.take(shared.now()) else { break };
            let free = shared.slots.free(destination);
            // What waits in memory came before.
            if free == 0 || self.waiting.has(destination) {
                later.push(destination);
                continue;
            }
            if claims == BURST {
                later.push(destination);
                return outcome.map(|_| Reach::Burst);
            }
            claims += 1;
            let now = shared.now();
            match self.claim(destination, (now, free)).await {
                Ok(Some(due)) if due <= now => later.push(destination),
                Ok(Some(due)) => self.times.set(destination, due),
                Ok(None) => {}
                Err(error) => {
                    later.push(destination);
                    outcome = Err(error);
                    failures += 1;
                }
            }
        }
        outcome
    }

    /// Takes up the due groups of one destination, and answers when it is due next.
    async fn claim(
        &mut self,
        destination: Destination,
        (now, free): (UnixTime, usize),
    ) -> Result<Option<UnixTime>, StoreError> {
        let shared = Arc::clone(&self.queue.0);
        let most = free + self.waiting.room(destination).min(AHEAD);
        let claimed = shared.store.claim(destination, now, most).await?;
        let all = claimed.len() < most;
        let back = claimed.into_iter().filter_map(|one| self.start(one)).count();
        match all && back == 0 {
            true => shared.store.next_due(destination).await,
            false => Ok(Some(now)),
        }
    }

    /// Begins a turn, or has it wait in memory. A group that can do neither comes back: its lease
    /// ends, and it is claimed again.
    fn start(&mut self, mut claimed: Claimed) -> Option<Claimed> {
        let Some(destination) = claimed.group.as_ref().map(|group| &group.destination) else {
            return Some(claimed);
        };
        let destination = self.queue.0.store.destination(destination);
        let slot = self.queue.0.slots.take(destination);
        let room = |content: &Bytes| self.queue.0.rooms.try_take(content.len());
        match (claimed.content.as_ref().and_then(room), slot, claimed.content.take()) {
            (Some(room), slot, Some(content)) => {
                let Claimed { lease, message, head, group, .. } = claimed;
                let loaded = Loaded { message, head, content, room };
                let ready = Ready { loaded, group: group?, lease };
                match slot {
                    Some(slot) => self.begin(ready, slot),
                    // There was room for it when it was claimed.
                    None => {
                        self.waiting.push(destination, ready);
                    }
                }
                None
            }
            (_, Some(slot), _) => {
                let queue = self.queue.clone();
                self.tasks.spawn(async move { queue.turn_stored(claimed, slot).await });
                None
            }
            (_, None, _) => Some(claimed),
        }
    }

    /// Beside the loop: mail goes on meanwhile.
    fn sweep(&mut self) {
        let Ok(alone) = Arc::clone(&self.sweeping).try_acquire_owned() else { return };
        let (queue, paused) = (self.queue.clone(), self.paused);
        self.tasks.spawn(async move {
            let mut swept = queue.sweep().await;
            // Neither sent nor returned, until an operator says so.
            if swept.is_ok() && !paused {
                swept = queue.return_overdue().await;
            }
            if let Err(error) = swept {
                tracing::error!(%error, "holds that ended could not be looked for");
            }
            drop(alone);
        });
    }

    /// After a turn that broke off in a panic: nobody would think of its group before the next
    /// start.
    fn relist(&mut self) {
        tracing::error!("a turn broke off; what it had in hand is tried again");
        let queue = self.queue.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(BACK_OFF).await;
            if let Err(error) = queue.relist().await {
                tracing::error!(%error, "what a turn left behind cannot be looked for");
            }
        });
    }

    /// Beside the loop: a request may speak of the whole queue, and mail goes on meanwhile. Only
    /// what is being sent cannot be called back: what waits can.
    async fn obey(&mut self) {
        let alone = Arc::clone(&self.obeying).try_acquire_owned().ok();
        let commands = match &alone {
            None => Vec::new(),
            Some(_) => match self.queue.0.store.commands().await {
                Ok(commands) => commands,
                Err(error) => {
                    return tracing::error!(%error, "operators' requests cannot be read");
                }
            },
        };
        if alone.is_some() && commands.is_empty() {
            return;
        }
        let now = self.queue.0.now();
        for destination in self.waiting.clear() {
            self.times.set(destination, now);
        }
        let Some(alone) = alone else { return };
        let queue = self.queue.clone();
        self.tasks.spawn(async move {
            if let Err(error) = queue.obey(commands).await {
                tracing::error!(%error, "an operator's request could not be carried out");
            }
            drop(alone);
        });
    }
}
