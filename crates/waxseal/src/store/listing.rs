//! What waits, for people.

use rusqlite::{OptionalExtension, Row, params};
use waxseal_core::{queue_id::QueueId, time::UnixTime};

use super::{
    Group, Place, Store, StoreError, WorkId, WorkState, seal::MessageKey, signed, unsigned,
};
use crate::secrets::StoreKeys;

/// A group in `waxseal queue list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its message.
    pub message: QueueId,
    /// When it came.
    pub arrived: UnixTime,
    /// Octets.
    pub size: u64,
    /// Where it stands.
    pub state: WorkState,
    /// When it is tried next, or its hold ends.
    pub due: UnixTime,
    /// The group; `None` before the verdict, and where it cannot be read.
    pub group: Option<Group>,
    /// Why it or its message's head cannot be read, for the operator. Of the body nothing is known
    /// here: how it was found stands in the group, and may be long ago.
    pub unreadable: Option<String>,
}

impl Store {
    /// Groups in the order of their messages, page by page: `after` is the last of the page before.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(
        &self,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<(Vec<Listed>, Option<WorkId>), StoreError> {
        let keys = self.keys();
        self.read(move |connection| {
            let sql = "SELECT w.id, w.message, w.state, w.due, w.sealed, m.key_id, m.key, \
                       m.arrived, m.size, m.head FROM work w JOIN message m ON m.id = w.message \
                       WHERE w.id > ?1 ORDER BY w.id LIMIT ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let after = after.map_or(-1, |work| signed(work.0));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![after, limit])?;
            let (mut page, mut end) = (Vec::new(), None);
            while let Some(row) = rows.next()? {
                end = Some(WorkId(unsigned(row.get(0)?)));
                page.push(listed(row, &keys)?);
            }
            Ok((page, end))
        })
        .await
    }

    /// The groups of one message.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn groups_of(&self, message: QueueId) -> Result<Vec<Listed>, StoreError> {
        let keys = self.keys();
        self.read(move |connection| {
            let sql = "SELECT w.id, w.message, w.state, w.due, w.sealed, m.key_id, m.key, \
                       m.arrived, m.size, m.head FROM work w JOIN message m ON m.id = w.message \
                       WHERE w.message = ?1 ORDER BY w.id";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([signed(message.number())])?;
            let mut groups = Vec::new();
            while let Some(row) = rows.next()? {
                groups.push(listed(row, &keys)?);
            }
            Ok(groups)
        })
        .await
    }

    /// When the oldest message came that waits for its turn; what a person holds is left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn oldest(&self) -> Result<Option<UnixTime>, StoreError> {
        self.read(|connection| {
            // Ids grow with time: the first that fits is the oldest.
            let sql = "SELECT m.arrived FROM work w JOIN message m ON m.id = w.message \
                       WHERE w.state <> ?1 ORDER BY w.message LIMIT 1";
            let mut statement = connection.prepare_cached(sql)?;
            let held = [WorkState::Held.code()];
            let arrived = statement.query_row(held, |row| row.get(0)).optional()?;
            Ok(arrived.map(|arrived| UnixTime(unsigned(arrived))))
        })
        .await
    }

    /// How many groups stand where: fresh, queued, held.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn count(&self) -> Result<[u64; 3], StoreError> {
        self.read(|connection| {
            let count = |state: WorkState| -> Result<u64, StoreError> {
                let sql = "SELECT count(*) FROM work WHERE state = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(unsigned(statement.query_row([state.code()], |row| row.get(0))?))
            };
            Ok([count(WorkState::Fresh)?, count(WorkState::Queued)?, count(WorkState::Held)?])
        })
        .await
    }
}

/// What was read, or why that cannot be.
fn shown<T>(
    read: Result<Option<T>, StoreError>,
) -> Result<(Option<T>, Option<String>), StoreError> {
    match read {
        Ok(found) => Ok((found, None)),
        Err(error) if error.is_of_one_row() => Ok((None, Some(error.to_string()))),
        Err(error) => Err(error),
    }
}

fn listed(row: &Row<'_>, keys: &StoreKeys) -> Result<Listed, StoreError> {
    let work = unsigned(row.get(0)?);
    let sealed: Option<Vec<u8>> = row.get(4)?;
    let number = unsigned(row.get(1)?);
    let (key_id, key): (Vec<u8>, Vec<u8>) = (row.get(5)?, row.get(6)?);
    let key = MessageKey::unwrap(keys, &key_id, &key);
    let read = |key: &MessageKey| -> Result<Option<Group>, StoreError> {
        let open = |sealed| -> Result<Group, StoreError> {
            Ok(serde_json::from_slice(&key.open(Place::Group(work), sealed)?)?)
        };
        sealed.map(open).transpose()
    };
    let head = |key: &MessageKey| key.open(Place::Head(number), row.get(9)?).map(drop);
    // One that cannot be read is listed too, and hides none of the others.
    let (group, unreadable) = match key {
        Ok(key) => {
            let (group, unreadable) = shown(read(&key))?;
            let (_, headless) = shown(head(&key).map(Some))?;
            (group, unreadable.or(headless))
        }
        Err(error) => shown(Err(error))?,
    };
    let message = QueueId::new(number);
    let state = WorkState::of(row.get(2)?);
    let unreadable = unreadable.or(state.as_ref().err().map(ToString::to_string));
    Ok(Listed {
        message: message.ok_or(StoreError::Damaged("a message id"))?,
        arrived: UnixTime(unsigned(row.get(7)?)),
        size: unsigned(row.get(8)?),
        state: state.unwrap_or(WorkState::Held),
        due: UnixTime(unsigned(row.get(3)?)),
        group,
        unreadable,
    })
}
