//! What operators ask of a running server: `waxseal queue retry|hold|release|drop`.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use waxseal_core::{domain::Domain, queue_id::QueueId};

use super::{Actor, Place, Store, StoreError, seal, signed, unsigned};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Try now, whatever the schedule says.
    Retry,
    /// Keep for a person.
    Hold,
    /// End a hold and try now; with [`Target::All`] also the pause after a restore.
    Release,
    /// Give up without telling the sender.
    Drop,
}

/// With what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One message.
    Message(QueueId),
    /// Everything for a domain.
    Destination(Domain),
    /// Everything.
    All,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub target: Target,
    /// Why, where somebody said.
    pub reason: Option<String>,
    /// Who asks.
    pub actor: Actor,
}

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandId(u64);

/// A request as it was found, or why it cannot be read.
pub type Asked = (CommandId, Result<Command, StoreError>);

/// What came of a request: how many groups it changed, or why it was not done.
type Answer = Result<u64, String>;

impl Store {
    /// Puts a request where the running server finds it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn ask(&self, command: &Command) -> Result<CommandId, StoreError> {
        let (keys, plain) = (self.keys(), serde_json::to_vec(command)?);
        self.0
            .writer
            .write(move |connection| {
                // Sealed here, because the seal covers the number: a request of before that is put
                // back under another one is not carried out again.
                let sql = "SELECT ifnull((SELECT seq FROM sqlite_sequence \
                           WHERE name = 'command'), 0) + 1";
                let id = unsigned(connection.prepare_cached(sql)?.query_row((), |row| row.get(0))?);
                let sealed = seal::seal(&keys, Place::Command(id), &plain)?;
                let sql = "INSERT INTO command (id, sealed) VALUES (?1, ?2)";
                connection.prepare_cached(sql)?.execute(params![signed(id), sealed])?;
                Ok(CommandId(id))
            })
            .await
    }

    /// Requests without an answer, oldest first. One that cannot be read hides none of the others.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn commands(&self) -> Result<Vec<Asked>, StoreError> {
        let keys = self.keys();
        self.read_here(move |connection| {
            let sql = "SELECT id, sealed FROM command WHERE answer IS NULL ORDER BY id LIMIT 100";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(())?;
            let mut commands = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, sealed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let id = unsigned(id);
                let command = seal::open(&keys, Place::Command(id), &sealed);
                let command = command.and_then(|command| Ok(serde_json::from_slice(&command)?));
                commands.push((CommandId(id), command));
            }
            Ok(commands)
        })
    }

    /// Says how many groups a request changed, or why it was not done.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn answer(&self, id: CommandId, answer: Answer) -> Result<(), StoreError> {
        let answer = serde_json::to_vec(&answer)?;
        let sealed = seal::seal(&self.keys(), Place::Answer(id.0), &answer)?;
        self.0
            .writer
            .write(move |connection| {
                let sql = "UPDATE command SET answer = ?2 WHERE id = ?1";
                connection.prepare_cached(sql)?.execute(params![signed(id.0), sealed])?;
                let sql = "DELETE FROM command WHERE id < ?1 AND answer IS NOT NULL";
                connection.prepare_cached(sql)?.execute([signed(id.0.saturating_sub(1_000))])?;
                Ok(())
            })
            .await
    }

    /// The answer to a request, once there is one.
    ///
    /// # Errors
    /// The store cannot be read, or [`StoreError::NotDone`].
    pub async fn answered(&self, id: CommandId) -> Result<Option<u64>, StoreError> {
        let keys = self.keys();
        self.read_here(move |connection| {
            let sql = "SELECT answer FROM command WHERE id = ?1 AND answer IS NOT NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let answer = statement.query_row([signed(id.0)], |row| row.get(0)).optional()?;
            let Some(sealed): Option<Vec<u8>> = answer else { return Ok(None) };
            let answer = seal::open(&keys, Place::Answer(id.0), &sealed)?;
            let answer: Answer = serde_json::from_slice(&answer)?;
            answer.map(Some).map_err(StoreError::NotDone)
        })
    }
}
