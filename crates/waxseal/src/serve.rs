//! `waxseal serve`: puts the parts together, keeps them running, replaces them on a reload and
//! ends them in order.

mod checks;
mod dkim;
mod exceptions;
mod health;
mod in_force;
mod inspect;
mod known;
mod letters;
mod notify;
mod open;
mod open_files;
mod parts;
pub(crate) mod path;
mod preload;
mod process;
mod recipients;
mod reload;
mod routes;
mod runner;
mod settings;
mod spool;
mod strangers;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

pub use inspect::{Inspection, Record, inspect};
pub use parts::{Around, Live, Parts};
pub use process::run;
pub use routes::{Routes, Way};
pub(crate) use settings::probing_pace;
pub use settings::{
    dialler as dialler_settings, resolver as resolver_settings, roots as roots_settings, signer,
};
use tokio::{sync::watch, task::JoinSet};
use waxseal_core::time::UnixTime;

use crate::{
    config::Config,
    gather::{self, PolicyStore},
    listen::Desk,
    metrics,
    queue::Queue,
    resolve::Clock,
    secrets::{SecretSource, StoreKeys},
    store::{self, Access, Store, StoreError},
    survey::probe::Memory,
    watch::{Board, Partners, Post, Tools, Watcher},
    web,
};
use health::Doctor;
use open::Open;
use path::Stages;
use runner::Runner;
use spool::Spool;

/// After this a graceful stop is no longer waited for.
const STOP: Duration = Duration::from_secs(60);

