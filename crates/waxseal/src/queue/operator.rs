//! What operators ask of the queue while it runs, and holds that nobody ended.

use std::sync::atomic::Ordering;

use serde_json::json;
use waxseal_core::{
    decide::{Origin, Settled},
    outcome::{Cause, Outcome},
    reply::EnhancedCode,
    time::UnixTime,
};

use super::{Fate, News, Path, Queue, Turn};
use crate::store::{
    Actor, Claimed, Command, CommandId, Event, EventKind, Group, Next, Settled as Record,
    StoreError, Target, Verb, WorkId, WorkState,
};

/// Rows looked at in one step.
const PAGE: usize = 500;

impl<P: Path> Queue<P> {
    /// Carries out what was asked, in order.
    pub(super) async fn obey(&self, commands: Vec<(CommandId, Command)>) -> Result<(), StoreError> {
        for (id, command) in commands {
            // Without an answer it is carried out again after the next start: what was changed
            // already does not change twice.
            let Some(changed) = self.carry_out(&command).await? else { return Ok(()) };
            self.0.store.answer(id, changed).await?;
            if command.verb == Verb::Release && command.target == Target::All {
                self.0.store.unpause().await?;
                self.0.tell(News::Unpaused);
            }
        }
        Ok(())
    }

    /// Page by page, each with a few short reads and writes: the rest of the queue goes on in
    /// between. `None`: the process is about to end, and not all was looked at.
    async fn carry_out(&self, command: &Command) -> Result<Option<u64>, StoreError> {
        let mut changed = 0;
        match &command.target {
            Target::Message(message) => {
                for claimed in self.0.store.claim_message(*message).await? {
                    changed += self.change(claimed, command).await?;
                }
            }
            Target::Destination(_) | Target::All => {
                let mut after: Option<WorkId> = None;
                loop {
                    let (page, end) = self.0.store.list(after, PAGE).await?;
                    if end.is_none() {
                        break;
                    }
                    after = end;
                    let mut messages: Vec<_> = page.iter().map(|row| row.message).collect();
                    messages.dedup();
                    for message in messages {
                        if self.0.stopping.load(Ordering::Relaxed) {
                            return Ok(None);
                        }
                        for claimed in self.0.store.claim_message(message).await? {
                            changed += self.change(claimed, command).await?;
                        }
                    }
                }
            }
        }
        Ok(Some(changed))
    }

    /// Changes one group, if it is meant and its state allows it. A group in hand is left alone:
    /// what is being sent cannot be called back.
    async fn change(&self, claimed: Claimed, command: &Command) -> Result<u64, StoreError> {
        let now = self.0.now();
        let Some(group) = claimed.group.clone() else { return Ok(0) };
        if let Target::Destination(domain) = &command.target
            && group.destination != *domain
        {
            return Ok(0);
        }
        let held = claimed.state == WorkState::Held;
        let floor_held = group.history.held_since.is_some();
        let next = match command.verb {
            Verb::Drop => Next::Done,
            Verb::Hold if held => return Ok(0),
            Verb::Hold => {
                let until = now + self.0.path.schedule().hold_lifetime;
                let note = Some("held by an operator".to_owned());
                Next::Hold(until, Group { note, ..group.clone() })
            }
            Verb::Release if !held && !floor_held => return Ok(0),
            Verb::Retry if held => return Ok(0),
            Verb::Release | Verb::Retry => {
                let mut group = self.judged_anew(&claimed, group.clone(), now).await;
                if command.verb == Verb::Release {
                    group.history.held_since = None;
                }
                Next::Retry(now, group)
            }
        };
        let waits = matches!(next, Next::Retry(..));
        let event = override_event((&claimed, &group), command, now);
        self.0.store.resume(claimed, next, Some(event)).await?;
        if waits {
            self.0.tell(News::Due(self.0.store.destination(&group.destination), now));
        }
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

    /// Returns what an operator held and nobody released in time; forgets expired state.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.0.now();
        self.0.store.expire(now).await?;
        for claimed in self.0.store.claim_overdue(now, PAGE).await? {
            self.give_back(claimed, now).await;
        }
        Ok(())
    }

    async fn give_back(&self, claimed: Claimed, now: UnixTime) {
        let Claimed { lease, message, head, group: Some(group), .. } = claimed else { return };
        let content = self.0.store.content(message).await.unwrap_or_default();
        let attempt = group.history.attempts;
        let owed = group.owed.as_ref().map(|owed| owed.fates.clone()).unwrap_or_default();
        let turn = Turn { message, head, group, content, attempt, now };
        // RFC 3463 §3.5: X.4.7, delivery time expired.
        let (code, reason) = (EnhancedCode(5, 4, 7), "held, and nobody released it in time");
        let fates: Vec<_> = (turn.group.recipients.iter())
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
        let letters = self.0.path.letters(&turn, &fates);
        let body = json!({ "verb": "expire", "groups": 1, "reason": reason });
        let event = event(Actor::Gateway, now, (message, body.to_string()));
        let record = Record { lease, message, next: Next::Done, events: vec![event], letters };
        self.settle(record, (&turn, fates)).await;
    }
}

fn override_event((claimed, group): (&Claimed, &Group), command: &Command, now: UnixTime) -> Event {
    let body = json!({
        "verb": command.verb,
        "destination": group.destination,
        "recipients": group.recipients.len(),
        "reason": command.reason,
    });
    event(command.actor.clone(), now, (claimed.message, body.to_string()))
}

fn event(
    actor: Actor,
    at: UnixTime,
    (message, body): (waxseal_core::queue_id::QueueId, String),
) -> Event {
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
