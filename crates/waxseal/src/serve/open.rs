//! What is open to others: the addresses where mail comes in, and those where pages are served.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;

use super::{Gateway, Parts, StartError, settings, spool::Spool};
use crate::{
    config::Config,
    listen::{Control, Listener},
    web,
};

/// An address where mail comes in.
#[derive(Debug)]
pub(super) struct Open {
    /// As the configuration names it.
    pub(super) configured: SocketAddr,
    /// The port filled in.
    pub(super) bound: SocketAddr,
    pub(super) control: Control,
    pub(super) stop: watch::Sender<bool>,
}

impl Gateway {
    pub(super) async fn open_pages(&mut self) -> Result<(), StartError> {
        let web = self.live.now().config.web.clone();
        let watched: web::Watched = Arc::new(self.doctor.clone());
        let roles = [("metrics", web.metrics), ("admin", web.admin)];
        for (role, address) in roles {
            let Some(address) = address else { continue };
            let listener =
                web::Listener::bind(address).await.map_err(|error| taken(address, &error))?;
            let address = listener.address;
            let router = match role {
                "metrics" => Some(web::metrics(Arc::clone(&watched))),
                _ => web::admin(Arc::clone(&watched), address),
            };
            let router = router
                .ok_or_else(|| StartError::Busy("the system has no random numbers".into()))?;
            let mut stop = self.stop.subscribe();
            self.tasks.spawn(web::serve(listener, router, async move {
                let _ = stop.wait_for(|stop| *stop).await;
            }));
            match role {
                "metrics" => tracing::info!(
                    "metrics and health are at http://{address}/metrics and /healthz"
                ),
                _ => tracing::info!("the status page is at http://{address}/"),
            }
            self.pages.push((role, address));
        }
        Ok(())
    }

    /// The role `policy`, with TLS of its own.
    pub(super) async fn open_policies(&mut self, config: &Config) -> Result<(), StartError> {
        let Some(site) = &config.web.policy else { return Ok(()) };
        let policies = web::PolicyHost::new(config).map_err(StartError::Config)?;
        let tls = policies.tls().map_err(|error| StartError::Config(error.to_string()))?;
        let listener =
            web::Listener::bind(site.address).await.map_err(|error| taken(site.address, &error))?;
        tracing::info!("MTA-STS policies are served at {}, over TLS", listener.address);
        self.pages.push(("policy", listener.address));
        let mut stop = self.stop.subscribe();
        self.tasks.spawn(web::serve_tls(listener, policies.router(), tls, async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        self.policies = Some(policies);
        Ok(())
    }

    /// Binds the addresses of a configuration that are not open yet.
    pub(super) async fn bind(
        &self,
        parts: &Parts,
        open: &[Open],
    ) -> Result<Vec<(SocketAddr, Listener<Spool>)>, StartError> {
        settings::certificate(&parts.config).map_err(StartError::Config)?;
        let mut listeners = Vec::new();
        for listen in &parts.config.listeners {
            let settings = settings::listener(&parts.config, listen, &parts.hostname)
                .map_err(StartError::Config)?;
            if open.iter().any(|open| open.configured == listen.address) {
                continue;
            }
            let bound = Listener::bind(listen.address, settings, Arc::clone(&self.desk)).await;
            let bound = bound.map_err(|error| {
                let same = |open: &&Open| open.configured.port() == listen.address.port();
                match (taken(listen.address, &error), open.iter().find(same)) {
                    (StartError::Busy(text), Some(open)) => StartError::Busy(format!(
                        "{text}; {} is still open: to change one into the other takes a restart",
                        open.configured
                    )),
                    (other, _) => other,
                }
            })?;
            listeners.push((listen.address, bound));
        }
        Ok(listeners)
    }

    pub(super) fn serve(&mut self, (configured, listener): (SocketAddr, Listener<Spool>)) {
        let (stop, stopped) = watch::channel(false);
        let (bound, control) = (listener.address(), listener.control());
        tracing::info!("mail comes in at {bound}");
        self.open.push(Open { configured, bound, control, stop });
        self.tasks.spawn(listener.serve(stopped));
    }
}

fn taken(address: SocketAddr, error: &std::io::Error) -> StartError {
    let text = format!("{address} cannot be listened on: {error}");
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return StartError::Busy(text);
    }
    StartError::Config(text)
}
