//! The one path of a message after its `250` (DESIGN §3): verdict, then for each delivery group
//! gather, plan, deliver, record, settle. Each stage is a call of its own on [`Path`]; this module
//! only decides whose turn it is.
//!
//! The queue itself is in the store. In memory there are only destinations with their next time,
//! and the few groups in hand.

mod attempt;
mod operator;
mod slots;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
};
use waxseal_core::{
    decide::{Origin, Plan, Settled, Verdict},
    envelope::Recipient,
    org::Schedule,
    outcome::Outcome,
    queue_id::QueueId,
    time::UnixTime,
};

use crate::store::{
    Claimed, Destination, Event, Group, Head, Lease, NewMessage, Store, StoreError, WorkId,
};
use slots::{Slot, Slots};

/// How often operators' requests are looked for.
const OPERATOR: Duration = Duration::from_secs(1);
/// How often holds that ended and values that expired are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Messages without a verdict that are taken up at once.
const FRESH: usize = 64;
/// Before a store that failed is asked again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// How much is done at the same time.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Groups of one destination in hand.
    pub per_destination: usize,
    /// Groups in hand.
    pub total: usize,
    /// Octets of message content in memory; one message may always be there, however large.
    pub content: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { per_destination: 20, total: 500, content: 128 << 20 }
    }
}

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(now.unwrap_or_default().as_secs())
    })
}

/// One delivery group whose turn it is.
#[derive(Debug)]
pub struct Turn {
    /// Its message.
    pub message: QueueId,
    /// Envelope and arrival.
    pub head: Head,
    /// The recipients, their verdict, their history up to now.
    pub group: Group,
    /// The message.
    pub content: Bytes,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When it began.
    pub now: UnixTime,
}

/// What the rules say of a message.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Whether anybody can be told about it.
    pub origin: Origin,
    /// One verdict per recipient, in the order of the envelope.
    pub verdicts: Vec<Verdict>,
}

/// What became of a message for one recipient, and what follows.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Who.
    pub recipient: Recipient,
    /// What the attempt came to.
    pub outcome: Outcome,
    /// What follows from it.
    pub settled: Settled,
}

/// The stages, each its own call, in this order. The queue never looks into what they hand on.
pub trait Path: Send + Sync + 'static {
    /// What was observed.
    type Facts: Send + Sync;
    /// What was seen and done.
    type Delivery: Send + Sync;

    /// When to try again, and for how long.
    fn schedule(&self) -> Arc<Schedule>;

    /// The verdict for each recipient: once per message.
    fn judge(&self, head: &Head, content: &[u8], now: UnixTime) -> Judged;

    /// Asks the world about the destination.
    fn gather(&self, turn: &Turn) -> impl Future<Output = Self::Facts> + Send;

    /// Decides what to do now.
    fn plan(&self, turn: &Turn, facts: &Self::Facts) -> impl Future<Output = Plan> + Send;

    /// Does it: one outcome per recipient of the group, in order. Nothing ends with a final dot
    /// before [`Promise::keep`] has answered. The facts say under which configuration it was
    /// decided: a plan is never carried out under another one.
    fn deliver(
        &self,
        turn: &Turn,
        decided: (&Self::Facts, &Plan),
        promise: &Promise,
    ) -> impl Future<Output = (Vec<Outcome>, Self::Delivery)> + Send;

    /// What goes on record.
    fn record(
        &self,
        turn: &Turn,
        done: Done<'_, Self::Facts, Self::Delivery>,
    ) -> impl Future<Output = Vec<Event>> + Send;

    /// What goes on record for an attempt that ended with the process: perhaps delivered.
    fn lost(&self, turn: &Turn, fates: &[Fate]) -> Vec<Event>;

    /// What senders and postmaster are told.
    fn letters(&self, turn: &Turn, fates: &[Fate]) -> Vec<NewMessage>;
}

/// An attempt from facts to outcomes.
#[derive(Debug)]
pub struct Done<'a, F, D> {
    /// What was observed.
    pub facts: &'a F,
    /// What was decided.
    pub plan: &'a Plan,
    /// What was seen.
    pub delivery: &'a D,
    /// What it came to, recipient by recipient, and what follows.
    pub fates: &'a [Fate],
}

/// The intent to send, to be made durable before the final dot (promise P4).
#[derive(Clone, Debug)]
pub struct Promise {
    store: Store,
    work: WorkId,
    attempt: u32,
    now: UnixTime,
}

