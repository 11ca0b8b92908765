//! What operators ask of the queue while it runs, and holds that nobody ended.

use std::sync::atomic::Ordering;

use serde_json::json;
use waxseal_core::{
    decide::{Origin, Settled},
    outcome::{Cause, Outcome},
    queue_id::QueueId,
    reply::EnhancedCode,
    time::UnixTime,
};

use super::{Fate, News, Path, Queue, SWEEP, Turn, attempt::owing};
use crate::store::{
    Actor, Asked, Claimed, Command, Destination, Event, EventKind, Group, Listed, Next, Owed,
    Settled as Record, StoreError, Target, Verb, WorkId, WorkState,
};

/// Rows looked at in one step.
const PAGE: usize = 500;

impl<P: Path> Queue<P> {
    /// Carries out what was asked, in order. What cannot be done is answered too: it keeps nobody
    /// else waiting.
    pub(super) async fn obey(&self, commands: Vec<Asked>) -> Result<(), StoreError> {
        for (id, command) in commands {
            let outcome = match command {
                Ok(command) => self.carry_out(&command).await,
                Err(error) => Err(error),
            };
            let answer = match outcome {
                // Without an answer it is carried out again after the next start: what was changed
                // already does not change twice.
                Ok(None) | Err(StoreError::Closed) => return Ok(()),
                Ok(Some(changed)) => Ok(changed),
                Err(error) => {
                    tracing::error!(%error, "an operator's request could not be carried out");
                    Err(error.to_string())
                }
            };
            self.0.store.answer(id, answer).await?;
        }
        Ok(())
    }

    /// Page by page, each with a few short reads and writes: the rest of the queue goes on in
    /// between. `None`: the process is about to end, and not all was looked at.
    async fn carry_out(&self, command: &Command) -> Result<Option<u64>, StoreError> {
        let mut changed = 0;
        match &command.target {
            Target::Message(message) => changed += self.change_message(*message, command).await?,
            Target::Destination(_) | Target::All => {
                let mut after: Option<WorkId> = None;
                loop {
                    let (page, end) = self.0.store.list(after, PAGE).await?;
                    if end.is_none() {
                        break;
                    }
                    after = end;
                    let meant = page.iter().filter(|row| may_mean(&command.target, row));
                    let mut messages: Vec<_> = meant.map(|row| row.message).collect();
                    messages.dedup();
                    for message in messages {
                        if self.0.stopping.load(Ordering::Relaxed) {
                            return Ok(None);
                        }
                        changed += self.change_message(message, command).await?;
                    }
                }
            }
        }
        if command.verb == Verb::Release && command.target == Target::All {
            // Before the answer: whoever hears it may rely on it.
            self.0.store.unpause().await?;
            self.0.tell(News::Unpaused);
        }
        Ok(Some(changed))
    }

    /// Changes the groups of one message that are meant.
    async fn change_message(&self, message: QueueId, command: &Command) -> Result<u64, StoreError> {
        let claimed = self.0.store.claim_message(message).await?;
        let mut changed = self.change_all(claimed, command).await?;
        if command.verb == Verb::Drop {
            let wanted = match &command.target {
                Target::Destination(domain) => Some(self.0.store.destination(domain)),
                Target::Message(_) | Target::All => None,
            };
            let body = json!({ "verb": Verb::Drop, "unreadable": true, "reason": command.reason });
            let event = event(command.actor.clone(), self.0.now(), (message, body.to_string()));
            changed += self.0.store.drop_unreadable((message, wanted), &event).await?;
        }
        Ok(changed)
    }

    /// Changes those that are meant, and gives the others back as they were.
    pub(super) async fn change_all(
        &self,
        claimed: Vec<Claimed>,
        command: &Command,
    ) -> Result<u64, StoreError> {
        let mut outcome = Ok(0);
        for claimed in claimed {
            let state = claimed.state;
            let destination = claimed.group.as_ref().map(|group| &group.destination);
            let destination = destination.map(|domain| self.0.store.destination(domain));
            let changed = match outcome {
                Ok(_) => self.change(claimed, command).await,
                // Given back as it was.
                Err(_) => Ok(0),
            };
            if !matches!(changed, Ok(1..)) {
                self.look_again(state, destination);
            }
            outcome = outcome.and_then(|sum: u64| Ok(sum + changed?));
        }
        outcome
    }

