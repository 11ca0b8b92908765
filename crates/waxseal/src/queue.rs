//! The one path of a message (DESIGN §3): verdict, and after its `250` for each delivery group
//! gather, plan, deliver, record, settle. Each stage is a call of its own on [`Path`]; this module
//! only decides whose turn it is.
//!
//! The queue itself is in the store. In memory there are only destinations with their next time,
//! the few groups in hand, and those that come next.

mod attempt;
mod operator;
mod slots;
#[cfg(test)]
mod tests;
mod times;
mod waiting;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::{JoinError, JoinSet},
};
use waxseal_core::{
    decide::{Origin, Plan, Verdict},
    org::Schedule,
    outcome::Outcome,
    queue_id::QueueId,
    time::UnixTime,
};

use crate::store::{
    Claimed, Destination, Event, Group, Head, Lease, NewMessage, Store, StoreError, WorkId,
};
pub use crate::store::{Dsn, Fate, Remote};
use slots::{Slot, Slots};
use times::Times;
use waiting::{Kept, Loaded, Ready, Waiting};

/// How often operators' requests are looked for.
const OPERATOR: Duration = Duration::from_secs(1);
/// How often holds that ended and values that expired are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Messages without a verdict that are taken up at once.
const FRESH: usize = 64;
/// Due groups of one destination that are read ahead of a free slot.
const AHEAD: usize = 64;
/// What is heard or taken up at once before the next look around.
const BURST: usize = 64;
/// Destinations that the store could not read before all of them wait a moment: one that is damaged
/// does not hold up the others, and a store that fails is not asked for each.
const FAILURES: usize = 16;
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

    /// The verdict of today, where the group's own leans on something that has ended since, such
    /// as an exception. `None`: it stands.
    fn reconsider(&self, _: &Turn) -> Option<Verdict> {
        None
    }

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

    /// The host that each outcome is from, recipient by recipient, as far as one was reached.
    fn remotes(&self, _: &Self::Delivery) -> Vec<Option<Remote>> {
        Vec::new()
    }

    /// Where something else follows than for mail of others: a report of ours that cannot go as
    /// its message had to is replaced by one that may (RFC 8689 §5).
    fn amend(&self, _: &Turn, _: &mut [Fate]) {}

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

/// A message with its verdict, in memory: it has just become ours.
struct Arrival {
    loaded: Loaded,
    groups: Vec<(Group, Lease)>,
}

/// What the tasks tell the loop.
enum News {
    /// A destination has work at this time.
    Due(Destination, UnixTime),
    /// Messages without a verdict wait in the store.
    Fresh,
    /// An operator ended the pause after a restore.
    Unpaused,
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
    standing: watch::Sender<Standing>,
    /// What takes long and can go on after the next start ends early.
    stopping: AtomicBool,
}

