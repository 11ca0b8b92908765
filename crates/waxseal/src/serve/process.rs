//! The gateway as a process: what signals ask of it, and what whoever started it is told.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::{Gateway, StartError, notify, open_files, reload::reread};
use crate::{config::Config, store::Store};

/// Runs until SIGTERM or SIGINT; SIGHUP reads `file` again.
///
/// # Errors
/// Nothing could be started, or the queue has ended by itself.
pub async fn run(config: Config, file: PathBuf) -> Result<(), StartError> {
    let hear = |kind| signal(kind).map_err(|error| StartError::Busy(format!("signals: {error}")));
    let mut hangup = hear(SignalKind::hangup())?;
    let mut terminate = hear(SignalKind::terminate())?;
    let mut interrupt = hear(SignalKind::interrupt())?;
    if let Some(shortage) = open_files::shortage(open_files::raise(), &config) {
        tracing::warn!("{shortage}");
    }
    let mut gateway = Gateway::start(config).await?;
    notify::tell(notify::Notice::Ready);
    let watchdog = tokio::spawn(reassure(gateway.store.clone()));
    let mut told = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let runner = gateway.runner.clone();
    let mut end = Ok(());
    loop {
        tokio::select! {
            () = told() => break,
            why = runner.broken() => {
                // Listeners, /healthz and the watchdog would go on: whoever started us has to see it.
                end = Err(StartError::Broken(why));
                break;
            }
            _ = hangup.recv() => reread(&mut gateway, &file).await,
        }
    }
    tracing::info!("stopping: what is in hand is finished; a second signal ends it at once");
    notify::tell(notify::Notice::Stopping);
    tokio::select! {
        () = gateway.stop() => {}
        // What was accepted is durable, and the intent to send is too: nothing is lost by it.
        () = told() => tracing::warn!("told twice to stop: what was in hand waits in the queue"),
    }
    watchdog.abort();
    end
}

/// Tells systemd's watchdog that we are alive, where there is one: twice in its time, and only
/// while the store answers.
async fn reassure(store: Store) {
    let Some(limit) = notify::watchdog() else { return };
    let mut tick = tokio::time::interval(limit / 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match store.is_paused().await {
            Ok(_) => notify::tell(notify::Notice::Alive),
            Err(error) => tracing::error!("the store does not answer the watchdog: {error}"),
        }
    }
}