/// Why nothing was started, or why it ended.
#[derive(Debug)]
pub enum StartError {
    /// Configuration, certificate, data folder: one sentence. Exit 78.
    Config(String),
    /// Something that may be different in a moment: the address is taken, the store in use.
    /// Exit 75.
    Busy(String),
    /// What mail depends on has ended while it ran, and a new start may mend it. Exit 75.
    Broken(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(text) | Self::Busy(text) | Self::Broken(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

/// A running gateway.
pub struct Gateway {
    live: Live,
    store: Store,
    clock: Clock,
    doctor: Doctor,
    runner: Runner,
    desk: Arc<Desk<Spool>>,
    open: Vec<Open>,
    /// Pages, by role.
    pages: Vec<(&'static str, SocketAddr)>,
    /// MTA-STS policies of our domains, where they are served.
    policies: Option<web::PolicyHost>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts everything, in an order in which nothing is taken in before it can be kept.
    ///
    /// # Errors
    /// What stands in the way, in one sentence; nothing was started then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let clock = Clock::system();
        metrics::recorder();
        if config.listeners.is_empty() {
            return Err(StartError::Config("there is no [[listen]]: no mail could come in".into()));
        }
        if config.domains.is_empty() {
            return Err(StartError::Config(
                "there is no [[domain]]: no mail could be taken".into(),
            ));
        }
        let store = open_store(&config)?;
        // Before anything is read that may have ended.
        clock.begin(last_written(&store).await?, config.clock);
        let around = around(&store, &clock).await;
        let parts = Parts::build(config, around, None).map_err(StartError::Config)?;
        in_force::record(&store, &parts.org, (in_force::Cause::Start, clock.now())).await;
        let live = Live::new(Arc::new(parts));
        let partners = Partners::default();
        let stages = Stages {
            live: live.clone(),
            store: store.clone(),
            stored: Arc::default(),
            partners: partners.clone(),
        };
        let parts = live.now();
        let turns = settings::queue(&parts.config);
        let now = clock.clone();
        let (queue, inbox) = Queue::new(store.clone(), stages, turns, Arc::new(move || now.now()));
        let spool = Spool::new(queue.clone(), store.clone(), live.clone());
        let dkim = Box::new(dkim::Verifier(live.clone()));
        let inside = recipients::Inside { live: live.clone(), clock: clock.clone() };
        let desk = Desk::new(spool, dkim, Box::new(inside), clock.clone());
        let post: Arc<dyn Post> = Arc::new(queue.clone());
        let board = Board::default();
        let (stop, stopped) = watch::channel(false);
        let runs = queue.clone();
        let (run, runner) = runner::watched(async move { runs.run(inbox, stopped).await });
        let seen = (runner.clone(), board.clone());
        let doctor = Doctor::new(live.clone(), (store.clone(), clock.clone()), seen);
        let (open, pages, tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        let policies = None;
        let mut gateway =
            Self { live, store, clock, doctor, runner, desk, open, pages, policies, stop, tasks };
        gateway.open_pages().await?;
        gateway.open_policies(&parts.config).await?;
        let listeners = gateway.bind(&parts, &[]).await?;
        gateway.doctor.confirm_clock().await;
        gateway.tasks.spawn(run);
        gateway.spawn_keepers();
        let tools = Tools {
            live: gateway.live.clone(),
            store: gateway.store.clone(),
            clock: gateway.clock.clone(),
            partners,
            post,
            board,
        };
        gateway.tasks.spawn(Watcher::new(tools).run(gateway.stop.subscribe()));
        for listener in listeners {
            gateway.serve(listener);
        }
        gateway.say_how_it_stands(&parts).await;
        Ok(gateway)
    }

    /// Where mail comes in: what was configured, and what it is, the port filled in.
    pub fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.open.iter().map(|open| (open.configured, open.bound)).collect()
    }

    /// Where the pages of a role are served.
    pub fn page(&self, role: &str) -> Option<SocketAddr> {
        self.pages.iter().find(|(name, _)| *name == role).map(|(_, address)| *address)
    }

    /// The store, for whoever looks beside us.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What runs beside the mail: health, exceptions, and policies before they run out.
    fn spawn_keepers(&mut self) {
        self.tasks.spawn(self.doctor.clone().watch(self.stop.subscribe()));
        self.tasks.spawn(exceptions::watch(
            self.live.clone(),
            self.store.clone(),
            self.clock.clone(),
            self.stop.subscribe(),
        ));
        let (live, clock) = (self.live.clone(), self.clock.clone());
        let mut stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let mut remembered = None;
            let mut fetching = JoinSet::new();
            let mut round = tokio::time::interval(gather::ROUND);
            round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let parts = live.now();
                // Once for each gatherer: a reload makes a new one.
                let same = |known: &std::sync::Weak<Parts>| {
                    known.upgrade().is_some_and(|known| Arc::ptr_eq(&known, &parts))
                };
                if !remembered.as_ref().is_some_and(same) {
                    match parts.gatherer.remember(clock.now()).await {
                        Ok(_) => remembered = Some(Arc::downgrade(&parts)),
                        Err(error) => tracing::error!("known policies cannot be read: {error}"),
                    }
                }
                let work = async {
                    round.tick().await;
                    parts.gatherer.refresh_late(clock.now(), &mut fetching).await;
                    drop(parts);
                };
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = work => {}
                }
            }
        });
    }

    /// One line for each thing that does not work, or that receivers will not like.
    async fn say_how_it_stands(&mut self, parts: &Arc<Parts>) {
        if !parts.config.network.is_empty() {
            tracing::warn!("TEST BED: [network] map connects elsewhere; evidence is marked");
        }
        self.doctor.look().await;
        let parts = Arc::clone(parts);
        let mut stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let own = settings::own(&parts.config);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                warnings = checks::look(&parts, &own) => {
                    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                }
            }
        });
    }

    /// Ends in order: nothing new comes in, what is in hand is finished, within a minute.
    pub async fn stop(mut self) {
        for open in &self.open {
            open.stop.send_replace(true);
        }
        self.stop.send_replace(true);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, finished).await.is_err() {
            tracing::warn!("not everything ended within a minute; it is in the queue");
        }
        self.live.now().deliverer.close().await;
    }
}

async fn last_written(store: &Store) -> Result<Option<UnixTime>, StartError> {
    store.last_written().await.map_err(|error| StartError::Busy(error.to_string()))
}

async fn around(store: &Store, clock: &Clock) -> Around {
    let policies: Arc<dyn PolicyStore> = Arc::new(store.clone());
    let now = clock.now();
    let (exceptions, mark) = match exceptions::read(store, now).await {
        Ok(read) => read,
        // Without them floors are higher, never lower.
        Err(error) => {
            tracing::error!("exceptions cannot be read, none is in force: {error}");
            (Vec::new(), None)
        }
    };
    exceptions::warn(&exceptions, now);
    let probes = Memory::kept_in(Arc::new(store.clone()));
    Around { policies, probes, exceptions, mark, now }
}

fn load_keys(config: &Config) -> Result<StoreKeys, StartError> {
    let source = SecretSource::from(&config.store.key);
    StoreKeys::load(&source, &config.data_dir, &store::Settings::of(config).database)
        .map_err(|error| StartError::Config(error.to_string()))
}

fn open_store(config: &Config) -> Result<Store, StartError> {
    let settings = store::Settings::of(config);
    let opened = Store::open(settings, load_keys(config)?, Access::Serve);
    opened.map_err(|error| {
        let busy = matches!(error, StoreError::Locked(_) | StoreError::Full);
        let text = error.to_string();
        if busy { StartError::Busy(text) } else { StartError::Config(text) }
    })
}