    /// A group was in our hands and is back as it was: the runner may have looked meanwhile, and
    /// not have seen it.
    fn look_again(&self, state: WorkState, destination: Option<Destination>) {
        match (state, destination) {
            (WorkState::Fresh, _) => self.0.tell(News::Fresh),
            (WorkState::Queued, Some(destination)) => {
                self.0.tell(News::Due(destination, self.0.now()));
            }
            // The next sweep sees it.
            (WorkState::Held, _) | (WorkState::Queued, None) => {}
        }
    }

    /// Changes one group, if it is meant and its state allows it. A group in hand is left alone:
    /// what is being sent cannot be called back.
    async fn change(&self, claimed: Claimed, command: &Command) -> Result<u64, StoreError> {
        let now = self.0.now();
        let Some(group) = claimed.group.clone() else {
            return self.change_fresh(claimed, command).await;
        };
        if let Target::Destination(domain) = &command.target
            && group.destination != *domain
        {
            return Ok(0);
        }
        let held = claimed.state == WorkState::Held;
        let floor_held = group.history.held_since.is_some();
        let next = match command.verb {
            Verb::Drop => match group.owed.clone() {
                Some(owed) => return self.drop_owing((claimed, group), owed, command).await,
                None => Next::Done,
            },
            Verb::Hold if held => return Ok(0),
            Verb::Hold => {
                let until = now + self.0.path.schedule().hold_lifetime;
                let note = Some("held by an operator".to_owned());
                Next::Hold(until, Group { note, ..group.clone() })
            }
            Verb::Release if !held && !floor_held => return Ok(0),
            Verb::Retry if held => return Ok(0),
            Verb::Release | Verb::Retry => {
                let group = Group { unreadable: None, ..group.clone() };
                let mut group = self.judged_anew(&claimed, group, now).await;
                if command.verb == Verb::Release {
                    group.history.held_since = None;
                }
                Next::Retry(now, group)
            }
        };
        let waits = matches!(next, Next::Retry(..));
        let event = override_event((&claimed, Some(&group)), command, now);
        self.0.store.resume(claimed, next, Some(event)).await?;
        if waits {
            self.0.tell(News::Due(self.0.store.destination(&group.destination), now));
        }
        Ok(1)
    }

    /// Gives up a group of which somebody still has to be told: what came of others before is told
    /// with it, in the same transaction. Where the disk has no room for that, it goes on being owed.
    async fn drop_owing(
        &self,
        (claimed, group): (Claimed, Group),
        owed: Owed,
        command: &Command,
    ) -> Result<u64, StoreError> {
        let now = self.0.now();
        let event = override_event((&claimed, Some(&group)), command, now);
        let fates = told_still(&owed, &group);
        let Claimed { lease, message, head, .. } = claimed;
        let content = self.0.store.content(message).await.unwrap_or_default();
        let attempt = group.history.attempts;
        let turn = Turn { message, head, group, content, attempt, now: owed.at };
        let letters = self.0.path.letters(&turn, &fates);
        let record = Record { lease, message, next: Next::Done, events: vec![event], letters };
        let tells = !record.letters.is_empty();
        let Err((error, record)) = self.0.store.settle(record).await else {
            if tells {
                self.0.tell(News::Fresh);
            }
            return Ok(1);
        };
        if !tells || !matches!(error, StoreError::Full) {
            return Err(error);
        }
        if turn.group.recipients.is_empty() {
            // There is nothing but the report, which nobody asked to give up.
            return Ok(0);
        }
        let again = now + SWEEP;
        let record = owing(*record, &turn, (&fates, again));
        self.0.store.settle(record).await.map_err(|(error, _)| error)?;
        self.0.tell(News::Due(self.0.store.destination(&turn.group.destination), again));
        Ok(1)
    }

    /// A message without a verdict can only be given up, and only as a whole.
    async fn change_fresh(&self, claimed: Claimed, command: &Command) -> Result<u64, StoreError> {
        match (command.verb, &command.target) {
            (Verb::Drop, Target::Message(_) | Target::All) => {}
            (Verb::Drop, Target::Destination(_))
            | (Verb::Retry | Verb::Hold | Verb::Release, _) => return Ok(0),
        }
        let event = override_event((&claimed, None), command, self.0.now());
        self.0.store.resume(claimed, Next::Done, Some(event)).await?;
        Ok(1)
    }

