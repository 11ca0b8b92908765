//! The one path of a message (DESIGN §3): verdict, and after its `250` for each delivery group
//! gather, plan, deliver, record, settle. Each stage is a call of its own on [`Path`]; this module
//! only decides whose turn it is.
//!
//! The queue itself is in the store. In memory there are only destinations with their next time,
//! the few groups in hand, and those that come next.

mod attempt;
mod operator;
mod room;
mod runner;
mod slots;
#[cfg(test)]
mod tests;
mod times;
mod waiting;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use waxseal_core::{
    decide::{Origin, Plan, Sighting, Verdict},
    org::Schedule,
    outcome::Outcome,
    queue_id::QueueId,
    time::UnixTime,
};

use crate::clock;
use crate::deliver::Aside;
use crate::store::{Destination, Event, Group, Head, Lease, NewMessage, Store, StoreError, WorkId};
pub use crate::store::{Dsn, Fate, Remote};
use room::{Room, Rooms};
use runner::Runner;
use slots::{Slot, Slots};
use waiting::{Loaded, Ready};

/// How often holds that ended and values that expired are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Before a store that failed is asked again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// How much is done at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Groups of one destination in hand.
    pub per_destination: usize,
    /// Groups in hand.
    pub total: usize,
    /// Octets of message content in memory, and as many more of what has stepped aside; one message
    /// may always be there, however large.
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
    Arc::new(|| clock::Clock::system().now())
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

    /// Whether a host was asked. A turn in which our own limits let nobody be asked is no attempt:
    /// it is not counted, and there is nothing to record.
    fn was_tried(&self, _: &Self::Delivery) -> bool {
        true
    }

    /// What was seen of channels, at whatever host: one that is down beside one that falls short does
    /// not hide it.
    fn sighting(&self, _: &Self::Delivery) -> Sighting {
        Sighting::default()
    }

    /// The host that each outcome is from, recipient by recipient, as far as one was reached.
    fn remotes(&self, _: &Self::Delivery) -> Vec<Option<Remote>> {
        Vec::new()
    }

    /// Where something else follows than for mail of others: a report of ours that cannot go as
    /// its message had to is replaced by one that may (RFC 8689 §5), and a stranger is not told of
    /// mail that he may not have sent (RFC 5321 §6.2).
    fn amend(&self, _: &Turn, _: &mut [Fate]) -> impl Future<Output = ()> + Send {
        async {}
    }

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
#[derive(Clone)]
pub struct Promise {
    slot: Arc<Slot>,
    room: Arc<Room>,
    news: mpsc::UnboundedSender<News>,
    store: Store,
    work: WorkId,
    attempt: u32,
    now: UnixTime,
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Promise").field(&self.work).field(&self.attempt).finish()
    }
}

impl Promise {
    /// Lets other mail go first: this turn waits, or its peer is slow.
    pub fn step_aside(&self) -> Aside {
        if self.room.step_aside() == Aside::NoRoom || self.slot.step_aside() == Aside::NoRoom {
            return Aside::NoRoom;
        }
        // The runner may have stopped; then nobody goes first.
        let _ = self.news.send(News::Room);
        Aside::Stood
    }

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
    /// A turn has stepped aside.
    Room,
    /// Messages without a verdict wait in the store.
    Fresh,
    /// An operator ended the pause after a restore.
    Unpaused,
}

struct Shared<P> {
    store: Store,
    path: P,
    clock: Clock,
    slots: Slots,
    rooms: Rooms,
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
        let rooms = Rooms::new(settings.content);
        let shared = Shared {
            store,
            path,
            clock,
            slots,
            rooms,
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
        let room = self.0.rooms.try_take(content.len())?;
        Some(Loaded { message, head, content, room })
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
}
