//! One turn of one delivery group, from its verdict to what is left of it.

use std::{sync::Arc, time::Duration};

use waxseal_core::{
    decide::{
        DelayNotice, DelayTold, History, Lack, Patience, Plan, Route, Settled, Short, Sighting,
        settle,
    },
    outcome::{Cause, Outcome},
    queue_id::QueueId,
    reply::EnhancedCode,
    time::UnixTime,
};

use super::{Arrival, BACK_OFF, Done, Fate, Loaded, News, Path, Promise, Queue, Ready, Slot, Turn};
use crate::store::{Claimed, Group, Head, Lease, Next, Owed, Settled as Record, StoreError};

/// When to look again at what this build does not understand.
const UNKNOWN_ANSWER: Duration = Duration::from_mins(30);

/// Recipients of one group: so many fit the record of an attempt (promise P6).
const RECIPIENTS: usize = 1_000;

impl<P: Path> Queue<P> {
    /// A message from the store that has no verdict yet.
    pub(super) async fn begin_stored(&self, claimed: Claimed) {
        let Claimed { lease, message, head, .. } = claimed;
        match self.read(message, head).await {
            Ok(loaded) => self.split(loaded, lease).await,
            Err(error) => {
                let passes = !error.is_of_one_row();
                self.set_aside((message, lease), &error);
                if passes {
                    // It has no time of its own that would bring it back.
                    tokio::time::sleep(BACK_OFF).await;
                    self.0.tell(News::Fresh);
                }
            }
        }
    }

    /// A due group from the store.
    pub(super) async fn turn_stored(&self, claimed: Claimed, slot: Slot) {
        let Claimed { lease, message, head, group, .. } = claimed;
        let Some(group) = group else { return };
        match self.read(message, head).await {
            Ok(loaded) => self.turn(Ready { loaded, group, lease }, slot).await,
            Err(error) => self.without_message((group, lease), message, &error).await,
        }
    }

    /// The turn of a group whose message cannot be read: that is noted where `waxseal queue list`
    /// finds it, because no other process looks into each body.
    async fn without_message(
        &self,
        (mut group, lease): (Group, Lease),
        message: QueueId,
        error: &StoreError,
    ) {
        let why = Some(error.to_string());
        if error.is_of_one_message() && group.unreadable != why {
            group.unreadable = why;
            if let Err(error) = self.0.store.note(&lease, (message, &group)).await {
                tracing::warn!(%message, %error, "it could not be noted that a message cannot be read");
            }
        }
        self.set_aside((message, lease), error);
        let later = self.0.now() + super::SWEEP;
        self.0.tell(News::Due(self.0.store.destination(&group.destination), later));
    }

    async fn read(&self, message: QueueId, head: Head) -> Result<Loaded, StoreError> {
        let size = usize::try_from(head.size).unwrap_or(usize::MAX);
        let room = self.0.rooms.take(size).await.ok_or(StoreError::Closed)?;
        let content = self.0.store.content(message).await?;
        Ok(Loaded { message, head, content, room })
    }

    /// A message that cannot be read stays where it is: damage is for a person to look at, and
    /// takes no turn from other mail.
    fn set_aside(&self, (message, lease): (QueueId, Lease), error: &StoreError) {
        if error.is_of_one_row() {
            return self.0.store.set_aside(lease, message, error);
        }
        tracing::error!(%message, %error, "a message cannot be read; it stays in the queue");
    }

    /// Verdict per recipient; those of one domain with equal verdict form a group (DESIGN §3).
    async fn split(&self, loaded: Loaded, lease: Lease) {
        let now = self.0.now();
        let groups = self.groups(&loaded.head, &loaded.content, now);
        let leases = self.0.store.classify((loaded.message, lease), &groups, now).await;
        match leases {
            Ok(leases) => {
                let groups = groups.into_iter().zip(leases).collect();
                self.hand_on(Arrival { loaded, groups });
            }
            Err(error) => {
                tracing::error!(message = %loaded.message, %error, "no verdict could be stored");
                tokio::time::sleep(BACK_OFF).await;
                self.0.tell(News::Fresh);
            }
        }
    }

    pub(super) fn groups(&self, head: &Head, content: &[u8], now: UnixTime) -> Vec<Group> {
        let judged = self.0.path.judge(head, content, now);
        let mut groups: Vec<Group> = Vec::new();
        let recipients = head.envelope.recipients.iter().zip(judged.verdicts);
        for (recipient, verdict) in recipients {
            let domain = &recipient.mailbox.domain;
            let same = |group: &&mut Group| {
                group.destination == *domain
                    && group.verdict == verdict
                    && group.recipients.len() < RECIPIENTS
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.recipients.push(recipient.clone()),
                None => groups.push(Group::new(
                    domain.clone(),
                    vec![recipient.clone()],
                    verdict,
                    History { queued: head.arrived, origin: judged.origin, ..History::default() },
                )),
            }
        }
        groups
    }