    /// The group under the rules and exceptions of today: an operator who made an exception for
    /// what waits, and then releases it, expects that it counts.
    async fn judged_anew(&self, claimed: &Claimed, group: Group, now: UnixTime) -> Group {
        // What cannot be read is said when it is tried; until then the old verdict stands.
        let Ok(content) = self.0.store.content(claimed.message).await else { return group };
        let judged = self.0.path.judge(&claimed.head, &content, now);
        let recipients = claimed.head.envelope.recipients.iter();
        let verdict = recipients
            .zip(judged.verdicts)
            .filter(|(recipient, _)| group.recipients.contains(recipient))
            // The group stays one: the highest demand holds for all of it.
            .max_by_key(|(_, verdict)| verdict.suspended.unwrap_or(verdict.floor))
            .map(|(_, verdict)| verdict);
        match verdict {
            Some(verdict) => Group { verdict, ..group },
            None => group,
        }
    }

    /// Forgets expired state, and looks again at what was set aside.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.0.now();
        self.0.store.expire(now).await?;
        if self.0.store.look_again() {
            self.0.tell(News::Fresh);
            for (destination, due) in self.0.store.schedule().await? {
                self.0.tell(News::Due(destination, due));
            }
        }
        Ok(())
    }

    /// Returns what an operator held and nobody released in time.
    pub(super) async fn return_overdue(&self) -> Result<(), StoreError> {
        let now = self.0.now();
        for claimed in self.0.store.claim_overdue(now, PAGE).await? {
            self.give_back(claimed, now).await;
        }
        Ok(())
    }

    async fn give_back(&self, claimed: Claimed, now: UnixTime) {
        let Claimed { lease, message, head, group: Some(group), .. } = claimed else { return };
        let content = self.0.store.content(message).await.unwrap_or_default();
        let attempt = group.history.attempts;
        let owed = group.owed.as_ref().map(|owed| told_still(owed, &group)).unwrap_or_default();
        let turn = Turn { message, head, group, content, attempt, now };
        // RFC 3463 §3.5: X.4.7, delivery time expired.
        let (code, reason) = (EnhancedCode(5, 4, 7), "held, and nobody released it in time");
        let mut fates: Vec<_> = (turn.group.recipients.iter())
            .map(|recipient| Fate {
                recipient: recipient.clone(),
                outcome: Outcome::Rejected { cause: Cause::Plan(reason.to_owned()) },
                // Nobody is asked or told about what a machine wrote (RFC 3834 §5).
                settled: match turn.group.history.origin {
                    Origin::Person => Settled::Bounce { code, reason: reason.to_owned() },
                    Origin::Automatic => Settled::Drop { code, reason: reason.to_owned() },
                },
                remote: None,
            })
            .chain(owed)
            .collect();
        self.0.path.amend(&turn, &mut fates).await;
        let letters = self.0.path.letters(&turn, &fates);
        let body = json!({ "verb": "expire", "groups": 1, "reason": reason });
        let event = event(Actor::Gateway, now, (message, body.to_string()));
        let record = Record { lease, message, next: Next::Done, events: vec![event], letters };
        self.settle(record, (&turn, fates)).await;
    }
}

/// What has to be told of recipients that are not in the group any more. Of those that are, it is
/// out of date: they are not tried again.
fn told_still(owed: &Owed, group: &Group) -> Vec<Fate> {
    let settled = |fate: &&Fate| !group.recipients.contains(&fate.recipient);
    owed.fates.iter().filter(settled).cloned().collect()
}

/// Whether a row may hold what is asked for: what cannot be read is found out when it is claimed.
fn may_mean(target: &Target, row: &Listed) -> bool {
    match (target, &row.group) {
        (Target::Destination(domain), Some(group)) => group.destination == *domain,
        (Target::Destination(_), None) => row.unreadable.is_some(),
        (Target::Message(_) | Target::All, _) => true,
    }
}

fn override_event(
    (claimed, group): (&Claimed, Option<&Group>),
    command: &Command,
    now: UnixTime,
) -> Event {
    let everybody = &claimed.head.envelope.recipients;
    let body = json!({
        "verb": command.verb,
        "destination": group.map(|group| &group.destination),
        "recipients": group.map_or(everybody, |group| &group.recipients).len(),
        "reason": command.reason,
    });
    event(command.actor.clone(), now, (claimed.message, body.to_string()))
}

fn event(actor: Actor, at: UnixTime, (message, body): (QueueId, String)) -> Event {
    Event {
        kind: EventKind::Override,
        version: 1,
        at,
        actor,
        config: None,
        message: Some(message),
        body: body.into_bytes(),
        personal: None,
    }
}