impl Promise {
    /// Durable when this answers: after a crash the attempt is recorded as `Unknown`.
    ///
    /// # Errors
    /// It could not be stored: then nothing may be sent.
    pub async fn keep(&self) -> Result<(), StoreError> {
        self.store.intend(self.work, self.attempt, self.now).await
    }
}

/// A message that has just become ours, still in memory.
struct Arrival {
    message: QueueId,
    lease: Lease,
    head: Head,
    content: Bytes,
    room: OwnedSemaphorePermit,
}

/// What the tasks tell the loop.
enum News {
    /// A destination has work at this time.
    Due(Destination, UnixTime),
    /// A group left our hands: another may begin.
    Freed,
    /// Messages without a verdict wait in the store.
    Fresh,
}

struct Shared<P> {
    store: Store,
    path: P,
    settings: Settings,
    clock: Clock,
    slots: Slots,
    /// Content in memory, in KiB.
    room: Arc<Semaphore>,
    news: mpsc::UnboundedSender<News>,
    arrivals: mpsc::Sender<Arrival>,
}

/// The queue. Clones share it; one of them runs.
pub struct Queue<P>(Arc<Shared<P>>);

impl<P> Clone for Queue<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> std::fmt::Debug for Queue<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queue").field(&self.0.store).finish()
    }
}

/// What one runner needs and nobody else may have.
pub struct Inbox {
    news: mpsc::UnboundedReceiver<News>,
    arrivals: mpsc::Receiver<Arrival>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl<P: Path> Queue<P> {
    /// A queue over a store, and what [`Self::run`] needs.
    pub fn new(store: Store, path: P, settings: Settings, clock: Clock) -> (Self, Inbox) {
        let (news, news_in) = mpsc::unbounded_channel();
        let (arrivals, arrivals_in) = mpsc::channel(settings.total.max(1));
        let slots = Slots::new(settings.per_destination, settings.total);
        let room = Arc::new(Semaphore::new(kib(settings.content)));
        let shared = Shared { store, path, settings, clock, slots, room, news, arrivals };
        (Self(Arc::new(shared)), Inbox { news: news_in, arrivals: arrivals_in })
    }

    /// Takes a message in: durable when this answers `Ok`. If there is room it goes on at once from
    /// memory, otherwise it waits in the store.
    ///
    /// # Errors
    /// [`StoreError::Full`], or the store failed: the message is not ours.
    pub async fn accept(&self, message: NewMessage) -> Result<QueueId, StoreError> {
        let content = message.content.clone();
        let head = Head {
            arrived: message.arrived,
            size: content.len() as u64,
            envelope: message.envelope.clone(),
        };
        let (id, lease) = self.0.store.accept(message).await?;
        let handed = self.room(content.len()).is_some_and(|room| {
            let arrival = Arrival { message: id, lease, head, content, room };
            self.0.arrivals.try_send(arrival).is_ok()
        });
        if !handed {
            self.0.tell(News::Fresh);
        }
        Ok(id)
    }

    fn room(&self, octets: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = self.0.share(octets);
        Arc::clone(&self.0.room).try_acquire_many_owned(wanted).ok()
    }

    /// Runs until `stop` is true, then ends what is in hand. Before anything is sent, attempts
    /// that a crash cut off are put on record.
    ///
    /// # Errors
    /// The store cannot be read at the start.
    pub async fn run(&self, inbox: Inbox, stop: watch::Receiver<bool>) -> Result<(), StoreError> {
        self.recover().await?;
        let mut runner = Runner {
            queue: self.clone(),
            times: Times::default(),
            tasks: JoinSet::new(),
            paused: self.0.store.is_paused().await?,
            fresh: true,
            sweeping: Arc::new(Semaphore::new(1)),
        };
        for (destination, due) in self.0.store.schedule().await? {
            runner.times.set(destination, due);
        }
        runner.serve(inbox, stop).await;
        Ok(())
    }
}

impl<P> Shared<P> {
    fn now(&self) -> UnixTime {
        (self.clock)()
    }

    fn tell(&self, news: News) {
        // The runner may have stopped; what waits, waits in the store.
        let _ = self.news.send(news);
    }