    /// Gather, plan, deliver, record, settle. The slot is free when it ends, however it ends.
    pub(super) async fn turn(&self, Ready { loaded, group, lease }: Ready, slot: Slot) {
        let now = self.0.now();
        let attempt = group.history.attempts + 1;
        let Loaded { message, head, content, room } = loaded;
        let group = Group { unreadable: None, ..group };
        let mut turn = Turn { message, head, group, content, attempt, now };
        if let Some(owed) = turn.group.owed.take() {
            self.pay(turn, (owed, lease)).await;
            return drop((slot, room));
        }
        if let Some(verdict) = self.0.path.reconsider(&turn) {
            turn.group.verdict = verdict;
        }
        let slot = Arc::new(slot);
        let promise = Promise {
            slot: Arc::clone(&slot),
            room: Arc::clone(&room),
            news: self.0.news.clone(),
            store: self.0.store.clone(),
            work: lease.work(),
            attempt,
            now,
        };
        let path = &self.0.path;
        let facts = path.gather(&turn).await;
        let plan = path.plan(&turn, &facts).await;
        let (outcomes, delivery) = path.deliver(&turn, (&facts, &plan), &promise).await;
        let busy =
            |outcome: &Outcome| matches!(outcome, Outcome::Deferred { cause: Cause::Busy(_) });
        let waited = outcomes.iter().all(busy) && !path.was_tried(&delivery);
        let attempts = if waited { turn.group.history.attempts } else { attempt };
        let history = History { attempts, ..turn.group.history };
        let seen = path.sighting(&delivery);
        let mut fates = self.fates(&turn, &history, (outcomes, &plan, &seen));
        for (fate, remote) in fates.iter_mut().zip(path.remotes(&delivery)) {
            fate.remote = remote;
        }
        path.amend(&turn, &mut fates).await;
        let done = Done { facts: &facts, plan: &plan, delivery: &delivery, fates: &fates };
        let events = if waited { Vec::new() } else { path.record(&turn, done).await };
        let letters = path.letters(&turn, &fates);
        let outcomes = fates.iter().map(|fate| &fate.outcome);
        let short = short(&turn.group).after(plan.lack, &seen, outcomes, turn.now);
        let next = left(&turn, (history, short), &fates);
        let record = Record { lease, message, next, events, letters };
        self.settle(record, (&turn, fates)).await;
        drop((slot, room));
    }

    /// Tells what could not be told when the attempt ended: there was no room for a letter.
    async fn pay(&self, turn: Turn, (owed, lease): (Owed, Lease)) {
        let Owed { at, fates, then } = owed;
        let next = match then {
            Some(due) => Next::Retry(due, turn.group.clone()),
            None => Next::Done,
        };
        let mut turn = Turn { attempt: turn.group.history.attempts, now: at, ..turn };
        if fates.iter().any(|fate| matches!(fate.settled, Settled::Hold { .. })) {
            // As it was before the hold that is to be told.
            turn.group.history.held_since = None;
        }
        let letters = self.0.path.letters(&turn, &fates);
        let record = Record { lease, message: turn.message, next, events: Vec::new(), letters };
        self.settle(record, (&turn, fates)).await;
    }

