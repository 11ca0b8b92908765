//! Reads and writes for the state machines, each reply within its time.

use std::{borrow::Cow, future::Future, io, time::Duration};

use tokio::time::{Instant, timeout_at};
use waxseal_core::{
    outcome::Outcome,
    smtp::client::{Awaits, Client, Step, Transaction, TxStep},
};

use super::{
    super::{Intent, IntentLost, Timeouts},
    Bounds, FAREWELL, TOO_LONG,
    stream::Stream,
};

/// Where the client stops to let others act.
pub(super) enum Settled {
    StartTls,
    Judge,
    Ready,
    Closed,
}

/// Reads and writes until the client wants something else.
pub(super) async fn settle(
    stream: &mut Stream,
    client: &mut Client,
    buffer: &mut [u8],
    timeouts: &Timeouts,
) -> Settled {
    let mut patience = Patience::default();
    loop {
        match client.step() {
            Step::Write(bytes) => {
                let flight = [Cow::Owned(bytes)];
                let writing = stream.write(&flight);
                if let Err(why) = within(Instant::now() + timeouts.block, writing).await {
                    client.disconnected(&why);
                }
            }
            Step::Read => {
                let until = patience.until(timeouts.greeting, client.heard());
                match within(until, stream.read(buffer)).await {
                    Ok(0) => client.disconnected("the peer closed the connection"),
                    Ok(count) => client.input(buffer.get(..count).unwrap_or_default()),
                    Err(why) => client.disconnected(&why),
                }
            }
            Step::StartTls => return Settled::StartTls,
            Step::Judge => return Settled::Judge,
            Step::Ready => return Settled::Ready,
            Step::Closed => return Settled::Closed,
        }
    }
}

/// Drives one message to its end.
pub(super) async fn transact(
    stream: &mut Stream,
    buffer: &mut [u8],
    mut transaction: Transaction<'_, '_>,
    intent: &impl Intent,
    Bounds { timeouts, limit }: Bounds<'_>,
) -> Vec<Outcome> {
    let mut patience = Patience::default();
    let mut intent_is_durable = false;
    loop {
        match transaction.step() {
            TxStep::Write(flight) => {
                let writing = within(Instant::now() + timeouts.block, stream.write(&flight));
                let written = if intent_is_durable {
                    // The final dot is in it: what comes of it has to be heard.
                    writing.await
                } else {
                    if transaction.awaits() == Awaits::FinalDot {
                        limit.message_begins();
                    }
                    limit.within(writing).await.unwrap_or_else(|| Err(TOO_LONG.to_owned()))
                };
                if let Err(why) = written {
                    last_words(stream, buffer, &mut transaction).await;
                    transaction.disconnected(&why);
                }
            }
            TxStep::Read => {
                let awaits = transaction.awaits();
                let time = match awaits {
                    Awaits::Envelope => timeouts.envelope,
                    Awaits::Data => timeouts.data,
                    Awaits::FinalDot => timeouts.final_dot,
                };
                let until = patience.until(time, transaction.heard());
                let reading = within(until, stream.read(buffer));
                let read = match awaits {
                    Awaits::Envelope | Awaits::Data => {
                        limit.within(reading).await.unwrap_or_else(|| Err(TOO_LONG.to_owned()))
                    }
                    // The message may have been taken: only an answer says so.
                    Awaits::FinalDot => reading.await,
                };
                match read {
                    Ok(0) => transaction.disconnected("the peer closed the connection"),
                    Ok(count) => transaction.input(buffer.get(..count).unwrap_or_default()),
                    Err(why) => transaction.disconnected(&why),
                }
            }
            TxStep::Intend => match intent.before_final_dot().await {
                Ok(()) => {
                    intent_is_durable = true;
                    transaction.intended();
                }
                Err(IntentLost(why)) => {
                    transaction.disconnected(&format!("the intent to send was not stored ({why})"));
                }
            },
            TxStep::Done => return transaction.finish(),
        }
    }
}

/// A peer that hangs up in the middle of a message has often said why before.
async fn last_words(stream: &mut Stream, buffer: &mut [u8], transaction: &mut Transaction<'_, '_>) {
    let until = Instant::now() + FAREWELL;
    while let Ok(count) = within(until, stream.read(buffer)).await {
        if count == 0 {
            return;
        }
        transaction.input(buffer.get(..count).unwrap_or_default());
        if transaction.step() == TxStep::Done {
            return;
        }
    }
}

/// A timeout for each reply, not for each octet of it: a server that drips its reply gets no more
/// time than one that is silent.
#[derive(Debug, Default)]
struct Patience {
    waits: Option<(Duration, u64, Instant)>,
}

impl Patience {
    fn until(&mut self, limit: Duration, heard: u64) -> Instant {
        match self.waits {
            Some((last, count, until)) if last == limit && count == heard => until,
            Some(_) | None => {
                let until = Instant::now() + limit;
                self.waits = Some((limit, heard, until));
                until
            }
        }
    }
}

async fn within<T>(until: Instant, work: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match timeout_at(until, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}
