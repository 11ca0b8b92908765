//! Exceptions from the rules, as the store keeps them: one for each domain.

use waxseal_core::{domain::Domain, org::Exception, time::UnixTime};

use crate::store::{Entry, Space, Store, StoreError};

/// Read from the store at once.
const PAGE: usize = 1_000;

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
            let found: Result<Exception, _> = serde_json::from_slice(&entry.value);
            exceptions.push(found.map_err(|_| StoreError::Damaged("an exception"))?);
        }
        match end {
            Some(end) => after = end,
            None => return Ok(exceptions),
        }
    }
}

/// Keeps an exception, in place of another for the same domain; it goes by itself when it ends.
///
/// # Errors
/// The store cannot be written.
pub async fn keep(store: &Store, exception: &Exception) -> Result<(), StoreError> {
    let value = serde_json::to_vec(exception).map_err(|_| StoreError::Damaged("an exception"))?;
    let name = exception.domain.as_str().to_owned();
    let entry = Entry { name, value, expires: Some(exception.until) };
    store.save(Space::Exception, entry).await
}

/// Ends the exception of a domain; no error where there is none.
///
/// # Errors
/// The store cannot be written.
pub async fn end(store: &Store, domain: &Domain) -> Result<(), StoreError> {
    store.remove(Space::Exception, domain.as_str()).await
}