    fn fates(
        &self,
        turn: &Turn,
        history: &History,
        (outcomes, plan, seen): (Vec<Outcome>, &Plan, &Sighting),
    ) -> Vec<Fate> {
        let schedule = self.0.path.schedule();
        // A plan ends in a route that says what if no host took it.
        let missing = Route::Wait {
            until: None,
            code: EnhancedCode(4, 3, 0),
            reason: "the plan has no end".to_owned(),
        };
        let last = plan.routes.last().unwrap_or(&missing);
        let now = self.0.now();
        // As of the plan, so that both follow from the same.
        let group = &turn.group;
        let patience = Patience::of(group.short_since, group.verdict.patience, turn.now);
        let outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat(None));
        let recipients = turn.group.recipients.iter();
        recipients
            .zip(outcomes)
            .map(|(recipient, outcome)| {
                let outcome = outcome.unwrap_or_else(|| Outcome::Disconnected {
                    detail: "the attempt ended without a word about this recipient".to_owned(),
                });
                let outcome = seen.weigh(outcome, plan.lack, patience);
                let settled = settle(&outcome, last, history, &schedule, now);
                Fate { recipient: recipient.clone(), outcome, settled, remote: None }
            })
            .collect()
    }

    /// Records and settles, in one step with what is told; what was sent is never forgotten, so it
    /// is tried until it works. Letters without room do not hold the group up: what they have to
    /// say is kept with it, which takes less room than was kept back for that.
    pub(super) async fn settle(&self, record: Record, (turn, fates): (&Turn, Vec<Fate>)) {
        let mut record = record;
        let destination = self.0.store.destination(&turn.group.destination);
        loop {
            let due = match &record.next {
                Next::Retry(due, _) => Some(*due),
                Next::Done | Next::Hold(..) => None,
            };
            let tells = !record.letters.is_empty();
            let (error, same) = match self.0.store.settle(record).await {
                Ok(_) => {
                    self.0.standing.send_modify(|standing| standing.settled += 1);
                    if let Some(due) = due {
                        self.0.tell(News::Due(destination, due));
                    }
                    if tells {
                        self.0.tell(News::Fresh);
                    }
                    return;
                }
                Err(failed) => failed,
            };
            record = *same;
            tracing::error!(message = %record.message, %error, "an attempt could not be recorded; trying again");
            if matches!(error, StoreError::Closed) {
                return;
            }
            if matches!(error, StoreError::Full) && tells {
                record = owing(record, turn, (&fates, self.0.now() + super::SWEEP));
            } else {
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }

    /// Attempts that ended with the process after their intent was stored: perhaps delivered. They
    /// are recorded as `Unknown`, and tried again (RFC 5321 §4.5.4.1, RFC 1047: a duplicate rather than a
    /// loss).
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        for intent in self.0.store.intents().await? {
            for claimed in self.0.store.claim_message(intent.message).await? {
                if claimed.lease.work() != intent.work {
                    continue;
                }
                // Under the lease: it may have been settled since.
                if self.0.store.intents().await?.contains(&intent) {
                    self.recover_one(claimed, intent.attempt, intent.at).await;
                }
            }
        }
        Ok(())
    }

    /// What a turn left behind that broke off: perhaps sent, and never before a while, for it may
    /// break off again.
    pub(super) async fn relist(&self) -> Result<(), StoreError> {
        self.recover().await?;
        let soon = self.0.now() + super::SWEEP;
        for (destination, due) in self.0.store.schedule().await? {
            self.0.tell(News::Due(destination, due.max(soon)));
        }
        Ok(())
    }

    async fn recover_one(&self, claimed: Claimed, attempt: u32, at: UnixTime) {
        let Claimed { lease, message, head, group: Some(group), .. } = claimed else { return };
        let history = History { attempts: attempt, ..group.history };
        // Damage is said when it is tried again; the record is made all the same.
        let content = self.0.store.content(message).await.unwrap_or_default();
        let turn = Turn { message, head, group, content, attempt, now: at };
        let detail = "the gateway stopped between sending the message and hearing the answer";
        let outcomes =
            vec![Outcome::Unknown { detail: detail.to_owned() }; turn.group.recipients.len()];
        let plan = Plan {
            routes: Vec::new(),
            because: Vec::new(),
            why_not_higher: None,
            reach: Default::default(),
            lack: Lack::Nothing,
        };
        let mut fates = self.fates(&turn, &history, (outcomes, &plan, &Sighting::default()));
        self.0.path.amend(&turn, &mut fates).await;
        let events = self.0.path.lost(&turn, &fates);
        let next = left(&turn, (history, short(&turn.group)), &fates);
        let letters = self.0.path.letters(&turn, &fates);
        let record = Record { lease, message, next, events, letters };
        self.settle(record, (&turn, fates)).await;
    }
}

/// The same end of an attempt, with what is to be told in place of the letters: they are written
/// at `again`, and then it goes on as it would have.
pub(super) fn owing(record: Record, turn: &Turn, (fates, again): (&[Fate], UnixTime)) -> Record {
    let Record { lease, message, next, events, .. } = record;
    let (then, group) = match next {
        Next::Retry(due, group) | Next::Hold(due, group) => (Some(due), group),
        Next::Done => (None, Group { recipients: Vec::new(), ..turn.group.clone() }),
    };
    let owed = Owed { at: turn.now, fates: fates.to_vec(), then };
    let note = Some("the disk is full: a report about it waits for room".to_owned());
    let group = Group { owed: Some(owed), note, ..group };
    Record { lease, message, next: Next::Retry(again, group), events, letters: Vec::new() }
}

/// What is left of a group: the recipients that are to be tried again.
fn left(turn: &Turn, (mut history, short): (History, Short), fates: &[Fate]) -> Next {
    let unclear = "to be decided again".to_owned();
    let (mut recipients, mut due, mut note) = (Vec::new(), None::<UnixTime>, None);
    for fate in fates {
        let (at, why) = match &fate.settled {
            Settled::Retry { at, notice, reason, .. } => {
                if *notice == DelayNotice::Due {
                    history.delay_told = DelayTold::Told;
                }
                (*at, reason)
            }
            Settled::Hold { at, reason, .. } => {
                history.held_since.get_or_insert(turn.now);
                (*at, reason)
            }
            Settled::Done | Settled::Bounce { .. } | Settled::Drop { .. } => continue,
            // An answer that this build does not know: nothing is lost by trying again.
            _ => (turn.now + UNKNOWN_ANSWER, &unclear),
        };
        recipients.push(fate.recipient.clone());
        due = Some(due.map_or(at, |due| due.min(at)));
        note = Some(why.clone());
    }
    let Some(due) = due else { return Next::Done };
    let Short { since: short_since, first_seen } = short;
    let group = Group { recipients, history, short_since, first_seen, note, ..turn.group.clone() };
    Next::Retry(due, group)
}

/// Since when something falls short, as it was before an attempt.
const fn short(group: &Group) -> Short {
    Short { since: group.short_since, first_seen: group.first_seen }
}