/// How the queue stands, as its runner saw it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Attempts that were settled since the start: each is on record, and its lease given back.
    pub settled: u64,
    /// What is being done now: attempts, and the runner's own errands.
    pub in_hand: usize,
    /// When the next group is due that nobody has in hand.
    pub next: Option<UnixTime>,
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
        let shared = Shared {
            store,
            path,
            settings,
            clock,
            slots,
            room,
            news,
            arrivals,
            standing: watch::Sender::default(),
            stopping: AtomicBool::new(false),
        };
        (Self(Arc::new(shared)), Inbox { news: news_in, arrivals: arrivals_in })
    }

    /// Takes a message in, with its verdict: durable when this answers `Ok`. If there is room it
    /// goes on at once from memory, otherwise it waits in the store.
    ///
    /// # Errors
    /// [`StoreError::Full`], or the store failed: the message is not ours.
    pub async fn accept(&self, message: NewMessage) -> Result<QueueId, StoreError> {
        let content = message.content.clone();
        let head = Head {
            arrived: message.arrived,
            size: content.len() as u64,
            envelope: message.envelope.clone(),
            direction: message.direction,
        };
        // The verdict is a matter of microseconds: stored with the message it costs no commit of
        // its own. A defect that a message brings about must not reach the session: it is taken in
        // without a verdict.
        let judge = || self.groups(&head, &content, self.0.now());
        let Ok(groups) = catch_unwind(AssertUnwindSafe(judge)) else {
            let (id, lease) = self.0.store.accept(message).await?;
            drop(lease);
            self.0.tell(News::Fresh);
            return Ok(id);
        };
        let (id, leases) = self.0.store.accept_judged(message, &groups).await?;
        let groups = groups.into_iter().zip(leases).collect();
        match self.loaded(id, head, content) {
            Some(loaded) => self.hand_on(Arrival { loaded, groups }),
            None => self.0.leave(groups),
        }
        Ok(id)
    }

    /// How the queue stands, and a word whenever that changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// To the runner, or back to the store where too much waits for it.
    fn hand_on(&self, arrival: Arrival) {
        if let Err(error) = self.0.arrivals.try_send(arrival) {
            self.0.leave(error.into_inner().groups);
        }
    }

    /// A message in memory, if there is room for it.
    fn loaded(&self, message: QueueId, head: Head, content: Bytes) -> Option<Loaded> {
        let room = self.room(content.len())?;
        Some(Loaded { message, head, content, room: Arc::new(room) })
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
        let mut runner = Runner::new(self.clone(), self.0.store.is_paused().await?);
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

    /// Gives groups back to the store, and has their destinations looked at.
    fn leave(&self, groups: Vec<(Group, Lease)>) {
        for (group, lease) in groups {
            drop(lease);
            self.tell(News::Due(self.store.destination(&group.destination), self.now()));
        }
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

struct Runner<P: Path> {
    queue: Queue<P>,
    times: Times,
    waiting: Waiting,
    tasks: JoinSet<()>,
    /// After a restore nothing is sent until an operator says so.
    paused: bool,
    /// Messages without a verdict may wait in the store.
    fresh: bool,
    /// One sweep at a time.
    sweeping: Arc<Semaphore>,
    /// One operator at a time.
    obeying: Arc<Semaphore>,
}

impl<P: Path> Runner<P> {
    fn new(queue: Queue<P>, paused: bool) -> Self {
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

    async fn serve(&mut self, mut inbox: Inbox, mut stop: watch::Receiver<bool>) {
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
    fn catch_up(&mut self, inbox: &mut Inbox) {
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
    async fn advance(&mut self) -> Duration {
        if self.paused {
            return OPERATOR;
        }
        self.advance_waiting();
        // One after the other, whatever came of the first: what cannot be done for some mail is no
        // reason to let the rest wait.
        let steps = [self.take_fresh().await, self.take_due().await];
        let failed = steps.into_iter().filter_map(Result::err);
        let failed = failed.inspect(|error| {
            tracing::error!(%error, "the queue cannot be read; trying again");
        });
        if failed.count() > 0 {
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
        let mut later = Vec::new();
        let outcome = self.take_due_but(&mut later).await;
        // However it ended: nobody else would think of them before the next start (promise P4).
        let now = self.queue.0.now();
        later.into_iter().for_each(|destination| self.times.set(destination, now));
        outcome
    }

    /// Takes up what is due. Destinations that are due still are left in `later`: they have no
    /// slot, or the store could not say what they have.
    async fn take_due_but(&mut self, later: &mut Vec<Destination>) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.queue.0);
        let (mut outcome, mut failures) = (Ok(()), 0);
        while shared.slots.has_room() && failures < FAILURES {
            let Some(destination) = self.times.take(shared.now()) else { break };
            let free = shared.slots.free(destination);
            // What waits in memory came before.
            if free == 0 || self.waiting.has(destination) {
                later.push(destination);
                continue;
            }
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
        let room = |content: &Bytes| self.queue.room(content.len());
        match (claimed.content.as_ref().and_then(room), slot, claimed.content.take()) {
            (Some(room), slot, Some(content)) => {
                let Claimed { lease, message, head, group, .. } = claimed;
                let loaded = Loaded { message, head, content, room: Arc::new(room) };
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
