//! Exceptions from the rules, as the store keeps them: one for each domain.
//!
//! A command beside a running server changes them. So that the server notices within a second
//! without reading them all each time, every change leaves a new [`Mark`].

use waxseal_core::{domain::Domain, org::Exception, time::UnixTime};

use crate::store::{Change, Entry, Event, Space, Store, StoreError};

/// Read from the store at once.
const PAGE: usize = 1_000;
/// Where the mark of the last change is, in [`Space::Server`].
const MARK: &str = "exceptions";

/// Which state of the exceptions: another one after each change. `None` before the first.
pub type Mark = Option<Vec<u8>>;

/// The mark of the last change. Read it before [`all`]: a change between the two is then seen as
/// one that is still to come.
///
/// # Errors
/// The store cannot be read.
pub async fn mark(store: &Store, now: UnixTime) -> Result<Mark, StoreError> {
    store.load(Space::Server, MARK, now).await
}

/// A new mark. Random, so that two commands at the same time never leave the same one.
fn new_mark() -> Result<Change, StoreError> {
    let mut value = vec![0; 16];
    aws_lc_rs::rand::fill(&mut value).map_err(|_| StoreError::Cipher)?;
    Ok(Change::Save(Space::Server, Entry { name: MARK.to_owned(), value, expires: None }))
}

/// All exceptions that have not ended.
///
/// # Errors
/// The store cannot be read.
pub async fn all(store: &Store, now: UnixTime) -> Result<Vec<Exception>, StoreError> {
    let mut exceptions = Vec::new();
    let mut after = 0;
    loop {
        let (page, end) = store.entries(Space::Exception, (after, PAGE), now).await?;
        for entry in page {
            let found: Result<Exception, _> = serde_json::from_slice(&entry?.value);
            exceptions.push(found.map_err(|_| StoreError::Damaged("an exception"))?);
        }
        match end {
            Some(end) => after = end,
            None => return Ok(exceptions),
        }
    }
}

/// Keeps an exception, in place of another for the same domain, with `event` on record, or neither.
/// It goes by itself when it ends.
///
/// # Errors
/// The store cannot be written.
pub async fn keep(store: &Store, exception: &Exception, event: Event) -> Result<(), StoreError> {
    let value = serde_json::to_vec(exception).map_err(|_| StoreError::Damaged("an exception"))?;
    let name = exception.domain.as_str().to_owned();
    let entry = Entry { name, value, expires: Some(exception.until) };
    store.change(vec![Change::Save(Space::Exception, entry), new_mark()?], vec![event]).await
}

/// The exception that holds for a domain.
///
/// # Errors
/// The store cannot be read.
pub async fn of(
    store: &Store,
    domain: &Domain,
    now: UnixTime,
) -> Result<Option<Exception>, StoreError> {
    let value = store.load(Space::Exception, domain.as_str(), now).await?;
    let exception = value.map(|value| serde_json::from_slice(&value)).transpose();
    exception.map_err(|_| StoreError::Damaged("an exception"))
}

/// Ends the exception of a domain, with `event` on record, or neither.
///
/// # Errors
/// The store cannot be written.
pub async fn end(store: &Store, domain: &Domain, event: Event) -> Result<(), StoreError> {
    let gone = Change::Remove(Space::Exception, domain.as_str().to_owned());
    store.change(vec![gone, new_mark()?], vec![event]).await
}