    /// What a content takes of the room: at most all of it, so that the largest message fits.
    fn share(&self, octets: usize) -> u32 {
        let share = kib(octets).min(kib(self.settings.content));
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

fn kib(octets: usize) -> usize {
    octets.div_ceil(1024).clamp(1, Semaphore::MAX_PERMITS)
}

/// Resolves when the queue is to stop, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// When each destination is next due.
#[derive(Default)]
struct Times {
    order: BTreeSet<(UnixTime, Destination)>,
    of: HashMap<Destination, UnixTime>,
}

impl Times {
    /// The earlier of what is known and `due`.
    fn set(&mut self, destination: Destination, due: UnixTime) {
        match self.of.get(&destination).copied() {
            Some(known) if known <= due => return,
            Some(known) => {
                self.order.remove(&(known, destination));
            }
            None => {}
        }
        self.of.insert(destination, due);
        self.order.insert((due, destination));
    }

    /// Takes out destinations that are due.
    fn take(&mut self, now: UnixTime) -> Option<Destination> {
        let first = self.order.first().filter(|(due, _)| *due <= now).copied()?;
        self.order.remove(&first);
        self.of.remove(&first.1);
        Some(first.1)
    }

    fn next(&self) -> Option<UnixTime> {
        self.order.first().map(|(due, _)| *due)
    }
}

struct Runner<P: Path> {
    queue: Queue<P>,
    times: Times,
    tasks: JoinSet<()>,
    /// After a restore nothing is sent until an operator says so.
    paused: bool,
    /// Messages without a verdict may wait in the store.
    fresh: bool,
    /// One sweep at a time.
    sweeping: Arc<Semaphore>,
}

impl<P: Path> Runner<P> {
    async fn serve(&mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
        let mut operator = tokio::time::interval(OPERATOR);
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            let wait = self.advance().await;
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                _ = operator.tick() => self.obey().await,
                _ = sweep.tick() => self.sweep(),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if ended.is_err() {
                        self.relist();
                    }
                }
                Some(news) = inbox.news.recv() => self.hear(news),
                Some(arrival) = inbox.arrivals.recv() => self.receive(arrival),
                () = tokio::time::sleep(wait) => {}
            }
        }
        // What is in hand is finished; what arrives now waits in the store.
        while self.tasks.join_next().await.is_some() {}
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Due(destination, due) => self.times.set(destination, due),
            News::Freed => {}
            News::Fresh => self.fresh = true,
        }
    }

    fn receive(&mut self, arrival: Arrival) {
        if self.paused {
            self.fresh = true;
            return;
        }
        let queue = self.queue.clone();
        self.tasks.spawn(async move { queue.begin(arrival).await });
    }

    /// Starts what is due and answers how long there is nothing to do.
    async fn advance(&mut self) -> Duration {
        if self.paused {
            return OPERATOR;
        }
        let outcome = match self.take_fresh().await {
            Ok(()) => self.take_due().await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "the queue cannot be read; trying again");
            return BACK_OFF;
        }
        match self.times.next() {
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

    async fn take_due(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.queue.0);
        let mut full = Vec::new();
        while shared.slots.has_room() {
            let Some(destination) = self.times.take(shared.now()) else { break };
            let free = shared.slots.free(destination);
            if free == 0 {
                full.push(destination);
                continue;
            }
            let now = shared.now();
            let outcome = shared.store.claim(destination, now, free).await;
            let next = match outcome {
                Ok(claimed) => {
                    for claimed in claimed {
                        self.start(claimed);
                    }
                    shared.store.next_due(destination).await
                }
                Err(error) => Err(error),
            };
            match next {
                Ok(Some(due)) if due <= now => full.push(destination),
                Ok(Some(due)) => self.times.set(destination, due),
                Ok(None) => {}
                Err(error) => {
                    self.times.set(destination, now);
                    return Err(error);
                }
            }
        }
        let now = shared.now();
        full.into_iter().for_each(|destination| self.times.set(destination, now));
        Ok(())
    }

    fn start(&mut self, claimed: Claimed) {
        let destination = claimed.group.as_ref().map(|group| &group.destination);
        let slot = destination
            .and_then(|domain| self.queue.0.slots.take(self.queue.0.store.destination(domain)));
        // Without a slot the lease ends here and the group is claimed again.
        if let Some(slot) = slot {
            let queue = self.queue.clone();
            self.tasks.spawn(async move { queue.turn_stored(claimed, slot).await });
        }
    }

    /// Beside the loop: with a full disk it waits until its reports can be kept, and only what
    /// goes out meanwhile makes room for them.
    fn sweep(&mut self) {
        let Ok(alone) = Arc::clone(&self.sweeping).try_acquire_owned() else { return };
        let queue = self.queue.clone();
        self.tasks.spawn(async move {
            if let Err(error) = queue.sweep().await {
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

    async fn obey(&mut self) {
        match self.queue.obey(self.paused).await {
            Ok(paused) => {
                if self.paused && !paused {
                    self.fresh = true;
                }
                self.paused = paused;
            }
            Err(error) => tracing::error!(%error, "an operator's request could not be carried out"),
        }
    }
}
