//! The one writer: a thread that commits everything that waits in one transaction, with one fsync.

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Requests in one transaction at most: bounds the latency of the first.
const BATCH: usize = 512;
/// Requests that may wait; whoever comes later waits to be let in.
const WAITING: usize = 2_048;

/// Something to write. Run again on its own where a batch fails, so that one bad request does not
/// take others with it.
trait Job: Send {
    fn place(&self) -> Place;
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

/// Where a request runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a transaction with others.
    Transaction,
    /// Between transactions, while nobody else writes: what SQLite does not do inside one.
    Between,
}

struct Write<T, F> {
    place: Place,
    act: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F> Job for Write<T, F>
where
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn place(&self) -> Place {
        self.place
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.value = Some((self.act)(connection)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        // Whoever asked may be gone; what was written stays written.
        let _ = reply.send(committed.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

/// Where requests go in.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the thread; it ends when the last handle is dropped.
    pub(crate) fn start(connection: Connection) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&connection, waiting))?;
        Ok(Self { jobs })
    }

    /// Writes, and answers once it is durable. `act` may run twice.
    pub(crate) async fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.ask(Place::Transaction, act).await
    }

    /// Runs `act` between two transactions: nobody else writes meanwhile.
    pub(crate) async fn between<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.ask(Place::Between, act).await
    }

    async fn ask<T, F>(&self, place: Place, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write { place, act, value: None, reply });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn serve(connection: &Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        for mut job in batch.extract_if(.., |job: &mut Box<dyn Job>| job.place() == Place::Between)
        {
            let outcome = job.run(connection);
            job.finish(outcome);
        }
        if batch.is_empty() {
            continue;
        }
        match transact(connection, &mut batch) {
            Ok(()) => batch.drain(..).for_each(|job| job.finish(Ok(()))),
            Err(error) if batch.len() == 1 => {
                if let Some(job) = batch.pop() {
                    job.finish(Err(error));
                }
            }
            Err(_) => {
                for mut job in batch.drain(..) {
                    let outcome = transact(connection, std::slice::from_mut(&mut job));
                    job.finish(outcome);
                }
            }
        }
    }
}

fn transact(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let run = |sql| -> Result<(), StoreError> {
        connection.prepare_cached(sql)?.execute(())?;
        Ok(())
    };
    run("BEGIN IMMEDIATE")?;
    let outcome = jobs.iter_mut().try_for_each(|job| job.run(connection));
    let outcome = outcome.and_then(|()| run("COMMIT"));
    // SQLite rolls back by itself on some errors (full disk), not on all.
    if outcome.is_err() && !connection.is_autocommit() {
        let _ = run("ROLLBACK");
    }
    outcome
}
