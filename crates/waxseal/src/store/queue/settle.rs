//! The end of an attempt: the intent before it, and afterwards, in one transaction, what came of it
//! and what is left.

use rusqlite::{Connection, OptionalExtension, params};
use waxseal_core::{queue_id::QueueId, time::UnixTime};

use super::{Claimed, Intent, Next, Settled, WorkId, WorkState};
use crate::{
    secrets::StoreKeys,
    store::{
        Event, Place, Store, StoreError, events,
        owed::{self, Room},
        signed, unsigned,
    },
};

impl Store {
    /// Puts on record that a final dot is about to be sent (promise P4): durable when this answers.
    ///
    /// # Errors
    /// The store cannot be written; then nothing may be sent.
    pub async fn intend(&self, work: WorkId, attempt: u32, at: UnixTime) -> Result<(), StoreError> {
        let outcome = self.intend_once(work, attempt, at).await;
        if !matches!(outcome, Err(StoreError::Full)) {
            return outcome;
        }
        // What goes out makes room.
        self.make_room().await;
        self.intend_once(work, attempt, at).await
    }

    /// Gives the reserve to the database, and lets it write its log from the start again. Nobody
    /// writes in between: other writers would use the room up in the log, and then the log could
    /// neither grow nor be moved into the database.
    async fn make_room(&self) {
        let store = self.clone();
        let moved = self.0.writer.between(move |connection| {
            store.0.bodies.spend();
            Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
        });
        if let Err(error) = moved.await {
            tracing::warn!(%error, "the disk is full, and the database's log cannot be moved");
        }
    }

    /// As on a disk that stays full.
    #[cfg(test)]
    pub(crate) fn lose_reserve(&self) {
        self.0.bodies.lose();
    }

    async fn intend_once(
        &self,
        work: WorkId,
        attempt: u32,
        at: UnixTime,
    ) -> Result<(), StoreError> {
        self.0
            .writer
            .write(move |connection| {
                let sql = "INSERT OR REPLACE INTO intent (work, attempt, at) VALUES (?1, ?2, ?3)";
                let values = params![signed(work.0), attempt, signed(at.0)];
                connection.prepare_cached(sql)?.execute(values)?;
                Ok(())
            })
            .await
    }

    /// Intents without a result. Asked once at the start, before anything is sent.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn intents(&self) -> Result<Vec<Intent>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT i.work, w.message, i.attempt, i.at FROM intent i \
                       JOIN work w ON w.id = i.work";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut intents = Vec::new();
            while let Some(row) = rows.next()? {
                let message = QueueId::new(unsigned(row.get(1)?));
                intents.push(Intent {
                    work: WorkId(unsigned(row.get(0)?)),
                    message: message.ok_or(StoreError::Damaged("a message id"))?,
                    attempt: row.get(2)?,
                    at: UnixTime(unsigned(row.get(3)?)),
                });
            }
            Ok(intents)
        })
        .await
    }

    /// Records an attempt, what is left and what is told, in one transaction, and gives the lease
    /// back. When the disk is full it uses the room that was kept back for this; letters may then
    /// only take what is free inside the database, such as the room of the message that they speak
    /// of. Answers the places of the events.
    ///
    /// # Errors
    /// The store cannot be written; the lease is still held by the value that comes back.
    pub async fn settle(&self, settled: Settled) -> Result<Vec<u64>, (StoreError, Box<Settled>)> {
        let settled = Box::new(settled);
        let tells = !settled.letters.is_empty();
        let room = if tells && self.admit().is_err() { Room::AsItIs } else { Room::May };
        let mut outcome = self.settle_once(&settled, room).await;
        if matches!(outcome, Err(StoreError::Full)) {
            self.make_room().await;
            let room = if tells { Room::AsItIs } else { Room::May };
            outcome = self.settle_once(&settled, room).await;
        }
        match outcome {
            Ok((sequences, gone)) => {
                self.gone(settled.message, gone);
                Ok(sequences)
            }
            Err(error) => Err((error, settled)),
        }
    }

    /// The file of a message goes with it.
    pub(in crate::store) fn gone(&self, message: QueueId, gone: Gone) {
        if gone == Gone::WithFile {
            self.0.bodies.remove(message.number());
        }
    }

    async fn settle_once(
        &self,
        settled: &Settled,
        room: Room,
    ) -> Result<(Vec<u64>, Gone), StoreError> {
        let work = settled.lease.work;
        let row = match &settled.next {
            Next::Done => None,
            Next::Retry(due, group) => Some((WorkState::Queued, *due, group)),
            Next::Hold(until, group) => Some((WorkState::Held, *until, group)),
        };
        let row = match row {
            None => None,
            Some((state, due, group)) => {
                let key = self.message_key(settled.message)?;
                let sealed = key.seal(Place::Group(work), serde_json::to_vec(group)?)?;
                Some((state.code(), signed(due.0), sealed))
            }
        };
        let (keys, events, message) = (self.keys(), settled.events.clone(), settled.message);
        let letters = self.seal_letters(&settled.letters)?;
        let write = move |connection: &Connection| {
            // First what makes room.
            let done = settle_rows(connection, (work, message), row.as_ref(), (&keys, &events))?;
            owed::insert_all(connection, &letters, room)?;
            Ok(done)
        };
        self.0.writer.write(write).await
    }

    /// Changes the time or state of a group that is not in hand, with what goes on record for it.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub async fn resume(
        &self,
        claimed: Claimed,
        next: Next,
        event: Option<Event>,
    ) -> Result<(), StoreError> {
        let settled = Settled {
            lease: claimed.lease,
            message: claimed.message,
            next,
            events: event.into_iter().collect(),
            letters: Vec::new(),
        };
        self.settle(settled).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

/// Whether a message went with its last group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Gone {
    No,
    Yes,
    WithFile,
}

pub(in crate::store) fn settle_rows(
    connection: &Connection,
    (work, message): (u64, QueueId),
    row: Option<&(i64, i64, Vec<u8>)>,
    (keys, events): (&StoreKeys, &[Event]),
) -> Result<(Vec<u64>, Gone), StoreError> {
    let run = |sql, id: u64| -> Result<usize, StoreError> {
        Ok(connection.prepare_cached(sql)?.execute([signed(id)])?)
    };
    let sequences = events.iter().map(|event| events::insert(connection, keys, event));
    let sequences = sequences.collect::<Result<Vec<_>, _>>()?;
    run("DELETE FROM intent WHERE work = ?1", work)?;
    if let Some((state, due, sealed)) = row {
        let sql = "UPDATE work SET state = ?2, due = ?3, sealed = ?4 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![signed(work), state, due, sealed])?;
        return Ok((sequences, Gone::No));
    }
    run("DELETE FROM work WHERE id = ?1", work)?;
    let more = "SELECT 1 FROM work WHERE message = ?1";
    if connection.prepare_cached(more)?.exists([signed(message.number())])? {
        return Ok((sequences, Gone::No));
    }
    let gone = "DELETE FROM message WHERE id = ?1 RETURNING body IS NULL";
    let mut statement = connection.prepare_cached(gone)?;
    let spooled = statement.query_row([signed(message.number())], |row| row.get(0)).optional()?;
    Ok((sequences, if spooled == Some(true) { Gone::WithFile } else { Gone::Yes }))
}
