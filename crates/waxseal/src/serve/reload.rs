//! Another configuration while mail goes on.

use std::{path::Path, sync::Arc};

use super::{Gateway, Parts, StartError, around, in_force, load_keys, notify, settings};
use crate::{
    config::Config,
    metrics::{self, Reloaded},
};

impl Gateway {
    /// Takes a new configuration, with all files that it names. Sessions go on; what is new
    /// holds for the next ones.
    ///
    /// # Errors
    /// What stands in the way, in one sentence; the old configuration is still in force.
    pub async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let before = self.live.now();
        // First of all: what commands have sealed since a rotation has to open.
        let keys = load_keys(&before.config)?;
        self.store.use_keys(keys).map_err(|error| StartError::Config(error.to_string()))?;
        for (name, changed) in [
            ("data_dir", before.config.data_dir != config.data_dir),
            ("[store]", before.config.store != config.store),
            ("[web]", before.config.web != config.web),
            ("[log]", before.config.log != config.log),
            (
                "[delivery] concurrency or per_destination",
                settings::queue(&before.config) != settings::queue(&config),
            ),
        ] {
            if changed {
                tracing::warn!("{name} has changed: that takes effect at the next start");
            }
        }
        let around = around(&self.store, &self.clock).await;
        let parts = Parts::build(config, around, Some(&before)).map_err(StartError::Config)?;
        // Everything that can fail comes first.
        let mut kept = Vec::new();
        for listen in &parts.config.listeners {
            let settings = settings::listener(&parts.config, listen, &parts.hostname)
                .map_err(StartError::Config)?;
            kept.push((listen.address, settings));
        }
        let fresh = self.bind(&parts, &self.open).await?;
        if let Some(policies) = &self.policies {
            policies.replace(&parts.config).map_err(StartError::Config)?;
        }
        for open in &self.open {
            match kept.iter().find(|(address, _)| *address == open.configured) {
                Some((_, settings)) => open.control.replace(settings.clone()),
                None => {
                    tracing::info!("mail no longer comes in at {}", open.bound);
                    open.stop.send_replace(true);
                }
            }
        }
        self.open.retain(|open| kept.iter().any(|(address, _)| *address == open.configured));
        for listener in fresh {
            self.serve(listener);
        }
        self.clock.trust(parts.config.clock);
        let now = (in_force::Cause::Reload, self.clock.now());
        in_force::record(&self.store, &parts.org, now).await;
        let deliverer = parts.deliverer.clone();
        let before = self.live.replace(Arc::new(parts));
        deliverer.take_over();
        before.deliverer.close().await;
        self.doctor.look().await;
        Ok(())
    }
}

/// A reload: one line, whatever comes of it.
pub(super) async fn reread(gateway: &mut Gateway, file: &Path) {
    notify::tell(notify::Notice::Reloading);
    let outcome = match Config::load(file) {
        Ok(config) => gateway.reload(config).await.map_err(|error| error.to_string()),
        Err(refused) => Err(refused.to_string().replace('\n', "; ")),
    };
    match outcome {
        Ok(()) => {
            metrics::reload(Reloaded::Taken);
            tracing::info!("the new configuration is in force");
        }
        Err(error) => {
            metrics::reload(Reloaded::Refused);
            tracing::error!("the configuration was not taken, the old one is in force: {error}");
        }
    }
    notify::tell(notify::Notice::Ready);
}
